//! The people of the demo region and their year.

use std::collections::BTreeSet;

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use super::DAY_MS;
use super::places::{Place, Places, SPECIALTIES, TOWNS, by_distance, near};
use super::tables::{Drug, Tables};
use recommend::clock::year_of;
use recommend::{Interaction, Millis, Profile, Sex, User};

/// How common a condition is: per mille at twenty and at eighty, straight in between, and whom
/// it spares. Round figures, of the right order.
struct Condition {
    name: &'static str,
    at_20: f64,
    at_80: f64,
    only: Option<Sex>,
    /// Conditions that make it three times as likely.
    follows: &'static [&'static str],
}

const fn condition(
    name: &'static str,
    at_20: f64,
    at_80: f64,
    follows: &'static [&'static str],
) -> Condition {
    Condition { name, at_20, at_80, only: None, follows }
}

const fn only(sex: Sex, condition: Condition) -> Condition {
    Condition { only: Some(sex), ..condition }
}

/// In an order in which causes come before what follows them.
const CONDITIONS: [Condition; 45] = [
    condition("obesity", 120.0, 250.0, &[]),
    condition("tobacco dependence", 180.0, 80.0, &[]),
    condition("hypertension", 30.0, 500.0, &["obesity"]),
    condition("hyperlipidemia", 40.0, 400.0, &["obesity"]),
    condition("type 1 diabetes", 5.0, 5.0, &[]),
    condition("type 2 diabetes", 8.0, 180.0, &["obesity"]),
    condition("coronary artery disease", 1.0, 150.0, &["hypertension", "tobacco dependence"]),
    condition("heart failure", 0.5, 70.0, &["coronary artery disease"]),
    condition("atrial fibrillation", 1.0, 110.0, &["heart failure"]),
    condition("stroke", 1.0, 50.0, &["atrial fibrillation", "hypertension"]),
    condition("heart block", 0.5, 15.0, &[]),
    condition("chronic kidney disease", 3.0, 120.0, &["type 2 diabetes", "hypertension"]),
    condition("venous thrombosis", 2.0, 20.0, &[]),
    condition("asthma", 90.0, 60.0, &[]),
    condition("copd", 2.0, 90.0, &["tobacco dependence"]),
    condition("allergic rhinitis", 200.0, 90.0, &["asthma"]),
    condition("eczema", 80.0, 40.0, &["asthma"]),
    condition("psoriasis", 20.0, 25.0, &[]),
    condition("acne", 200.0, 0.0, &[]),
    condition("gastroesophageal reflux", 80.0, 180.0, &["obesity"]),
    condition("peptic ulcer", 8.0, 35.0, &["tobacco dependence"]),
    condition("ulcerative colitis", 4.0, 4.0, &[]),
    condition("constipation", 40.0, 150.0, &[]),
    condition("liver disease", 5.0, 25.0, &["obesity"]),
    condition("gallstones", 10.0, 60.0, &["obesity"]),
    condition("depression", 80.0, 60.0, &[]),
    condition("anxiety", 100.0, 50.0, &["depression"]),
    condition("bipolar disorder", 10.0, 5.0, &[]),
    condition("schizophrenia", 6.0, 4.0, &[]),
    condition("insomnia", 60.0, 180.0, &["anxiety", "depression"]),
    condition("epilepsy", 8.0, 12.0, &[]),
    condition("migraine", 130.0, 40.0, &[]),
    condition("neuropathic pain", 5.0, 60.0, &["type 2 diabetes"]),
    condition("parkinson disease", 0.0, 20.0, &[]),
    condition("dementia", 0.0, 90.0, &[]),
    condition("osteoarthritis", 10.0, 350.0, &["obesity"]),
    condition("back pain", 90.0, 200.0, &[]),
    condition("rheumatoid arthritis", 3.0, 20.0, &[]),
    condition("gout", 2.0, 60.0, &["chronic kidney disease"]),
    condition("hypothyroidism", 15.0, 80.0, &[]),
    condition("iron deficiency anemia", 40.0, 40.0, &[]),
    condition("glaucoma", 1.0, 70.0, &[]),
    only(Sex::Female, condition("osteoporosis", 1.0, 300.0, &[])),
    only(Sex::Male, condition("benign prostatic hyperplasia", 0.0, 400.0, &[])),
    only(Sex::Female, condition("polycystic ovary syndrome", 80.0, 0.0, &[])),
];

/// Passing complaints of the year: per mille of people, whatever their age.
const COMPLAINTS: [(&str, f64); 7] = [
    ("urinary tract infection", 90.0),
    ("sinusitis", 80.0),
    ("pneumonia", 25.0),
    ("skin infection", 50.0),
    ("fungal infection", 40.0),
    ("influenza", 60.0),
    ("nausea", 40.0),
];

/// Allergies, per mille of people.
const ALLERGIES: [(&str, f64); 7] = [
    ("penicillin", 70.0),
    ("sulfonamide", 30.0),
    ("nsaid", 15.0),
    ("opioid", 10.0),
    ("macrolide", 8.0),
    ("iodine", 8.0),
    ("peanut", 15.0),
];

/// Prevalence of an allergy or medication list that nobody asked about, per mille.
const NOT_ASKED: f64 = 40.0;

fn happens(per_mille: f64, random: &mut impl Rng) -> bool {
    random.random_bool((per_mille / 1_000.0).clamp(0.0, 1.0))
}

/// Who someone is, before the year.
pub(super) struct Person {
    id: String,
    age: i32,
    birth_year: i32,
    sex: Sex,
    conditions: Vec<String>,
    allergies: Vec<String>,
    pregnant: bool,
    lifestyle: Vec<String>,
    location: (f64, f64),
}

pub(super) fn person(number: usize, today: Millis, random: &mut impl Rng) -> Person {
    // Two draws and the lesser one: more young people than old, from 1 to 95.
    let age = 1 + random.random_range(0..95).min(random.random_range(0..120));
    let sex = if random.random_bool(0.51) { Sex::Female } else { Sex::Male };
    let town = TOWNS.choose_weighted(random, |town| town.share).unwrap_or(&TOWNS[0]);
    let mut conditions: Vec<String> = Vec::new();
    for condition in &CONDITIONS {
        if age < 15 && condition.at_20 < condition.at_80 {
            continue;
        }
        let years = f64::from(age - 20).clamp(0.0, 60.0);
        let mut likely = condition.at_20 + (condition.at_80 - condition.at_20) * years / 60.0;
        if condition.follows.iter().any(|cause| conditions.iter().any(|has| has == cause)) {
            likely *= 3.0;
        }
        if happens(likely, random) && condition.only.is_none_or(|only| only == sex) {
            conditions.push(condition.name.to_owned());
        }
    }
    let pregnant = sex == Sex::Female && (18..=42).contains(&age) && happens(50.0, random);
    let mut allergies: Vec<String> = ALLERGIES
        .iter()
        .filter(|(_, per_mille)| happens(*per_mille, random))
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let mut lifestyle = Vec::new();
    if conditions.iter().any(|name| name == "tobacco dependence") {
        lifestyle.push("smoker".to_owned());
    }
    for (word, per_mille) in [("vegetarian", 80.0), ("active", 350.0), ("sedentary", 300.0)] {
        if happens(per_mille, random) && !(word == "sedentary" && lifestyle.contains(&"active".to_owned())) {
            lifestyle.push(word.to_owned());
        }
    }
    let location = near(town, random);
    let mut person = Person {
        id: format!("u{number}"),
        age,
        birth_year: year_of(today) - age,
        sex,
        conditions,
        allergies: Vec::new(),
        pregnant,
        lifestyle,
        location,
    };
    // The first person is the one the documentation talks about.
    if number == 1 {
        person.age = 61;
        person.birth_year = year_of(today) - 61;
        person.sex = Sex::Female;
        person.pregnant = false;
        person.conditions = ["hypertension", "hyperlipidemia", "type 2 diabetes", "osteoarthritis"]
            .map(str::to_owned)
            .to_vec();
        allergies = vec!["penicillin".to_owned()];
    }
    person.allergies = allergies;
    person
}

/// A person as the store has it, and a year.
pub(super) struct Year {
    pub user: User,
    pub interactions: Vec<Interaction>,
}

pub(super) fn year(
    person: &Person,
    tables: &Tables,
    places: &Places,
    today: Millis,
    random: &mut impl Rng,
) -> Year {
    let mut diary = Diary { person, today, rows: Vec::new(), taken: BTreeSet::new() };
    let mut reasons: Vec<&str> = person.conditions.iter().map(String::as_str).collect();
    let lasting = reasons.len();
    for (complaint, per_mille) in COMPLAINTS {
        if happens(per_mille, random) {
            reasons.push(complaint);
        }
    }

    let mut current: Vec<&Drug> = Vec::new();
    for (at, reason) in reasons.iter().enumerate() {
        // A lasting condition has one drug or two, refilled through the year.
        let (drugs, fills) = if at < lasting { (random.random_range(1..=2), 2..5) } else { (1, 1..2) };
        for _ in 0..drugs {
            let Some(drug) = prescribe(person, reason, &current, tables, random) else {
                break;
            };
            let fills = random.random_range(fills.clone());
            diary.repeat(&drug.item.item_id, "prescription", fills, random);
            let pharmacy = by_distance(&all(&places.pharmacies), person.location, random);
            if let Some(pharmacy) = pharmacy {
                diary.repeat(&pharmacy.item.item_id, "dispense", fills.min(2), random);
            }
            if at < lasting {
                current.push(drug);
            }
        }
    }
    diary.visit_places(&reasons, places, random);
    diary.follow_advice(tables, random);

    let known = |values: Vec<String>, random: &mut _| {
        (person.id == "u1" || !happens(NOT_ASKED, random)).then_some(values)
    };
    let medications = current.iter().map(|drug| drug.item.name.clone()).collect();
    let profile = Profile {
        birth_year: Some(person.birth_year),
        sex: Some(person.sex),
        conditions: Some(person.conditions.clone()),
        allergies: known(person.allergies.clone(), random),
        medications: known(medications, random),
        pregnant: (person.sex == Sex::Female).then_some(person.pregnant),
        lifestyle: person.lifestyle.clone(),
        latitude: Some(person.location.0),
        longitude: Some(person.location.1),
        recorded: Default::default(),
    };
    Year { user: User { user_id: person.id.clone(), profile }, interactions: diary.rows }
}

/// A drug for this reason that this person may take beside the others: the table lists the
/// usual choices first, and the first is the likeliest.
fn prescribe<'a>(
    person: &Person,
    reason: &str,
    current: &[&Drug],
    tables: &'a Tables,
    random: &mut impl Rng,
) -> Option<&'a Drug> {
    let choices: Vec<(usize, &Drug)> = tables
        .drugs
        .iter()
        .filter(|drug| drug.treats.iter().any(|treated| treated == reason))
        .filter(|drug| may_take(person, drug, current))
        .enumerate()
        .collect();
    choices.choose_weighted(random, |(rank, _)| 1.0 / (1.0 + *rank as f64)).ok().map(|(_, drug)| *drug)
}

fn may_take(person: &Person, drug: &Drug, current: &[&Drug]) -> bool {
    let rules = &drug.item.contraindications;
    let none_of = |ours: &[String], theirs: &[String]| !ours.iter().any(|code| theirs.contains(code));
    let apart = |one: &Drug, other: &Drug| {
        let named = |rule: &str| {
            rule == other.item.name || other.item.contraindications.therapeutic_class.as_deref() == Some(rule)
        };
        !one.item.contraindications.interacts_with.iter().any(|rule| named(rule))
    };
    none_of(&drug.avoided, &person.conditions)
        && none_of(&rules.allergies, &person.allergies)
        && !(rules.pregnancy && person.pregnant)
        && drug.sex.is_none_or(|sex| sex == person.sex)
        && rules.min_age.is_none_or(|age| person.age >= i32::from(age))
        && current.iter().all(|taken| {
            let same_class = rules.therapeutic_class == taken.item.contraindications.therapeutic_class;
            !same_class && apart(drug, taken) && apart(taken, drug)
        })
}

/// The year of one person while it is being written.
struct Diary<'a> {
    person: &'a Person,
    today: Millis,
    rows: Vec<Interaction>,
    /// Which (item, event, time) there are already: the same one twice would be one.
    taken: BTreeSet<(String, &'static str, Millis)>,
}

impl Diary<'_> {
    fn repeat(&mut self, item_id: &str, event: &'static str, times: u32, random: &mut impl Rng) {
        for _ in 0..times {
            // Office hours of some day of the year, to the minute.
            let minute = random.random_range(8 * 60..18 * 60);
            let time = self.today - DAY_MS * random.random_range(1..=365) + minute * 60_000;
            if self.taken.insert((item_id.to_owned(), event, time)) {
                self.rows.push(Interaction {
                    user_id: self.person.id.clone(),
                    item_id: item_id.to_owned(),
                    event: event.to_owned(),
                    weight: 1.0,
                    time,
                });
            }
        }
    }

    fn visit_places(&mut self, reasons: &[&str], places: &Places, random: &mut impl Rng) {
        let mut needed = vec![0];
        for (specialty, (_, conditions)) in SPECIALTIES.iter().enumerate().skip(1) {
            if conditions.iter().any(|name| reasons.contains(name)) {
                needed.push(specialty);
            }
        }
        for specialty in needed {
            let of_it = |place: &&Place| place.specialties.contains(&specialty);
            // Everybody sees a family doctor; specialists and wards see those who are worse off.
            if specialty == 0 || random.random_bool(0.7) {
                let doctors: Vec<&Place> = places.doctors.iter().filter(of_it).collect();
                if let Some(doctor) = by_distance(&doctors, self.person.location, random) {
                    let visits = random.random_range(1..=4);
                    self.repeat(&doctor.item.item_id, "visit", visits, random);
                }
            }
            if random.random_bool(if specialty == 0 { 0.3 } else { 0.45 }) {
                let hospitals: Vec<&Place> = places.hospitals.iter().filter(of_it).collect();
                if let Some(hospital) = by_distance(&hospitals, self.person.location, random) {
                    let visits = random.random_range(1..=2);
                    self.repeat(&hospital.item.item_id, "visit", visits, random);
                }
            }
        }
    }

    fn follow_advice(&mut self, tables: &Tables, random: &mut impl Rng) {
        for advice in &tables.advice {
            let rules = &advice.item.contraindications;
            let age = self.person.age;
            let has = |name: &String| self.person.conditions.contains(name);
            if rules.conditions.iter().any(has)
                || rules.min_age.is_some_and(|min| age < i32::from(min))
                || rules.max_age.is_some_and(|max| age > i32::from(max))
            {
                continue;
            }
            let likely = if advice.suits.iter().any(has) {
                0.4
            } else if advice.suits.iter().any(|name| name == "any") {
                0.2
            } else {
                0.01
            };
            if random.random_bool(likely) {
                let times = random.random_range(1..=2);
                self.repeat(&advice.item.item_id, "follow", times, random);
            }
        }
    }
}

fn all(places: &[Place]) -> Vec<&Place> {
    places.iter().collect()
}
