//! Phrases in a note, and what takes them back.
//!
//! A note falls into clauses at full stops and the like, and a clause into words, commas and
//! signs; an ideograph is a word. What denies is looked for before a phrase, up to the next comma
//! or across the commas of a list, and closely after it (after Chapman et al. 2001, "A simple
//! algorithm for identifying negated findings and diseases in discharge summaries").

use std::collections::BTreeSet;

use super::rules::{ContextRule, ReadingRule};
use crate::terms::is_ideograph;

/// Most words that `~` stands for, and within which something after a phrase takes it back.
const GAP: usize = 3;
/// Most characters of a phrase as it is repeated in a flag.
const SHOWN: usize = 80;
/// Fewest letters of a word whose misspellings are read.
const SPELT: usize = 5;

/// A part of a note in which words belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause<'a> {
    words: Vec<&'a str>,
}

/// The clauses of a normalised note.
pub fn clauses(text: &str) -> Vec<Clause<'_>> {
    let mut clauses = vec![Clause { words: Vec::new() }];
    let mut start = None;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let end = at + character.len_utf8();
        let next = characters.peek().map(|(_, next)| *next);
        // "38.5" and "2.5" are one word.
        let point = character == '.'
            && start.is_some_and(|from: usize| text[from..at].bytes().all(|b| b.is_ascii_digit()))
            && next.is_some_and(|c| c.is_ascii_digit());
        let apostrophe = matches!(character, '\'' | '’') && start.is_some();
        // So is "b.p.": its last full stop ends no clause.
        let initials = character == '.' && start.is_some_and(|from| is_initials(&text[from..at], next));
        let ideograph = is_ideograph(character);
        if (character.is_alphanumeric() && !ideograph) || point || apostrophe || initials {
            // A unit behind a digit ("70mmhg", "4cm") is a word of its own.
            if let Some(from) = start
                && text[from..at].bytes().all(|b| b.is_ascii_digit() || b == b'.')
                && character.is_alphabetic()
                && let Some(clause) = clauses.last_mut()
            {
                clause.words.push(&text[from..at]);
                start = None;
            }
            start = start.or(Some(at));
            continue;
        }
        let Some(clause) = clauses.last_mut() else { break };
        clause.words.extend(start.take().map(|from| &text[from..at]));
        let ends = matches!(character, '.' | '!' | '?' | ';' | '。' | '；' | '？' | '！' | '\n');
        if ends {
            clauses.push(Clause { words: Vec::new() });
        } else if !character.is_whitespace() {
            clause.words.push(&text[at..end]);
        }
    }
    if let (Some(from), Some(clause)) = (start, clauses.last_mut()) {
        clause.words.push(&text[from..]);
    }
    clauses.retain(|clause| !clause.words.is_empty());
    clauses
}

/// Whether a full stop after `word` belongs to it: single letters, each with its full stop.
fn is_initials(word: &str, next: Option<char>) -> bool {
    let letters =
        word.split('.').all(|part| part.len() == 1 && part.bytes().all(|b| b.is_ascii_alphabetic()));
    letters && (word.len() > 1 || next.is_some_and(char::is_alphabetic))
}

/// What is looked for in a clause.
#[derive(Debug, Clone, PartialEq)]
pub struct Phrase(Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Word(String),
    Beginning(String),
    Gap,
    /// A number of four digits.
    Year,
    /// A comma, or the end of the clause.
    End,
}

impl Phrase {
    /// Reads a phrase as the rules write it.
    pub fn new(text: &str) -> Result<Phrase, String> {
        let mut parts = Vec::new();
        for piece in text.split_whitespace() {
            match piece.strip_suffix('*') {
                _ if piece == "~" => parts.push(Part::Gap),
                _ if piece == "####" => parts.push(Part::Year),
                _ if piece == "$" => parts.push(Part::End),
                Some(beginning) => parts.push(Part::Beginning(beginning.to_string())),
                None => parts.extend(
                    clauses(piece).iter().flat_map(|c| &c.words).map(|word| Part::Word(word.to_string())),
                ),
            }
        }
        match parts.first() {
            Some(Part::Word(_) | Part::Beginning(_)) if text.to_lowercase() == text => Ok(Phrase(parts)),
            _ => Err(format!("\"{text}\" is no phrase in lower case that begins with a word")),
        }
    }

    /// Where it ends, if it begins at `start`, word for word.
    fn at(&self, words: &[&str], start: usize) -> Option<usize> {
        matches(&self.0, words, start, &|word, text| is_word(word, text))
    }

    /// Where it ends, if it begins at `start`, a slip of the pen in a word allowed.
    fn about_at(&self, words: &[&str], start: usize, spelling: &Spelling) -> Option<usize> {
        matches(&self.0, words, start, &|word, text| is_word(word, text) || spelling.is_slip(word, text))
    }

    /// Whether a clause has it, denied or not.
    pub fn is_in(&self, Clause { words }: &Clause) -> bool {
        self.find(words, 0).is_some()
    }

    /// The first place at or after `from`: where it begins and ends.
    fn find(&self, words: &[&str], from: usize) -> Option<(usize, usize)> {
        (from..words.len()).find_map(|start| self.at(words, start).map(|end| (start, end)))
    }
}

/// Where the rest of a phrase ends, if it stands at `at`.
fn matches(parts: &[Part], words: &[&str], at: usize, same: &dyn Fn(&str, &str) -> bool) -> Option<usize> {
    let Some((part, rest)) = parts.split_first() else { return Some(at) };
    let word = words.get(at);
    let found = match part {
        Part::Word(text) => word.is_some_and(|word| same(word, text)),
        Part::Beginning(text) => word.is_some_and(|word| word.starts_with(text.as_str())),
        Part::Year => word.is_some_and(|word| word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit())),
        Part::End if word.is_none_or(|word| matches!(*word, "," | "，")) => {
            return matches(rest, words, at, same);
        }
        Part::End => false,
        Part::Gap => return (0..=GAP).find_map(|skipped| matches(rest, words, at + skipped, same)),
    };
    if found { matches(rest, words, at + 1, same) } else { None }
}

/// Apostrophes are typed in several ways, or left out.
fn is_word(word: &str, text: &str) -> bool {
    let bare = |word: &'_ str| word.chars().filter(|c| !matches!(c, '\'' | '’')).collect::<String>();
    word == text || (word.contains(['\'', '’']) || text.contains('\'')) && bare(word) == bare(text)
}

/// Misspellings of the words of phrases: one letter too few, too many, wrong or changed with the next.
#[derive(Debug, Clone, Default)]
pub struct Spelling {
    /// Words of their own that look like misspellings.
    pub words: BTreeSet<String>,
}

impl Spelling {
    /// Whether `word` is `text` but for one slip after the first letter. A word of fewer than five letters is
    /// too near to others.
    fn is_slip(&self, word: &str, text: &str) -> bool {
        let (Some(first), true) = (word.chars().next(), text.len() >= SPELT) else { return false };
        if word.len().abs_diff(text.len()) > 1 || !text.is_ascii() {
            return false;
        }
        // A letter of another script that looks the same ("сhest") is no other word.
        let same_first = text.starts_with(first) || !first.is_ascii() && first.is_alphabetic();
        let (a, b): (Vec<char>, Vec<char>) = (word.chars().collect(), text.chars().collect());
        let head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
        let (a, b) = (&a[head..], &b[head..]);
        let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
        let (a, b) = (&a[..a.len() - tail], &b[..b.len() - tail]);
        let slip = match (a, b) {
            ([_] | [], [_] | []) => true,
            ([x, y], [v, w]) => x == w && y == v,
            _ => false,
        };
        same_first && slip && !self.words.contains(word)
    }
}

/// What takes a phrase back.
#[derive(Debug, Clone)]
pub struct Context {
    before: Vec<Phrase>,
    before_list: Vec<Phrase>,
    history: Vec<Phrase>,
    after: Vec<Phrase>,
    until: Vec<Phrase>,
    after_until: Vec<Phrase>,
    spelling: Spelling,
}

/// A clause with the places of all that takes a phrase back, each looked for once.
#[derive(Debug)]
pub struct Read<'c, 'a> {
    words: &'c [&'a str],
    /// For each place the last cue that ends there or before: where it begins, counted from 1.
    before: Vec<usize>,
    before_list: Vec<usize>,
    history: Vec<usize>,
    /// For each place where what was said before has ended.
    until: Vec<usize>,
    /// For each place the end of what takes back there, if anything does.
    after: Vec<Option<usize>>,
    after_until: Vec<bool>,
    comma: Vec<usize>,
}

impl Context {
    pub fn new(rule: &ContextRule) -> Result<Context, String> {
        let phrases = |texts: &[String]| {
            texts.iter().map(|text| Phrase::new(text)).collect::<Result<Vec<Phrase>, String>>()
        };
        Ok(Context {
            before: phrases(&rule.before)?,
            before_list: phrases(&rule.before_list)?,
            history: phrases(&rule.history)?,
            after: phrases(&rule.after)?,
            until: phrases(&rule.until)?,
            after_until: phrases(&rule.after_until)?,
            spelling: Spelling { words: rule.well_spelt.iter().cloned().collect() },
        })
    }

    /// Reads a clause for what takes phrases back.
    pub fn read<'c, 'a>(&self, Clause { words }: &'c Clause<'a>) -> Read<'c, 'a> {
        let begins = |phrases: &[Phrase]| {
            let mut latest = vec![0; words.len() + 1];
            for phrase in phrases {
                for at in 0..words.len() {
                    if let Some(end) = phrase.at(words, at) {
                        latest[end] = latest[end].max(at + 1);
                    }
                }
            }
            running(latest)
        };
        let mut until = vec![0; words.len() + 1];
        for phrase in &self.until {
            for end in (0..words.len()).filter_map(|at| phrase.at(words, at)) {
                until[end] = end;
            }
        }
        let mut comma = vec![0; words.len() + 1];
        for (at, word) in words.iter().enumerate() {
            if matches!(*word, "," | "，" | "、") {
                comma[at + 1] = at + 1;
            }
        }
        let places = 0..words.len();
        Read {
            words,
            before: begins(&self.before),
            before_list: begins(&self.before_list),
            history: begins(&self.history),
            until: running(until),
            after: places.clone().map(|at| self.after.iter().filter_map(|p| p.at(words, at)).min()).collect(),
            after_until: places
                .map(|at| self.after_until.iter().any(|p| p.at(words, at).is_some()))
                .collect(),
            comma: running(comma),
        }
    }

    /// The words of `phrase` where the clause has it, nothing takes it back, and it is not part of one of
    /// `except`. History takes nothing back that is of the moment (`now`).
    pub fn present(
        &self,
        read: &Read,
        phrase: &Phrase,
        except: &[(usize, usize)],
        now: bool,
    ) -> Option<String> {
        let words = read.words;
        for start in 0..words.len() {
            let Some(end) = phrase.about_at(words, start, &self.spelling) else { continue };
            let excepted = except.iter().any(|(from, to)| *from < end && start < *to);
            if !excepted && !read.taken_back(start, end, now) {
                let separator = if words[start].chars().any(is_ideograph) { "" } else { " " };
                return Some(words[start..end].join(separator).chars().take(SHOWN).collect());
            }
        }
        None
    }
}

/// The greatest number up to each place.
fn running(mut numbers: Vec<usize>) -> Vec<usize> {
    let mut greatest = 0;
    for number in &mut numbers {
        greatest = greatest.max(*number);
        *number = greatest;
    }
    numbers
}

impl Read<'_, '_> {
    /// All places of phrases: where each begins and ends.
    pub fn places(&self, phrases: &[Phrase]) -> Vec<(usize, usize)> {
        let at = |start| phrases.iter().filter_map(move |p| Some((start, p.at(self.words, start)?)));
        (0..self.words.len()).flat_map(at).collect()
    }

    fn taken_back(&self, start: usize, end: usize, now: bool) -> bool {
        let begin = self.until[start];
        let near = begin.max(self.comma[start]);
        let stop = self.words.len().min(end + 2 * GAP);
        let stop = (end..stop).find(|at| matches!(self.words[*at], "," | "，")).unwrap_or(stop);
        self.before[start] > near
            || self.before_list[start] > begin
            || !now && self.history[start] > near
            || (end..stop.min(end + GAP))
                .take_while(|at| !self.after_until[*at])
                .any(|at| self.after[at].is_some_and(|to| to <= stop))
    }
}

/// The numbers that a clause gives for a sign, in the sign's own unit.
pub fn numbers(Clause { words }: &Clause, names: &[Phrase], reading: &ReadingRule) -> Vec<f64> {
    let starts = names.iter().filter_map(|name| {
        let (start, end) = name.find(words, 0)?;
        // "1 hr 30" is a time.
        let counted = start > 0 && words[start - 1].bytes().all(|b| b.is_ascii_digit());
        (!counted || reading.unit == "%").then_some(end)
    });
    let Some(end) = starts.min() else { return Vec::new() };
    let number = |at: usize| words.get(at).filter(|w| w.as_bytes()[0].is_ascii_digit())?.parse::<f64>().ok();
    let plausible =
        |x: &f64| reading.from.is_none_or(|from| *x >= from) && reading.to.is_none_or(|to| *x <= to);
    let percent = |at: usize| words.get(at + 1) == Some(&"%");
    if reading.unit == "%" {
        let marked = (0..words.len()).filter(|at| percent(*at)).filter_map(number);
        let found: Vec<f64> = marked.filter(plausible).collect();
        if !found.is_empty() || !reading.bare {
            return found;
        }
    }
    let said = end..words.len().min(end + 2 * GAP);
    let first = said.take_while(|at| !matches!(words[*at], "," | ")")).find(|at| number(*at).is_some());
    // "Was 120/80, now 70/40": each pair is a pressure.
    let pairs = (end..words.len())
        .filter(|at| reading.unit == "mmHg" && words.get(at + 1) == Some(&"/") && number(at + 2).is_some());
    let places = first.into_iter().chain(pairs);
    places
        .filter_map(|at| converted(number(at)?, &words[at + 1..], &reading.unit))
        .filter(plausible)
        .collect()
}

/// A number in a sign's unit by the words behind it; none where they make it another quantity.
fn converted(number: f64, behind: &[&str], unit: &str) -> Option<f64> {
    let near = &behind[..behind.len().min(4)];
    let next = near.iter().find(|word| !matches!(**word, "°" | "º" | "deg" | "degrees" | "'"));
    let is = |units: &[&str]| next.is_some_and(|word| units.contains(word));
    match unit {
        "°C" if is(&["f", "℉", "°f", "fahrenheit"]) => Some((number - 32.0) / 1.8),
        // Nobody has 86 °C, and a body of 30 to 45 °C is 86 to 113 °F.
        "°C" if (86.0..=113.0).contains(&number) && !is(&["c", "℃", "celsius"]) => {
            Some((number - 32.0) / 1.8)
        }
        "mmHg" if near.contains(&"kpa") => Some(number * 7.500_62),
        _ if is(&[
            "min", "mins", "minutes", "minute", "h", "hr", "hrs", "hour", "hours", "ms", "msec", "day",
            "days", "年", "月", "天", "小", "分", "个",
        ]) =>
        {
            None
        }
        "/min" if is(&["+"]) => None,
        _ => Some(number),
    }
}
