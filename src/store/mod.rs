//! Where users, items and interactions are kept: the [`Store`] trait and its two adapters,
//! [`postgres`] for production and [`sqlite`] for one machine with nothing installed beside it.
//!
//! All SQL is in this module. The adapters promise the same, and one suite of tests
//! (`tests/server/store`) holds both to it:
//!
//! - A write that was answered is durable: it survives the end of this process and of the
//!   machine's power (SQLite in WAL mode with `synchronous = FULL`; Postgres by its defaults).
//! - A write happens whole or not at all, however many rows it has.
//! - What commits is named by the change feed ([`Source::changes`]), whoever wrote it and in
//!   whatever order transactions commit. Triggers fill the feed, so that plain SQL counts too.
//! - Deleting a user erases the profile, the interactions and what was derived from them at
//!   once. The identifier alone stays in the change feed, for the other replicas' sake, until
//!   [`Store::trim_changes`] passes it (minutes).

mod address;
pub mod audit;
mod audit_writer;
pub mod bulk;
pub mod carried;
pub mod cases;
pub mod cds;
pub mod demo;
pub mod dicom;
pub mod error;
pub mod fhir;
pub mod hl7;
pub mod import;
pub mod intake;
pub mod known;
mod migrate;
mod old;
pub mod postgres;
mod rows;
pub mod sqlite;
pub mod tallies;
pub mod tenant;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use recommend::{Evidence, Interaction, Item, Kind, Millis, Source, Term, User, Weighing};

pub use address::{file_of, shown};
pub use audit::{AuditKey, AuditQuery, AuditRow, Head, Naming, NumberedRow, Traces};
pub use audit_writer::{AuditWriter, NotWritten};
pub use bulk::BulkStore;
pub use carried::CarriedStore;
pub use cases::{Case, CaseChanges, CaseStore, CaseVector, StoredCase};
pub use cds::{CdsOffer, CdsStore};
pub use dicom::DicomStore;
pub use error::StoreError;
pub use hl7::Hl7Store;
pub use intake::{Held, Intake, RecordStore};
pub use known::{Known, KnownStore};
pub use sqlite::vacant::vacant;
pub use tallies::{Tallied, TallyQuery, TallyStore};

/// The future every store operation returns: boxed, so that the trait can be used as `dyn`.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Whether a write may go ahead, told by what is stored now.
pub type Check<'a, T> = &'a (dyn Fn(Option<&T>) -> bool + Sync);

/// How long the change feed is kept. A replica cut off from the database for longer loads
/// everything anew instead.
pub const KEEP_CHANGES: Duration = Duration::from_secs(10 * 60);

/// Longest time to wait for what is known of one person, before a drug is recommended.
const PROFILE_LIMIT: Duration = Duration::from_secs(3);

/// Most rows that one call of [`Store::trim_audit`] drops.
pub const TRIM_BATCH: u32 = 10_000;

/// How to reach a database and how much of it to use.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The most connections held at once.
    pub max_connections: u32,
    /// How long a call waits for a free connection before it says
    /// [`StoreError::Unavailable`].
    pub acquire_timeout: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { max_connections: 10, acquire_timeout: Duration::from_secs(3) }
    }
}

/// What a write did. A row that was already there, the same in every field, is `unchanged`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Written {
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
}

impl std::ops::AddAssign for Written {
    fn add_assign(&mut self, other: Self) {
        self.created += other.created;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
    }
}

/// Which items to list: by id in byte order, after `after`, at most `limit`.
#[derive(Debug, Clone)]
pub struct ItemQuery {
    pub kind: Option<Kind>,
    /// The last id of the page before; `None` for the first page.
    pub after: Option<String>,
    pub limit: u32,
}

/// What tells one interaction of a user from the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InteractionKey {
    pub time: Millis,
    pub item_id: String,
    pub event: String,
}

/// Which of a user's interactions to list: the latest first, ties by item and event in byte
/// order, after `after`, at most `limit`.
#[derive(Debug, Clone)]
pub struct InteractionQuery {
    pub kind: Option<Kind>,
    /// The last one of the page before; `None` for the first page.
    pub after: Option<InteractionKey>,
    pub limit: u32,
}

/// Which of a user's interactions to delete: those that fit every field given, all if none is.
#[derive(Debug, Clone, Default)]
pub struct InteractionFilter {
    pub item_id: Option<String>,
    pub event: Option<String>,
    pub time: Option<Millis>,
}

/// How many rows there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    pub users: u64,
    pub items: u64,
    pub interactions: u64,
}

/// How busy the connection pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUsage {
    /// Connections open now, idle ones among them.
    pub open: u32,
    pub idle: u32,
    pub max: u32,
}

/// A database of users, items and interactions. Callers validate what they write by the rules
/// of [`recommend`]; the store enforces what it cannot live without.
pub trait Store:
    Source + RecordStore + CaseStore + DicomStore + Hl7Store + BulkStore + CdsStore + CarriedStore + TallyStore
{
    /// Adds these users, or replaces the profiles of those that exist. An id that comes twice
    /// counts once, the last one wins (so in the other batches below).
    fn put_users<'a>(&'a self, users: &'a [User]) -> Answer<'a, Written>;

    /// Erases the user and everything about it, or [`StoreError::NotFound`].
    fn delete_user<'a>(&'a self, user_id: &'a str) -> Answer<'a, ()>;

    /// Puts `new` in the place of what is stored for the user, or erases it where `new` is nothing, if
    /// what is stored passes the check; [`StoreError::Changed`] if it does not. Nobody else can write
    /// in between.
    fn replace_user<'a>(
        &'a self,
        user_id: &'a str,
        new: Option<&'a User>,
        check: Check<'a, User>,
    ) -> Answer<'a, Written>;

    /// As [`Store::replace_user`], of an item.
    fn replace_item<'a>(
        &'a self,
        item_id: &'a str,
        new: Option<&'a Item>,
        check: Check<'a, Item>,
    ) -> Answer<'a, Written>;

    /// Adds these items, or replaces those that exist. An item may change its kind; its
    /// interactions then count for the new one.
    fn put_items<'a>(&'a self, items: &'a [Item]) -> Answer<'a, Written>;

    /// The item, or [`StoreError::NotFound`].
    fn get_item<'a>(&'a self, item_id: &'a str) -> Answer<'a, Item>;

    /// Deletes the item and its interactions, or [`StoreError::NotFound`].
    fn delete_item<'a>(&'a self, item_id: &'a str) -> Answer<'a, ()>;

    /// Adds these interactions in one transaction. The same user, item, event and time is the
    /// same interaction: sent again it is `unchanged`, with another weight that weight replaces
    /// the former (`updated`). [`StoreError::UnknownUser`] or [`StoreError::UnknownItem`] names
    /// the first of the batch that refers to nobody or nothing, and nothing is written then.
    fn put_interactions<'a>(&'a self, interactions: &'a [Interaction]) -> Answer<'a, Written>;

    /// One page of a user's interactions, or [`StoreError::NotFound`] for an unknown user.
    fn list_interactions<'a>(
        &'a self,
        user_id: &'a str,
        query: &'a InteractionQuery,
    ) -> Answer<'a, Vec<Interaction>>;

    /// Deletes a user's interactions and says how many there were, or
    /// [`StoreError::NotFound`] for an unknown user.
    fn delete_interactions<'a>(&'a self, user_id: &'a str, filter: &'a InteractionFilter) -> Answer<'a, u64>;

    /// Adds these terms to the terminology, or replaces those of the same kind and name.
    fn put_terms<'a>(&'a self, terms: &'a [Term]) -> Answer<'a, Written>;

    /// Begins a bulk load: everything written through it appears at once with
    /// [`BulkLoad::commit`], or not at all if it is dropped before.
    fn begin_load(&self) -> Answer<'_, Box<dyn BulkLoad>>;

    /// Begins to take records in: what is read, compared and written through it is one transaction.
    fn begin_intake(&self) -> Answer<'_, Box<dyn Intake>>;

    /// How many rows there are. Counts them, so not for every request.
    fn counts(&self) -> Answer<'_, Counts>;

    /// Asks the database for a sign of life.
    fn ping(&self) -> Answer<'_, ()>;

    /// How busy the connection pool is. Asks nothing of the database.
    fn pool_usage(&self) -> PoolUsage;

    /// Drops what the change feed no longer needs: what committed longer than `keep` ago, as far
    /// as earlier calls can tell. To be called every minute or so, by every replica.
    fn trim_changes(&self, keep: Duration) -> Answer<'_, u64>;

    /// The moment ages are counted from: the one kept in the database, so that every replica and
    /// every start has the same; or `now`, kept from then on, where there is none or only one
    /// before `oldest`.
    fn reference_time(&self, now: Millis, oldest: Millis) -> Answer<'_, Millis>;

    /// Adds these rows to the audit behind its last one, all or none, and signs the end of the chain. A
    /// row that is there already, by its run and sequence, stays as it is. [`StoreError::Setup`] where
    /// the end was not signed by this key.
    fn append_audit<'a>(&'a self, rows: &'a [AuditRow], key: &'a AuditKey) -> Answer<'a, ()>;

    /// A page of the audit, the latest rows first.
    fn list_audit<'a>(&'a self, query: &'a AuditQuery) -> Answer<'a, Vec<NumberedRow>>;

    /// The rows numbered above `after`, in their order, at most `limit`.
    fn scan_audit(&self, after: i64, limit: u32) -> Answer<'_, Vec<NumberedRow>>;

    /// The row of this number.
    fn get_audit(&self, number: i64) -> Answer<'_, Option<NumberedRow>> {
        Box::pin(async move {
            let rows = self.scan_audit(number.saturating_sub(1), 1).await?;
            Ok(rows.into_iter().find(|row| row.number == number))
        })
    }

    /// The rows of feedback about a card of CDS Hooks, numbered above that of the card, in their order, at most `limit`.
    fn audit_feedback<'a>(&'a self, after: i64, card: &'a str, limit: u32) -> Answer<'a, Vec<NumberedRow>>;

    /// The row of the call of CDS Hooks that gave a card, the latest where several did.
    fn audit_card<'a>(&'a self, card: &'a str) -> Answer<'a, Option<NumberedRow>>;

    /// The end of the audit's chain.
    fn audit_head(&self) -> Answer<'_, Head>;

    /// Signs the end of the chain as it is, whoever signed it before.
    fn sign_audit<'a>(&'a self, key: &'a AuditKey) -> Answer<'a, ()>;

    /// The secret of this database's audit in hexadecimal digits; `fresh`, kept from then on, where
    /// there is none.
    fn audit_secret<'a>(&'a self, fresh: &'a str) -> Answer<'a, String>;

    /// The triggers that keep the audit and are not there as the migrations made them, or are switched off.
    fn missing_audit_guards(&self) -> Answer<'_, Vec<String>>;

    /// Triggers on the audit's tables that no migration made: they may change what is written, or keep it from being written.
    fn foreign_audit_triggers(&self) -> Answer<'_, Vec<String>>;

    /// Who is named in which rows, as [`Store::list_audit`] finds them, of the rows numbered above `after` and up to
    /// `last`.
    fn audit_names(&self, after: i64, last: i64) -> Answer<'_, Vec<(i64, String)>>;

    /// The numbers under which people are named though there is no such row, at most `limit`.
    fn stray_audit_names(&self, limit: u32) -> Answer<'_, Vec<i64>>;

    /// What tells of an audit that was written, beside its rows and the end of its chain.
    fn audit_traces(&self) -> Answer<'_, Traces>;

    /// Moves the audit's clock on: by the time that passed since it last moved, and at most by `ran`.
    fn tick_audit(&self, ran: Duration) -> Answer<'_, ()>;

    /// Drops the oldest rows of the audit, at most [`TRIM_BATCH`], as far as they are older than
    /// `keep` (a day at least) by the audit's clock, and says how many there were.
    fn trim_audit<'a>(&'a self, keep: Duration, key: &'a AuditKey) -> Answer<'a, u64>;

    /// Takes over the sending of the audit for the time of `lease`, where rows wait to be sent and nobody
    /// else sends: the number of the last row that arrived, and of the last that there is. Nothing where
    /// somebody else sends.
    fn claim_audit_stream(&self, holder: i64, lease: Duration) -> Answer<'_, Option<(i64, i64)>>;

    /// Notes that rows up to this number arrived, unless somebody else has taken over.
    fn advance_audit_stream(&self, holder: i64, number: i64) -> Answer<'_, ()>;

    /// Copies everything of one moment into an empty file, where the database is a file itself.
    fn copy_into<'a>(&'a self, _: &'a std::path::Path) -> Answer<'a, ()> {
        Box::pin(async { Err(StoreError::Setup("only an SQLite database is copied as a file".into())) })
    }

    /// Whether the database is whole, as far as it can tell by itself.
    fn check_whole(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Neighbors and scores computed by the database itself, switched on for this weighing, or
    /// [`StoreError::Setup`] where the database cannot do that.
    fn evidence<'a>(&'a self, weighing: &'a Weighing) -> Answer<'a, Arc<dyn Evidence>>;

    /// Closes all connections, after the calls in progress.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Everything a bulk load did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Loaded {
    pub users: Written,
    pub items: Written,
    pub interactions: Written,
    pub cases: Written,
    /// Interactions of the load that were the same (user, item, event, time) as a later one of
    /// the load, which replaced them.
    pub repeated: u64,
}

/// One transaction of any size. Dropping it takes everything back.
pub trait BulkLoad: Send {
    fn users<'a>(&'a mut self, users: &'a [User]) -> Answer<'a, ()>;

    fn items<'a>(&'a mut self, items: &'a [Item]) -> Answer<'a, ()>;

    fn interactions<'a>(&'a mut self, interactions: &'a [Interaction]) -> Answer<'a, ()>;

    fn cases<'a>(&'a mut self, cases: &'a [StoredCase]) -> Answer<'a, ()>;

    /// Rows of a table that is empty.
    fn rows<'a>(
        &'a mut self,
        table: &'static carried::Table,
        rows: &'a [Vec<carried::Cell>],
    ) -> Answer<'a, ()>;

    /// Makes everything visible at once. With `create_missing`, users that the interactions
    /// name and that do not exist are created with an empty profile (of which everything is
    /// unknown), and items with this kind and their id for a name; an item that exists and is of
    /// another kind is a [`StoreError::OtherKind`]. Without it, an unknown user or item is an
    /// error as in [`Store::put_interactions`], counted from the first interaction of the load.
    fn commit(self: Box<Self>, create_missing: Option<Kind>) -> Answer<'static, Loaded>;
}

/// Opens the database at `url` (`postgres://...` or `sqlite://...`) and brings its schema up to
/// date. Several replicas may do so at the same moment.
pub async fn connect(url: &str, options: &StoreOptions) -> Result<Arc<dyn Store>, StoreError> {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("postgres" | "postgresql") => {
            Ok(Arc::new(postgres::PostgresStore::connect(url, options).await?))
        }
        Some("sqlite") => Ok(Arc::new(sqlite::SqliteStore::connect(url, options).await?)),
        // The address may hold a password, so it is not repeated.
        _ => Err(StoreError::Setup("the address must begin with postgres:// or sqlite://".into())),
    }
}

/// Whether there is a database at `url`, of a tenant its own.
///
/// # Errors
/// One of Postgres that does not answer.
pub async fn is_there(url: &str) -> Result<bool, StoreError> {
    match (url.starts_with("sqlite:"), file_of(url)) {
        (true, Some(file)) => Ok(file.exists()),
        (true, None) => Ok(true),
        (false, _) => postgres::schema::is_there(url).await,
    }
}

/// The last of each key, in the order of the keys; every batch is written in that order, so that
/// two batches at the same time cannot wait for each other.
fn last_of_each<'a, T, K: Ord>(rows: &'a [T], key: impl Fn(&'a T) -> K) -> Vec<&'a T> {
    rows.iter()
        .map(|row| (key(row), row))
        .collect::<std::collections::BTreeMap<K, &T>>()
        .into_values()
        .collect()
}

fn interaction_key(row: &Interaction) -> (&str, &str, &str, Millis) {
    (&row.item_id, &row.user_id, &row.event, row.time)
}
