//! `medserve backup FILE` and `medserve restore FILE`: everything that is kept, in one SQLite file.
//!
//! Of an SQLite database the file is a copy of all of it, the audit and its chain included, made at one
//! moment while servers go on writing. Of Postgres it holds what [`carried`] names, so that it can move to SQLite;
//! restoring such a file into Postgres moves it there. (Postgres' own tools copy all of Postgres.) What was copied
//! is counted and digested on both sides, and the file ends with a [`seal`] by which a restore knows that it is as
//! it was written.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use recommend::{Interaction, InteractionRow, Item, User};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use super::seal;
use crate::config;
use crate::store::carried::{self, Cell, RowSink, TABLES, Table};
use crate::store::{self, Answer, AuditKey, BulkLoad, Naming, Store, StoreOptions};

/// Rows handed over at once.
const BATCH: usize = 5_000;
/// Cases handed over at once; a text may be a megabyte.
const CASES: usize = 500;

/// What SQLite keeps beside a database that is open, or was not closed.
const LOGS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// What a database holds: how many rows, and a digest over them in which their order counts for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Content {
    users: Rows,
    items: Rows,
    interactions: Rows,
    terms: Rows,
    cases: Rows,
    /// Of each of [`TABLES`].
    others: [Rows; carried::COUNT],
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Rows {
    count: u64,
    /// The sum of the rows' digests, each cut to 128 bits.
    digest: u128,
}

impl Rows {
    fn add(&mut self, row: &impl Serialize) {
        let digest = Sha256::digest(serde_json::to_vec(row).unwrap_or_default());
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        self.count += 1;
        self.digest = self.digest.wrapping_add(u128::from_be_bytes(first));
    }
}

impl std::fmt::Display for Content {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Content { users, items, interactions, terms, cases, others } = self;
        let typed = carried::TYPED.into_iter().zip([users, items, interactions, terms, cases]);
        for (name, rows) in typed.chain(TABLES.iter().map(|table| table.name).zip(others)) {
            writeln!(formatter, "{name}: {} rows, digest {:032x}", rows.count, rows.digest)?;
        }
        Ok(())
    }
}

/// Reads everything once.
async fn content(store: &dyn Store) -> Result<Content> {
    let mut content = Content::default();
    store.scan_users(&mut |user| content.users.add(&user)).await?;
    store.scan_items(&mut |item| content.items.add(&item)).await?;
    store.scan_interactions(&mut |row| content.interactions.add(&owned(row))).await?;
    for term in store.terms().await? {
        content.terms.add(&term);
    }
    // Not the vectors, which a server makes anew where they are missing or of another model.
    store.scan_cases(&mut |stored| content.cases.add(&stored.case)).await?;
    for (table, rows) in TABLES.iter().zip(&mut content.others) {
        store.scan_rows(table, rows).await?;
    }
    Ok(content)
}

impl RowSink for Rows {
    fn take<'a>(&'a mut self, _: &'static Table, rows: Vec<Vec<Cell>>) -> Answer<'a, ()> {
        rows.iter().for_each(|row| self.add(row));
        Box::pin(async { Ok(()) })
    }
}

/// Takes rows over from one database into another.
struct Carrying<'a> {
    load: &'a mut dyn BulkLoad,
    /// Who is copied.
    people: &'a HashSet<&'a str>,
    copied: &'a mut Rows,
}

impl RowSink for Carrying<'_> {
    fn take<'a>(&'a mut self, table: &'static Table, mut rows: Vec<Vec<Cell>>) -> Answer<'a, ()> {
        Box::pin(async move {
            rows.retain(|row| match table.user.map(|at| &row[at]) {
                Some(Cell::Text(user_id)) => self.people.contains(user_id.as_str()),
                _ => true,
            });
            self.load.rows(table, &rows).await?;
            rows.iter().for_each(|row| self.copied.add(row));
            Ok(())
        })
    }
}

fn owned(row: InteractionRow<'_>) -> Interaction {
    Interaction {
        user_id: row.user_id.to_owned(),
        item_id: row.item_id.to_owned(),
        event: row.event.to_owned(),
        weight: row.weight,
        time: row.time,
    }
}

/// Copies the database at `url` into a new file that its owner alone may read, sealed with the secret of `key_file`, if
/// there is one. The file has its name only when it is whole.
///
/// # Errors
/// The file is there already; a database that does not answer; a copy that is not what it should be.
pub fn backup(url: &str, file: &Path, key_file: Option<&str>) -> Result<String> {
    let key = secret(key_file)?;
    Runtime::new()?.block_on(copy_out(url, file, key.as_ref()))
}

/// The key that seals: that of the audit's secret, the same for all tenants, so that what one has can move to another.
fn secret(key_file: Option<&str>) -> Result<Option<AuditKey>> {
    let secret = key_file.map(config::read_audit_secret).transpose().map_err(anyhow::Error::msg)?;
    Ok(secret.map(|secret| AuditKey::new(secret, Naming::Pseudonym)))
}

async fn copy_out(url: &str, file: &Path, key: Option<&AuditKey>) -> Result<String> {
    ensure!(!file.exists(), "{} is there already; a back-up replaces nothing", file.display());
    let partial = beside(file, ".partial");
    clear(&partial)?;
    let store = store::connect(url, &StoreOptions::default()).await.context("opening the database")?;
    let expected = match url.starts_with("sqlite") {
        true => {
            // So that nobody else can read it from its first byte on.
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
            store.copy_into(&partial).await.context("copying the database")?;
            None
        }
        false => {
            let copy = store::connect(&sqlite(&partial), &StoreOptions::default()).await?;
            let copied = transfer(store.as_ref(), copy.as_ref()).await?;
            copy.close().await;
            eprintln!("{}", carried::left_out());
            Some(copied)
        }
    };
    store.close().await;
    let found = checked(&partial).await?;
    if let Some(expected) = expected {
        ensure!(found == expected, "the copy is not what was read:\n{expected}copy:\n{found}");
    }
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o600))?;
    let log = beside(&partial, "-wal");
    ensure!(
        fs::metadata(&log).map_or(0, |log| log.len()) == 0,
        "{}: the copy is not whole without this",
        log.display()
    );
    seal::close(&partial, key).with_context(|| partial.display().to_string())?;
    fs::rename(&partial, file).with_context(|| file.display().to_string())?;
    for log in LOGS {
        let _ = fs::remove_file(beside(&partial, log));
    }
    Ok(found.to_string())
}

/// How a back-up must be sealed to be restored.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// File of the secret that it must be sealed with; without one the digest alone counts.
    pub key_file: Option<String>,
    /// Whether it is taken without a seal, or with one that does not fit it.
    pub unsealed: bool,
}

/// Puts what `file` holds into the place of the database at `url`, in which there must be nothing. The file itself
/// stays as it is.
///
/// # Errors
/// There is something; a file that is no back-up, or was changed since; a copy that is not what it should be.
pub fn restore(url: &str, file: &Path, trust: &Trust) -> Result<String> {
    let key = secret(trust.key_file.as_deref())?;
    Runtime::new()?.block_on(copy_in(url, file, key.as_ref(), trust.unsealed))
}

async fn copy_in(url: &str, file: &Path, key: Option<&AuditKey>, unsealed: bool) -> Result<String> {
    ensure!(file.is_file(), "{}: there is no such file", file.display());
    let path = store::file_of(url);
    if let Some(path) = &path {
        if path.exists() {
            store::vacant(path)
                .await
                .with_context(|| format!("{} is there already; move it away first", path.display()))?;
        }
        for log in LOGS.map(|log| beside(path, log)) {
            // One that another database left would be taken for one of this.
            ensure!(!log.exists(), "{} is there already; move it away first", log.display());
        }
    }
    // Opening a database may change its file, and one from before is brought up to date.
    let partial = beside(path.as_deref().unwrap_or(file), ".partial");
    clear(&partial)?;
    let wrong = seal::open(file, &partial, key).with_context(|| file.display().to_string())?;
    if let Some(wrong) = wrong.filter(|_| !unsealed) {
        clear(&partial)?;
        bail!("{}: {wrong}; --unsealed restores it all the same", file.display());
    }
    if let Some(wrong) = wrong {
        eprintln!("restored without a seal: {wrong}");
    }
    let expected = match checked(&partial).await {
        Ok(expected) => expected,
        Err(error) => {
            clear(&partial)?;
            return Err(error).with_context(|| file.display().to_string());
        }
    };
    if let Some(path) = path {
        fs::rename(&partial, &path)?;
        clear(&partial)?;
    } else {
        let from = store::connect(&sqlite(&partial), &StoreOptions::default()).await?;
        let into = store::connect(url, &StoreOptions::default()).await.context("opening the database")?;
        let counts = into.counts().await?;
        if counts != Default::default() || into.count_cases().await? > 0 {
            bail!(
                "the database is not empty: it has {} users, {} items and {} cases",
                counts.users,
                counts.items,
                into.count_cases().await?
            );
        }
        let found = content(into.as_ref()).await?;
        ensure!(found == Content::default(), "the database is not empty:\n{found}");
        transfer(from.as_ref(), into.as_ref()).await?;
        from.close().await;
        into.close().await;
        clear(&partial)?;
        eprintln!("{}", carried::left_out());
    }
    let store = store::connect(url, &StoreOptions::default()).await.context("opening what was restored")?;
    let found = content(store.as_ref()).await?;
    store.close().await;
    ensure!(found == expected, "what was restored is not what the file holds:\n{expected}restored:\n{found}");
    Ok(found.to_string())
}

/// The content of a back-up that is whole.
async fn checked(file: &Path) -> Result<Content> {
    let store = store::connect(&sqlite(file), &StoreOptions::default()).await?;
    store.check_whole().await?;
    let content = content(store.as_ref()).await?;
    store.close().await;
    Ok(content)
}

fn sqlite(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

pub(super) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Removes what an earlier try has left.
fn clear(partial: &Path) -> Result<()> {
    for file in [partial.to_path_buf()].into_iter().chain(LOGS.map(|log| beside(partial, log))) {
        if file.exists() {
            fs::remove_file(&file).with_context(|| file.display().to_string())?;
        }
    }
    Ok(())
}

/// What [`carried`] names from one database into another, and what was copied. What commits meanwhile may be left out; what
/// refers to somebody who is not copied is.
async fn transfer(from: &dyn Store, into: &dyn Store) -> Result<Content> {
    let mut copied = Content::default();
    let (mut interactions, mut users, mut items) = (Vec::new(), Vec::new(), Vec::new());
    from.scan_interactions(&mut |row| interactions.push(owned(row))).await?;
    from.scan_users(&mut |user| users.push(user)).await?;
    from.scan_items(&mut |item| items.push(item)).await?;
    let terms = from.terms().await?;
    let people: HashSet<&str> = users.iter().map(|user: &User| user.user_id.as_str()).collect();
    let things: HashSet<&str> = items.iter().map(|item: &Item| item.item_id.as_str()).collect();
    interactions.retain(|row: &Interaction| {
        people.contains(row.user_id.as_str()) && things.contains(row.item_id.as_str())
    });
    let mut load: Box<dyn BulkLoad> = into.begin_load().await?;
    for batch in users.chunks(BATCH) {
        load.users(batch).await?;
    }
    for batch in items.chunks(BATCH) {
        load.items(batch).await?;
    }
    for batch in interactions.chunks(BATCH) {
        load.interactions(batch).await?;
    }
    let mut ids = Vec::new();
    from.scan_cases(&mut |stored| ids.push(stored.case.case_id)).await?;
    for ids in ids.chunks(CASES) {
        let cases = from.read_cases(ids).await?;
        load.cases(&cases).await?;
        cases.iter().for_each(|stored| copied.cases.add(&stored.case));
    }
    for (table, copied) in TABLES.iter().zip(&mut copied.others) {
        let mut carrying = Carrying { load: load.as_mut(), people: &people, copied };
        from.scan_rows(table, &mut carrying).await?;
    }
    load.commit(None).await?;
    into.put_terms(&terms).await?;
    users.iter().for_each(|user| copied.users.add(user));
    items.iter().for_each(|item| copied.items.add(item));
    interactions.iter().for_each(|row| copied.interactions.add(row));
    terms.iter().for_each(|term| copied.terms.add(term));
    Ok(copied)
}
