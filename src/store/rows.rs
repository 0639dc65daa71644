//! Between the plain data types and the columns both databases keep them in.
//!
//! JSON goes in and out as text, so that the two adapters read and write it with the same code.
//! A row written by plain SQL may hold JSON that is not a profile or not contraindications. Who
//! asks for that very row is told so; a scan goes on, and takes the careful reading: a profile
//! that cannot be read is one of which nothing is known, an item whose contraindications cannot
//! be read is hidden.

use std::str::FromStr;

use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

use super::audit::Head;
use super::cases::{Case, CaseVector, StoredCase};
use super::{AuditRow, NumberedRow, PROFILE_LIMIT, StoreError};
use recommend::{Contraindications, Interaction, Item, Kind, Profile, SourceError, Term, User};

/// Reads a struct's members from the columns of their names, in both databases. Sqlx's derive would do
/// it, and with it both databases would be built a second time, for the compiler.
macro_rules! from_columns {
    ($($row:ident { $($column:ident),+ })+) => {
        $(from_columns!(@one $row PgRow $($column)+);
        from_columns!(@one $row SqliteRow $($column)+);)+
    };
    (@one $row:ident $from:ident $($column:ident)+) => {
        impl FromRow<'_, $from> for $row {
            fn from_row(row: &$from) -> Result<Self, sqlx::Error> {
                Ok(Self { $($column: row.try_get(stringify!($column))?),+ })
            }
        }
    };
}

pub(super) use from_columns;

from_columns! {
    UserRow { id, profile }
    ItemRow { id, kind, name, attributes, latitude, longitude, hidden, repeatable, contraindications }
    CaseRow { id, text, attributes, model, version, vector }
    InteractionRow { kind, user_id, item_id, event, time, weight }
    AuditColumns { number, run, sequence, time, request_id, caller, address, method, route, status, model, version, people, input_sha256, request_sha256, answers, abstained, latency_ms, clock, chain, evidence }
}

/// One row of `users`.
pub(super) struct UserRow {
    pub id: String,
    pub profile: String,
}

impl UserRow {
    pub fn into_user(self) -> Result<User, StoreError> {
        match serde_json::from_str(&self.profile) {
            Ok(profile) => Ok(User { user_id: self.id, profile }),
            Err(error) => Err(unreadable("profile of user", &self.id, &error)),
        }
    }

    /// The careful reading, for scans.
    pub fn into_known(self) -> User {
        let profile = serde_json::from_str(&self.profile).unwrap_or_else(|error| {
            tracing::warn!(user_id = self.id, %error, "the stored profile cannot be read: taken as unknown");
            Profile::default()
        });
        User { user_id: self.id, profile }
    }
}

/// One row of `items`.
pub(super) struct ItemRow {
    pub id: String,
    pub kind: String,
    pub name: String,
    pub attributes: String,
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    pub hidden: bool,
    pub repeatable: bool,
    pub contraindications: String,
}

impl ItemRow {
    pub fn into_item(self) -> Result<Item, StoreError> {
        let attributes = serde_json::from_str(&self.attributes)
            .map_err(|error| unreadable("attributes of item", &self.id, &error))?;
        let contraindications = serde_json::from_str(&self.contraindications)
            .map_err(|error| unreadable("contraindications of item", &self.id, &error))?;
        self.with(attributes, contraindications)
    }

    /// The careful reading, for scans.
    pub fn into_known(mut self) -> Result<Item, StoreError> {
        // The recommender reads no attributes.
        let attributes = serde_json::from_str(&self.attributes).unwrap_or_default();
        let contraindications = serde_json::from_str(&self.contraindications).unwrap_or_else(|error| {
            tracing::warn!(item_id = self.id, %error, "the stored contraindications cannot be read: hidden");
            self.hidden = true;
            Contraindications::default()
        });
        self.with(attributes, contraindications)
    }

    fn with(
        self,
        attributes: serde_json::Map<String, Value>,
        contraindications: Contraindications,
    ) -> Result<Item, StoreError> {
        Ok(Item {
            kind: kind(&self.kind)?,
            item_id: self.id,
            name: self.name,
            attributes,
            latitude: self.latitude,
            longitude: self.longitude,
            hidden: self.hidden,
            repeatable: self.repeatable,
            contraindications,
        })
    }
}

/// The terms of these rows (JSON), for the recommender: one that cannot be read is left out.
pub(super) fn known_terms(rows: Vec<String>) -> Vec<Term> {
    let read = |row: String| {
        let term = serde_json::from_str(&row);
        term.inspect_err(|error| tracing::warn!(%error, "a stored term cannot be read: left out")).ok()
    };
    rows.into_iter().filter_map(read).collect()
}

/// The term as JSON text.
pub(super) fn term_json(term: &Term) -> Result<String, StoreError> {
    serde_json::to_string(term).map_err(|error| StoreError::Internal(error.into()))
}

/// One row of `cases`.
pub(super) struct CaseRow {
    pub id: String,
    pub text: String,
    pub attributes: String,
    pub model: Option<String>,
    pub version: Option<String>,
    pub vector: Option<Vec<u8>>,
}

impl CaseRow {
    pub fn into_case(self) -> Result<Case, StoreError> {
        let attributes = serde_json::from_str(&self.attributes)
            .map_err(|error| unreadable("attributes of case", &self.id, &error))?;
        Ok(Case { case_id: self.id, text: self.text, attributes })
    }

    /// The careful reading, for the index: attributes that cannot be read are none.
    pub fn into_known(self) -> StoredCase {
        let attributes = serde_json::from_str(&self.attributes).unwrap_or_default();
        StoredCase {
            case: Case { case_id: self.id, text: self.text, attributes },
            vector: CaseVector::read(self.model, self.version, self.vector),
        }
    }
}

/// The attributes of a case as JSON text, and a case that both databases can keep: Postgres has no NUL.
pub(super) fn case_attributes_json(case: &Case) -> Result<String, StoreError> {
    let has_nul = |(key, value): (&String, &Value)| key.contains('\0') || value_has_nul(value);
    if case.text.contains('\0') || case.attributes.iter().any(has_nul) {
        return Err(StoreError::invalid(None, "case", "must not contain the character NUL"));
    }
    serde_json::to_string(&case.attributes).map_err(|error| StoreError::Internal(error.into()))
}

/// One row of `interactions`, with its item's kind and the time in milliseconds.
pub(super) struct InteractionRow {
    pub kind: String,
    pub user_id: String,
    pub item_id: String,
    pub event: String,
    pub time: i64,
    pub weight: f32,
}

impl InteractionRow {
    pub fn split(self) -> Result<(Kind, Interaction), StoreError> {
        Ok((
            kind(&self.kind)?,
            Interaction {
                user_id: self.user_id,
                item_id: self.item_id,
                event: self.event,
                weight: self.weight,
                time: self.time,
            },
        ))
    }
}

/// A kind as the database has it; a newer program may have added one.
pub(super) fn kind(name: &str) -> Result<Kind, StoreError> {
    Kind::from_str(name).map_err(|error| StoreError::Internal(error.into()))
}

/// The profile as JSON text.
pub(super) fn profile_json(profile: &Profile) -> Result<String, StoreError> {
    serde_json::to_string(profile).map_err(|error| StoreError::Internal(error.into()))
}

/// The attributes as JSON text. Postgres cannot keep the character NUL in any text, so neither
/// database is given it.
pub(super) fn attributes_json(index: usize, item: &Item) -> Result<String, StoreError> {
    let has_nul = item.attributes.iter().any(|(key, value)| key.contains('\0') || value_has_nul(value));
    if has_nul {
        return Err(StoreError::invalid(Some(index), "attributes", "must not contain the character NUL"));
    }
    serde_json::to_string(&item.attributes).map_err(|error| StoreError::Internal(error.into()))
}

fn value_has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(value_has_nul),
        Value::Object(members) => {
            members.iter().any(|(key, value)| key.contains('\0') || value_has_nul(value))
        }
        _ => false,
    }
}

/// The contraindications as JSON text.
pub(super) fn contraindications_json(item: &Item) -> Result<String, StoreError> {
    serde_json::to_string(&item.contraindications).map_err(|error| StoreError::Internal(error.into()))
}

fn unreadable(what: &str, id: &str, error: &serde_json::Error) -> StoreError {
    StoreError::Internal(format!("the stored {what} {id:?} cannot be read: {error}").into())
}

/// The profiles of rows that are being read, or an error where that takes longer than anybody waits.
pub(super) async fn profiles_within(
    read: impl Future<Output = Result<Vec<UserRow>, sqlx::Error>>,
) -> Result<Vec<(String, Profile)>, SourceError> {
    let rows = tokio::time::timeout(PROFILE_LIMIT, read).await;
    let rows = rows.map_err(|elapsed| SourceError::Unavailable(elapsed.to_string()))?;
    let known = rows.map_err(|error| source_error(error.into()))?.into_iter().map(UserRow::into_known);
    Ok(known.map(|user| (user.user_id, user.profile)).collect())
}

/// What the recommender is told when a read fails. The text is fit for a client; the log has
/// the rest.
pub(super) fn source_error(error: StoreError) -> SourceError {
    if error.is_transient() {
        SourceError::Unavailable(error.to_string())
    } else {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::error!(%error, cause, "the store could not answer the recommender");
        SourceError::Failed(error.to_string())
    }
}

/// One row of `audit`.
pub(super) struct AuditColumns {
    number: i64,
    run: i64,
    sequence: i64,
    time: i64,
    request_id: String,
    caller: String,
    address: String,
    method: String,
    route: String,
    status: i32,
    model: Option<String>,
    version: Option<String>,
    people: String,
    input_sha256: String,
    request_sha256: String,
    answers: String,
    abstained: bool,
    latency_ms: f64,
    clock: i64,
    chain: Option<String>,
    evidence: Option<String>,
}

impl AuditColumns {
    pub fn into_row(self) -> Result<NumberedRow, StoreError> {
        let list = |what: &str, text: &str| {
            let unreadable = |e| unreadable(&format!("{what} of audit row"), &self.number.to_string(), &e);
            serde_json::from_str(text).map_err(unreadable)
        };
        let answers = list("answers", &self.answers)?;
        let people: Vec<Option<String>> = list("people", &self.people)?;
        let row = AuditRow {
            run: self.run,
            sequence: self.sequence,
            time: self.time,
            request_id: self.request_id,
            caller: self.caller,
            address: self.address,
            method: self.method,
            route: self.route,
            status: u16::try_from(self.status).unwrap_or_default(),
            model: self.model,
            version: self.version,
            people: people.into_iter().flatten().collect(),
            named: Vec::new(),
            input_sha256: self.input_sha256,
            request_sha256: self.request_sha256,
            answers,
            abstained: self.abstained,
            latency_ms: self.latency_ms,
            clock: self.clock,
            evidence: self.evidence,
        };
        Ok(NumberedRow { number: self.number, row, chain: self.chain })
    }
}

/// The columns of the end of the audit's chain: number, chain, dropped, dropped_chain, signature.
pub(super) type HeadColumns = (i64, String, i64, String, String);

/// The end of the audit's chain.
pub(super) fn head((number, chain, dropped, dropped_chain, signature): HeadColumns) -> Head {
    Head { number, chain, dropped, dropped_chain, signature }
}

/// Somebody has deleted the end of the audit's chain.
pub(super) fn no_head() -> StoreError {
    StoreError::Setup("the row of its table audit_head, the end of the audit's chain, is not there".into())
}

/// Something in the database lets fewer rows in than it was given.
pub(super) fn not_taken() -> StoreError {
    StoreError::Setup("its table audit did not take a row: somebody has put a trigger on it".into())
}

/// The answers of an audit row as JSON text.
pub(super) fn answers_json(row: &AuditRow) -> Result<String, StoreError> {
    serde_json::to_string(&row.answers).map_err(|error| StoreError::Internal(error.into()))
}

/// The people of an audit row as JSON text.
pub(super) fn people_json(row: &AuditRow) -> Result<String, StoreError> {
    serde_json::to_string(&row.people).map_err(|error| StoreError::Internal(error.into()))
}
