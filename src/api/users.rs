//! `/v1/users/{user_id}`: the people.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::etag::{Conditions, Representation};
use super::extract::{self, Id};
use super::json::{off_thread, parse};
use super::people::{Written, refuse};
use super::{AppState, Problem};
use recommend::User;
use recommend::clock::now;

/// Add a person, or replace the profile of one
///
/// Send the `ETag` of what you read in `If-Match`, so that a change that somebody else made meanwhile is
/// not lost, or `If-None-Match: *` to add a person and replace nobody. The profile may also be sent alone,
/// as the whole body.
#[utoipa::path(
    put,
    path = "/v1/users/{user_id}",
    operation_id = "put_user",
    tag = "people and things",
    params(
        ("user_id" = String, Path, description = "Identifier; not `.` or `..`, which clients take out of an address",
            example = "u1"),
        ("If-Match" = Option<String>, Header, description = "Only if the person has this ETag, or exists at all (*)"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is no such person yet"),
    ),
    request_body(
        content = User,
        example = json!({"profile": {"birth_year": 1954, "sex": "female", "conditions": ["type 2 diabetes"],
            "allergies": ["penicillin"], "medications": []}}),
    ),
    responses(
        (status = 200, body = Written),
        (status = 412, description = "Somebody has changed the person since it was read, or it exists already"),
    )
)]
pub async fn put(
    State(state): State<AppState>,
    Id(user_id): Id,
    conditions: Conditions,
    extract::Json(body): extract::Json,
) -> Result<Json<Written>, Problem> {
    let sent = off_thread(body, read).await?;
    if !sent.user_id.is_empty() && sent.user_id != user_id {
        return Err(Problem::unprocessable("user_id is not the identifier in the path"));
    }
    let user = User { user_id, ..sent };
    refuse(user.validate("", now()))?;
    let people = state.people()?;
    let written = match conditions.any() {
        true => people.store.replace_user(&user.user_id, Some(&user), &|now| conditions.allow(now)).await?,
        false => people.store.put_users(std::slice::from_ref(&user)).await?,
    };
    people.written(&[user.user_id], &[]).await;
    Ok(Json(written.into()))
}

/// What is known of a person
///
/// The header `ETag` names this state of it, for `If-Match` of a change and `If-None-Match` of a next read.
#[utoipa::path(
    get,
    path = "/v1/users/{user_id}",
    operation_id = "get_user",
    tag = "people and things",
    params(
        ("user_id" = String, Path, description = "Identifier", example = "u1"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of what you have"),
    ),
    responses(
        (status = 200, body = User, headers(("etag" = String, description = "Names this state"))),
        (status = 304, description = "You have it already"),
    )
)]
pub async fn get(
    State(state): State<AppState>,
    Id(user_id): Id,
    conditions: Conditions,
) -> Result<Response, Problem> {
    let user = state.people()?.store.get_user(&user_id).await?;
    Ok(Representation::new(&user)?.answer(&conditions))
}

/// Erase a person and everything about it
///
/// Interactions and all that was derived from them go too, at once and for good.
#[utoipa::path(
    delete,
    path = "/v1/users/{user_id}",
    operation_id = "delete_user",
    tag = "people and things",
    params(
        ("user_id" = String, Path, description = "Identifier", example = "u1"),
        ("If-Match" = Option<String>, Header, description = "Only if the person has this ETag"),
    ),
    responses(
        (status = 204, description = "Erased"),
        (status = 412, description = "Somebody has changed the person since it was read"),
    )
)]
pub async fn delete(
    State(state): State<AppState>,
    Id(user_id): Id,
    conditions: Conditions,
) -> Result<StatusCode, Problem> {
    let people = state.people()?;
    match conditions.any() {
        true => {
            people.store.replace_user(&user_id, None, &|now| conditions.allow(now)).await?;
        }
        false => people.store.delete_user(&user_id).await?,
    }
    people.written(&[user_id], &[]).await;
    Ok(StatusCode::NO_CONTENT)
}

/// The person that was sent, or of whom the profile was sent alone.
fn read(body: &[u8]) -> Result<User, Problem> {
    #[derive(Deserialize)]
    struct Probe {
        #[serde(default, deserialize_with = "is_there")]
        profile: bool,
    }
    // `null` is there, too, and no profile.
    fn is_there<'de, D: serde::Deserializer<'de>>(member: D) -> Result<bool, D::Error> {
        serde::de::IgnoredAny::deserialize(member).map(|_| true)
    }
    match parse::<Probe>(body)?.profile {
        true => parse(body),
        false => Ok(User { user_id: String::new(), profile: parse(body)? }),
    }
}
