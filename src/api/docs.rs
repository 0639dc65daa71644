//! The contract at `GET /openapi.json`, and the page at `GET /docs/` that shows it and tries it out.
//!
//! The page is Swagger UI, of which two files are needed; they come compressed with a crate, as part of the program, and are
//! unpacked when the page is first asked for. The crate that would serve them (`utoipa-swagger-ui`) unpacks all thirteen while it is
//! built and writes down where: so the program would hold 14 MB of them, and be another in another folder.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::sync::LazyLock;

use axum::Router;
use axum::http::HeaderMap;
use axum::response::{Redirect, Response};
use axum::routing::get;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

use super::assets::Asset;
use super::etag::Conditions;
use super::{AppState, Problem};

/// What a browser may do with the page. Its styles are set on elements, its icons are in its code, and what an operation answers
/// as a file it offers as a blob.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>medserve: the API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="swagger-ui.css">
<div id="page"></div>
<script src="swagger-ui-bundle.js"></script>
<script src="start.js"></script>
"#;

/// No validator's badge: it would call out of a closed network.
const START: &str = r##"SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  validatorUrl: null,
});
"##;

/// The page, and what it loads: of Swagger UI the first two.
const PAGES: [&str; 4] = ["swagger-ui.css", "swagger-ui-bundle.js", "start.js", ""];

static CONTRACT: LazyLock<Option<Asset>> = LazyLock::new(|| {
    let contract = serde_json::to_vec(&super::router::document()).ok()?;
    Some(Asset::new("openapi.json", contract))
});

static FILES: LazyLock<HashMap<&str, Asset>> = LazyLock::new(|| {
    let file = |name: &'static str| {
        let asset = match name {
            "" => Asset::new("index.html", PAGE.as_bytes()),
            "start.js" => Asset::new(name, START.as_bytes()),
            _ => Asset::new(name, unpacked(name)?),
        };
        Some((name, asset))
    };
    PAGES.into_iter().filter_map(file).collect()
});

/// The routes. They are no part of the contract, which is one of them.
pub(super) fn routes() -> Router<AppState> {
    let mut routes = Router::new()
        .route("/openapi.json", get(contract))
        .route("/docs", get(|| async { Redirect::to("/docs/") }));
    for name in PAGES {
        let answer = move |conditions: Conditions, headers: HeaderMap| async move {
            FILES.get(name).ok_or_else(Problem::internal)?.answer(POLICY, &conditions, &headers)
        };
        routes = routes.route(&format!("/docs/{name}"), get(answer));
    }
    routes
}

async fn contract(conditions: Conditions, headers: HeaderMap) -> Result<Response, Problem> {
    CONTRACT.as_ref().ok_or_else(Problem::internal)?.answer(POLICY, &conditions, &headers)
}

/// A file of Swagger UI's distribution.
fn unpacked(name: &str) -> Option<Vec<u8>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED)).ok()?;
    let wanted = format!("/dist/{name}");
    let path = archive.file_names().flatten().find(|path| path.ends_with(&wanted))?.into_owned();
    let mut bytes = Vec::new();
    archive.by_name(&path).ok()?.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_loads_is_there() {
        let wanted = PAGE.split(['"', '\'']).filter(|part| part.ends_with(".js") || part.ends_with(".css"));
        let wanted: Vec<&str> = wanted.collect();
        assert_eq!(wanted.len(), 3);
        for name in wanted {
            assert!(FILES.contains_key(name), "{name}");
        }
    }
}
