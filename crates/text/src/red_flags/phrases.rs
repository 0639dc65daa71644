//! Phrases in a note, and what takes them back.
//!
//! A note falls into clauses at full stops and the like, and a clause into words, commas and
//! signs; an ideograph is a word. What denies is looked for before a phrase, up to the next comma
//! or across the commas of a list, and closely after it (after Chapman et al. 2001, "A simple
//! algorithm for identifying negated findings and diseases in discharge summaries").

use std::collections::BTreeSet;

use super::index::{Group, Hit, Hits, Phrases};
use super::rules::ContextRule;
use crate::terms::is_ideograph;

/// Most words that `~` stands for, and within which something after a phrase takes it back.
pub const GAP: usize = 3;
/// Most characters of a phrase as it is repeated in a flag.
const SHOWN: usize = 80;
/// Most words of one thing in a list that is denied as a whole ("no fever, chest pain or cough").
const LISTED: usize = 4;
/// Most words of such a list.
const LIST: usize = 40;
/// Fewest letters of a word whose misspellings are read.
const SPELT: usize = 5;

/// A part of a note in which words belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause<'a> {
    /// Its words, commas and signs.
    pub words: Vec<&'a str>,
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

/// A part of a phrase.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// A word.
    Word(String),
    /// A word that begins so.
    Beginning(String),
    /// A few words, or none.
    Gap,
    /// A number of four digits.
    Year,
    /// A comma, or the end of the clause.
    End,
}

impl Part {
    /// What a word that it stands for begins with.
    pub fn letter(&self) -> Option<char> {
        match self {
            Part::Word(text) | Part::Beginning(text) => text.chars().next(),
            Part::Gap | Part::Year | Part::End => None,
        }
    }

    /// Whether it stands for this word.
    pub fn is(&self, word: &str, same: &dyn Fn(&str, &str) -> bool) -> bool {
        match self {
            Part::Word(text) => same(word, text),
            Part::Beginning(text) => word.starts_with(text.as_str()),
            Part::Year => word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit()),
            Part::Gap | Part::End => false,
        }
    }
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
        match parts.first().and_then(Part::letter) {
            Some(_) if text.to_lowercase() == text => Ok(Phrase(parts)),
            _ => Err(format!("\"{text}\" is no phrase in lower case that begins with a word")),
        }
    }

    /// What it begins with: a word, or the beginning of one.
    pub fn first(&self) -> &Part {
        &self.0[0]
    }

    /// Where it ends, if its second part stands at `at`.
    pub fn rest(&self, words: &[&str], at: usize, same: &dyn Fn(&str, &str) -> bool) -> Option<usize> {
        matches(&self.0[1..], words, at, same)
    }
}

/// Where the rest of a phrase ends, if it stands at `at`.
fn matches(parts: &[Part], words: &[&str], at: usize, same: &dyn Fn(&str, &str) -> bool) -> Option<usize> {
    let Some((part, rest)) = parts.split_first() else { return Some(at) };
    let word = words.get(at);
    match part {
        // "Vomited twice, no blood" is not what "vomit* ~ blood" means.
        Part::Gap => (0..=GAP)
            .take_while(|skipped| {
                *skipped == 0 || !matches!(words.get(at + skipped - 1), Some(&"no" | &"without"))
            })
            .find_map(|skipped| matches(rest, words, at + skipped, same)),
        Part::End => match word.is_none_or(|word| matches!(*word, "," | "，")) {
            true => matches(rest, words, at, same),
            false => None,
        },
        _ if word.is_some_and(|word| part.is(word, same)) => matches(rest, words, at + 1, same),
        _ => None,
    }
}

/// Apostrophes are typed in several ways, or left out.
pub fn is_word(word: &str, text: &str) -> bool {
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
    pub fn is_slip(&self, word: &str, text: &str) -> bool {
        if text.len() < SPELT || word.len().abs_diff(text.len()) > 1 || !text.is_ascii() {
            return false;
        }
        let same_first = word.as_bytes().first() == text.as_bytes().first() || Self::may_be_foreign(word);
        let head = |word: &str, text: &str| {
            word.chars()
                .zip(text.chars())
                .take_while(|(x, y)| x == y)
                .map(|(x, _)| x.len_utf8())
                .sum::<usize>()
        };
        let at = head(word, text);
        let (a, b) = (&word[at..], &text[at..]);
        let tail = a.chars().rev().zip(b.chars().rev()).take_while(|(x, y)| x == y);
        let tail: usize = tail.map(|(x, _)| x.len_utf8()).sum();
        let mut a = a[..a.len() - tail].chars();
        let mut b = b[..b.len() - tail].chars();
        let slip = match ([a.next(), a.next(), a.next()], [b.next(), b.next(), b.next()]) {
            ([_, None, _], [_, None, _]) => true,
            ([Some(x), Some(y), None], [Some(v), Some(w), None]) => x == w && y == v,
            _ => false,
        };
        same_first && slip && !self.words.contains(word)
    }

    /// Whether the first letter is of another script, in which it may look like one of ours ("сhest"). What
    /// is too short to be a misspelling is not looked at.
    pub fn may_be_foreign(word: &str) -> bool {
        word.len() + 1 >= SPELT
            && word.chars().next().is_some_and(|first| !first.is_ascii() && first.is_alphabetic())
    }
}

/// What takes a phrase back: groups of [`Phrases`].
#[derive(Debug, Clone)]
pub struct Context {
    before: Group,
    before_list: Group,
    history: Group,
    after: Group,
    until: Group,
    after_until: Group,
    other: Group,
    past: Group,
    past_before: Group,
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
    /// What means something else, whatever rule it would hold for.
    other: &'c [Hit],
    /// As `before` and `after`: what makes a reading one of another time, or one that should be.
    past_before: Vec<usize>,
    past: Vec<Option<usize>>,
}

impl Context {
    /// The cues of a package, which are looked for with `phrases`.
    pub fn new(rule: &ContextRule, phrases: &mut Phrases) -> Result<Context, String> {
        Ok(Context {
            before: phrases.add(&rule.before)?,
            before_list: phrases.add(&rule.before_list)?,
            history: phrases.add(&rule.history)?,
            after: phrases.add(&rule.after)?,
            until: phrases.add(&rule.until)?,
            after_until: phrases.add(&rule.after_until)?,
            other: phrases.add(&rule.except)?,
            past: phrases.add(&rule.past)?,
            past_before: phrases.add(&rule.past_before)?,
        })
    }

    /// Reads a clause for what takes phrases back; `hits` are the places of the cues.
    pub fn read<'c, 'a>(&self, Clause { words }: &'c Clause<'a>, hits: &'c Hits) -> Read<'c, 'a> {
        let begins = |groups: &[&Group]| {
            let mut latest = vec![0; words.len() + 1];
            for hit in groups.iter().flat_map(|group| hits.of(group)) {
                latest[hit.end] = latest[hit.end].max(hit.start + 1);
            }
            running(latest)
        };
        let ends = |group: &Group| {
            let mut first: Vec<Option<usize>> = vec![None; words.len()];
            for hit in hits.of(group) {
                first[hit.start] = Some(first[hit.start].map_or(hit.end, |end| end.min(hit.end)));
            }
            first
        };
        let mut until = vec![0; words.len() + 1];
        // "Have" ends what stands before, but not as part of "does not have".
        let mut reach = vec![0; words.len() + 1];
        for cue in
            [&self.before, &self.before_list, &self.history].into_iter().flat_map(|group| hits.of(group))
        {
            reach[cue.start] = reach[cue.start].max(cue.end);
        }
        let reach = running(reach);
        let is_part =
            |hit: &Hit| reach[hit.start] > hit.end || hit.start > 0 && reach[hit.start - 1] >= hit.end;
        for hit in hits.of(&self.until).iter().filter(|hit| !is_part(hit)) {
            until[hit.end] = hit.end;
        }
        let mut comma = vec![0; words.len() + 1];
        for (at, word) in words.iter().enumerate() {
            if matches!(*word, "," | "，" | "、") {
                comma[at + 1] = at + 1;
            }
        }
        let mut after_until = vec![false; words.len()];
        for hit in hits.of(&self.after_until) {
            after_until[hit.start] = true;
        }
        Read {
            words,
            before: begins(&[&self.before]),
            before_list: begins(&[&self.before_list]),
            history: begins(&[&self.history]),
            until: running(until),
            after: ends(&self.after),
            after_until,
            comma: running(comma),
            other: hits.of(&self.other),
            past_before: begins(&[&self.past, &self.past_before]),
            past: ends(&self.past),
        }
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
    /// The words of the first of these places that nothing takes back, and that is not part of one of
    /// `except`. History takes nothing back that is of the moment (`now`).
    pub fn present(&self, places: &[Hit], except: &[Hit], now: bool) -> Option<String> {
        let none = except.is_empty() && self.other.is_empty();
        let mut excepted = vec![false; if none { 0 } else { self.words.len() }];
        for other in except.iter().chain(self.other) {
            excepted[other.start..other.end].fill(true);
        }
        let free = |hit: &Hit| none || !excepted[hit.start..hit.end].contains(&true);
        let stands = |hit: &&Hit| free(hit) && !self.taken_back(hit.start, hit.end, now);
        let Hit { start, end, .. } = *places.iter().find(stands)?;
        let words = self.words;
        let separator = if words[start].chars().any(is_ideograph) { "" } else { " " };
        Some(words[start..end].join(separator).chars().take(SHOWN).collect())
    }

    fn taken_back(&self, start: usize, end: usize, now: bool) -> bool {
        let begin = self.until[start];
        let near = begin.max(self.comma[start]);
        let stop = self.words.len().min(end + 2 * GAP);
        let stop = (end..stop).find(|at| matches!(self.words[*at], "," | "，")).unwrap_or(stop);
        self.before[start] > near
            || self.before_list[start] > begin
            || self.before[start] > begin && self.is_listed(self.before[start], start, end)
            || !now && self.history[start] > near
            || (end..stop.min(end + GAP))
                .take_while(|at| !self.after_until[*at])
                .any(|at| self.after[at].is_some_and(|to| to <= stop))
    }

    /// Whether a denial whose cue begins at `cue` reaches the phrase across commas: a list of a few words each
    /// that ends with "or" or "nor", and after which nothing begins anew.
    fn is_listed(&self, cue: usize, start: usize, end: usize) -> bool {
        let words = self.words;
        let is_comma = |at: &usize| matches!(words[*at], "," | "，");
        let most = words.len().min(cue + LIST);
        let from = self.comma[start];
        let last = (from..most).find(|at| matches!(words[*at], "or" | "nor"));
        let Some(last) = last.filter(|last| *last == from || *last >= end) else { return false };
        let stop = (last..most).find(is_comma).unwrap_or(most);
        let mut commas = (cue..last).filter(is_comma).chain([last]);
        let short = commas.try_fold(cue, |begin, comma| (comma - begin <= LISTED).then_some(comma + 1));
        short.is_some() && stop - last <= LISTED + 1 && self.until[stop] < cue
    }

    /// Whether the number that stands from `start` to `end` is a reading of another time, or one that should be.
    pub fn is_past(&self, start: usize, end: usize) -> bool {
        let words = self.words;
        let is_end = |at: &usize| matches!(words[*at], "," | "，" | "(" | ")");
        let from = (start.saturating_sub(4 * GAP)..start).rev().find(is_end).map_or(0, |at| at + 1);
        let most = words.len().min(end + 2 * GAP);
        let to = (end..most).find(is_end).unwrap_or(most);
        // "Yesterday 97" behind a number says something of the next one.
        let is_number = |at: usize| words.get(at).is_some_and(|word| word.as_bytes()[0].is_ascii_digit());
        let behind = |at: usize| {
            let end_of_cue = self.past[at].filter(|to_cue| *to_cue <= to && self.until[at] <= end);
            end_of_cue.is_some_and(|next| !is_number(next))
        };
        self.past_before[start] > from.max(self.until[start]) || (end..to).any(behind)
    }
}
