//! Where a sentence says that one thing did not cause another.
//!
//! A drug and an effect may both be there and yet not belong together: "amoxicillin did not cause the rash", "headache
//! relieved by ibuprofen". The names are as they are; what ties them is denied.

use std::ops::Range;

use super::statement::{Kind, Statement};

/// What a sentence says of the tie between two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tie {
    /// Nothing against it.
    #[default]
    Told,
    /// It is denied.
    Denied,
    /// One helps against the other, so it did not cause it.
    Relieved,
}

/// Words of a sentence that speak against a tie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Untie {
    at: Range<usize>,
    tie: Tie,
}

/// Words that deny what follows.
const DENIES: &[&str] = &["not", "never", "t", "no", "without", "cannot"];
/// Words between a denial and what is denied.
const BETWEEN: &[&str] = &[
    "be",
    "been",
    "being",
    "is",
    "was",
    "were",
    "have",
    "had",
    "has",
    "to",
    "the",
    "a",
    "an",
    "any",
    "appear",
    "appeared",
    "seem",
    "seemed",
    "thought",
    "felt",
    "believed",
    "considered",
    "judged",
    "likely",
    "directly",
    "clearly",
    "causally",
    "causal",
    "clear",
    "temporal",
    "evidently",
    "known",
    "shown",
    "found",
    "itself",
];
/// Words that tie an effect to its cause.
const CAUSES: &[&str] = &[
    "cause",
    "caused",
    "causes",
    "causing",
    "due",
    "induce",
    "induced",
    "inducing",
    "related",
    "relation",
    "relationship",
    "link",
    "linked",
    "association",
    "associated",
    "connection",
    "connected",
    "attributed",
    "attributable",
    "secondary",
    "responsible",
    "trigger",
    "triggered",
    "provoke",
    "provoked",
    "precipitate",
    "precipitated",
    "produce",
    "produced",
    "explained",
];
/// Phrases that tie a complaint to what helps against it.
const RELIEVES: &[&[&str]] = &[
    &["relieved", "by"],
    &["relieved", "with"],
    &["alleviated", "by"],
    &["alleviated", "with"],
    &["respond", "to"],
    &["responded", "to"],
    &["responding", "to"],
    &["responsive", "to"],
    &["refractory", "to"],
    &["relief", "of"],
    &["relief", "from"],
    &["relieve"],
    &["relieved"],
    &["relieves"],
];
/// Within how many words before the first of two names what relieves it speaks of it: "relief of her headache".
const NEAR: usize = 2;

/// What speaks against ties in a sentence.
pub(super) fn unties(lowers: &[&str]) -> Vec<Untie> {
    let mut found = Vec::new();
    for at in 0..lowers.len() {
        if lowers[at] == "unrelated" {
            found.push(Untie { at: at..at + 1, tie: Tie::Denied });
        }
        if DENIES.contains(&lowers[at]) {
            let behind = lowers[at + 1..].iter().position(|word| !BETWEEN.contains(word));
            if let Some(behind) = behind.filter(|behind| CAUSES.contains(&lowers[at + 1 + behind])) {
                found.push(Untie { at: at..at + behind + 2, tie: Tie::Denied });
            }
        }
        if let Some(phrase) = RELIEVES.iter().find(|phrase| lowers[at..].starts_with(phrase)) {
            found.push(Untie { at: at..at + phrase.len(), tie: Tie::Relieved });
        }
    }
    found
}

impl Statement {
    /// What the sentence says of the tie between two names, tokens of the sentence.
    pub fn tie(&self, one: Range<usize>, other: Range<usize>) -> Tie {
        let (first, second) = if one.start < other.start { (one, other) } else { (other, one) };
        let (first, second) =
            (first.start + self.heading..first.end + self.heading, second.start + self.heading);
        let turns = |kind: &Kind| matches!(kind, Kind::Turns | Kind::Semicolon | Kind::Returns);
        let speaks = |untie: &&Untie| {
            let at = &untie.at;
            let between = first.end <= at.start && at.end <= second;
            let before = untie.tie == Tie::Relieved && at.end <= first.start && first.start <= at.end + NEAR;
            let from = if between { at.end } else { first.end };
            (between || before) && !self.kinds[from..second.max(from)].iter().any(turns)
        };
        self.unties.iter().find(speaks).map_or(Tie::Told, |untie| untie.tie)
    }
}
