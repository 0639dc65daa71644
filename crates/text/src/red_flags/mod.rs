//! Red flags: explicit rules over a model of notes, for what must never wait for a probability.
//!
//! The rules are data of the package (`red_flags.json`), with their sources. Some read a vital
//! sign, from its field or as it is written in the note ("BP 70/40"), some the state of mind, some
//! phrases of the note that are neither denied nor history. Where the labels are a scale, a rule
//! says the level that the answer is at least; where they are not, a flag says that the note
//! belongs to none of them. The model's probabilities are left as they are.

mod age;
mod context;
mod index;
mod phrases;
mod readings;
mod rules;

use std::collections::BTreeMap;
use std::path::Path;

use model::manifest::{Field, FieldKind, Input};
use model::{Manifest, PackageError, package};

use super::record::{FieldValue, Record};
use context::{Context, Read};
use index::{Group, Hits, Phrases};
use phrases::{Clause, Spelling};
use rules::{ChoiceRule, NumberRule, ReadingRule, Rules};

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
    elsewhere: Group,
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
}

/// An emergency in words.
#[derive(Debug, Clone)]
struct Emergency {
    sign: String,
    at_least: Option<String>,
    phrases: Group,
    all: Vec<Group>,
    below_age: Option<f64>,
    except: Group,
    now: bool,
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
            });
        }
        let mut sets = BTreeMap::new();
        for (name, phrases) in &rules.sets {
            sets.insert(name.clone(), loose.add(phrases)?);
        }
        let mut emergencies = Vec::new();
        for rule in &rules.phrases {
            emergencies.push(Emergency {
                sign: rule.sign.clone(),
                at_least: rule.at_least.clone(),
                phrases: loose.add(&rule.phrases)?,
                all: rule.all.iter().map(|name| sets[name].clone()).collect(),
                below_age: rule.below_age,
                except: exact.add(&rule.except)?,
                now: rule.now,
            });
        }
        Ok(RedFlags {
            elsewhere: loose.add(rules.elsewhere.iter().flat_map(|rule| &rule.phrases))?,
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
            .map(|(clause, exact, loose)| (self.context.read(clause, exact), clause, exact, loose))
            .collect();
        let said = |group: &Group, except: &Group, now: bool| {
            read.iter()
                .find_map(|(read, _, exact, loose)| read.present(loose.of(group), exact.of(except), now))
        };
        let age = self.age(record, note);
        let mut flags = self.numbers(record, &read, age);
        for rule in &self.choices {
            let value = self.fields.iter().zip(&record.fields).find(|(field, _)| field.name == rule.sign);
            if let Some((Field { kind: FieldKind::Categorical { values }, .. }, FieldValue::Choice(chosen))) =
                value
                && values[*chosen] == rule.value
            {
                let (value, rule_text) = (FlagValue::Text(rule.value.clone()), format!("is {}", rule.value));
                flags.push(flag(&rule.sign, value, rule_text, &rule.at_least));
            }
        }
        for Emergency { sign, at_least, phrases, all, below_age, except, now } in &self.emergencies {
            if below_age.is_some_and(|below| age.is_none_or(|age| age >= below)) {
                continue;
            }
            let in_sets = || {
                let words: Option<Vec<_>> = all.iter().map(|set| said(set, except, *now)).collect();
                words.filter(|words| !words.is_empty()).map(|words| words.join(" + "))
            };
            let words = said(phrases, except, *now).or_else(in_sets);
            // The same sign may be told twice, with phrases of two levels: the more urgent stands.
            let told = flags.iter().any(|flag| flag.sign == *sign && flag.at_least == *at_least);
            if let Some(words) = words.filter(|_| !told) {
                let rule = "the note says so, neither denied nor as history".to_string();
                flags.push(flag(sign, FlagValue::Text(words), rule, at_least));
            }
        }
        flags.sort_by_key(|flag| self.level(flag));
        flags
    }

    /// Whether a note is about something that belongs to none of the labels: it says so, and
    /// nothing of what they are about. Denying a subject is being about it, so that is looked for anywhere.
    pub fn is_elsewhere(&self, Scanned(clauses, signs): &Scanned) -> bool {
        let about = |(clause, exact, loose): &(Clause, Hits, Hits)| {
            let found = loose.of(&self.elsewhere);
            !found.is_empty() && self.context.read(clause, exact).present(found, &[], false).is_some()
        };
        let none = clauses.iter().all(|(_, exact, _)| exact.of(&self.own).is_empty());
        *signs || none && clauses.iter().any(about)
    }

    /// Index of the label that the answer is at least, by `flags`.
    pub fn floor(&self, flags: &[RedFlag]) -> Option<usize> {
        flags.iter().filter(|flag| flag.at_least.is_some()).map(|flag| self.level(flag)).min()
    }

    fn level(&self, flag: &RedFlag) -> usize {
        let level = self.labels.iter().position(|label| Some(label) == flag.at_least.as_ref());
        level.unwrap_or(usize::MAX)
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
        field.or_else(|| clauses.iter().find_map(|(clause, ..)| age::age(&clause.words)))
    }

    /// Of the rules over one sign's number that hold, the most urgent.
    fn numbers(
        &self,
        record: &Record,
        note: &[(Read, &Clause, &Hits, &Hits)],
        age: Option<f64>,
    ) -> Vec<RedFlag> {
        let mut written: BTreeMap<&str, (&str, Vec<f64>)> = BTreeMap::new();
        for Reading { rule, names, behind, except } in &self.readings {
            let (_, values) = written.entry(&rule.sign).or_insert((&rule.unit, Vec::new()));
            for (context, clause, exact, _) in note {
                let places = readings::Places {
                    names: exact.of(names),
                    behind: exact.of(behind),
                    except: exact.of(except),
                };
                values.extend(readings::numbers(clause, &places, rule, context));
            }
        }
        let says = |set: &String| {
            let set = &self.sets[set];
            note.iter().any(|(read, _, _, loose)| read.present(loose.of(set), &[], false).is_some())
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
