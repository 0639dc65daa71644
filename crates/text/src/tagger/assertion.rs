//! What a note says of what it names: that it is denied, only supposed, history, or somebody else's.
//!
//! Rules over the words near a name, no training ([`super::statement`]). What a heading says, such as "Family history:", is said
//! of the lines below it as well.

use std::ops::Range;

use super::answers::Answer;
use super::cues::people::{PATIENT, RELATIVES, is_heading};
use super::cues::{Does, Says, longest};
use super::statement::{Gap, Statement};
use super::tokens::Token;

/// Most tokens of a heading.
const HEADING: usize = 6;

/// Whose a disease or an effect is, or who was given a drug.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Subject {
    /// The patient, as far as the note names nobody else.
    #[default]
    Patient,
    /// A relative, husband or wife.
    Family,
    /// Somebody else.
    Other,
}

/// What is said of a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Assertion {
    /// It is denied.
    pub negated: bool,
    /// It is supposed, not stated, or what may come.
    pub speculated: bool,
    /// It is told as history, which may go on.
    pub historical: bool,
    /// Of whom it is said.
    pub subject: Subject,
}

impl Assertion {
    /// As a number below 32.
    pub fn to_bits(self) -> u8 {
        let flag = |set: bool, says: Says| if set { says } else { Says::default() };
        flag(self.negated, Says::DENIED)
            .and(flag(self.speculated, Says::SUPPOSED))
            .and(flag(self.historical, Says::PAST))
            .and(flag(self.subject == Subject::Family, Says::FAMILY))
            .and(flag(self.subject == Subject::Other, Says::OTHER))
            .0
    }

    /// What [`Assertion::to_bits`] wrote.
    pub fn from_bits(bits: u8) -> Assertion {
        let says = Says(bits);
        Assertion {
            negated: says.any(Says::DENIED),
            speculated: says.any(Says::SUPPOSED),
            historical: says.any(Says::PAST),
            subject: match (says.any(Says::FAMILY), says.any(Says::OTHER)) {
                (true, _) => Subject::Family,
                (false, true) => Subject::Other,
                _ => Subject::Patient,
            },
        }
    }
}

/// What every clause of a text says, in order.
pub(super) fn statements(
    text: &str,
    tokens: &[Token],
    lowers: &[String],
    clauses: &[Range<usize>],
    answers: &[Answer],
) -> Vec<Statement> {
    let headings = headings(text, tokens, lowers, clauses, answers);
    let mut answers = answers.iter().peekable();
    let read = |(clause, heading): (&Range<usize>, Range<usize>)| {
        let places: Vec<usize> = heading.clone().chain(clause.clone()).collect();
        let words: Vec<&str> = places.iter().map(|at| &text[tokens[*at].bytes.clone()]).collect();
        let own: Vec<&str> = places.iter().map(|at| lowers[*at].as_str()).collect();
        let gap = |at: &usize| match *at {
            0 => Gap::None,
            at => Gap::of(&text[tokens[at - 1].bytes.end..tokens[at].bytes.start]),
        };
        let gaps: Vec<Gap> = places.iter().map(gap).collect();
        let mut own_answers = Vec::new();
        while let Some(answer) = answers.next_if(|answer| answer.at.end <= clause.end) {
            let place = |at: usize| at - clause.start + heading.len();
            let at = place(answer.at.start)..place(answer.at.end);
            own_answers.push(Answer { at, ..answer.clone() });
        }
        Statement::read(&own, &words, &gaps, heading.len(), &own_answers)
    };
    clauses.iter().zip(headings).map(read).collect()
}

/// Of each clause the heading that speaks of it, as a range of tokens, which is empty where there is none.
///
/// A heading alone on its line, with a colon or one that is known, goes on to a blank line or to the next heading; one with text
/// behind it goes on to its line's end or to another heading. What a heading says of the family ends where the patient is named. A
/// question mark before a blank may belong to what follows: "? Pneumonia".
fn headings(
    text: &str,
    tokens: &[Token],
    lowers: &[String],
    clauses: &[Range<usize>],
    answers: &[Answer],
) -> Vec<Range<usize>> {
    let mut all = Vec::with_capacity(clauses.len());
    let (mut block, mut inline, mut just) = (0..0, false, false);
    for (number, clause) in clauses.iter().enumerate() {
        let Range { start, end } = *clause;
        let between = match start {
            0 => "\n",
            _ => &text[tokens[start - 1].bytes.end..tokens[start].bytes.start],
        };
        let lines = between.matches('\n').count();
        if lines > 0 && inline || lines > 1 && !just {
            (block, inline) = (0..0, false);
        }
        just = false;
        let answered = |at: usize| answers.binary_search_by_key(&at, |answer| answer.at.start).is_ok();
        let colon = lowers[start..end].iter().take(HEADING).position(|lower| lower == ":");
        let colon = colon.map(|at| start + at).filter(|at| !answered(*at));
        let is_known = |label: Range<usize>| {
            let words: Vec<&str> = lowers[label].iter().map(String::as_str).collect();
            is_heading(&words)
        };
        let ends_line = tokens
            .get(end)
            .is_none_or(|next| text[tokens[end - 1].bytes.end..next.bytes.start].contains(['\n', '\r']));
        let label = match colon {
            Some(colon) if lines > 0 || is_known(start..colon) => Some(start..colon + 1),
            None if lines > 0 && ends_line && end - start <= HEADING && is_known(start..end) => {
                Some(start..end)
            }
            _ => None,
        };
        let of_person = |label: &Range<usize>| {
            label.len() > 1 && colon.is_some() && RELATIVES.contains(&lowers[label.end - 2].as_str())
        };
        if let Some(label) = label.filter(|label| !of_person(label)) {
            inline = label.end < end;
            let says = spoken(&lowers[label.clone()]);
            // "Family: stroke" speaks of no more than it stands before, "Family history: stroke." of its line.
            let short = label.len() == 2 && !is_known(label.start..label.end - 1);
            let speaks = match inline {
                true => says.any(Says::FAMILY.and(Says::PAST)) && !short,
                false => says != Says::default(),
            };
            block = if speaks { label } else { 0..0 };
            just = true;
            all.push(0..0);
            continue;
        }
        let relative = |words: &[String]| words.iter().any(|word| RELATIVES.contains(&word.as_str()));
        let of_family = !block.is_empty() && spoken(&lowers[block.clone()]).any(Says::FAMILY);
        if of_family && !relative(&lowers[start..end]) {
            let begins =
                lowers[start..end].iter().find(|word| !matches!(word.as_str(), "the" | "this" | "our"));
            let patient = begins.is_some_and(|word| PATIENT.contains(&word.as_str()));
            let pronoun = begins.is_some_and(|word| matches!(word.as_str(), "he" | "she" | "they" | "i"));
            // "Family history: mother had a stroke. She also has diabetes.", "Family history: stroke. Seizures now."
            let now =
                lowers[start..end].iter().any(|word| matches!(word.as_str(), "now" | "today" | "currently"));
            if patient || now || pronoun && !relative(&lowers[block.start..start]) {
                (block, inline) = (0..0, false);
            }
        }
        let asked = number > 0
            && lines == 0
            && lowers[start - 1] == "?"
            && (start < 2 || tokens[start - 2].end < tokens[start - 1].start);
        all.push(if asked { start - 1..start } else { block.clone() });
    }
    all
}

/// What a heading says.
fn spoken(label: &[String]) -> Says {
    let label: Vec<&str> = label.iter().map(String::as_str).collect();
    let mut says = Says::default();
    let mut at = 0;
    while at < label.len() {
        let Some((length, does)) = longest(&label, at) else {
            at += 1;
            continue;
        };
        for does in does {
            if let Does::Ahead(said) | Does::Next(said) | Does::Begins(said) = does {
                says = says.and(said);
            }
        }
        at += length;
    }
    says
}

#[cfg(test)]
#[path = "assertion_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "sentence_tests.rs"]
mod sentence_tests;

#[cfg(test)]
#[path = "shorthand_tests.rs"]
mod shorthand_tests;
