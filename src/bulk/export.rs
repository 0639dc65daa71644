//! One export: asked for, waited for, its files read, and let go on the server.

use std::time::{Duration, Instant};

use clinical::fhir::{Bundle, Deletions, Sources};
use http::{Method, StatusCode, header};
use recommend::{Millis, clock};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::client::{Hospital, Patience, PullError, encoded, json_of, retry_after};

/// Most bytes of all files of an export together.
const MOST: usize = 2 << 30;
/// Most bytes of what says where the files are.
const MANIFEST: usize = 4 << 20;
/// Longest time for which an export is waited for.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// How far ahead of ours the server's clock may be before its time of an export is not believed, and how much of the time
/// before the export was asked for is asked for again then.
const AHEAD: Millis = 5 * 60 * 1000;
const AGAIN: Millis = 3600 * 1000;
const FHIR: &str = "application/fhir+json";
const LINES: &str = "application/fhir+ndjson";

/// What says where the files are.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    transaction_time: String,
    output: Vec<File>,
    /// Of type Bundle, each of deletions.
    #[serde(default)]
    deleted: Vec<File>,
    /// Of type OperationOutcome: messages of every severity.
    #[serde(default)]
    error: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: String,
    url: String,
}

/// Records that were pulled.
pub struct Exported {
    /// The server's time of the export, for the next one to begin with.
    pub time: String,
    /// What the files hold.
    pub bundle: Bundle,
    /// In which files.
    pub sources: Sources,
    /// What was deleted.
    pub deletions: Deletions,
    /// Errors that the server had while it exported: something is missing.
    pub errors: usize,
}

/// Pulls what has changed since the time of an earlier export, or everything.
///
/// # Errors
/// Why not.
pub async fn export(
    hospital: &mut Hospital,
    since: Option<&str>,
    patience: &impl Patience,
) -> Result<Exported, PullError> {
    let config = hospital.config();
    let mut url = format!(
        "{}/{}?_outputFormat={}&_type={}",
        config.server,
        config.export,
        encoded(LINES),
        encoded(&config.types.join(","))
    );
    let asked = clock::now();
    if let Some(since) = since.filter(|since| is_past(since, asked)) {
        url.push_str(&format!("&_since={}", encoded(since)));
    }
    let types = config.types.clone();
    let headers = [("accept", FHIR), ("prefer", "respond-async")];
    let begun = hospital.ask((&Method::GET, &url), &headers, MANIFEST, patience).await?;
    if begun.status() != StatusCode::ACCEPTED {
        return Err(unexpected("does not begin an export", begun.status()));
    }
    let place = begun.headers().get(header::CONTENT_LOCATION).and_then(|value| value.to_str().ok());
    let place = place.ok_or_else(|| {
        PullError::Unsound("the server does not say where the export can be asked for".to_string())
    })?;
    let place = place.to_string();
    let manifest = wait(hospital, &place, patience).await?;
    let (mut bundle, mut sources) = (Bundle::of(Vec::new()), Sources::default());
    let mut left = MOST;
    for (number, file) in manifest.output.iter().enumerate() {
        if !types.contains(&file.kind) {
            continue;
        }
        let name = format!("file {} ({})", number + 1, file.kind);
        let read = |text: &str| Bundle::read_lines(text).map_err(|error| error.to_string());
        let lines = read_file(hospital, (&file.url, name.clone()), &mut left, patience, read).await?;
        sources.append(&mut bundle, lines, name);
    }
    let mut deletions = Deletions::default();
    for (number, file) in manifest.deleted.iter().enumerate() {
        let name = format!("file {} of deletions", number + 1);
        let (known, types) = (std::mem::take(&mut deletions), types.clone());
        let read = move |text: &str| {
            let mut read = known;
            read.read_lines(text, &types).map_err(|error| error.to_string())?;
            Ok(read)
        };
        deletions = read_file(hospital, (&file.url, name), &mut left, patience, read).await?;
    }
    deletions.leave_out(&bundle);
    bundle.set_server(&hospital.config().server);
    deletions.set_server(&hospital.config().server);
    let said = clock::parse_time(manifest.transaction_time.trim());
    deletions.time = said.filter(|time| *time <= clock::now() + AHEAD).or(Some(asked));
    let mut errors = 0;
    for (number, file) in manifest.error.iter().enumerate() {
        let name = format!("file {} of errors", number + 1);
        let read =
            |text: &str| Ok(text.lines().filter(|line| !line.trim().is_empty() && is_error(line)).count());
        errors += read_file(hospital, (&file.url, name), &mut left, patience, read).await?;
    }
    // The server may forget it now; where it does not care, it forgets it some day.
    let _ = hospital.ask((&Method::DELETE, &place), &[("accept", FHIR)], MANIFEST, patience).await;
    let time = next_since(manifest.transaction_time, asked, clock::now());
    Ok(Exported { time, bundle, sources, deletions, errors })
}

/// Whether something may have changed since this time: since one that is to come nothing ever has.
fn is_past(time: &str, now: Millis) -> bool {
    let past = clock::parse_time(time).is_none_or(|time| time <= now + AHEAD);
    if !past {
        tracing::warn!("the last export's time is still to come; everything is asked for");
    }
    past
}

/// Up to when an export went, for the next one to begin with: the server's word, or where that is no time or still to come
/// the time at which it was asked for, and somewhat before.
fn next_since(said: String, asked: Millis, now: Millis) -> String {
    match clock::parse_time(said.trim()) {
        Some(time) if time <= now + AHEAD => said,
        time => {
            let seconds_ahead = time.map(|time| (time - now) / 1000);
            tracing::warn!(
                seconds_ahead,
                "the server's time of the export (transactionTime) is none, or still to come; the next export begins an hour \
                 before this one was asked for"
            );
            clock::rfc3339(asked - AGAIN)
        }
    }
}

/// Whether an OperationOutcome is of an error; warnings and information stand in the same files.
fn is_error(line: &str) -> bool {
    #[derive(Deserialize)]
    struct Outcome {
        issue: Vec<Issue>,
    }
    #[derive(Deserialize)]
    struct Issue {
        severity: String,
    }
    let outcome: Result<Outcome, _> = serde_json::from_str(line);
    outcome.map_or(true, |outcome| {
        outcome.issue.iter().any(|issue| ["fatal", "error"].contains(&issue.severity.as_str()))
    })
}

/// A file of the export, read on a thread of its own.
async fn read_file<T: Send + 'static>(
    hospital: &mut Hospital,
    (url, name): (&str, String),
    left: &mut usize,
    patience: &impl Patience,
    read: impl FnOnce(&str) -> Result<T, String> + Send + 'static,
) -> Result<T, PullError> {
    let answer = hospital.ask((&Method::GET, url), &[("accept", LINES)], *left, patience).await?;
    if answer.status() != StatusCode::OK {
        return Err(unexpected("does not give a file of the export", answer.status()));
    }
    let text = answer.into_body();
    *left -= text.len();
    let read = move || read(std::str::from_utf8(&text).map_err(|_| "it is not UTF-8".to_string())?);
    let read = spawn_blocking(read).await.map_err(|error| PullError::Store(error.to_string()))?;
    read.map_err(|error| PullError::Unsound(format!("{name}: {error}")))
}

async fn wait(hospital: &mut Hospital, place: &str, patience: &impl Patience) -> Result<Manifest, PullError> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        let answer = hospital
            .ask((&Method::GET, place), &[("accept", "application/json")], MANIFEST, patience)
            .await?;
        match answer.status() {
            StatusCode::OK => return json_of(&answer, "a list of files"),
            StatusCode::ACCEPTED => patience.wait(retry_after(answer.headers())).await,
            status => return Err(unexpected("does not finish the export", status)),
        }
    }
    Err(PullError::Unreached("the server did not finish the export within a day".to_string()))
}

fn unexpected(what: &str, status: StatusCode) -> PullError {
    let words = format!("the server {what} (it answered {})", status.as_u16());
    match status.is_server_error() {
        true => PullError::Unreached(words),
        false => PullError::Refused(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_still_to_come_is_not_believed() {
        let of = |text: &str| clock::parse_time(text).unwrap();
        let (asked, now) = (of("2026-03-01T09:00:00Z"), of("2026-03-01T09:30:00Z"));
        let next = |said: &str| next_since(said.to_string(), asked, now);
        for said in ["2026-03-01T09:10:00.000+00:00", "2026-03-01T09:34:00Z", "2001-01-01T00:00:00Z"] {
            assert_eq!(next(said), said);
            assert!(is_past(said, now));
        }
        for said in ["2999-01-01T00:00:00Z", "2026-03-01T09:36:00Z", "yesterday", ""] {
            assert_eq!(next(said), "2026-03-01T08:00:00.000Z", "{said}");
        }
        assert!(!is_past("2999-01-01T00:00:00Z", now));
    }
}
