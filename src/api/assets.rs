//! Files that are part of the program and that a browser asks for: the console's, and those of the contract's page.
//!
//! Each is sent as it is or as gzip, with a tag by which a browser sees whether it still has the right one, and with the
//! policy that says what it may do with it.

use std::borrow::Cow;
use std::io::Write;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::Problem;
use super::etag::Conditions;

/// The media type of a file whose name says none.
pub(super) const UNKNOWN: &str = "application/octet-stream";

/// A file as it is sent.
pub(super) struct Asset {
    pub(super) media_type: &'static str,
    plain: Bytes,
    /// None where it would not be shorter.
    gzip: Option<Bytes>,
    tag: String,
}

impl Asset {
    pub(super) fn new(name: &str, plain: impl Into<Cow<'static, [u8]>>) -> Asset {
        let plain = match plain.into() {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        };
        Asset {
            media_type: media_type(name),
            gzip: compressed(&plain).filter(|short| short.len() < plain.len()).map(Bytes::from),
            tag: hex::encode(&Sha256::digest(&plain)[..16]),
            plain,
        }
    }

    /// The answer to a client, with what a browser may do with it.
    ///
    /// # Errors
    /// None that a request could cause.
    pub(super) fn answer(
        &self,
        policy: &'static str,
        conditions: &Conditions,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let tag = HeaderValue::from_str(&format!("\"{}\"", self.tag)).map_err(|_| Problem::internal())?;
        let mut answer = HeaderMap::new();
        let fixed = [
            // A browser asks whether it still has the right one, so that pages fit the server after an update.
            (header::CACHE_CONTROL, "no-cache"),
            (header::VARY, "accept-encoding"),
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ];
        answer.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
        answer.insert(header::ETAG, tag);
        if conditions.hold(&self.tag) {
            return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
        }
        answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        Ok(match self.gzip.clone().filter(|_| takes_gzip(headers)) {
            None => (answer, self.plain.clone()).into_response(),
            Some(gzip) => (answer, [(header::CONTENT_ENCODING, "gzip")], gzip).into_response(),
        })
    }

    #[cfg(test)]
    pub(super) fn sent_bytes(&self) -> usize {
        self.gzip.as_ref().unwrap_or(&self.plain).len()
    }
}

/// Whether the client reads gzip (RFC 9110, section 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_some_and(|q| q > 0.0)
    })
}

fn compressed(plain: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok()
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "json" | "webmanifest" => "application/json",
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_take_it() {
        let takes = |value: &str| {
            takes_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, value.parse().unwrap())]))
        };
        assert!(takes("gzip") && takes("br, GZIP;q=0.5") && takes("deflate, gzip;q=1.0, *;q=0.5"));
        assert!(!takes("br") && !takes("gzip;q=0") && !takes("identity") && !takes("gzip;level=9"));
    }
}
