//! The audit as a file, signed, for whoever has no access to the database.
//!
//! A line of an export is `{"number":..., "chain":"...", "row":...}`, and `row` the very text that the
//! chain is over, so that an auditor recomputes it with a tool of their own. The last line, the seal, says how
//! many rows there are, where they begin and end, and carries the signature. Kept elsewhere it is also what the
//! audit itself is held to later ([`goes_on`](super::verify::goes_on)).

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::chain::{self, AuditKey, is_signed};
use super::verify::PAGE;
use super::{AuditQuery, AuditRow, NumberedRow};
use crate::store::Store;

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
/// A database that does not answer, a file that cannot be written; rows that do not reach the end of the chain, as a
/// seal would say that they are all.
pub async fn export(
    store: &dyn Store,
    key: &AuditKey,
    after: i64,
    mut out: impl Write,
) -> anyhow::Result<Seal> {
    let head = store.audit_head().await?;
    head.check(key)?;
    anyhow::ensure!(
        after <= head.number,
        "there are no rows numbered above {after}: the audit ends with row {}",
        head.number
    );
    let mut digest = Sha256::new();
    let mut seal = Seal {
        rows: 0,
        after: head.dropped,
        after_chain: head.dropped_chain.clone(),
        last: head.dropped,
        last_chain: head.dropped_chain.clone(),
        sha256: String::new(),
        public_key: key.public(),
        signature: String::new(),
    };
    if after > head.dropped {
        // Not every number is that of a row.
        let before = Some(after.saturating_add(1));
        let query = AuditQuery { before, limit: 1, ..AuditQuery::default() };
        if let Some(before) = store.list_audit(&query).await?.pop().filter(|row| row.number > head.dropped) {
            (seal.after, seal.after_chain) = (before.number, before.chain.unwrap_or_default());
            (seal.last, seal.last_chain) = (seal.after, seal.after_chain.clone());
        }
    }
    let mut at = after;
    loop {
        let page = store.scan_audit(at, PAGE).await?;
        let Some(last) = page.last() else { break };
        at = last.number;
        for NumberedRow { number, row, chain } in page.into_iter().filter(|row| row.number <= head.number) {
            let row = RawValue::from_string(chain::canonical(&row)?)?;
            if let Some(chain) = &chain {
                // What was changed shows when the export is verified.
                let missed = chain::link(&seal.last_chain, row.get()) != *chain
                    && store.audit_head().await?.dropped != head.dropped;
                anyhow::ensure!(!missed, "rows were dropped meanwhile, as their time had passed: try again");
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
    anyhow::ensure!(
        (seal.last, &seal.last_chain) == (head.number, &head.chain) || head.is_empty(),
        "the rows end with {}, and not with the signed end of the chain, {}; `medserve audit verify` says more",
        seal.last,
        head.number
    );
    seal.sha256 = hex::encode(digest.finalize());
    seal.signature = key.sign(&seal.text());
    serde_json::to_writer(&mut out, &seal)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(seal)
}

/// The last line of an export, signed by this key. The rows before it, which may be left out, are not looked at.
///
/// # Errors
/// What is wrong with it.
pub fn read_seal(file: impl BufRead, public: &str) -> anyhow::Result<Seal> {
    let mut last = String::new();
    for line in file.lines() {
        last = line?;
    }
    let seal: Seal = serde_json::from_str(&last)
        .map_err(|_| anyhow::anyhow!("the last line, which seals the export, is not there"))?;
    anyhow::ensure!(is_signed(public, &seal.text(), &seal.signature), "it is not signed by the key {public}");
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
