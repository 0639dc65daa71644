//! The audit: who asked what, about whom, of which model, and what was answered, without what was said.
//!
//! Rows are only ever added, in batches, and go when their time has passed. A row names the people
//! concerned by keyed pseudonyms (or by their identifiers, where that is configured); of the input it
//! holds digests, which show that a given input was or was not the one, and nothing else. Each row is
//! chained to the one before ([`chain`]), [`verify`] walks the chain, and [`export`] writes it into a file.

pub mod chain;
pub mod evidence;
pub mod export;
pub mod verify;

use serde::{Deserialize, Serialize};

use recommend::{Millis, clock};

pub use chain::{AuditKey, Head, Naming};

/// One answer. Its JSON, with the members in this order, is what the chain is over: a member that is
/// added must be left out of it where it says nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRow {
    /// The run of the program that wrote it, a number drawn at its start; with `sequence` it
    /// makes a row that is sent twice, after a broken connection, count once.
    pub run: i64,
    /// Its place in that run.
    pub sequence: i64,
    /// When it was answered.
    pub time: Millis,
    /// The request's id.
    pub request_id: String,
    /// Who asked: `key:NAME`, `token:SUBJECT`, `cert:NAME`, "anonymous", or "unknown" where nobody was let in.
    pub caller: String,
    /// The address that asked.
    pub address: String,
    /// The HTTP method.
    pub method: String,
    /// The route, as the router knows it: with `{user_id}` and never an identifier.
    pub route: String,
    /// The HTTP status.
    pub status: u16,
    /// The model that answered.
    pub model: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The people concerned: their pseudonyms, or identifiers. On its way to the writer, identifiers.
    pub people: Vec<String>,
    /// On its way to the writer, more people by the names that the audit has for them.
    #[serde(skip)]
    pub named: Vec<String>,
    /// SHA-256 of the input in hexadecimal digits: of the body, or else of path and query.
    pub input_sha256: String,
    /// SHA-256 over method, target and body: see [`chain::request_digest`].
    pub request_sha256: String,
    /// The labels answered, null for an abstention; or the ids of the items recommended.
    pub answers: Vec<Option<String>>,
    /// Whether an answer was withheld for want of certainty or evidence.
    pub abstained: bool,
    /// From the request's first byte to its answer, in milliseconds.
    pub latency_ms: f64,
    /// For how many milliseconds a server had run on this database when the row was written; the
    /// database fills it in. Retention goes by it.
    pub clock: i64,
    /// What the answer rested on, as JSON: see [`evidence::Evidence`]. A text, so that it is read back as it was chained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// How the id of a card ends an answer of CDS Hooks in the JSON of a row's answers, behind the indicator.
pub(in crate::store) fn card_in_answers(card: &str) -> String {
    format!(" {card}\"")
}

impl AuditRow {
    /// A row of now that says who asked for what, and nothing of the answer yet.
    pub fn of(caller: &str, address: &str, method: &str, route: &str) -> AuditRow {
        AuditRow {
            run: 0,
            sequence: 0,
            time: clock::now(),
            request_id: String::new(),
            caller: caller.to_string(),
            address: address.to_string(),
            method: method.to_string(),
            route: route.to_string(),
            status: 0,
            model: None,
            version: None,
            people: Vec::new(),
            named: Vec::new(),
            input_sha256: String::new(),
            request_sha256: String::new(),
            answers: Vec::new(),
            abstained: false,
            latency_ms: 0.0,
            clock: 0,
            evidence: None,
        }
    }

    /// About how many bytes of memory it takes.
    pub fn size(&self) -> usize {
        let texts = self.people.iter().chain(&self.named).map(|person| person.len() + 24);
        let answers = self.answers.iter().map(|answer| answer.as_ref().map_or(0, String::len) + 24);
        let evidence = self.evidence.as_ref().map_or(0, String::len);
        640 + self.caller.len() + self.route.len() + evidence + texts.sum::<usize>() + answers.sum::<usize>()
    }
}

/// A row with its number, by which the audit is paged.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberedRow {
    /// Grows with time, by whatever replica it was written.
    pub number: i64,
    /// The row.
    pub row: AuditRow,
    /// Its chain; none of a row that is older than the chain.
    pub chain: Option<String>,
}

/// What tells of an audit that was written, beside its rows and the end of its chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traces {
    /// The highest number that was given to a row.
    pub given: i64,
    /// Whether a number is given only together with its row. In Postgres one is gone when its row was not committed.
    pub exact: bool,
    /// The highest number that was sent to a syslog receiver.
    pub sent: i64,
    /// Whether there is any row.
    pub rows: bool,
    /// Whether a server has kept what it answered: counts by hour, cards offered.
    pub answers: bool,
    /// Whether there are people, things, cases or terms, which may have been imported.
    pub content: bool,
}

impl Traces {
    /// What speaks against an audit that says by its head that nothing was ever chained.
    pub fn against(&self, head: &Head) -> Option<String> {
        let number = head.number;
        if !head.is_empty() {
            None
        } else if self.sent > number {
            Some(format!("rows up to {} were sent to the syslog receiver", self.sent))
        } else if self.given > number || (self.given > 0 && !self.rows) {
            Some(format!("the database has given numbers up to {} to its rows", self.given))
        } else {
            self.answers
                .then(|| "a server has kept counts of its answers, or the cards that it offered".to_string())
        }
    }
}

/// Which rows to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Those numbered below.
    pub before: Option<i64>,
    /// Those that concern this person, by the name that the audit has for it.
    pub person: Option<String>,
    /// Those answered then or later, in milliseconds since 1970.
    pub from: Option<Millis>,
    /// Those answered before then.
    pub to: Option<Millis>,
    /// At most so many.
    pub limit: u32,
}
