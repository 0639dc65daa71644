//! An inference response: the JSON object and, where asked for, binary tensors behind it.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use serde_json::json;
use utoipa::ToSchema;

use super::request::{HEADER_LENGTH, Wanted};
use super::spec::Datatype;
use crate::api::Problem;
use crate::api::classify::timed;
use crate::inference::Timing;
use model::Manifest;

/// An inference response.
#[derive(Serialize, ToSchema)]
pub struct InferResponse {
    /// The model that answered.
    #[schema(example = "triage")]
    model_name: String,
    /// Its version.
    #[schema(example = "1")]
    model_version: String,
    /// The id of the request, if it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The outputs, in the order they were asked for.
    outputs: Vec<OutputTensor>,
}

/// The JSON object, and behind it the binary tensors that it announces.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code)]
pub struct TensorBytes(Vec<u8>);

/// An output tensor.
#[derive(Serialize, ToSchema)]
struct OutputTensor {
    /// Its name.
    #[schema(example = "probabilities")]
    name: String,
    /// Type of its elements.
    datatype: Datatype,
    /// Its dimensions, the batch first.
    #[schema(example = json!([1, 2]))]
    shape: Vec<usize>,
    /// For a binary tensor its `binary_data_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    parameters: Option<serde_json::Value>,
    /// Its elements, flat and in rows. Left out for a binary tensor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    data: Option<Values>,
}

/// The elements of an output, in rows.
pub enum Values {
    /// FP32.
    Fp32(Vec<f32>),
    /// BYTES.
    Bytes(Vec<String>),
    /// BOOL.
    Bool(Vec<bool>),
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Values::Fp32(values) => values.serialize(serializer),
            Values::Bytes(values) => values.serialize(serializer),
            Values::Bool(values) => values.serialize(serializer),
        }
    }
}

impl Values {
    /// Appends the elements in binary: little-endian, a string behind its length in four bytes.
    fn append(&self, bytes: &mut Vec<u8>) {
        match self {
            Values::Fp32(values) => values.iter().for_each(|v| bytes.extend(v.to_le_bytes())),
            Values::Bool(values) => bytes.extend(values.iter().map(|v| u8::from(*v))),
            Values::Bytes(values) => {
                for value in values {
                    // A label comes from a manifest and is far below four gigabytes.
                    bytes.extend((value.len() as u32).to_le_bytes());
                    bytes.extend(value.as_bytes());
                }
            }
        }
    }
}

/// Writes the answer of a model: `outputs` in the order of their values.
///
/// # Errors
/// 500 where it cannot be written.
pub fn write(
    manifest: &Manifest,
    id: Option<String>,
    batch: usize,
    outputs: Vec<(Wanted, Values)>,
    timing: &Timing,
) -> Result<Response, Problem> {
    let mut binary = Vec::new();
    let any_binary = outputs.iter().any(|(wanted, _)| wanted.binary);
    let write = |(Wanted { spec, binary: wanted }, values): (Wanted, Values)| {
        let before = binary.len();
        if wanted {
            values.append(&mut binary);
        }
        let inner = spec.shape[1..].iter().map(|side| *side as usize);
        OutputTensor {
            name: spec.name,
            datatype: spec.datatype,
            shape: std::iter::once(batch).chain(inner).collect(),
            parameters: wanted.then(|| json!({"binary_data_size": binary.len() - before})),
            data: (!wanted).then_some(values),
        }
    };
    let response = InferResponse {
        model_name: manifest.name.clone(),
        model_version: manifest.version.clone(),
        id,
        outputs: outputs.into_iter().map(write).collect(),
    };
    let mut body = serde_json::to_vec(&response).map_err(|_| Problem::internal())?;
    let length = HeaderValue::from(body.len());
    body.append(&mut binary);
    let kind = if any_binary { "application/octet-stream" } else { "application/json" };
    let mut response = ([(header::CONTENT_TYPE, kind)], body).into_response();
    if any_binary {
        response.headers_mut().insert(HEADER_LENGTH, length);
    }
    Ok((timed(timing)?, response).into_response())
}
