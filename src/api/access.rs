//! Which route is for whom: one table, read by the middleware and by the OpenAPI document alike.
//!
//! What is not in it is for administrators, so that a new route is closed until somebody has
//! thought about it.

use axum::extract::{MatchedPath, Request};
use axum::http::Method;

use crate::config::Scope;

/// Whom a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everyone, at any time: it says how the server is doing, or what it can do.
    Open,
    /// Everyone who is known.
    Known,
    /// Those with one of these scopes.
    Scoped(&'static [Scope]),
}

/// Whom a request is for. A path that does not exist is nobody's secret.
pub fn of(request: &Request) -> Access {
    let path = request.extensions().get::<MatchedPath>();
    path.map_or(Access::Open, |path| table(request.method(), path.as_str()))
}

/// Whether a request is for who runs the server alone: it changes the models, or reads a report that
/// was made of the data of a training, and both are of no single tenant.
pub fn is_of_operator(request: &Request) -> bool {
    let path = request.extensions().get::<MatchedPath>().map_or("", |path| path.as_str());
    path.starts_with("/v2/repository") || path == "/v1/models/{name}/report"
}

/// Whom a route is for, by its path as the router knows it.
pub fn table(method: &Method, path: &str) -> Access {
    use Access::{Known, Open, Scoped};
    let reads = method == Method::GET || method == Method::HEAD;
    match path {
        "/health/live" | "/health/ready" | "/health/startup" | "/metrics" | "/openapi.json" => Open,
        "/v2/health/live" | "/v2/health/ready" => Open,
        _ if path == "/docs" || path.starts_with("/docs/") => Open,
        "/v1/images/classify"
        | "/v1/images/segment"
        | "/v1/images/explain"
        | "/v1/images/generate"
        | "/v1/notes/classify"
        | "/v1/notes/extract"
        | "/v1/embeddings" => Scoped(&[Scope::Classify]),
        "/fhir/R4/metadata" | "/cds-services" => Open,
        "/fhir/R4" => Scoped(&[Scope::Write]),
        "/cds-services/{id}" | "/cds-services/{id}/feedback" => Scoped(&[Scope::Recommend, Scope::Cds]),
        "/dicom-web/studies" | "/dicom-web/studies/{study}" if !reads => Scoped(&[Scope::Classify]),
        // All there are is for who keeps the data; those of a study also for who knows it.
        "/dicom-web/studies" => Scoped(&[Scope::Write]),
        _ if reads && path.starts_with("/dicom-web/") => Scoped(&[Scope::Classify, Scope::Write]),
        // The console's pages hold nothing; what they show they ask for as any client does.
        _ if path == "/" || path.starts_with("/console/") => Open,
        "/v1/models"
        | "/v1/models/{name}"
        | "/v1/models/{name}/card.json"
        | "/v1/models/{name}/plots/{plot}" => Known,
        // To be found and read by those who write notes about the next one; kept by those who keep the data.
        "/v1/cases/search" => Scoped(&[Scope::Classify, Scope::Write]),
        "/v1/cases/{case_id}" if reads => Scoped(&[Scope::Classify, Scope::Write]),
        "/v1/cases/{case_id}" => Scoped(&[Scope::Write]),
        "/v1/users/{user_id}/recommendations" => Scoped(&[Scope::Recommend]),
        "/v1/items" | "/v1/items/{item_id}" if reads => Scoped(&[Scope::Recommend, Scope::Write]),
        // Who keeps the data may read it back; to be recommended something, nobody has to.
        "/v1/users/{user_id}" | "/v1/users/{user_id}/interactions" => Scoped(&[Scope::Write]),
        "/v1/items" | "/v1/items/{item_id}" | "/v1/interactions" => Scoped(&[Scope::Write]),
        _ if path.starts_with("/v2/repository") => Scoped(&[Scope::Admin]),
        _ if path.starts_with("/v2/models/") && path.ends_with("/infer") => Scoped(&[Scope::Classify]),
        _ if reads && (path == "/v2" || path.starts_with("/v2/")) => Known,
        _ => Scoped(&[Scope::Admin]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_thought_of_is_for_administrators() {
        let admin = Access::Scoped(&[Scope::Admin]);
        assert_eq!(table(&Method::GET, "/v1/users/{user_id}/neighbors"), admin);
        assert_eq!(table(&Method::GET, "/v1/everything"), admin);
        assert_eq!(table(&Method::POST, "/v2/everything"), admin);
        assert_eq!(table(&Method::POST, "/v2/repository/models/{name}/load"), admin);
    }

    #[test]
    fn reading_things_takes_less_than_writing_them() {
        let read = table(&Method::GET, "/v1/items/{item_id}");
        assert_eq!(read, Access::Scoped(&[Scope::Recommend, Scope::Write]));
        assert_eq!(table(&Method::PUT, "/v1/items/{item_id}"), Access::Scoped(&[Scope::Write]));
        let read = Access::Scoped(&[Scope::Classify, Scope::Write]);
        assert_eq!(table(&Method::GET, "/v1/cases/{case_id}"), read);
        assert_eq!(table(&Method::POST, "/v1/cases/search"), read);
        for method in [Method::PUT, Method::DELETE] {
            assert_eq!(table(&method, "/v1/cases/{case_id}"), Access::Scoped(&[Scope::Write]));
        }
    }
}
