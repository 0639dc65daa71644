//! `/v1/items`: the things that can be recommended.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::etag::{Conditions, Representation};
use super::extract::{Body, Id, Parameters};
use super::people::refuse;
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
    /// Kind of the items; default: all.
    #[param(inline, value_type = Option<Kind>, example = "drug")]
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

/// What a write of an item did.
#[derive(Debug, Serialize, ToSchema)]
pub struct ItemWritten {
    /// 1 if it was not there before.
    pub created: u64,
    /// 1 if it was there and differed.
    pub updated: u64,
    /// 1 if it was there, the same.
    pub unchanged: u64,
    /// Words of the item that are not understood, each with its place. A rule in such words rules the item
    /// out wherever it may be meant; left out where all are understood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["/contraindications/allergies/0: \"penicilin\" is not understood; did you mean \"penicillin\"?"]))]
    pub flags: Vec<String>,
}

/// Add an item, or replace one
///
/// Send the `ETag` of what you read in `If-Match`, so that a change that somebody else made meanwhile is
/// not lost, or `If-None-Match: *` to add an item and replace none.
#[utoipa::path(
    put,
    path = "/v1/items/{item_id}",
    operation_id = "put_item",
    tag = "people and things",
    params(
        ("item_id" = String, Path, description = "Identifier; not `.` or `..`, which clients take out of an address",
            example = "metformin"),
        ("If-Match" = Option<String>, Header, description = "Only if the item has this ETag, or exists at all (*)"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is no such item yet"),
    ),
    request_body(
        content = Item,
        example = json!({"kind": "drug", "name": "Metformin", "repeatable": true,
            "contraindications": {"conditions": ["kidney failure"], "therapeutic_class": "biguanide"}}),
    ),
    responses(
        (status = 200, body = ItemWritten),
        (status = 412, description = "Somebody has changed the item since it was read, or it exists already"),
    )
)]
pub async fn put(
    State(state): State<AppState>,
    Id(item_id): Id,
    conditions: Conditions,
    Body(sent): Body<Item>,
) -> Result<Json<ItemWritten>, Problem> {
    if !sent.item_id.is_empty() && sent.item_id != item_id {
        return Err(Problem::unprocessable("item_id is not the identifier in the path"));
    }
    let item = Item { item_id, ..sent };
    refuse(item.validate(""))?;
    let people = state.people()?;
    let written = match conditions.any() {
        true => people.store.replace_item(&item.item_id, Some(&item), &|now| conditions.allow(now)).await?,
        false => people.store.put_items(std::slice::from_ref(&item)).await?,
    };
    people.written(&[], std::slice::from_ref(&item.item_id)).await;
    let flags = tokio::task::spawn_blocking(move || people.recommender.item_flags(&item));
    let flags = flags.await.map_err(|_| Problem::internal())?;
    let crate::store::Written { created, updated, unchanged } = written;
    Ok(Json(ItemWritten { created, updated, unchanged, flags }))
}

/// One item
///
/// The header `ETag` names this state of it, for `If-Match` of a change and `If-None-Match` of a next read.
#[utoipa::path(
    get,
    path = "/v1/items/{item_id}",
    operation_id = "get_item",
    tag = "people and things",
    params(
        ("item_id" = String, Path, description = "Identifier", example = "metformin"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of what you have"),
    ),
    responses(
        (status = 200, body = Item, headers(("etag" = String, description = "Names this state"))),
        (status = 304, description = "You have it already"),
    )
)]
pub async fn get(
    State(state): State<AppState>,
    Id(item_id): Id,
    conditions: Conditions,
) -> Result<Response, Problem> {
    let item = state.people()?.store.get_item(&item_id).await?;
    Ok(Representation::new(&item)?.answer(&conditions))
}

/// Delete an item and its interactions
///
/// What people did with it no longer counts for anybody.
#[utoipa::path(
    delete,
    path = "/v1/items/{item_id}",
    operation_id = "delete_item",
    tag = "people and things",
    params(
        ("item_id" = String, Path, description = "Identifier", example = "metformin"),
        ("If-Match" = Option<String>, Header, description = "Only if the item has this ETag"),
    ),
    responses(
        (status = 204, description = "Deleted"),
        (status = 412, description = "Somebody has changed the item since it was read"),
    )
)]
pub async fn delete(
    State(state): State<AppState>,
    Id(item_id): Id,
    conditions: Conditions,
) -> Result<StatusCode, Problem> {
    let people = state.people()?;
    match conditions.any() {
        true => {
            people.store.replace_item(&item_id, None, &|now| conditions.allow(now)).await?;
        }
        false => people.store.delete_item(&item_id).await?,
    }
    people.written(&[], &[item_id]).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Items, a page at a time
///
/// In the order of their ids, hidden ones too.
#[utoipa::path(
    get,
    path = "/v1/items",
    operation_id = "list_items",
    tag = "people and things",
    params(ItemParameters),
    responses((status = 200, body = ItemList))
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
    // One more than is shown says whether there is a next page.
    let query = ItemQuery { kind, after: parameters.after, limit: limit + 1 };
    let mut items = state.people()?.store.list_items(&query).await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|item| item.item_id.clone());
    Ok(Json(ItemList { items, next }))
}
