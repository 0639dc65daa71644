//! Walking the chain: is the audit as it was written, and does it go on from an earlier [export](super::export)?

use std::collections::{HashMap, HashSet};

use super::chain::{self, AuditKey, Head};
use super::export::Seal;
use super::{AuditRow, NumberedRow, Traces};
use crate::store::{Store, StoreError};

/// Rows read at a time.
pub(super) const PAGE: u32 = 1000;

/// Most walks where a server drops rows meanwhile.
const TRIES: u32 = 3;

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

/// Compares every row with the chain, the chain with its signed end, and the table by which a person's rows are found
/// with the rows. The walk is over what there was when it began; a server may go on writing and dropping.
///
/// # Errors
/// A database that does not answer.
pub async fn verify(store: &dyn Store, key: &AuditKey) -> Result<Verified, StoreError> {
    let mut tries = 1;
    loop {
        let (result, head) = walk_through(store, key).await?;
        // Rows that a server dropped after the head was read are missed by the walk, so it begins anew.
        let dropped = store.audit_head().await?.dropped;
        if result.findings.is_empty() || dropped == head.dropped || tries == TRIES {
            return Ok(result);
        }
        tries += 1;
    }
}

/// Whether the chain still holds the row that an export ended with, and so all before it as it was then.
///
/// # Errors
/// A database that does not answer.
pub async fn goes_on(store: &dyn Store, seal: &Seal, result: &mut Verified) -> Result<(), StoreError> {
    let head = store.audit_head().await?;
    let Seal { last, last_chain, .. } = seal;
    let now = match *last {
        last if last > head.number => {
            result.found(format!(
                "the export ends with row {last}, and the audit with row {}: an older one was put in its place",
                head.number
            ));
            return Ok(());
        }
        // Its time has passed; nothing is known of it any more.
        last if last < head.dropped => return Ok(()),
        last if last == head.dropped => head.dropped_chain,
        last => store.get_audit(last).await?.and_then(|row| row.chain).unwrap_or_default(),
    };
    if now != *last_chain {
        result.found(format!(
            "row {last} is not the one that the export ends with: the audit does not go on from it"
        ));
    }
    Ok(())
}

async fn walk_through(store: &dyn Store, key: &AuditKey) -> Result<(Verified, Head), StoreError> {
    let mut result = Verified::default();
    for guard in store.missing_audit_guards().await? {
        result.found(format!(
            "the trigger {guard}, which keeps rows from being changed, is not there as it was made"
        ));
    }
    for trigger in store.foreign_audit_triggers().await? {
        result.found(format!(
            "there is a trigger {trigger} on the audit that no migration made: it may change or withhold what is written"
        ));
    }
    // Before the head, which only moves on.
    let traces = store.audit_traces().await?;
    let head = store.audit_head().await?;
    look_for_traces(&head, &traces, key, &mut result);
    let mut walk = Walk::from(&head);
    loop {
        let page = store.scan_audit(walk.at, PAGE).await?;
        let (from, Some(last)) = (walk.at, page.last()) else { break };
        walk.at = last.number;
        let rows = || page.iter().filter(|row| row.number <= head.number);
        for row in rows() {
            walk.step(row, &mut result)?;
        }
        compare_names(rows(), store.audit_names(from, walk.at.min(head.number)).await?, &mut result);
        if walk.at >= head.number {
            break;
        }
    }
    if walk.last != head.number {
        result.found(format!(
            "the chain ends at row {}, but rows up to {} were written",
            walk.last, head.number
        ));
    } else if walk.chain != head.chain {
        result
            .found(format!("row {}, the last one, is not what the end of the chain was made for", walk.last));
    }
    for number in store.stray_audit_names(PAGE).await? {
        result.found(format!("people are named by a row {number} that is not there (table audit_people)"));
    }
    Ok((result, head))
}

/// Whether the end of the chain may be where it says.
fn look_for_traces(head: &Head, traces: &Traces, key: &AuditKey, result: &mut Verified) {
    let number = head.number;
    if !head.is_signed_by(key) {
        result.found(format!("the end of the chain (row {number}) is not signed by this key"));
    } else if let Some(trace) = traces.against(head) {
        result.found(format!("the audit says that it was never written, but {trace}: it was emptied"));
    } else if traces.sent > number {
        result.found(format!(
            "the chain ends at row {number}, but rows up to {} were sent to the syslog receiver",
            traces.sent
        ));
    } else if traces.exact && traces.given > number {
        result.found(format!(
            "the chain ends at row {number}, but rows up to {} were added: they were taken away, or another program \
             added them",
            traces.given
        ));
    } else if head.signature.is_empty() && traces.content {
        result.found(
            "the audit says that no server ever opened this database, and it is not empty: either all was \
             imported (then `medserve audit sign` settles it), or the audit was emptied"
                .to_string(),
        );
    }
}

/// Whether the rows' people are found by their names, and nobody else.
fn compare_names<'a>(
    rows: impl Iterator<Item = &'a NumberedRow>,
    names: Vec<(i64, String)>,
    result: &mut Verified,
) {
    let mut found: HashMap<i64, HashSet<String>> = HashMap::new();
    for (number, person) in names {
        found.entry(number).or_default().insert(person);
    }
    for NumberedRow { number, row, .. } in rows {
        let found = found.remove(number).unwrap_or_default();
        let told: HashSet<&str> = row.people.iter().map(String::as_str).collect();
        let missing = told.iter().filter(|person| !found.contains(**person)).count();
        let more = found.iter().filter(|person| !told.contains(person.as_str())).count();
        if missing > 0 {
            result.found(format!(
                "row {number} is not found by {missing} of the {} people that it names (table audit_people)",
                told.len()
            ));
        }
        if more > 0 {
            result.found(format!(
                "row {number} is found by {more} people that it does not name (table audit_people)"
            ));
        }
    }
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
