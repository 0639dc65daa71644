//! What single words say of a name near them: how long it has gone on, how much of it there is, that it is new or severe.

use super::cues::turns::{DAYS, INTRODUCES, LEADS_ON, MEASURES, MEDICINES, TESTS, TODAY, UNITS};
use super::statement::{Statement, Tells};

/// Within how many words behind "for" a time ends: "for the past three days".
const LASTS_WITHIN: usize = 4;
/// Before a number that is part of a name or of a measure.
const NUMBERED: &[&str] = &[
    "type",
    "grade",
    "stage",
    "class",
    "vitamin",
    "factor",
    "hepatitis",
    "interleukin",
    "in",
    "since",
    "age",
    "aged",
    "day",
    "x",
    "for",
    "-",
];

impl Statement {
    /// How long something has gone on: "for 3 days", "x3 days", "since Monday".
    pub(super) fn times(&mut self, lowers: &[&str]) {
        let digit =
            |at: usize| lowers.get(at).is_some_and(|word| word.starts_with(|of: char| of.is_ascii_digit()));
        for at in 0..lowers.len() {
            let counted = lowers[at]
                .strip_prefix(['x', '×'])
                .is_some_and(|rest| rest.bytes().next().map_or(digit(at + 1), |byte| byte.is_ascii_digit()));
            let near = &lowers[(at + 1).min(lowers.len())..(at + 1 + LASTS_WITHIN).min(lowers.len())];
            let unit = |word: &&str| UNITS.contains(&word.trim_start_matches(|of: char| of.is_ascii_digit()));
            let lasts = match lowers[at] {
                "for" => near.iter().any(unit),
                "since" => digit(at + 1) || near.first().is_some_and(|next| DAYS.contains(next)),
                _ => counted && (near.iter().any(unit) || unit(&lowers[at].trim_start_matches(['x', '×']))),
            };
            if lasts {
                self.tells[at] = Tells::Lasts;
            }
        }
    }

    /// What stands by itself, of which only what is there is told: "tachycardia 120", "headache 10/10", "pruritus only".
    pub(super) fn particulars(&mut self, lowers: &[&str]) {
        let digit = |word: &str| word.starts_with(|of: char| of.is_ascii_digit());
        for at in 0..lowers.len() {
            let next = lowers.get(at + 1).copied().unwrap_or(".");
            let before = at.checked_sub(1).map_or("", |at| lowers[at]);
            let ends = matches!(next, "." | "," | ";" | ")" | "/" | "%");
            let value = digit(lowers[at])
                && (ends || UNITS.contains(&next) || MEASURES.contains(&next))
                && (before.starts_with(char::is_alphabetic) || matches!(before, "/" | "."))
                && !NUMBERED.contains(&before);
            let tells = match lowers[at] {
                _ if value => Tells::Particular,
                "only" | "alone" if ends => Tells::Particular,
                "(" => Tells::Opens,
                ")" => Tells::Closes,
                word if TODAY.contains(&word) => Tells::Today,
                word if INTRODUCES.contains(&word) => Tells::Introduces,
                word if TESTS.contains(&word) => Tells::Test,
                word if MEDICINES.contains(&word) => Tells::Medicine,
                word if LEADS_ON.contains(&word) => Tells::LeadsOn,
                _ => continue,
            };
            if self.tells[at] == Tells::Nothing {
                self.tells[at] = tells;
            }
        }
    }
}
