//! Where a denial is only of the time before: "never had a cough until lisinopril" tells of a cough.
//!
//! What was not there until something came is there since then. "No rash before discharge" and "no bleeding until now" are
//! denials of all that is known, so "before" counts only where a use begins, a drug is named, or "never" stands before it.

use std::ops::Range;

use super::cues::Says;
use super::statement::{Beside, Cue, Kind, Statement, Tells};
use super::uses::Use;

/// A word behind which what was denied before it may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    pub at: usize,
    of: Of,
}

/// Of which denials it is the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Any,
    /// Those of all the time before: "never had hives before today".
    Ever,
    /// Those that a name of another label follows: "no cough before lisinopril".
    Name,
}

/// Ends of what is known: what was denied until then is denied.
const CLOSES: &[&str] = &[
    "discharge",
    "discharged",
    "death",
    "died",
    "follow",
    "followup",
    "end",
    "completion",
    "visit",
    "completed",
    "finished",
    "study",
];
/// Now, of which only "never" makes a beginning.
const NOW: &[&str] = &["now", "present", "date", "point"];
/// Days before which nothing ever was.
const TODAY: &[&str] = &["today", "this", "now", "yesterday", "tonight", "last", "that"];
/// What is waited for: "no ibuprofen until the bleeding stops" denies the drug.
const AWAITED: &[&str] = &[
    "resolves",
    "stops",
    "improves",
    "clears",
    "settles",
    "subsides",
    "heals",
    "normalizes",
    "normalises",
    "recovers",
    "seen",
    "reviewed",
    "evaluated",
    "further",
    "notice",
    "cleared",
    "excluded",
    "ruled",
    "confirmed",
    "tested",
    "testing",
    "<",
];
/// What begins where a drug is given.
const BEGINS: &[&str] = &[
    "start",
    "started",
    "starting",
    "starts",
    "begin",
    "began",
    "begun",
    "beginning",
    "commencing",
    "commencement",
    "commenced",
    "initiation",
    "initiating",
    "initiated",
    "introduction",
    "introducing",
    "taking",
    "took",
    "receiving",
    "received",
    "getting",
    "got",
    "given",
    "adding",
    "added",
    "addition",
    "restarting",
    "restarted",
    "resuming",
    "resumed",
    "exposure",
    "using",
    "use",
];
/// Within how many words behind a limit it is told what begins or ends there.
const WITHIN: usize = 5;
/// Within how many words a drug is named.
const NAMED: usize = 3;
/// Most words between what is denied and a limit.
const FAR: usize = 10;

/// The limits of a sentence.
pub(super) fn limits(lowers: &[&str]) -> Vec<Limit> {
    let of = |at: usize| {
        let (until, behind) = match lowers[at] {
            "until" | "till" | "til" => (true, at + 1),
            "before" => (false, at + 1),
            "prior" if lowers.get(at + 1) == Some(&"to") => (false, at + 2),
            _ => return None,
        };
        let near = &lowers[behind.min(lowers.len())..(behind + WITHIN).min(lowers.len())];
        let told = |words: &[&str]| near.iter().any(|word| words.contains(word));
        let next = *near.first()?;
        match until {
            _ if !next.starts_with(char::is_alphanumeric) || matches!(next, "or" | "and") => None,
            true if told(CLOSES) || told(AWAITED) => None,
            true if near.iter().take(2).any(|word| NOW.contains(word)) => Some(Of::Ever),
            true => Some(Of::Any),
            false if told(BEGINS) => Some(Of::Any),
            false if TODAY.contains(&next) => Some(Of::Ever),
            false => Some(Of::Name),
        }
    };
    (0..lowers.len()).filter_map(|at| Some(Limit { at, of: of(at)? })).collect()
}

impl Statement {
    /// Whether a cue denies the name at `span` of the time before only.
    pub(super) fn before_only(&self, cue: &Cue, span: &Range<usize>, others: &[Beside]) -> bool {
        let from = cue.at.end.max(span.end);
        let fits = |limit: &&Limit| match limit.of {
            Of::Any => true,
            Of::Ever => cue.ever || cue.says.any(Says::PAST),
            Of::Name => {
                let near = limit.at + 1..=limit.at + 1 + NAMED;
                others.iter().any(|other| near.contains(&other.at.start))
            }
        };
        // "Do not give ibuprofen until the bleeding is under control".
        let ordered =
            cue.at.end <= span.start && self.holds(cue.at.start.saturating_sub(1)..span.start, &[Use::Order]);
        cue.says.any(Says::DENIED)
            && !ordered
            && self.limits.iter().filter(fits).any(|limit| {
                from <= limit.at && self.holds_to(from..limit.at) || self.opens_before(limit, cue)
            })
    }

    /// Whether the sentence begins with a limit and goes on to a cue: "until she took lisinopril, she never had a cough".
    fn opens_before(&self, limit: &Limit, cue: &Cue) -> bool {
        let first = limit.at <= self.heading + 1 && limit.at < cue.at.start;
        let ends = |kind: &Kind| matches!(kind, Kind::Turns | Kind::Semicolon | Kind::Colon);
        let denies = |other: &Cue| {
            other.says.any(Says::DENIED) && limit.at < other.at.start && other.at.start < cue.at.start
        };
        first && !self.kinds[limit.at..cue.at.start].iter().any(ends) && !self.cues.iter().any(denies)
    }

    /// Whether what is said at the beginning of `gap` is still spoken of at its end.
    fn holds_to(&self, gap: Range<usize>) -> bool {
        let kinds = &self.kinds[gap.clone()];
        let ends = |kind: &Kind| {
            matches!(kind, Kind::Turns | Kind::Circumstance | Kind::Semicolon | Kind::Colon | Kind::Returns)
        };
        let anew = |pair: &[Kind]| {
            pair[0].lists() && matches!(pair[1], Kind::Resumes | Kind::Pronoun | Kind::Patient)
        };
        let listed = kinds.iter().any(|kind| kind.lists());
        let there = |tells: &Tells| matches!(tells, Tells::There | Tells::Noted | Tells::Lasts);
        let denies = |cue: &Cue| cue.says.any(Says::DENIED) && gap.contains(&cue.at.start);
        let far = kinds.iter().filter(|kind| **kind == Kind::Word).count() > FAR;
        let told = listed && self.tells[gap.clone()].iter().any(there);
        let ended = kinds.iter().any(ends) || kinds.windows(2).any(anew) || self.cues.iter().any(denies);
        !far && !told && !ended
    }
}
