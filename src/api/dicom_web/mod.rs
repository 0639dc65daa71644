//! DICOMweb (PS3.18) under `/dicom-web`: images are stored to be answered (STOW-RS), and what was made of them is
//! searched for and retrieved (QIDO-RS, WADO-RS). Images themselves are not kept.

mod matching;
pub mod multipart;
pub mod retrieve;
pub mod search;
pub mod store;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use clinical::dicom::data_set::EXPLICIT_LITTLE;
use clinical::dicom::uid::is_uid;

use super::accept;
use super::extract::cut;
use super::{AppState, Problem};
use crate::store::dicom::ResultQuery;

/// DICOM's JSON.
pub const JSON: &str = "application/dicom+json";
/// DICOM's XML.
pub const XML: &str = "application/dicom+xml";
/// A DICOM file.
pub const DICOM: &str = "application/dicom";

/// In what form a client takes files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forms {
    /// Several, as parts of one answer.
    pub parts: bool,
    /// One as it is, and rather than as a part.
    pub alone: bool,
}

/// The forms that a client takes; parts where it has no wish. Everything is in one transfer syntax, so that a range of
/// another is none that is answered.
pub fn forms(headers: &HeaderMap) -> Forms {
    let mut ranges = accept::ranges(headers);
    if ranges.is_empty() {
        return Forms { parts: true, alone: false };
    }
    ranges.retain(|range| {
        let inner = range.parameter("type").filter(|_| range.essence == "multipart/related");
        range.parameter("transfer-syntax").is_none_or(|syntax| ["*", EXPLICIT_LITTLE].contains(&syntax))
            && inner.is_none_or(|inner| inner.eq_ignore_ascii_case(DICOM))
    });
    let Some(first) = ranges.first() else { return Forms { parts: false, alone: false } };
    let (parts, alone) = (accept::weight(&ranges, &["multipart/related"]), accept::weight(&ranges, &[DICOM]));
    Forms {
        parts: parts > 0.0,
        alone: alone > parts || (alone > 0.0 && alone == parts && first.essence == DICOM),
    }
}

/// Refuses who accepts no JSON, in which attributes are answered, and in nothing else.
///
/// # Errors
/// 406.
pub fn in_json(headers: &HeaderMap) -> Result<(), Problem> {
    match accept::weight(&accept::ranges(headers), &[JSON, "application/json"]) > 0.0 {
        true => Ok(()),
        false => {
            let detail = format!("attributes are answered in {JSON}; {XML} is not available");
            Err(Problem::new(StatusCode::NOT_ACCEPTABLE, detail))
        }
    }
}

/// A UID of the path.
///
/// # Errors
/// 400 for what is none.
pub fn uid(text: &str) -> Result<String, Problem> {
    match is_uid(text) {
        true => Ok(text.to_string()),
        false => Err(Problem::bad_request(format!(
            "\"{}\" is no UID: at most 64 digits and dots are accepted",
            cut(text)
        ))),
    }
}

/// Where a client finds this server's DICOMweb service, by the address that it asked.
pub fn base(state: &AppState, headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = if state.config.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{host}/dicom-web")
}

/// The content type of an answer.
fn content_type(kind: &'static str) -> [(header::HeaderName, HeaderValue); 1] {
    [(header::CONTENT_TYPE, HeaderValue::from_static(kind))]
}

/// What was made of a study.
fn of_study(study: &str) -> Result<ResultQuery, Problem> {
    Ok(ResultQuery { study: uid(study)?, ..ResultQuery::default() })
}

/// What was made in a series of it.
fn of_series(study: &str, series: &str) -> Result<ResultQuery, Problem> {
    let query = of_study(study)?;
    Ok(ResultQuery { series: uid(series)?, ..query })
}

/// One object of that.
fn of_instance(study: &str, series: &str, instance: &str) -> Result<ResultQuery, Problem> {
    let query = of_series(study, series)?;
    Ok(ResultQuery { sop_instance: uid(instance)?, ..query })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sent_in_the_form_that_is_wished_most() {
        let parts = "multipart/related; type=\"application/dicom\"";
        for (accept, several, one) in [
            (format!("{parts}; transfer-syntax=*, */*;q=0.1"), true, false),
            (format!("{parts};transfer-syntax={EXPLICIT_LITTLE}"), true, false),
            (format!("{parts}; transfer-syntax=1.2.840.10008.1.2.4.50"), false, false),
            (format!("{parts}; q=0.2, Application/DICOM"), true, true),
            (format!("application/dicom; q=0.2, {parts}"), true, false),
            (format!("application/dicom, {parts}"), true, true),
            (format!("{parts}, application/dicom"), true, false),
            ("*/*".to_owned(), true, false),
            ("multipart/*".to_owned(), true, false),
            ("*/*, multipart/related;q=0".to_owned(), false, true),
            (format!("{parts};q=0, application/dicom;q=0"), false, false),
            ("multipart/related; type=\"application/octet-stream\"".to_owned(), false, false),
            ("image/jpeg".to_owned(), false, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_str(&accept).unwrap());
            assert_eq!(forms(&headers), Forms { parts: several, alone: one }, "{accept}");
        }
        assert_eq!(forms(&HeaderMap::new()), Forms { parts: true, alone: false });
        assert!(uid("1.2.3").is_ok() && uid("1.2.x").is_err());
    }
}
