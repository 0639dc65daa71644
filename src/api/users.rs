//! `/v1/users/{user_id}`: the people.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::error::ProblemDocument;
use super::extract::{Body, Id};
use super::people::{Profile, User, Written, refuse};
use super::{AppState, Problem};
use recommend::clock::now;
use recommend::data;

/// A person as sent: the path names it. The profile may also be sent alone, as the whole body.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserForm {
    /// If given, the identifier in the path.
    #[serde(default)]
    pub user_id: Option<String>,
    /// What is known of the person.
    pub profile: Profile,
}

/// Add a person, or replace the profile of one
#[utoipa::path(
    put,
    path = "/v1/users/{user_id}",
    tag = "people and things",
    params(("user_id" = String, Path, description = "Identifier", example = "u1")),
    request_body = UserForm,
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
    let profile = match body.get("profile") {
        None => super::extract::parse(text.as_bytes())?,
        Some(_) => {
            let form: UserForm = super::extract::parse(text.as_bytes())?;
            if form.user_id.is_some_and(|id| id != user_id) {
                return Err(Problem::unprocessable("user_id is not the identifier in the path"));
            }
            form.profile
        }
    };
    let user = data::User { user_id, profile: data::Profile::from(profile) };
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
    let user = state.people()?.store.get_user(&user_id).await?;
    Ok(Json(User { user_id: user.user_id, profile: user.profile.into() }))
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
