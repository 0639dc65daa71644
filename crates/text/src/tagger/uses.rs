//! What a denial of a drug's use says of its harm: nothing, mostly.
//!
//! "No longer takes warfarin because of a hemorrhage" and "do not give penicillin (anaphylaxis)" deny a use and tell of a harm.
//! Only who never had the drug was not harmed by it: "was never given penicillin and has a rash".

use std::ops::Range;

use super::cues::Says;
use super::statement::{Beside, Cue, Kind, Statement, Tells, Way};

/// What a word says of a drug's use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Nothing,
    /// Somebody has it or is given it.
    Has,
    /// It is to be or not.
    Order,
    /// It has been, and ends or begins again.
    Ends,
    /// What follows or stands before is why.
    Why,
    /// A mark behind which stands why: "no penicillin (anaphylaxis)".
    Mark,
    /// It never was, where it is denied by this.
    Never,
    /// What follows is said beside.
    Beside,
}

/// Words of having a drug.
const HAS: &[&str] = &[
    "on",
    "take",
    "takes",
    "taking",
    "taken",
    "took",
    "given",
    "giving",
    "receive",
    "receives",
    "received",
    "receiving",
    "use",
    "uses",
    "used",
    "using",
    "administered",
    "prescribed",
    "started",
    "exposed",
    "tolerate",
];
/// Words of orders, advice and refusal.
const ORDER: &[&str] = &[
    "give",
    "administer",
    "prescribe",
    "do",
    "don",
    "dont",
    "cannot",
    "can",
    "can't",
    "should",
    "must",
    "shall",
    "told",
    "advised",
    "instructed",
    "asked",
    "warned",
    "refuses",
    "refused",
    "declines",
    "candidate",
    "option",
];
/// Words of an end, or of a new beginning that is none.
const ENDS: &[&str] = &[
    "longer",
    "again",
    "anymore",
    "more",
    "further",
    "stop",
    "stopped",
    "stopping",
    "discontinue",
    "discontinued",
    "discontinuing",
    "withdrawn",
    "restart",
    "restarted",
    "restarting",
    "resume",
    "resumed",
    "continue",
    "continued",
    "rechallenge",
    "rechallenged",
    "rechallenging",
    "reintroduced",
    "held",
    "off",
];
/// Words that tell why, or what came of it.
const WHY: &[&str] = &[
    "because",
    "due",
    "as",
    "since",
    "owing",
    "secondary",
    "after",
    "following",
    "cause",
    "caused",
    "causes",
    "causing",
    "so",
    "therefore",
    "thus",
    "hence",
    "contraindicated",
    "allergic",
    "allergy",
    "reaction",
    "intolerance",
    "history",
    "resolved",
    "resolve",
    "resolves",
    "improved",
    "disappeared",
    "subsided",
    "cleared",
    "settled",
];
/// Denials of all use.
const NEVER: &[&str] = &["never", "without", "neither", "nor", "denies", "denied", "deny", "denying"];
/// Join what has nothing to do with the use.
const BESIDE: &[&str] = &["and", "but", "yet", "although", "though", "however", "&"];
/// How many words before a denial belong to it: "was advised not to take".
const BEFORE: usize = 3;
/// Within how many words behind a denial the drug's giving is what is denied: "should not be given (anaphylaxis)".
const GIVING: usize = 3;

/// What each word says of a drug's use.
pub(super) fn uses(lowers: &[&str]) -> Vec<Use> {
    let before = |at: usize, back: usize| at.checked_sub(back).map_or("", |at| lowers[at]);
    let of = |at: usize| match lowers[at] {
        // "Never take aspirin" is an order, "did never take" is none.
        "take" | "use" | "receive" if before(at, 1) == "never" && before(at, 2) != "did" => Use::Order,
        // "Given his anaphylaxis".
        "given" if matches!(lowers.get(at + 1), Some(&("his" | "her" | "their" | "the" | "a" | "an"))) => {
            Use::Why
        }
        word if HAS.contains(&word) => Use::Has,
        word if ORDER.contains(&word) => Use::Order,
        word if ENDS.contains(&word) => Use::Ends,
        word if WHY.contains(&word) => Use::Why,
        "(" | "[" | ":" => Use::Mark,
        word if NEVER.contains(&word) => Use::Never,
        word if BESIDE.contains(&word) => Use::Beside,
        _ => Use::Nothing,
    };
    (0..lowers.len()).map(of).collect()
}

impl Statement {
    pub(super) fn holds(&self, range: Range<usize>, uses: &[Use]) -> bool {
        self.uses.get(range).is_some_and(|of| of.iter().any(|of| uses.contains(of)))
    }

    /// Whether what a cue denies is the use of a drug, from which the sentence goes on to the name at `to`: "not on warfarin
    /// (hemorrhage)". Alternatives are denied alike: "did not take aspirin or develop an ulcer".
    pub(super) fn denies_a_use(&self, cue: &Cue, to: usize, others: &[Beside]) -> bool {
        let or = |range: Range<usize>| self.kinds[range].contains(&Kind::Or);
        let has = [Use::Has, Use::Order, Use::Ends];
        let of = |other: &Beside| {
            let between = cue.at.end <= other.at.start && other.at.end <= to;
            // "No penicillin (anaphylaxis)", "no penicillin, anaphylaxis"; a list that goes on is denied.
            let told = || match self.kinds[other.at.end] {
                // Who denies, or has a thing without others, lists on: "denies aspirin, hematochezia".
                Kind::Comma => {
                    let lists = cue.asked || self.holds(cue.at.clone(), &[Use::Never]);
                    !lists && other.at.end + 1 == to && !self.kinds[to..].iter().any(|kind| kind.lists())
                }
                _ => self.tells[other.at.end] == Tells::Opens,
            };
            between
                && other.drug != Some(false)
                && !or(other.at.end..to)
                && (other.drug.is_some() && told() || self.holds(cue.at.start..other.at.start, &has))
        };
        // The drug stands before: "penicillin should not be given (anaphylaxis)".
        let given = (cue.at.end..to.min(cue.at.end + GIVING)).find(|at| self.holds(*at..at + 1, &has));
        let before = given.filter(|given| {
            let marks = |kind: &Kind| matches!(kind, Kind::Comma | Kind::Open);
            let first = |other: &Beside| other.drug != Some(false) && other.at.end <= cue.at.start;
            others.iter().any(first)
                && self.kinds.get(given + 1..to).is_some_and(|gap| gap.first().is_some_and(marks))
        });
        to > cue.at.end && to < self.kinds.len() && (before.is_some() || others.iter().any(of))
    }

    /// Whether a drug that is denied may have done what is told at `other`, both tokens of the sentence.
    pub fn outlives(&self, drug: Range<usize>, other: Range<usize>) -> bool {
        let drug = drug.start + self.heading..drug.end + self.heading;
        let other = other.start + self.heading..other.end + self.heading;
        let (from, to) = match drug.start < other.start {
            true => (drug.end, other.start),
            false => (other.end, drug.start),
        };
        let denial = |cue: &&Cue| {
            matches!(cue.way, Way::Ahead | Way::Next | Way::Begins)
                && cue.says.any(Says::DENIED)
                && cue.at.end <= drug.start
                && self.reaches(cue, &drug)
        };
        let Some(cue) = self.cues.iter().rfind(denial) else { return false };
        let head = cue.at.start.saturating_sub(BEFORE)..drug.start;
        let first = drug.start.min(other.start);
        let told = self.holds(from.min(to)..to, &[Use::Why, Use::Ends, Use::Mark])
            || self.holds(first.saturating_sub(BEFORE)..first, &[Use::Why])
            || self.breaks[from.min(to)..to].contains(&true)
            || self.holds(head.clone(), &[Use::Order, Use::Ends])
            || self.holds(drug.end..drug.end + 1, &[Use::Ends])
            || self.holds(drug.end + 1..drug.end + 2, &[Use::Ends]);
        // "It was not amoxicillin that caused the rash", "the rash did not come from amoxicillin": no use is denied, but the tie.
        let used = self.holds(head, &[Use::Has, Use::Order, Use::Ends]);
        if !used && !cue.parts {
            return told && cue.with;
        }
        // What stands between the two without the denial itself.
        let joined = match drug.start < other.start {
            true => self.holds(drug.end..other.start, &[Use::Beside]),
            false => self.holds(other.end.min(cue.at.start)..cue.at.start, &[Use::Beside]),
        };
        let never = cue.says.any(Says::PAST) || self.holds(cue.at.clone(), &[Use::Never]);
        told || !never && !joined
    }
}

#[cfg(test)]
#[path = "uses_tests.rs"]
mod tests;
