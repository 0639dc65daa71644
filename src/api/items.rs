//! `/v1/items`: the things that can be recommended.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ProblemDocument;
use super::extract::{Body, Id, Parameters};
use super::people::{Written, refuse};
use super::recommendations::parse_kind;
use super::{AppState, Problem};
use crate::store::ItemQuery;
use recommend::{Item, Kind};

/// Items on a page.
const PAGE: u32 = 100;
/// Most items on a page.
const MAX_PAGE: u32 = 1000;

/// Which items to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ItemParameters {
    /// hospital, doctor, pharmacy, drug or advice; default: all.
    #[param(example = "drug", value_type = Option<Kind>, inline)]
    pub kind: Option<String>,
    /// Last item id of the page before.
    pub after: Option<String>,
    /// Items on the page; default: 100.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

/// A page of items.
#[derive(Debug, Serialize, ToSchema)]
pub struct ItemList {
    /// In the order of their ids.
    pub items: Vec<Item>,
    /// `after` of the next page; null on the last.
    pub next: Option<String>,
}

/// Add an item, or replace one
#[utoipa::path(
    put,
    path = "/v1/items/{item_id}",
    tag = "people and things",
    params(("item_id" = String, Path, description = "Identifier", example = "drug:metformin")),
    request_body = Item,
    responses(
        (status = 200, body = Written),
        (status = 400, description = "No JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "Another content type", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "Members that do not fit", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is not available", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn put(
    State(state): State<AppState>,
    Id(item_id): Id,
    Body(sent): Body<Item>,
) -> Result<Json<Written>, Problem> {
    if !sent.item_id.is_empty() && sent.item_id != item_id {
        return Err(Problem::unprocessable("item_id is not the identifier in the path"));
    }
    let item = Item { item_id, ..sent };
    refuse(item.validate(""))?;
    let people = state.people()?;
    let written = people.store.put_items(std::slice::from_ref(&item)).await?;
    people.written(&[], &[item.item_id]).await;
    Ok(Json(written.into()))
}

/// One item
#[utoipa::path(
    get,
    path = "/v1/items/{item_id}",
    tag = "people and things",
    params(("item_id" = String, Path, description = "Identifier", example = "drug:metformin")),
    responses(
        (status = 200, body = Item),
        (status = 404, description = "No such item", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is not available", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn get(State(state): State<AppState>, Id(item_id): Id) -> Result<Json<Item>, Problem> {
    Ok(Json(state.people()?.store.get_item(&item_id).await?))
}

/// Delete an item and its interactions
#[utoipa::path(
    delete,
    path = "/v1/items/{item_id}",
    tag = "people and things",
    params(("item_id" = String, Path, description = "Identifier", example = "drug:metformin")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "No such item", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is not available", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn delete(State(state): State<AppState>, Id(item_id): Id) -> Result<StatusCode, Problem> {
    let people = state.people()?;
    people.store.delete_item(&item_id).await?;
    people.written(&[], &[item_id]).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Items, a page at a time
#[utoipa::path(
    get,
    path = "/v1/items",
    tag = "people and things",
    params(ItemParameters),
    responses(
        (status = 200, body = ItemList),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is not available", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(state): State<AppState>,
    Parameters(parameters): Parameters<ItemParameters>,
) -> Result<Json<ItemList>, Problem> {
    let limit = parameters.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_parameter("limit", format!("must be from 1 to {MAX_PAGE}")));
    }
    let kind = parameters.kind.as_deref().map(parse_kind).transpose()?;
    // One more than the page tells whether there is another.
    let query = ItemQuery { kind, after: parameters.after, limit: limit + 1 };
    let mut items = state.people()?.store.list_items(&query).await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|item| item.item_id.clone());
    Ok(Json(ItemList { items, next }))
}
