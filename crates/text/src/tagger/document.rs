//! A text as a tagger reads it: tokens, sentences, features.
//!
//! A tagger learns from sentences, so a longer text is read sentence by sentence. What an
//! abbreviation stands for holds for the whole text.

use std::collections::BTreeMap;
use std::ops::Range;

use super::assertion::{Assertion, statements};
use super::chain::Span;
use super::features::{abbreviations, features};
use super::lexicon::Lexicons;
use super::statement::Statement;
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
    /// What each sentence says of the names in it.
    pub statements: Vec<Statement>,
    /// Features of each token, by their hashes, in no order.
    pub features: Vec<Vec<u32>>,
    /// Tokens of the whole text.
    pub total: usize,
    /// Of a text that an encoder reads: the parts that it reads each by itself.
    pub windows: Vec<Window>,
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

/// Words before a full stop that ends no sentence.
const SHORTENED: [&str; 16] =
    ["dr", "mr", "mrs", "ms", "prof", "st", "vs", "eg", "ie", "no", "fig", "approx", "al", "cf", "ca", "sp"];

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
        let statements = statements(text, &tokens, &lowers, &sentences);
        Document { tokens, lowers, sentences, statements, features, total, windows: Vec::new() }
    }

    /// The sentence that a token is in, by its number.
    fn sentence(&self, token: usize) -> usize {
        self.sentences.partition_point(|sentence| sentence.end <= token)
    }

    /// What is said of a name, by the sentence that it begins in.
    pub fn said(&self, name: Span) -> Assertion {
        let at = self.sentence(name.start);
        let (Some(Range { start, end }), Some(statement)) = (self.sentences.get(at), self.statements.get(at))
        else {
            return Assertion::default();
        };
        statement.of(name.start - start..name.end.min(*end) - start)
    }

    /// What is said of the tie between two names of one sentence.
    pub fn tie(&self, one: Span, other: Span) -> Tie {
        let at = self.sentence(one.start);
        let (Some(Range { start, .. }), Some(statement)) = (self.sentences.get(at), self.statements.get(at))
        else {
            return Tie::default();
        };
        statement.tie(one.start - start..one.end - start, other.start - start..other.end - start)
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
            let at = self.sentence(from + span.start);
            let own = self.sentences.get(at).filter(|sentence| from + span.end <= sentence.end);
            let (Some(sentence), Some(statement)) = (own, self.statements.get(at)) else {
                *sums.entry(span).or_default() += probability;
                continue;
            };
            let by = from as isize - sentence.start as isize;
            for part in statement.freed(moved(span, by)) {
                *sums.entry(moved(part, -by)).or_default() += probability;
            }
        }
        sums.into_iter().collect()
    }
}

/// Tokens of every sentence: one ends at a line's end, unless the line was only full, and at a full stop, question or
/// exclamation mark before a blank and a capital letter, unless the stop belongs to a shortened word.
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
