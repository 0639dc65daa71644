//! Who is let in to which route, and how often.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};

use crate::api::access::{self, Access};
use crate::api::{AppState, Problem};
use crate::config::Scope;

/// Answers 401 to who is not known, 403 to who may not, 429 to who asks too often. The caller
/// goes into the request's extensions.
pub async fn layer<F: Future<Output = Response>>(
    state: &AppState,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let access = access::of(&request);
    if access == Access::Open {
        return next(request).await;
    }
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let caller = match state.identity.caller(request.headers(), address) {
        Ok(caller) => caller,
        Err(unknown) => return unauthorized(&unknown.to_string()),
    };
    if let Access::Scoped(scopes) = access
        && !caller.may(scopes)
    {
        return match state.identity.is_configured() {
            true => forbidden(scopes),
            false if state.identity.is_demo() => {
                unauthorized("this is for administrators; their key was printed when the server started")
            }
            false => unauthorized("this is for administrators, and none is configured (--api-keys)"),
        };
    }
    if let Some(limiter) = &state.rate
        && let Err(early) = limiter.check_key(&caller.counted_as)
    {
        let wait = early.wait_time_from(DefaultClock::default().now());
        return too_often(wait.as_secs_f64().ceil().max(1.0) as u64);
    }
    request.extensions_mut().insert(caller);
    next(request).await
}

fn rejected(reason: &'static str) {
    metrics::counter!("medserve_rejected_total", "reason" => reason).increment(1);
}

fn unauthorized(detail: &str) -> Response {
    rejected("unauthorized");
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn forbidden(scopes: &[Scope]) -> Response {
    rejected("forbidden");
    let names: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    let detail =
        format!("this requires the scope {}, which the key or token does not have", names.join(" or "));
    Problem::new(StatusCode::FORBIDDEN, detail).into_response()
}

fn too_often(seconds: u64) -> Response {
    rejected("rate");
    let detail =
        "you send more requests than are allowed; try again after the number of seconds in retry-after";
    let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}
