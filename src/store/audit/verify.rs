//! Walking the chain: is the audit as it was written? And its export, signed, for whoever has no
//! access to the database.
//!
//! A line of an export is `{"number":..., "chain":"...", "row":...}`, and `row` the very text that the
//! chain is over, so that an auditor recomputes it with a tool of their own. The last line says how many
//! rows there are, where they begin and end, and carries the signature.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::chain::{self, AuditKey, Head, is_signed};
use super::{AuditRow, NumberedRow};
use crate::store::{Store, StoreError};

/// Rows read at a time.
const PAGE: u32 = 1000;

/// Most findings that are told one by one.
const FINDINGS: usize = 20;

/// By how much the audit's clock may gain on the time of day between two rows, in milliseconds: a day.
const GAIN: i64 = 86_400_000;

/// What a walk found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Rows that are chained and fit.
    pub rows: u64,
    /// Rows from before there was a chain.
    pub older: u64,
    /// What is wrong; empty where nothing is.
    pub findings: Vec<String>,
    /// Findings beyond those.
    pub more: u64,
}

impl Verified {
    fn found(&mut self, finding: String) {
        match self.findings.len() < FINDINGS {
            true => self.findings.push(finding),
            false => self.more += 1,
        }
    }
}

/// Compares every row with the chain, and the chain with its signed end. The walk is over what there
/// was when it began; a server may go on writing.
///
/// # Errors
/// A database that does not answer.
pub async fn verify(store: &dyn Store, key: &AuditKey) -> Result<Verified, StoreError> {
    let mut result = Verified::default();
    for guard in store.missing_audit_guards().await? {
        result.found(format!("the trigger {guard}, which keeps rows from being changed, is not there"));
    }
    let head = store.audit_head().await?;
    if !head.is_signed_by(key) {
        result.found(format!("the end of the chain (row {}) is not signed by this key", head.number));
    }
    let mut walk = Walk::from(&head);
    loop {
        let page = store.scan_audit(walk.at, PAGE).await?;
        let Some(last) = page.last() else { break };
        walk.at = last.number;
        for row in page.iter().filter(|row| row.number <= head.number) {
            walk.step(row, &mut result)?;
        }
        if walk.at >= head.number {
            break;
        }
    }
    if walk.chain != head.chain {
        result.found(format!(
            "the chain ends at row {}, but rows up to {} were written",
            walk.last, head.number
        ));
    }
    Ok(result)
}

struct Walk {
    /// Number of the last row that was read.
    at: i64,
    /// Number of the last row that is chained.
    last: i64,
    chain: String,
    dropped: i64,
    /// The audit's clock and the time of the row before.
    before: Option<(i64, i64)>,
}

impl Walk {
    fn from(head: &Head) -> Walk {
        let (last, chain) = (head.dropped, head.dropped_chain.clone());
        Walk { at: i64::MIN, last, chain, dropped: head.dropped, before: None }
    }

    fn step(&mut self, row: &NumberedRow, result: &mut Verified) -> Result<(), StoreError> {
        let number = row.number;
        if number <= self.dropped {
            // Older than the chain; one that was dropped can only be there because somebody put it there.
            match row.chain {
                None => result.older += 1,
                Some(_) => result.found(format!("row {number} is there though it was dropped")),
            }
            return Ok(());
        }
        let Some(stored) = &row.chain else {
            result.found(format!("row {number} is not chained: another program wrote it"));
            return Ok(());
        };
        let expected = chain::link(&self.chain, &chain::canonical(&row.row)?);
        match expected == *stored {
            true => result.rows += 1,
            false => {
                let last = self.last;
                result.found(format!("row {number} is not what was written after row {last}"));
            }
        }
        let AuditRow { clock, time, .. } = row.row;
        if let Some((clock_before, time_before)) = self.before.replace((clock, time)) {
            // Servers cannot have run for longer than the time that passed.
            let gain = (clock - clock_before).saturating_sub((time - time_before).max(0));
            if gain > GAIN {
                result.found(format!(
                    "between rows {} and {number} the audit's clock gained {} days on the time of day: somebody has set it, or the time back",
                    self.last,
                    gain / 86_400_000
                ));
            }
        }
        // From what is stored, so that each fault is told once.
        (self.chain, self.last) = (stored.clone(), number);
        Ok(())
    }
}

/// A row of an export.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    number: i64,
    chain: Option<String>,
    #[serde(borrow)]
    row: &'a RawValue,
}

/// The last line of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Rows exported.
    pub rows: u64,
    /// Number of the row before the first, and its chain.
    pub after: i64,
    /// Chain before the first row.
    pub after_chain: String,
    /// Number of the last row.
    pub last: i64,
    /// Its chain.
    pub last_chain: String,
    /// SHA-256 of all lines before this one.
    pub sha256: String,
    /// Key that the signature is checked with.
    pub public_key: String,
    /// Ed25519 over the members before, as [`Seal::text`] has them.
    pub signature: String,
}

impl Seal {
    /// What is signed.
    pub fn text(&self) -> String {
        let Seal { rows, after, after_chain, last, last_chain, sha256, .. } = self;
        format!("medserve audit export\n{rows}\n{after}\n{after_chain}\n{last}\n{last_chain}\n{sha256}")
    }
}

/// Writes the rows numbered above `after` as JSON lines, and the seal.
///
/// # Errors
/// A database that does not answer, a file that cannot be written.
pub async fn export(
    store: &dyn Store,
    key: &AuditKey,
    after: i64,
    mut out: impl Write,
) -> anyhow::Result<Seal> {
    let head = store.audit_head().await?;
    head.check(key)?;
    let mut digest = Sha256::new();
    let mut seal = Seal {
        rows: 0,
        after: after.max(head.dropped),
        after_chain: head.dropped_chain.clone(),
        last: after.max(head.dropped),
        last_chain: head.dropped_chain.clone(),
        sha256: String::new(),
        public_key: key.public(),
        signature: String::new(),
    };
    if after > head.dropped
        && let Some(before) = store.get_audit(after).await?
    {
        seal.after_chain = before.chain.unwrap_or_default();
        seal.last_chain.clone_from(&seal.after_chain);
    }
    let mut at = after;
    loop {
        let page = store.scan_audit(at, PAGE).await?;
        let Some(last) = page.last() else { break };
        at = last.number;
        for NumberedRow { number, row, chain } in page.into_iter().filter(|row| row.number <= head.number) {
            let row = RawValue::from_string(chain::canonical(&row)?)?;
            if let Some(chain) = &chain {
                (seal.last, seal.last_chain) = (number, chain.clone());
            }
            let mut line = serde_json::to_vec(&Line { number, chain, row: &row })?;
            line.push(b'\n');
            digest.update(&line);
            out.write_all(&line)?;
            seal.rows += 1;
        }
        if at >= head.number {
            break;
        }
    }
    seal.sha256 = hex::encode(digest.finalize());
    seal.signature = key.sign(&seal.text());
    serde_json::to_writer(&mut out, &seal)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(seal)
}

/// Checks an export by itself: its digest, its chain, and, against this public key, its signature.
///
/// # Errors
/// What is wrong with it.
pub fn verify_export(file: impl BufRead, public: &str) -> anyhow::Result<Seal> {
    let mut digest = Sha256::new();
    let mut rows = 0;
    let mut lines = file.lines();
    let mut chained: Vec<(i64, String, String)> = Vec::new();
    let mut before: Option<String> = None;
    let mut seal: Option<Seal> = None;
    for (index, line) in lines.by_ref().enumerate() {
        let (line, number) = (line?, index + 1);
        anyhow::ensure!(seal.is_none(), "line {number}: there is something behind the seal");
        if let Ok(found) = serde_json::from_str::<Seal>(&line) {
            seal = Some(found);
            continue;
        }
        let Line { number: row_number, chain, row } = serde_json::from_str(&line)
            .map_err(|_| anyhow::anyhow!("line {number} is no row of an audit"))?;
        serde_json::from_str::<AuditRow>(row.get())
            .map_err(|_| anyhow::anyhow!("line {number} is no row of an audit"))?;
        if let Some(chain) = chain {
            match &before {
                None => chained.push((row_number, chain.clone(), row.get().to_string())),
                Some(before) => anyhow::ensure!(
                    chain::link(before, row.get()) == chain,
                    "line {number}: row {row_number} is not what was written after the one before"
                ),
            }
            before = Some(chain);
        }
        digest.update(&line);
        digest.update(b"\n");
        rows += 1;
    }
    let seal = seal.ok_or_else(|| anyhow::anyhow!("the last line, which seals the export, is not there"))?;
    anyhow::ensure!(is_signed(public, &seal.text(), &seal.signature), "it is not signed by the key {public}");
    anyhow::ensure!(seal.rows == rows, "it was made of {} rows and has {rows}", seal.rows);
    anyhow::ensure!(
        seal.sha256 == hex::encode(digest.finalize()),
        "its lines are not those that were signed"
    );
    if let Some((number, chain, row)) = chained.first() {
        anyhow::ensure!(
            chain::link(&seal.after_chain, row) == *chain,
            "row {number} is not what was written after row {}",
            seal.after
        );
    }
    Ok(seal)
}
