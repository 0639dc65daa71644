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
    of: Of,
}

/// Which two names are not tied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// Those around it, or behind it where it relieves.
    Any,
    /// The drug before it and an effect behind.
    DrugBefore,
    /// The drug right behind it and an effect: "despite warfarin".
    DrugBehind,
    /// An effect before it and the drug that was stopped behind it.
    Stopped,
}

/// Words that deny what follows.
const DENIES: &[&str] = &["not", "never", "t", "no", "without", "cannot", "unlikely"];
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
    "commonly",
    "significantly",
    "previously",
    "in",
    "fact",
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
    "correlated",
    "come",
    "came",
    "result",
    "stem",
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
    &["improved", "with"],
    &["improved", "on"],
    &["improved", "after"],
    &["resolved", "with"],
    &["resolved", "after"],
];
/// What a drug before them does against an effect behind them.
const PREVENTS: &[&str] = &["prevented", "prevents"];
/// Words of a drug that is stopped.
const STOPS: &[&str] = &[
    "stopping",
    "stopped",
    "discontinuation",
    "discontinuing",
    "discontinued",
    "withdrawal",
    "withdrawing",
    "withdrawn",
    "cessation",
    "removal",
];
/// Words of one that is given less or exchanged: what relieves is not the drug but these, "resolved after reduction of".
const LESSENS: &[&str] = &[
    "reduction",
    "reducing",
    "decrease",
    "decreasing",
    "lowering",
    "tapering",
    "interruption",
    "holding",
    "held",
    "switch",
    "switching",
    "change",
    "changing",
    "replacement",
    "replacing",
    "adjustment",
    "dechallenge",
    "without",
    "off",
];
/// What comes back where a drug that held it down is stopped.
const RECURS: &[&str] = &["recurred", "recurs", "recur", "relapsed", "returned"];
/// Within how many words around a drug it is told that it was stopped.
const STOPPED: usize = 4;
/// Within how many words before the first of two names what relieves it speaks of it: "relief of her headache".
const NEAR: usize = 2;

/// What speaks against ties in a sentence.
pub(super) fn unties(lowers: &[&str]) -> Vec<Untie> {
    let mut found = Vec::new();
    let near = |from: usize, to: usize| &lowers[from.min(lowers.len())..to.min(lowers.len())];
    let stops = |words: &[&str]| words.iter().any(|word| STOPS.contains(word));
    let lessens = |words: &[&str]| stops(words) || words.iter().any(|word| LESSENS.contains(word));
    for at in 0..lowers.len() {
        if lowers[at] == "unrelated" {
            found.push(Untie { at: at..at + 1, tie: Tie::Denied, of: Of::Any });
        }
        if PREVENTS.contains(&lowers[at]) {
            found.push(Untie { at: at..at + 1, tie: Tie::Relieved, of: Of::DrugBefore });
        }
        if lowers[at] == "despite" && !lessens(near(at + 1, at + 1 + NEAR)) {
            found.push(Untie { at: at..at + 1, tie: Tie::Relieved, of: Of::DrugBehind });
        }
        // "Angioedema has not recurred since lisinopril was stopped" held nothing down.
        let denied = lowers[at.saturating_sub(NEAR)..at].iter().any(|word| DENIES.contains(word));
        if RECURS.contains(&lowers[at]) && !denied && stops(near(at + 1, at + 2 * STOPPED)) {
            found.push(Untie { at: at..at + 1, tie: Tie::Relieved, of: Of::Stopped });
        }
        if DENIES.contains(&lowers[at]) {
            let behind = lowers[at + 1..].iter().position(|word| !BETWEEN.contains(word));
            if let Some(behind) = behind.filter(|behind| CAUSES.contains(&lowers[at + 1 + behind])) {
                found.push(Untie { at: at..at + behind + 2, tie: Tie::Denied, of: Of::Any });
            }
        }
        let phrase = RELIEVES.iter().find(|phrase| lowers[at..].starts_with(phrase));
        if let Some(end) =
            phrase.map(|phrase| at + phrase.len()).filter(|end| !lessens(near(*end, end + STOPPED)))
        {
            found.push(Untie { at: at..end, tie: Tie::Relieved, of: Of::Any });
        }
    }
    found
}

impl Statement {
    /// What the sentence says of the tie from a drug to another name, tokens of the sentence.
    pub fn tie(&self, drug: Range<usize>, other: Range<usize>) -> Tie {
        let drug_first = drug.start < other.start;
        let (first, second) = if drug_first { (drug, other) } else { (other, drug) };
        let (first, second) =
            (first.start + self.heading..first.end + self.heading, second.start + self.heading);
        let turns = |kind: &Kind| matches!(kind, Kind::Turns | Kind::Semicolon | Kind::Returns);
        let speaks = |untie: &&Untie| {
            let at = &untie.at;
            // "The rash did not come from amoxicillin": a tagger may take the verb for a part of the name.
            let inside = untie.tie == Tie::Denied && first.start < at.start;
            let between = (first.end <= at.start || inside) && at.end <= second;
            let before = untie.tie == Tie::Relieved && at.end <= first.start && first.start <= at.end + NEAR;
            let from = if between { at.end } else { first.end };
            let of = match untie.of {
                Of::Any => true,
                Of::DrugBefore => between && drug_first,
                Of::DrugBehind => {
                    if drug_first {
                        before
                    } else {
                        between && second <= at.end + NEAR
                    }
                }
                Of::Stopped => between && !drug_first,
            };
            of && (between || before) && !self.kinds[from..second.max(from)].iter().any(turns)
        };
        self.unties.iter().find(speaks).map_or(Tie::Told, |untie| untie.tie)
    }
}
