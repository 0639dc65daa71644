//! `/v1/users/{user_id}`: the people.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::error::ProblemDocument;
use super::extract::{Body, Id, parse};
use super::people::{Written, refuse};
use super::{AppState, Problem};
use recommend::clock::now;
use recommend::{Profile, User};

/// Add a person, or replace the profile of one
///
/// The profile may also be sent alone, as the whole body.
#[utoipa::path(
    put,
    path = "/v1/users/{user_id}",
    tag = "people and things",
    params(("user_id" = String, Path, description = "Identifier", example = "u1")),
    request_body = User,
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
    Id(user_id): Id,
    Body(body): Body<serde_json::Value>,
) -> Result<Json<Written>, Problem> {
    let text = body.to_string();
    let sent: User = match body.get("profile") {
        None => User { user_id: String::new(), profile: parse::<Profile>(text.as_bytes())? },
        Some(_) => parse(text.as_bytes())?,
    };
    if !sent.user_id.is_empty() && sent.user_id != user_id {
        return Err(Problem::unprocessable("user_id is not the identifier in the path"));
    }
    let user = User { user_id, ..sent };
    refuse(user.validate("", now()))?;
    let people = state.people()?;
    let written = people.store.put_users(std::slice::from_ref(&user)).await?;
    people.written(&[user.user_id], &[]).await;
    Ok(Json(written.into()))
}

/// What is known of a person
#[utoipa::path(
    get,
    path = "/v1/users/{user_id}",
    tag = "people and things",
    params(("user_id" = String, Path, description = "Identifier", example = "u1")),
    responses(
        (status = 200, body = User),
        (status = 404, description = "No such user", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is not available", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn get(State(state): State<AppState>, Id(user_id): Id) -> Result<Json<User>, Problem> {
    Ok(Json(state.people()?.store.get_user(&user_id).await?))
}

/// Erase a person and everything about it
#[utoipa::path(
    delete,
    path = "/v1/users/{user_id}",
    tag = "people and things",
    params(("user_id" = String, Path, description = "Identifier", example = "u1")),
    responses(
        (status = 204, description = "Erased"),
        (status = 404, description = "No such user", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The database is not available", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn delete(State(state): State<AppState>, Id(user_id): Id) -> Result<StatusCode, Problem> {
    let people = state.people()?;
    people.store.delete_user(&user_id).await?;
    people.written(&[user_id], &[]).await;
    Ok(StatusCode::NO_CONTENT)
}
