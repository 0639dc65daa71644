//! Tenants, black box: whatever several of them write under the same names, each is answered as by a
//! server that holds its data alone.

use std::process::Command;

use crate::support::{Server, api_key, postgres as cluster, until};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

/// The default tenant, and two others.
const TENANTS: [&str; 3] = ["", "north", "south"];

/// Writes of one run.
const WRITES: usize = 160;

/// What a key is called, and the key itself.
fn name(tenant: &str) -> String {
    format!("clinic-{tenant}")
}

fn key_entry(tenant: &str, of: &str) -> String {
    let scopes = if of.is_empty() { "admin".to_string() } else { format!("admin@{of}") };
    api_key(&name(tenant), &scopes, &name(tenant))
}

/// A database to be used by one server.
struct Database {
    url: String,
    _folder: tempfile::TempDir,
    _cluster: Option<cluster::TestDatabase>,
}

impl Database {
    fn sqlite() -> Database {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/all.db", folder.path().display());
        Database { url, _folder: folder, _cluster: None }
    }

    async fn postgres() -> Option<Database> {
        let database = cluster::database().await?;
        let url = database.url.clone();
        Some(Database { url, _folder: tempfile::tempdir().unwrap(), _cluster: Some(database) })
    }

    fn server(&self, arguments: &[&str]) -> Server {
        Server::start_over(&self.url, tempfile::tempdir().unwrap().path(), arguments)
    }

    /// A server of all tenants.
    fn shared(&self, more: &[&str]) -> Server {
        let keys = TENANTS.map(|tenant| key_entry(tenant, tenant)).join(",");
        self.server(&[&["--tenants", "north,south", "--api-keys", &keys], more].concat())
    }
}

/// Small numbers, the same with every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }

    fn user(&mut self) -> String {
        format!("u{}", self.below(5))
    }

    fn item(&mut self) -> String {
        format!("i{}", self.below(6))
    }
}

struct Request {
    method: Method,
    path: String,
    body: Value,
}

fn request(method: Method, path: impl Into<String>, body: Value) -> Request {
    Request { method, path: path.into(), body }
}

fn read(path: impl Into<String>) -> Request {
    request(Method::GET, path, Value::Null)
}

/// A write of somebody, with the names that all use.
fn write(dice: &mut Dice) -> Request {
    let words = ["chest pain", "cough and fever", "fall on the left wrist", "fever since two days"];
    match dice.below(20) {
        0..4 => {
            let allergies: &[&str] = match dice.below(3) {
                0 => &["penicillin"],
                _ => &[],
            };
            let profile = json!({
                "birth_year": 1940 + dice.below(60), "sex": dice.one(&["female", "male"]),
                "conditions": [dice.one(&["diabetes", "hypertension"])], "allergies": allergies, "medications": [],
            });
            request(Method::PUT, format!("/v1/users/{}", dice.user()), json!({"profile": profile}))
        }
        4..8 => {
            let against = match dice.below(3) {
                0 => json!({"allergies": ["penicillin"]}),
                _ => json!({}),
            };
            let name = format!("{} {}", dice.one(&["aspirin", "metformin", "walking"]), dice.below(90));
            let body = json!({"kind": dice.one(&["drug", "drug", "advice"]), "name": name, "contraindications": against});
            request(Method::PUT, format!("/v1/items/{}", dice.item()), body)
        }
        8..14 => {
            let of = |dice: &mut Dice| {
                json!({"user_id": dice.user(), "item_id": dice.item(), "event": "prescription",
                    "weight": 1 + dice.below(4), "time": format!("2026-01-0{}T08:00:00Z", 1 + dice.below(9))})
            };
            let rows: Vec<Value> = (0..=dice.below(4)).map(|_| of(dice)).collect();
            request(Method::POST, "/v1/interactions", json!(rows))
        }
        14 => request(Method::DELETE, format!("/v1/users/{}", dice.user()), Value::Null),
        15 => request(Method::DELETE, format!("/v1/items/{}", dice.item()), Value::Null),
        16 => request(
            Method::DELETE,
            format!("/v1/users/{}/interactions?item_id={}", dice.user(), dice.item()),
            Value::Null,
        ),
        17 => request(
            Method::PUT,
            format!("/v1/cases/c{}", dice.below(4)),
            json!({"text": dice.one(&words), "attributes": {"ward": dice.one(&["a", "b"])}}),
        ),
        18 => request(Method::DELETE, format!("/v1/cases/c{}", dice.below(4)), Value::Null),
        _ => {
            let id = dice.user();
            let patient = json!({"resourceType": "Patient", "id": id, "gender": dice.one(&["female", "male"]),
                "birthDate": format!("19{}-03-01", 40 + dice.below(50))});
            let entry =
                json!({"resource": patient, "request": {"method": "PUT", "url": format!("Patient/{id}")}});
            request(
                Method::POST,
                "/fhir/R4",
                json!({"resourceType": "Bundle", "type": "transaction", "entry": [entry]}),
            )
        }
    }
}

/// Every route that reads what people wrote.
fn reads() -> Vec<Request> {
    let mut all = Vec::new();
    for user in ["u0", "u1", "u2", "u3", "u4", "never"] {
        all.push(read(format!("/v1/users/{user}")));
        all.push(read(format!("/v1/users/{user}/interactions")));
        for kind in ["drug", "advice"] {
            all.push(read(format!("/v1/users/{user}/recommendations?kind={kind}")));
            all.push(read(format!(
                "/v1/users/{user}/recommendations?kind={kind}&similarity=pearson&neighbors=3"
            )));
            all.push(read(format!("/v1/users/{user}/neighbors?kind={kind}")));
        }
        let view = json!({"hook": "patient-view", "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
            "context": {"userId": "Practitioner/7", "patientId": user}});
        all.push(request(Method::POST, "/cds-services/medserve-patient-view", view));
    }
    for item in ["i0", "i1", "i2", "i3", "i4", "i5", "never"] {
        all.push(read(format!("/v1/items/{item}")));
    }
    all.push(read("/v1/items?limit=2"));
    all.push(read("/v1/items?kind=drug"));
    for case in ["c0", "c1", "c2", "c3"] {
        all.push(read(format!("/v1/cases/{case}")));
    }
    for text in ["fever", "chest pain"] {
        all.push(request(Method::POST, "/v1/cases/search", json!({"text": text})));
    }
    all.push(read("/dicom-web/studies"));
    all
}

/// Asks with a tenant's key. What differs with every answer is taken out of it.
async fn ask(server: &Server, tenant: &str, what: &Request) -> (u16, Value) {
    let mut asked =
        Client::new().request(what.method.clone(), server.at(&what.path)).bearer_auth(name(tenant));
    if what.path == "/fhir/R4" {
        asked = asked.header("content-type", "application/fhir+json").body(what.body.to_string());
    } else if !what.body.is_null() {
        asked = asked.json(&what.body);
    }
    let response = asked.send().await.unwrap();
    let (status, etag) = (response.status().as_u16(), response.headers().get("etag").cloned());
    let mut body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default();
    without_moments(&mut body);
    (status, json!([etag.map(|etag| etag.to_str().unwrap().to_string()), body]))
}

fn without_moments(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for moment in
                ["as_of", "request_id", "timings_ms", "timing", "took_ms", "uuid", "lastModified", "instance"]
            {
                members.remove(moment);
            }
            members.values_mut().for_each(without_moments);
        }
        Value::Array(values) => values.iter_mut().for_each(without_moments),
        _ => {}
    }
}

/// Route, status and input of what the audit says, by what the tenant's administrator is shown of it.
async fn audited(server: &Server, tenant: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut path = "/v1/audit?limit=1000".to_string();
    loop {
        let response = Client::new().get(server.at(&path)).bearer_auth(name(tenant)).send().await.unwrap();
        let page: Value = response.json().await.unwrap();
        for row in page["rows"].as_array().unwrap() {
            // Those of the audit itself are as many as it took until the others were written.
            if row["route"] != "/v1/audit" {
                rows.push(json!([
                    row["caller"],
                    row["method"],
                    row["route"],
                    row["status"],
                    row["request_sha256"]
                ]));
            }
        }
        match page["next"].as_i64() {
            Some(next) => path = format!("/v1/audit?limit=1000&before={next}"),
            None => return rows,
        }
    }
}

/// Random writes of all tenants on one server, each repeated on a server that has that tenant alone: all
/// answers are the same.
async fn each_as_if_alone(shared: &Database, alone: [Database; 3], engine: &[&str], seed: u64) {
    let together = shared.shared(engine);
    let single: Vec<Server> = TENANTS
        .iter()
        .zip(&alone)
        .map(|(tenant, database)| {
            database.server(&[&["--api-keys", &key_entry(tenant, "")], engine].concat())
        })
        .collect();
    let mut dice = Dice(seed);
    let (mut asked, mut recommended) = ([0; 3], 0);
    for number in 1..=WRITES {
        let place = dice.below(3) as usize;
        let what = write(&mut dice);
        let (tenant, own) = (TENANTS[place], &single[place]);
        let answers = (ask(&together, tenant, &what).await, ask(own, tenant, &what).await);
        assert_eq!(
            answers.0, answers.1,
            "seed {seed}, write {number}: {} {} {}",
            what.method, what.path, what.body
        );
        asked[place] += 1;
        if number % 40 == 0 {
            for (place, tenant) in TENANTS.iter().enumerate() {
                for what in reads() {
                    let answers =
                        (ask(&together, tenant, &what).await, ask(&single[place], tenant, &what).await);
                    assert_eq!(
                        answers.0, answers.1,
                        "seed {seed}, {tenant:?}, {} {}",
                        what.method, what.path
                    );
                    if what.path.contains("/recommendations") {
                        recommended += answers.0.1[1]["items"].as_array().map_or(0, Vec::len);
                    }
                    assert!(answers.0.0 < 500, "{} {}: {:?}", what.method, what.path, answers.0);
                    asked[place] += 1;
                }
            }
        }
    }
    assert!(recommended > 10, "{recommended} items are too few to tell anything");
    for (place, tenant) in TENANTS.iter().enumerate() {
        let rows = until("all rows of the audit", async || {
            let rows = audited(&together, tenant).await;
            (rows.len() >= asked[place]).then_some(rows)
        })
        .await;
        assert_eq!(rows.len(), asked[place], "{tenant:?}: no row of another's is in it");
        let own = until("all rows of the audit", async || {
            let rows = audited(&single[place], tenant).await;
            (rows.len() >= asked[place]).then_some(rows)
        })
        .await;
        assert_eq!(rows, own, "{tenant:?}");
    }
    let metrics = reqwest::get(together.at("/metrics")).await.unwrap().text().await.unwrap();
    let of = |tenant: &str| {
        let lines = metrics.lines().filter(|line| line.starts_with("medserve_requests_total{"));
        lines.filter(|line| line.contains(&format!("tenant=\"{tenant}\""))).count()
    };
    assert!(of("north") > 3 && of("south") > 3, "{metrics}");
    assert!(!metrics.contains("tenant=\"\""));
}

#[tokio::test]
async fn each_is_answered_as_if_alone_over_sqlite() {
    let alone = [Database::sqlite(), Database::sqlite(), Database::sqlite()];
    each_as_if_alone(&Database::sqlite(), alone, &[], 1).await;
}

#[tokio::test]
async fn each_is_answered_as_if_alone_over_postgres() {
    for (seed, engine) in [(2, "memory"), (3, "database")] {
        let Some(shared) = Database::postgres().await else { return };
        let mut alone = Vec::new();
        for _ in TENANTS {
            alone.push(Database::postgres().await.unwrap());
        }
        let alone = alone.try_into().unwrap_or_else(|_| panic!("three of them"));
        each_as_if_alone(&shared, alone, &["--recommender", engine], seed).await;
    }
}

/// As on a cluster, where the tables of each tenant have no triggers: see docs/citus.md.
#[tokio::test]
async fn each_is_answered_as_if_alone_without_triggers() {
    let Some(shared) = Database::postgres().await else { return };
    shared.shared(&[]).terminate();
    let page = include_str!("../../docs/citus.md");
    let (_, sql) = page.split_once("<!-- triggers -->\n```sql\n").unwrap();
    let (sql, _) = sql.split_once("```").unwrap();
    let mut connection = PgConnection::connect(&shared.url).await.unwrap();
    for schema in ["public", "medserve_north", "medserve_south"] {
        let sql = format!("SET search_path TO {schema};\n{sql}");
        connection.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    }
    let mut alone = Vec::new();
    for _ in TENANTS {
        alone.push(Database::postgres().await.unwrap());
    }
    let alone = alone.try_into().unwrap_or_else(|_| panic!("three of them"));
    each_as_if_alone(&shared, alone, &["--recommender", "database"], 4).await;
}

#[tokio::test]
async fn what_is_of_all_tenants_is_for_administrators_of_the_default_one() {
    let database = Database::sqlite();
    let server = database.shared(&[]);
    for path in ["/v2/repository/index", "/v2/repository/models/x/load", "/v2/repository/models/x/unload"] {
        let what = request(Method::POST, path, json!({}));
        assert_eq!(ask(&server, "north", &what).await.0, 403, "{path}");
        assert_ne!(ask(&server, "", &what).await.0, 403, "{path}");
    }
    assert_eq!(ask(&server, "south", &read("/v1/models/x/report")).await.0, 403);
    assert_eq!(ask(&server, "nobody", &read("/v1/models")).await.0, 401);
    assert_eq!(ask(&server, "north", &read("/v1/models")).await.0, 200);
}

#[tokio::test]
async fn a_tenant_survives_a_restart_and_is_reached_by_the_commands() {
    for database in [Some(Database::sqlite()), Database::postgres().await].into_iter().flatten() {
        let server = database.shared(&[]);
        let item = |name: &str| json!({"kind": "advice", "name": name});
        for tenant in TENANTS {
            let what = request(Method::PUT, "/v1/items/i1", item(&name(tenant)));
            assert_eq!(ask(&server, tenant, &what).await.0, 200);
        }
        server.terminate();
        let command = |arguments: &[&str]| {
            let run = Command::new(env!("CARGO_BIN_EXE_medserve"))
                .args(arguments)
                .args(["--database-url", &database.url])
                .output()
                .unwrap();
            assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
            String::from_utf8(run.stdout).unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        let users = folder.path().join("users.jsonl");
        std::fs::write(&users, "{\"user_id\": \"imported\", \"profile\": {}}\n").unwrap();
        command(&["import", "--tenant", "north", "users", users.to_str().unwrap()]);
        let copy = folder.path().join("north.db");
        let said = command(&["backup", "--tenant", "north", copy.to_str().unwrap()]);
        assert!(said.contains("users: 1 rows") && said.contains("items: 1 rows"), "{said}");
        assert!(
            command(&["backup", folder.path().join("own.db").to_str().unwrap()]).contains("users: 0 rows")
        );
        for tenant in TENANTS {
            let arguments = ["audit", "--tenant", tenant, "verify"];
            let arguments = if tenant.is_empty() { &["audit", "verify"][..] } else { &arguments };
            assert!(command(arguments).starts_with("1 rows fit the chain"));
        }

        let server = database.shared(&[]);
        for tenant in TENANTS {
            let (_, found) = ask(&server, tenant, &read("/v1/items/i1")).await;
            assert_eq!(found[1]["name"], json!(name(tenant)));
            let status = ask(&server, tenant, &read("/v1/users/imported")).await.0;
            assert_eq!(status, if tenant == "north" { 200 } else { 404 }, "{tenant:?}");
        }
    }
}

#[tokio::test]
async fn an_import_makes_no_tenant_by_a_slip() {
    for database in [Some(Database::sqlite()), Database::postgres().await].into_iter().flatten() {
        let folder = tempfile::tempdir().unwrap();
        let users = folder.path().join("users.jsonl");
        std::fs::write(&users, "{\"user_id\": \"imported\", \"profile\": {}}\n").unwrap();
        let import = |tenants: &str| {
            let run = Command::new(env!("CARGO_BIN_EXE_medserve"))
                .args(["import", "--tenant", "nroth", "users", users.to_str().unwrap()])
                .args(["--database-url", &database.url])
                .env("MEDSERVE_TENANTS", tenants)
                .output()
                .unwrap();
            (run.status.success(), String::from_utf8(run.stderr).unwrap())
        };
        for _ in 0..2 {
            let (done, said) = import("north,south");
            assert!(!done && said.contains("there is no tenant \"nroth\""), "{said}");
        }
        let (done, said) = import("north,nroth");
        assert!(done, "{said}");
        // It is there now, whether it is named or not.
        assert!(import("north").0);
    }
}

#[tokio::test]
async fn plain_sql_in_another_schema_is_followed_by_its_own_tenant() {
    let Some(database) = Database::postgres().await else { return };
    let server = database.shared(&[]);
    // As an operator who is connected to the default schema.
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let insert = "INSERT INTO medserve_north.items (id, kind, name) VALUES ('plain', 'advice', 'walk')";
    sqlx::query(insert).execute(&mut connection).await.unwrap();
    let fed = "SELECT (SELECT count(*) FROM public.changes WHERE item_id = 'plain'),
        (SELECT count(*) FROM medserve_north.changes WHERE item_id = 'plain')";
    let fed: (i64, i64) = sqlx::query_as(fed).fetch_one(&mut connection).await.unwrap();
    assert_eq!(fed, (0, 1));
    for (tenant, status) in [("", 404), ("north", 200), ("south", 404)] {
        assert_eq!(ask(&server, tenant, &read("/v1/items/plain")).await.0, status, "{tenant:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_meant_ends_the_start() {
    let known = key_entry("north", "north");
    let stranger = key_entry("west", "west");
    for (arguments, words) in [
        (&["--tenants", "North", "--api-keys", &known][..], "lower-case letters"),
        (&["--tenants", "north,north", "--api-keys", &known], "twice"),
        (&["--tenants", "north"], "nobody can be told to be of one"),
        (&["--tenants", "north", "--api-keys", &stranger], "which --tenants"),
        (&["--api-keys", &known], "which --tenants"),
        (&["--tenants", "north", "--api-keys", &known, "--network-tenant", "south"], "network-tenant"),
        (&["--tenants", "north", "--api-keys", &known, "--tenant-recommenders", "south=m"], "TENANT=MODEL"),
        (&["--tenants", "north", "--api-keys", &known, "--database-url", "sqlite::memory:"], "in a file"),
    ] {
        let run = Command::new(env!("CARGO_BIN_EXE_medserve")).arg("serve").args(arguments).output().unwrap();
        let said = String::from_utf8(run.stderr).unwrap();
        assert!(!run.status.success() && said.contains(words), "{arguments:?}: {said}");
    }
}
