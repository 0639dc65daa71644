//! FHIR R4: `POST /fhir/R4` takes a batch or a transaction in, `GET /fhir/R4/metadata` says what can be
//! done. Errors below `/fhir` are OperationOutcomes. And what the other routes need to answer in FHIR.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use clinical::fhir::answers::Maker;
use clinical::fhir::outcome::{Issue, operation_outcome, response};
use clinical::fhir::{Bundle, BundleKind, FhirError, MEDIA_TYPE, capability};
use rand::RngExt;
use serde_json::Value;

use super::accept::{self, Range};
use super::audit::Answered;
use super::error::FieldError;
use super::middleware::audit::Concerned;
use super::middleware::deadline;
use super::{AppState, Deadline, Problem, extract, json};
use crate::store::fhir::{BundleError, Wait, foresee, take_in};
use recommend::clock::{now, rfc3339};

/// Most problems that one answer names.
const MOST_ISSUES: usize = 100;

/// True for the paths whose errors are OperationOutcomes.
pub fn speaks(path: &str) -> bool {
    path == "/fhir" || path.starts_with("/fhir/")
}

/// Whether a client asks for FHIR: for JSON of R4, and for no other JSON more than for that.
pub fn asked(headers: &HeaderMap) -> bool {
    let ranges = accept::ranges(headers);
    let wished = ranges.iter().filter(|range| is_ours(range)).map(|range| range.weight).fold(0.0, f32::max);
    let plain = ranges.iter().filter(|range| range.essence == "application/json");
    wished > 0.0 && plain.map(|range| range.weight).fold(0.0, f32::max) <= wished
}

/// Whether a range is of the FHIR that is answered.
fn is_ours(range: &Range) -> bool {
    range.essence == MEDIA_TYPE && range.parameter("fhirversion").is_none_or(is_r4)
}

/// Whether a range is of FHIR, in whatever form and of whatever release.
fn is_fhir(range: &Range) -> bool {
    range.essence.starts_with("application/fhir+") || range.essence.ends_with("+fhir")
}

/// Whether a release is the one that is read and answered.
fn is_r4(version: &str) -> bool {
    ["4.0", "4.0.0", "4.0.1"].contains(&version)
}

/// Routes below `/v1` that can answer in FHIR.
const ANSWER_IN_FHIR: [&str; 4] = [
    "/v1/images/classify",
    "/v1/notes/classify",
    "/v1/users/{user_id}/recommendations",
    "/v1/models/{name}/card.json",
];

/// Whether a route below `/v1` can answer in FHIR.
pub fn answers(path: &str) -> bool {
    ANSWER_IN_FHIR.contains(&path)
}

/// Whether a route's answers are never FHIR, so that who accepts nothing else gets 406.
fn never(path: &str) -> bool {
    path.starts_with("/v1/") && !answers(path)
}

/// Whether a route looks at whether FHIR is all that is accepted.
pub fn heeds(path: &str) -> bool {
    path.starts_with("/v1/") || speaks(path)
}

/// The problem of a request that accepts FHIR alone, on a route that cannot answer in it, or in the form or of the release
/// that is asked for: nothing is done for an answer that its client could not read.
pub fn refused(request: &Request) -> Option<Problem> {
    let path = request.extensions().get::<MatchedPath>()?.as_str();
    let ranges = accept::ranges(request.headers());
    let mut wished = ranges.iter().filter(|range| range.weight > 0.0).peekable();
    wished.peek()?;
    let fits = |range: &Range| !is_fhir(range) || (is_ours(range) && !never(path));
    if !heeds(path) || wished.any(fits) {
        return None;
    }
    let detail = match never(path) {
        true => format!(
            "this route does not answer in FHIR; its answer is application/json. In {MEDIA_TYPE} answer: {}",
            ANSWER_IN_FHIR.join(", ")
        ),
        false => format!("FHIR is answered in JSON of R4 alone: {MEDIA_TYPE}; fhirVersion=4.0"),
    };
    Some(Problem::new(StatusCode::NOT_ACCEPTABLE, detail))
}

/// A resource as it is sent.
pub fn resource(resource: &Value) -> Response {
    let mut response = Json(resource).into_response();
    let kind = HeaderValue::from_static("application/fhir+json; fhirVersion=4.0");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Who made an answer, for its Device and its Provenance. `use_it` gets it.
pub fn made_by<T>(name: &str, version: &str, use_it: impl FnOnce(&Maker<'_>) -> T) -> T {
    let time = rfc3339(now());
    let seed = format!("{:032x}", rand::rng().random::<u128>());
    use_it(&Maker { name, version, time: &time, seed: &seed })
}

/// A problem as FHIR says it.
pub fn outcome_of(problem: Problem, request_id: &str) -> Value {
    let code = match problem.status {
        StatusCode::BAD_REQUEST => "structure",
        StatusCode::UNAUTHORIZED => "login",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not-found",
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_ACCEPTABLE | StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            "not-supported"
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => "timeout",
        StatusCode::CONFLICT => "conflict",
        StatusCode::PRECONDITION_FAILED => "multiple-matches",
        StatusCode::PAYLOAD_TOO_LARGE => "too-long",
        StatusCode::TOO_MANY_REQUESTS => "throttled",
        StatusCode::SERVICE_UNAVAILABLE => "transient",
        status if status.is_server_error() => "exception",
        _ => "processing",
    };
    let issue = |details: String, expression: Option<String>| Issue {
        severity: "error",
        code: code.to_string(),
        details,
        expression,
    };
    let issues: Vec<Issue> = match problem.errors.is_empty() {
        true => vec![issue(problem.detail, None)],
        false => problem
            .errors
            .into_iter()
            .map(|FieldError { pointer, detail }| {
                // What is no FHIRPath, such as a JSON pointer or a parameter, is said in words.
                match pointer.starts_with("Bundle") {
                    true => issue(detail, Some(pointer)),
                    false => issue(format!("{pointer}: {detail}"), None),
                }
            })
            .collect(),
    };
    operation_outcome(Some(request_id), &issues)
}

fn bad_bundle(errors: &[FhirError]) -> Problem {
    let wrong = errors.iter().take(MOST_ISSUES).map(|error| {
        let issue = Issue::from(error);
        FieldError {
            pointer: issue.expression.unwrap_or_else(|| "Bundle".to_string()),
            detail: issue.details,
        }
    });
    let first = errors.first().map(ToString::to_string).unwrap_or_default();
    let structure = errors.iter().any(|error| error.entry.is_none() && error.code == "structure");
    // What refers to somebody who is refused so is refused with it.
    let any = |code: &str| errors.iter().any(|error| error.code == code);
    let problem = match () {
        () if structure => Problem::bad_request(first),
        () if any("multiple-matches") => Problem::new(StatusCode::PRECONDITION_FAILED, first),
        () if any("conflict") => Problem::new(StatusCode::CONFLICT, first),
        () => Problem::unprocessable(first),
    };
    Problem { errors: wrong.collect(), ..problem }
}

impl From<BundleError> for Problem {
    fn from(error: BundleError) -> Problem {
        match error {
            BundleError::Refused(errors) => bad_bundle(&errors),
            BundleError::Unfit { entry, ref error, .. } => {
                let detail = format!("{} {}", error.pointer, error.detail);
                let pointer =
                    entry.map_or("Bundle".to_owned(), |entry| format!("Bundle.entry[{entry}].resource"));
                Problem {
                    errors: vec![FieldError { pointer, detail }],
                    ..Problem::unprocessable("does not fit")
                }
            }
            BundleError::Store(error) => error.into(),
            BundleError::Source(error) => error.into(),
            BundleError::DeadlinePassed => deadline::passed(),
        }
    }
}

/// Take an electronic record in: a FHIR R4 Bundle
///
/// A transaction is taken in whole or not at all, of a batch each entry by itself. People, items and
/// interactions follow from it; ids stay as they are sent, so that sending it again changes nothing. What
/// was not read, and why, is in the outcome of each entry. R4 (4.0.1) alone is read.
#[utoipa::path(
    post,
    path = "/fhir/R4",
    operation_id = "post_fhir_bundle",
    tag = "electronic records",
    request_body(
        content(
            (Object = "application/fhir+json", example = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
                {"resource": {"resourceType": "Patient", "id": "u9", "gender": "female", "birthDate": "1954-03-01"},
                 "request": {"method": "PUT", "url": "Patient/u9"}},
                {"resource": {"resourceType": "AllergyIntolerance", "id": "a9", "patient": {"reference": "Patient/u9"},
                    "code": {"coding": [{"system": "http://snomed.info/sct", "code": "91936005",
                        "display": "Allergy to penicillin"}]}},
                 "request": {"method": "PUT", "url": "AllergyIntolerance/a9"}}]})),
        ),
    ),
    responses(
        (status = 200, description = "A Bundle of type transaction-response or batch-response",
            content((Object = "application/fhir+json"))),
        (status = 409, description = "A person has the id of another, who came from another server or with other identifiers"),
        (status = 412, description = "Several people have the identifier of a conditional create, or one of another year of birth or sex"),
    ),
)]
pub async fn post(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
    Extension(Deadline(until)): Extension<Deadline>,
    headers: HeaderMap,
    extract::Json(body): extract::Json,
) -> Result<Response, Problem> {
    right_release(&headers)?;
    let people = state.people()?;
    let read = move || -> Result<Bundle, Problem> {
        let text = json::sound_text(&body)?;
        Bundle::read_sent(text).map_err(|error| bad_bundle(&[error]))
    };
    // A Bundle of megabytes takes long enough to be in the way of others.
    let bundle = tokio::task::spawn_blocking(read).await.map_err(|_| Problem::internal())??;
    if bundle.kind == BundleKind::Collection {
        let detail = "a Bundle of type batch or transaction is accepted here; records of other types are imported by \"medserve import fhir\"";
        return Err(Problem::unprocessable(detail));
    }
    let kind = bundle.kind;
    let (store, now) = (people.store.as_ref(), now());
    let foreseen = foresee(store, &bundle, now, Some(until)).await?;
    let spoken_of = foreseen.people();
    let taken = take_in(store, &bundle, now, Wait::No, Some(foreseen)).await;
    if taken.is_err() {
        // Whoever asks about somebody by what is refused has asked.
        concerned.add(spoken_of);
    }
    let Some((settled, _)) = taken? else { return Err(Problem::internal()) };
    let users: std::collections::BTreeSet<String> = settled
        .people
        .iter()
        .map(|person| person.user_id.clone())
        .chain(settled.interactions.iter().map(|interaction| interaction.user_id.clone()))
        .chain(settled.taken_back.iter().cloned())
        .collect();
    concerned.add(users.iter().cloned());
    let items: Vec<String> = settled.items.iter().map(|item| item.item_id.clone()).collect();
    people.written(&users.into_iter().collect::<Vec<_>>(), &items).await;
    let taken = settled.outcomes.iter().filter(|outcome| outcome.used && outcome.error.is_none()).count();
    let answered = Answered {
        answers: vec![Some(format!("{taken} of {} entries taken in", settled.outcomes.len()))],
        ..Answered::default()
    };
    Ok((Extension(answered), resource(&response(kind, &settled.outcomes))).into_response())
}

/// 415 where the content type names another release.
fn right_release(headers: &HeaderMap) -> Result<(), Problem> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let version = parameters.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("fhirVersion"));
    match version.map(|(_, value)| value.trim().trim_matches('"')) {
        None => Ok(()),
        Some(version) if is_r4(version) => Ok(()),
        Some(version) => {
            let detail =
                format!("the content type says FHIR {}; 4.0 (R4) is accepted", extract::cut(version));
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
        }
    }
}

/// What can be done in FHIR: the CapabilityStatement
///
/// Which resources are read, and what becomes of each.
#[utoipa::path(
    get,
    path = "/fhir/R4/metadata",
    operation_id = "get_fhir_metadata",
    tag = "electronic records",
    responses((status = 200, description = "A CapabilityStatement", content((Object = "application/fhir+json")))),
)]
pub async fn metadata() -> Response {
    resource(&capability::statement(env!("CARGO_PKG_VERSION"), None, &rfc3339(now())))
}
