//! Who is let in, black box: keys, tokens, scopes, how often, and over what.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::{Server, api_key, logged, shipped_models};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, Method, RequestBuilder, Response};
use ring::hmac;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};
use tokio_rustls::rustls::crypto;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const SECRET: &str = "a secret of thirty-two bytes or more, shared";
const ISSUER: &str = "https://login.example.org";

fn note() -> Value {
    json!({"model": "triage", "records": [{"note": "chest pain"}]})
}

/// One request for each scope.
fn requests(server: &Server) -> [(&'static str, RequestBuilder); 4] {
    let at = |method, path| Client::new().request(method, server.at(path));
    [
        ("classify", at(Method::POST, "/v1/notes/classify").json(&note())),
        ("recommend", at(Method::GET, "/v1/users/nobody/recommendations?kind=drug")),
        ("write", at(Method::PUT, "/v1/users/u1").json(&json!({"profile": {}}))),
        ("admin", at(Method::GET, "/v1/audit")),
    ]
}

async fn assert_problem(response: Response, status: u16, words: &str) {
    let got = response.status().as_u16();
    let challenged = response.headers().contains_key("www-authenticate");
    let problem: Value = response.json().await.unwrap();
    assert_eq!((got, challenged), (status, status == 401), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_say_and_nothing_else() {
    let keys = ["classify", "recommend", "write", "admin"]
        .map(|scope| api_key(scope, scope, &format!("key-{scope}")));
    let server = Server::start(&shipped_models(), &["--api-keys", &keys.join(",")]);
    for held in ["classify", "recommend", "write", "admin"] {
        for (needed, request) in requests(&server) {
            let response = request.bearer_auth(format!("key-{held}")).send().await.unwrap();
            match held == needed || held == "admin" {
                true => assert!([200, 404].contains(&response.status().as_u16()), "{held} for {needed}"),
                false => assert_problem(response, 403, &format!("the scope {needed}")).await,
            }
        }
    }
    for (_, request) in requests(&server) {
        assert_problem(request.try_clone().unwrap().send().await.unwrap(), 401, "authorization: Bearer")
            .await;
        let basic = request.try_clone().unwrap().basic_auth("key-admin", Some("key-admin"));
        assert_problem(basic.send().await.unwrap(), 401, "authorization: Bearer").await;
        assert_problem(
            request.bearer_auth("key-nobody").send().await.unwrap(),
            401,
            "unknown or has expired",
        )
        .await;
    }
    let twice =
        Client::new().get(server.at("/v1/audit")).bearer_auth("key-admin").bearer_auth("key-classify");
    assert_problem(twice.send().await.unwrap(), 401, "unknown").await;
    for open in ["/health/live", "/health/ready", "/health/startup", "/metrics", "/openapi.json", "/docs/"] {
        assert_eq!(reqwest::get(server.at(open)).await.unwrap().status(), 200, "{open}");
    }
    assert_eq!(reqwest::get(server.at("/v1/models")).await.unwrap().status(), 401);
    assert_eq!(reqwest::get(server.at("/nothing")).await.unwrap().status(), 404);
    let log = server.terminate().1;
    assert!(!log.contains("key-"), "a key is in the log: {log}");
}

#[tokio::test]
async fn a_key_is_made_and_used() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_medserve")).args(["key", "ward-7", "classify"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().map(|line| line.rsplit_once(": ").unwrap().1).collect();
    let (key, entry) = (lines[0], lines[1]);
    assert!(!entry.contains(key));
    let server = Server::start(&shipped_models(), &["--api-keys", entry]);
    let [(_, request), ..] = requests(&server);
    assert_eq!(request.bearer_auth(key).send().await.unwrap().status(), 200);
}

/// What signs a token.
enum Key {
    Shared(hmac::Key),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    fn shared(secret: &str) -> Key {
        Key::Shared(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }
}

/// A token with these claims changed.
fn token(kid: Option<&str>, key: &Key, changes: Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({
        "sub": "dr-lee", "iss": ISSUER, "aud": "medserve", "exp": now + 600, "scope": "openid classify"
    });
    for (name, value) in changes.as_object().unwrap() {
        match value.as_i64() {
            Some(seconds) => claims[name] = json!(now as i64 + seconds),
            None => claims[name] = value.clone(),
        }
    }
    let algorithm = match key {
        Key::Shared(_) => "HS256",
        Key::Ed25519(_) => "EdDSA",
    };
    let mut header = json!({"alg": algorithm, "typ": "JWT"});
    if let Some(kid) = kid {
        header["kid"] = json!(kid);
    }
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = match key {
        Key::Shared(key) => URL_SAFE_NO_PAD.encode(hmac::sign(key, signed.as_bytes())),
        Key::Ed25519(pair) => URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes())),
    };
    format!("{signed}.{signature}")
}

/// The key pair of RFC 8037, appendix A.
fn ed25519() -> Key {
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let seed: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&seed[2 * at..2 * at + 2], 16).unwrap()).collect();
    Key::Ed25519(Ed25519KeyPair::from_seed_unchecked(&seed).unwrap())
}

const ED25519_PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

/// A server that believes two keys of a file.
fn with_tokens(folder: &Path) -> Server {
    with_tokens_and(folder, &shipped_models(), &[])
}

fn with_tokens_and(folder: &Path, models: &Path, more: &[&str]) -> Server {
    let file = folder.join("jwks.json");
    let keys = json!({"keys": [
        {"kty": "oct", "kid": "shared", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(SECRET)},
        {"kty": "OKP", "crv": "Ed25519", "kid": "signing", "alg": "EdDSA", "use": "sig", "x": ED25519_PUBLIC},
        {"kty": "unheard-of", "kid": "new"},
    ]});
    std::fs::write(&file, keys.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let tokens = ["--jwt-keys", file, "--jwt-issuer", ISSUER, "--jwt-audience", "medserve"];
    Server::start(models, &[&tokens, more].concat())
}

#[tokio::test]
async fn a_token_names_its_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let site = |site: Value| {
        token(Some("shared"), &Key::shared(SECRET), json!({"scope": "write", "site": site, "tenant": "west"}))
    };
    let server = with_tokens_and(
        folder.path(),
        folder.path(),
        &["--tenants", "north,south", "--jwt-tenant-claim", "site"],
    );
    let user = server.at("/v1/users/u1");
    let put = Client::new().put(&user).bearer_auth(site(json!("north"))).json(&json!({"profile": {}}));
    assert_eq!(put.send().await.unwrap().status(), 200);
    let without = token(Some("shared"), &Key::shared(SECRET), json!({"scope": "write"}));
    for (token, status) in [
        (site(json!("north")), 200),
        (site(json!("south")), 404),
        (without, 404),
        (site(json!("west")), 401),
        (site(json!("")), 401),
        (site(json!(["north"])), 401),
    ] {
        assert_eq!(
            Client::new().get(&user).bearer_auth(&token).send().await.unwrap().status(),
            status,
            "{token}"
        );
    }
    let none = with_tokens_and(folder.path(), folder.path(), &[]);
    let ask = Client::new().get(none.at("/v1/users/u1")).bearer_auth(site(json!("north")));
    assert_eq!(ask.send().await.unwrap().status(), 404, "where there are no tenants the claim is not read");
}

#[tokio::test]
async fn a_token_is_believed_if_it_is_signed_for_us_and_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_tokens(folder.path());
    let ask = async |token: String| {
        let [(_, request), ..] = requests(&server);
        request.bearer_auth(token).send().await.unwrap()
    };
    let shared = Key::shared(SECRET);
    let hs = |changes| token(Some("shared"), &shared, changes);
    assert_eq!(ask(hs(json!({}))).await.status(), 200);
    assert_eq!(ask(token(Some("signing"), &ed25519(), json!({}))).await.status(), 200);
    assert_eq!(ask(token(None, &ed25519(), json!({}))).await.status(), 200);
    assert_eq!(
        ask(hs(json!({"scope": "", "scp": ["classify"], "aud": ["other", "medserve"]}))).await.status(),
        200
    );
    assert_problem(ask(hs(json!({"scope": "openid recommend"}))).await, 403, "classify").await;

    let public = Key::shared(ED25519_PUBLIC);
    let other = Key::shared("another secret of thirty-two bytes or more");
    let unsigned = {
        let whole = hs(json!({}));
        let parts: Vec<&str> = whole.split('.').collect();
        // {"alg":"none"}
        format!("eyJhbGciOiJub25lIn0.{}.", parts[1])
    };
    for (why, bad) in [
        ("expired", hs(json!({"exp": -3600}))),
        ("not yet", hs(json!({"nbf": 3600}))),
        ("another issuer", hs(json!({"iss": "https://elsewhere.example.org"}))),
        ("another audience", hs(json!({"aud": "someone-else"}))),
        ("no subject", hs(json!({"sub": ""}))),
        ("no audience", hs(json!({"aud": null}))),
        ("another key", token(Some("shared"), &other, json!({}))),
        ("a public key for a secret", token(Some("signing"), &public, json!({}))),
        ("a key that is not there", token(Some("none"), &shared, json!({}))),
        ("not signed", unsigned),
        ("cut short", hs(json!({}))[..40].to_string()),
    ] {
        assert_eq!(ask(bad).await.status(), 401, "{why}");
    }
}

#[test]
fn keys_of_tokens_that_cannot_be_read_are_said_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    for text in ["{}", "{\"keys\": []}", "{\"keys\": [{\"kty\": \"oct\", \"k\": \"c2hvcnQ\"}]}", "secret"] {
        std::fs::write(&file, text).unwrap();
        let arguments = ["--jwt-keys", file.to_str().unwrap(), "--jwt-issuer", "i", "--jwt-audience", "a"];
        let output =
            Command::new(env!("CARGO_BIN_EXE_medserve")).arg("serve").args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("jwks.json"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[tokio::test]
async fn each_caller_asks_so_often_and_no_more() {
    let keys = [api_key("one", "classify", "key-one"), api_key("two", "classify", "key-two")].join(",");
    let server = Server::start(&shipped_models(), &["--api-keys", &keys, "--rate-limit", "2"]);
    let ask =
        async |key: &str| Client::new().get(server.at("/v1/models")).bearer_auth(key).send().await.unwrap();
    let mut refused = None;
    for _ in 0..50 {
        let response = ask("key-one").await;
        if response.status() == 429 {
            refused = Some(response);
            break;
        }
        assert_eq!(response.status(), 200);
    }
    let refused = refused.expect("fifty requests went through where two a second may");
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_problem(refused, 429, "more requests than").await;
    assert_eq!(ask("key-two").await.status(), 200, "another caller is not meant");
    assert_eq!(reqwest::get(server.at("/health/live")).await.unwrap().status(), 200);
}

#[test]
fn with_a_certificate_the_server_speaks_tls() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let arguments = ["--tls-certificate", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let server = Server::start(&shipped_models(), &arguments);
    assert!(server.url.starts_with("https://"), "{}", server.url);

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(made.cert.der().to_vec())).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let address = server.url.trim_start_matches("https://");
    let socket = TcpStream::connect(address).unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket);
    stream.write_all(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    // The server may close without a farewell once it has said everything.
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let health = |certificate: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_medserve"));
        command.args(["health", "--address", address, "--tls-certificate"]).arg(certificate).status().unwrap()
    };
    assert!(health(&certificate).success());
    let other = folder.path().join("other.pem");
    let another = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
    std::fs::write(&other, another.cert.pem()).unwrap();
    assert!(!health(&other).success(), "it believed a certificate that is not the server's");

    let swapped = ["--tls-certificate", key.to_str().unwrap(), "--tls-key", certificate.to_str().unwrap()];
    let output = Command::new(env!("CARGO_BIN_EXE_medserve")).arg("serve").args(swapped).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("key.pem"));
}

#[tokio::test]
async fn web_pages_read_answers_only_where_they_may() {
    let ask = async |server: &Server, origin: &str| {
        let preflight = Client::new()
            .request(Method::OPTIONS, server.at("/v1/notes/classify"))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type");
        let response = preflight.send().await.unwrap();
        response.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_string())
    };
    let closed = Server::start(&shipped_models(), &[]);
    assert_eq!(ask(&closed, "https://ward.example.org").await, None);
    let keys = api_key("one", "classify", "key-one");
    let arguments = ["--api-keys", &keys, "--cors-origins", "https://ward.example.org"];
    let open = Server::start(&shipped_models(), &arguments);
    assert_eq!(ask(&open, "https://ward.example.org").await.as_deref(), Some("https://ward.example.org"));
    assert_eq!(ask(&open, "https://elsewhere.example.org").await, None);
}

/// A web page somewhere must not use a server that knows nobody through the browser of who reads it.
#[tokio::test]
async fn a_web_page_cannot_use_a_server_that_knows_nobody() {
    let server = Server::start(&shipped_models(), &[]);
    let put = |headers: &[(&'static str, &str)]| {
        let mut request = Client::new().put(server.at("/v1/users/u1")).body("{\"profile\": {}}");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        async move { request.send().await.unwrap().status().as_u16() }
    };
    let json = ("content-type", "application/json");
    let own = server.url.clone();
    assert_eq!(put(&[json]).await, 200);
    assert_eq!(put(&[json, ("origin", &own)]).await, 200, "its own page");
    assert_eq!(put(&[json, ("origin", "https://evil.example")]).await, 403);
    assert_eq!(put(&[json, ("origin", "null")]).await, 403);
    assert_eq!(put(&[json, ("sec-fetch-site", "cross-site")]).await, 403);
    assert_eq!(put(&[json, ("host", "evil.example")]).await, 403, "a name that was pointed here");
    assert_eq!(put(&[("content-type", "text/plain")]).await, 415);
    assert_eq!(put(&[("content-type", "application/x-www-form-urlencoded")]).await, 415);
    for open in ["/health/live", "/metrics"] {
        let response = Client::new().get(server.at(open)).header("host", "probe").send().await.unwrap();
        assert_eq!(response.status(), 200, "{open}");
    }
}

#[tokio::test]
async fn answers_tell_browsers_to_be_careful() {
    let server = Server::start(&shipped_models(), &[]);
    for path in ["/v1/models", "/nothing", "/docs/"] {
        let headers = reqwest::get(server.at(path)).await.unwrap().headers().clone();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        // A page without data may be kept, if the server is asked whether it is still the right one.
        let kept = if path == "/docs/" { "no-cache" } else { "no-store" };
        assert_eq!(headers["cache-control"], kept, "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("*"), "{policy}");
    }
}

#[tokio::test]
async fn keys_of_a_file_come_and_go_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let one = api_key("one", "classify", "key-one");
    std::fs::write(&file, format!("# the wards\n{one}\n")).unwrap();
    let server = Server::start(&shipped_models(), &["--api-keys-file", file.to_str().unwrap()]);
    let ask = async |key: &str| {
        Client::new().get(server.at("/v1/models")).bearer_auth(key).send().await.unwrap().status().as_u16()
    };
    let until = async |key: &str, status: u16| {
        for _ in 0..600 {
            if ask(key).await == status {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("{key} was never answered with {status}");
    };
    assert_eq!((ask("key-one").await, ask("key-two").await), (200, 401));
    let two = api_key("two", "classify", "key-two");
    std::fs::write(&file, format!("{one}:2020-01-01\n{two}\n")).unwrap();
    until("key-two", 200).await;
    assert_ne!(ask("key-one").await, 200, "its last day is over");
    // A file without an entry is no mistake that passes unnoticed.
    std::fs::write(&file, "# nobody\n").unwrap();
    until("key-two", 401).await;
    logged(&server, "it has no entry").await;
    std::fs::write(&file, format!("{two}\n")).unwrap();
    until("key-two", 200).await;
    std::fs::remove_file(&file).unwrap();
    until("key-two", 401).await;
    assert!(reqwest::get(server.at("/v1/models")).await.unwrap().status() != 200, "and never everybody");
}

#[test]
fn keys_that_are_none_are_an_error_and_not_an_open_door() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("medserve.toml");
    let empty = folder.path().join("keys");
    std::fs::write(&empty, "# none as yet\n\n").unwrap();
    let empty = format!("api_keys_file = {:?}", empty.to_str().unwrap());
    for text in [
        empty.as_str(),
        "api_keys = [5]",
        "api_keys = []",
        "api_keys = \"\"",
        "api_keys = {}",
        "api_keys_file = \"/no/such\"",
    ] {
        std::fs::write(&file, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_medserve"))
            .args(["serve", "--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("--api-keys"), "{text}: {said}");
    }
}
