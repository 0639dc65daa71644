//! Short forms spelt out before a text is read: of denials, comparisons, results of tests, counted weeks of a pregnancy, and a
//! space between the two scripts.

use super::{later, measures};

/// What compares a number, as one word each. The longer first.
const COMPARISONS: [(&str, &str); 30] = [
    ("less than or equal to", "under"),
    ("greater than or equal to", "over"),
    ("less than", "under"),
    ("lower than", "under"),
    ("not more than", "under"),
    ("at most", "under"),
    ("up to", "under"),
    ("below", "under"),
    ("greater than", "over"),
    ("more than", "over"),
    ("higher than", "over"),
    ("at least", "over"),
    ("in excess of", "over"),
    ("exceeding", "over"),
    ("exceeds", "over"),
    ("above", "over"),
    ("小于等于", "under"),
    ("小于", "under"),
    ("低于", "under"),
    ("不足", "under"),
    ("大于等于", "over"),
    ("大于", "over"),
    ("高于", "over"),
    ("超过", "over"),
    ("≤", "under"),
    ("≦", "under"),
    ("<", "under"),
    ("≥", "over"),
    ("≧", "over"),
    (">", "over"),
];

/// Tests that say "+" for positive.
const TESTS: [&str; 10] =
    ["hcg", "upt", "ucg", "pregnancy test", "preg test", "skin test", "妊娠试验", "早孕试验", "皮试", "test"];

/// Antibodies without which somebody may have a myasthenia all the same.
const ANTIBODIES: [&str; 4] = ["achr", "musk", "lrp4", "acetylcholine receptor"];

/// The short forms in full, and a space between the two scripts.
pub(super) fn spelt_out(normal: &str) -> String {
    let text = normal
        .replace("r/o", "rule out")
        .replace("w/o", "without")
        .replace("h/o", "history of")
        .replace(" d/o", " disorder")
        .replace("n't", " not");
    let text = gravid(&compared(&later::without_arrows(&seronegative(&tested(&text)))));
    if text.is_ascii() {
        return text;
    }
    spaced(&measures::in_english(&in_weeks(&text)))
}

fn spaced(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    // Whether a word of the other script ends here that is no number alone.
    let (mut last, mut word) = (' ', false);
    for c in text.chars() {
        let latin = c.is_ascii_alphabetic();
        if is_ideograph(last) && latin || word && is_ideograph(c) {
            spaced.push(' ');
        }
        spaced.push(c);
        word = latin || word && c.is_ascii_alphanumeric();
        last = c;
    }
    spaced
}

pub(super) fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

/// Comparisons that stand before a number, as "under" and "over".
fn compared(text: &str) -> String {
    let mut text = text.to_owned();
    for (written, word) in COMPARISONS {
        let mut from = 0;
        while let Some(at) = text[from..].find(written).map(|at| from + at) {
            let end = at + written.len();
            let number = text[end..].trim_start_matches([' ', '=']);
            // "<" has always been one, whatever is behind it.
            if written == "<" || number.starts_with(|c: char| c.is_ascii_digit()) {
                let behind = text.len() - number.len();
                text.replace_range(at..behind, &format!(" {word} "));
                from = at + word.len() + 2;
            } else {
                from = end;
            }
        }
    }
    text
}

/// "HCG(+)", "hCG pos" and "+UPT" as what they say.
fn tested(text: &str) -> String {
    let mut text = text.to_owned();
    let short = if text.contains(" pos") { &TESTS[..] } else { &[] };
    for test in short {
        let end = text.find(&format!("{test} pos")).map(|at| at + test.len() + " pos".len());
        if let Some(end) = end.filter(|end| !text[*end..].starts_with(char::is_alphanumeric)) {
            text.insert_str(end, "itive");
        }
    }
    if !text.contains('+') {
        return text;
    }
    for test in TESTS {
        let positive = if test.is_ascii() { format!("{test} positive") } else { format!("{test}阳性") };
        for mark in ["(+)", " (+)", ":+", ": +", " +", "+"] {
            text = text.replace(&format!("{test}{mark}"), &positive);
        }
        for mark in ["+ ", "+"] {
            text = text.replace(&format!("{mark}{test}"), &positive);
        }
    }
    text
}

/// "AChR neg" as the one word that says so: it denies nothing.
fn seronegative(text: &str) -> String {
    let mut text = text.to_owned();
    for antibody in ANTIBODIES {
        let Some(at) = text.find(antibody) else { continue };
        let mut behind = &text[at + antibody.len()..];
        loop {
            let rest = behind.trim_start_matches([' ', '-', ':']);
            let word =
                ["antibodies", "antibody", "abs", "ab"].iter().find_map(|word| rest.strip_prefix(word));
            match word {
                Some(rest) => behind = rest,
                None => {
                    behind = rest;
                    break;
                }
            }
        }
        if let Some(rest) = ["negative", "neg"].iter().find_map(|word| behind.strip_prefix(word)) {
            let end = text.len() - rest.len();
            text.replace_range(at..end, "seronegative");
        }
    }
    text
}

/// The number with which a text begins, and what is behind it.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// What a text says behind a count of weeks, months or days that a pregnancy can have, and the number.
fn span(text: &str) -> Option<(u32, &str)> {
    let (count, behind) = number(text)?;
    let part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '.' | '-' | '/' | '~' | ' ' | '余' | '多');
    let behind = behind.trim_start_matches(part);
    let word = |unit: &str| {
        let rest = behind.strip_prefix(unit)?;
        (!unit.is_ascii() || !rest.starts_with(|c: char| c.is_ascii_alphabetic())).then_some(rest)
    };
    let most = [
        (&["周", "weeks", "week", "wks", "wk", "w"][..], 45),
        (&["个月", "月", "months", "month"], 10),
        (&["天", "日", "days", "day", "d"], 310),
    ];
    let unit = most.iter().find_map(|(units, most)| {
        let rest = units.iter().find_map(|unit| word(unit))?;
        (count <= *most).then_some(rest)
    })?;
    Some((count, unit))
}

/// A count of weeks, months or days of a pregnancy with its word: "孕12周", "孕 32 周", "孕32W", "孕5+月", "停经8周".
fn in_weeks(text: &str) -> String {
    let mut counted = text.to_owned();
    for cue in ["停经", "孕"] {
        let mut from = 0;
        while let Some(at) = counted[from..].find(cue).map(|at| from + at) {
            let end = at + cue.len();
            let rest = counted[end..].trim_start_matches([' ', '约', '第']);
            let other = ["避", "不", "备", "未", "非", "免"].iter().any(|word| counted[..at].ends_with(word));
            // Whoever has no menses for months may have none any more.
            let menses = cue == "停经"
                && ["月", "天", "日", "d"].iter().any(|unit| {
                    number(rest)
                        .is_some_and(|(_, behind)| behind.trim_start_matches(['个', ' ']).starts_with(unit))
                });
            match span(rest).filter(|_| !other && !menses) {
                Some((count, behind)) => {
                    let end = counted.len() - behind.len();
                    let said = format!("妊娠 {count}周 ");
                    counted.replace_range(at..end, &said);
                    from = at + said.len();
                }
                None => from = end,
            }
        }
    }
    counted
}

/// Notations of obstetrics: "GA 32+1", "G2P1", of which the second says that one pregnancy more has begun than has ended.
fn gravid(text: &str) -> String {
    let mut said = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let begins = !said.ends_with(|c: char| c.is_ascii_alphanumeric());
        let read = begins.then(|| gestation(rest).map(|behind| ("gestation ", behind))).flatten();
        let read = read.or_else(|| begins.then(|| begun(rest).map(|behind| ("pregnancy", behind))).flatten());
        // Of "born at 32 weeks GA" it is long ago.
        let begins = begins && !said.ends_with("born at ");
        let read = read.or_else(|| begins.then(|| aged(rest).map(|behind| ("gestation", behind))).flatten());
        match read {
            Some((word, behind)) => {
                said.push_str(word);
                rest = behind;
            }
            None => {
                said.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    said
}

/// What is behind "GA" where a gestational age follows.
fn gestation(text: &str) -> Option<&str> {
    let behind = text.strip_prefix("ega").or_else(|| text.strip_prefix("ga"))?;
    let behind = behind.trim_start_matches([' ', ':', '=']);
    let (weeks, after) = number(behind)?;
    let days = after.trim_start_matches([' ', '+']);
    let counted = after.starts_with('+') && days.starts_with(|c: char| c.is_ascii_digit());
    ((4..45).contains(&weeks) && (counted || span(behind).is_some())).then_some(behind)
}

/// What is behind "32 weeks GA", "8+2 wga".
fn aged(text: &str) -> Option<&str> {
    let (_, rest) = number(text).filter(|(weeks, _)| (3..45).contains(weeks))?;
    let rest =
        rest.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '/' | '.' | '-' | ' '));
    let unit = ["weeks", "week", "wks", "wk", "w"].iter().find_map(|unit| rest.strip_prefix(unit))?;
    let age = unit.trim_start_matches([' ', '-', ',']).trim_start_matches("of ");
    let behind = ["ega", "ga"].iter().find_map(|word| age.strip_prefix(word))?;
    (!behind.starts_with(|c: char| c.is_ascii_alphanumeric())).then_some(behind)
}

/// What is behind "G2P1" (or "G3P1011": births, preterm ones, losses, living children) where a pregnancy has not ended.
fn begun(text: &str) -> Option<&str> {
    let (gravida, rest) = number(text.strip_prefix('g')?)?;
    let rest = rest.trim_start_matches([' ', ',', '/']).strip_prefix('p')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, mut behind) = rest.split_at(end);
    let of = |digits: &str| digits.bytes().map(|digit| u32::from(digit - b'0')).sum::<u32>();
    let mut ended = match digits.len() {
        1 => of(digits),
        4 => of(&digits[..3]),
        _ => return None,
    };
    if let Some((lost, rest)) =
        behind.trim_start_matches([' ', ',', '/']).strip_prefix(['a', 'm']).and_then(number)
    {
        (ended, behind) = (ended + lost, rest);
    }
    let apart = !behind.starts_with(|c: char| c.is_ascii_alphanumeric());
    (apart && (1..20).contains(&gravida) && gravida > ended).then_some(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_spelt_out() {
        for (written, read) in [
            ("孕 32 周", "妊娠 32周 "),
            ("孕32w", "妊娠 32周 "),
            ("孕28+3周", "妊娠 28周 "),
            ("孕5+月", "妊娠 5周 "),
            ("怀孕3个月", "怀妊娠 3周 "),
            ("停经8周", "妊娠 8周 "),
            ("停经3个月", "停经3个月"),
            ("停经3年", "停经3年"),
            ("避孕3月", "避孕3月"),
            ("不孕3年", "不孕3年"),
            ("ga 32+1", "gestation 32+1"),
            ("ga 32w", "gestation 32w"),
            ("ga 32", "ga 32"),
            ("8 weeks ga", "gestation"),
            ("20 wga, well", "gestation, well"),
            ("32+1 wk ga", "gestation"),
            ("8 weeks gabapentin", "8 weeks gabapentin"),
            ("hcg pos", "hcg positive"),
            ("upt positive", "upt positive"),
            ("missed period, test +", "missed period, test positive"),
            ("egfr 60 -> 22", "egfr 60  to  22"),
            ("egfr 60→22", "egfr 60 to 22"),
            ("血钾4.0升至6.8", " potassium 4.0 to 6.8"),
            ("肌酐 90,现 600", " creatinine 90, to 600"),
            ("saga 32w", "saga 32w"),
            ("g1p0", "pregnancy"),
            ("g3p1011", "pregnancy"),
            ("g2p1a1", "g2p1a1"),
            ("g2p2", "g2p2"),
            ("g6pd", "g6pd"),
            ("hcg(+)", "hcg positive"),
            ("+upt", "upt positive"),
            ("青霉素皮试(+)", "青霉素皮试阳性"),
            ("mg, achr neg", "mg, seronegative"),
            ("achr-antibody negative", "seronegative"),
            ("qtc >= 450", "qtc  over 450"),
            ("egfr less than 30", "egfr  under 30"),
            ("lives above a shop", "lives above a shop"),
            ("qt间期", "qt 间期"),
        ] {
            assert_eq!(spelt_out(written), read, "{written}");
        }
    }
}
