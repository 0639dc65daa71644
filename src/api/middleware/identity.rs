//! Who is let in to which route, and how often. Who is not leaves a row in the audit all the same,
//! as far as one address does not fail too often for that.

use std::net::SocketAddr;
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};

use super::audit;
use crate::api::access::{self, Access};
use crate::api::certificates::Presented;
use crate::api::identity::Caller;
use crate::api::tenants::Found;
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
    let since = Instant::now();
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let found = request.extensions_mut().remove::<Found>().map(|Found(found)| found);
    let found = found.unwrap_or_else(|| {
        state.identity.caller(request.headers(), address, request.extensions().get::<Presented>())
    });
    let caller = match found {
        Ok(caller) => caller,
        Err(unknown) => {
            return not_let_in(state, &request, Caller::unknown(address), &unknown.to_string(), since);
        }
    };
    // The client of a record system is known for its services alone.
    let services_alone = access == Access::Known && caller.scopes == [Scope::Cds];
    let needed: &[Scope] = match access {
        Access::Scoped(scopes) => scopes,
        _ if services_alone => &[Scope::Classify, Scope::Recommend, Scope::Write],
        _ => &[],
    };
    if !needed.is_empty() && !caller.may(needed) {
        return match state.identity.is_configured() {
            true => {
                audit::refused(state, &request, &caller, 403, since);
                forbidden(needed)
            }
            false => {
                let detail = match state.identity.is_demo() {
                    true => "this is for administrators; their key was printed when the server started",
                    false => "this is for administrators, and none is configured (--api-keys)",
                };
                not_let_in(state, &request, caller, detail, since)
            }
        };
    }
    if !caller.is_for(request.uri().path()) {
        let detail = "this token is for another service: its aud must be the address of the service that it is sent to, or this server's";
        return not_let_in(state, &request, caller, detail, since);
    }
    if !state.tenant.is_empty() && access::is_of_operator(&request) {
        audit::refused(state, &request, &caller, 403, since);
        rejected("forbidden");
        let detail =
            "the models are those of all tenants: only administrators of the default tenant may do this";
        return Problem::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    if let Some(limiter) = &state.rate
        && let Err(early) = limiter.check_key(&caller.counted_as)
    {
        let wait = early.wait_time_from(DefaultClock::default().now());
        let detail =
            "you send more requests than are allowed; try again after the number of seconds in retry-after";
        return too_often("rate", detail, wait.as_secs_f64());
    }
    request.extensions_mut().insert(caller);
    next(request).await
}

/// 401 with a row of the audit and a line of the log; from an address that fails again and again 429,
/// which is counted alone. A key or token that is known is let in from there all the same.
fn not_let_in(state: &AppState, request: &Request, caller: Caller, detail: &str, since: Instant) -> Response {
    let address = caller.address.map_or_else(String::new, |address| address.to_string());
    if let Err(early) = state.failures.check_key(&address) {
        let wait = early.wait_time_from(DefaultClock::default().now());
        let detail = "too many requests from this address were not let in; try again after the number of seconds in retry-after";
        return too_often("failed_logins", detail, wait.as_secs_f64());
    }
    let route = request.extensions().get::<MatchedPath>().map_or("", |path| path.as_str());
    tracing::warn!(address, route, "a request was not let in");
    audit::refused(state, request, &caller, 401, since);
    unauthorized(detail)
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
    let detail = format!(
        "this requires the scope {}, which the key, token or certificate does not have",
        names.join(" or ")
    );
    Problem::new(StatusCode::FORBIDDEN, detail).into_response()
}

fn too_often(reason: &'static str, detail: &str, seconds: f64) -> Response {
    rejected(reason);
    let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, (seconds.ceil().max(1.0) as u64).into());
    response
}
