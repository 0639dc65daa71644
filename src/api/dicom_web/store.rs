//! `POST /dicom-web/studies`: STOW-RS (PS3.18 section 10.5). An image that is stored is answered before the response
//! goes out; what was made of it is then under `GET /dicom-web/studies/...`, and on its way to the peer.

use std::time::Instant;

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
use crate::config::Models;
use crate::dicom_net::answers::{self, AnswerError, Answered};
use crate::dicom_net::arrival;
use crate::inference::{Registry, head};
use crate::store::dicom::{Arrival, Arrived, Kept, Turn};
use crate::store::{Store, StoreError};
use axum::extract::FromRequest;
use recommend::clock;

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
/// image is not kept. An image that is stored again has the same results; one that has changed under its UID has others in
/// their place, and none where it cannot be answered. A result of this server's that comes back is taken and let go.
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

/// An instance of a request.
struct Came {
    place: usize,
    source: Result<Source, AnswerError>,
    file: Bytes,
}

impl Came {
    /// Its SOP Instance UID, where it says that.
    fn instance(&self) -> Option<&str> {
        match &self.source {
            Ok(source) => Some(&source.sop_instance),
            Err(AnswerError::Source(error)) => error.instance.as_deref(),
            Err(_) => None,
        }
    }

    /// With what came of it.
    fn with(self, answered: Result<Answered, AnswerError>) -> (usize, Outcome) {
        let (source, answered) = match self.source {
            Ok(source) => (Some(source), answered),
            Err(error) => (None, Err(error)),
        };
        (self.place, Outcome { source, answered })
    }
}

/// The instances of a request by what they are, in its order: those that have one UID are one image as it was and as it is.
async fn by_instance(files: Vec<Bytes>) -> Vec<Vec<Came>> {
    let failed = || AnswerError::Failed("its head could not be read".to_string());
    let mut all: Vec<Vec<Came>> = Vec::new();
    for (place, file) in files.into_iter().enumerate() {
        let source = head::read(&file, answers::source).await.unwrap_or_else(|| Err(failed()));
        let came = Came { place, source, file };
        let instance = came.instance();
        let is_same =
            |one: &&mut Vec<Came>| instance.is_some() && one.iter().any(|own| own.instance() == instance);
        match all.iter_mut().find(is_same) {
            Some(one) => one.push(came),
            None => all.push(vec![came]),
        }
    }
    all
}

/// An image that waits for its answer, by the row of this number.
struct Waiting {
    place: usize,
    source: Source,
    file: Bytes,
    number: i64,
}

/// By what a request is answered.
struct Answering<'a> {
    state: &'a AppState,
    registry: &'a Registry,
    store: &'a dyn Store,
    models: &'a Models,
    study: Option<&'a str>,
    concerned: &'a Concerned,
    deadline: Instant,
}

impl Answering<'_> {
    /// Takes all instances before any is answered: what came of those that are not, and those that are.
    async fn take(&self, files: Vec<Bytes>) -> Result<(Vec<(usize, Outcome)>, Vec<Waiting>), StoreError> {
        /// Time beyond the request's own for which an image waits.
        const MARGIN: i64 = 60_000;

        let (mut outcomes, mut arriving, mut arrivals) = (Vec::new(), Vec::new(), Vec::new());
        for mut same in by_instance(files).await {
            let Some(last) = same.pop() else { continue };
            // What it was before in the same request is let go.
            outcomes.extend(same.into_iter().map(|before| before.with(Ok(Answered::default()))));
            let judged = match &last.source {
                Ok(source) => self.judged(source).await?,
                Err(_) => last
                    .instance()
                    .map_or(Judged::Ends(Ok(())), |own| Judged::Arrives(arrival::unread(own), Ok(()))),
            };
            match judged {
                Judged::Ends(end) => outcomes.push(last.with(end.map(|()| Answered::default()))),
                Judged::Arrives(arrival, end) => {
                    arrivals.push(arrival);
                    arriving.push((last, end));
                }
            }
        }
        let images: Vec<(&str, &str)> =
            arrivals.iter().map(|own| (own.sop_instance.as_str(), own.image.as_str())).collect();
        self.concerned.add(self.store.replaced_dicom(&images).await?);
        let now = clock::now();
        let limit = i64::try_from(self.state.config.request_timeout.as_millis()).unwrap_or(i64::MAX);
        let until = now.saturating_add(limit).saturating_add(MARGIN);
        let arrived = self.store.arrive_dicom(&arrivals, self.models.named(), (now, until)).await?;
        let mut waiting = Vec::new();
        for ((came, end), arrived) in arriving.into_iter().zip(arrived) {
            match (came, arrived) {
                (Came { place, source: Ok(source), file }, Arrived::Waits(number)) => {
                    waiting.push(Waiting { place, source, file, number });
                }
                (came, Arrived::NotAllowed) => outcomes.push(came.with(Err(AnswerError::NotAllowed))),
                (came, _) => outcomes.push(came.with(end.map(|()| Answered::default()))),
            }
        }
        Ok((outcomes, waiting))
    }

    /// What is to become of an instance that says whose it is.
    async fn judged(&self, source: &Source) -> Result<Judged, StoreError> {
        if arrival::is_ours(self.store, source).await? {
            return Ok(Judged::Ends(Ok(())));
        }
        let mut read = arrival::is_read(self.registry, &self.state.config, self.models, source);
        if self.study.is_some_and(|study| study != source.study) {
            let error = AnswerError::Image("it is of another study than the path names".to_string());
            read = read.and(Err(error));
        } else {
            self.concerned.add(Some(source.patient_id.clone()).filter(|id| !id.is_empty()));
        }
        Ok(match read {
            Err(AnswerError::NotAllowed) => Judged::Ends(read),
            read => Judged::Arrives(arrival::arrival(source, read.is_ok()), read),
        })
    }

    async fn answer(&self, image: Waiting) -> Result<(usize, Outcome), StoreError> {
        let Waiting { place, source, file, number } = image;
        let answered = self.answered(&source, file, number).await?;
        if answered.is_err() {
            self.store.leave_dicom(number).await?;
        }
        Ok((place, Outcome { source: Some(source), answered }))
    }

    async fn answered(
        &self,
        source: &Source,
        file: Bytes,
        number: i64,
    ) -> Result<Result<Answered, AnswerError>, StoreError> {
        /// How often it is begun anew where what was known of it is gone when it is to be sent again.
        const TRIES: usize = 3;

        let config = &self.state.config;
        for _ in 0..TRIES {
            let image = (source, file.clone());
            let answered =
                answers::answer(self.registry, config, self.store, self.models, image, self.deadline).await;
            let answered = match answered {
                Ok(answered) => answered,
                Err(error) => return Ok(Err(error)),
            };
            match answers::keep(config, self.store, Turn::Arrived(number), &answered).await? {
                Kept::Yes => return Ok(Ok(answered)),
                Kept::Gone => return Ok(Err(AnswerError::Superseded)),
                Kept::Again => {}
            }
        }
        Ok(Err(AnswerError::Busy("what was made of it before goes again and again".to_string())))
    }
}

/// What is to become of an instance that has come.
enum Judged {
    /// It ends here, and nothing goes by its coming.
    Ends(Result<(), AnswerError>),
    /// It takes the place of what it was, and is answered or not.
    Arrives(Arrival, Result<(), AnswerError>),
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
    let answering = Answering {
        state: &state,
        registry: &registry,
        store: people.store.as_ref(),
        models: &caller.models,
        study: study.as_deref(),
        concerned: &concerned,
        deadline,
    };
    let (mut outcomes, waiting) = answering.take(files).await?;
    let made = stream::iter(waiting.into_iter().map(|image| answering.answer(image)));
    let mut made = made.buffer_unordered(state.config.engines);
    while let Some(one) = made.next().await {
        outcomes.push(one?);
    }
    drop(made);
    outcomes.sort_by_key(|(place, _)| *place);
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    let not_allowed = |outcome: &Outcome| matches!(outcome.answered, Err(AnswerError::NotAllowed));
    if outcomes.iter().all(not_allowed) {
        return Err(caller.forbidden("a model that reads these images"));
    }
    if let Some(busy) = all_pass(&outcomes) {
        return Err(Problem::unavailable(busy));
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
    let (model, version) = answers::names(&labels);
    let audited = Audited {
        model,
        version,
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
