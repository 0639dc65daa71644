//! The parts of the OpenAPI document that hold for many routes: who may call them, and the
//! answers that come from around the handlers. They are added here, from the table that the
//! server itself goes by, so that no handler repeats them and none can forget them.

use axum::http::Method;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, ResponseBuilder};

use super::access::{Access, table};
use super::oip;

/// The name of the one security scheme.
const SCHEME: &str = "bearer";

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
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            guard(operation, path, table(&method, path));
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem { get, put, post, delete, .. } = item;
    let all = [(Method::GET, get), (Method::PUT, put), (Method::POST, post), (Method::DELETE, delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn guard(operation: &mut Operation, path: &str, access: Access) {
    let scopes: Vec<&str> = match access {
        Access::Open => return,
        Access::Known => Vec::new(),
        Access::Scoped(scopes) => scopes.iter().map(|scope| scope.as_str()).collect(),
    };
    operation.security = Some(vec![SecurityRequirement::new(SCHEME, scopes.iter().copied())]);
    answer(
        operation,
        path,
        "400",
        "The header x-request-timeout, or another part of the request, is not valid",
    );
    answer(operation, path, "401", "No key or token that is known here");
    if !scopes.is_empty() {
        answer(operation, path, "403", "A key or token without the scope that this takes");
    }
    if operation.request_body.is_some() {
        answer(operation, path, "408", "The body did not arrive in time");
        answer(operation, path, "413", "The body is too large");
    }
    answer(
        operation,
        path,
        "429",
        "Too much at a time, or too often; the header retry-after says when to try again",
    );
    answer(operation, path, "503", "Not now: starting, ending, or without the database");
    answer(operation, path, "504", "The time given to the request passed");
}

/// Adds an answer, unless the handler's own words are there.
fn answer(operation: &mut Operation, path: &str, status: &str, description: &str) {
    let (schema, kind) = match oip::error::speaks(path) {
        true => ("OipError", "application/json"),
        false => ("ProblemDocument", "application/problem+json"),
    };
    let content = Content::new(Some(Ref::from_schema_name(schema)));
    let response = ResponseBuilder::new().description(description).content(kind, content);
    let responses = &mut operation.responses.responses;
    responses.entry(status.to_string()).or_insert_with(|| RefOr::T(response.build()));
}
