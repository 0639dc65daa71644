//! Interactions: what happened between people and things.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Extension, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Id, Parameters};
use super::middleware::audit::Concerned;
use super::people::{Written, refuse};
use super::recommendations::parse_kind;
use super::{AppState, Problem};
use crate::store::{InteractionFilter, InteractionKey, InteractionQuery};
use recommend::clock::{TIME_FORMS, now, parse_time};
use recommend::{Interaction, Kind, Millis};

/// Most interactions of one request.
const MAX_INTERACTIONS: usize = 10_000;
/// Interactions on a page.
const PAGE: u32 = 100;
/// Most interactions on a page.
const MAX_PAGE: u32 = 1000;

/// Add interactions, all or none
///
/// The same user, item, event and time is the same interaction: sent again it changes nothing,
/// with another weight it replaces the former. The next recommendation knows of it.
#[utoipa::path(
    post,
    path = "/v1/interactions",
    operation_id = "put_interactions",
    tag = "people and things",
    request_body(
        content = Vec<Interaction>,
        example = json!([{"user_id": "u1", "item_id": "metformin", "event": "prescription",
            "time": "2026-03-01T09:30:00Z"}]),
    ),
    responses((status = 200, body = Written))
)]
pub async fn post(
    State(state): State<AppState>,
    Extension(concerned): Extension<Concerned>,
    Body(interactions): Body<Vec<Interaction>>,
) -> Result<Json<Written>, Problem> {
    if interactions.len() > MAX_INTERACTIONS {
        let detail = format!(
            "{} interactions were sent; at most {MAX_INTERACTIONS} are accepted at once",
            interactions.len()
        );
        return Err(Problem::new(http::StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let now = now();
    let check = |(index, one): (usize, &Interaction)| one.validate(&format!("/{index}"), now);
    refuse(interactions.iter().enumerate().flat_map(check))?;
    let users: BTreeSet<String> =
        interactions.iter().map(|interaction| interaction.user_id.clone()).collect();
    concerned.add(users.iter().cloned());
    let people = state.people()?;
    let written = people.store.put_interactions(&interactions).await?;
    people.written(&users.into_iter().collect::<Vec<_>>(), &[]).await;
    Ok(Json(written.into()))
}

/// Which interactions to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParameters {
    /// Kind of the items; default: all.
    #[param(value_type = Option<Kind>, inline)]
    pub kind: Option<String>,
    /// Interactions on the page; default: 100.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Time of the last interaction of the page before; with `after_item` and `after_event`.
    pub after_time: Option<String>,
    /// Its item.
    pub after_item: Option<String>,
    /// Its event.
    pub after_event: Option<String>,
}

/// A page of interactions.
#[derive(Debug, Serialize, ToSchema)]
pub struct InteractionList {
    /// The latest first.
    pub interactions: Vec<Interaction>,
    /// True where there are more: ask with the last one's time, item and event.
    pub more: bool,
}

/// A person's interactions, the latest first
///
/// A page at a time: `more` says whether there is another.
#[utoipa::path(
    get,
    path = "/v1/users/{user_id}/interactions",
    operation_id = "list_interactions",
    tag = "people and things",
    params(("user_id" = String, Path, description = "Identifier", example = "u1"), ListParameters),
    responses((status = 200, body = InteractionList))
)]
pub async fn list(
    State(state): State<AppState>,
    Id(user_id): Id,
    Parameters(parameters): Parameters<ListParameters>,
) -> Result<Json<InteractionList>, Problem> {
    let limit = parameters.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_parameter("limit", format!("must be from 1 to {MAX_PAGE}")));
    }
    let kind = parameters.kind.as_deref().map(parse_kind).transpose()?;
    let after = match (parameters.after_time, parameters.after_item, parameters.after_event) {
        (None, None, None) => None,
        (Some(time), Some(item_id), Some(event)) => {
            Some(InteractionKey { time: time_parameter("after_time", &time)?, item_id, event })
        }
        _ => {
            return Err(Problem::bad_parameter(
                "after_time",
                "goes together with after_item and after_event",
            ));
        }
    };
    // One more than the page tells whether there is another.
    let query = InteractionQuery { kind, after, limit: limit + 1 };
    let mut interactions = state.people()?.store.list_interactions(&user_id, &query).await?;
    let more = interactions.len() > limit as usize;
    interactions.truncate(limit as usize);
    Ok(Json(InteractionList { interactions, more }))
}

/// Which interactions to delete: those that fit every parameter given, all without any.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteParameters {
    /// With this item.
    pub item_id: Option<String>,
    /// Of this event.
    pub event: Option<String>,
    /// At this time.
    pub time: Option<String>,
}

/// How many interactions were deleted.
#[derive(Debug, Serialize, ToSchema)]
pub struct Deleted {
    /// Their number.
    pub deleted: u64,
}

/// Delete a person's interactions
///
/// Those that fit every parameter given; all of them where none is given.
#[utoipa::path(
    delete,
    path = "/v1/users/{user_id}/interactions",
    operation_id = "delete_interactions",
    tag = "people and things",
    params(("user_id" = String, Path, description = "Identifier", example = "u1"), DeleteParameters),
    responses((status = 200, body = Deleted))
)]
pub async fn delete(
    State(state): State<AppState>,
    Id(user_id): Id,
    Parameters(parameters): Parameters<DeleteParameters>,
) -> Result<Json<Deleted>, Problem> {
    let time = parameters.time.as_deref().map(|time| time_parameter("time", time)).transpose()?;
    let filter = InteractionFilter { item_id: parameters.item_id, event: parameters.event, time };
    let people = state.people()?;
    let deleted = people.store.delete_interactions(&user_id, &filter).await?;
    people.written(&[user_id], &[]).await;
    Ok(Json(Deleted { deleted }))
}

fn time_parameter(name: &str, text: &str) -> Result<Millis, Problem> {
    parse_time(text).ok_or_else(|| Problem::bad_parameter(name, format!("must be a time: {TIME_FORMS}")))
}
