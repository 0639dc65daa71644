//! What a measured value says in a list of problems ("eGFR 22", "LVEF 25%", "血钾 6.2", "BP 85/50"), and what a bound on one says
//! in a rule ("CrCl < 30 mL/min"): a bound holds for every value beyond it, and for every condition that such a value may be.

use super::later::{counts_nothing, further, is_time, then_in_english};
use super::said::{Link, Token};

/// Something that is measured.
pub(super) struct Measure {
    /// What it is called, as its words.
    names: &'static [&'static str],
    /// The values that can be meant, after what [`Measure::scaled`] does.
    pub(super) range: (f64, f64),
    /// Between the values that are worse the lower they are and those that are worse the higher they are.
    middle: f64,
    /// From which value on, up to which, it is of which condition.
    levels: &'static [(f64, f64, &'static str)],
    /// From which number on it is in a smaller unit, and how many of those are one.
    smaller_unit: Option<(f64, f64)>,
}

/// An estimated filtration, of which a clearance is another estimate, comes first: what "creatinine clearance" is called begins
/// as what "creatinine" is.
pub(super) const MEASURES: [Measure; 13] = [
    Measure {
        names: &[
            "egfr",
            "gfr",
            "crcl",
            "ccr",
            "clcr",
            "ecrcl",
            "creatinine clearance",
            "cr clearance",
            "glomerular filtration rate",
        ],
        range: (0.0, 250.0),
        middle: 1000.0,
        levels: &[
            (0.0, 15.0, "chronic kidney disease stage 5"),
            (15.0, 30.0, "chronic kidney disease stage 4"),
            (30.0, 60.0, "chronic kidney disease stage 3"),
        ],
        smaller_unit: None,
    },
    // In mg/dl. The levels are those at which the filtration is in the stages above even of a man of 20 years.
    Measure {
        names: &["creatinine", "scr", "cr"],
        range: (0.1, 30.0),
        middle: 0.0,
        levels: &[
            (1.7, 3.0, "chronic kidney disease stage 3"),
            (3.0, 5.5, "chronic kidney disease stage 4"),
            (5.5, 30.0, "chronic kidney disease stage 5"),
        ],
        smaller_unit: Some((20.0, 88.4)),
    },
    Measure {
        names: &["lvef", "ef", "ejection fraction"],
        range: (1.0, 100.0),
        middle: 1000.0,
        levels: &[(0.0, 40.001, "heart failure")],
        smaller_unit: None,
    },
    // Of potassium in the blood: "vitamin K 10 mg" and "KCl 20" are no such values.
    Measure {
        names: &["k", "potassium"],
        range: (1.0, 10.0),
        middle: 4.5,
        levels: &[(1.0, 3.0, "severe hypokalemia"), (3.0, 3.5, "hypokalemia"), (5.6, 10.0, "hyperkalemia")],
        smaller_unit: None,
    },
    Measure {
        names: &["qtc", "qtcf", "qtcb", "corrected qt", "corrected qt interval", "qtc interval"],
        range: (200.0, 1000.0),
        middle: 0.0,
        levels: &[(500.0, 1000.0, "long qt syndrome")],
        smaller_unit: None,
    },
    Measure {
        names: &["hr", "heart rate", "pulse", "pulse rate", "ventricular rate"],
        range: (15.0, 300.0),
        middle: 75.0,
        levels: &[(15.0, 50.0, "sinus bradycardia")],
        smaller_unit: None,
    },
    Measure {
        names: &["sbp", "systolic", "systolic bp", "systolic blood pressure", "bp", "blood pressure"],
        range: (40.0, 300.0),
        middle: 120.0,
        levels: &[
            (40.0, 80.0, "severe hypotension"),
            (80.0, 90.0, "hypotension"),
            (180.0, 300.0, "uncontrolled hypertension"),
        ],
        smaller_unit: None,
    },
    Measure {
        names: &["dbp", "diastolic", "diastolic bp", "diastolic blood pressure"],
        range: (20.0, 200.0),
        middle: 75.0,
        levels: &[(110.0, 200.0, "uncontrolled hypertension")],
        smaller_unit: None,
    },
    Measure {
        names: &["na", "sodium"],
        range: (90.0, 200.0),
        middle: 140.0,
        levels: &[
            (90.0, 125.0, "severe hyponatremia"),
            (125.0, 135.0, "hyponatremia"),
            (146.0, 200.0, "hypernatremia"),
        ],
        smaller_unit: None,
    },
    Measure {
        names: &["platelet", "platelets", "platelet count", "plt", "plts"],
        range: (0.0, 2000.0),
        middle: 1000.0,
        levels: &[(0.0, 100.0, "thrombocytopenia")],
        smaller_unit: Some((2000.0, 1000.0)),
    },
    // In 10^9/l, or counted in a microlitre.
    Measure {
        names: &["anc", "absolute neutrophil count", "absolute neutrophils"],
        range: (0.0, 99.0),
        middle: 1000.0,
        levels: &NEUTROPHILS,
        smaller_unit: Some((30.0, 1000.0)),
    },
    // Often the share of the white cells: "neutrophils 85%".
    Measure {
        names: &["neutrophil", "neutrophils", "neut", "neuts", "neutrophil count"],
        range: (0.0, 99.0),
        middle: 1000.0,
        levels: &NEUTROPHILS,
        smaller_unit: Some((150.0, 1000.0)),
    },
    // In IU/l, of somebody who is not pregnant below 5.
    Measure {
        names: &["hcg", "bhcg", "beta hcg", "b hcg", "βhcg", "β hcg"],
        range: (0.0, 10_000_000.0),
        middle: 0.0,
        levels: &[(25.0, 10_000_000.0, "pregnancy")],
        smaller_unit: None,
    },
];

const NEUTROPHILS: [(f64, f64, &str); 2] = [(0.0, 0.5, "agranulocytosis"), (0.5, 1.5, "neutropenia")];

pub(super) const HEART_RATE: usize = 5;
pub(super) const SYSTOLIC: usize = 6;
pub(super) const DIASTOLIC: usize = 7;

/// What measures are called in Chinese, and how they are read. The longer first.
const CHINESE: [(&str, &str); 31] = [
    ("估算肾小球滤过率", "egfr"),
    ("肾小球滤过率", "egfr"),
    ("内生肌酐清除率", "crcl"),
    ("肌酐清除率", "crcl"),
    ("血清肌酐", "creatinine"),
    ("血肌酐", "creatinine"),
    ("肌酐值", "creatinine"),
    ("肌酐", "creatinine"),
    ("左心室射血分数", "lvef"),
    ("左室射血分数", "lvef"),
    ("射血分数", "lvef"),
    ("血清钾", "potassium"),
    ("血钾", "potassium"),
    ("钾离子", "potassium"),
    ("钾", "potassium"),
    ("血清钠", "sodium"),
    ("血钠", "sodium"),
    ("钠离子", "sodium"),
    ("心室率", "heart rate"),
    ("心率", "heart rate"),
    ("脉搏", "heart rate"),
    ("qtc间期", "qtc"),
    ("收缩压", "sbp"),
    ("舒张压", "dbp"),
    ("血压", "bp"),
    ("血小板计数", "platelets"),
    ("血小板", "platelets"),
    ("plt计数", "platelets"),
    ("中性粒细胞绝对值", "anc"),
    ("中性粒细胞计数", "anc"),
    ("中性粒细胞", "neutrophils"),
];
/// What may stand between such a name and its value.
const BETWEEN_CHINESE: [&str; 15] =
    ["升高至", "下降至", "升至", "降至", "低至", "高达", "达", "约", "为", "是", "仅", "值", ":", "=", "("];

/// What may stand between the name of a measure and its value, and what may stand before the name.
pub(super) const BETWEEN: [&str; 22] = [
    "of",
    "is",
    "was",
    "at",
    "now",
    "under",
    "over",
    "to",
    "down",
    "up",
    "about",
    "around",
    "approximately",
    "approx",
    "currently",
    "today",
    "ckd",
    "epi",
    "mdrd",
    "level",
    "count",
    "rate",
];
const BEFORE: [&str; 12] = [
    "quantitative",
    "urine",
    "serum",
    "plasma",
    "blood",
    "estimated",
    "calculated",
    "baseline",
    "resting",
    "current",
    "low",
    "high",
];

pub(super) const UNITS: [&str; 27] = [
    "ms", "msec", "ml", "percent", "mmol", "meq", "l", "dl", "mg", "umol", "μmol", "min", "1.73", "1.73m2",
    "m2", "bpm", "beats", "per", "mmhg", "k", "x10", "x109", "次", "分", "分钟", "升", "毫升",
];

/// Units of what is given, and not of what is measured.
pub(super) const DOSES: [&str; 7] = ["mg", "g", "mcg", "ug", "iu", "unit", "units"];

/// Names of measures that are nothing else: where a number near them is not read, something was said that is not understood.
const NOTHING_ELSE: [usize; 4] = [0, 1, 2, 4];
/// How many words are near.
const NEAR: usize = 5;

/// A measured value, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    measure: usize,
    thousandths: i64,
}

/// What a rule says of a measure: that it holds from this value on. Whoever has this very value is not told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    value: Value,
    above: bool,
}

impl Bound {
    /// Whether any of these values is beyond it.
    pub fn holds(&self, values: &[Value]) -> bool {
        let beyond = |value: &Value| match self.above {
            true => value.thousandths >= self.value.thousandths,
            false => value.thousandths <= self.value.thousandths,
        };
        values.iter().any(|value| value.measure == self.value.measure && beyond(value))
    }

    /// The conditions that a value beyond it may be.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &'static str> {
        let Measure { levels, middle, .. } = &MEASURES[self.value.measure];
        let (above, bound) = (self.above, self.value.thousandths as f64 / 1000.0);
        levels.iter().filter_map(move |&(from, to, name)| {
            let beyond = if above { to > bound && from >= *middle } else { from < bound && from < *middle };
            beyond.then_some(name)
        })
    }
}

/// A value as it stands in a text.
pub(super) struct Read {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) measure: usize,
    pub(super) value: f64,
    /// Of a range the other end.
    pub(super) other: Option<f64>,
    /// Whether the text says that it is above the value, or below it.
    pub(super) above: Option<bool>,
}

impl Read {
    /// The value; what is below a bound is at most just below it.
    pub(super) fn value(&self) -> Value {
        let value = match self.above {
            Some(true) => self.value + 0.1,
            Some(false) => self.value - 0.1,
            None => self.value,
        };
        in_thousandths(self.measure, value)
    }

    pub(super) fn condition(&self) -> Option<&'static str> {
        let value = self.value().thousandths as f64 / 1000.0;
        let levels = MEASURES[self.measure].levels.iter();
        levels.filter(|(from, to, _)| (*from..*to).contains(&value)).map(|(.., name)| *name).next()
    }

    /// What it says as a rule. A value without a word for it is a bound of what is worse.
    pub(super) fn bound(&self) -> Bound {
        let above = self.above.unwrap_or(self.value >= MEASURES[self.measure].middle);
        let values = [Some(self.value), self.other].into_iter().flatten();
        let farthest = if above { values.reduce(f64::min) } else { values.reduce(f64::max) };
        Bound { value: in_thousandths(self.measure, farthest.unwrap_or(self.value)), above }
    }
}

fn in_thousandths(measure: usize, value: f64) -> Value {
    Value { measure, thousandths: (value * 1000.0).round() as i64 }
}

impl Measure {
    /// A written number in the unit of the levels, if it can be meant.
    pub(super) fn scaled(&self, number: f64) -> Option<f64> {
        let smaller = self.smaller_unit.filter(|(from, _)| number > *from);
        let value = smaller.map_or(number, |(_, many)| number / many);
        // A fraction may be written as one, and an interval in seconds.
        let value = match value {
            part if part < 1.0 && self.range.1 == 100.0 => part * 100.0,
            part if part < 2.0 && self.range == (200.0, 1000.0) => part * 1000.0,
            value => value,
        };
        (self.range.0..=self.range.1).contains(&value).then_some(value)
    }
}

/// The measured values among the words.
pub(super) fn read(tokens: &[Token<'_>]) -> Vec<Read> {
    let mut found: Vec<Read> = Vec::new();
    for at in 0..tokens.len() {
        let Some((measure, length)) = named(tokens, at) else { continue };
        if found.iter().any(|read| read.end > at) || at > 0 && tokens[at - 1].text == "vitamin" {
            continue;
        }
        let mut end = at + length;
        let mut above = None;
        while let Some(token) = tokens.get(end).filter(|token| BETWEEN.contains(&token.text)) {
            above = match token.text {
                "under" => Some(false),
                "over" => Some(true),
                _ => above,
            };
            end += 1;
        }
        let Some(mut number) = tokens.get(end).and_then(|token| number(token.text)) else {
            // "eGFR fell from 60 to 22". A few letters may be something else.
            let later =
                if tokens[at].text.len() > 2 { further(tokens, at + length, measure) } else { Vec::new() };
            let from = found.len();
            found.extend(later);
            found.get_mut(from).into_iter().for_each(|first| first.start = at);
            continue;
        };
        let linked = |at: usize, link: Link| {
            tokens.get(at).filter(|token| token.link == link).and_then(|token| self::number(token.text))
        };
        let slash = linked(end + 1, Link::Slash);
        // "QT/QTc 400/520" gives the second number.
        if let Some(second) = slash
            && tokens[at].link == Link::Slash
            && at > 0
            && tokens[at - 1].text == "qt"
        {
            (number, end) = (second, end + 1);
        }
        let other = linked(end + 1, Link::Hyphen);
        let behind = |place: usize| tokens.get(end + place).map_or("", |token| token.text);
        let per = tokens.get(end + 2).is_some_and(|token| token.link == Link::Slash);
        let Some(value) = MEASURES[measure].scaled(number) else { continue };
        if DOSES.contains(&behind(1)) && !per {
            continue;
        }
        // Hours are counted, and heart beats are not.
        if tokens[at].text == "hr" && at > 0 && self::number(tokens[at - 1].text).is_some() {
            continue;
        }
        let pressure = measure == SYSTOLIC && slash.is_some();
        end += 1 + usize::from(other.is_some() || pressure);
        let (from, to) = (end, tokens.len());
        end += tokens[from..to].iter().take_while(|token| UNITS.contains(&token.text)).count();
        let start = at - tokens[..at].iter().rev().take_while(|token| BEFORE.contains(&token.text)).count();
        let other = other.and_then(|number| MEASURES[measure].scaled(number));
        found.push(Read { start, end, measure, value, other, above });
        let diastolic = slash.filter(|_| pressure).and_then(|number| MEASURES[DIASTOLIC].scaled(number));
        if let Some(value) = diastolic {
            found.push(Read { start, end, measure: DIASTOLIC, value, other: None, above });
        }
        found.extend(further(tokens, end, measure));
    }
    found
}

/// Whether a measure is named whose number was not read.
pub(super) fn unread(tokens: &[Token<'_>], read: &[Read], named_at: impl Fn(usize) -> bool) -> bool {
    let is_read = |at: usize| read.iter().any(|read| (read.start..read.end).contains(&at));
    (0..tokens.len()).any(|at| {
        let measure = named(tokens, at).filter(|(measure, _)| NOTHING_ELSE.contains(measure));
        // A few letters may be something else.
        let long = tokens[at].text.len() > 2;
        let number = |near: usize| !is_read(near) && number(tokens[near].text).is_some();
        measure.is_some()
            && long
            && !is_read(at)
            && !named_at(at)
            && (at + 1..tokens.len().min(at + 1 + NEAR)).any(number)
    }) || read.iter().any(|read| {
        // A later value that is not read: the one that is may be the better.
        let near = tokens.len().min(read.end + NEAR);
        let other = (read.end..near).find(|&at| named(tokens, at).is_some() || named_at(at)).unwrap_or(near);
        let value = |at: usize| {
            let unit = unit_of(tokens[at].text);
            let counts = tokens.get(at + 1).is_some_and(|next| is_time(next.text));
            let year = tokens[at].text.len() == 4 && unit.is_empty();
            number(tokens[at].text).is_some_and(|number| MEASURES[read.measure].scaled(number).is_some())
                && !is_read(at)
                && counts_nothing(tokens, at)
                && (unit.is_empty() || UNITS.contains(&unit))
                && !counts
                && !year
        };
        NOTHING_ELSE.contains(&read.measure) && (read.end..other).any(value)
    })
}

/// Whether a number is compared that belongs to no measure.
pub(super) fn compares_more(tokens: &[Token<'_>], read: &[Read]) -> bool {
    tokens.windows(2).enumerate().any(|(at, two)| {
        ["under", "over"].contains(&two[0].text)
            && number(two[1].text).is_some()
            && !read.iter().any(|read| (read.start..read.end).contains(&at))
    })
}

/// The measure that is named here, and in how many words.
pub(super) fn named(tokens: &[Token<'_>], at: usize) -> Option<(usize, usize)> {
    let spoken = |name: &str| {
        let here = tokens.get(at..).unwrap_or_default();
        let words = name.split(' ').count();
        let same = name.split(' ').zip(here).filter(|(word, token)| *word == token.text).count();
        (same == words).then_some(words)
    };
    let named = MEASURES.iter().enumerate().flat_map(|(measure, known)| {
        known.names.iter().filter_map(move |name| Some((measure, spoken(name)?)))
    });
    named.max_by_key(|(_, words)| *words)
}

/// The number with which a word begins: "25%", "520ms".
pub(super) fn number(word: &str) -> Option<f64> {
    word[..word.len() - unit_of(word).len()].parse().ok()
}

/// What stands behind that number in the word.
pub(super) fn unit_of(word: &str) -> &str {
    word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
}

/// The Chinese names of measures before a number as the English ones.
pub(super) fn in_english(text: &str) -> String {
    let mut text = text.to_owned();
    for (chinese, english) in CHINESE {
        let mut from = 0;
        while let Some(at) = text[from..].find(chinese).map(|at| from + at) {
            let end = at + chinese.len();
            let mut rest = text[end..].trim_start();
            while let Some(behind) = BETWEEN_CHINESE.iter().find_map(|word| rest.strip_prefix(word)) {
                rest = behind.trim_start();
            }
            let compared = ["under ", "over "].iter().find(|word| rest.starts_with(**word));
            let number = rest[compared.map_or(0, |word| word.len())..].trim_start();
            // "高血压 3级" is a name, and "氯化钾 10" a drug.
            let before = text[..at].chars().next_back();
            let other = match chinese {
                "钾" => before.is_some_and(super::spelling::is_ideograph),
                _ => matches!(before, Some('高' | '低')),
            };
            let measured = number.starts_with(|c: char| c.is_ascii_digit()) && !other;
            if measured {
                let until = text.len() - rest.len();
                text.replace_range(at..until, &format!(" {english} "));
            }
            from = if measured { at + english.len() + 2 } else { end };
        }
    }
    then_in_english(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminology::{Terminology, plain};

    #[test]
    fn every_measure_is_of_a_known_condition() {
        let terminology = Terminology::default();
        let levels = MEASURES.iter().flat_map(|measure| measure.levels);
        for (from, to, name) in levels {
            assert!(terminology.nodes.contains_key(&plain(name)), "{name}");
            assert!(from < to, "{name}");
        }
        assert!(MEASURES[SYSTOLIC].names.contains(&"sbp") && MEASURES[DIASTOLIC].names.contains(&"dbp"));
        assert!(CHINESE.iter().all(|(_, name)| MEASURES.iter().any(|known| known.names.contains(name))));
    }
}
