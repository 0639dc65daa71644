//! Later values of a measure behind its first: "eGFR 60 -> 22", "K 4.1, now 6.8", "肌酐 90 升至 600". Whichever is the present one, each of
//! them counts, so that the worst does: who reads the first alone takes what has got worse for good.

use super::measures::{
    BETWEEN, DIASTOLIC, DOSES, HEART_RATE, MEASURES, Read, SYSTOLIC, UNITS, named, number, read,
};
use super::said::{self, Link, Token};

/// What may stand between a value and a later one of the same measure, but for what may stand before any.
const AND_THEN: [&str; 85] = [
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
    "year",
    "years",
    "yr",
    "yrs",
    "month",
    "months",
    "mo",
    "week",
    "weeks",
    "wk",
    "wks",
    "day",
    "days",
    "d",
    "hours",
    "h",
    "年",
    "月",
    "日",
    "天",
    "周",
    "前",
    "后",
];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// What is numbered by a number behind it: "day 28".
const COUNTED: [&str; 5] = ["day", "week", "wk", "month", "d"];
/// What a number counts that stands before it and is no value.
pub(super) const TIMES: [&str; 22] = [
    "year", "years", "yr", "yrs", "yo", "y", "month", "months", "mo", "week", "weeks", "wk", "wks", "day",
    "days", "d", "hours", "h", "年", "月", "日", "天",
];
/// The same in Chinese, before a number; the longer first.
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
            let month = word.get(..3).is_some_and(|start| MONTHS.contains(&start));
            if !(BETWEEN.contains(&word) || AND_THEN.contains(&word) || month) {
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
        let times = behind.is_some_and(|next| {
            TIMES.contains(&next.text) || next.text.get(..3).is_some_and(|start| MONTHS.contains(&start))
        });
        // "In 3-6 months", "in 3 to 6 months", "on day 28".
        let to = after(1).map_or(0, |next| usize::from(next.text == "to"));
        let range = after(1 + to).is_some_and(|next| number(next.text).is_some())
            && after(2 + to).is_some_and(|next| TIMES.contains(&next.text));
        let before = |back: usize| at.checked_sub(back).map_or("", |at| tokens[at].text);
        let counted = COUNTED.contains(&before(1)) && !["last", "this", "per", "a"].contains(&before(2));
        if range {
            (date, at) = (true, at + 2 + to);
            continue;
        }
        if part_of_date
            || times
            || counted
            || TIMES.iter().any(|unit| !unit.is_ascii() && token.text.ends_with(unit))
        {
            (date, at) = (true, at + 1);
            continue;
        }
        let suffix = token.text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
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
    tokens.get(at + 1 + units).is_none_or(|next| {
        next.part != tokens[at].part
            || next.link == Link::Slash
            || BETWEEN.contains(&next.text)
            || AND_THEN.contains(&next.text)
    })
}

/// The clauses of a text. One that is nothing but a later value goes on with the one before it: "eGFR 60; now 22".
pub(super) fn clauses(text: &str) -> Vec<String> {
    let mut clauses: Vec<String> = Vec::new();
    for clause in text.split(';') {
        let tokens = said::tokens(clause);
        let is_value = |token: &Token<'_>| {
            let suffix = token.text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            number(token.text).is_some() && (suffix.is_empty() || suffix == "%" || UNITS.contains(&suffix))
        };
        let known = |token: &Token<'_>| {
            let word = token.text;
            is_value(token) || UNITS.contains(&word) || BETWEEN.contains(&word) || AND_THEN.contains(&word)
        };
        let later = tokens.iter().any(is_value) && tokens.iter().all(known);
        match clauses.last_mut().filter(|last| later && !read(&said::tokens(last)).is_empty()) {
            Some(last) => *last = format!("{last}, {clause}"),
            None => clauses.push(clause.to_owned()),
        }
    }
    clauses
}

/// Arrows between two values as a word: of "60 -> 22" nothing is over 22.
pub(super) fn without_arrows(text: &str) -> String {
    ["-->", "->", "==>", "=>", "→", "➔", "➜", "⇒", "↘", "↗", "↓", "↑"].iter().fold(
        text.to_owned(),
        |text, arrow| {
            let mut read = String::with_capacity(text.len());
            let mut rest = text.as_str();
            while let Some(at) = rest.find(arrow) {
                let behind = &rest[at + arrow.len()..];
                let before = rest[..at]
                    .trim_end()
                    .ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | ')'));
                let number = behind.trim_start().starts_with(|c: char| c.is_ascii_digit());
                read.push_str(&rest[..at]);
                read.push_str(if before && number { " to " } else { arrow });
                rest = behind;
            }
            read + rest
        },
    )
}

/// What leads on to a later value in Chinese, as a word: "血钾4.0升至6.8".
pub(super) fn then_in_english(text: &str) -> String {
    THEN_ZH.iter().fold(text.to_owned(), |text, word| {
        let mut read = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find(word) {
            let behind = &rest[at + word.len()..];
            let before = rest[..at].trim_end_matches([' ', ',', '(', ':']);
            let before = before.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | ')'));
            let value = behind.trim_start_matches(['为', '至', '到', ' ']);
            let later = before && value.starts_with(|c: char| c.is_ascii_digit());
            read.push_str(&rest[..at]);
            read.push_str(if later { " to " } else { word });
            rest = if later { value } else { behind };
        }
        read + rest
    })
}
