//! What single words of a sentence are by themselves, before anything is said of names: their kinds, and those that are other
//! than they look.

use std::ops::Range;

use super::cues::denials::{OXIDE_AFTER, OXIDE_BEFORE};
use super::cues::turns::{EXAMS, UNITS};
use super::cues::{Does, longest};
use super::statement::{Gap, Kind};

/// Within how many words behind a change's verb it is told of what: "treatment has been given for".
const PASSIVE: usize = 3;

/// What a token is by itself.
pub(super) fn plain(lower: &str) -> Kind {
    match lower {
        "," | "，" | "、" => Kind::Comma,
        "and" | "/" | "&" | "+" => Kind::And,
        "or" | "nor" => Kind::Or,
        ":" | "：" => Kind::Colon,
        ";" | "；" => Kind::Semicolon,
        "(" | "[" | "-" | "–" | "—" | "." | "?" | "*" | "•" => Kind::Open,
        "induced" | "related" | "associated" => Kind::Ties,
        _ if lower.starts_with(char::is_alphanumeric) => Kind::Word,
        _ => Kind::Mark,
    }
}

/// Whether nothing that belongs to a phrase follows it, if this is what follows.
pub(super) fn closes(next: &str) -> bool {
    let word = matches!(next, "by" | "on" | "at" | "in" | "with" | "per" | "and" | "today");
    word || matches!(next, "," | "." | ";" | ")" | "]" | "/" | "?" | "!" | "，" | "。")
}

/// Whether what follows a word is by what it was noted.
pub(super) fn is_of_exam(behind: &[&str]) -> bool {
    matches!(behind, ["on" | "by" | "at", exam, ..] if EXAMS.contains(exam))
}

/// Whether what follows a change leads to what changes: "improvement in", "treatment was given for".
pub(super) fn changes(behind: &[&str]) -> bool {
    match behind {
        ["was" | "were" | "is" | "has" | "had", told @ ..] => {
            told.iter().take(PASSIVE).any(|next| goes_into(next))
        }
        [next, ..] => goes_into(next),
        [] => false,
    }
}

/// Whether a word leads from a change to what changes: "improvement in".
fn goes_into(next: &str) -> bool {
    matches!(next, "of" | "in" | "from" | "for" | "with" | "on" | "to" | "after")
}

/// Whether "old" tells an age: "a 65 year old".
pub(super) fn is_age(lowers: &[&str], at: usize) -> bool {
    let before = at.checked_sub(1).map_or("", |at| lowers[at]);
    lowers[at] == "old" && (UNITS.contains(&before) || matches!(before, "y" | "yo" | "-" | "/" | "s" | "'"))
}

/// Whether a phrase is a heading's abbreviation where no heading stands: "FH" is a disease too, "mo" a month.
pub(super) fn is_no_heading(lowers: &[&str], at: Range<usize>, heading: usize) -> bool {
    let begins = at.start == heading || at.start == 0 || matches!(lowers[at.start - 1], ";" | ".");
    match &lowers[at.clone()] {
        ["mo" | "fa" | "sis" | "bro" | "family", ":"] => !begins,
        ["fh" | "fmh"] => {
            let says = longest(lowers, at.end).is_some_and(|(_, does)| does.contains(&Does::Resumes));
            let joins = lowers.get(at.end).is_none_or(|next| {
                matches!(plain(next), Kind::And | Kind::Or) || matches!(*next, "patient" | "patients")
            });
            !begins || says || joins
        }
        _ => false,
    }
}

/// Where a dash between blanks or another column begins, which ends what is denied before.
pub(super) fn breaks(lowers: &[&str], gaps: &[Gap]) -> Vec<bool> {
    // Where blanks stand around every mark they say nothing of a dash.
    let spaced = (1..lowers.len()).any(|at| matches!(lowers[at], "," | ".") && gaps[at] != Gap::None);
    let parts = |at: usize| match lowers[at] {
        "-" | "–" | "—" => {
            let free = gaps[at] != Gap::None && gaps.get(at + 1).is_some_and(|gap| *gap != Gap::None);
            free && !spaced && plain(lowers[at + 1]) != Kind::Ties
        }
        "→" => true,
        _ => gaps[at] == Gap::Wide,
    };
    (0..lowers.len()).map(|at| at > 0 && parts(at)).collect()
}

/// Whether a word is another than it looks: "NO" for nitric oxide, "May" for the month.
pub(super) fn is_other_word(lowers: &[&str], words: &[&str], at: usize, shouts: bool) -> bool {
    let next = lowers.get(at + 1);
    let digit = |word: &str| word.starts_with(|of: char| of.is_ascii_digit());
    match words[at] {
        _ if shouts => false,
        // "6 w/o" is an age, and "no" an answer's or a number's.
        "w" => at > 0 && digit(lowers[at - 1]),
        "no" | "No" => match next {
            Some(&".") => lowers.get(at + 2).is_some_and(|next| digit(next)),
            next => matches!(next, Some(&("," | ";"))),
        },
        "NO" => {
            next.is_none_or(|next| OXIDE_BEFORE.contains(next))
                || at > 0 && OXIDE_AFTER.contains(&lowers[at - 1])
        }
        "May" => next.is_some_and(|next| next.starts_with(|digit: char| digit.is_ascii_digit())),
        _ => false,
    }
}
