//! Signs as a note writes them: "BP 70/40", "sats 85 % on air", "heart rate one eighty".
//!
//! A name and the number that follows it are a reading, unless the number counts something else ("60 cm"), the name is
//! part of another word ("BP cuff"), or the reading is of another time or only aimed at.

use super::context::Read;
use super::index::Hit;
use super::phrases::{Clause, GAP};
use super::rules::ReadingRule;

/// Units of which no sign is: a number before one counts something else.
const OTHER_UNITS: &str = "min mins minutes minute h hr hrs hour hours ms msec day days 年 月 天 小 分 个 万 week weeks wk wks \
    month months mo year years yr yrs yo y cm mm km kg kgs g mg mcg ml l lpm litre litres liter \
    liters lb lbs inch inches ft feet miles meters metres staff people persons patients employees \
    workers tablets tabs pills points $ € £ dollars euros st nd rd th units gauge page pages form forms degree degrees times fingers toes \
    公 斤 岁 厘 米 片 粒 颗 块 元 支 层 楼 号 秒 周 星";
/// What may stand between a name and its number where they belong together.
const BETWEEN: [&str; 52] = [
    "in", "blood", "serum", "plasma", "or", "arterial", "venous", "value", "*", "!", "h", "l", "hh", "ll",
    ".", "→", ":", "=", "-", ">", "<", "~", "≥", "≤", "@", "+", "is", "was", "of", "at", "to", "level",
    "now", "around", "about", "read", "reading", "reads", "为", "是", "dropped", "fell", "down", "only",
    "today", "高", "达", "仅", "只", "约", "烧", "测",
];
/// What may stand between a number and its unit.
const MARKS: [&str; 14] = ["(", "[", "h", "l", "hh", "ll", "!", "*", "-", "~", "to", "至", "到", "↓"];
/// Words of a number in words before its last, at most ("one hundred and twenty-five").
const LONGEST: usize = 5;
/// Most words of what is in brackets between a name and its number ("SpO2 (RA): 74", "Pulse (!) 190").
const BRACKETED: usize = 4;
/// What begins a part of a clause that goes on about the sign before the comma.
const GOES_ON: [&str; 7] = ["now", "today", "currently", "then", "dropped", "down", "later"];

/// What leads on from a number to a later one of the same sign.
const LEADS_ON: [&str; 17] = [
    "→", "then", "now", "to", "later", "up", "down", "dropped", "fell", "rose", "再", "后", "现", "降", "升",
    "至", "到",
];
/// What may stand beside that, and says nothing of it by itself: "BP 120-80" is one pressure.
const JOINS: [&str; 5] = ["-", ">", ",", "and", "from"];

/// Where what a reading is known by stands in a clause.
pub struct Places<'h> {
    /// Its names.
    pub names: &'h [Hit],
    /// What comes behind a number without a name.
    pub behind: &'h [Hit],
    /// What holds a name and means something else.
    pub except: &'h [Hit],
    /// Its units as they are written, in the order of the rule.
    pub units: Vec<&'h [Hit]>,
    /// Numbers at the name of a sign, which are of no other ("BP stable HR 60").
    pub claims: &'h [(&'h str, usize)],
}

/// The places of the numbers that stand at a name, but for signs, where it means nothing else.
pub fn claimed<'h>(
    Clause { words }: &'h Clause,
    names: &'h [Hit],
    except: &'h [Hit],
) -> impl Iterator<Item = usize> + 'h {
    let holds = |other: &Hit, at: usize| (other.start..other.end).contains(&at);
    let free = names.iter().filter(move |name| !except.iter().any(|other| holds(other, name.start)));
    free.filter_map(|name| behind_signs(words, name.end))
}

/// The numbers that a clause gives for a sign, in the sign's own unit. `context` says which readings are past.
pub fn numbers(
    Clause { words }: &Clause,
    places: &Places,
    reading: &ReadingRule,
    context: &Read,
) -> Vec<f64> {
    let Places { names, behind, except, units, claims } = places;
    let mut excepted = vec![false; if except.is_empty() { 0 } else { words.len() }];
    except.iter().for_each(|other| excepted[other.start..other.end].fill(true));
    let is_free = |at: usize| except.is_empty() || !excepted[at];
    let is_others = |at: usize| {
        let mut signs = claims.iter().filter(|(_, place)| *place == at).map(|(sign, _)| *sign).peekable();
        signs.peek().is_some() && signs.all(|sign| sign != reading.sign)
    };
    // A number in the sign's unit.
    let in_unit = |number: f64, at: usize, end: usize| {
        if reading.unit != "%" && percent(words, end) {
            return None;
        }
        let value = match written(words, at, end, units) {
            Some(unit) => reading.units[unit].converted(number),
            None => converted(number, &words[end..], reading)?,
        };
        let plausible =
            reading.from.is_none_or(|from| value >= from) && reading.to.is_none_or(|to| value <= to);
        (plausible && !context.is_past(at, end)).then_some(value)
    };
    let value = |at: usize| {
        let (number, end) = number(words, at)?;
        // No other sign's number is one of a pressure ("BP/HR: 120/80, 72").
        let of_pressure = || is_pressure(words, at) || at >= 2 && is_pressure(words, at - 2);
        (reading.unit == "mmHg" || !of_pressure()).then(|| in_unit(number, at, end))?
    };
    if let Some(sum) = components(words, names).filter(|_| reading.components) {
        return vec![sum];
    }
    let own = |at: usize| if is_others(at) { None } else { value(at) };
    let mut found = by_name(words, names, reading, &is_free, &own);
    if reading.under {
        let under = (2..words.len()).filter(|at| is_free(*at) && is_pressure(words, at - 2));
        found.extend(under.filter_map(value));
    }
    // "RR44": a name and its number in one word.
    for at in (0..words.len()).filter(|at| is_free(*at)) {
        let word = words[at];
        if !word.as_bytes()[0].is_ascii_alphabetic() || !word.ends_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let digits = reading.names.iter().filter_map(|name| word.strip_prefix(name.as_str()));
        let mut number = digits.filter(|digits| digits.as_bytes().first().is_some_and(u8::is_ascii_digit));
        let number = number.find_map(|digits| digits.parse().ok());
        found.extend(number.and_then(|number| in_unit(number, at, at + 1)));
    }
    // "78 % on room air".
    for hit in *behind {
        let sign = usize::from(hit.start > 0 && percent(words, hit.start - 1));
        found.extend((hit.start - sign).checked_sub(1).filter(|at| is_free(*at)).and_then(value));
    }
    if reading.pairs {
        let pressures = (0..words.len()).filter(|at| is_free(*at) && is_pressure(words, *at));
        found.extend(pressures.filter_map(value));
    }
    found
}

/// The numbers that follow a name.
fn by_name(
    words: &[&str],
    names: &[Hit],
    reading: &ReadingRule,
    is_free: &dyn Fn(usize) -> bool,
    value: &dyn Fn(usize) -> Option<f64>,
) -> Vec<f64> {
    let is_time = |name: &Hit| reading.unit != "%" && follows_a_time(words, name);
    let Some(end) = names.iter().filter(|name| !is_time(name)).map(|name| name.end).min() else {
        return Vec::new();
    };
    let free = names.iter().filter(|name| !is_time(name) && is_free(name.start));
    if reading.adjacent {
        let number = |name: &Hit| {
            let at = behind_signs(words, name.end);
            at.and_then(value)
                .into_iter()
                .chain(at.into_iter().flat_map(|at| changes(words, at).filter_map(value)))
        };
        return free.flat_map(number).collect();
    }
    let free = free.map(|name| name.end).min();
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
        let begin = behind_brackets(words, begin);
        let stop = (begin..words.len()).find(is_end).unwrap_or(words.len());
        let mut said = begin..stop.min(begin + 2 * GAP);
        if let Some(at) = said.find(|at| value(*at).is_some()) {
            found.extend(value(at));
            found.extend(changes(words, at).filter_map(value));
        }
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

/// The place behind what may stand between a name and its number.
fn behind_signs(words: &[&str], from: usize) -> Option<usize> {
    let mut at = from;
    while at < words.len().min(from + 3 * GAP) {
        match behind_brackets(words, at) {
            behind if behind > at => at = behind,
            _ if BETWEEN.contains(&words[at]) => at += 1,
            _ => return Some(at),
        }
    }
    None
}

/// The place behind a few words in brackets, or the same place.
fn behind_brackets(words: &[&str], at: usize) -> usize {
    if !matches!(words.get(at), Some(&"(" | &"[")) {
        return at;
    }
    let most = words.len().min(at + BRACKETED + 2);
    let close = (at + 1..most).find(|at| matches!(words[*at], ")" | "]"));
    // "(74)" is the number itself.
    let close = close.filter(|close| (at + 1..*close).all(|at| number(words, at).is_none()));
    close.map_or(at, |close| close + 1)
}

/// The places of the numbers to which one changes: "HR 120 -> 190", "glucose 450 then 38", "血糖 25 降至 2.1".
fn changes<'w>(words: &'w [&str], mut at: usize) -> impl Iterator<Item = usize> + 'w {
    std::iter::from_fn(move || {
        let (_, end) = number(words, at)?;
        let end = end + usize::from(percent(words, end));
        let between = words[end..].iter().take(2 * GAP);
        at = end + between.take_while(|word| LEADS_ON.contains(word) || JOINS.contains(word)).count();
        let between = &words[end..at];
        (between.starts_with(&["-", ">"]) || between.iter().any(|word| LEADS_ON.contains(word))).then_some(at)
    })
}

/// The sum of a scale's parts: "GCS E2 V2 M3", "GCS E2V2M3", "GCS 4 5 6", "GCS 2-2-3".
fn components(words: &[&str], names: &[Hit]) -> Option<f64> {
    let name = names.iter().map(|name| name.end).min()?;
    let near = words[name..]
        .iter()
        .take(4 * GAP)
        .filter(|word| !matches!(**word, ":" | "-" | "=" | "(" | "+" | ","));
    // "GCS 14" is no part.
    let parts: String =
        near.take_while(|word| word.len() == 1 || word.starts_with(['e', 'v', 'm'])).copied().collect();
    let mut parts = parts.chars();
    let mut sum = 0;
    for letter in ['e', 'v', 'm'] {
        let first = parts.next()?;
        let digit = if first == letter { parts.next()? } else { first };
        sum += digit.to_digit(10).filter(|part| (1..=6).contains(part))?;
    }
    Some(f64::from(sum))
}

/// Whether two numbers that stand alone are a pressure: no date, dose or share, which have smaller numbers, or the
/// greater behind.
fn is_pressure(words: &[&str], at: usize) -> bool {
    let number = |at: usize| {
        let digits = words.get(at).filter(|word| word.len() >= 2 && word.bytes().all(|b| b.is_ascii_digit()));
        digits.and_then(|word| word.parse::<i32>().ok())
    };
    let is_stroke = |at: Option<usize>| at.and_then(|at| words.get(at)) == Some(&"/");
    let (Some(over), Some(under)) = (number(at), number(at + 2)) else { return false };
    let alone = is_stroke(Some(at + 1)) && !is_stroke(at.checked_sub(1)) && !is_stroke(Some(at + 3));
    let counts = words.get(at + 3).is_some_and(|word| OTHER_UNITS.split(' ').any(|unit| unit == *word));
    alone
        && !counts
        && (40..=280).contains(&over)
        && (20..=180).contains(&under)
        && (10..=130).contains(&(over - under))
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
    if word.trim_start_matches('.').as_bytes().first().is_some_and(u8::is_ascii_digit) {
        let number: f64 = word.trim_end_matches("'s").replace(',', ".").parse().ok()?;
        // "7o/40": a letter for a nought.
        let nought = matches!(words.get(at + 1), Some(&"o")) && matches!(words.get(at + 2), Some(&"/"));
        return Some(if nought { (10.0 * number, at + 2) } else { (number, at + 1) });
    }
    if let Some(number) = chinese(words, at) {
        return Some(number);
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

/// A number in Chinese words, of two characters or more: 七十, 一百八, 四十一点五; of 七十四十 the first, and of 七八十 the lesser.
fn chinese(words: &[&str], at: usize) -> Option<(f64, usize)> {
    const DIGITS: [&str; 10] = ["零", "一", "二", "三", "四", "五", "六", "七", "八", "九"];
    let digit = |at: usize| -> Option<f64> {
        let word = if words.get(at) == Some(&"两") { "二" } else { words.get(at)? };
        DIGITS.iter().position(|digit| *digit == word).map(|digit| digit as f64)
    };
    let is = |at: usize, word: &str| words.get(at) == Some(&word);
    let mut end = at;
    let mut value = 0.0;
    if let Some(hundreds) = digit(end).filter(|_| is(end + 1, "百")) {
        (value, end) = (100.0 * hundreds, end + 2);
        end += usize::from(is(end, "零"));
    }
    let hundreds = end > at;
    // 七八十 is more than 七十.
    let about = digit(end).is_some() && digit(end + 1).is_some() && is(end + 2, "十");
    let ten = if about { end + 2 } else { end + usize::from(digit(end).is_some()) };
    if is(ten, "十") && !(hundreds && ten == end && is(end - 1, "零")) {
        value += 10.0 * digit(end).unwrap_or(1.0);
        end = ten + 1;
        if let Some(units) = digit(end).filter(|_| !is(end + 1, "十") && !is(end + 1, "百")) {
            (value, end) = (value + units, end + 1);
        }
    } else if let Some(units) = digit(end) {
        // 一百八 is 180, and 一百零八 is 108.
        let tens = hundreds && !is(end - 1, "零");
        (value, end) = (value + if tens { 10.0 * units } else { units }, end + 1);
    }
    if is(end, "点")
        && let Some(tenths) = digit(end + 1)
    {
        (value, end) = (value + tenths / 10.0, end + 2);
    }
    (end >= at + 2).then_some((value, end))
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

/// Which unit is written with the number that stands from `at` to `end`: closely behind it ("30 mg/dl", "33 H mmol/L",
/// "30-40 (mg/dl)"), else before it ("(mg/dl): 30").
fn written(words: &[&str], at: usize, end: usize, units: &[&[Hit]]) -> Option<usize> {
    let all = || units.iter().enumerate().flat_map(|(unit, hits)| hits.iter().map(move |hit| (unit, hit)));
    let skips = |words: &[&str]| {
        let is_number = |word: &str| word.as_bytes()[0].is_ascii_digit();
        words.iter().all(|word| MARKS.contains(word) || is_number(word))
    };
    let behind = all().filter(|(_, hit)| hit.start >= end && hit.start - end <= GAP);
    let behind = behind.filter(|(_, hit)| skips(&words[end..hit.start]));
    let behind = behind.min_by_key(|(_, hit)| (hit.start, words.len() - hit.end));
    let joins =
        |words: &[&str]| words.iter().all(|word| BETWEEN.contains(word) || matches!(*word, ")" | "]"));
    let before = || {
        let before = all().filter(|(_, hit)| hit.end <= at && at - hit.end <= GAP);
        before.filter(|(_, hit)| joins(&words[hit.end..at])).max_by_key(|(_, hit)| (hit.end, at - hit.start))
    };
    behind.or_else(before).map(|(unit, _)| unit)
}

/// A number in a sign's unit by the words behind it; none where they make it another quantity.
fn converted(number: f64, behind: &[&str], reading: &ReadingRule) -> Option<f64> {
    let unit = reading.unit.as_str();
    let near = &behind[..behind.len().min(4)];
    let next = near.iter().find(|word| !matches!(**word, "°" | "º" | "deg" | "degrees" | "'" | "多" | "余"));
    let is = |units: &[&str]| next.is_some_and(|word| units.contains(word));
    // "K 7.4 H" is high and no hour.
    if near.first() == Some(&"h") && near.get(1).is_none_or(|word| !word.starts_with(char::is_alphabetic)) {
        return converted(number, &[], reading);
    }
    // "38 mg/dl" is no weight.
    let is_share = near.get(1) == Some(&"/") && unit.contains('/') && unit != "/min";
    match unit {
        // "BP 60 HR 120".
        "mmHg" if near.first() == Some(&"hr") && self::number(behind, 1).is_some() => Some(number),
        "°C" if is(&["f", "℉", "°f", "fahrenheit"]) => Some((number - 32.0) / 1.8),
        // Nobody has 86 °C, and a body of 30 to 45 °C is 86 to 113 °F.
        "°C" if (86.0..=113.0).contains(&number) && !is(&["c", "℃", "celsius"]) => {
            Some((number - 32.0) / 1.8)
        }
        "mmHg" if near.contains(&"kpa") => Some(number * 7.500_62),
        // Millimetres of mercury, and UCUM's "mm[Hg]".
        "mmHg" if near.starts_with(&["mm", "hg"]) || near.starts_with(&["mm", "[", "hg"]) => Some(number),
        _ if !is_share && next.is_some_and(|word| OTHER_UNITS.split(' ').any(|unit| unit == *word)) => None,
        "/min" if is(&["+"]) => None,
        _ => {
            let other = reading.units.iter().find(|unit| unit.has_size(number));
            Some(other.map_or(number, |unit| unit.converted(number)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::chinese;

    #[test]
    fn numbers_in_chinese_words_are_read() {
        for (text, wanted) in [
            ("七十四十", Some((70.0, 2))),
            ("七八十", Some((70.0, 3))),
            ("一百八", Some((180.0, 3))),
            ("一百零八", Some((108.0, 4))),
            ("一百二十", Some((120.0, 4))),
            ("二百", Some((200.0, 2))),
            ("四十一点五", Some((41.5, 5))),
            ("一点八", Some((1.8, 3))),
            ("十二", Some((12.0, 2))),
            ("三十", Some((30.0, 2))),
            ("一直", None),
            ("一", None),
        ] {
            let words: Vec<String> = text.chars().map(String::from).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert_eq!(chinese(&words, 0), wanted, "{text}");
        }
    }
}
