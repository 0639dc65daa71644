//! The patient's age as a note says it: "8 mo old", "3wk old", "2 mo M", "70 y/o", 出生20天. It decides by whose limits
//! the vitals are judged, where no field has it.

/// Days of a year.
const DAYS: f64 = 365.25;
/// What is old and no patient ("2 week old wound").
const THINGS: [&str; 24] = [
    "wound",
    "injury",
    "fracture",
    "fx",
    "scar",
    "laceration",
    "lac",
    "burn",
    "cut",
    "bite",
    "tattoo",
    "piercing",
    "suture",
    "sutures",
    "rash",
    "sprain",
    "bruise",
    "cast",
    "incision",
    "scab",
    "surgery",
    "stroke",
    "baby's",
    "one",
];
/// Numbers in words.
const WORDS: [&str; 12] =
    ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
const FEVER: [&str; 4] = ["fever", "fevers", "febrile", "temp"];
/// Before somebody else's age ("lives with 3 week old").
const OTHERS: [&str; 7] = ["has", "have", "with", "of", "by", "from", "and"];
/// Behind an age without "old".
const PERSONS: [&str; 15] = [
    "m",
    "f",
    "male",
    "female",
    "boy",
    "girl",
    "infant",
    "baby",
    "child",
    "newborn",
    "neonate",
    "man",
    "woman",
    "lady",
    "gentleman",
];

/// The age in years that a clause says first.
pub fn age(words: &[&str]) -> Option<f64> {
    if matches!(words.first(), Some(&"newborn" | &"neonate")) {
        return Some(0.0);
    }
    // "DOL 5", "day of life 5".
    let day = words.iter().position(|word| *word == "dol").map(|at| at + 1);
    let day =
        day.or_else(|| words.windows(3).position(|three| three == ["day", "of", "life"]).map(|at| at + 3));
    if let Some(day) = day.and_then(|at| words.get(at)?.parse::<f64>().ok()).filter(|day| *day <= 90.0) {
        return Some(day / DAYS);
    }
    (0..words.len()).find_map(|at| english(words, at).or_else(|| chinese(words, at)))
}

/// The age by which vital signs are judged where a Chinese clause says that it is of a child, and not how old: an infant's
/// past the first months, or a small child's.
pub fn of_child(words: &[&str]) -> Option<f64> {
    let says = |two: [&str; 2]| words.windows(2).any(|words| words == two);
    let infant = says(["宝", "宝"]) || says(["婴", "儿"]);
    let child = says(["孩", "子"]) || says(["小", "孩"]);
    infant.then_some(0.9).or(child.then_some(4.0))
}

fn english(words: &[&str], at: usize) -> Option<f64> {
    // "6wo", "28do" and "5w" are cut into number and unit; "five week old" is said in words.
    let in_words = || WORDS.iter().position(|word| *word == words[at]).map(|number| (number + 1) as f64);
    let number: f64 = words[at].parse().ok().or_else(in_words)?;
    if !(0.0..=120.0).contains(&number) {
        return None;
    }
    let is = |at: usize, these: &[&str]| words.get(at).is_some_and(|word| these.contains(word));
    if at > 0 && (OTHERS.contains(&words[at - 1]) || THINGS.contains(&words[at - 1])) {
        return None;
    }
    let skip = |at: usize| at + usize::from(is(at, &["-"]));
    let unit = skip(at + 1);
    let years = match *words.get(unit)? {
        "yo" | "y" | "yr" | "yrs" | "year" | "years" => 1.0,
        "mo" | "mos" | "month" | "months" | "m" => 1.0 / 12.0,
        "wo" | "w" | "wk" | "wks" | "week" | "weeks" => 7.0 / DAYS,
        "do" | "d" | "day" | "days" => 1.0 / DAYS,
        _ => return None,
    };
    let next = skip(unit + 1);
    let slashed = is(unit + 1, &["/"]) && is(unit + 2, &["o"]) && words[unit].len() == 1;
    let fever = |at: usize| is(at, &FEVER);
    let of_fever = at > 0 && fever(at - 1) || at > 1 && fever(at - 2) && is(at - 1, &[",", "in"]);
    // In "6 w/o fever" the weeks are as likely as what is without fever.
    let slash_old = slashed && (words[unit] != "w" || of_fever);
    // "Fever 1mo", "fever 5 wks": how old, where nothing says that the fever is so old ("fever for 5 days").
    let glued = words[at].as_ptr() as usize + words[at].len() == words[unit].as_ptr() as usize;
    let is_young = matches!(words[unit], "mo" | "mos" | "do") && glued || matches!(words[unit], "wk" | "wks");
    let short = matches!(words[unit], "yo" | "wo") || words[unit] == "do" && glued || of_fever && is_young;
    let old = is(next, &["old", "olds"]) && !is(next + 1, &THINGS);
    // "3 wk f/u" is no girl.
    let person = (words[unit].len() > 1 || glued) && is(next, &PERSONS) && !is(next + 1, &["/"]);
    (slash_old || short || old || person).then_some(number * years)
}

/// How words for a child begin.
const CHILDREN: [&str; 5] = ["宝", "婴", "孩", "娃", "儿"];

/// "两个月宝宝", "出生20天", "3岁".
fn chinese(words: &[&str], at: usize) -> Option<f64> {
    const NUMERALS: [&str; 11] = ["零", "一", "二", "三", "四", "五", "六", "七", "八", "九", "十"];
    let word = words[at];
    // "满月宝宝": one month old.
    if word == "满" && words.get(at + 1) == Some(&"月") && CHILDREN.contains(words.get(at + 2)?) {
        return Some(1.0 / 12.0);
    }
    let numeral = || NUMERALS.iter().position(|numeral| *numeral == word).map(|number| number as f64);
    let number = word.parse().ok().or_else(|| if word == "两" { Some(2.0) } else { numeral() })?;
    let is = |at: usize, text: &str| {
        text.chars()
            .enumerate()
            .all(|(place, c)| words.get(at + place).is_some_and(|word| word.chars().eq([c])))
    };
    let follows = |texts: &[&str]| {
        texts.iter().any(|text| at.checked_sub(text.chars().count()).is_some_and(|from| is(from, text)))
    };
    let (unit, years) = match *words.get(at + 1)? {
        "岁" => return Some(number),
        "个" if is(at + 2, "月") => (at + 3, 1.0 / 12.0),
        "月" if is(at + 2, "龄") => return Some(number / 12.0),
        "天" => (at + 2, 1.0 / DAYS),
        _ => return None,
    };
    let of = unit + usize::from(is(unit, "的"));
    // "这两天宝宝": how long, not how old.
    let is_span =
        at > 0 && matches!(words[at - 1], "这" | "近" | "前" | "后" | "了" | "烧" | "连" | "有" | "第");
    let of_child = !is_span && ["宝", "婴", "新生儿", "大的", "大宝"].iter().any(|text| is(of, text))
        || is(unit, "大") && !is(unit, "大便") && !is(unit, "大出") && !is(unit, "大量");
    let born = follows(&["出生", "生后", "出生才", "出生了"]);
    let child = years > 0.01 && follows(&["宝宝", "婴儿", "新生儿"]);
    (of_child || born || child).then_some(number * years)
}
