//! The known names in a text, whatever stands beside them, each with whether it is denied: of conditions, and of drugs among
//! conditions. In Chinese, where no space stands between words, names are taken out first: the "不" of "肾功能不全" denies
//! nothing.

use super::belonging::ALLERGIC_DISEASES;
use super::course::ends;
use super::cues::Why;
use super::later;
use super::measures::{self, Value};
use super::mentions::LONGEST;
use super::said::{Judged, Mention, Token, judge, tokens};
use super::spelling::spelt_out;
use super::{Field, Key, Meaning, Terminology, normal, stages, titles};

/// What stands directly before a name in Chinese and denies it, the longer first.
const BEFORE_ZH: [&str; 16] = [
    "没有",
    "否认",
    "并非",
    "不是",
    "未见",
    "未发现",
    "未患",
    "未诊断",
    "排除",
    "预防",
    "筛查",
    "无",
    "非",
    "未",
    "家族史:",
    "家族史",
];
/// What makes that no denial: "cannot be ruled out".
const OPEN_ZH: [&str; 6] = ["不", "未", "待", "不能", "无法", "有"];
/// What may stand between.
const BETWEEN_ZH: [&str; 14] =
    ["明显", "明确", "任何", "既往", "已知", "患有", "曾患", "死于", "有", "患", "曾", "见", "的", "因"];
const RELATIVES_ZH: [&str; 22] = [
    "母亲", "父亲", "父母", "兄弟", "姐妹", "哥哥", "弟弟", "姐姐", "妹妹", "祖父", "祖母", "爷爷", "奶奶",
    "丈夫", "妻子", "儿子", "女儿", "叔叔", "姑姑", "舅舅", "亲属", "家族",
];
/// What stands directly behind a name and denies it.
const BEHIND_ZH: [&str; 9] = ["家族史", "家族病史", "疫苗", "预防", "筛查", "已排除", "排除", "除外", "阴性"];
/// The same of what is over then, and of what is none where it is normal.
const OVER_ZH: [&str; 6] = ["已治愈", "已痊愈", "已缓解", "已恢复", "治愈", "痊愈"];
const AGAIN_ZH: [&str; 3] = ["复发", "再发", "反复"];
const NORMAL_ZH: &str = "正常";
/// What may stand between a name and that.
const TESTED_ZH: [&str; 10] = ["皮试", "试验", "检测", "测试", "表面", "核心", "抗体", "抗原", "结果", ":"];
const TESTS_ZH: [&str; 3] = ["试验", "检测", "测试"];
/// Words of few letters that mean many things.
const AMBIGUOUS: [&str; 13] =
    ["hit", "rad", "nerd", "aps", "ega", "pih", "iph", "prom", "edd", "psc", "pbc", "hcc", "nursing"];
/// What joins names that are denied together.
const JOINS_ZH: [&str; 7] = ["、", "或", "和", "及", "与", "/", "以及"];

/// What behind the name of a drug speaks of something else: "vitamin D deficiency", "insulin resistance".
const NOT_TAKEN: [&str; 20] = [
    "deficiency",
    "deficient",
    "resistance",
    "resistant",
    "overload",
    "toxicity",
    "poisoning",
    "overdose",
    "abuse",
    "withdrawal",
    "level",
    "levels",
    "receptor",
    "receptors",
    "dependence",
    "disorder",
    "misuse",
    "addiction",
    "sensitive",
    "positive",
];

/// What before the name of a drug says that it is taken, what may stand between, and what says so behind it.
const TAKES: [&str; 22] = [
    "on",
    "taking",
    "takes",
    "took",
    "using",
    "uses",
    "use",
    "receiving",
    "receives",
    "prescribed",
    "started",
    "starts",
    "starting",
    "start",
    "continues",
    "continue",
    "given",
    "treated",
    "anticoagulated",
    "maintained",
    "carries",
    "resumed",
];
const BEFORE_TAKEN: [&str; 18] = [
    "chronic",
    "long",
    "term",
    "current",
    "currently",
    "daily",
    "oral",
    "high",
    "low",
    "dose",
    "of",
    "the",
    "a",
    "his",
    "her",
    "with",
    "systemic",
    "inhaled",
];
const TAKEN: [&str; 7] = ["therapy", "treatment", "use", "user", "prophylaxis", "replacement", "infusion"];

/// A text as far as it was read.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) found: Vec<Found>,
    /// Whether words are left that nobody knows, or a denial beside something that counts.
    pub(super) left: bool,
    /// Whether a few letters that may be the name of a condition stand beside words that nobody knows.
    pub(super) unsure: bool,
    /// The words that belong to no name of a condition.
    pub(super) words: Vec<String>,
    /// The measured values in it.
    pub(super) values: Vec<Value>,
}

/// A known name.
pub(super) struct Found {
    pub(super) names: Vec<Key>,
    pub(super) drug: bool,
    pub(super) denied: bool,
    /// Whether the words directly around it say that it is taken.
    pub(super) taken: bool,
}

impl Reading {
    /// What of it counts.
    pub(super) fn counted(&self, drug: bool) -> impl Iterator<Item = &Found> {
        self.found.iter().filter(move |found| found.drug == drug && !found.denied)
    }
}

impl Terminology {
    /// Reads normalised words. With `drugs`, names of drugs count as names, too; `silent` tells words that say nothing.
    pub(super) fn read(&self, normal: &str, drugs: bool, silent: impl Fn(&str) -> bool) -> Reading {
        let text = spelt_out(&stages::in_terms(normal));
        let (text, found) = self.without_unspaced(&text, drugs);
        let mut reading = Reading { found, ..Reading::default() };
        for clause in later::clauses(&text) {
            self.read_clause(&clause, drugs, &silent, &mut reading);
        }
        reading
    }

    fn read_clause(&self, clause: &str, drugs: bool, silent: &impl Fn(&str) -> bool, reading: &mut Reading) {
        let tokens = tokens(clause);
        let measured = measures::read(&tokens);
        let (mut mentions, non) = self.mentions(&tokens, &measured, drugs);
        let short = |mention: &Mention<Vec<Key>>| {
            let text = tokens[mention.start].text;
            // A value that was read is no name.
            let few = text.len() < 3 && !text.starts_with(|c: char| c.is_ascii_digit());
            mention.end == mention.start + 1 && (few || AMBIGUOUS.contains(&text))
        };
        let Judged { covered, open } = judge(&tokens, &mut mentions);
        let narrowing = self.narrower.narrow(&tokens, &mut mentions);
        let mut open = open;
        let named = |at: usize| mentions.iter().find(|mention| (mention.start..mention.end).contains(&at));
        let value = |at: usize| measured.iter().any(|read| (read.start..read.end).contains(&at));
        for (at, token) in tokens.iter().enumerate() {
            let name = named(at);
            let next = tokens.get(at + 1);
            let disease = next.is_some_and(|next| ALLERGIC_DISEASES.contains(&next.text));
            if name.is_none_or(|name| name.drug)
                && !(disease && ["allergic", "hypersensitivity"].contains(&token.text))
            {
                reading.words.push(token.text.to_owned());
            }
            let read = covered[at] || narrowing[at] || value(at) || silent(token.text);
            open |= name.is_none() && (non[at] || !read);
        }
        reading.values.extend(measured.iter().map(measures::Read::value));
        if !drugs && measures::unread(&tokens, &measured, |at| named(at).is_some()) {
            (reading.unsure, open) = (true, true);
        }
        for mention in &mentions {
            // A few letters mean too many things beside words that nobody knows.
            if short(mention) && open {
                reading.unsure |= !mention.drug && mention.denied.is_none();
                continue;
            }
            let taken = mention.drug && self.is_taken(&tokens, mention);
            reading.found.push(Found {
                names: mention.names.clone(),
                drug: mention.drug,
                denied: mention.denied.is_some(),
                taken,
            });
        }
        reading.left |= open;
    }

    /// The names among the words, and the words that a "non" takes out: of "non-ischemic cardiomyopathy" the first alone.
    fn mentions(
        &self,
        tokens: &[Token<'_>],
        measured: &[measures::Read],
        drugs: bool,
    ) -> (Vec<Mention<Vec<Key>>>, Vec<bool>) {
        let mut mentions = Vec::new();
        let mut non = vec![false; tokens.len()];
        let failing = tokens.windows(2).any(|two| two[0].text == "respiratory" && two[1].text == "failure");
        let mut at = 0;
        while at < tokens.len() {
            let most = if self.may_begin(tokens[at].text) { LONGEST.min(tokens.len() - at) } else { 1 };
            let named = (1..=most).rev().find_map(|n| {
                let words: Vec<&str> = tokens[at..at + n].iter().map(|token| token.text).collect();
                // Whose lungs fail has no kidneys that do.
                let name = words.join(" ");
                let number = |at: usize| {
                    tokens.get(at).is_some_and(|next| next.text.starts_with(|c: char| c.is_ascii_digit()))
                };
                // "Mg 1.8" is magnesium.
                let is_illness = name == "mg" && !drugs && !is_counted(tokens, at) && !number(at + 1);
                let illness = || is_illness.then(|| self.lookup("mg"))?;
                let named = self.named_here(&name, drugs).or_else(|| Some((illness()?.to_vec(), false)));
                let (names, drug) = named.filter(|_| !(failing && name == "arf"))?;
                Some((n, names, drug))
            });
            let Some((n, names, drug)) = named else {
                if tokens[at].text == "non" && at + 1 < tokens.len() && tokens[at + 1].part == tokens[at].part
                {
                    let next = self.named_here(tokens[at + 1].text, drugs);
                    match next {
                        Some((names, drug)) => mentions.push(Mention {
                            start: at,
                            end: at + 2,
                            passes: false,
                            ends: false,
                            names,
                            drug,
                            denied: Some(Why::Denied),
                        }),
                        None => non[at + 1] = true,
                    }
                    at += 1;
                }
                at += 1;
                continue;
            };
            let passes = self.passes(&names);
            let next = |after: usize| tokens.get(at + n + after).map_or("", |next| next.text);
            let of_body = NOT_TAKEN.contains(&next(0)) || next(0) == "use" && next(1) == "disorder";
            if !(drug && of_body) {
                let ends = ends(&names);
                mentions.push(Mention { start: at, end: at + n, names, drug, passes, ends, denied: None });
            }
            at += n;
        }
        let values = measured.iter().filter_map(|read| Some((read.start, read.end, read.condition()?)));
        for (start, end, name) in titles::found(tokens).into_iter().chain(values) {
            let key = Key::from(name);
            // Part of a longer name says no more than that.
            let within = |mention: &Mention<Vec<Key>>| {
                let same = mention.names.contains(&key) && mention.start < end && start < mention.end;
                !mention.drug && (same || mention.start <= start && end <= mention.end)
            };
            if !mentions.iter().any(within) && self.nodes.contains_key(&key) {
                let names = vec![key];
                let passes = self.passes(&names);
                let ends = ends(&names);
                mentions.push(Mention { start, end, names, drug: false, passes, ends, denied: None });
            }
        }
        mentions.sort_by_key(|mention| (mention.start, mention.end));
        (mentions, non)
    }

    /// What these words name: a condition, or else a drug where those count.
    fn named_here(&self, name: &str, drugs: bool) -> Option<(Vec<Key>, bool)> {
        let names = self.lookup(name)?;
        let of = |field: Field| {
            names.iter().filter(|name| self.admits(field, name)).cloned().collect::<Vec<Key>>()
        };
        // Words for none name nothing here.
        let something = |keys: &Vec<Key>| {
            keys.iter().any(|key| self.nodes.get(key).is_some_and(|node| node.kind != super::TermKind::None))
        };
        let unit = normal::is_dose_word(name);
        let conditions = of(Field::Condition);
        if something(&conditions) && !unit {
            return Some((conditions, false));
        }
        let dose = unit || normal::is_salt(name) || !name.starts_with(char::is_alphabetic);
        let drugs = if drugs && name.len() > 2 && !dose { of(Field::Allergy) } else { Vec::new() };
        something(&drugs).then_some((drugs, true))
    }

    /// Whether these are a pregnancy, or what goes with one and is over when it is.
    fn passes(&self, names: &[Key]) -> bool {
        let mut meaning = Meaning::default();
        names.iter().for_each(|name| self.explain(name, &mut meaning));
        meaning.broader.contains("pregnancy")
    }

    /// Takes the names without spaces between words out of a text, judged by what stands around them.
    fn without_unspaced(&self, normal: &str, drugs: bool) -> (String, Vec<Found>) {
        if normal.is_ascii() {
            return (normal.to_owned(), Vec::new());
        }
        let mut places: Vec<(usize, usize, &str)> = Vec::new();
        // The longest first: a shorter name within it is none.
        for name in self.unspaced.iter().filter(|name| normal.contains(name.as_ref())) {
            for (start, _) in normal.match_indices(name.as_ref()) {
                let end = start + name.len();
                if places.iter().all(|&(from, to, _)| end <= from || to <= start) {
                    places.push((start, end, name));
                }
            }
        }
        places.sort_unstable();
        let (mut found, mut rest): (Vec<Found>, String) = (Vec::new(), String::new());
        let mut until = 0;
        // From which of the found ones on names are joined to the next, and the last place.
        let mut joined = 0;
        for (at, &(start, end, name)) in places.iter().enumerate() {
            let between = &normal[until..start];
            let behind = &normal[end..places.get(at + 1).map_or(normal.len(), |next| next.0)];
            let chained = !found.is_empty() && JOINS_ZH.contains(&between.trim());
            if !chained {
                joined = found.len();
            }
            until = end;
            let (mut names, drug) = self.named_here(name, true).unwrap_or_default();
            let passes = self.passes(&names);
            let (behind_text, cue_behind) =
                (behind.trim_start(), denied_behind(behind, passes, ends(&names)));
            let cue = denied_before(between);
            let past = passes
                && (behind_text.starts_with('史')
                    || behind_text.starts_with("期") && normal[end..].starts_with("期糖尿病史")
                    || between.trim_end().ends_with("既往"));
            // A test is none of what it looks for, unless it says so.
            let tested = passes
                && TESTS_ZH.iter().any(|test| behind_text.starts_with(test))
                && !normal.contains("阳性");
            let denied = cue.is_some()
                || cue_behind.is_some()
                || tested
                || past
                || chained && found.last().is_some_and(|last| last.denied);
            // "高血压、糖尿病家族史" speaks of the family in both.
            if cue_behind.is_some_and(|cue| cue.starts_with("家族")) {
                found[joined..].iter_mut().for_each(|other| other.denied = true);
            }
            rest.push_str(cue.map_or(between, |cue| &between[..cue]));
            rest.push(' ');
            if let Some(cue) = cue_behind {
                // It is part of what is said of this name.
                until = end + behind.find(cue).unwrap_or(0) + cue.len();
            }
            let taken = ["服用", "口服", "使用", "正在用"].iter().any(|word| between.ends_with(word))
                || behind_text.starts_with("治疗");
            if !drug && !denied {
                self.narrower.narrow_unspaced(&mut names, between, behind);
            }
            if !names.is_empty() && (!drug || drugs) {
                found.push(Found { names, drug, denied, taken });
            }
        }
        rest.push_str(normal.get(until..).unwrap_or_default());
        if !found.is_empty() {
            for wording in super::conditions::QUALIFIERS_ZH {
                rest = rest.replace(wording, " ");
            }
            for join in JOINS_ZH.iter().filter(|join| !join.is_ascii()) {
                rest = rest.replace(join, " ");
            }
        }
        (rest, found)
    }
}

/// Whether a number stands before the word: "mg" is a unit there, and may be myasthenia elsewhere.
fn is_counted(tokens: &[Token<'_>], at: usize) -> bool {
    at > 0 && tokens[at - 1].text.ends_with(|c: char| c.is_ascii_digit())
}

/// Where the denial begins with which this ends.
fn denied_before(before: &str) -> Option<usize> {
    let mut text = before.trim_end();
    loop {
        let cue = BEFORE_ZH.iter().chain(&RELATIVES_ZH).find(|cue| text.ends_with(**cue));
        if let Some(cue) = cue {
            let start = text.len() - cue.len();
            let open =
                ["排除", "无"].contains(cue) && OPEN_ZH.iter().any(|word| text[..start].ends_with(word));
            return (!open).then_some(start);
        }
        let word = BETWEEN_ZH.iter().find(|word| text.ends_with(**word))?;
        text = text[..text.len() - word.len()].trim_end();
    }
}

/// What denies the name behind which this stands.
fn denied_behind(behind: &str, passes: bool, ends: bool) -> Option<&'static str> {
    let mut text = behind.trim_start();
    while let Some(rest) = TESTED_ZH.iter().find_map(|word| text.strip_prefix(word)) {
        text = rest;
    }
    let tested = text.len() < behind.trim_start().len();
    // A fever that is excluded stands behind a mark of its own.
    let cue = BEHIND_ZH.into_iter().filter(|cue| !tested || *cue == "阴性").find(|cue| text.starts_with(cue));
    let over = || {
        let text = text.trim_start_matches([',', '(', ' ']);
        let again = AGAIN_ZH.iter().any(|word| text.contains(word));
        OVER_ZH.into_iter().find(|cue| ends && !again && text.starts_with(cue))
    };
    let normal = || Some(NORMAL_ZH).filter(|cue| !passes && text.starts_with(cue));
    cue.or_else(over).or_else(normal)
}

impl Terminology {
    /// Whether the words directly around a drug say that it is taken. Whoever carries epinephrine has it against an allergy.
    fn is_taken(&self, tokens: &[Token<'_>], mention: &Mention<Vec<Key>>) -> bool {
        let part = tokens[mention.start].part;
        let mut before = tokens[..mention.start].iter().rev().take(5).take_while(|token| token.part == part);
        let word = before.find(|token| !BEFORE_TAKEN.contains(&token.text));
        let behind = tokens.get(mention.end).filter(|token| token.part == part);
        let allergy = behind.is_some_and(|token| token.text.starts_with("allerg"));
        let carried = mention.names.iter().any(|name| name.as_ref() == "epinephrine") && !allergy;
        word.is_some_and(|token| TAKES.contains(&token.text))
            || behind.is_some_and(|token| TAKEN.contains(&token.text))
            || carried && !word.is_some_and(|token| ["to", "from", "after"].contains(&token.text))
    }
}
