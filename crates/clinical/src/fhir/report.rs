//! What an import did, in numbers that an operator can hold against the source: nothing is dropped
//! without being counted and named. Reasons name no person and repeat nothing of a record.

use std::collections::BTreeMap;
use std::fmt;

use super::settle::Settled;

/// Counts of one import or of many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Resources by type.
    pub resources: BTreeMap<String, u64>,
    /// Resources of types that are not read, by type.
    pub not_read: BTreeMap<String, u64>,
    /// Resources, or parts of them, from which nothing follows, by type and reason.
    pub left_out: BTreeMap<String, u64>,
    /// People named.
    pub people: u64,
    /// Items named.
    pub items: u64,
    /// Interactions, each once.
    pub interactions: u64,
}

impl Report {
    /// Adds what became of a Bundle.
    pub fn add(&mut self, settled: &Settled) {
        self.people += settled.people.len() as u64;
        self.items += settled.items.len() as u64;
        self.interactions += settled.interactions.len() as u64;
        for outcome in &settled.outcomes {
            *self.resources.entry(outcome.kind.clone()).or_default() += 1;
            let not_read = outcome.notes.iter().any(|(code, _)| *code == "not-supported");
            if not_read {
                *self.not_read.entry(outcome.kind.clone()).or_default() += 1;
                continue;
            }
            for (_, note) in &outcome.notes {
                let reason = match note.starts_with(&outcome.kind) {
                    true => note.clone(),
                    false => format!("{}: {note}", outcome.kind),
                };
                *self.left_out.entry(reason).or_default() += 1;
            }
        }
    }

    /// Adds another report.
    pub fn merge(&mut self, other: &Report) {
        let all = [
            (&mut self.resources, &other.resources),
            (&mut self.not_read, &other.not_read),
            (&mut self.left_out, &other.left_out),
        ];
        for (mine, theirs) in all {
            for (name, count) in theirs {
                *mine.entry(name.clone()).or_default() += count;
            }
        }
        self.people += other.people;
        self.items += other.items;
        self.interactions += other.interactions;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.resources.values().sum();
        write!(f, "{total} resources read")?;
        let list = |f: &mut fmt::Formatter<'_>, title: &str, counts: &BTreeMap<String, u64>| {
            if counts.is_empty() {
                return Ok(());
            }
            write!(f, "\n{title}:")?;
            counts.iter().try_for_each(|(name, count)| write!(f, "\n  {count} {name}"))
        };
        list(f, "of types that are not read", &self.not_read)?;
        list(f, "nothing follows from", &self.left_out)
    }
}
