//! The drugs and the advice of the demo region, read from the tables beside this file.

use std::collections::BTreeSet;

use serde_json::json;

use recommend::{Contraindications, GradedRule, Item, Kind, Severity, Sex, Subject};
use recommend::{Field, Key, Terminology};

/// A drug as its table has it.
pub(super) struct Drug {
    pub item: Item,
    /// Conditions it is given for.
    pub treats: Vec<String>,
    /// Conditions in which nobody of the region gets it: those of its rules, and with a question mark in its table those of
    /// which `conditions.csv` says how much they matter.
    pub avoided: Vec<String>,
    /// To whom of the region it is given; with a question mark that is no rule.
    pub sex: Option<Sex>,
}

/// A piece of advice as its table has it.
pub(super) struct Advice {
    pub item: Item,
    /// Conditions it suits; "any" suits everyone.
    pub suits: Vec<String>,
}

pub(super) struct Tables {
    pub drugs: Vec<Drug>,
    /// What holds for all of a class, and of a drug that the region has not got: hidden items that are named for these.
    pub rules: Vec<Item>,
    pub advice: Vec<Advice>,
}

/// Classes and drugs of which nothing is to be said: that they are described tells that from nobody knowing.
const PLAIN: [&str; 19] = [
    "infusion fluid",
    "medical gas",
    "vitamin or mineral",
    "vaccine product",
    "beta-lactamase inhibitor",
    "docusate",
    "guaifenesin",
    "simethicone",
    "artificial tears",
    "nystatin",
    "naloxone",
    "lincosamide",
    "local anesthetic",
    "nicotine",
    "varenicline",
    "digestive enzymes",
    "fish oil",
    "osmotic laxative",
    "topical azole antifungal",
];

const NOTICE: &str = "demonstration data, not medical advice";

/// What a row says of drugs or classes together with another, or with a condition.
struct Pair {
    first: Vec<(&'static str, BTreeSet<Key>)>,
    /// Where it is a drug or a class and not a condition.
    second: Option<(&'static str, BTreeSet<Key>)>,
    code: &'static str,
    rule: GradedRule,
    /// The drug whose label says so, and that with its classes.
    label: BTreeSet<Key>,
    label_broader: BTreeSet<Key>,
}

impl Pair {
    /// What the row means for a drug that can be called so. Both sides of a pair hold the rule: what a person
    /// takes may be in the class named and not in the catalogue.
    fn rules(&self, called: &BTreeSet<Key>) -> Vec<GradedRule> {
        let source = self.source(called);
        let rule =
            |code: &str| GradedRule { code: code.to_owned(), source: source.clone(), ..self.rule.clone() };
        let is = |names: &BTreeSet<Key>| !names.is_disjoint(called);
        let mut codes = Vec::new();
        if self.first.iter().any(|(_, names)| is(names)) {
            codes.push(self.code);
        }
        if self.second.as_ref().is_some_and(|(_, names)| is(names)) {
            codes.extend(self.first.iter().map(|(code, _)| *code).filter(|code| *code != self.code));
        }
        codes.into_iter().map(rule).collect()
    }

    /// Where the row comes from, for a drug that can be called so: whoever looks there has to know that the label is of another.
    fn source(&self, called: &BTreeSet<Key>) -> String {
        let source = &self.rule.source;
        let firsts = || self.first.iter().flat_map(|(_, names)| names);
        let second = || self.second.iter().flat_map(|(_, names)| names);
        let is_other = firsts().all(|name| !called.contains(name));
        let own = !self.label.is_disjoint(called)
            || second().any(|name| self.label_broader.contains(name))
            // What is said of the second of a pair is said of the first, whose label it may be.
            || is_other && firsts().any(|name| self.label_broader.contains(name));
        if self.label.is_empty() || own {
            source.clone()
        } else if !self.label_broader.is_disjoint(called) {
            format!("{source}, a drug of its class")
        } else {
            format!("{source}, taken to hold for this drug, too")
        }
    }
}

impl Tables {
    /// The tables are part of the program, and a test reads every row of them.
    pub fn read() -> Self {
        let terms = Terminology::shared(&[]);
        let named = |code: &'static str| (code, terms.understand(Field::Medication, code).names);
        let about = |subject: Subject, table: &'static str| -> Vec<Pair> {
            let pair = |[first, second, severity, note, source]: [&'static str; 5]| {
                let label = labelled(source).map(|drug| terms.understand(Field::Medication, drug));
                let label = label.unwrap_or_default();
                Pair {
                    first: first.split(';').map(named).collect(),
                    second: (subject == Subject::Medication).then(|| named(second)),
                    label: label.names,
                    label_broader: label.broader,
                    code: second,
                    rule: GradedRule {
                        about: subject,
                        code: String::new(),
                        severity: match severity {
                            "caution" => Severity::Caution,
                            "serious" => Severity::Serious,
                            _ => Severity::Contraindicated,
                        },
                        note: note.to_owned(),
                        source: source.to_owned(),
                    },
                }
            };
            let each = |[first, seconds, severity, note, source]: [&'static str; 5]| {
                seconds.split(';').map(move |second| [first, second, severity, note, source])
            };
            rows(table).flat_map(each).map(pair).collect()
        };
        let mut pairs = about(Subject::Medication, include_str!("interactions.csv"));
        pairs.extend(about(Subject::Condition, include_str!("conditions.csv")));
        pairs.extend(about(Subject::Allergy, include_str!("allergies.csv")));
        let rules = |name: &str, class: &str| -> Vec<GradedRule> {
            let mut called = terms.understand(Field::Medication, name).broader;
            called.extend(terms.understand(Field::Medication, class).broader);
            pairs.iter().flat_map(|pair| pair.rules(&called)).collect()
        };
        let drugs: Vec<Drug> = rows(include_str!("drugs.csv"))
            .map(|[name, class, allergens, treats, conditions, interacts, pregnancy, age, self_care, sex]| {
                let firm =
                    |values: &str| list(values).into_iter().filter(|value| !value.ends_with('?')).collect();
                Drug {
                    treats: list(treats),
                    avoided: list(&conditions.replace('?', "")),
                    sex: self::sex(sex.trim_end_matches('?')),
                    item: Item {
                        item_id: slug(name),
                        kind: Kind::Drug,
                        name: name.to_owned(),
                        attributes: attributes([
                            ("treats", json!(list(treats))),
                            ("pregnancy", json!(pregnancy)),
                            ("notice", json!(NOTICE)),
                        ]),
                        latitude: None,
                        longitude: None,
                        hidden: false,
                        repeatable: false,
                        contraindications: Contraindications {
                            allergies: firm(allergens),
                            conditions: firm(conditions),
                            interacts_with: list(interacts),
                            therapeutic_class: Some(class.to_owned()),
                            pregnancy: pregnancy == "contraindicated",
                            min_age: age.parse().ok().filter(|age| *age > 0),
                            max_age: None,
                            sex: self::sex(sex),
                            // What people take without asking anybody needs no recorded condition.
                            indications: if self_care.is_empty() { list(treats) } else { Vec::new() },
                            rules: rules(name, class)
                                .into_iter()
                                .chain((pregnancy == "caution").then(in_pregnancy))
                                .chain(
                                    allergens
                                        .split(';')
                                        .filter_map(|name| name.strip_suffix('?'))
                                        .map(seldom),
                                )
                                .collect(),
                        },
                    },
                }
            })
            .collect();
        let rules = ruled(&terms, &pairs, &drugs);
        let advice = rows(include_str!("advice.csv"))
            .map(|[name, topic, suits, conditions, min_age, max_age]| Advice {
                suits: list(suits),
                item: Item {
                    item_id: slug(name),
                    kind: Kind::Advice,
                    name: name.to_owned(),
                    attributes: attributes([("topic", json!(topic)), ("notice", json!(NOTICE))]),
                    latitude: None,
                    longitude: None,
                    hidden: false,
                    repeatable: false,
                    contraindications: Contraindications {
                        conditions: list(conditions),
                        min_age: min_age.parse().ok(),
                        max_age: max_age.parse().ok(),
                        ..Contraindications::default()
                    },
                },
            })
            .collect();
        Self { drugs, rules, advice }
    }

    pub fn items(&self) -> impl Iterator<Item = Item> {
        let drugs = self.drugs.iter().map(|drug| drug.item.clone());
        drugs.chain(self.rules.iter().cloned()).chain(self.advice.iter().map(|advice| advice.item.clone()))
    }
}

pub(super) fn attributes<const N: usize>(
    members: [(&str, serde_json::Value); N],
) -> serde_json::Map<String, serde_json::Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The rows below the header. The tables quote nothing and use commas for columns only.
fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    table.lines().skip(1).map(|line| {
        let mut columns = [""; N];
        for (column, value) in columns.iter_mut().zip(line.split(',')) {
            *column = value;
        }
        columns
    })
}

/// The drug whose label or product information a source is.
fn labelled(source: &str) -> Option<&str> {
    ["label of ", "information of "].iter().find_map(|of| Some(source.split_once(of)?.1))
}

fn list(values: &str) -> Vec<String> {
    values.split(';').filter(|value| !value.is_empty()).map(str::to_owned).collect()
}

fn sex(word: &str) -> Option<Sex> {
    match word {
        "female" => Some(Sex::Female),
        "male" => Some(Sex::Male),
        _ => None,
    }
}

/// An identifier made of a name: lower case, words joined by hyphens.
pub(super) fn slug(name: &str) -> String {
    let mut slug = String::new();
    for character in name.chars() {
        if character.is_alphanumeric() {
            slug.extend(character.to_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// The items that hold what the rows of pairs say of whole classes, and of drugs that are not among these.
fn ruled(terms: &Terminology, pairs: &[Pair], drugs: &[Drug]) -> Vec<Item> {
    let named = |pair: &'_ Pair| -> Vec<&'static str> {
        pair.first.iter().chain(&pair.second).map(|(code, _)| *code).collect()
    };
    let codes: BTreeSet<&str> = pairs.iter().flat_map(named).chain(PLAIN).collect();
    let others = codes.into_iter().filter(|code| drugs.iter().all(|drug| drug.item.name != *code));
    let item = |code: &str| {
        let called = terms.understand(Field::Medication, code).broader;
        Item {
            item_id: slug(code),
            kind: Kind::Drug,
            name: code.to_owned(),
            attributes: attributes([("notice", json!(NOTICE))]),
            latitude: None,
            longitude: None,
            hidden: true,
            repeatable: false,
            contraindications: Contraindications {
                rules: pairs.iter().flat_map(|pair| pair.rules(&called)).collect(),
                ..Contraindications::default()
            },
        }
    };
    others.map(item).collect()
}

/// The rule of a drug that is seldom unsafe for who is allergic to this.
fn seldom(allergen: &str) -> GradedRule {
    GradedRule {
        about: Subject::Allergy,
        code: allergen.to_owned(),
        severity: Severity::Caution,
        note: "an allergy to antibiotics of that name seldom is one to this".to_owned(),
        source: "US label of furosemide".to_owned(),
    }
}

/// The rule of a drug that is given in pregnancy only after thought.
fn in_pregnancy() -> GradedRule {
    GradedRule {
        about: Subject::Condition,
        code: "pregnancy".to_owned(),
        severity: Severity::Caution,
        note: "in pregnancy only where it is needed".to_owned(),
        source: "the drug's US label, section 8.1".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_tables_has_every_column() {
        for (table, columns) in [
            (include_str!("drugs.csv"), 10),
            (include_str!("interactions.csv"), 5),
            (include_str!("conditions.csv"), 5),
            (include_str!("allergies.csv"), 5),
            (include_str!("advice.csv"), 6),
        ] {
            for line in table.lines() {
                assert_eq!(line.split(',').count(), columns, "{line}");
            }
        }
        let tables = Tables::read();
        assert!(tables.drugs.iter().all(|drug| !drug.treats.is_empty()));
        assert!(tables.advice.iter().all(|advice| !advice.suits.is_empty()));
    }

    #[test]
    fn what_holds_for_a_class_and_for_what_the_region_has_not_got_stands_in_hidden_items() {
        let (tables, terms) = (Tables::read(), Terminology::shared(&[]));
        let held = |name: &str| -> Vec<(String, Severity)> {
            let item = tables.rules.iter().find(|item| item.name == name);
            let item = item.unwrap_or_else(|| panic!("{name} has no item"));
            assert!(item.hidden);
            let rules = item.contraindications.rules.iter();
            rules.map(|rule| (rule.code.clone(), rule.severity)).collect()
        };
        for (name, about, severity) in [
            ("qt-prolonging drug", "long qt syndrome", Severity::Serious),
            ("monoamine oxidase inhibitor", "stimulant", Severity::Contraindicated),
            ("stimulant", "monoamine oxidase inhibitor", Severity::Contraindicated),
            ("heparin group", "gastrointestinal bleeding", Severity::Contraindicated),
            ("lovastatin", "strong cyp3a4 inhibitor", Severity::Contraindicated),
            ("dronedarone", "heart failure", Severity::Contraindicated),
            ("mycophenolate", "pregnancy", Severity::Contraindicated),
            ("calcineurin inhibitor", "st johns wort", Severity::Serious),
            ("live vaccine", "immunodeficiency", Severity::Contraindicated),
            ("yellow fever vaccine", "thymus disease", Severity::Contraindicated),
            ("yellow fever vaccine", "egg", Severity::Contraindicated),
            ("ceftazidime", "aztreonam", Severity::Serious),
            ("carbapenem", "penicillin", Severity::Caution),
            ("prasugrel", "stroke", Severity::Contraindicated),
            (
                "non-dihydropyridine calcium channel blocker",
                "ventricular tachycardia",
                Severity::Contraindicated,
            ),
        ] {
            assert!(held(name).contains(&(about.to_owned(), severity)), "{name}: {:?}", held(name));
        }
        assert!(held("vaccine product").is_empty());
        for item in &tables.rules {
            assert!(!item.name.contains(';'), "{} are several", item.name);
            let meaning = terms.understand(Field::Medication, &item.name);
            assert!(meaning.known && !meaning.names.is_empty(), "{} is no term", item.name);
        }
    }

    #[test]
    fn a_row_about_a_class_is_held_by_both_sides() {
        let tables = Tables::read();
        let rules = |name: &str| -> Vec<String> {
            let drug = tables.drugs.iter().find(|drug| drug.item.name == name).unwrap();
            drug.item.contraindications.rules.iter().map(|rule| rule.code.clone()).collect()
        };
        for (name, about) in [
            ("losartan", "ace inhibitor"),
            ("ibuprofen", "ssri"),
            ("ibuprofen", "systemic corticosteroid"),
            ("levofloxacin", "sulfonylurea"),
            ("colchicine", "statin"),
            ("clarithromycin", "phosphodiesterase 5 inhibitor"),
            ("sacubitril/valsartan", "trimethoprim"),
            ("simvastatin", "ciclosporin"),
            ("apixaban", "gastrointestinal bleeding"),
            ("ticagrelor", "intracranial bleeding"),
            ("zolpidem", "older adult"),
            ("diphenhydramine", "older adult"),
            ("valproate", "childbearing potential"),
            ("cefuroxime", "penicillin"),
            ("metoprolol", "shock"),
            ("warfarin", "major bleeding"),
            ("spironolactone", "chronic kidney disease stage 5"),
            ("nitroglycerin", "hypotension"),
            ("ethinylestradiol/levonorgestrel", "rifampin"),
            ("carbamazepine", "progestin"),
            ("diltiazem", "flecainide"),
        ] {
            assert!(rules(name).iter().any(|code| code == about), "{name}: {:?}", rules(name));
        }
    }
}
