//! The rules as they stand in `red_flags.json`.

use std::collections::{BTreeMap, BTreeSet};

use model::manifest::{FieldKind, RecordInput};
use serde::Deserialize;

/// Everything in the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Where the rules were published: for people.
    pub sources: Vec<String>,
    /// Limits of signs that are numbers.
    #[serde(default)]
    pub numbers: Vec<NumberRule>,
    /// Values of fields.
    #[serde(default)]
    pub choices: Vec<ChoiceRule>,
    /// How signs are written in a note. They count beside the fields.
    #[serde(default)]
    pub readings: Vec<ReadingRule>,
    /// Emergencies in words.
    #[serde(default)]
    pub phrases: Vec<PhraseRule>,
    /// Phrases of one meaning, by a name with which rules speak of them.
    #[serde(default)]
    pub sets: BTreeMap<String, Vec<String>>,
    /// What belongs to none of the labels, in words: no emergency, and no answer either.
    #[serde(default)]
    pub elsewhere: Vec<ElsewhereRule>,
    /// Phrases of the labels' own subjects: a note that says one is not elsewhere, whatever else it mentions.
    #[serde(default)]
    pub own: Vec<String>,
    /// The least urgent level that answers what the model gives no label; where it is absent, every level does.
    #[serde(default)]
    pub emergency_from: Option<String>,
    /// What denies, or makes into history.
    #[serde(default)]
    pub context: ContextRule,
}

/// What belongs to none of the labels.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElsewhereRule {
    /// Where it belongs: for people.
    #[allow(dead_code)]
    pub to: String,
    /// Phrases, written as those of [`PhraseRule`].
    pub phrases: Vec<String>,
}

/// A limit: the rule holds beyond it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberRule {
    /// A field, or a sign that is read from the note.
    pub sign: String,
    /// The rule holds for less than this.
    #[serde(default)]
    pub below: Option<f64>,
    /// The rule holds for more than this.
    #[serde(default)]
    pub above: Option<f64>,
    /// What a year of age adds to the limit.
    #[serde(default)]
    pub per_year: f64,
    /// For ages from this.
    #[serde(default)]
    pub from_age: Option<f64>,
    /// For ages below this: not for an age that is not known.
    #[serde(default)]
    pub below_age: Option<f64>,
    /// A set of which the note says something, neither denied nor as history.
    #[serde(default)]
    pub with: Option<String>,
    /// The label that the answer is at least.
    #[serde(default)]
    pub at_least: Option<String>,
}

/// A value of a field.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceRule {
    /// The field.
    pub sign: String,
    /// The value.
    pub value: String,
    /// The label that the answer is at least.
    #[serde(default)]
    pub at_least: Option<String>,
}

/// How a sign is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadingRule {
    /// The sign.
    pub sign: String,
    /// Its unit. A percentage has to be written as one, anywhere in the clause, unless it is `bare`; any
    /// other number follows the name.
    #[serde(default)]
    pub unit: String,
    /// Whether a percentage may be written without its sign, as other numbers are.
    #[serde(default)]
    pub bare: bool,
    /// Less than this is no reading of the sign.
    #[serde(default)]
    pub from: Option<f64>,
    /// More than this is no reading of the sign.
    #[serde(default)]
    pub to: Option<f64>,
    /// What comes before the number.
    #[serde(default)]
    pub names: Vec<String>,
    /// Whether the number has to follow its name at once, but for signs ("t: 41.5"): names that mean other things, too.
    #[serde(default)]
    pub adjacent: bool,
    /// What comes behind a number that has no name ("78 % on room air").
    #[serde(default)]
    pub behind: Vec<String>,
    /// Whether two numbers that can be a pressure are one without a name ("60/30").
    #[serde(default)]
    pub pairs: bool,
    /// Whether it is the second number of a pressure ("180/140").
    #[serde(default)]
    pub under: bool,
    /// Whether its parts may be written for their sum ("E2 V2 M3").
    #[serde(default)]
    pub components: bool,
    /// Units in which a number may be, the sign's own among them.
    #[serde(default)]
    pub units: Vec<UnitRule>,
    /// Phrases that hold a name and mean something else ("bp cuff"): a number behind it alone is no reading. Two
    /// pressures or a percentage are.
    #[serde(default)]
    pub except: Vec<String>,
}

/// A unit of a sign: what is written with the number decides, and where nothing is the number's size.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitRule {
    /// How it is written, as phrases ("mg / dl").
    #[serde(default)]
    pub written: Vec<String>,
    /// A number from this on is in it where no unit is written.
    #[serde(default)]
    pub from: Option<f64>,
    /// A number up to this is in it where no unit is written.
    #[serde(default)]
    pub to: Option<f64>,
    /// How many of it are one of the sign's own unit.
    pub divided_by: f64,
}

impl UnitRule {
    /// Whether the size of a number alone says that it is in this unit.
    pub fn has_size(&self, number: f64) -> bool {
        self.from.is_some_and(|from| number >= from) || self.to.is_some_and(|to| number <= to)
    }

    /// A number of this unit in the sign's own, to a tenth.
    pub fn converted(&self, number: f64) -> f64 {
        if self.divided_by == 1.0 { number } else { (10.0 * number / self.divided_by).round() / 10.0 }
    }
}

/// An emergency in words.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhraseRule {
    /// What it is.
    pub sign: String,
    /// The label that the answer is at least.
    #[serde(default)]
    pub at_least: Option<String>,
    /// Phrases in lower case, words apart by blanks: `word*` is any word that begins so, `~`
    /// stands for up to three words, `####` for a number of four digits, `$` for a comma or the clause's end,
    /// `one|other` for either word.
    #[serde(default)]
    pub phrases: Vec<String>,
    /// Sets of each of which the note says something, neither denied nor as history, in any order.
    #[serde(default)]
    pub all: Vec<String>,
    /// For ages below this, which a field or the note says.
    #[serde(default)]
    pub below_age: Option<f64>,
    /// Not from this age on, where a field or the note says one.
    #[serde(default)]
    pub unless_age: Option<f64>,
    /// Phrases that hold one of these and mean something else ("sleep apnea").
    #[serde(default)]
    pub except: Vec<String>,
    /// Whether it is always of the moment: words of history do not take it back.
    #[serde(default)]
    pub now: bool,
    /// Whether it is one though it has passed ("facial droop resolved").
    #[serde(default)]
    pub passed: bool,
    /// When the answer is at least another level.
    #[serde(default)]
    pub eased: Option<EasedRule>,
}

/// When an emergency in words is a lesser one: an adult who is alert after a seizure, of whom the note says nothing else.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EasedRule {
    /// The value that a field has, and the label that the answer is at least then.
    pub by: ChoiceRule,
    /// For ages from this, which a field or the note says.
    pub from_age: f64,
    /// Whole notes in lower case, words apart by blanks. A note that says anything more is no lesser emergency.
    pub notes: Vec<String>,
}

/// Words that take a phrase back.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextRule {
    /// Before it, up to the next comma.
    #[serde(default)]
    pub before: Vec<String>,
    /// Before it, up to the next comma, unless a word stands between that is no filler, phrase or word for "or"
    /// ("no helmet seizing").
    #[serde(default)]
    pub denials: Vec<String>,
    /// Before a list of such phrases, across commas.
    #[serde(default)]
    pub before_list: Vec<String>,
    /// Before it, up to the next comma, or before a list of three or one that ends with "or" or "and".
    #[serde(default)]
    pub denies: Vec<String>,
    /// Before what it touches alone, but for `fillers`, and before a list with 、 in it.
    #[serde(default)]
    pub touching: Vec<String>,
    /// What says nothing between a denial and what it touches.
    #[serde(default)]
    pub fillers: Vec<String>,
    /// What else does not use up `denials` and `history` between them and what they reach ("no left facial droop").
    #[serde(default)]
    pub between: Vec<String>,
    /// What denies nothing though it holds a word that does ("no helmet", 无力).
    #[serde(default)]
    pub words: Vec<String>,
    /// What makes into history: before it, as `denials`.
    #[serde(default)]
    pub history: Vec<String>,
    /// What makes into history: before a list of such phrases, across commas.
    #[serde(default)]
    pub history_list: Vec<String>,
    /// Behind it: what says that it is of today, whatever `history` says ("h/o vomiting blood this am").
    #[serde(default)]
    pub history_until: Vec<String>,
    /// After it, within three words.
    #[serde(default)]
    pub after: Vec<String>,
    /// After it, too, but not of what is an emergency though it has passed.
    #[serde(default)]
    pub ended: Vec<String>,
    /// Ends what stands before.
    #[serde(default)]
    pub until: Vec<String>,
    /// Ends what stands after.
    #[serde(default)]
    pub after_until: Vec<String>,
    /// What no member of a list of `denies` says that is denied ("denies fever, chills, facial droop noted").
    #[serde(default)]
    pub not_bare: Vec<String>,
    /// Phrases that mean something else, whatever rule they would hold for.
    #[serde(default)]
    pub except: Vec<String>,
    /// Before a number or closely behind it, in the same part of a clause: it is no reading of now.
    #[serde(default)]
    pub past: Vec<String>,
    /// Before a number: it is no reading of now.
    #[serde(default)]
    pub past_before: Vec<String>,
    /// Words that are one letter from a phrase's word and no misspelling of it.
    #[serde(default)]
    pub well_spelt: Vec<String>,
}

impl NumberRule {
    /// The rule in words, if it holds for `value`.
    pub fn holds(&self, value: f64, unit: &str, age: Option<f64>) -> Option<String> {
        let of_age = match age {
            Some(age) => {
                self.from_age.is_none_or(|from| age >= from) && self.below_age.is_none_or(|to| age < to)
            }
            None => self.below_age.is_none(),
        };
        let limit = |limit: f64| limit + self.per_year * age.unwrap_or(0.0);
        let (word, limit) = match (self.below.map(limit), self.above.map(limit)) {
            (Some(limit), _) if value < limit => ("below", limit),
            (_, Some(limit)) if value > limit => ("above", limit),
            _ => return None,
        };
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let ages = match (self.from_age, self.below_age) {
            (None, None) => String::new(),
            (Some(from), None) => format!(" from {from} years"),
            (None, Some(to)) => format!(" below {to} years"),
            (Some(from), Some(to)) => format!(" from {from} to below {to} years"),
        };
        of_age.then(|| format!("{word} {limit}{unit}{ages}"))
    }
}

impl Rules {
    /// All that look at a field's value.
    fn choices(&self) -> impl Iterator<Item = &ChoiceRule> {
        let eased = self.phrases.iter().filter_map(|rule| rule.eased.as_ref());
        self.choices.iter().chain(eased.map(|eased| &eased.by))
    }

    /// Whether the rules fit a model of these fields whose labels, if they are a scale, are `scale`.
    pub fn check(&self, input: &RecordInput, scale: Option<&Vec<String>>) -> Result<(), String> {
        if self.sources.is_empty() {
            return Err("sources is empty: a rule says where it comes from".to_string());
        }
        let levels = self
            .numbers
            .iter()
            .map(|rule| (&rule.sign, &rule.at_least))
            .chain(self.choices().map(|rule| (&rule.sign, &rule.at_least)))
            .chain(self.phrases.iter().map(|rule| (&rule.sign, &rule.at_least)));
        if let Some(level) = &self.emergency_from
            && !scale.is_some_and(|labels| labels.contains(level))
        {
            return Err(format!("emergency_from: \"{level}\" is no level of the model"));
        }
        for (sign, level) in levels {
            match (level, scale) {
                (None, None) => {}
                (Some(level), Some(labels)) if labels.contains(level) => {}
                (Some(level), _) => {
                    return Err(format!("\"{sign}\": at_least \"{level}\" is no level of the model"));
                }
                (None, Some(_)) => return Err(format!("\"{sign}\": at_least is absent")),
            }
        }
        let read: BTreeSet<&str> = self.readings.iter().map(|reading| reading.sign.as_str()).collect();
        let kind = |name: &str| input.fields.iter().find(|field| field.name == name).map(|field| &field.kind);
        for rule in &self.numbers {
            let sign = &rule.sign;
            let known = matches!(kind(sign), Some(FieldKind::Numeric { .. })) || read.contains(sign.as_str());
            if !known {
                return Err(format!("numbers: \"{sign}\" is no numeric field and is not read from the note"));
            }
            if rule.below.is_some() == rule.above.is_some() {
                return Err(format!("numbers: \"{sign}\" needs one of below and above"));
            }
        }
        let named = self.numbers.iter().filter_map(|rule| rule.with.as_ref());
        let named = named.chain(self.phrases.iter().flat_map(|rule| &rule.all));
        if let Some(unknown) = named.into_iter().find(|name| !self.sets.contains_key(*name)) {
            return Err(format!("sets: no set is named \"{unknown}\""));
        }
        for ChoiceRule { sign, value, .. } in self.choices() {
            if !matches!(kind(sign), Some(FieldKind::Categorical { values }) if values.contains(value)) {
                return Err(format!("choices or eased: no field \"{sign}\" has the value \"{value}\""));
            }
        }
        Ok(())
    }
}
