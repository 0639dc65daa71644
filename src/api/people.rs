//! What the recommender's resources share: what a write did, and the translation of the store's and
//! the recommender's errors. People, items and interactions are the recommender's own types.

use serde::Serialize;
use utoipa::ToSchema;

use super::Problem;
use super::error::{FieldError, MAX_ERRORS};
use crate::store::StoreError;
use recommend::{RecommendError, SourceError};

/// What a write did.
#[derive(Debug, Serialize, ToSchema)]
pub struct Written {
    /// Rows that were not there before.
    pub created: u64,
    /// Rows that were there and differed.
    pub updated: u64,
    /// Rows that were there, the same.
    pub unchanged: u64,
}

impl From<crate::store::Written> for Written {
    fn from(written: crate::store::Written) -> Written {
        Written { created: written.created, updated: written.updated, unchanged: written.unchanged }
    }
}

impl From<recommend::FieldError> for FieldError {
    fn from(error: recommend::FieldError) -> FieldError {
        FieldError { pointer: error.pointer, detail: error.detail }
    }
}

/// 422 naming each member that does not fit; `Ok` for none.
pub fn refuse(errors: impl IntoIterator<Item = impl Into<FieldError>>) -> Result<(), Problem> {
    let errors: Vec<FieldError> = errors.into_iter().take(MAX_ERRORS + 1).map(Into::into).collect();
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Problem { errors, ..Problem::unprocessable("the body has members that do not fit") }),
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        let detail = error.to_string();
        let at = |index: usize, member: &str, detail: String| {
            let errors = vec![FieldError { pointer: format!("/{index}/{member}"), detail: detail.clone() }];
            Problem { errors, ..Problem::unprocessable(detail) }
        };
        match error {
            StoreError::NotFound { .. } => Problem::not_found(detail),
            StoreError::UnknownUser { index, .. } => at(index, "user_id", detail),
            StoreError::UnknownItem { index, .. } => at(index, "item_id", detail),
            StoreError::Invalid { .. } => Problem::unprocessable(detail),
            StoreError::OtherKind { index, .. } => at(index, "item_id", detail),
            StoreError::Changed { .. } => Problem::new(http::StatusCode::PRECONDITION_FAILED, detail),
            StoreError::Conflict(_) => Problem::new(http::StatusCode::CONFLICT, detail),
            StoreError::Unavailable(_) => Problem::unavailable(detail),
            StoreError::Setup(_) | StoreError::Internal(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
                Problem::internal()
            }
        }
    }
}

impl From<SourceError> for Problem {
    fn from(error: SourceError) -> Problem {
        match error {
            SourceError::Unavailable(_) => {
                Problem::unavailable("the database is not available at the moment")
            }
            SourceError::Failed(reason) => {
                tracing::error!(reason, "the store failed");
                Problem::internal()
            }
        }
    }
}

impl From<RecommendError> for Problem {
    fn from(error: RecommendError) -> Problem {
        match error {
            RecommendError::UnknownUser => Problem::not_found("there is no user with this id"),
            RecommendError::Invalid { parameter, detail } => Problem::bad_parameter(parameter, detail),
            RecommendError::Source(error) => error.into(),
            RecommendError::NotANumber => {
                Problem::new(http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
        }
    }
}
