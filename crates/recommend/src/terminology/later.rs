//! Later values of a measure behind its first: "eGFR 60 -> 22", "K 4.1, now 6.8", "肌酐 90 升至 600". Whichever is the present one, each of
//! them counts, so that the worst does: who reads the first alone takes what has got worse for good.

use std::borrow::Cow;

use super::measures::{
    BETWEEN, DIASTOLIC, DOSES, HEART_RATE, MEASURES, Read, SYSTOLIC, UNITS, named, number, read, unit_of,
};
use super::said::{self, Link, Token};

/// What may stand between a value and a later one of the same measure, but for what may stand before any.
const AND_THEN: [&str; 65] = [
    "and",
    "a",
    "one",
    "two",
    "three",
    "four",
    "few",
    "several",
    "then",
    "from",
    "vs",
    "but",
    "only",
    "later",
    "after",
    "before",
    "previously",
    "previous",
    "prior",
    "ago",
    "last",
    "latest",
    "recent",
    "recently",
    "since",
    "in",
    "on",
    "the",
    "this",
    "repeat",
    "repeated",
    "recheck",
    "rechecked",
    "again",
    "fell",
    "fallen",
    "falling",
    "rose",
    "risen",
    "rising",
    "went",
    "drop",
    "dropped",
    "dropping",
    "increased",
    "increasing",
    "decreased",
    "decreasing",
    "declined",
    "declining",
    "worse",
    "worsened",
    "worsening",
    "improved",
    "improving",
    "trend",
    "trending",
    "baseline",
    "admission",
    "discharge",
    "yesterday",
    "morning",
    "周",
    "前",
    "后",
];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// What is numbered by a number behind it: "day 28".
const COUNTED: [&str; 5] = ["day", "week", "wk", "month", "d"];
/// Lengths of time, which a number before them counts; and ages.
const SPANS: [&str; 20] = [
    "year", "years", "yr", "yrs", "month", "months", "mo", "week", "weeks", "wk", "wks", "day", "days", "d",
    "hours", "h", "年", "月", "日", "天",
];
const AGES: [&str; 2] = ["yo", "y"];
/// What leads on to a later value, in Chinese before a number and as arrows; the longer first.
const THEN_ZH: [&str; 24] = [
    "升高至",
    "下降至",
    "上升至",
    "增高至",
    "升高到",
    "下降到",
    "进行性升高至",
    "升至",
    "降至",
    "增至",
    "升到",
    "降到",
    "变为",
    "变成",
    "现为",
    "目前",
    "今日",
    "今天",
    "复查",
    "现",
    "今",
    "到",
    "至",
    "后",
];

const ARROWS: [&str; 12] = ["-->", "->", "==>", "=>", "→", "➔", "➜", "⇒", "↘", "↗", "↓", "↑"];

/// Whether a number before this word counts time and is no value.
pub(super) fn is_time(word: &str) -> bool {
    SPANS.contains(&word) || AGES.contains(&word)
}

/// Whether a later value may follow this word.
fn leads_on(word: &str) -> bool {
    BETWEEN.contains(&word) || AND_THEN.contains(&word) || SPANS.contains(&word)
}

fn is_month(word: &str) -> bool {
    word.get(..3).is_some_and(|start| MONTHS.contains(&start))
}

/// Later values of a measure whose first one ends before `at`: "60 -> 22", "60 in 2019, 18 today". Each of them counts, so that
/// the worst does.
pub(super) fn further(tokens: &[Token<'_>], mut at: usize, measure: usize) -> Vec<Read> {
    let mut found = Vec::new();
    let mut start = at;
    let (mut above, mut said, mut date) = (None, false, false);
    while let Some(token) = tokens.get(at).filter(|_| named(tokens, at).is_none()) {
        let after = |place: usize| tokens.get(at + place);
        let joined = matches!(token.link, Link::Slash | Link::Hyphen);
        let Some(written) = number(token.text) else {
            let word = token.text;
            let month = is_month(word);
            if !(leads_on(word) || month) {
                break;
            }
            above = match word {
                "under" => Some(false),
                "over" => Some(true),
                _ => above,
            };
            (said, date) = (true, month);
            at += 1;
            continue;
        };
        let slash = after(1)
            .filter(|next| next.link == Link::Slash)
            .and_then(|next| number(next.text))
            .filter(|_| measure == SYSTOLIC);
        let part_of_date = (1900.0..2100.0).contains(&written) && token.text.len() == 4
            || joined && date
            || slash.is_none()
                && after(1).is_some_and(|next| next.link == Link::Slash && number(next.text).is_some());
        let behind = after(1).filter(|next| matches!(next.link, Link::Space | Link::Hyphen));
        let times = behind.is_some_and(|next| is_time(next.text) || is_month(next.text));
        // "In 3-6 months", "in 3 to 6 months", "on day 28".
        let to = after(1).map_or(0, |next| usize::from(next.text == "to"));
        let range = after(1 + to).is_some_and(|next| number(next.text).is_some())
            && after(2 + to).is_some_and(|next| is_time(next.text));
        let before = |back: usize| at.checked_sub(back).map_or("", |at| tokens[at].text);
        let counted = COUNTED.contains(&before(1)) && !["last", "this", "per", "a"].contains(&before(2));
        if range {
            (date, at) = (true, at + 2 + to);
            continue;
        }
        if part_of_date
            || times
            || counted
            || SPANS.iter().any(|unit| !unit.is_ascii() && token.text.ends_with(unit))
        {
            (date, at) = (true, at + 1);
            continue;
        }
        let suffix = unit_of(token.text);
        let unit = suffix.is_empty()
            || suffix == "%" && MEASURES[measure].range.1 == 100.0
            || UNITS.contains(&suffix);
        let dose = after(1).is_some_and(|next| DOSES.contains(&next.text))
            && after(2).is_none_or(|next| next.link != Link::Slash);
        // Vital signs stand in a row without their names.
        let bare = !said && [HEART_RATE, DIASTOLIC].contains(&measure)
            || measure == SYSTOLIC && slash.is_none() && !said;
        let Some(value) = MEASURES[measure]
            .scaled(written)
            .filter(|_| unit && !dose && !bare && counts_nothing(tokens, at))
        else {
            break;
        };
        at += 1 + usize::from(slash.is_some());
        at += tokens[at..].iter().take_while(|token| UNITS.contains(&token.text)).count();
        found.push(Read { start, end: at, measure, value, other: None, above });
        if let Some(value) = slash.and_then(|number| MEASURES[DIASTOLIC].scaled(number)) {
            found.push(Read { start, end: at, measure: DIASTOLIC, value, other: None, above });
        }
        (start, above, said, date) = (at, None, false, false);
    }
    found
}

/// Whether a number counts nothing that stands behind it, as "3 cycles" and "2+ edema" do: its part of the text ends there, or goes on to
/// a later value.
pub(super) fn counts_nothing(tokens: &[Token<'_>], at: usize) -> bool {
    let units = tokens[at + 1..].iter().take_while(|token| UNITS.contains(&token.text)).count();
    tokens
        .get(at + 1 + units)
        .is_none_or(|next| next.part != tokens[at].part || next.link == Link::Slash || leads_on(next.text))
}

/// The clauses of a text. One that is nothing but a later value goes on with the one before it: "eGFR 60; now 22".
pub(super) fn clauses(text: &str) -> Vec<Cow<'_, str>> {
    let is_value = |token: &Token<'_>| {
        let unit = unit_of(token.text);
        number(token.text).is_some() && (unit.is_empty() || unit == "%" || UNITS.contains(&unit))
    };
    let known = |token: &Token<'_>| is_value(token) || UNITS.contains(&token.text) || leads_on(token.text);
    let is_later = |clause: &str| {
        let tokens = said::tokens(clause);
        tokens.iter().any(is_value) && tokens.iter().all(known)
    };
    let mut clauses: Vec<Cow<'_, str>> = Vec::new();
    for clause in text.split(';') {
        match clauses.last_mut() {
            Some(last) if is_later(clause) && !read(&said::tokens(last)).is_empty() => {
                *last = format!("{last}, {clause}").into();
            }
            _ => clauses.push(clause.into()),
        }
    }
    clauses
}

/// Arrows between two values as a word: of "60 -> 22" nothing is over 22.
pub(super) fn without_arrows(text: &str) -> String {
    led_on(text, &ARROWS, &[' '], &[])
}

/// What leads on to a later value in Chinese, as a word: "血钾4.0升至6.8".
pub(super) fn then_in_english(text: &str) -> String {
    led_on(text, &THEN_ZH, &[' ', ',', '(', ':'], &['为', '至', '到', ' '])
}

/// Puts "to" for each of these that stands between a value and a number. Between it and the two may stand what is `before` and
/// `behind`, of which the latter goes with it.
fn led_on(text: &str, leading: &[&str], before: &[char], behind: &[char]) -> String {
    let mut text = text.to_owned();
    for lead in leading {
        let mut from = 0;
        while let Some(at) = text[from..].find(lead).map(|at| from + at) {
            let end = at + lead.len();
            let value = text[end..].trim_start_matches(behind);
            let ends_value = |c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | ')');
            let later = text[..at].trim_end_matches(before).ends_with(ends_value)
                && value.trim_start().starts_with(|c: char| c.is_ascii_digit());
            from = end;
            if later {
                text.replace_range(at..text.len() - value.len(), " to ");
                from = at + " to ".len();
            }
        }
    }
    text
}
