//! The clauses of a text: what a note says within one holds for the names in it alone.
//!
//! A tagger reads sentences, as those who marked its texts cut them. People in a hurry part what they say by less: a full
//! stop before a small letter, bullets, numbers of a list, bars. A clause ends there too, and behind an answer.

use std::ops::Range;

use super::answers::Answer;
use super::tokens::Token;

/// Words before a full stop that ends no sentence.
pub(super) const SHORTENED: [&str; 16] =
    ["dr", "mr", "mrs", "ms", "prof", "st", "vs", "eg", "ie", "no", "fig", "approx", "al", "cf", "ca", "sp"];
/// The same before a small letter.
const SHORTENED_WORDS: [&str; 12] =
    ["hx", "pt", "pts", "neg", "pos", "fam", "prev", "poss", "prob", "spp", "subsp", "var"];

/// Within how many tokens a bracket closes.
const BRACKET: usize = 12;

/// Tokens of every clause. `sentences` are those that a tagger reads.
pub(super) fn clauses(
    text: &str,
    tokens: &[Token],
    lowers: &[String],
    sentences: &[Range<usize>],
    answers: &[Answer],
) -> Vec<Range<usize>> {
    let mut begins = vec![false; tokens.len()];
    for sentence in sentences {
        begins[sentence.start] = true;
    }
    for (at, begins) in begins.iter_mut().enumerate().skip(1) {
        *begins |= parts(text, tokens, lowers, at);
    }
    for Answer { at, .. } in answers {
        let gap = |at: usize| &text[tokens[at - 1].bytes.end..tokens[at].bytes.start];
        let closes = |at: usize| {
            matches!(lowers[at].as_str(), "," | "." | ";" | "|" | ")" | "]" | "-" | "–" | "—")
                && !gap(at).contains('\n')
        };
        let end = (at.end..tokens.len()).find(|at| !closes(*at)).unwrap_or(tokens.len());
        begins[at.start..end].fill(false);
        if let Some(begins) = begins.get_mut(end) {
            *begins = true;
        }
    }
    let starts: Vec<usize> = (0..tokens.len()).filter(|at| begins[*at]).collect();
    let ends = starts.iter().skip(1).copied().chain([tokens.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

/// Whether a clause begins at `at` within a sentence.
fn parts(text: &str, tokens: &[Token], lowers: &[String], at: usize) -> bool {
    let apart = |at: usize| at == 0 || at < tokens.len() && tokens[at - 1].end < tokens[at].start;
    let lower = |at: usize| lowers.get(at).map_or("", String::as_str);
    let digits =
        |word: &str| !word.is_empty() && word.len() < 3 && word.bytes().all(|of| of.is_ascii_digit());
    let letters = |at: usize| lower(at).starts_with(char::is_alphabetic);
    let bracket = |at: usize| {
        let near = &lowers[at.saturating_sub(BRACKET)..at];
        let mark = near.iter().rev().find(|lower| matches!(lower.as_str(), "(" | "[" | ")" | "]"));
        mark.is_some_and(|mark| matches!(mark.as_str(), "(" | "["))
    };
    // "2) cough": the number, and what it counts.
    let number = |at: usize| {
        let letter = matches!(lower(at), "a" | "b" | "c" | "d" | "e" | "f");
        let counts = (digits(lower(at)) || letter) && apart(at) && lower(at + 1) == ")" && !apart(at + 1);
        counts && apart(at + 2) && !bracket(at)
    };
    if matches!(lower(at), "•" | "▪" | "●" | "◦") || number(at) || at >= 2 && number(at - 2) {
        return true;
    }
    if lower(at) == "*" && apart(at) && apart(at + 1) {
        return true;
    }
    match lower(at - 1) {
        "|" | "•" | "▪" | "●" | "◦" => true,
        "!" => apart(at),
        "?" => apart(at) && !apart(at - 1),
        "." if at >= 2 => {
            let before = lower(at - 2);
            let listed = digits(before) && apart(at - 2) && !apart(at - 1);
            let word = before.chars().count() > 1
                && !SHORTENED.contains(&before)
                && !SHORTENED_WORDS.contains(&before);
            let written = |at: usize| &text[tokens[at].bytes.clone()];
            let mut first = written(at).chars();
            // "No fever.Cough".
            let capital =
                first.next().is_some_and(char::is_uppercase) && first.next().is_some_and(char::is_lowercase);
            let glued = !apart(at - 1) && capital && written(at - 2).ends_with(char::is_lowercase);
            match apart(at) {
                true => (listed || word) && !lower(at).starts_with(|of: char| of.is_ascii_digit()),
                false => word && glued && letters(at),
            }
        }
        _ => false,
    }
}
