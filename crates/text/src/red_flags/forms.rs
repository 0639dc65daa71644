//! Answers of a form: "Chest pain: No", "Chest pain? No.", "chest pain - no", "chest pain (denies)", "[ ] chest pain".
//!
//! An answer is said of what stands before it (a box, of what it stands beside), and of nothing behind it: in "Fever: no
//! Chest pain: yes" the pain is there.

use super::index::Hit;
use super::phrases::{GAP, is_glued};

/// Answers that deny.
const NO: [&str; 16] = [
    "no", "n", "none", "denies", "denied", "negative", "neg", "nil", "false", "absent", "never", "nope",
    "nad", "0", "无", "否",
];
/// Answers of several words that deny.
const NONE: [&[&str]; 9] = [
    &["n", "/", "a"],
    &["no", "symptoms"],
    &["not", "present"],
    &["not", "reported"],
    &["not", "endorsed"],
    &["not", "activated"],
    &["没", "有"],
    &["阴", "性"],
    &["未", "见"],
];
/// Most words of the next question.
const QUESTION: usize = 5;

/// The answers of a clause that deny, each with the sign before it.
pub fn answers(words: &[&str]) -> Vec<Hit> {
    let mut answers = Vec::new();
    let is = |at: usize, these: &[&str]| words.get(at).is_some_and(|word| these.contains(word));
    let is_end = |at: usize| words.get(at).is_none_or(|word| matches!(*word, "," | "，" | "|" | ")"));
    let asks = |at: usize| is(at, &[":", "?", "=", "|", "→"]) || is(at, &[">"]) && words[at - 1] == "-";
    // "Chest pain, no": what ends a clause answers it.
    let last = |at: usize| is(at, &[","]) && at + 2 == words.len();
    for at in 1..words.len() {
        if empty_box(words, at) && !is_box(words, 0) {
            answers.push(Hit { phrase: 0, start: at, end: at + 1 });
        }
        let spaced = words[at] == "-" && !is_glued(words, at);
        let asked = asks(at) || spaced || words[at] == "(" || last(at);
        let several =
            NONE.iter().find(|none| words[at + 1..].starts_with(none)).map(|none| at + 1 + none.len());
        if let Some(end) = several.filter(|end| asked && is_end(*end)) {
            answers.push(Hit { phrase: 0, start: at, end });
        }
        if !asked || !is(at + 1, &NO) {
            continue;
        }
        let end = at + 2;
        // "Chest pain: no shortness of breath: no": the next question follows at once.
        let mut question = end..words.len().min(end + QUESTION + 1);
        let next = question.find(|at| asks(*at) || is_end(*at)).filter(|at| asks(*at) && *at > end);
        let next = next.filter(|_| matches!(words[at], ":" | "?" | "=" | ">" | "→"));
        if is_end(end) || next.is_some() {
            let start = if words[at] == ">" { at - 1 } else { at };
            answers.push(Hit { phrase: 0, start, end });
        }
    }
    answers
}

/// The places behind empty boxes, in a clause that begins with a box: "[ ] chest pain [x] cough".
pub fn unticked<'w>(words: &'w [&str]) -> impl Iterator<Item = usize> + 'w {
    let behind = |at: usize| empty_box(words, at).then_some(at + if words[at] == "[" { 2 } else { 1 });
    (0..if is_box(words, 0) { words.len() } else { 0 }).filter_map(behind)
}

fn empty_box(words: &[&str], at: usize) -> bool {
    words[at] == "☐" || words[at] == "[" && words.get(at + 1) == Some(&"]")
}

/// Whether a box that is ticked or not begins at a place.
fn is_box(words: &[&str], at: usize) -> bool {
    matches!(words.get(at), Some(&"☐" | &"☒" | &"☑"))
        || words.get(at) == Some(&"[") && words.get(at + 1..at + 3).is_some_and(|two| two.contains(&"]"))
}

/// Whether an answer that denies stands behind what ends at `end`.
pub fn answer(words: &[&str], answered: &[bool], end: usize) -> bool {
    let most = words.len().min(end + GAP + 1);
    let is_sign = |at: &usize| !words[*at].starts_with(char::is_alphanumeric);
    (end..most).find(is_sign).is_some_and(|at| answered[at])
}
