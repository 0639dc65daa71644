//! The header `Host`, which HTTP/1.1 wants once in every request (RFC 9112, section 3.2): a request
//! that has none, or two, may be taken for one to another server by whatever stands before this one.
//!
//! And where no identity is configured: web pages. A page of anywhere, open in a browser that can reach
//! this server, may send it requests, and with a name that it points here even read the answers. Such a
//! server listens to this machine alone, so only names of this machine are accepted; a request that says
//! it comes from a page must come from a page of this server or of a configured origin; and what a page
//! may send without being asked back is no JSON here. The same holds for pages where a client certificate says
//! who calls: browsers send it unasked.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};

use crate::api::access::{self, Access};
use crate::api::certificates::Presented;
use crate::api::extract::{media_type, other_type};
use crate::api::{AppState, Problem};

/// Answers 400 to a request of HTTP/1.1 that does not say once which host it is for, and, where no
/// identity is configured, 403 or 415 to what a strange web page may have sent.
pub async fn layer<F: Future<Output = Response>>(
    state: &AppState,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if request.version() == Version::HTTP_11 && hosts != 1 {
        let detail = format!("the request has {hosts} headers \"host\"; HTTP/1.1 wants one");
        return Problem::bad_request(detail).into_response();
    }
    if access::of(&request) != Access::Open {
        let open = !state.identity.is_configured();
        // A browser sends its certificate by itself, for whatever page asks.
        let by_certificate = request.extensions().get::<Presented>().is_some()
            && !request.headers().contains_key(header::AUTHORIZATION);
        let checked = match (open, open || by_certificate) {
            (true, _) => of_this_machine(state, &request).and_then(|()| of_no_page(state, &request)),
            (false, true) => of_no_page(state, &request),
            (false, false) => Ok(()),
        };
        if let Err(problem) = checked {
            return problem.into_response();
        }
    }
    next(request).await
}

/// 403 where the request is for a name that is none of this machine.
fn of_this_machine(state: &AppState, request: &Request) -> Result<(), Problem> {
    let forbidden = |detail: &str| Problem::new(StatusCode::FORBIDDEN, detail);
    let headers = request.headers();
    let host = text(headers, header::HOST).or_else(|| request.uri().authority().map(Authority::as_str));
    if state.config.listen.ip().is_loopback() && !host.is_none_or(names_this_machine) {
        return Err(forbidden(
            "without keys or tokens this server answers only to localhost, 127.0.0.1 and [::1]; send one of them as \"host\"",
        ));
    }
    Ok(())
}

/// 403 or 415 to what a strange web page may have sent.
fn of_no_page(state: &AppState, request: &Request) -> Result<(), Problem> {
    let forbidden = |detail: &str| Problem::new(StatusCode::FORBIDDEN, detail);
    let headers = request.headers();
    let host = text(headers, header::HOST).or_else(|| request.uri().authority().map(Authority::as_str));
    if let Some(origin) = text(headers, header::ORIGIN) {
        let own = host.is_some_and(|host| {
            origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) == Some(host)
        });
        if !own && !state.config.cors_origins.iter().any(|known| known == origin) {
            return Err(forbidden(
                "the request comes from a web page of another origin; --cors-origins says which may ask",
            ));
        }
    }
    let mut pages = headers.get_all("sec-fetch-site").iter();
    if state.config.cors_origins.is_empty() && pages.any(|site| site == "cross-site" || site == "same-site") {
        return Err(forbidden("the request comes from a web page of another site"));
    }
    // Of a picture nothing is kept, and curl sends one as a form unless it is told otherwise.
    match request.uri().path().starts_with("/v1/images/") {
        true => Ok(()),
        false => unasked(request),
    }
}

/// 415 for the content types that a page may send without the browser asking first.
fn unasked(request: &Request) -> Result<(), Problem> {
    let Some(content_type) = text(request.headers(), header::CONTENT_TYPE) else { return Ok(()) };
    let kind = media_type(content_type).to_ascii_lowercase();
    if request.method().is_safe()
        || !["text/plain", "application/x-www-form-urlencoded"].contains(&kind.as_str())
    {
        return Ok(());
    }
    Err(other_type(&kind, request.uri().path()))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn names_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_and_no_others() {
        for own in ["localhost", "LOCALHOST:8080", "127.0.0.1:80", "127.0.0.2", "[::1]:8080", "[::1]"] {
            assert!(names_this_machine(own), "{own}");
        }
        for other in ["", "evil.example", "localhost.evil.example:8080", "127.0.0.1.evil.example", "10.0.0.1"]
        {
            assert!(!names_this_machine(other), "{other}");
        }
    }
}
