//! The console: its pages come from inside the program, under a policy that lets them run nothing of
//! anybody else's, and a demonstration gives it an administrator's key.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::{Client, Response, StatusCode};
use serde_json::Value;

use crate::support::{Server, api_key, copy_model, shipped_models};

/// A server without models, which pages do not need.
fn start(arguments: &[&str]) -> (Server, tempfile::TempDir) {
    let models = tempfile::tempdir().unwrap();
    (Server::start(models.path(), arguments), models)
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// The files that a page or a module names: what follows `start` up to the quote that ends it.
fn named<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split(['"', '`']).next()).collect()
}

#[tokio::test]
async fn a_browser_gets_the_console_and_everything_it_loads() {
    let (server, _models) = start(&[]);
    let page = reqwest::get(server.at("/")).await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
    let policy = header(&page, "content-security-policy").to_string();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.split("; ").any(|one| one.trim() == part), "{part} is not in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(header(&page, "x-content-type-options"), "nosniff");
    assert_eq!(header(&page, "referrer-policy"), "no-referrer");
    let html = page.text().await.unwrap();
    assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains("onclick"), "{html}");

    // From the page through the modules, whatever is named is there, with the media type that a browser asks of it.
    let mut waiting: Vec<String> = named(&html, "\"/console/").into_iter().map(str::to_string).collect();
    let mut seen = BTreeSet::new();
    while let Some(file) = waiting.pop() {
        if !seen.insert(file.clone()) {
            continue;
        }
        let response = reqwest::get(server.at(&format!("/console/{file}"))).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{file}");
        let media_type = match file.rsplit_once('.').unwrap().1 {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(header(&response, "content-type"), media_type, "{file}");
        assert_eq!(header(&response, "content-security-policy"), policy, "{file}");
        let text = response.text().await.unwrap();
        assert!(!text.contains("innerHTML") && !text.contains("eval("), "{file}");
        let foreign = text.replace("http://www.w3.org/2000/svg", "");
        assert!(
            named(&foreign, "\"https://").is_empty() && named(&foreign, "\"http://").is_empty(),
            "{file}"
        );
        if file == "app.js" {
            let pages = ["images", "notes", "people", "cases", "models", "operations", "audit"];
            waiting.extend(pages.map(|page| format!("pages/{page}.js")));
        }
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        for import in named(&text, "from \"") {
            let up = import.strip_prefix("../");
            let path = up.or_else(|| import.strip_prefix("./")).unwrap_or_else(|| panic!("{file}: {import}"));
            let base = if up.is_some() || folder.is_empty() { String::new() } else { format!("{folder}/") };
            waiting.push(format!("{base}{path}"));
        }
    }
    assert!(seen.contains("words/zh.js") && seen.contains("lib/dom.js") && seen.len() > 20, "{seen:?}");
}

#[tokio::test]
async fn a_file_that_the_browser_has_is_not_sent_again_and_goes_compressed_to_those_who_ask() {
    let (server, _models) = start(&[]);
    let client = Client::new();
    let plain = client.get(server.at("/console/app.js")).send().await.unwrap();
    assert_eq!(header(&plain, "content-encoding"), "");
    assert_eq!(header(&plain, "cache-control"), "no-cache");
    let tag = header(&plain, "etag").to_string();
    let text = plain.bytes().await.unwrap();

    let again = client.get(server.at("/console/app.js")).header("if-none-match", &tag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(again.bytes().await.unwrap().len(), 0);

    let short =
        client.get(server.at("/console/app.js")).header("accept-encoding", "gzip, br").send().await.unwrap();
    assert_eq!((header(&short, "content-encoding"), header(&short, "vary")), ("gzip", "accept-encoding"));
    let short = short.bytes().await.unwrap();
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&short[..]), &mut read).unwrap();
    assert!(short.len() < text.len() && read == text);
}

#[tokio::test]
async fn what_is_not_there_stays_a_problem() {
    let (server, _models) = start(&[]);
    for path in [
        "/console/nothing.js",
        "/console/",
        "/console/..%2fCargo.toml",
        "/console/words",
        "/index.html",
        "/images",
    ] {
        let response = reqwest::get(server.at(path)).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(header(&response, "content-type"), "application/problem+json", "{path}");
    }
    let response = Client::new().post(server.at("/")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(header(&response, "content-type"), "application/problem+json");
}

#[tokio::test]
async fn limits_are_told_before_anything_is_sent() {
    let entry = api_key("ward", "classify", "secret");
    let (server, _models) = start(&["--max-body-bytes", "12345", "--api-keys", &entry]);
    // Without a key: the page asks for one after it has been loaded.
    let settings: Value =
        reqwest::get(server.at("/console/settings.json")).await.unwrap().json().await.unwrap();
    assert_eq!(settings["max_body_bytes"], 12345);
    assert_eq!((settings["identity"].as_bool(), settings["demo"].as_bool()), (Some(true), Some(false)));
    assert!(settings["max_images"].as_u64() > Some(0) && settings["max_records"].as_u64() > Some(0));
    assert_eq!(reqwest::get(server.at("/")).await.unwrap().status(), StatusCode::OK);
    assert_eq!(reqwest::get(server.at("/v1/models")).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert!(!server.said().contains("#key="), "{}", server.said());
}

/// The key in the address that a demonstration prints.
async fn printed(server: &Server) -> String {
    let start = Instant::now();
    loop {
        if let Some((_, rest)) = server.said().split_once("/#key=")
            && let Some(key) = rest.split_whitespace().next()
        {
            return key.to_string();
        }
        assert!(start.elapsed() < Duration::from_secs(60), "no key in {:?}", server.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_demonstration_prints_an_administrators_key_and_stays_open_to_everybody_else() {
    let (server, _models) = start(&["--demo"]);
    let key = printed(&server).await;
    assert!(!server.log().contains(&key));
    let client = Client::new();
    let audit = |key: Option<String>| {
        let request = client.get(server.at("/v1/audit"));
        key.map_or(request.try_clone().unwrap(), |key| request.bearer_auth(key)).send()
    };
    assert_eq!(audit(Some(key.clone())).await.unwrap().status(), StatusCode::OK);
    let refused = audit(None).await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let problem: Value = refused.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("printed"), "{problem}");
    // A key of an earlier run is not taken for nobody's.
    assert_eq!(audit(Some("medserve_old".to_string())).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let open = reqwest::get(server.at("/v1/users/u1/recommendations?kind=advice")).await.unwrap();
    assert_eq!(open.status(), StatusCode::OK);

    // Beside keys that are configured it opens no door to those without one.
    let entry = api_key("ward", "classify", "secret");
    let (server, _models) = start(&["--demo", "--api-keys", &entry]);
    let key = printed(&server).await;
    assert_eq!(reqwest::get(server.at("/v1/models")).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let models = client.get(server.at("/v1/models")).bearer_auth(key).send().await.unwrap();
    assert_eq!(models.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_server_that_others_can_reach_gets_no_key_of_its_own() {
    let (server, _models) = start(&["--demo", "--listen", "0.0.0.0:0", "--allow-anonymous"]);
    let port = server.url.rsplit_once(':').unwrap().1.to_string();
    let audit = reqwest::get(format!("http://127.0.0.1:{port}/v1/audit")).await.unwrap();
    assert_eq!(audit.status(), StatusCode::UNAUTHORIZED);
    assert!(!server.said().contains("#key="), "{}", server.said());
}

#[tokio::test]
async fn a_training_report_is_for_administrators_and_nothing_in_it_runs() {
    let models = tempfile::tempdir().unwrap();
    let folder = copy_model("triage", models.path());
    std::fs::write(folder.join("report.html"), "<!doctype html><title>triage</title>").unwrap();
    let keys = [api_key("ward", "classify", "secret"), api_key("boss", "admin", "boss")].join(",");
    let server = Server::start(models.path(), &["--api-keys", &keys]);
    let get = |path: &str, key: &str| Client::new().get(server.at(path)).bearer_auth(key).send();
    let described: Value = get("/v1/models/triage", "ward").await.unwrap().json().await.unwrap();
    assert!(described["report"].is_null(), "another's key says nothing: {described}");
    let described: Value = get("/v1/models/triage", "secret").await.unwrap().json().await.unwrap();
    assert_eq!(described["report"], true);
    let refused = get("/v1/models/triage/report", "secret").await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let page = get("/v1/models/triage/report", "boss").await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert!(header(&page, "content-security-policy").contains("sandbox"));
    assert!(header(&page, "content-type").starts_with("text/html"));

    std::fs::remove_file(folder.join("report.html")).unwrap();
    let gone = get("/v1/models/triage/report", "boss").await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    let gone: Value = gone.json().await.unwrap();
    assert!(gone["detail"].as_str().unwrap().contains("--report"), "{gone}");
}

#[tokio::test]
async fn a_card_comes_with_the_plots_that_it_names_and_nothing_else() {
    let server = Server::start(&shipped_models(), &[]);
    let plot = reqwest::get(server.at("/v1/models/triage/plots/roc.svg")).await.unwrap();
    assert_eq!((plot.status(), header(&plot, "content-type")), (StatusCode::OK, "image/svg+xml"));
    assert!(header(&plot, "content-security-policy").contains("sandbox"));
    assert!(plot.text().await.unwrap().contains("<svg"));
    // One that became a link after the package was read is not followed.
    let models = tempfile::tempdir().unwrap();
    let folder = models.path().join("triage/1");
    let from = shipped_models().join("triage/1");
    std::fs::create_dir_all(folder.join("plots")).unwrap();
    for name in std::fs::read_dir(&from).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        std::fs::copy(name.path(), folder.join(name.file_name())).unwrap();
    }
    let other = Server::start(models.path(), &[]);
    std::os::unix::fs::symlink("/etc/passwd", folder.join("plots/roc.svg")).unwrap();
    let link = reqwest::get(other.at("/v1/models/triage/plots/roc.svg")).await.unwrap();
    assert_eq!(link.status(), StatusCode::NOT_FOUND);
    for path in [
        "triage/plots/none.svg",
        "triage/plots/..%2fmanifest.json",
        "triage/plots/..%2f..%2f..%2fpneumonia%2f1%2fplots%2froc.svg",
        "nobody/plots/roc.svg",
    ] {
        let response = reqwest::get(server.at(&format!("/v1/models/{path}"))).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(header(&response, "content-type"), "application/problem+json", "{path}");
    }
}
