//! CDS Hooks 2.0: advice within an electronic record, at the moment of a decision.
//!
//! `GET /cds-services` says which services there are; a record system calls one with what it knows and
//! gets cards. The orders are checked by the code that recommendations go by. What a person did with a card
//! comes back as feedback and stands in the audit beside the card; where that is configured it becomes an interaction,
//! too. A client's `fhirServer` is never called.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use clinical::cds::cards::{self, Card, Offer, Suits};
use clinical::cds::feedback::{CardOutcome, Feedback};
use clinical::cds::request::{CdsError, HookRequest};
use clinical::cds::services::{Service, discovery};
use http::StatusCode;
use rand::RngExt;
use serde_json::{Value, json};

use super::audit::Answered;
use super::error::FieldError;
use super::extract::{Body, Id};
use super::middleware::audit::Concerned;
use super::people::refuse;
use super::{AppState, People, Problem, extract, json as strict_json};
use crate::store::audit::evidence::{CardEvidence, Evidence};
use crate::store::fhir::asked;
use crate::store::{CdsOffer, StoreError};
use recommend::clock::now;
use recommend::{Because, Interaction, Kind, Millis, Ordered, Profile, RecommendError, Request, Support};

/// Bytes of a request, and drugs looked at for its orders, up to which a check is no work for another thread.
const SMALL_BYTES: usize = 64 << 10;
const SMALL_CHECK: usize = 2000;

/// How many things of a kind the card of a person names.
const SUITS: usize = 3;

/// How many are looked at for those.
const LOOKED_AT: usize = 20;

/// Most cards of one call of feedback whose people are looked up.
const NAMED: usize = 100;

/// The services that there are
///
/// Each with its hook and with what it asks to be sent along.
#[utoipa::path(
    get,
    path = "/cds-services",
    operation_id = "list_cds_services",
    tag = "electronic records",
    responses((status = 200, description = "The services of CDS Hooks 2.0", body = Object)),
)]
pub async fn discover() -> Json<Value> {
    Json(discovery())
}

/// Ask a service for its cards
///
/// `medserve-order-select` and `medserve-order-sign` check draft orders of drugs (MedicationRequest) against
/// the person's allergies, conditions and medications and against each other; `medserve-patient-view` says
/// what suits the person, whose prefetched record counts as well as what is stored. There are few cards: at
/// most one is critical, and there is none where nothing is to be said. What is needed is prefetched, or
/// stored here.
#[utoipa::path(
    post,
    path = "/cds-services/{id}",
    operation_id = "call_cds_service",
    tag = "electronic records",
    params(("id" = String, Path, description = "Id of the service", example = "medserve-order-sign")),
    request_body(
        content = Object,
        example = json!({"hook": "order-sign", "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
            "context": {"userId": "Practitioner/7", "patientId": "u1", "draftOrders": {"resourceType": "Bundle",
                "type": "collection", "entry": [{"resource": {"resourceType": "MedicationRequest", "id": "m1",
                    "status": "draft", "intent": "order", "subject": {"reference": "Patient/u1"},
                    "medicationCodeableConcept": {"text": "Warfarin"}}}]}},
            "prefetch": {"allergies": {"resourceType": "Bundle", "type": "searchset"},
                "conditions": {"resourceType": "Bundle", "type": "searchset"},
                "medications": {"resourceType": "Bundle", "type": "searchset"}}}),
    ),
    responses(
        (status = 200, description = "Cards, or none: {\"cards\": []}", body = Object),
        (status = 412, description = "What is needed was not prefetched, and the person is not stored here"),
    ),
)]
pub async fn call(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
    Id(id): Id,
    extract::Json(body): extract::Json,
) -> Result<Response, Problem> {
    let service = find(&id)?;
    let text = strict_json::sound_text(&body)?;
    let request = HookRequest::read(service, text).map_err(wrong)?;
    concerned.add([request.patient_id.clone()]);
    let people = state.people()?;
    let now = now();
    let known = known(&people, request, now).await?;
    // Feedback about somebody else who has this id here is none about the person who is stored.
    let keeps = state.config.cds.is_on() && !known.is_another;
    let patient = keeps.then(|| known.request.patient_id.clone());
    let cards = match service {
        Service::PatientView => patient_view(people.clone(), known, now).await?,
        Service::OrderSelect | Service::OrderSign => orders(people.clone(), known, now).await?,
    };
    if let Some(patient) = patient {
        keep(&people, &patient, &cards).await;
    }
    let rested_on = |card: &Card| CardEvidence {
        card: card.uuid.clone(),
        indicator: card.indicator,
        orders: card.orders,
        rules: card.rules.clone(),
        suggestions: card.json["suggestions"].as_array().map_or(0, Vec::len),
    };
    let answered = Answered {
        answers: cards.iter().map(|card| Some(format!("{} {}", card.indicator, card.uuid))).collect(),
        evidence: Evidence::of_cards(cards.iter().map(rested_on).collect()),
        ..Answered::default()
    };
    let cards: Vec<Value> = cards.into_iter().map(|card| card.json).collect();
    Ok((Extension(answered), Json(json!({"cards": cards}))).into_response())
}

/// Keeps what cards suggested, so that feedback to them can be understood. The cards go out also where that fails.
async fn keep(people: &People, patient: &str, cards: &[Card]) {
    let offered = now();
    let offer = |card: &Card, offer: &Offer| CdsOffer {
        card: card.uuid.clone(),
        suggestion: offer.suggestion.clone(),
        patient: patient.to_string(),
        item_id: offer.item_id.clone(),
        offered,
    };
    let offers: Vec<CdsOffer> =
        cards.iter().flat_map(|card| card.offers.iter().map(move |own| offer(card, own))).collect();
    if offers.is_empty() {
        return;
    }
    if let Err(error) = people.store.keep_offers(&offers).await {
        tracing::warn!(%error, "what cards suggested was not kept: feedback to them goes to the audit alone");
    }
}

fn wrong(error: CdsError) -> Problem {
    match error.pointer.is_empty() {
        true => Problem::bad_request(error.detail),
        false => Problem::bad_member(&error.pointer, error.detail),
    }
}

fn find(id: &str) -> Result<Service, Problem> {
    Service::of(id).ok_or_else(|| {
        let ids = Service::ALL.map(Service::id).join(", ");
        Problem::not_found(format!("there is no such service; the services are: {ids}"))
    })
}

fn uuid() -> String {
    let n: u128 = rand::rng().random();
    // Version 4, variant 1 (RFC 9562).
    let n = (n & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{n:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_string();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

/// A call with what is known of its person.
struct Known {
    request: HookRequest,
    profile: Profile,
    /// Whether the person is stored here.
    is_stored: bool,
    /// Whether somebody else is, under this id.
    is_another: bool,
}

/// Reads what is stored under the id of a call's person, where it is that person's, and puts over it what was sent along.
async fn known(people: &People, mut request: HookRequest, now: Millis) -> Result<Known, Problem> {
    let stored = people.recommender.profile(&request.patient_id).await.map_err(RecommendError::from)?;
    let store = &*people.store;
    let medications = asked::medications(store, request.prefetched()).await?;
    let said = match request.size <= SMALL_BYTES {
        true => request.said(now, &medications),
        false => {
            let say = move || (request.said(now, &medications), request);
            let said;
            (said, request) = tokio::task::spawn_blocking(say).await.map_err(|_| Problem::internal())?;
            said
        }
    };
    let said = said.map_err(wrong)?;
    let mut known = Known { profile: Profile::default(), is_stored: false, is_another: false, request };
    let HookRequest { patient_id, server, .. } = &known.request;
    let own = match stored {
        Some(stored) => {
            let own = asked::of_person(store, patient_id, server.as_ref(), said.as_ref(), stored).await?;
            known.is_another = own.is_none();
            own
        }
        None => None,
    };
    let again = asked::again(store, patient_id, own.as_ref(), said.as_ref()).await?;
    known.request.unread.extend(again.into_iter().map(|other| {
        format!(
            "what is known under {:?}, another record with an identifier of this person",
            format!("Patient/{other}")
        )
    }));
    known.is_stored = own.is_some();
    known.profile = known.request.profile(own, said);
    if known.is_another {
        known.request.unread.push(format!(
            "what is stored here under the id {:?}, which is of another person: by the FHIR server, the identifiers, or sex and birth date",
            known.request.patient_id
        ));
    }
    Ok(known)
}

async fn orders(people: Arc<People>, known: Known, now: Millis) -> Result<Vec<Card>, Problem> {
    let Known { request, profile, is_stored, is_another } = known;
    if !is_stored && !request.missing.is_empty() {
        return Err(unmet(&request.missing.join(", "), &request.not_whole, is_another));
    }
    let small =
        request.size <= SMALL_BYTES && people.recommender.check_size(request.orders.len()) <= SMALL_CHECK;
    let check = move || {
        let orders: Vec<Ordered> = request
            .orders
            .iter()
            .map(|order| Ordered { item: order.item.clone(), checked: order.checked })
            .collect();
        let checked = people.recommender.check_orders(&profile, &orders, now);
        cards::orders(&request.orders, &checked, &request.unread, &mut uuid)
    };
    // A usual check takes less than handing it to another thread and waiting for that.
    match small {
        true => Ok(check()),
        false => tokio::task::spawn_blocking(check).await.map_err(|_| Problem::internal()),
    }
}

/// What suits the person, by what is stored and what was sent along: an allergy that the record has counts
/// also where no import brought it here.
async fn patient_view(people: Arc<People>, known: Known, now: Millis) -> Result<Vec<Card>, Problem> {
    let Known { request, profile, is_stored, is_another } = known;
    if !is_stored && !request.missing.is_empty() {
        // For a stranger nothing is known to suit; who sent nothing of him either is told so.
        return if request.any_prefetch { Ok(Vec::new()) } else { Err(unmet("patient", &[], is_another)) };
    }
    // What others of this id did is nothing that this person did.
    let user_id = if is_another { uuid() } else { request.patient_id };
    // A list of which a part was sent may lack the allergy that matters.
    let kinds = if request.unread.is_empty() { &[Kind::Drug, Kind::Advice][..] } else { &[Kind::Advice] };
    let mut suits = Vec::new();
    for &kind in kinds {
        let mut ask = Request::new(user_id.clone(), kind, now);
        ask.limit = LOOKED_AT;
        ask.profile = Some(profile.clone());
        let found = people.recommender.recommend(&ask).await?.items.into_iter();
        // What needs a second thought is not for a card of three lines.
        suits.extend(found.filter(|item| item.cautions.is_empty()).take(SUITS).map(|item| Suits {
            kind: kind.as_str(),
            name: item.name,
            why: why(&item.because),
        }));
    }
    Ok(cards::suits(&suits, &mut uuid).into_iter().collect())
}

fn why(because: &Because) -> String {
    let people = match because.supporting_neighbors {
        Support::Few => "a few people have it".to_string(),
        Support::Count(count) => format!("{count} people have it"),
    };
    match because.context.is_empty() {
        true => people,
        false => format!("{people}; shared: {}", because.context.join(", ")),
    }
}

/// 412: what a service needs is neither sent along nor stored.
fn unmet(missing: &str, not_whole: &[String], is_another: bool) -> Problem {
    let stored = match is_another {
        false => "this person is not stored here",
        true => {
            "the person who is stored here under this id is, by the address of the FHIR server, the identifiers, or sex and birth date, \
             another"
        }
    };
    let mut detail =
        format!("the prefetch lacks {missing}, and {stored}; send what GET /cds-services asks for");
    if !not_whole.is_empty() {
        detail.push_str(&format!("; what does not count: {}", not_whole.join("; ")));
    }
    Problem::new(StatusCode::PRECONDITION_FAILED, detail)
}

/// Say what was done with cards
///
/// Suggestions that were taken, and cards that were overridden with the coded reason, stand in the audit;
/// a person's own words do not. Where that is configured, they become interactions, too.
#[utoipa::path(
    post,
    path = "/cds-services/{id}/feedback",
    operation_id = "post_cds_feedback",
    tag = "electronic records",
    params(("id" = String, Path, description = "Id of the service", example = "medserve-order-sign")),
    request_body(
        content = Object,
        example = json!({"feedback": [{"card": "4e0a3a1e-3283-4575-ab82-028d55fe2719", "outcome": "overridden",
            "overrideReason": {"reason": {"code": "benefit-outweighs-risk", "system": "urn:medserve:override-reason"}},
            "outcomeTimestamp": "2026-03-01T09:30:00Z"}]}),
    ),
    responses((status = 200, description = "It is in the audit", body = Object)),
)]
pub async fn feedback(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
    Id(id): Id,
    Body(feedback): Body<Feedback>,
) -> Result<Response, Problem> {
    find(&id)?;
    let problems = feedback.problems().into_iter();
    refuse(problems.map(|(pointer, detail)| FieldError { pointer, detail: detail.to_string() }))?;
    name(&state, &concerned, &feedback).await;
    if state.config.cds.is_on() {
        interact(&state, &concerned, &feedback).await?;
    }
    let answers = feedback.lines().into_iter().map(Some).collect();
    Ok((Extension(Answered { answers, ..Answered::default() }), Json(json!({}))).into_response())
}

/// Names in the audit the people whose cards these were, as the rows of the calls have them. Where the database is away the feedback
/// is taken all the same.
async fn name(state: &AppState, concerned: &Concerned, feedback: &Feedback) {
    let Ok(people) = state.people() else { return };
    let cards: BTreeSet<&str> = feedback.feedback.iter().map(|told| told.card.as_str()).collect();
    for card in cards.into_iter().take(NAMED) {
        match people.store.audit_card(card).await {
            Ok(row) => concerned.add_named(row.into_iter().flat_map(|row| row.row.people)),
            Err(error) => {
                tracing::warn!(%error, "feedback does not name in the audit whose card it is about");
                return;
            }
        }
    }
}

/// Writes what was done with cards as interactions: `accepted` with the item of each suggestion that was taken,
/// `overridden` with the drugs that were ordered in spite of a card. Their time is that of the card, so that feedback
/// that comes again changes nothing.
async fn interact(state: &AppState, concerned: &Concerned, feedback: &Feedback) -> Result<(), Problem> {
    let config = state.config.cds;
    let people = state.people()?;
    let mut users = BTreeSet::new();
    for told in &feedback.feedback {
        let (event, weight) = match told.outcome {
            CardOutcome::Accepted => ("accepted", config.accepted),
            CardOutcome::Overridden => ("overridden", config.overridden),
        };
        let Some(weight) = weight else { continue };
        let meant = |offer: &CdsOffer| match told.outcome {
            CardOutcome::Accepted => told.accepted_suggestions.iter().any(|own| own.id == offer.suggestion),
            CardOutcome::Overridden => offer.suggestion.is_empty(),
        };
        for offer in people.store.list_offers(&told.card).await?.into_iter().filter(meant) {
            let CdsOffer { patient, item_id, offered, .. } = offer;
            concerned.add([patient.clone()]);
            let interaction =
                Interaction { user_id: patient, item_id, event: event.to_string(), weight, time: offered };
            match people.store.put_interactions(std::slice::from_ref(&interaction)).await {
                Ok(_) => drop(users.insert(interaction.user_id)),
                // Erased since, or an order of a drug that is in no catalogue.
                Err(StoreError::UnknownUser { .. } | StoreError::UnknownItem { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    if !users.is_empty() {
        people.written(&users.into_iter().collect::<Vec<_>>(), &[]).await;
    }
    Ok(())
}
