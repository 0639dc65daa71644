//! A text as a tagger reads it: tokens, sentences, features.
//!
//! A tagger learns from sentences, so a longer text is read sentence by sentence. What an
//! abbreviation stands for holds for the whole text.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::terms::is_ideograph;
use super::answers::answers;
use super::assertion::{Assertion, statements};
use super::chain::Span;
use super::clauses::{SHORTENED, clauses};
use super::edges::trimmed;
use super::features::{abbreviations, features};
use super::lexicon::Lexicons;
use super::statement::{Beside, Statement};
use super::ties::Tie;
use super::tokens::{Token, tokens};

/// A text, cut and described.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its tokens, at most as many as are read.
    pub tokens: Vec<Token>,
    /// The tokens in lower case.
    pub lowers: Vec<String>,
    /// Tokens of each sentence.
    pub sentences: Vec<Range<usize>>,
    /// What it says of the names in it.
    pub said: Said,
    /// Features of each token, by their hashes, in no order.
    pub features: Vec<Vec<u32>>,
    /// Tokens of the whole text.
    pub total: usize,
    /// Of a text that an encoder reads: the parts that it reads each by itself.
    pub windows: Vec<Window>,
}

/// What a text says of the names in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    /// Tokens of each clause.
    clauses: Vec<Range<usize>>,
    /// What each says.
    statements: Vec<Statement>,
    /// Tokens that no name begins or ends with.
    outside: Vec<bool>,
}

impl Said {
    /// What `text` says; `sentences` are as [`sentences`] cuts it.
    pub(super) fn read(text: &str, tokens: &[Token], lowers: &[String], sentences: &[Range<usize>]) -> Said {
        let answers = answers(text, tokens, lowers);
        let clauses = clauses(text, tokens, lowers, sentences, &answers);
        let statements = statements(text, tokens, lowers, &clauses, &answers);
        let outside = |lower: &String| {
            lower.starts_with(|of: char| !of.is_ascii() && !of.is_alphanumeric() || is_ideograph(of))
        };
        let mut outside: Vec<bool> = lowers.iter().map(outside).collect();
        answers.iter().for_each(|answer| outside[answer.at.clone()].fill(true));
        Said { clauses, statements, outside }
    }

    /// The clause that a token is in.
    fn at(&self, token: usize) -> Option<(&Range<usize>, &Statement)> {
        let at = self.clauses.partition_point(|clause| clause.end <= token);
        Some((self.clauses.get(at)?, self.statements.get(at)?))
    }

    /// The parts of a name that stand in one clause each and begin and end with a word; those without a word are none.
    fn parts(&self, name: Span, lowers: &[String]) -> Vec<Span> {
        let mut parts = Vec::new();
        let at = trimmed(lowers, name.start..name.end);
        let name = Span { start: at.start, end: at.end, ..name };
        let mut start = name.start;
        while start < name.end {
            let end = self.at(start).map_or(name.end, |(clause, _)| clause.end.min(name.end));
            let whole = start == name.start && end == name.end;
            let mark = |at: usize| !whole && !lowers[at].starts_with(char::is_alphanumeric);
            let mut part = Span { start, end, ..name };
            while part.start + 1 < part.end && (self.outside[part.start] || mark(part.start)) {
                part.start += 1;
            }
            while part.start + 1 < part.end && (self.outside[part.end - 1] || mark(part.end - 1)) {
                part.end -= 1;
            }
            let word = |lower: &String| lower.chars().filter(|of| of.is_alphabetic()).count() > 1;
            if whole || lowers[part.start..part.end].iter().any(word) {
                parts.push(part);
            }
            start = end;
        }
        if parts.is_empty() { vec![name] } else { parts }
    }
}

/// A part of a text as an encoder reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Its tokens.
    pub tokens: Range<usize>,
    /// The encoder's own tokens, those around a text with them.
    pub ids: Vec<u32>,
    /// Of each token the place of its first piece among `ids`.
    pub firsts: Vec<usize>,
}

/// Fewest characters of a line that was broken because it was full.
const FULL_LINE: usize = 60;

impl Document {
    /// The first `most` tokens of `text`, described.
    pub fn new(text: &str, lexicons: &Lexicons, most: usize) -> Document {
        let mut tokens = tokens(text);
        let total = tokens.len();
        tokens.truncate(most);
        let words: Vec<&str> = tokens.iter().map(|token| &text[token.bytes.clone()]).collect();
        let lowers: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
        let sentences = sentences(text, &tokens, &lowers);
        let heads = abbreviations(&words, &lowers);
        let of = |sentence: &Range<usize>| {
            let at = sentence.clone();
            features(&words[at.clone()], &lowers[at.clone()], &heads[at], lexicons)
        };
        let features = sentences.iter().flat_map(of).collect();
        let said = Said::read(text, &tokens, &lowers, &sentences);
        Document { tokens, lowers, sentences, said, features, total, windows: Vec::new() }
    }

    /// What is said of a name, by the clause that it begins in; `among` are the names of the text, itself with them. `drug` is the
    /// label of drugs, where that is known.
    pub fn said(&self, name: Span, among: &[Span], drug: Option<usize>) -> Assertion {
        let Some((Range { start, end }, statement)) = self.said.at(name.start) else {
            return Assertion::default();
        };
        let apart = |other: &Span| other.end < name.start || name.end < other.start;
        let other = |other: &&Span| {
            other.label != name.label && *start <= other.start && other.end <= *end && apart(other)
        };
        let beside = |other: &Span| Beside {
            at: other.start - start..other.end - start,
            drug: drug.map(|drug| drug == other.label),
        };
        let others: Vec<Beside> = among.iter().filter(other).map(beside).collect();
        statement.of(name.start - start..name.end.min(*end) - start, &others)
    }

    /// Whether it is denied that a drug did what another name tells or, where it is no harm, that it was given for it. Each name
    /// comes with whether it is denied itself; who no longer takes a drug may have been harmed by it.
    pub fn denies(&self, drug: (Span, bool), other: (Span, bool), harm: bool) -> bool {
        let ((drug, not_taken), (other, not_there)) = (drug, other);
        match self.tie(drug, other) {
            Tie::Denied => true,
            Tie::Relieved if harm => true,
            _ => not_there || not_taken && !(harm && self.outlives(drug, other)),
        }
    }

    /// Whether a drug that is denied may have done what the other name tells.
    fn outlives(&self, drug: Span, other: Span) -> bool {
        let Some((Range { start, end }, statement)) = self.said.at(drug.start) else { return false };
        let inside = *start <= other.start && drug.end <= *end && other.end <= *end;
        let place = |name: Span| name.start - start..name.end - start;
        inside && statement.outlives(place(drug), place(other))
    }

    /// What is said of the tie from one name to another.
    pub fn tie(&self, from: Span, to: Span) -> Tie {
        let Some((Range { start, end }, statement)) = self.said.at(from.start) else {
            return Tie::default();
        };
        match *start <= to.start && from.end <= *end && to.end <= *end {
            true => statement.tie(from.start - start..from.end - start, to.start - start..to.end - start),
            false => Tie::default(),
        }
    }

    /// Names that may be there, each with its probability, freed of the words that only say something of them; those that are
    /// then the same are one, as probable as all of them. In the order of their beginnings, places from token `from` on.
    pub fn freed(&self, likely: Vec<(Span, f64)>, from: usize) -> Vec<(Span, f64)> {
        let moved = |span: Span, by: isize| Span {
            start: span.start.wrapping_add_signed(by),
            end: span.end.wrapping_add_signed(by),
            ..span
        };
        let mut sums: BTreeMap<Span, f64> = BTreeMap::new();
        for (span, probability) in likely {
            for part in self.said.parts(moved(span, from as isize), &self.lowers) {
                let own = self.said.at(part.start).filter(|(clause, _)| part.end <= clause.end);
                let Some((clause, statement)) = own else {
                    *sums.entry(moved(part, -(from as isize))).or_default() += probability;
                    continue;
                };
                let by = clause.start as isize;
                for freed in statement.freed(moved(part, -by)) {
                    *sums.entry(moved(freed, by - from as isize)).or_default() += probability;
                }
            }
        }
        sums.into_iter().collect()
    }
}

/// Most tokens of a sentence.
const LONGEST: usize = 512;

/// Tokens of every sentence: one ends at a line's end, unless the line was only full, and at a full stop, question or
/// exclamation mark before a blank and a capital letter, unless the stop belongs to a shortened word. One that does not end is
/// cut at [`LONGEST`], behind a comma where there is one: what is looked for within a sentence grows with the square of its length.
pub(super) fn sentences(text: &str, tokens: &[Token], lowers: &[String]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for at in 1..tokens.len() {
        let between = &text[tokens[at - 1].bytes.end..tokens[at].bytes.start];
        let line = between.contains(['\n', '\r']) && !is_wrapped(text, tokens, at);
        let capital = || text[tokens[at].bytes.clone()].chars().next().is_some_and(char::is_uppercase);
        let stop = match lowers[at - 1].as_str() {
            "?" | "!" => true,
            "." if at >= 2 => {
                lowers[at - 2].chars().count() > 1 && !SHORTENED.contains(&lowers[at - 2].as_str())
            }
            _ => false,
        };
        if line || stop && !between.is_empty() && capital() {
            found.push(start..at);
            start = at;
        } else if at - start >= LONGEST {
            let comma =
                (start + LONGEST / 2..at).rev().find(|place| matches!(lowers[*place].as_str(), "," | ";"));
            let end = comma.map_or(at, |place| place + 1);
            found.push(start..end);
            start = end;
        }
    }
    if start < tokens.len() {
        found.push(start..tokens.len());
    }
    found
}

/// Whether the line that ends before token `at` goes on in the next: it was full, or ends with a comma, and what follows
/// begins small.
fn is_wrapped(text: &str, tokens: &[Token], at: usize) -> bool {
    let (last, next) = (&tokens[at - 1], &tokens[at]);
    let small = text[next.bytes.clone()].starts_with(char::is_lowercase);
    let ends = text[..last.bytes.end].ends_with(['.', '?', '!', ':', ';']);
    let lines = text[last.bytes.end..next.bytes.start].matches('\n').count();
    let begin = text[..last.bytes.end].rfind(['\n', '\r']).map_or(0, |at| at + 1);
    let full = || text[begin..last.bytes.end].chars().count() >= FULL_LINE;
    small && !ends && lines < 2 && (text[..last.bytes.end].ends_with(',') || full())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_where_people_end_them() {
        let text = "Dr. Smith saw H. pylori, 7.5 mg given. Not well?\nNo fever . Resting";
        let document = Document::new(text, &Lexicons::default(), 100);
        let read: Vec<&str> = document
            .sentences
            .iter()
            .map(|at| &text[document.tokens[at.start].bytes.start..document.tokens[at.end - 1].bytes.end])
            .collect();
        assert_eq!(read, ["Dr. Smith saw H. pylori, 7.5 mg given.", "Not well?", "No fever .", "Resting"]);
        assert_eq!(document.features.len(), document.tokens.len());
    }

    #[test]
    fn a_sentence_that_does_not_end_is_cut() {
        let document = Document::new(&"rash and ".repeat(1000), &Lexicons::default(), 10_000);
        let lengths: Vec<usize> = document.sentences.iter().map(ExactSizeIterator::len).collect();
        assert_eq!(lengths, [512, 512, 512, 464]);
    }

    #[test]
    fn a_text_that_is_too_long_is_read_from_its_beginning() {
        let document = Document::new("a b c d", &Lexicons::default(), 3);
        assert_eq!((document.tokens.len(), document.total), (3, 4));
        let empty = Document::new(" ", &Lexicons::default(), 3);
        assert!(empty.sentences.is_empty() && empty.total == 0);
    }

    #[test]
    fn an_abbreviation_is_known_in_the_whole_text() {
        let plain = Document::new("The APC gene.", &Lexicons::default(), 100);
        let told = Document::new(
            "The APC gene. Adenomatous polyposis coli (APC) is rare.",
            &Lexicons::default(),
            100,
        );
        assert_eq!(plain.features[0], told.features[0]);
        assert!(told.features[1].len() > plain.features[1].len());
    }
}
