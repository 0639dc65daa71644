//! `POST /dicom-web/studies`: STOW-RS (PS3.18 section 10.5). An image that is stored is answered before the response
//! goes out; what was made of it is then under `GET /dicom-web/studies/...`, and on its way to the peer.

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use clinical::dicom::{DataSet, Source, tags};
use futures::StreamExt;
use futures::stream;
use utoipa::ToSchema;

use super::multipart::parts;
use super::{DICOM, JSON, XML, accept, base, content_type, uid};
use crate::api::audit::Answered as Audited;
use crate::api::extract::{Id, Whole, media_type};
use crate::api::identity::Caller;
use crate::api::middleware::audit::Concerned;
use crate::api::{AppState, Deadline, Problem};
use crate::dicom_net::answers::{self, AnswerError, Answered};
use crate::inference::head;
use axum::extract::FromRequest;

/// Most instances of one request.
const MOST: usize = 256;
/// Failures that the header `warning` tells of.
const TOLD: usize = 5;

/// DICOM files as parts of `multipart/related`.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code)]
pub struct Instances(Vec<u8>);

/// Store DICOM images, to be answered
///
/// Each part is a DICOM file. The models whose manifest names its modality answer (or those of the setting
/// `dicom-models`), and the results, a structured report and a picture with the evidence, are in the image's study. The
/// image is not kept. An image that is stored again has the same results.
#[utoipa::path(
    post,
    path = "/dicom-web/studies",
    operation_id = "store_instances",
    tag = "DICOM",
    request_body(content((Instances = "multipart/related; type=\"application/dicom\""), (Instances = "application/dicom"))),
    responses(
        (status = 200, description = "All were answered: DICOM's response, as JSON or XML",
            content((Object = "application/dicom+json"), (String = "application/dicom+xml"))),
        (status = 202, description = "Some were answered; the response names the others with reasons",
            content((Object = "application/dicom+json"), (String = "application/dicom+xml"))),
        (status = 409, description = "None was answered; the response says why",
            content((Object = "application/dicom+json"), (String = "application/dicom+xml"))),
    )
)]
pub async fn store(
    state: State<AppState>,
    deadline: Extension<Deadline>,
    concerned: Extension<Concerned>,
    caller: Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    stored(state, deadline, concerned, caller, None, request).await
}

/// Store DICOM images of one study, to be answered
///
/// As without the study; an image of another one is refused.
#[utoipa::path(
    post,
    path = "/dicom-web/studies/{study}",
    operation_id = "store_study_instances",
    tag = "DICOM",
    params(("study" = String, Path, description = "Study Instance UID", example = "1.2.826.0.1.3680043.8.498.1")),
    request_body(content((Instances = "multipart/related; type=\"application/dicom\""), (Instances = "application/dicom"))),
    responses(
        (status = 200, description = "All were answered: DICOM's response, as JSON or XML",
            content((Object = "application/dicom+json"), (String = "application/dicom+xml"))),
        (status = 202, description = "Some were answered; the response names the others with reasons",
            content((Object = "application/dicom+json"), (String = "application/dicom+xml"))),
        (status = 409, description = "None was answered; the response says why",
            content((Object = "application/dicom+json"), (String = "application/dicom+xml"))),
    )
)]
pub async fn store_of_study(
    state: State<AppState>,
    deadline: Extension<Deadline>,
    concerned: Extension<Concerned>,
    caller: Extension<Caller>,
    Id(study): Id,
    request: Request,
) -> Result<Response, Problem> {
    stored(state, deadline, concerned, caller, Some(uid(&study)?), request).await
}

/// What came of one instance.
struct Outcome {
    source: Option<Source>,
    answered: Result<Answered, AnswerError>,
}

async fn stored(
    State(state): State<AppState>,
    Extension(Deadline(deadline)): Extension<Deadline>,
    Extension(concerned): Extension<Concerned>,
    Extension(caller): Extension<Caller>,
    study: Option<String>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let in_xml = wants_xml(&headers)?;
    let files = read(&headers, request).await?;
    let registry = state.registry()?;
    let people = state.people()?;
    let one = async |file: Bytes| -> Outcome {
        let failed = || AnswerError::Failed("its head could not be read".to_string());
        let source = match head::read(&file, answers::source).await.unwrap_or_else(|| Err(failed())) {
            Ok(source) => source,
            Err(error) => return Outcome { source: None, answered: Err(error) },
        };
        if study.as_ref().is_some_and(|study| *study != source.study) {
            let detail = "it is of another study than the path names".to_string();
            return Outcome { source: Some(source), answered: Err(AnswerError::Image(detail)) };
        }
        concerned.add(Some(source.patient_id.clone()).filter(|id| !id.is_empty()));
        let image = (&source, file);
        let store = people.store.as_ref();
        let answered =
            answers::answer(&registry, &state.config, store, &caller.models, image, deadline).await;
        Outcome { source: Some(source), answered }
    };
    let mut outcomes = Vec::with_capacity(files.len());
    let mut answering = stream::iter(files.into_iter().map(one)).buffered(state.config.engines);
    while let Some(outcome) = answering.next().await {
        outcomes.push(outcome);
    }
    drop(answering);
    let not_allowed = |outcome: &Outcome| matches!(outcome.answered, Err(AnswerError::NotAllowed));
    if outcomes.iter().all(not_allowed) {
        return Err(caller.forbidden("a model that reads these images"));
    }
    if let Some(busy) = all_pass(&outcomes) {
        return Err(Problem::unavailable(busy));
    }
    for outcome in &outcomes {
        if let (Some(source), Ok(answered)) = (&outcome.source, &outcome.answered) {
            let image = (source.sop_instance.as_str(), None);
            answers::keep(&state.config, people.store.as_ref(), image, answered).await?;
        }
    }
    Ok(response(&base(&state, &headers), &outcomes, in_xml))
}

/// Why nothing was answered, where all of it may be sent again.
fn all_pass(outcomes: &[Outcome]) -> Option<String> {
    let errors: Option<Vec<&AnswerError>> = outcomes
        .iter()
        .map(|outcome| outcome.answered.as_ref().err().filter(|error| error.passes()))
        .collect();
    errors?.first().map(|error| format!("nothing was answered: {error}; try again in a moment"))
}

/// Whether the response is to be XML.
fn wants_xml(headers: &HeaderMap) -> Result<bool, Problem> {
    let kinds = [(JSON, false), ("application/json", false), (XML, true)];
    accept::best(&accept::ranges(headers), &kinds).ok_or_else(|| {
        let detail = format!("the response is {JSON} or {XML}");
        Problem::new(StatusCode::NOT_ACCEPTABLE, detail)
    })
}

/// The files of a request.
async fn read(headers: &HeaderMap, request: Request) -> Result<Vec<Bytes>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.to_string();
    let unsupported = |what: &str| {
        let detail = format!(
            "{what}; accepted is multipart/related with parts of {DICOM}, each a whole file, or one file as {DICOM}"
        );
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    };
    let essence = media_type(&kind).to_ascii_lowercase();
    if essence != "multipart/related" && essence != DICOM {
        return Err(unsupported(&format!("the content type is \"{}\"", crate::api::extract::cut(&essence))));
    }
    let Whole(body) = Whole::from_request(request, &()).await?;
    if essence == DICOM {
        return match body.is_empty() {
            true => Err(Problem::bad_request("the body is empty: send a DICOM file")),
            false => Ok(vec![body]),
        };
    }
    let parts = parts(&kind, &body, MOST).map_err(Problem::bad_request)?;
    if parts.is_empty() {
        return Err(Problem::bad_request("the body has no parts: each is a DICOM file"));
    }
    let is_dicom = |kind: &Option<String>| {
        kind.as_deref().is_none_or(|kind| media_type(kind).eq_ignore_ascii_case(DICOM))
    };
    match parts.iter().position(|part| !is_dicom(&part.content_type)) {
        Some(place) => Err(unsupported(&format!("part {place} is of another content type"))),
        None => Ok(parts.into_iter().map(|part| part.bytes).collect()),
    }
}

/// Failure Reason (PS3.18 table I.2-2 and PS3.7 annex C).
fn reason(error: &AnswerError) -> u16 {
    match error {
        AnswerError::Busy(_) | AnswerError::Store(_) => 0xa700,
        AnswerError::NoModel => 0x0122,
        AnswerError::NotAllowed => 0x0124,
        AnswerError::Failed(_) => 0x0110,
        _ => 0xc000,
    }
}

/// DICOM's response (PS3.18 section 10.5.3 and annex I).
fn response(base: &str, outcomes: &[Outcome], in_xml: bool) -> Response {
    let (mut referenced, mut failed, mut others) = (Vec::new(), Vec::new(), Vec::new());
    let (mut warnings, mut labels) = (Vec::new(), Vec::new());
    let mut study = None;
    for (place, outcome) in outcomes.iter().enumerate() {
        let mut item = DataSet::new();
        if let Some(source) = &outcome.source {
            study = study.or(Some(&source.study));
            item.text(tags::REFERENCED_CLASS, b"UI", &source.sop_class);
            item.text(tags::REFERENCED_INSTANCE, b"UI", &source.sop_instance);
        }
        match (&outcome.answered, &outcome.source) {
            (Ok(answered), _) => {
                labels.extend(answered.labels.clone());
                referenced.push(item);
            }
            (Err(error), source) => {
                item.words(tags::FAILURE_REASON, &[reason(error)]);
                warnings.push(format!("instance {place}: {error}"));
                if source.is_some() { failed.push(item) } else { others.push(item) }
            }
        }
    }
    let status = match (referenced.len(), failed.len() + others.len()) {
        (_, 0) => StatusCode::OK,
        (0, _) => StatusCode::CONFLICT,
        _ => StatusCode::ACCEPTED,
    };
    let mut set = DataSet::new();
    if let Some(study) = study.filter(|_| !referenced.is_empty()) {
        set.text(tags::RETRIEVE_URL, b"UR", format!("{base}/studies/{study}"));
    }
    for (tag, items) in
        [(tags::REFERENCED_SOPS, referenced), (tags::FAILED_SOPS, failed), (tags::OTHER_FAILURES, others)]
    {
        if !items.is_empty() {
            set.items(tag, items);
        }
    }
    let joined = |each: fn(&answers::Label) -> &str| {
        let mut all: Vec<&str> = labels.iter().map(each).collect();
        all.dedup();
        (!all.is_empty()).then(|| all.join(", "))
    };
    let audited = Audited {
        model: joined(|label| &label.model),
        version: joined(|label| &label.version),
        answers: labels.iter().map(|own| own.label.clone()).collect(),
        abstained: labels.iter().any(|own| own.label.is_none()),
        evidence: answers::evidence(&labels),
    };
    let mut response = match in_xml {
        true => (status, content_type(XML), set.xml()).into_response(),
        false => (status, content_type(JSON), set.json().to_string()).into_response(),
    };
    response.extensions_mut().insert(audited);
    for warning in warnings.iter().take(TOLD) {
        let plain: String = warning.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
        if let Ok(value) = HeaderValue::from_str(&format!("299 medserve \"{}\"", plain.replace('"', "'"))) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}
