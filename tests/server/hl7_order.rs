//! HL7 messages that come again, late, or in a character set that nobody names, black box: what is acknowledged is what a list says.

use serde_json::{Value, json};

use crate::fhir::get;
use crate::hl7::{answers_to, listening, send};
use crate::support::Server;

/// A server over the demo's region that takes messages.
pub(crate) fn start(more: &[&str]) -> (Server, String) {
    let arguments = [&["--demo", "--hl7-listen", "127.0.0.1:0"], more].concat();
    let server = Server::start(tempfile::tempdir().unwrap().path(), &arguments);
    let address = listening(&server);
    (server, address)
}

/// A message of a sender about somebody: born and of this sex, its id, when it was made.
pub(crate) fn message(sender: &str, who: (&str, &str), id: &str, time: &str, segments: &str) -> String {
    let (number, born) = who;
    format!(
        "MSH|^~\\&|{sender}|HOSP|MEDSERVE|H|{time}||ADT^A08^ADT_A01|{id}|P|2.5.1\rEVN||{time}\r\
         PID|1||{number}^^^HOSP^MR||DOE^JANE||{born}\r{segments}"
    )
}

pub(crate) async fn profile(server: &Server, id: &str) -> Value {
    get(server, &format!("/v1/users/{id}")).await["profile"].clone()
}

const NONE: &str = "AL1|1|DA|NKDA^No known drug allergies\r";
const WITHDRAWN: &str = "IAM|1|DA|NKDA^No known drug allergies|||D\r";
const JANE: &str = "19600203|F";

/// Whether an answer takes a message, and whether it says that it is late.
fn taken(answer: &str) -> (bool, bool) {
    (answer.contains("\rMSA|AA|"), answer.contains("ERR||MSH^1^7|207^^HL70357|W|"))
}

#[tokio::test]
async fn what_was_taken_back_does_not_come_back_by_a_message_that_comes_again_or_late() {
    let (server, address) = start(&[]);
    let mut number = 0;
    // Each: segments of a message, what takes it back, and the list.
    for (first, then, list) in [
        (NONE, WITHDRAWN, "allergies"),
        ("IAM|1|DA|^Penicillin|||A\r", "IAM|1|DA|^Penicillin|||D\r", "allergies"),
        ("DG1|1||^Pregnancy\r", "DG1|1||^Pregnancy||||||||||||||||||D\r", "conditions"),
    ] {
        number += 1;
        let person = format!("s{number}");
        let of = |id: &str, time: &str, segments: &str| message("EPIC", (&person, JANE), id, time, segments);
        let first_message = of("X1", "20260301110000", first);
        let answers = send(&address, &[&first_message, &of("X2", "20260301120000", then)]);
        assert!(answers.iter().all(|answer| taken(answer) == (true, false)), "{answers:?}");
        for (again, late) in [
            (first_message.clone(), false),
            // The engine put another time on it.
            (of("X1", "20260301130000", first), false),
            (of("X3", "20260301113000", first), true),
            (of("X4", "20260301113000+0000", first), true),
        ] {
            let answer = send(&address, &[&again]).remove(0);
            assert_eq!(taken(&answer), (true, late), "{first} {answer}");
            assert!(profile(&server, &person).await.get(list).is_none(), "{first} {again}");
        }
        // What a newer message says counts, and so does another sender, whose clock is another.
        let own = send(&address, &[&of("X5", "20260301121500", first), &of("X6", "20260301123000", then)]);
        assert!(own.iter().all(|answer| taken(answer) == (true, false)), "{own:?}");
        let other = message("LAB", (&person, JANE), "X1", "20260301100000", first);
        assert_eq!(taken(&send(&address, &[&other]).remove(0)), (true, false));
        assert!(profile(&server, &person).await.get(list).is_some(), "{first}");
    }
}

#[tokio::test]
async fn a_late_message_changes_nothing_newer_and_loses_nothing() {
    let (server, address) = start(&[]);
    let of =
        |id: &str, born: &str, time: &str, segments: &str| message("EPIC", ("r2", born), id, time, segments);
    let answers = send(
        &address,
        &[
            &of("1", "20190101|M", "20260301120000", NONE),
            &of("2", "19600101|F", "20260301130000", ""),
            // Late, and with an allergy that no other message has.
            &of("3", "20190101|M", "20260301120500", "AL1|1|DA|^penicillin\r"),
        ],
    );
    assert_eq!(
        answers.iter().map(|answer| taken(answer)).collect::<Vec<_>>(),
        [(true, false), (true, false), (true, true)]
    );
    let known = profile(&server, "r2").await;
    assert_eq!((&known["birth_year"], &known["sex"]), (&json!(1960), &json!("female")));
    assert_eq!(known["allergies"], json!(["penicillin"]));
    // Without a time a message is taken as it comes, unless it came already.
    let untimed = of("4", "19610101|F", "", NONE);
    send(&address, &[&untimed, &of("5", "19620101|F", "", ""), &untimed]);
    assert_eq!(profile(&server, "r2").await["birth_year"], 1962);
}

#[tokio::test]
async fn a_message_whose_id_counts_from_one_each_day_says_it_anew() {
    let (server, address) = start(&[]);
    let of = |time: &str, segments: &str| message("EPIC", ("d1", JANE), "1", time, segments);
    let allergy = "IAM|1|DA|^Penicillin|||A\r";
    let answers = send(
        &address,
        &[
            &of("20260301110000", allergy),
            &of("20260302110000", "IAM|1|DA|^Penicillin|||D\r"),
            &of("20260303110000", allergy),
        ],
    );
    assert!(answers.iter().all(|answer| taken(answer) == (true, false)), "{answers:?}");
    assert_eq!(profile(&server, "d1").await["allergies"], json!(["Penicillin"]));
    // A time that is none is told, and one to the minute is not late within that minute.
    let unread = send(&address, &[&of("2026-03-03 11:00", "")]).remove(0);
    assert!(unread.contains("\rMSA|AA|") && unread.contains("ERR||MSH^1^7|102"), "{unread}");
    let minute = message("EPIC", ("d1", JANE), "2", "202603031100", "IAM|1|DA|^Penicillin|||D\r");
    assert_eq!(taken(&send(&address, &[&minute]).remove(0)), (true, false));
    assert!(profile(&server, "d1").await.get("allergies").is_none());
}

#[tokio::test]
async fn a_message_without_a_character_set_is_of_the_one_that_is_configured_or_refused() {
    let pregnant = |set: &str| {
        let text = message("HIS", ("g1", "19950101|F"), "1", "20260301110000", "DG1|1||^")
            .replace("|2.5.1", &format!("|2.5.1{set}"));
        [b"\x0b", text.as_bytes(), b"\xc8\xd1\xc9\xef\r\x1c\r"].concat()
    };
    let (server, address) = start(&[]);
    let answer = answers_to(&address, &pregnant(""));
    assert!(answer.contains("\rMSA|AE|1") && answer.contains("ERR||MSH^1^18|102"), "{answer}");
    assert!(profile(&server, "g1").await.is_null());
    assert!(answers_to(&address, &pregnant("||||||UNICODE")).contains("ERR||MSH^1^18|102"));
    assert!(answers_to(&address, &pregnant("||||||GB 18030-2000")).contains("\rMSA|AA|1"));
    assert_eq!(profile(&server, "g1").await["conditions"], json!(["妊娠"]));
    let (server, address) = start(&["--hl7-charset", "GB 18030-2000"]);
    assert!(answers_to(&address, &pregnant("")).contains("\rMSA|AA|1"));
    assert_eq!(profile(&server, "g1").await["conditions"], json!(["妊娠"]));
}
