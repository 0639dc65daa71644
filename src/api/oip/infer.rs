//! Inference: tensors become the images and records of `/v1`, and its answers become tensors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Map, Value};

use super::request::{self, Infer, InferRequest, Wanted};
use super::response::{self, InferResponse, TensorBytes, Values};
use super::tensor::Data;
use super::{find, spec};
use crate::api::audit::Answered;
use crate::api::classify::outcome_rested_on;
use crate::api::extract::{Id, ModelVersion, Whole};
use crate::api::identity::Caller;
use crate::api::{AppState, Deadline, Problem, entities, images, notes};
use crate::inference::image::{ImageService, Pixels, ReadAs};
use crate::inference::registry::Served;
use crate::inference::{Outcome, Timing};

/// Ask a model
///
/// JSON, or JSON followed by binary tensors with the header `Inference-Header-Content-Length`.
#[utoipa::path(
    post,
    path = "/v2/models/{name}/infer",
    operation_id = "oip_infer",
    tag = "open inference protocol",
    params(("name" = String, Path, description = "Name of the model", example = "triage")),
    request_body(
        content = InferRequest,
        example = json!({"inputs": [{"name": "note", "shape": [1], "datatype": "BYTES", "data": ["chest pain"]}]}),
    ),
    responses((status = 200, content(
        (InferResponse = "application/json"),
        (TensorBytes = "application/octet-stream"),
    )))
)]
pub async fn model(
    State(state): State<AppState>,
    Extension(deadline): Extension<Deadline>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
    headers: HeaderMap,
    body: Whole,
) -> Result<Response, Problem> {
    caller.check_model(&name)?;
    infer(find(&state, &name, None)?, deadline, &headers, body).await
}

/// Ask a version of a model
///
/// JSON, or JSON followed by binary tensors with the header `Inference-Header-Content-Length`.
#[utoipa::path(
    post,
    path = "/v2/models/{name}/versions/{version}/infer",
    operation_id = "oip_infer_version",
    tag = "open inference protocol",
    params(
        ("name" = String, Path, description = "Name of the model", example = "triage"),
        ("version" = String, Path, description = "Version of the model", example = "1"),
    ),
    request_body(
        content = InferRequest,
        example = json!({"inputs": [{"name": "note", "shape": [1], "datatype": "BYTES", "data": ["chest pain"]}]}),
    ),
    responses((status = 200, content(
        (InferResponse = "application/json"),
        (TensorBytes = "application/octet-stream"),
    )))
)]
pub async fn model_version(
    State(state): State<AppState>,
    Extension(deadline): Extension<Deadline>,
    Extension(caller): Extension<Caller>,
    ModelVersion { name, version }: ModelVersion,
    headers: HeaderMap,
    body: Whole,
) -> Result<Response, Problem> {
    caller.check_model(&name)?;
    infer(find(&state, &name, Some(&version))?, deadline, &headers, body).await
}

async fn infer(
    served: Served,
    Deadline(deadline): Deadline,
    headers: &HeaderMap,
    Whole(body): Whole,
) -> Result<Response, Problem> {
    let manifest = served.manifest();
    let elsewhere = match &served {
        Served::Image(service) if service.manifest.outputs.is_some() => {
            Some("gives several labels at once, or a number; ask it at /v1/images/classify")
        }
        Served::Segment(_) => Some("outlines regions; ask it at /v1/images/segment"),
        Served::Embed(_) => Some("makes vectors of texts; ask it at /v1/embeddings"),
        Served::Generate(_) => Some("makes pictures; ask it at /v1/images/generate"),
        Served::Recommendation(_) => {
            Some("recommends and takes no tensors: ask GET /v1/users/{user_id}/recommendations")
        }
        _ => None,
    };
    if let Some(elsewhere) = elsewhere {
        let detail = format!("\"{}\" {elsewhere}", manifest.name);
        return Err(Problem::bad_request(detail));
    }
    let Infer { id, batch, inputs, outputs } = request::read(manifest, headers, body)?;
    if let Served::Extract(service) = &served {
        let records = entities::read(&records(batch, inputs)?)?;
        let (results, timing) = entities::find(service, records, deadline).await?;
        let text = |result| serde_json::to_string(result).map_err(|_| Problem::internal());
        let texts = results.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let outputs = outputs.into_iter().map(|wanted| (wanted, Values::Bytes(texts.clone()))).collect();
        let response = response::write(manifest, id, batch, outputs, &timing)?;
        let answers = results.iter().map(|result| result.counted());
        return Ok((Extension(Answered::labels(&manifest.name, &manifest.version, answers)), response)
            .into_response());
    }
    let (outcomes, truncated, timing) = match &served {
        Served::Image(service) => {
            let (outcomes, timing) = match one_input(inputs)? {
                Data::Bytes(images) => {
                    let read = |(index, image): (usize, Bytes)| {
                        Ok((images::format(None, &image, &format!("image {}", index + 1))?, image))
                    };
                    let images = images.into_iter().enumerate().map(read).collect::<Result<_, Problem>>()?;
                    service.classify(images, ReadAs::default(), usize::MAX, deadline).await?
                }
                pixels => classify_pixels(service, pixels, deadline).await?,
            };
            (outcomes, Vec::new(), timing)
        }
        Served::Segment(_) | Served::Generate(_) => return Err(Problem::internal()),
        Served::Note(service) => {
            let records = notes::read(service, &records(batch, inputs)?)?;
            let (answers, timing) = service.classify(records, false, true, usize::MAX, deadline).await?;
            let truncated = answers.iter().map(|answer| answer.truncated).collect();
            (answers.into_iter().map(|answer| answer.outcome).collect(), truncated, timing)
        }
        Served::Extract(_) | Served::Embed(_) | Served::Recommendation(_) => return Err(Problem::internal()),
    };
    let values = |wanted: Wanted| {
        let values = values(&wanted, &outcomes, &truncated);
        (wanted, values)
    };
    let response = response::write(manifest, id, batch, outputs.into_iter().map(values).collect(), &timing)?;
    let labels = outcomes.iter().map(|outcome| outcome.label.clone());
    let answered = Answered::labels(&manifest.name, &manifest.version, labels)
        .resting_on(outcomes.iter().map(outcome_rested_on));
    Ok((Extension(answered), response).into_response())
}

type Inputs = BTreeMap<String, Data>;

/// A classifier of images takes one of its inputs.
fn one_input(inputs: Inputs) -> Result<Data, Problem> {
    let mut inputs = inputs.into_values();
    match (inputs.next(), inputs.next()) {
        (Some(only), None) => Ok(only),
        _ => {
            let names = [spec::IMAGE, spec::PIXELS, spec::FRACTIONS].join(", ");
            Err(Problem::bad_request(format!("one of the inputs is accepted: {names}")))
        }
    }
}

async fn classify_pixels(
    service: &Arc<ImageService>,
    data: Data,
    deadline: Instant,
) -> Result<(Vec<Outcome>, Timing), Problem> {
    let pixels = match data {
        Data::Uint8(bytes) => Pixels::Bytes(bytes),
        Data::Fp32(values) => match values.iter().position(|value| !(0.0..=1.0).contains(value)) {
            None => Pixels::Fractions(values),
            Some(at) => {
                let detail = "fractions of full scale, 0 to 1, are expected";
                return Err(Problem::bad_request(format!(
                    "the input \"{}\": element {at} is {}; {detail}",
                    spec::FRACTIONS,
                    values[at]
                )));
            }
        },
        Data::Bytes(_) | Data::Fp64(_) => return Err(Problem::internal()),
    };
    Ok(service.classify_pixels(pixels, usize::MAX, deadline).await?)
}

/// The records of a batch, as `/v1` takes them. A field that is not sent, NaN or an empty string
/// is missing.
fn records(batch: usize, mut inputs: Inputs) -> Result<Vec<Value>, Problem> {
    let Some(Data::Bytes(notes)) = inputs.remove(spec::NOTE) else {
        return Err(Problem::bad_request(format!("the input \"{}\" is missing", spec::NOTE)));
    };
    let text = |name: &str, at: usize, bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_string()),
        Err(_) => Err(Problem::bad_request(format!("the input \"{name}\": element {at} is not UTF-8"))),
    };
    let mut records = Vec::with_capacity(batch);
    for (at, note) in notes.iter().enumerate() {
        let mut fields = Map::new();
        for (name, data) in &inputs {
            let value = match data {
                Data::Bytes(values) => match text(name, at, &values[at])? {
                    empty if empty.is_empty() => Value::Null,
                    value => Value::String(value),
                },
                Data::Fp64(values) if values[at].is_infinite() => {
                    let detail = format!("the input \"{name}\": element {at} is infinite");
                    return Err(Problem::bad_request(detail));
                }
                Data::Fp64(values) => Value::from(values[at]),
                Data::Uint8(_) | Data::Fp32(_) => return Err(Problem::internal()),
            };
            fields.insert(name.clone(), value);
        }
        let mut record = Map::new();
        record.insert("note".to_string(), Value::String(text(spec::NOTE, at, note)?));
        record.insert("fields".to_string(), Value::Object(fields));
        records.push(Value::Object(record));
    }
    Ok(records)
}

/// The elements of one output.
fn values(wanted: &Wanted, outcomes: &[Outcome], truncated: &[bool]) -> Values {
    match wanted.spec.name.as_str() {
        spec::PROBABILITIES => {
            let labels = wanted.spec.elements();
            let mut values = vec![0.0; outcomes.len() * labels];
            for (row, outcome) in values.chunks_exact_mut(labels).zip(outcomes) {
                for prediction in &outcome.predictions {
                    row[prediction.index] = prediction.probability;
                }
            }
            Values::Fp32(values)
        }
        spec::LABEL => {
            Values::Bytes(outcomes.iter().map(|outcome| outcome.label.clone().unwrap_or_default()).collect())
        }
        spec::ABSTAINED => Values::Bool(outcomes.iter().map(|outcome| outcome.label.is_none()).collect()),
        _ => Values::Bool(truncated.to_vec()),
    }
}
