//! Records that come by two servers over one database at the same moment, black box: none loses what the other was told, no two
//! people become one, and nobody who was erased comes back.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, SqliteConnection};

use crate::fhir::{bundle, patient, send};
use crate::fhir_servers::{allergy, at, list};
use crate::hl7;
use crate::replicas::Shared;
use crate::support::{Server, api_key};

/// How often each race is run.
const ROUNDS: usize = 12;

async fn databases() -> Vec<Shared> {
    let mut databases = vec![Shared::sqlite()];
    databases.extend(Shared::postgres().await);
    databases
}

/// What a transaction is answered with.
async fn status(server: &Server, resources: &[Value]) -> u16 {
    send(server, &bundle("transaction", resources)).await.status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_of_two_servers_loses_an_allergy_that_the_other_was_told() {
    for database in databases().await {
        let (one, two) = (database.server(&[]), database.server(&[]));
        for round in 0..ROUNDS {
            let person = format!("ann{round}");
            // Of somebody who is known, and of somebody who comes with it.
            let new = round % 2 == 1;
            if !new {
                assert_eq!(status(&one, &[patient(&person)]).await, 200);
            }
            let told = [(&one, "penicillin"), (&two, "latex")].map(|(server, words)| {
                let person = &person;
                async move {
                    let of = format!("Patient/{person}");
                    let mut resources = vec![allergy(&format!("{words}{person}"), &of, words)];
                    if new {
                        resources.insert(0, patient(person));
                    }
                    status(server, &resources).await
                }
            });
            assert_eq!(join_all(told).await, [200, 200]);
            let mut known: Vec<String> =
                serde_json::from_value(list(&one, &person, "allergies").await).unwrap();
            known.sort();
            assert_eq!(known, ["latex", "penicillin"], "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_peoples_records_under_one_id_two_servers_take_one() {
    for database in databases().await {
        let (one, two) = (database.server(&[]), database.server(&[]));
        for round in 0..ROUNDS {
            let person = format!("p{round}");
            let record = |host: &str, sex: &str, words: &str| {
                let mut who = patient(&person);
                who["gender"] = json!(sex);
                who["identifier"] = json!([{"system": format!("urn:{host}"), "value": "1"}]);
                let said = allergy(&format!("{words}{round}"), &format!("Patient/{person}"), words);
                json!({"resourceType": "Bundle", "type": "transaction", "entry": [at(host, who), at(host, said)]})
            };
            let first = record("a.example", "female", "penicillin");
            let second = record("b.example", "male", "latex");
            let (first, second) = tokio::join!(send(&one, &first), send(&two, &second));
            let mut answers = [first.status().as_u16(), second.status().as_u16()];
            let taken = if answers[0] == 200 { ("female", "penicillin") } else { ("male", "latex") };
            answers.sort_unstable();
            assert_eq!(answers, [200, 409], "round {round}");
            assert_eq!(list(&one, &person, "sex").await, taken.0);
            assert_eq!(list(&one, &person, "allergies").await, json!([taken.1]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_number_of_two_authorities_two_servers_take_one() {
    for database in databases().await {
        let servers = [
            database.server(&["--hl7-listen", "127.0.0.1:0"]),
            database.server(&["--hl7-listen", "127.0.0.1:0"]),
        ];
        let addresses = [hl7::listening(&servers[0]), hl7::listening(&servers[1])];
        for round in 0..ROUNDS {
            let message = |authority: &str, born: &str| {
                format!(
                    "MSH|^~\\&|ADT|WARD|MEDSERVE|H|20260301093000||ADT^A01^ADT_A01|{authority}{round}|P|2.5.1\r\
                     EVN|A01|20260301093000\rPID|1||n{round}^^^{authority}^MR||Doe^Jane||{born}|F\r"
                )
            };
            let sent = [("HA", "19400101"), ("HB", "19800101")].into_iter().zip(&addresses).map(
                |((authority, born), address)| {
                    let (message, address) = (message(authority, born), address.clone());
                    tokio::task::spawn_blocking(move || hl7::send(&address, &[&message]).remove(0))
                },
            );
            let answers: Vec<String> = join_all(sent).await.into_iter().map(Result::unwrap).collect();
            let taken = |answer: &String| answer.contains("\rMSA|AA|");
            assert_eq!(
                answers.iter().filter(|answer| taken(answer)).count(),
                1,
                "round {round}: {answers:?}"
            );
            let born = if taken(&answers[0]) { 1940 } else { 1980 };
            assert_eq!(list(&servers[0], &format!("n{round}"), "birth_year").await, born);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_and_a_profile_that_is_put_are_not_undone_by_a_record_on_its_way() {
    for database in databases().await {
        let (one, two) = (database.server(&[]), database.server(&[]));
        let client = Client::new();
        for round in 0..2 * ROUNDS {
            let person = format!("e{round}");
            let path = two.at(&format!("/v1/users/{person}"));
            let of = format!("Patient/{person}");
            let before = [patient(&person), allergy(&format!("old{person}"), &of, "sulfa")];
            assert_eq!(status(&one, &before).await, 200);
            let read = client.get(&path).send().await.unwrap();
            let etag = read.headers()["etag"].clone();
            let mut profile: Value = read.json::<Value>().await.unwrap()["profile"].clone();
            profile["allergies"] = json!(["codeine"]);
            // Sooner or later while it is on its way.
            let pause = Duration::from_micros(700 * (round as u64 % 12));
            let new = [allergy(&format!("new{person}"), &of, "latex")];
            let record = status(&one, &new);
            let erases = round % 2 == 0;
            let change = async {
                tokio::time::sleep(pause).await;
                let request = match erases {
                    true => client.delete(&path),
                    false => client.put(&path).header("if-match", etag).json(&json!({"profile": profile})),
                };
                request.send().await.unwrap().status().as_u16()
            };
            let (record, change) = tokio::join!(record, change);
            let now = client.get(&path).send().await.unwrap();
            let there = now.status() == 200;
            let said = now.text().await.unwrap();
            if erases {
                // Before it, or after it: then the record is of nobody.
                assert!(matches!(record, 200 | 422), "round {round}: {record} {said}");
                assert_eq!((change, there), (204, false), "round {round}: {said}");
            } else {
                assert_eq!(record, 200, "round {round}: {said}");
                assert!(matches!(change, 200 | 412), "round {round}: {change}");
                assert_eq!(said.contains("codeine"), change == 200, "round {round}: {said}");
            }
        }
    }
}

/// Three Bundles wait for a database that somebody else holds; another tenant's do not wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_database_hangs_keeps_no_other_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/all.db", folder.path().display());
    let keys = [api_key("own", "admin", "own"), api_key("north", "admin@north", "north")].join(",");
    let arguments = ["--tenants", "north", "--api-keys", &keys, "--hl7-listen", "127.0.0.1:0"];
    let server = Server::start_over(&url, &folder.path().join("models"), &arguments);
    let hl7 = hl7::listening(&server);
    let post = |key: &'static str, person: &str| {
        let body = bundle("transaction", &[patient(person)]).to_string();
        let request = Client::new().post(server.at("/fhir/R4")).bearer_auth(key);
        let request = request.header("content-type", "application/fhir+json").body(body).send();
        async { request.await.unwrap().status().as_u16() }
    };
    assert_eq!(post("north", "n0").await, 200);
    let north = format!("sqlite://{}/all.north.db", folder.path().display());
    let mut holder = SqliteConnection::connect(&north).await.unwrap();
    holder.execute("BEGIN IMMEDIATE").await.unwrap();
    let waiting = join_all(["n1", "n2", "n3"].map(|person| post("north", person)));
    let others = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let begun = Instant::now();
        assert_eq!(post("own", "o1").await, 200);
        let message = "MSH|^~\\&|ADT|WARD|MEDSERVE|H|20260301093000||ADT^A01^ADT_A01|M1|P|2.5.1\r\
             EVN|A01|20260301093000\rPID|1||o2^^^H^MR||Doe^Jane||19540301|F\r";
        let answer =
            tokio::task::spawn_blocking(move || hl7::send(&hl7, &[message]).remove(0)).await.unwrap();
        assert!(answer.contains("\rMSA|AA|"), "{answer}");
        begun.elapsed()
    };
    let (waited, took) = tokio::join!(waiting, others);
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(waited.iter().all(|status| [503, 504].contains(status)), "{waited:?}");
}
