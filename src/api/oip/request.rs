//! An inference request: the JSON object, the binary tensors behind it, and both held against
//! what the model declares.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, StatusCode};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::spec::{self, TensorSpec};
use super::tensor::{self, Data};
use crate::api::json::parse;
use crate::api::{Problem, extract};
use model::Manifest;

/// Says how many bytes of a body are its JSON object; binary tensors follow.
pub const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// An inference request.
#[derive(Deserialize, ToSchema)]
pub struct InferRequest<'a> {
    /// Given back in the answer.
    id: Option<String>,
    /// About the whole request.
    parameters: Option<RequestParameters>,
    /// The input tensors.
    #[serde(borrow)]
    inputs: Vec<InputTensor<'a>>,
    /// The outputs asked for; default: all.
    outputs: Option<Vec<RequestedOutput>>,
}

/// An input tensor.
#[derive(Deserialize, ToSchema)]
struct InputTensor<'a> {
    /// Its name, as in the model's metadata.
    #[schema(example = "note")]
    name: String,
    /// Its dimensions, the batch first.
    #[schema(example = json!([1]))]
    shape: Vec<u64>,
    /// Type of its elements, as in the model's metadata.
    #[schema(example = "BYTES")]
    datatype: String,
    /// About this tensor.
    parameters: Option<InputParameters>,
    /// Its elements, nested or flat; an encoded image as base64. Left out for a binary tensor.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<serde_json::Value>>, example = json!(["chest pain"]))]
    data: Option<&'a RawValue>,
}

/// Parameters of a request. Others are ignored, as the protocol has it.
#[derive(Deserialize, ToSchema)]
struct RequestParameters {
    /// True for outputs in binary, where an output does not say otherwise.
    binary_data_output: Option<bool>,
}

/// Parameters of an input.
#[derive(Deserialize, ToSchema)]
struct InputParameters {
    /// Number of bytes of this tensor behind the JSON object.
    binary_data_size: Option<usize>,
}

/// An output asked for.
#[derive(Deserialize, ToSchema)]
struct RequestedOutput {
    /// Its name, as in the model's metadata.
    #[schema(example = "probabilities")]
    name: String,
    /// About this output.
    parameters: Option<OutputParameters>,
}

/// Parameters of an output.
#[derive(Deserialize, ToSchema)]
struct OutputParameters {
    /// True for this output in binary.
    binary_data: Option<bool>,
    /// Of another extension, which is refused rather than ignored: it asks for another output.
    #[serde(default)]
    #[schema(ignore)]
    classification: Option<serde::de::IgnoredAny>,
}

/// An inference request that fits its model.
pub struct Infer {
    /// The client's own name for it.
    pub id: Option<String>,
    /// Number of inputs.
    pub batch: usize,
    /// The input tensors by name.
    pub inputs: BTreeMap<String, Data>,
    /// The outputs to give, in order.
    pub outputs: Vec<Wanted>,
}

/// An output to give.
pub struct Wanted {
    /// Which.
    pub spec: TensorSpec,
    /// In binary, or in JSON.
    pub binary: bool,
}

/// Reads a request to the model of this manifest.
///
/// # Errors
/// 400 for whatever does not fit.
pub fn read(manifest: &Manifest, headers: &HeaderMap, body: Bytes) -> Result<Infer, Problem> {
    let (json, mut binary) = split(headers, body)?;
    // The protocol knows no difference between what is no JSON and what is JSON of another shape.
    let request: InferRequest =
        parse(&json).map_err(|problem| Problem { status: StatusCode::BAD_REQUEST, ..problem })?;
    let declared = spec::inputs(manifest);
    let mut batch: Option<(usize, &str)> = None;
    let mut inputs = BTreeMap::new();
    for input in &request.inputs {
        let spec = declared.iter().find(|spec| spec.name == input.name).ok_or_else(|| {
            let name = extract::cut(&input.name);
            Problem::bad_request(format!(
                "there is no input \"{name}\"; the model's are {}",
                names(&declared)
            ))
        })?;
        let (size, data) = read_input(spec, input, &mut binary)?;
        match batch {
            Some((first, name)) if first != size => {
                let detail = format!("a batch of {size}, where the input \"{name}\" has {first}");
                return Err(tensor::refuse(spec, detail));
            }
            _ => batch = Some((size, &spec.name)),
        }
        if inputs.insert(spec.name.clone(), data).is_some() {
            return Err(tensor::refuse(spec, "it is sent twice"));
        }
    }
    if !binary.is_empty() {
        return Err(Problem::bad_request(format!("{} bytes of the body belong to no input", binary.len())));
    }
    let Some((batch, _)) = batch else {
        return Err(Problem::bad_request(format!(
            "there are no inputs; the model's are {}",
            names(&declared)
        )));
    };
    let binary = request.parameters.and_then(|p| p.binary_data_output).unwrap_or(false);
    let outputs = wanted(manifest, request.outputs.unwrap_or_default(), binary)?;
    Ok(Infer { id: request.id, batch, inputs, outputs })
}

/// The JSON object and what follows it.
fn split(headers: &HeaderMap, mut body: Bytes) -> Result<(Bytes, Bytes), Problem> {
    let Some(length) = headers.get(HEADER_LENGTH) else {
        return Ok((body, Bytes::new()));
    };
    let length: Option<usize> = length.to_str().ok().and_then(|text| text.trim().parse().ok());
    match length.filter(|length| *length <= body.len()) {
        Some(length) => {
            let binary = body.split_off(length);
            Ok((body, binary))
        }
        None => Err(Problem::bad_request(format!(
            "the header Inference-Header-Content-Length must be a number from 0 to {}, the length of the body",
            body.len()
        ))),
    }
}

/// One input's batch and elements; binary ones are taken from the front of `binary`.
fn read_input(spec: &TensorSpec, input: &InputTensor, binary: &mut Bytes) -> Result<(usize, Data), Problem> {
    let datatype = spec.datatype.as_str();
    if input.datatype != datatype {
        let detail = format!("its datatype is \"{}\"; {datatype} is accepted", extract::cut(&input.datatype));
        return Err(tensor::refuse(spec, detail));
    }
    let batch = tensor::batch(spec, &input.shape)?;
    let size = input.parameters.as_ref().and_then(|parameters| parameters.binary_data_size);
    let data = match (size, input.data) {
        (Some(size), None) if size <= binary.len() => {
            tensor::from_binary(spec, batch, binary.split_to(size))?
        }
        (Some(size), None) => {
            let detail = format!("{size} bytes of data are announced, and {} are there", binary.len());
            return Err(tensor::refuse(spec, detail));
        }
        (None, Some(json)) => {
            let data = tensor::from_json(spec, batch, json)?;
            if spec.name == spec::IMAGE { tensor::from_base64(spec, data)? } else { data }
        }
        (Some(_), Some(_)) => return Err(tensor::refuse(spec, "it has both data and binary_data_size")),
        (None, None) => return Err(tensor::refuse(spec, "it has neither data nor binary_data_size")),
    };
    Ok((batch, data))
}

/// The outputs asked for: all where none is named.
fn wanted(manifest: &Manifest, asked: Vec<RequestedOutput>, binary: bool) -> Result<Vec<Wanted>, Problem> {
    let declared = spec::outputs(manifest);
    if asked.is_empty() {
        return Ok(declared.into_iter().map(|spec| Wanted { spec, binary }).collect());
    }
    let mut wanted: Vec<Wanted> = Vec::new();
    for output in asked {
        let name = extract::cut(&output.name);
        let Some(spec) = declared.iter().find(|spec| spec.name == output.name) else {
            let detail = format!("there is no output \"{name}\"; the model's are {}", names(&declared));
            return Err(Problem::bad_request(detail));
        };
        if wanted.iter().any(|wanted| wanted.spec == *spec) {
            return Err(Problem::bad_request(format!("the output \"{name}\" is asked for twice")));
        }
        let parameters = output.parameters;
        if parameters.as_ref().is_some_and(|p| p.classification.is_some()) {
            let detail = format!("the output \"{name}\": the classification extension is not supported");
            return Err(Problem::bad_request(detail));
        }
        let binary = parameters.and_then(|p| p.binary_data).unwrap_or(binary);
        wanted.push(Wanted { spec: spec.clone(), binary });
    }
    Ok(wanted)
}

fn names(specs: &[TensorSpec]) -> String {
    specs.iter().map(|spec| format!("\"{}\"", spec.name)).collect::<Vec<_>>().join(", ")
}
