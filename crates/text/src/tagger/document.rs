//! A text as a tagger reads it: tokens, sentences, features.
//!
//! A tagger learns from sentences, so a longer text is read sentence by sentence. What an
//! abbreviation stands for holds for the whole text.

use std::ops::Range;

use super::features::{abbreviations, features};
use super::lexicon::Lexicons;
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
        Document { tokens, lowers, sentences, features, total, windows: Vec::new() }
    }
}

/// Tokens of every sentence: one ends at a line's end, and at a full stop, question or exclamation
/// mark before a blank and a capital letter, unless the stop belongs to a shortened word.
pub(super) fn sentences(text: &str, tokens: &[Token], lowers: &[String]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for at in 1..tokens.len() {
        let between = &text[tokens[at - 1].bytes.end..tokens[at].bytes.start];
        let line = between.contains('\n');
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
