//! Query parameters on routes that declare none.
//!
//! A route with parameters reads them by a struct that refuses others. A route without any has nothing
//! that would look at the query, and `DELETE /v1/users/u1?item_id=x`, which was meant for a person's
//! interactions, would erase the person. So the contract itself says which routes take no query.

use std::collections::HashSet;
use std::sync::LazyLock;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use percent_encoding::percent_decode_str;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::ParameterIn;

use super::{Problem, contract, router};

/// Paths whose clients and scrapers add parameters of their own, which their protocols allow.
const LENIENT: [&str; 4] = ["/fhir/", "/dicom-web/", "/health/", "/metrics"];

/// The operations without a query parameter.
static WITHOUT: LazyLock<HashSet<(Method, String)>> = LazyLock::new(|| {
    let mut document = router::document();
    let mut without = HashSet::new();
    for (path, item) in &mut document.paths.paths {
        if LENIENT.iter().any(|start| path.starts_with(start)) {
            continue;
        }
        for (method, operation) in contract::operations(item) {
            let mut parameters = operation.parameters.iter().flatten();
            if !parameters.any(|one| match one {
                RefOr::T(one) => one.parameter_in == ParameterIn::Query,
                RefOr::Ref(_) => true,
            }) {
                without.insert((method, path.clone()));
            }
        }
    }
    without
});

/// The problem of a request with a query on a route that takes none.
pub fn refused(request: &Request) -> Option<Problem> {
    let query = request.uri().query().filter(|query| !query.is_empty())?;
    let path = request.extensions().get::<MatchedPath>()?;
    let method = match *request.method() {
        Method::HEAD => Method::GET,
        ref method => method.clone(),
    };
    if !WITHOUT.contains(&(method, path.as_str().to_string())) {
        return None;
    }
    let name = query.split(['&', '=']).find(|part| !part.is_empty()).unwrap_or_default();
    let name = percent_decode_str(name).decode_utf8_lossy();
    Some(Problem::bad_parameter(&name, "this route takes no query parameters"))
}
