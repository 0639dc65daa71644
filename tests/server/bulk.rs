//! Records pulled from a FHIR server, black box: a hospital of our own gives tokens and exports, and gives trouble.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::bulk_deletions::make_due;
use crate::support::tls::{Certificate, Private};
use crate::support::{Server, api_key, logged, postgres as cluster, until};

pub(crate) const KEY: &str = "the key of these tests";

/// What the hospital does with requests for one path, in turn; then what is usual.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// 401: the token is not good.
    Expired,
    /// 429, in a second.
    Busy,
    /// 307 to another server.
    Redirect,
    /// 500.
    Broken,
    /// The second line is cut off.
    CutLine,
    /// Says that the files are on another server.
    Elsewhere,
}

/// What was asked: the path, and the query.
pub(crate) type Asked = (String, BTreeMap<String, String>);

pub(crate) struct Shared {
    pub(crate) base: Mutex<String>,
    pub(crate) public: Vec<u8>,
    /// By path: what goes wrong, the first first.
    pub(crate) trouble: Mutex<Vec<(&'static str, Trouble)>>,
    pub(crate) asked: Mutex<Vec<Asked>>,
    pub(crate) tokens: AtomicUsize,
    pub(crate) polls: AtomicUsize,
    pub(crate) files: Mutex<Vec<(&'static str, String)>>,
    pub(crate) deleted: Mutex<Vec<String>>,
    /// What it says that an export's time was.
    pub(crate) time: Mutex<String>,
}

#[derive(Clone)]
pub(crate) struct Hospital(pub(crate) Arc<Shared>);

impl Hospital {
    /// The trouble with this path that comes next.
    fn trouble(&self, path: &str) -> Option<Trouble> {
        let mut trouble = self.0.trouble.lock().unwrap();
        let place = trouble.iter().position(|(of, _)| *of == path)?;
        Some(trouble.remove(place).1)
    }

    /// Opens its doors; its address.
    pub(crate) async fn open(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        *self.0.base.lock().unwrap() = base.clone();
        let router = self.clone().router();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        base
    }

    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        self.0.asked.lock().unwrap().iter().filter(|(own, _)| own == path).cloned().collect()
    }

    /// The answer to a request that is not let in.
    fn refuse(&self, path: &str, query: BTreeMap<String, String>, headers: &HeaderMap) -> Option<Response> {
        self.0.asked.lock().unwrap().push((path.to_string(), query));
        let token = format!("Bearer token-{}", self.0.tokens.load(Ordering::SeqCst));
        if headers.get("authorization") != Some(&HeaderValue::from_str(&token).unwrap()) {
            return Some(StatusCode::UNAUTHORIZED.into_response());
        }
        let other = format!("http://127.0.0.1:1{path}");
        match self.trouble(path)? {
            Trouble::Expired => Some(StatusCode::UNAUTHORIZED.into_response()),
            Trouble::Busy => Some((StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response()),
            Trouble::Redirect => {
                Some((StatusCode::TEMPORARY_REDIRECT, [("location", other)]).into_response())
            }
            Trouble::Broken => Some(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
            later => {
                self.0.trouble.lock().unwrap().insert(0, ("later", later));
                None
            }
        }
    }

    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/token", post(token))
            .route("/fhir/Patient/$export", get(kick_off))
            .route("/fhir/state", get(state).delete(|| async { StatusCode::ACCEPTED }))
            .route("/fhir/files/{number}", get(file))
            .route("/fhir/deleted/{number}", get(deleted))
            .with_state(self)
    }
}

pub(crate) fn private_key() -> (Value, Vec<u8>) {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, document.as_ref(), &random).unwrap();
    let public = pair.public_key().as_ref().to_vec();
    // PKCS#8 of ring's has the private number behind a fixed head.
    let bytes = document.as_ref();
    let at = bytes.windows(2).position(|two| two == [0x04, 0x30]).unwrap() + 2;
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({"kty": "EC", "crv": "P-384", "kid": "k1", "alg": "ES384", "d": part(&bytes[at..at + 48]),
        "x": part(&public[1..49]), "y": part(&public[49..])});
    (jwk, public)
}

/// Gives a token to the client that signs with the right key, for this address, for a short time.
async fn token(State(hospital): State<Hospital>, body: String) -> Response {
    hospital.0.asked.lock().unwrap().push(("/token".to_string(), BTreeMap::new()));
    let form: BTreeMap<&str, &str> = body.split('&').filter_map(|pair| pair.split_once('=')).collect();
    assert_eq!(form["grant_type"].replace("%5F", "_"), "client_credentials");
    assert!(form["client_assertion_type"].ends_with("jwt%2Dbearer"), "{body}");
    let assertion = form["client_assertion"].replace("%2E", ".").replace("%2D", "-").replace("%5F", "_");
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &hospital.0.public);
    let (head, claims) = signed.split_once('.').unwrap();
    let head: Value = serde_json::from_slice(&decode(head)).unwrap();
    let claims: Value = serde_json::from_slice(&decode(claims)).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let life = claims["exp"].as_u64().unwrap() - now;
    let address = format!("{}/token", hospital.0.base.lock().unwrap());
    assert_eq!((&head["alg"], &head["kid"], &head["typ"]), (&json!("ES384"), &json!("k1"), &json!("JWT")));
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("medserve"), &json!("medserve")));
    assert!(
        claims["aud"] == address && life <= 300 && claims["jti"].as_str().unwrap().len() >= 16,
        "{claims}"
    );
    if key.verify(signed.as_bytes(), &decode(signature)).is_err() {
        let refusal = json!({"error": "invalid_client", "error_description": "Mrs Doe's key"});
        return (StatusCode::BAD_REQUEST, axum::Json(refusal)).into_response();
    }
    let number = hospital.0.tokens.fetch_add(1, Ordering::SeqCst) + 1;
    let token = json!({"access_token": format!("token-{number}"), "token_type": "bearer", "expires_in": 300});
    axum::Json(token).into_response()
}

async fn kick_off(
    State(hospital): State<Hospital>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if let Some(answer) = hospital.refuse("/export", query, &headers) {
        return answer;
    }
    assert_eq!(
        (&headers["prefer"], &headers["accept"]),
        (&"respond-async".parse().unwrap(), &"application/fhir+json".parse().unwrap())
    );
    let place = format!("{}/fhir/state", hospital.0.base.lock().unwrap());
    (StatusCode::ACCEPTED, [("content-location", place)]).into_response()
}

async fn state(State(hospital): State<Hospital>, headers: HeaderMap) -> Response {
    if let Some(answer) = hospital.refuse("/state", BTreeMap::new(), &headers) {
        return answer;
    }
    if hospital.0.polls.fetch_add(1, Ordering::SeqCst) % 2 == 0 {
        return (StatusCode::ACCEPTED, [("retry-after", "1")]).into_response();
    }
    let mut base = hospital.0.base.lock().unwrap().clone();
    if hospital.trouble("later") == Some(Trouble::Elsewhere) {
        base = "http://127.0.0.1:1".to_string();
    }
    let files = hospital.0.files.lock().unwrap();
    let output: Vec<Value> = files
        .iter()
        .enumerate()
        .map(|(number, (kind, _))| json!({"type": kind, "url": format!("{base}/fhir/files/{number}")}))
        .collect();
    let (errors, output): (Vec<Value>, Vec<Value>) =
        output.into_iter().partition(|file| file["type"] == "OperationOutcome");
    let deleted = 0..hospital.0.deleted.lock().unwrap().len();
    let deleted =
        deleted.map(|number| json!({"type": "Bundle", "url": format!("{base}/fhir/deleted/{number}")}));
    axum::Json(
        json!({"transactionTime": *hospital.0.time.lock().unwrap(), "request": "", "requiresAccessToken": true,
        "output": output, "deleted": deleted.collect::<Vec<_>>(), "error": errors}),
    )
    .into_response()
}

async fn deleted(
    State(hospital): State<Hospital>,
    Path(number): Path<usize>,
    headers: HeaderMap,
) -> Response {
    if let Some(answer) = hospital.refuse("/deleted", BTreeMap::new(), &headers) {
        return answer;
    }
    let text = hospital.0.deleted.lock().unwrap()[number].clone();
    ([("content-type", "application/fhir+ndjson")], text).into_response()
}

async fn file(State(hospital): State<Hospital>, Path(number): Path<usize>, headers: HeaderMap) -> Response {
    if let Some(answer) = hospital.refuse("/file", BTreeMap::new(), &headers) {
        return answer;
    }
    let mut text = hospital.0.files.lock().unwrap()[number].1.clone();
    if hospital.trouble("later") == Some(Trouble::CutLine) {
        text.push_str("\n{\"resourceType\": \"Patient\", \"id\": \"Mrs Doe");
    }
    ([("content-type", "application/fhir+ndjson")], text).into_response()
}

fn files() -> Vec<(&'static str, String)> {
    let patient =
        json!({"resourceType": "Patient", "id": "ann", "gender": "female", "birthDate": "1954-03-01"});
    let allergy = json!({"resourceType": "AllergyIntolerance", "id": "a", "patient": {"reference": "Patient/ann"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "91936005", "display": "Allergy to penicillin"}]}});
    // The allergy comes first, and refers to the file behind it.
    vec![("AllergyIntolerance", allergy.to_string()), ("Patient", format!("{patient}\n"))]
}

pub(crate) fn hospital(public: Vec<u8>, trouble: &[(&'static str, Trouble)]) -> Hospital {
    Hospital(Arc::new(Shared {
        base: Mutex::new(String::new()),
        public,
        trouble: Mutex::new(trouble.to_vec()),
        asked: Mutex::default(),
        tokens: AtomicUsize::new(0),
        polls: AtomicUsize::new(0),
        files: Mutex::new(files()),
        deleted: Mutex::default(),
        time: Mutex::new("2026-03-01T09:30:00.000Z".to_string()),
    }))
}

/// A hospital with this trouble, and a server that pulls from it.
struct Pulled {
    hospital: Hospital,
    server: Server,
    _folder: tempfile::TempDir,
}

async fn pulled(trouble: &[(&'static str, Trouble)], database: Option<&str>) -> Pulled {
    let (jwk, public) = private_key();
    pulled_with(&jwk, public, trouble, database, &[]).await
}

async fn pulled_with(
    jwk: &Value,
    public: Vec<u8>,
    trouble: &[(&'static str, Trouble)],
    database: Option<&str>,
    more: &[&str],
) -> Pulled {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.json");
    std::fs::write(&key, jwk.to_string()).unwrap();
    let hospital = hospital(public, trouble);
    let base = hospital.open().await;
    let server = start(&base, key.to_str().unwrap(), database, more);
    Pulled { hospital, server, _folder: folder }
}

pub(crate) fn start(base: &str, key: &str, database: Option<&str>, more: &[&str]) -> Server {
    let keys = api_key("root", "admin", KEY);
    let (fhir, token) = (format!("{base}/fhir"), format!("{base}/token"));
    let settings = [
        "--api-keys",
        &keys,
        "--bulk-server",
        &fhir,
        "--bulk-token-url",
        &token,
        "--bulk-client-id",
        "medserve",
        "--bulk-key",
        key,
        "--audit-people",
        "id",
    ];
    let arguments = [&settings, more].concat();
    let models = tempfile::tempdir().unwrap();
    match database {
        Some(database) => Server::start_over(database, models.path(), &arguments),
        None => Server::start(models.path(), &arguments),
    }
}

pub(crate) async fn ask(server: &Server, path: &str) -> (u16, Value) {
    let answer = reqwest::Client::new().get(server.at(path)).bearer_auth(KEY).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

pub(crate) async fn ann(server: &Server) -> Value {
    until("ann", async || {
        let (status, user) = ask(server, "/v1/users/ann").await;
        (status == 200).then_some(user)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_waited_for_and_taken_in_and_has_its_row_in_the_audit() {
    let postgres = cluster::database().await;
    let databases = [None, postgres.as_ref().map(|database| database.url.as_str())];
    for database in databases.into_iter().take(1 + usize::from(postgres.is_some())) {
        let Pulled { hospital, server, _folder } = pulled(&[], database).await;
        let user = ann(&server).await;
        assert_eq!(user["profile"]["allergies"], json!(["Allergy to penicillin"]));
        assert_eq!(user["profile"]["birth_year"], 1954);
        let (_, query) = hospital.asked("/export").remove(0);
        assert_eq!(query["_outputFormat"], "application/fhir+ndjson");
        assert!(query["_type"].contains("AllergyIntolerance,") && !query.contains_key("_since"), "{query:?}");
        assert_eq!(hospital.asked("/state").len(), 2, "it was not done at once");
        let row = until("the row", async || {
            let (_, audit) = ask(&server, "/v1/audit?user=ann").await;
            audit["rows"].as_array().unwrap().iter().find(|row| row["route"] == "bulk export").cloned()
        })
        .await;
        assert_eq!(
            (&row["caller"], &row["status"], &row["people"]),
            (&json!("bulk"), &json!(200), &json!(["ann"]))
        );
        assert_eq!(row["answers"], json!(["2 resources taken in"]));
        assert_eq!(hospital.0.tokens.load(Ordering::SeqCst), 1, "one token for all of it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_outlives_a_start_and_the_next_export_asks_for_what_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.db");
    let database = format!("sqlite://{}", file.display());
    let (jwk, public) = private_key();
    let Pulled { hospital, server, _folder } = pulled_with(&jwk, public, &[], Some(&database), &[]).await;
    ann(&server).await;
    logged(&server, "an export was taken in").await;
    server.terminate();
    let key = _folder.path().join("key.json");
    let base = hospital.0.base.lock().unwrap().clone();
    // It is not due: a start pulls nothing.
    let server = start(&base, key.to_str().unwrap(), Some(&database), &[]);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(hospital.asked("/export").len(), 1);
    server.terminate();
    // Now it is.
    make_due(&database).await;
    let server = start(&base, key.to_str().unwrap(), Some(&database), &[]);
    logged(&server, "an export was taken in").await;
    let (_, query) = hospital.asked("/export").remove(1);
    assert_eq!(query["_since"], "2026-03-01T09:30:00.000Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_with_errors_is_taken_in_and_asked_for_again_from_where_it_began() {
    let outcome = |severity: &str| json!({"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": "exception"}]});
    for (severity, since) in [("error", None), ("information", Some("2026-03-01T09:30:00.000Z"))] {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite://{}", folder.path().join("test.db").display());
        let (jwk, public) = private_key();
        let key = folder.path().join("key.json");
        std::fs::write(&key, jwk.to_string()).unwrap();
        let hospital = hospital(public, &[]);
        hospital.0.files.lock().unwrap().push(("OperationOutcome", outcome(severity).to_string()));
        let base = hospital.open().await;
        for _ in 0..2 {
            let server = start(&base, key.to_str().unwrap(), Some(&database), &[]);
            logged(&server, "an export was taken in").await;
            ann(&server).await;
            let told = until("the schedule", async || {
                let pool = sqlx::SqlitePool::connect(&database).await.unwrap();
                let ended = "SELECT failure FROM bulk_exports WHERE failure IS NOT NULL OR since IS NOT NULL";
                let row = sqlx::query_scalar::<_, Option<String>>(ended).fetch_optional(&pool).await.unwrap();
                pool.close().await;
                row
            })
            .await;
            assert_eq!(told.is_some_and(|why| why.contains("not complete")), since.is_none());
            server.terminate();
            let pool = sqlx::SqlitePool::connect(&database).await.unwrap();
            sqlx::query("UPDATE bulk_exports SET due = 0").execute(&pool).await.unwrap();
            pool.close().await;
        }
        let (_, query) = hospital.asked("/export").remove(1);
        assert_eq!(query.get("_since").map(String::as_str), since, "{severity}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_patience_or_a_fresh_token_gets_them() {
    let trouble = [
        ("/export", Trouble::Busy),
        ("/state", Trouble::Busy),
        ("/file", Trouble::Expired),
        ("/file", Trouble::Busy),
    ];
    let Pulled { hospital, server, _folder } = pulled(&trouble, None).await;
    ann(&server).await;
    assert_eq!(hospital.asked("/export").len(), 2, "again, and not anew");
    assert_eq!(hospital.0.tokens.load(Ordering::SeqCst), 2, "a second token in the place of the expired one");
    assert!(!server.log().contains("were not pulled"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told_and_nothing_of_it_is_kept() {
    for (trouble, words) in [
        (("/file", Trouble::CutLine), "file 1 (AllergyIntolerance): line 2: "),
        (("/export", Trouble::Redirect), "the server redirects; only the configured server is asked"),
        (("/file", Trouble::Redirect), "the server redirects; only the configured server is asked"),
        (("/state", Trouble::Elsewhere), "names an address of another server"),
        (("/state", Trouble::Broken), "does not finish the export (it answered 500)"),
    ] {
        let Pulled { hospital, server, _folder } = pulled(&[trouble], None).await;
        logged(&server, words).await;
        assert_eq!(ask(&server, "/v1/users/ann").await.0, 404, "{trouble:?}");
        assert!(!server.log().contains("Doe"), "{}", server.log());
        // The next time all is well, and it is taken in.
        ann(&server).await;
        assert_eq!(hospital.asked("/export").len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_known_is_told_so_and_gets_nothing() {
    let (jwk, _) = private_key();
    let (_, another) = private_key();
    let Pulled { hospital, server, _folder } = pulled_with(&jwk, another, &[], None, &[]).await;
    logged(&server, "does not know this client (400, invalid_client)").await;
    assert!(hospital.asked("/export").is_empty() && !server.log().contains("Doe"));
    until("its row", async || {
        let (_, audit) = ask(&server, "/v1/audit").await;
        let rows = audit["rows"].as_array().unwrap().clone();
        rows.iter().any(|row| row["route"] == "bulk export" && row["status"] == 502).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_server_refuses_twice_is_no_use() {
    let trouble = [("/export", Trouble::Expired), ("/export", Trouble::Expired)];
    let Pulled { hospital, server, _folder } = pulled(&trouble, None).await;
    logged(&server, "the server refuses the token that its authorization server gave (401)").await;
    assert_eq!(hospital.0.tokens.load(Ordering::SeqCst), 2);
    ann(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_https_the_hospital_must_be_vouched_for() {
    let folder = tempfile::tempdir().unwrap();
    let (key, ca) = (folder.path().join("key.json"), folder.path().join("ca.pem"));
    let (jwk, public) = private_key();
    std::fs::write(&key, jwk.to_string()).unwrap();
    let (own, other) = (Certificate::new(), Certificate::new());
    let (listener, base) = Private::bind(&own).await;
    let hospital = hospital(public, &[]);
    *hospital.0.base.lock().unwrap() = base.clone();
    let router = hospital.clone().router();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    std::fs::write(&ca, &other.pem).unwrap();
    let more = ["--bulk-ca", ca.to_str().unwrap()];
    let server = start(&base, key.to_str().unwrap(), None, &more);
    logged(&server, "records were not pulled").await;
    logged(&server, "certificate").await;
    assert!(hospital.asked("/token").is_empty(), "{}", server.log());
    std::fs::write(&ca, &own.pem).unwrap();
    let server = start(&base, key.to_str().unwrap(), None, &more);
    ann(&server).await;
}

#[test]
fn settings_that_do_not_fit_are_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.json");
    std::fs::write(&file, "{\"kty\": \"oct\", \"kid\": \"1\", \"k\": \"secret\"}").unwrap();
    let run = |arguments: &[&str]| {
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_medserve")).arg("serve").args(arguments).output();
        let output = output.unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = run(&["--bulk-server", "http://ehr.example.org/fhir"]);
    assert!(said.contains("--bulk-server") && said.contains("must be an https address"), "{said}");
    let said = run(&["--bulk-server", "https://ehr.example.org/fhir"]);
    assert!(said.contains("go together") && said.contains("--bulk-key"), "{said}");
    let all = [
        "--bulk-server",
        "https://ehr/fhir",
        "--bulk-token-url",
        "https://ehr/token",
        "--bulk-client-id",
        "m",
        "--bulk-key",
        file.to_str().unwrap(),
        "--bulk-types",
        "Patient,Claim",
    ];
    let said = run(&all);
    for words in ["--bulk-ca", "\"Claim\"", "key.json: the key is of another kind"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("secret"), "{said}");
}
