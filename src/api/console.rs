//! The console: the pages of `web/`, served from inside the program at `GET /`.
//!
//! The files are part of the program, so there is nothing to install and nothing to fetch from
//! elsewhere. They hold no data and no key: what a page shows it asks the documented routes for, as
//! any client does. The policy that goes with them lets a browser run these files alone and talk to
//! this server alone, and has it refuse every place where text could become markup.

use std::collections::HashMap;
use std::io::Write;
use std::sync::LazyLock;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::etag::Conditions;
use super::extract::Id;
use super::images::MAX_IMAGES;
use super::notes::MAX_RECORDS;
use super::{AppState, Problem};

include!(concat!(env!("OUT_DIR"), "/console.rs"));

/// What a browser may do with the pages.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// A file as it is sent.
struct Asset {
    media_type: &'static str,
    plain: &'static [u8],
    /// None where it would not be shorter.
    gzip: Option<Vec<u8>>,
    tag: String,
}

/// Made at the first request for any of them, so that a server without visitors starts no later.
static ASSETS: LazyLock<HashMap<&str, Asset>> =
    LazyLock::new(|| FILES.iter().map(|(name, bytes)| (*name, Asset::new(name, bytes))).collect());

/// The routes. They are no part of the contract: clients use what the pages use.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(index))
        .route("/console/settings.json", get(settings))
        .route("/console/{*file}", get(file))
}

async fn index(conditions: Conditions, headers: HeaderMap) -> Result<Response, Problem> {
    answer("index.html", &conditions, &headers)
}

async fn file(Id(file): Id, conditions: Conditions, headers: HeaderMap) -> Result<Response, Problem> {
    answer(&file, &conditions, &headers)
}

/// What the pages tell before anything is sent: limits, and whether a key is needed.
async fn settings(State(state): State<AppState>) -> impl IntoResponse {
    let settings: Json<Value> = Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "max_body_bytes": state.config.max_body_bytes,
        "max_images": MAX_IMAGES,
        "max_records": MAX_RECORDS,
        "identity": state.identity.is_configured(),
        "demo": state.config.demo,
    }));
    ([(header::CACHE_CONTROL, "no-store")], settings)
}

fn answer(name: &str, conditions: &Conditions, headers: &HeaderMap) -> Result<Response, Problem> {
    let asset = ASSETS.get(name).ok_or_else(|| Problem::not_found("the console has no such file"))?;
    let tag = HeaderValue::from_str(&format!("\"{}\"", asset.tag)).map_err(|_| Problem::internal())?;
    let mut answer = HeaderMap::new();
    let fixed = [
        // A browser asks whether it still has the right one, so that pages fit the server after an update.
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept-encoding"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    answer.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    answer.insert(header::ETAG, tag);
    if conditions.hold(&asset.tag) {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    Ok(match asset.gzip.as_deref().filter(|_| takes_gzip(headers)) {
        None => (answer, asset.plain).into_response(),
        Some(gzip) => (answer, [(header::CONTENT_ENCODING, "gzip")], gzip).into_response(),
    })
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

impl Asset {
    fn new(name: &str, plain: &'static [u8]) -> Asset {
        Asset {
            media_type: media_type(name),
            plain,
            gzip: compressed(plain).filter(|short| short.len() < plain.len()),
            tag: hex::encode(&Sha256::digest(plain)[..16]),
        }
    }
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
        _ => "application/octet-stream",
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

    #[test]
    fn every_file_has_a_media_type_and_all_are_small() {
        let unknown = media_type("x");
        for (name, _) in FILES {
            assert_ne!(media_type(name), unknown, "{name}");
        }
        let sent: usize = ASSETS.values().map(|a| a.gzip.as_ref().map_or(a.plain.len(), Vec::len)).sum();
        assert!(sent < 400 << 10, "the console is {sent} bytes compressed");
    }
}
