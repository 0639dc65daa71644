//! A row of the audit for every answer to a known caller, and for every refusal to somebody unknown.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use percent_encoding::percent_decode_str;
use sha2::Digest;

use super::intake::Received;
use super::request_id::RequestId;
use crate::api::audit::Answered;
use crate::api::identity::Caller;
use crate::api::{AppState, Problem};
use crate::inference::Registry;
use crate::store::AuditRow;
use crate::store::audit::chain::request_digest;
use crate::store::audit::evidence::PackageUsed;
use recommend::clock::now;

/// Whom a request concerns, in its extensions. Who is named in the path as `{user_id}` is there from
/// the beginning; a handler that reads of others adds them, before it works on them.
#[derive(Debug, Clone, Default)]
pub struct Concerned {
    ids: Arc<Mutex<Vec<String>>>,
    named: Arc<Mutex<Vec<String>>>,
}

impl Concerned {
    /// These too.
    pub fn add(&self, ids: impl IntoIterator<Item = String>) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
    }

    /// Those of whom rows of the audit tell, by the names that they have there.
    pub fn add_named(&self, names: impl IntoIterator<Item = String>) {
        self.named.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
    }

    fn take_named(&self) -> Vec<String> {
        std::mem::take(&mut self.named.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Sees to the row. Where answers wait for theirs and it cannot be written, the answer is 503; where
/// no more rows can be kept, so it is before there is any work.
pub async fn layer<F: Future<Output = Response>>(
    state: &AppState,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let extensions = request.extensions();
    let (Some(received), Some(caller)) = (extensions.get::<Received>(), extensions.get::<Caller>()) else {
        return next(request).await;
    };
    if state.audit.check().is_err() {
        return not_kept();
    }
    let begun = AuditRow {
        input_sha256: hex::encode(received.sha256),
        request_sha256: hex::encode(received.request_sha256),
        ..begin(&request, caller)
    };
    let at = received.at;
    let concerned = Concerned::default();
    concerned.add(begun.people.iter().cloned());
    request.extensions_mut().insert(concerned.clone());
    // A handler that panics may have written before.
    let before = state.registry.load_full();
    let outcome = AssertUnwindSafe(next(request)).catch_unwind().await;
    let (mut response, panic) = match outcome {
        Ok(response) => (response, None),
        Err(panic) => (Problem::internal().into_response(), Some(panic)),
    };
    let answered = response.extensions_mut().remove::<Answered>().unwrap_or_default();
    let evidence = evidence(&answered, before.as_deref(), state.registry.load_full().as_deref());
    let row = AuditRow {
        time: now(),
        status: response.status().as_u16(),
        people: concerned.take(),
        named: concerned.take_named(),
        model: answered.model,
        version: answered.version,
        answers: answered.answers,
        abstained: answered.abstained,
        latency_ms: at.elapsed().as_secs_f64() * 1e3,
        evidence,
        ..begun
    };
    let recorded = state.audit.record(row).await;
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
    match recorded {
        Ok(()) => response,
        Err(_) => not_written(),
    }
}

/// The row of a request that was refused before its body was read: its input is not known.
pub fn refused(state: &AppState, request: &Request, caller: &Caller, status: u16, since: Instant) {
    let row = begin(request, caller);
    let latency_ms = since.elapsed().as_secs_f64() * 1e3;
    state.audit.note(AuditRow { status, latency_ms, ..row });
}

/// What is known of a request when it begins.
fn begin(request: &Request, caller: &Caller) -> AuditRow {
    let extensions = request.extensions();
    let route = extensions.get::<MatchedPath>().map_or("", |path| path.as_str());
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    AuditRow {
        run: 0,
        sequence: 0,
        time: now(),
        request_id: extensions.get::<RequestId>().map_or_else(String::new, |id| id.as_str().to_string()),
        caller: caller.name.clone(),
        address: caller.address.map_or_else(String::new, |address| address.to_string()),
        method: method(request.method()),
        route: route.to_string(),
        status: 0,
        model: None,
        version: None,
        people: named(route, request.uri()),
        named: Vec::new(),
        input_sha256: String::new(),
        request_sha256: hex::encode(request_digest(request.method().as_str(), target).finalize()),
        answers: Vec::new(),
        abstained: false,
        latency_ms: 0.0,
        clock: 0,
        evidence: None,
    }
}

/// What the answer rested on, with the package of the model that gave it: the one that was in service before the answer
/// and still is. Of one that was replaced meanwhile nothing is said.
fn evidence(answered: &Answered, before: Option<&Registry>, after: Option<&Registry>) -> Option<String> {
    let (Some(model), Some(version)) = (&answered.model, &answered.version) else {
        return answered.evidence.text();
    };
    if !answered.evidence.packages.is_empty() {
        return answered.evidence.text();
    }
    let digest = |registry: Option<&Registry>| {
        let registry = registry?;
        let same = registry.get(model)?.manifest().version == *version;
        registry.digest(model).filter(|_| same).map(str::to_string)
    };
    let mut evidence = answered.evidence.clone();
    if let Some(sha256) = digest(before).filter(|known| digest(after).as_ref() == Some(known)) {
        let (model, version) = (model.clone(), version.clone());
        evidence.packages.push(PackageUsed { model, version, sha256 });
    }
    evidence.text()
}

/// A method's name, however long a client makes it.
fn method(method: &Method) -> String {
    method.as_str().chars().take(20).collect()
}

/// Who is named in the path, in the place of `{user_id}`.
fn named(route: &str, uri: &Uri) -> Vec<String> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = route.split('/').zip(uri.path().split('/'));
    pairs.filter(|(place, _)| *place == "{user_id}").map(|(_, id)| decoded(id)).collect()
}

fn not_kept() -> Response {
    let detail = "the audit cannot be written at the moment, and nothing is done without it";
    Problem::unavailable(detail).into_response()
}

fn not_written() -> Response {
    let detail = "the audit cannot be written, and answers wait for it; a write that was requested may have been carried out";
    Problem::unavailable(detail).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_named_in_the_path_is_concerned() {
        let uri: Uri = "/v1/users/u%2F1/recommendations?kind=drug".parse().unwrap();
        assert_eq!(named("/v1/users/{user_id}/recommendations", &uri), ["u/1"]);
        let uri: Uri = "/v1/items/u1".parse().unwrap();
        assert!(named("/v1/items/{item_id}", &uri).is_empty());
    }
}
