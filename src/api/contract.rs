//! The parts of the OpenAPI document that hold for many routes: who may call them, and the answers
//! that follow from what a route takes. They are added here, from the table that the server itself
//! goes by, so that no handler repeats them and none can forget them.
//!
//! A handler names its own answers alone, without a body where the answer is a problem.

use axum::http::Method;
use clinical::fhir::MEDIA_TYPE;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response, ResponseBuilder};

use super::access::{Access, table};
use super::{fhir, oip};

/// The name of the one security scheme.
const SCHEME: &str = "bearer";

/// The answers that many routes give. Each is one component of the document.
const ANSWERS: [(&str, &str); 12] = [
    ("400", "The header x-request-timeout, or another part of the request, is not valid"),
    ("401", "No known key or token"),
    ("403", "A key or token without the scope that this takes"),
    ("404", "There is no such thing"),
    (
        "406",
        "FHIR alone is accepted, and this is not answered in FHIR, or not in the form or of the release asked for",
    ),
    ("408", "The body did not arrive in time"),
    ("413", "The body, or something in it, is too large"),
    ("415", "The body is compressed, or of a kind that is not accepted here"),
    ("422", "The body was understood and does not fit; the problem names each place"),
    ("429", "Too much at once, or too often; the header retry-after says when to try again"),
    ("503", "Not now: starting, shutting down, or without the database"),
    ("504", "The time limit of the request passed"),
];

/// Adds them to a document.
pub fn complete(document: &mut OpenApi) {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A key, or a token (JWT) of the configured issuer. The words beside a route are the scopes of which it \
             takes one; admin may do everything.",
        ))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
    for (status, description) in ANSWERS {
        for dialect in [Dialect::Problem, Dialect::Oip, Dialect::Fhir] {
            let content = dialect.problem();
            let response = ResponseBuilder::new().description(description).content(dialect.media(), content);
            components.responses.insert(dialect.component(status), RefOr::T(response.build()));
        }
    }
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            let dialect = Dialect::of(path);
            if fhir::answers(path) {
                in_fhir(operation);
            }
            explain(operation, dialect);
            for status in follows(&method, path, operation) {
                let shared = RefOr::Ref(Ref::from_response_name(dialect.component(status)));
                operation.responses.responses.entry(status.to_string()).or_insert(shared);
            }
            guard(operation, table(&method, path));
        }
    }
}

/// A path's operations, each with its method.
pub fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem { get, put, post, delete, .. } = item;
    let all = [(Method::GET, get), (Method::PUT, put), (Method::POST, post), (Method::DELETE, delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The answers that follow from what a route takes and whom it is for.
fn follows(method: &Method, path: &str, operation: &Operation) -> Vec<&'static str> {
    let access = table(method, path);
    if access == Access::Open {
        return Vec::new();
    }
    let mut answers = vec!["400", "401", "429", "503", "504"];
    if access != Access::Known {
        answers.push("403");
    }
    if *method != Method::PUT && path.contains('{') {
        answers.push("404");
    }
    if fhir::heeds(path) {
        answers.push("406");
    }
    if operation.request_body.is_some() {
        answers.extend(["408", "413", "415", "422"]);
    }
    answers
}

/// The answer in FHIR, beside that in JSON.
fn in_fhir(operation: &mut Operation) {
    if let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200") {
        let resource = ObjectBuilder::new().description(Some("A resource of FHIR R4"));
        response.content.insert(MEDIA_TYPE.to_string(), RefOr::T(Content::new(Some(resource))));
    }
}

/// Gives a handler's answers their words, which OpenAPI wants of each, and its problems their body.
fn explain(operation: &mut Operation, dialect: Dialect) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(Response { content, description, .. }) = response else { continue };
        if description.is_empty() {
            *description = "The answer".to_string();
        }
        if content.is_empty() && status.starts_with(['4', '5']) {
            content.insert(dialect.media().to_string(), RefOr::T(dialect.problem()));
        }
    }
}

fn guard(operation: &mut Operation, access: Access) {
    let scopes: Vec<&str> = match access {
        Access::Open => return,
        Access::Known => Vec::new(),
        Access::Scoped(scopes) => scopes.iter().map(|scope| scope.as_str()).collect(),
    };
    operation.security = Some(vec![SecurityRequirement::new(SCHEME, scopes)]);
}

/// In what shape a route tells of errors.
#[derive(Debug, Clone, Copy)]
enum Dialect {
    /// A problem document.
    Problem,
    /// As the Open Inference Protocol has it.
    Oip,
    /// A FHIR OperationOutcome.
    Fhir,
}

impl Dialect {
    fn of(path: &str) -> Dialect {
        match path {
            _ if oip::error::speaks(path) => Dialect::Oip,
            _ if fhir::speaks(path) => Dialect::Fhir,
            _ => Dialect::Problem,
        }
    }

    fn component(self, status: &str) -> String {
        let protocol = match self {
            Dialect::Problem => "",
            Dialect::Oip => "oip_",
            Dialect::Fhir => "fhir_",
        };
        format!("{protocol}problem_{status}")
    }

    fn media(self) -> &'static str {
        match self {
            Dialect::Problem => "application/problem+json",
            Dialect::Oip => "application/json",
            Dialect::Fhir => MEDIA_TYPE,
        }
    }

    fn problem(self) -> Content {
        match self {
            Dialect::Problem => Content::new(Some(Ref::from_schema_name("ProblemDocument"))),
            Dialect::Oip => Content::new(Some(Ref::from_schema_name("OipError"))),
            Dialect::Fhir => {
                let outcome = ObjectBuilder::new().description(Some("An OperationOutcome of FHIR R4"));
                Content::new(Some(outcome))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crate::api::router::document;

    use super::*;

    #[test]
    fn what_is_answered_in_fhir_too_is_declared_so() {
        let document = serde_json::to_value(document()).unwrap();
        let mut found = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values().filter(|_| fhir::answers(path)) {
                let content = operation["responses"]["200"]["content"].as_object().unwrap();
                assert!(
                    content.contains_key("application/json") && content.contains_key(MEDIA_TYPE),
                    "{path}"
                );
                found += 1;
            }
        }
        assert_eq!(found, 4);
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_words_for_a_reader() {
        let mut document = document();
        let mut names = HashSet::new();
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                let place = format!("{method} {path}");
                let name = operation.operation_id.clone().unwrap_or_default();
                let snake = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
                assert!(!name.is_empty() && name.bytes().all(snake), "{place}: {name}");
                assert!(names.insert(name.clone()), "{place}: {name} is taken");
                assert!(operation.summary.is_some() && operation.description.is_some(), "{place}");
                for parameter in operation.parameters.iter().flatten() {
                    let RefOr::T(parameter) = parameter else { panic!("{place}: a parameter is elsewhere") };
                    assert!(parameter.description.is_some(), "{place}: {}", parameter.name);
                }
                let problems = operation.responses.responses.iter();
                for (status, response) in problems.filter(|(status, _)| status.starts_with(['4', '5'])) {
                    let said = match response {
                        RefOr::Ref(_) => true,
                        RefOr::T(response) => !response.content.is_empty(),
                    };
                    assert!(said, "{place}: {status} has no body");
                }
            }
        }
    }
}
