//! The console: the pages of `web/`, served from inside the program at `GET /`.
//!
//! The files are part of the program, so there is nothing to install and nothing to fetch from
//! elsewhere. They hold no data and no key: what a page shows it asks the documented routes for, as
//! any client does. The policy that goes with them lets a browser run these files alone and talk to
//! this server alone, and has it refuse every place where text could become markup.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::assets::Asset;
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

/// Made at the first request for any of them, so that a server without visitors starts no later.
static ASSETS: LazyLock<HashMap<&str, Asset>> =
    LazyLock::new(|| FILES.iter().map(|(name, bytes)| (*name, Asset::new(name, *bytes))).collect());

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
    asset.answer(POLICY, conditions, headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::assets;

    #[test]
    fn every_file_has_a_media_type_and_all_are_small() {
        for (name, asset) in ASSETS.iter() {
            assert_ne!(asset.media_type, assets::UNKNOWN, "{name}");
        }
        let sent: usize = ASSETS.values().map(Asset::sent_bytes).sum();
        assert!(sent < 400 << 10, "the console is {sent} bytes compressed");
    }
}
