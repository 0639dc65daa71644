//! Signs as a note writes them: "BP 70/40", "sats 85 % on air", "heart rate one eighty".
//!
//! A name and the number that follows it are a reading, unless the number counts something else ("60 cm"), the name is
//! part of another word ("BP cuff"), or the reading is of another time or only aimed at.

use super::index::Hit;
use super::phrases::{Clause, GAP, Read};
use super::rules::ReadingRule;

/// Units of which no sign is: a number before one counts something else.
const OTHER_UNITS: &str = "min mins minutes minute h hr hrs hour hours ms msec day days 年 月 天 小 分 个 week weeks wk wks \
    month months mo year years yr yrs yo y cm mm km kg kgs g mg mcg ml l lpm litre litres liter \
    liters lb lbs inch inches ft feet miles meters metres staff people persons patients employees \
    workers tablets tabs pills points $ € £ dollars euros st nd rd th units gauge";
/// Words of a number in words before its last, at most ("one hundred and twenty-five").
const LONGEST: usize = 5;
/// What begins a part of a clause that goes on about the sign before the comma.
const GOES_ON: [&str; 7] = ["now", "today", "currently", "then", "dropped", "down", "later"];

/// The numbers that a clause gives for a sign, in the sign's own unit. `names` are the places of its names,
/// `except` those of what means something else; `context` says which readings are past.
pub fn numbers(
    Clause { words }: &Clause,
    names: &[Hit],
    except: &[Hit],
    reading: &ReadingRule,
    context: &Read,
) -> Vec<f64> {
    let mut excepted = vec![false; if except.is_empty() { 0 } else { words.len() }];
    except.iter().for_each(|other| excepted[other.start..other.end].fill(true));
    let is_free = |name: &Hit| except.is_empty() || !excepted[name.start];
    let is_time = |name: &Hit| reading.unit != "%" && follows_a_time(words, name);
    let Some(end) = names.iter().filter(|name| !is_time(name)).map(|name| name.end).min() else {
        return Vec::new();
    };
    let free = names.iter().filter(|name| !is_time(name) && is_free(name)).map(|name| name.end).min();
    let plausible =
        |x: &f64| reading.from.is_none_or(|from| *x >= from) && reading.to.is_none_or(|to| *x <= to);
    // A number's value in the sign's unit.
    let value = |at: usize| {
        let (number, behind) = number(words, at)?;
        let value = converted(number, &words[behind..], &reading.unit).filter(plausible)?;
        (!context.is_past(at, behind)).then_some(value)
    };
    if reading.unit == "%" {
        let marked =
            (0..words.len()).filter(|at| number(words, *at).is_some_and(|(_, to)| percent(words, to)));
        let found: Vec<f64> = marked.filter_map(value).collect();
        if !found.is_empty() || !reading.bare {
            return found;
        }
    }
    // Each part of the clause that is about the sign gives one number at most.
    let is_end = |at: &usize| matches!(words[*at], "," | ")");
    let mut found = Vec::new();
    let mut part = free;
    while let Some(begin) = part {
        let stop = (begin..words.len()).find(is_end).unwrap_or(words.len());
        let mut said = begin..stop.min(begin + 2 * GAP);
        found.extend(said.find_map(value));
        let next = stop + 1;
        part = Some(next).filter(|next| words.get(*next).is_some_and(|word| GOES_ON.contains(word)));
    }
    // "Was 120/80, now 70/40": each pair is a pressure.
    let is_pair = |at: &usize| {
        let over =
            number(words, *at).map(|(_, to)| to).filter(|to| matches!(words.get(*to), Some(&"/" | &"over")));
        over.is_some_and(|over| number(words, over + 1).is_some())
    };
    if reading.unit == "mmHg" {
        let places = (end..words.len()).filter(|at| is_whole(words, *at));
        found.extend(places.filter(is_pair).filter_map(value));
    }
    found
}

/// "1 hr 30" is a time.
fn follows_a_time(words: &[&str], name: &Hit) -> bool {
    let before = name.start.checked_sub(1).and_then(|at| words[at].parse::<f64>().ok());
    let of_a_sign = name.start >= 2 && matches!(words[name.start - 2], "/" | "rr" | "resp" | "resps" | ":");
    words[name.start] == "hr" && before.is_some_and(|hours| hours <= 12.0) && !of_a_sign
}

fn percent(words: &[&str], at: usize) -> bool {
    matches!(words.get(at), Some(&"%" | &"percent"))
        || words.get(at..at + 2).is_some_and(|two| two == ["per", "cent"])
}

/// The number that stands at `at`, in digits or in words, and the place behind it.
fn number(words: &[&str], at: usize) -> Option<(f64, usize)> {
    let word = words.get(at)?;
    if word.as_bytes()[0].is_ascii_digit() {
        return Some((word.parse().ok()?, at + 1));
    }
    let (first, behind) = below_hundred(words, at)?;
    if !(1.0..=9.0).contains(&first) {
        return Some((first, behind));
    }
    if words.get(behind) == Some(&"hundred") {
        let next = behind + 1 + usize::from(words.get(behind + 1) == Some(&"and"));
        let (rest, behind) = below_hundred(words, next).unwrap_or((0.0, behind + 1));
        return Some((100.0 * first + rest, behind));
    }
    // "One eighty", "one oh five".
    let zero = usize::from(matches!(words.get(behind), Some(&"oh" | &"o")));
    match below_hundred(words, behind + zero) {
        Some((rest, behind)) if first <= 3.0 && (rest >= 10.0) != (zero > 0) => {
            Some((100.0 * first + rest, behind))
        }
        _ => Some((first, behind)),
    }
}

/// Whether what stands at `at` is no part of a number before it ("sixty" of "one sixty").
fn is_whole(words: &[&str], at: usize) -> bool {
    (at.saturating_sub(LONGEST)..at).all(|before| number(words, before).is_none_or(|(_, end)| end <= at))
}

fn below_hundred(words: &[&str], at: usize) -> Option<(f64, usize)> {
    const UNITS: [&str; 19] = [
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let unit = |at: usize| UNITS.iter().position(|unit| Some(unit) == words.get(at)).map(|unit| unit + 1);
    if let Some(unit) = unit(at) {
        return Some((unit as f64, at + 1));
    }
    let word = words.get(at)?;
    // "In the seventies".
    let is = |tens: &&str| {
        tens == word || word.strip_suffix("ies").is_some_and(|stem| tens[..tens.len() - 1] == *stem)
    };
    let tens = 10 * (TENS.iter().position(is).map(|tens| tens + 2)?);
    let next = at + 1 + usize::from(words.get(at + 1) == Some(&"-"));
    match unit(next).filter(|unit| *unit < 10) {
        Some(unit) => Some(((tens + unit) as f64, next + 1)),
        None => Some((tens as f64, at + 1)),
    }
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
        _ if next.is_some_and(|word| OTHER_UNITS.split(' ').any(|unit| unit == *word)) => None,
        "/min" if is(&["+"]) => None,
        _ => Some(number),
    }
}
