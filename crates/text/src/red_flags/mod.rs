//! Red flags: explicit rules over a model of notes, for what must never wait for a probability.
//!
//! The rules are data of the package (`red_flags.json`), with their sources. Some read a vital
//! sign, from its field or as it is written in the note ("BP 70/40"), some the state of mind, some
//! phrases of the note that are neither denied nor history. Where the labels are a scale, a rule
//! says the level that the answer is at least; where they are not, a flag says that the note
//! belongs to none of them. The model's probabilities are left as they are.

mod age;
mod context;
mod forms;
mod index;
mod layout;
mod phrases;
mod readings;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use model::manifest::{Field, FieldKind, Input};
use model::{Manifest, PackageError, package};

use super::record::{FieldValue, Record};
pub use layout::laid_out;

use context::{Context, Read, Told};
use index::{Group, Hits, Phrases};
use phrases::{Clause, Spelling};
use rules::{ChoiceRule, EasedRule, NumberRule, ReadingRule, Rules};

/// What a flag's rule says of a number that no field has but the note.
const IN_NOTE: &str = ", as written in the note";

/// The rules of a package, ready to be applied.
#[derive(Debug, Clone)]
pub struct RedFlags {
    fields: Vec<Field>,
    labels: Vec<String>,
    numbers: Vec<NumberRule>,
    choices: Vec<ChoiceRule>,
    readings: Vec<Reading>,
    emergencies: Vec<Emergency>,
    sets: BTreeMap<String, Group>,
    /// All phrases of emergencies.
    said: Group,
    elsewhere: Group,
    /// The least urgent level that answers what the model gives no label.
    emergency_from: Option<usize>,
    own: Group,
    context: Context,
    spelling: Spelling,
    /// What is read word for word.
    exact: Phrases,
    /// What is read with slips of the pen.
    loose: Phrases,
}

/// How a sign is written in a note.
#[derive(Debug, Clone)]
struct Reading {
    rule: ReadingRule,
    names: Group,
    behind: Group,
    except: Group,
    /// How each of its units is written.
    units: Vec<Group>,
}

/// An emergency in words.
#[derive(Debug, Clone)]
struct Emergency {
    sign: String,
    at_least: Option<String>,
    phrases: Group,
    all: Vec<Group>,
    below_age: Option<f64>,
    unless_age: Option<f64>,
    except: Group,
    told: Told,
    eased: Option<EasedRule>,
}

/// One rule that holds for a record.
#[derive(Debug, Clone, PartialEq)]
pub struct RedFlag {
    /// What it is about: a field, or an emergency.
    pub sign: String,
    /// The value that the rule holds for.
    pub value: FlagValue,
    /// The rule, in words.
    pub rule: String,
    /// The label that the answer is at least; none where the labels are no scale.
    pub at_least: Option<String>,
}

/// What a rule holds for.
#[derive(Debug, Clone, PartialEq)]
pub enum FlagValue {
    /// A sign's number.
    Number(f64),
    /// A field's value, or the words of the note.
    Text(String),
}

/// A note with the places of all phrases: each clause with what stands in it word for word, and with slips. And whether it
/// is signs and digits alone ("???").
#[derive(Debug)]
pub struct Scanned<'t>(Vec<(Clause<'t>, Hits, Hits)>, bool);

impl RedFlags {
    /// The rules of the package in `folder`; none where its manifest names no file of them.
    ///
    /// # Errors
    /// The file, and what does not fit the manifest.
    pub fn read(folder: &Path, manifest: &Manifest) -> Result<Option<RedFlags>, PackageError> {
        if !manifest.files.contains_key(package::RED_FLAGS) {
            return Ok(None);
        }
        let file = folder.join(package::RED_FLAGS);
        let flags = RedFlags::parse(&package::read(&file)?, manifest);
        flags.map(Some).map_err(|reason| PackageError::new(file, reason))
    }

    /// Rules from the content of a `red_flags.json`, for the model that `manifest` describes.
    ///
    /// # Errors
    /// What is not understood, or names a field, a value or a label that the model does not have.
    pub fn parse(json: &[u8], manifest: &Manifest) -> Result<RedFlags, String> {
        let rules: Rules = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        let Input::Record(input) = &manifest.input else {
            return Err("rules over notes, but the model reads images".to_string());
        };
        let scale = manifest.ordinal.is_some();
        rules.check(input, scale.then_some(&manifest.labels))?;
        let (mut exact, mut loose) = (Phrases::default(), Phrases::default());
        let mut readings = Vec::new();
        for rule in &rules.readings {
            readings.push(Reading {
                rule: rule.clone(),
                names: exact.add(&rule.names)?,
                behind: exact.add(&rule.behind)?,
                except: exact.add(&rule.except)?,
                units: rule.units.iter().map(|unit| exact.add(&unit.written)).collect::<Result<_, _>>()?,
            });
        }
        let mut sets = BTreeMap::new();
        for (name, phrases) in &rules.sets {
            sets.insert(name.clone(), loose.add(phrases)?);
        }
        let sets_end = sets.values().map(|set| set.end).max().unwrap_or(0);
        let mut emergencies = Vec::new();
        for rule in &rules.phrases {
            emergencies.push(Emergency {
                sign: rule.sign.clone(),
                at_least: rule.at_least.clone(),
                phrases: loose.add(&rule.phrases)?,
                all: rule.all.iter().map(|name| sets[name].clone()).collect(),
                below_age: rule.below_age,
                unless_age: rule.unless_age,
                except: exact.add(&rule.except)?,
                told: Told { now: rule.now, passed: rule.passed },
                eased: rule.eased.clone(),
            });
        }
        let elsewhere = loose.add(rules.elsewhere.iter().flat_map(|rule| &rule.phrases))?;
        let level = |name: &String| manifest.labels.iter().position(|label| label == name);
        Ok(RedFlags {
            said: sets_end..elsewhere.start,
            elsewhere,
            emergency_from: rules.emergency_from.as_ref().and_then(level),
            own: exact.add(&rules.own)?,
            fields: input.fields.clone(),
            labels: manifest.labels.clone(),
            emergencies,
            sets,
            context: Context::new(&rules.context, &mut exact)?,
            spelling: Spelling { words: rules.context.well_spelt.iter().cloned().collect() },
            numbers: rules.numbers,
            choices: rules.choices,
            readings,
            exact,
            loose,
        })
    }

    /// Looks for all phrases in a note, normalised.
    pub fn scan<'t>(&self, text: &'t str) -> Scanned<'t> {
        let places = |clause: Clause<'t>| {
            let exact = self.exact.find(&clause.words, None);
            let loose = self.loose.find(&clause.words, Some(&self.spelling));
            (clause, exact, loose)
        };
        let signs = !text.trim().is_empty() && !text.chars().any(char::is_alphabetic);
        Scanned(phrases::clauses(text).into_iter().map(places).collect(), signs)
    }

    /// The flags of a record, the most urgent first. `note` is its note.
    pub fn find(&self, record: &Record, note: &Scanned) -> Vec<RedFlag> {
        let read: Vec<_> = note
            .0
            .iter()
            .map(|(clause, exact, loose)| {
                (self.context.read(clause, exact, loose.of(&self.said)), clause, exact, loose)
            })
            .collect();
        let said = |group: &Group, except: &Group, told: Told| {
            read.iter()
                .find_map(|(read, _, exact, loose)| read.present(loose.of(group), exact.of(except), told))
        };
        let age = self.age(record, note);
        let mut flags = self.numbers(record, &read, age);
        for rule in &self.choices {
            if self.is_chosen(record, rule) {
                let (value, rule_text) = (FlagValue::Text(rule.value.clone()), format!("is {}", rule.value));
                flags.push(flag(&rule.sign, value, rule_text, &rule.at_least));
            }
        }
        for Emergency { sign, at_least, phrases, all, below_age, unless_age, except, told, eased } in
            &self.emergencies
        {
            let is_older = unless_age.is_some_and(|from| age.is_some_and(|age| age >= from));
            if is_older || below_age.is_some_and(|below| age.is_none_or(|age| age >= below)) {
                continue;
            }
            let in_sets = || {
                let words: Option<Vec<_>> = all.iter().map(|set| said(set, except, *told)).collect();
                words.filter(|words| !words.is_empty()).map(|words| words.join(" + "))
            };
            let words = said(phrases, except, *told).or_else(in_sets);
            if let Some(words) = words {
                let mut rule = "the note says so, neither denied nor as history".to_string();
                let eased = eased.as_ref().filter(|eased| self.is_eased(record, note, age, eased));
                if let Some(EasedRule { by: ChoiceRule { sign, value, .. }, .. }) = eased {
                    rule += &format!("; {sign} is {value}");
                }
                let at_least = eased.map_or(at_least, |eased| &eased.by.at_least);
                flags.push(flag(sign, FlagValue::Text(words), rule, at_least));
            }
        }
        flags.sort_by_key(|flag| self.level(flag));
        // The same sign may be told twice, with phrases of two levels: the more urgent stands.
        let mut told = BTreeSet::new();
        flags.retain(|flag| told.insert(flag.sign.clone()));
        flags
    }

    /// Whether a note is about something that belongs to none of the labels: it says so, and
    /// nothing of what they are about. Denying a subject is being about it, so that is looked for anywhere.
    pub fn is_elsewhere(&self, Scanned(clauses, signs): &Scanned) -> bool {
        let about = |(clause, exact, loose): &(Clause, Hits, Hits)| {
            let found = loose.of(&self.elsewhere);
            let read = || self.context.read(clause, exact, loose.of(&self.said));
            !found.is_empty() && read().present(found, &[], Told::default()).is_some()
        };
        let none = clauses.iter().all(|(_, exact, _)| exact.of(&self.own).is_empty());
        *signs || none && clauses.iter().any(about)
    }

    /// Index of the label that the answer is at least, by `flags`.
    pub fn floor(&self, flags: &[RedFlag]) -> Option<usize> {
        flags.iter().filter(|flag| flag.at_least.is_some()).map(|flag| self.level(flag)).min()
    }

    /// Whether `floor` answers what the model gives no label. A lesser one bounds an answer alone: what is unknown beside
    /// it may be worse.
    pub fn is_emergency(&self, floor: usize) -> bool {
        self.emergency_from.is_none_or(|level| floor <= level)
    }

    fn level(&self, flag: &RedFlag) -> usize {
        let level = self.labels.iter().position(|label| Some(label) == flag.at_least.as_ref());
        level.unwrap_or(usize::MAX)
    }

    /// Whether an emergency is a lesser one.
    fn is_eased(&self, record: &Record, note: &Scanned, age: Option<f64>, rule: &EasedRule) -> bool {
        let said = match &note.0[..] {
            [(clause, ..)] => clause.words.join(" "),
            _ => return false,
        };
        age.is_some_and(|age| age >= rule.from_age)
            && rule.notes.contains(&said)
            && self.is_chosen(record, &rule.by)
    }

    /// Whether the rule's field has the rule's value.
    fn is_chosen(&self, record: &Record, rule: &ChoiceRule) -> bool {
        self.fields.iter().zip(&record.fields).any(|(field, value)| match (&field.kind, value) {
            (FieldKind::Categorical { values }, FieldValue::Choice(chosen)) => {
                field.name == rule.sign && values[*chosen] == rule.value
            }
            _ => false,
        })
    }

    /// The number of a field, with its unit.
    fn field(&self, record: &Record, name: &str) -> Option<(f64, &str)> {
        self.fields.iter().zip(&record.fields).find_map(|(field, value)| match (&field.kind, value) {
            (FieldKind::Numeric { unit, .. }, FieldValue::Number(x)) if field.name == name => {
                Some((*x, unit.as_str()))
            }
            _ => None,
        })
    }

    /// The patient's age in years: what the field has, else what the note says.
    fn age(&self, record: &Record, Scanned(clauses, _): &Scanned) -> Option<f64> {
        let field = self.field(record, "age").map(|(age, _)| age);
        let say =
            |age: fn(&[&str]) -> Option<f64>| clauses.iter().find_map(|(clause, ..)| age(&clause.words));
        field.or_else(|| say(age::age)).or_else(|| say(age::of_child))
    }

    /// The places of a clause's numbers that stand at a sign's name, each with the sign.
    fn claims(&self, clause: &Clause, exact: &Hits) -> Vec<(&str, usize)> {
        let mut claims = Vec::new();
        for Reading { rule, names, except, .. } in &self.readings {
            let places = readings::claimed(clause, exact.of(names), exact.of(except));
            claims.extend(places.map(|at| (rule.sign.as_str(), at)));
        }
        claims
    }

    /// Of the rules over one sign's number that hold, the most urgent.
    fn numbers(
        &self,
        record: &Record,
        note: &[(Read, &Clause, &Hits, &Hits)],
        age: Option<f64>,
    ) -> Vec<RedFlag> {
        let mut written: BTreeMap<&str, (&str, Vec<f64>)> = BTreeMap::new();
        let claims: Vec<Vec<(&str, usize)>> =
            note.iter().map(|(_, clause, exact, _)| self.claims(clause, exact)).collect();
        for Reading { rule, names, behind, except, units } in &self.readings {
            let (_, values) = written.entry(&rule.sign).or_insert((&rule.unit, Vec::new()));
            for ((context, clause, exact, _), claims) in note.iter().zip(&claims) {
                let places = readings::Places {
                    names: exact.of(names),
                    behind: exact.of(behind),
                    except: exact.of(except),
                    units: units.iter().map(|unit| exact.of(unit)).collect(),
                    claims,
                };
                values.extend(readings::numbers(clause, &places, rule, context));
            }
        }
        let says = |set: &String| {
            let set = &self.sets[set];
            note.iter().any(|(read, _, _, loose)| read.present(loose.of(set), &[], Told::default()).is_some())
        };
        let mut flags: Vec<RedFlag> = Vec::new();
        for rule in &self.numbers {
            if !rule.with.as_ref().is_none_or(says) {
                continue;
            }
            let field = self.field(record, &rule.sign).map(|(value, unit)| (value, unit, ""));
            // What the note says counts as well, whatever the field has, and of several readings each: "BP 120/80, now 70/40".
            let note = written.get(&*rule.sign);
            let note =
                note.into_iter().flat_map(|(unit, values)| values.iter().map(move |x| (*x, *unit, IN_NOTE)));
            let mut values = field.into_iter().chain(note);
            let holds =
                values.find_map(|(value, unit, place)| Some((value, rule.holds(value, unit, age)? + place)));
            let Some((value, text)) = holds else { continue };
            let new = flag(&rule.sign, FlagValue::Number(value), text, &rule.at_least);
            match flags.iter_mut().find(|known| known.sign == rule.sign) {
                Some(known) if self.level(&new) < self.level(known) => *known = new,
                Some(_) => {}
                None => flags.push(new),
            }
        }
        flags
    }
}

fn flag(sign: &str, value: FlagValue, rule: String, at_least: &Option<String>) -> RedFlag {
    RedFlag { sign: sign.to_string(), value, rule, at_least: at_least.clone() }
}

#[cfg(test)]
mod shipped_notes_tests;
#[cfg(test)]
mod shipped_tests;
#[cfg(test)]
mod tests;
