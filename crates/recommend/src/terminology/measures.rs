//! What a measured value says in a list of problems: "eGFR 22", "LVEF 25%", "QTc 520 ms".

use super::said::Token;

/// What may stand between the name of a measure and its value.
const BETWEEN: [&str; 6] = ["of", "is", "was", "at", "now", "under"];

const UNITS: [&str; 6] = ["ms", "msec", "ml", "percent", "mmol", "meq"];

/// Units of what is given, and not of what is measured.
const DOSES: [&str; 4] = ["mg", "g", "mcg", "ug"];

/// The measured values among the words that say a condition: from which to which, and the condition.
pub(super) fn found(tokens: &[Token<'_>]) -> Vec<(usize, usize, &'static str)> {
    let found = (0..tokens.len()).filter_map(|at| {
        let mut end = at + 1;
        while tokens.get(end).is_some_and(|token| BETWEEN.contains(&token.text)) {
            end += 1;
        }
        let value = value(tokens.get(end)?.text)?;
        // What is below a bound is at most just below it.
        let value = if tokens[end - 1].text == "under" { value - 0.1 } else { value };
        let unit = |units: &[&str]| tokens.get(end + 1).is_some_and(|token| units.contains(&token.text));
        let dose = at > 0 && tokens[at - 1].text == "vitamin" || unit(&DOSES);
        let condition = condition(tokens[at].text, value).filter(|_| !dose)?;
        Some((at, end + 1 + usize::from(unit(&UNITS)), condition))
    });
    found.collect()
}

/// The number with which a word begins: "25%", "520ms".
fn value(word: &str) -> Option<f64> {
    let end = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
    word[..end].parse().ok()
}

fn condition(measure: &str, value: f64) -> Option<&'static str> {
    match measure {
        "egfr" | "gfr" | "crcl" => match value {
            value if value < 15.0 => Some("chronic kidney disease stage 5"),
            value if value < 30.0 => Some("chronic kidney disease stage 4"),
            value if value < 60.0 => Some("chronic kidney disease stage 3"),
            _ => None,
        },
        "lvef" | "ef" => {
            let percent = if value < 1.0 { value * 100.0 } else { value };
            (percent <= 40.0).then_some("heart failure")
        }
        // Of potassium in the blood: "vitamin K 10 mg" and "KCl 20" are no such values.
        "k" | "potassium" => match value {
            value if (5.6..10.0).contains(&value) => Some("hyperkalemia"),
            value if (1.0..3.5).contains(&value) => Some("hypokalemia"),
            _ => None,
        },
        "qtc" => (500.0..1_000.0).contains(&value).then_some("long qt syndrome"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminology::{Terminology, plain};

    #[test]
    fn every_measure_is_of_a_known_condition() {
        let terminology = Terminology::default();
        for measure in ["egfr", "gfr", "crcl", "k", "lvef", "ef", "qtc"] {
            for value in [2.0, 5.0, 6.0, 20.0, 40.0, 520.0] {
                let known =
                    condition(measure, value).is_none_or(|name| terminology.nodes.contains_key(&plain(name)));
                assert!(known, "{measure} {value}");
            }
        }
    }
}
