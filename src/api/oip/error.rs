//! A problem as the protocol says it: `{"error": "..."}`.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Problem;

/// What was wrong, where, and what is accepted.
#[derive(Debug, Serialize, ToSchema)]
pub struct OipError {
    /// One sentence, the places that do not fit behind it.
    #[schema(example = "there is no model \"x\"; served are: pneumonia, triage")]
    pub error: String,
}

/// True for the paths whose errors have the protocol's shape.
pub fn speaks(path: &str) -> bool {
    path == "/v2" || path.starts_with("/v2/")
}

impl From<Problem> for OipError {
    fn from(problem: Problem) -> OipError {
        let mut error = problem.detail;
        for part in problem.errors {
            // A problem about one place often says the place in its sentence.
            if !error.contains(&part.detail) {
                error.push_str(&format!("; {}: {}", part.pointer, part.detail));
            }
        }
        OipError { error }
    }
}
