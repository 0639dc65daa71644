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
use super::extract::{cut, media_type};
use super::{AppState, Problem};
use crate::store::dicom::ResultQuery;

/// DICOM's JSON.
pub const JSON: &str = "application/dicom+json";
/// DICOM's XML.
pub const XML: &str = "application/dicom+xml";
/// A DICOM file.
pub const DICOM: &str = "application/dicom";

/// Media types that a client accepts, in the order in which it names them, in small letters; parameters are left out
/// but for `type`, which stands for a multipart type, and a transfer syntax that nothing here is in.
pub fn accepted(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let kind = |range: &str| {
        let essence = media_type(range).to_ascii_lowercase();
        let of = range.split(';').skip(1).filter_map(|parameter| parameter.trim().split_once('='));
        let of: Vec<(&str, &str)> = of.collect();
        // What is not accepted is none that is answered.
        let weight = of.iter().find(|(name, _)| name.eq_ignore_ascii_case("q"));
        if weight.is_some_and(|(_, weight)| weight.trim().parse() == Ok(0.0_f32)) {
            return format!("{essence}; q=0");
        }
        let inner = of.iter().find(|(name, _)| name.eq_ignore_ascii_case("type"));
        // Everything is in one transfer syntax; a range of another is none that is answered.
        let syntax = of.iter().find(|(name, _)| name.eq_ignore_ascii_case("transfer-syntax"));
        if let Some((_, syntax)) = syntax
            && !["*", EXPLICIT_LITTLE].contains(&syntax.trim_matches('"'))
        {
            return format!("{essence}; transfer-syntax={syntax}");
        }
        match (essence.as_str(), inner) {
            ("multipart/related", Some((_, inner))) => {
                format!("multipart/related; {}", inner.trim_matches('"').to_ascii_lowercase())
            }
            _ => essence,
        }
    };
    values.flat_map(|value| value.split(',')).map(kind).filter(|kind| !kind.is_empty()).collect()
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
    fn what_is_accepted_is_told_from_its_parameters() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::ACCEPT,
            HeaderValue::from_static(
                "multipart/related; type=\"application/dicom\"; transfer-syntax=*, */*;q=0.1",
            ),
        );
        headers.append(header::ACCEPT, HeaderValue::from_static("Application/DICOM+JSON"));
        assert_eq!(accepted(&headers), ["multipart/related; application/dicom", "*/*", JSON]);
        let jpeg = "multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2.4.50";
        headers.insert(header::ACCEPT, HeaderValue::from_static(jpeg));
        assert_eq!(accepted(&headers), ["multipart/related; transfer-syntax=1.2.840.10008.1.2.4.50"]);
        assert!(uid("1.2.3").is_ok() && uid("1.2.x").is_err());
    }
}
