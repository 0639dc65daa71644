//! Answers in a note: what stands before them is asked, ticked off or looked up in a table, and they say whether it is there.
//!
//! "Fever - no, cough - yes", "Diabetes | No |", "Any chest pain? No." A name and its answer are one statement: the word that
//! answers says nothing of what follows it. [`super::clauses`] ends a clause behind each.

use std::ops::Range;

use super::cues::Says;
use super::tokens::Token;

/// An answer, by the tokens of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its tokens, with what parts it from the name.
    pub at: Range<usize>,
    /// What it says of the name: nothing where it says that it is there.
    pub says: Says,
    /// Whether it speaks of a whole list before it.
    pub of_list: bool,
}

/// Answers behind a mark such as a colon.
const ANSWERS: &[(&str, Says)] = &[
    ("no", Says::DENIED),
    ("n", Says::DENIED),
    ("none", Says::DENIED),
    ("none known", Says::DENIED),
    ("none seen", Says::DENIED),
    ("all denied", Says::DENIED),
    ("all negative", Says::DENIED),
    ("none reported", Says::DENIED),
    ("none noted", Says::DENIED),
    ("nil", Says::DENIED),
    ("never", Says::DENIED),
    ("denied", Says::DENIED),
    ("denies", Says::DENIED),
    ("absent", Says::DENIED),
    ("negative", Says::DENIED),
    ("neg", Says::DENIED),
    ("false", Says::DENIED),
    ("0", Says::DENIED),
    ("-", Says::DENIED),
    ("not present", Says::DENIED),
    ("not detected", Says::DENIED),
    ("not seen", Says::DENIED),
    ("not found", Says::DENIED),
    ("non - reactive", Says::DENIED),
    ("nonreactive", Says::DENIED),
    ("ruled out", Says::DENIED),
    ("excluded", Says::DENIED),
    ("resolved", Says::PAST),
    ("hx", Says::PAST),
    ("historical", Says::PAST),
    ("in the past", Says::PAST),
    ("yes", THERE),
    ("y", THERE),
    ("present", THERE),
    ("positive", THERE),
    ("pos", THERE),
    ("true", THERE),
    ("detected", THERE),
    ("admits", THERE),
    ("+", THERE),
];

/// Those behind a name with nothing between: "Diabetes no, hypertension yes".
const PLAIN: &[&str] = &["no", "yes", "nil", "never", "denies", "0"];
/// Those behind a comma: "pneumonia, ruled out".
const AFTER_COMMA: &[&str] = &["no", "yes", "ruled out", "excluded", "resolved", "historical"];
/// Those right behind a hyphen; "HIV-positive" is a word.
const AFTER_HYPHEN: &[&str] = &["no", "yes", "none", "denies"];
/// Words before an answer that are no name.
const NO_NAMES: &[&str] = &[
    "there", "is", "are", "was", "were", "has", "have", "had", "said", "says", "say", "answered", "and",
    "or", "but", "with", "of", "the", "a", "if", "case",
];
/// Nothing is said against it.
const THERE: Says = Says(0);
/// Most words of a line that is a row of names and answers.
const ROW: usize = 40;
/// Within how many words behind an answer the next stands, where nothing else ends it: "Diabetes: N Hypertension: Y".
const NEXT: usize = 5;

/// The answers of a text, in order.
pub fn answers(text: &str, tokens: &[Token], lowers: &[String]) -> Vec<Answer> {
    let read = Read { text, tokens, lowers };
    let mut found = Vec::new();
    let mut at = 1;
    while at < lowers.len() {
        match read.answer(at) {
            Some(answer) => {
                at = answer.at.end;
                found.push(answer);
            }
            None => at += 1,
        }
    }
    found
}

struct Read<'a> {
    text: &'a str,
    tokens: &'a [Token],
    lowers: &'a [String],
}

impl Read<'_> {
    fn lower(&self, at: usize) -> &str {
        self.lowers.get(at).map_or("", String::as_str)
    }

    /// What stands between a token and the one before.
    fn gap(&self, at: usize) -> &str {
        match at {
            0 => "\n",
            _ => &self.text[self.tokens[at - 1].bytes.end..self.tokens[at].bytes.start],
        }
    }

    fn begins_line(&self, at: usize) -> bool {
        self.gap(at).contains(['\n', '\r'])
    }

    /// The answer that begins at `at`, which what parts it from the name may.
    fn answer(&self, at: usize) -> Option<Answer> {
        let before = self.lower(at - 1);
        let name = before.starts_with(char::is_alphanumeric) || matches!(before, ")" | "]");
        if !name || matches!(before, "no" | "yes") || self.begins_line(at) {
            return None;
        }
        let mark = self.lower(at);
        let from = match mark {
            "?" if self.lower(at + 1) == "a" && self.lower(at + 2) == ":" => at + 3,
            ":" | "：" | "?" | "=" | "|" | "-" | "–" | "—" | "(" | "[" | "/" | "," => at + 1,
            _ => at,
        };
        if from >= self.lowers.len() || from > at && self.begins_line(from) {
            return None;
        }
        let (words, says) = ANSWERS
            .iter()
            .filter(|(words, _)| self.stands(words, from))
            .max_by_key(|(words, _)| words.split(' ').count())?;
        let end = from + words.split(' ').count();
        let hyphen = mark == "-" && self.gap(at).is_empty() && self.gap(from).is_empty();
        let sign = matches!(*words, "+" | "-");
        // "Nitric oxide (NO)" is none.
        let written = |at: usize| &self.text[self.tokens[at].bytes.clone()];
        let short = matches!(written(from), "NO" | "N" | "Y");
        let shouts = !written(at - 1).contains(char::is_lowercase);
        let fits = match mark {
            "(" | "[" | "-" | "–" | "—" | "/" if short && !shouts || *words == "0" => false,
            _ if from == at => PLAIN.contains(words) && !NO_NAMES.contains(&before) && before != "]",
            "," => AFTER_COMMA.contains(words),
            _ if sign => matches!(mark, ":" | "：" | "="),
            "-" if hyphen => AFTER_HYPHEN.contains(words),
            _ => true,
        };
        let bracket = matches!(mark, "(" | "[");
        let closed = match bracket {
            true => matches!(self.lower(end), ")" | "]"),
            false => self.closes(end) || mark != "," && self.before_next(from, end, from > at),
        };
        let at = at..end + usize::from(bracket);
        (fits && closed).then_some(Answer { at, says: *says, of_list: matches!(mark, ":" | "：" | "?") })
    }

    fn stands(&self, words: &str, at: usize) -> bool {
        words.split(' ').enumerate().all(|(place, word)| self.lower(at + place) == word)
    }

    /// Whether nothing that belongs to an answer follows it.
    fn closes(&self, end: usize) -> bool {
        let Some(next) = self.lowers.get(end) else { return true };
        let digit = |at: usize| self.lower(at).starts_with(|of: char| of.is_ascii_digit());
        let gap = self.gap(end);
        let year = next.len() == 4 && digit(end);
        let behind = self.tokens.get(end + 1).map_or("", |_| self.gap(end + 1));
        let dash = matches!(next.as_str(), "-" | "–" | "—") && !gap.is_empty() && !behind.is_empty();
        gap.contains(['\n', '\r', '\t']) || gap.chars().count() > 1 || year || dash
            || matches!(next.as_str(), "," | ";" | "|" | ")" | "]" | "/" | "?" | "!" | "•" | "，" | "。" | "but")
            // "Case no. 5", "0.5".
            || next == "." && !digit(end + 1)
    }

    /// Whether an answer from `from` to `end` that nothing closes ends where the next one comes: in a row such as "Diabetes No
    /// Hypertension Yes", or before another name with a mark and an answer.
    fn before_next(&self, from: usize, end: usize, marked: bool) -> bool {
        let answer = |at: usize| matches!(self.lower(at), "yes" | "no" | "y" | "n");
        if !answer(from) {
            let words = ["by", "on", "at", "in", "with", "per", "and", "today", "since"];
            return marked && words.contains(&self.lower(end));
        }
        if marked {
            // "CV: no murmur RESP: no wheeze" answers nothing: the last "no" denies what follows it, and so do those before.
            let (mut at, mut end) = (from, end);
            for _ in 0..ROW {
                let ends =
                    |at: &usize| !self.lower(*at).starts_with(char::is_alphanumeric) || self.begins_line(*at);
                let next = (end..self.lowers.len().min(end + NEXT)).find(ends);
                let next = next.filter(|next| *next > end && matches!(self.lower(*next), ":" | "?" | "="));
                let Some(next) = next.filter(|next| answer(next + 1)) else { return false };
                if self.lower(at) != "no" || self.closes(next + 2) {
                    return true;
                }
                (at, end) = (next + 1, next + 2);
            }
            return false;
        }
        let first = (from.saturating_sub(ROW)..=from).rev().find(|at| self.begins_line(*at));
        let last = (end..self.lowers.len().min(end + ROW)).find(|at| self.begins_line(*at));
        let last = last.or((self.lowers.len() < end + ROW).then_some(self.lowers.len()));
        let (Some(first), Some(last)) = (first, last) else { return false };
        let row = &self.lowers[first..last];
        let last = row.iter().rfind(|word| word.starts_with(char::is_alphanumeric));
        last.is_some_and(|last| matches!(last.as_str(), "yes" | "no"))
            && row.iter().any(|word| word == "yes")
            && row.iter().all(|word| word.starts_with(char::is_alphanumeric) || word == ".")
    }
}
