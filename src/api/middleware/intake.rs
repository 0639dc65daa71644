//! Taking a request in: its deadline, its body, its place among the work in flight.
//!
//! The body is read here, whole, before anything is done for the request and before it takes a
//! place: a client that sends a byte a second holds a connection and nothing else, and is cut
//! off after a while. What is taken in then costs memory and work that were counted beforehand.

use std::panic::resume_unwind;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use sha2::{Digest, Sha256};

use super::{audit, deadline};
use crate::api::access::{self, Access};
use crate::api::admission::{Class, Refused, Room};
use crate::api::body_size::BodySize;
use crate::api::identity::Caller;
use crate::api::{AppState, Deadline, Problem};
use crate::config::Scope;
use crate::store::audit::chain::request_digest;

/// The header in which a client says how many seconds it waits.
const TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");

/// What was taken in, in the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// When it began to arrive.
    pub at: Instant,
    /// SHA-256 of the body; of path and query where there is none.
    pub sha256: [u8; 32],
    /// SHA-256 over method, target and body.
    pub request_sha256: [u8; 32],
}

/// Takes a request in, or refuses it. One that may write is finished also when its client goes away
/// meanwhile, and so leaves its row in the audit; another is dropped, and with it its place.
pub async fn layer<F: Future<Output = Response> + Send + 'static>(
    state: &AppState,
    request: Request,
    next: impl FnOnce(Request) -> F + Send + 'static,
) -> Response {
    // What says how the server is doing must do so while it is busy.
    let access = access::of(&request);
    if access == Access::Open {
        return next(request).await;
    }
    let class = class(access);
    let finished = class != Class::Compute && !request.method().is_safe();
    let caller = request.extensions().get::<Caller>().map_or_else(String::new, |who| who.counted_as.clone());
    let at = Instant::now();
    let (mut parts, body) = request.into_parts();
    let taken = take_in(state, &mut parts, body, class, &caller, at).await;
    let mut response = match taken {
        Ok((body, room)) => match state.admission.enter(class, &caller) {
            Ok(pass) => {
                let request = Request::from_parts(parts, Body::from(body));
                let work = async move {
                    let response = next(request).await;
                    drop((pass, room));
                    response
                };
                match finished {
                    false => work.await,
                    true => match tokio::spawn(work).await {
                        Ok(response) => response,
                        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                        Err(_) => Problem::unavailable("the server is shutting down").into_response(),
                    },
                }
            }
            Err(refused) => refuse(refused),
        },
        Err(response) => {
            note(state, Request::from_parts(parts, Body::empty()), response.status(), at);
            *response
        }
    };
    if response.status() == StatusCode::TOO_MANY_REQUESTS
        && !response.headers().contains_key(header::RETRY_AFTER)
    {
        response.headers_mut().insert(header::RETRY_AFTER, state.admission.retry_after(class).into());
    }
    response
}

/// Has the audit say that a request was refused for what it is. What is refused for want of room or time leaves no row.
fn note(state: &AppState, request: Request, status: StatusCode, since: Instant) {
    let for_itself = status.is_client_error()
        && !matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if let Some(caller) = request.extensions().get::<Caller>()
        && for_itself
        && state.audit.check().is_ok()
    {
        audit::refused(state, &request, caller, status.as_u16(), since);
    }
}

/// What does the work of a route, by whom it is for.
fn class(access: Access) -> Class {
    match access {
        Access::Scoped(&[Scope::Classify]) => Class::Compute,
        Access::Scoped(&[Scope::Recommend]) => Class::Recommend,
        _ => Class::Data,
    }
}

/// Reads the body, and leaves in the extensions what there is to say of it.
async fn take_in(
    state: &AppState,
    parts: &mut Parts,
    body: Body,
    class: Class,
    caller: &str,
    at: Instant,
) -> Result<(Bytes, Room), Box<Response>> {
    let problem = |problem: Problem| Box::new(problem.into_response());
    let timeout = timeout(&parts.headers, state).map_err(problem)?;
    uncompressed(&parts.headers).map_err(problem)?;
    state.admission.check(class, caller).map_err(|refused| Box::new(refuse(refused)))?;
    let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let size = BodySize::of(path, state.config.max_body_bytes);
    let announced =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > size.most as u64) {
        return Err(problem(too_large(size.most)));
    }
    let mut room = state.admission.body(caller);
    let patience = state.config.body_timeout;
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let begun = request_digest(parts.method.as_str(), target);
    let body = match tokio::time::timeout(timeout.min(patience), read(body, size, begun, &mut room)).await {
        Ok(body) => body?,
        Err(_) if timeout < patience => return Err(Box::new(closing(deadline::passed()))),
        Err(_) => return Err(Box::new(too_slow(patience))),
    };
    let sha256 = match body.bytes.is_empty() {
        true => Sha256::digest(target),
        false => body.sha256.finalize(),
    };
    let received =
        Received { at, sha256: sha256.into(), request_sha256: body.request_sha256.finalize().into() };
    parts.extensions.insert(Deadline(at + timeout));
    parts.extensions.insert(received);
    Ok((body.bytes, room))
}

/// A compressed body could be of any size, and is of another on every route: none is read.
fn uncompressed(headers: &HeaderMap) -> Result<(), Problem> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    match encodings.find(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        None => Ok(()),
        Some(_) => {
            let detail = "compressed bodies are not accepted; send it uncompressed, without content-encoding";
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
        }
    }
}

/// The time the client gives, at most the longest that is allowed; the usual one if it says nothing.
fn timeout(headers: &HeaderMap, state: &AppState) -> Result<Duration, Problem> {
    let Some(value) = headers.get(TIMEOUT) else { return Ok(state.config.request_timeout) };
    let seconds = value.to_str().ok().and_then(|text| text.trim().parse::<f64>().ok());
    let timeout = seconds.filter(|s| *s > 0.0).and_then(|s| Duration::try_from_secs_f64(s).ok());
    let bad = || {
        Problem::bad_request("the header x-request-timeout must be a number of seconds above 0, such as 2.5")
    };
    Ok(timeout.ok_or_else(bad)?.min(state.config.max_request_timeout))
}

struct Whole {
    bytes: Bytes,
    sha256: Sha256,
    request_sha256: Sha256,
}

async fn read(
    body: Body,
    size: BodySize,
    mut request_sha256: Sha256,
    room: &mut Room,
) -> Result<Whole, Box<Response>> {
    let mut sha256 = Sha256::new();
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    let mut length = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let broken = |_| Box::new(Problem::bad_request("the body did not arrive completely").into_response());
        let chunk = chunk.map_err(broken)?;
        length += chunk.len();
        if length > size.most {
            return Err(Box::new(too_large(size.most).into_response()));
        }
        let memory = size.memory(&chunk);
        if !room.grow(memory) {
            // To try that again would be in vain.
            let refused = if room.could_grow(memory) { refuse(Refused::Full) } else { too_many_values() };
            return Err(Box::new(refused));
        }
        sha256.update(&chunk);
        request_sha256.update(&chunk);
        // A body of one piece, as most are, is not copied.
        match first.take() {
            None if all.is_empty() => first = Some(chunk),
            None => all.extend_from_slice(&chunk),
            Some(before) => {
                all.extend_from_slice(&before);
                all.extend_from_slice(&chunk);
            }
        }
    }
    Ok(Whole { bytes: first.unwrap_or_else(|| all.freeze()), sha256, request_sha256 })
}

fn too_large(most: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than the {most} bytes accepted"))
}

fn too_many_values() -> Response {
    let detail = "the body has more values than are read at a time; send it in several parts";
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).into_response()
}

fn too_slow(patience: Duration) -> Response {
    let detail = format!("the body did not arrive within {} ms", patience.as_millis());
    metrics::counter!("medserve_rejected_total", "reason" => "slow_body").increment(1);
    closing(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
}

fn refuse(refused: Refused) -> Response {
    match refused {
        Refused::Full => {
            metrics::counter!("medserve_rejected_total", "reason" => "busy").increment(1);
            let detail = "the server is busy; try again after the number of seconds in retry-after";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).into_response()
        }
        Refused::Draining => {
            metrics::counter!("medserve_rejected_total", "reason" => "draining").increment(1);
            closing(Problem::unavailable("the server is shutting down; another may answer"))
        }
    }
}

/// The answer, after which the connection is of no more use.
fn closing(problem: Problem) -> Response {
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
