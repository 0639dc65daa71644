//! What is known of people and items besides the interactions: conditions, age band, sex, lifestyle
//! and places, from the same files that `medserve import users` and `import items` read, and reasons
//! from columns of the interactions themselves.
//!
//! Age band, sex and lifestyle do not follow from what somebody has: they are columns beside the items
//! ([`Who`]). Conditions may, since a drug tells what it was given for, and so they are counted apart
//! ([`super::head`]).
//!
//! A reason belongs to its row. Whoever is asked about an item that is held out must not be known by
//! the reason of that item, so reasons are kept by person and item, and
//! [`Circumstances::conditions_of`] is told which items count.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use recommend::{
    CsvTable, FieldError, Groups, Item, Kind, Place, User, clock, condition_feature, features_of,
};
use serde::de::DeserializeOwned;

use super::InteractionOptions;
use super::ease::Who;

/// Circumstances of fewer people are left out: they would say something of each of them.
const MIN_PEOPLE: usize = 5;
/// How conditions begin among the circumstances.
const CONDITION: &str = "condition: ";

/// Where circumstances are read from.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CircumstanceOptions {
    /// JSON lines of people, as `medserve import users` reads them: their conditions, age, sex,
    /// lifestyle and place count in the score
    #[arg(long, env = "MEDSERVE_PEOPLE")]
    pub people: Option<PathBuf>,
    /// JSON lines of items, as `medserve import items` reads them: with the places of people, the
    /// distance counts in the score
    #[arg(long, env = "MEDSERVE_ITEMS", requires = "people")]
    pub items: Option<PathBuf>,
    /// Columns of the interactions with the condition that each was for; they count as conditions of
    /// the person, except that of what is held out
    #[arg(long, env = "MEDSERVE_REASON_COLUMNS", value_delimiter = ',')]
    pub reason_columns: Vec<String>,
}

/// What is known of people and items.
#[derive(Debug, Default)]
pub struct Circumstances {
    /// Ages, sexes, pregnancy and words of lifestyle, sorted, by number.
    pub who: Vec<String>,
    /// Conditions, sorted, by number.
    pub conditions: Vec<String>,
    who_of: HashMap<String, Vec<u32>>,
    conditions_of: HashMap<String, Vec<u32>>,
    reasons: HashMap<String, HashMap<String, Vec<u32>>>,
    people: HashMap<String, Place>,
    items: HashMap<String, Place>,
}

impl Who for Circumstances {
    fn count(&self) -> usize {
        self.who.len()
    }

    fn of(&self, person: &str) -> &[u32] {
        self.who_of.get(person).map_or(&[][..], Vec::as_slice)
    }
}

impl Circumstances {
    /// Reads the files that are named; of what is of another kind than `kind` nothing is kept.
    ///
    /// # Errors
    /// A file that cannot be read, with its line; circumstances of which none is shared by enough.
    pub fn read(
        options: &CircumstanceOptions,
        interactions: &InteractionOptions,
        kind: Option<Kind>,
    ) -> Result<Option<Self>> {
        if options.people.is_none() && options.reason_columns.is_empty() {
            return Ok(None);
        }
        let now = clock::now();
        let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut all = Self::default();
        if let Some(path) = &options.people {
            for user in json_lines(path, |user: &User| user.validate("", now))? {
                let features = features_of(&user.profile, now);
                let place = Place::new(user.profile.latitude, user.profile.longitude);
                all.people.extend(place.map(|place| (user.user_id.clone(), place)));
                known.entry(user.user_id).or_default().extend(features);
            }
        }
        if let Some(path) = &options.items {
            for item in json_lines(path, |item: &Item| item.validate(""))? {
                let place = Place::new(item.latitude, item.longitude);
                if kind.is_none_or(|kind| kind == item.kind) {
                    all.items.extend(place.map(|place| (item.item_id, place)));
                }
            }
        }
        let reasons = read_reasons(&options.reason_columns, interactions)?;
        all.keep(known, reasons);
        ensure!(
            !all.who.is_empty() || !all.conditions.is_empty() || !all.items.is_empty(),
            "no circumstance is shared by {MIN_PEOPLE} people, and no place is known: there is nothing to count"
        );
        Ok(Some(all))
    }

    /// Numbers what enough people share.
    fn keep(
        &mut self,
        known: BTreeMap<String, BTreeSet<String>>,
        reasons: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    ) {
        let mut people: BTreeMap<&str, usize> = BTreeMap::new();
        let everybody: BTreeSet<&String> = known.keys().chain(reasons.keys()).collect();
        for person in everybody {
            let of_reasons = reasons.get(person).into_iter().flat_map(BTreeMap::values).flatten();
            let features: BTreeSet<&String> =
                known.get(person).into_iter().flatten().chain(of_reasons).collect();
            for feature in features {
                *people.entry(feature).or_default() += 1;
            }
        }
        let kept = people.into_iter().filter(|&(_, count)| count >= MIN_PEOPLE);
        let kept = kept.map(|(feature, _)| feature.to_owned());
        (self.conditions, self.who) = kept.partition(|feature| feature.starts_with(CONDITION));
        let numbers = |names: &[String], features: &BTreeSet<String>| -> Vec<u32> {
            let number = |feature: &String| names.binary_search(feature).ok();
            features.iter().filter_map(|feature| Some(number(feature)? as u32)).collect()
        };
        let of_everybody = |names: &[String]| {
            known.iter().map(|(person, features)| (person.clone(), numbers(names, features))).collect()
        };
        self.who_of = of_everybody(&self.who);
        self.conditions_of = of_everybody(&self.conditions);
        let of_items = |items: &BTreeMap<String, BTreeSet<String>>| {
            let of_item =
                |(item, features): (&String, _)| (item.clone(), numbers(&self.conditions, features));
            items.iter().map(of_item).collect()
        };
        self.reasons = reasons.iter().map(|(person, items)| (person.clone(), of_items(items))).collect();
    }

    /// The numbers of somebody's conditions, ascending and distinct, where of the reasons those of
    /// `items` are known.
    pub fn conditions_of<'a>(&self, person: &str, items: impl Iterator<Item = &'a str>) -> Vec<u32> {
        let mut conditions = self.conditions_of.get(person).cloned().unwrap_or_default();
        if let Some(reasons) = self.reasons.get(person) {
            for item in items {
                conditions.extend(reasons.get(item).into_iter().flatten());
            }
        }
        conditions.sort_unstable();
        conditions.dedup();
        conditions
    }

    /// How far it is from a person to an item, in kilometres, where both places are known.
    pub fn distance_km(&self, person: &str, item: &str) -> Option<f64> {
        Some(self.people.get(person)?.distance_km(*self.items.get(item)?))
    }

    /// The age bands and sexes of these people, as groups to measure by.
    pub fn groups<'a>(&self, people: impl Iterator<Item = &'a str>) -> Groups {
        // Tens of years, not halves of them nor the two together.
        let tens = |age: &str| {
            let ends =
                age.split_once(" to ").map(|(first, last)| (first.parse::<i32>(), last.parse::<i32>()));
            matches!(ends, Some((Ok(first), Ok(last))) if last == first + 9)
        };
        let of_group = |feature: &&String| {
            feature.starts_with("sex: ") || feature.strip_prefix("age: ").is_some_and(tens)
        };
        let groups = |person: &str| -> Vec<String> {
            let who = self.of(person).iter().map(|&number| &self.who[number as usize]);
            who.filter(of_group).cloned().collect()
        };
        people.map(|person| (person.to_owned(), groups(person))).collect()
    }
}

/// Every line of a file as one value. Values are not repeated in errors.
pub(super) fn json_lines<T: DeserializeOwned>(
    path: &Path,
    check: impl Fn(&T) -> Vec<FieldError>,
) -> Result<Vec<T>> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let mut values = Vec::new();
    for (number, line) in (1..).zip(BufReader::new(file).lines()) {
        let place = || format!("{}: line {number}", path.display());
        let line = line.with_context(place)?;
        if line.trim().is_empty() {
            continue;
        }
        let value: T = serde_json::from_str(&line).with_context(place)?;
        if let Some(error) = check(&value).first() {
            anyhow::bail!("{}: {} {}", place(), error.pointer, error.detail);
        }
        values.push(value);
    }
    Ok(values)
}

/// By person and item, the conditions that interactions were for.
fn read_reasons(
    columns: &[String],
    interactions: &InteractionOptions,
) -> Result<BTreeMap<String, BTreeMap<String, BTreeSet<String>>>> {
    let mut reasons: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    if columns.is_empty() {
        return Ok(reasons);
    }
    let path = &interactions.interactions;
    let place = || path.display().to_string();
    let mut read = || -> Result<()> {
        let mut table = CsvTable::new(File::open(path)?)?;
        let (user, item) =
            (table.column(&interactions.user_column)?, table.column(&interactions.item_column)?);
        let places = columns.iter().map(|name| table.column(name)).collect::<Result<Vec<_>, _>>()?;
        while let Some(row) = table.next_row()? {
            let told = places.iter().map(|&place| row.get(place));
            // A code that stands for no item stands for no reason either.
            let told =
                told.filter(|told| !told.is_empty() && !interactions.no_item.iter().any(|no| no == told));
            let features: Vec<String> = told.map(condition_feature).collect();
            if !features.is_empty() {
                let of_person = reasons.entry(row.get(user).to_owned()).or_default();
                of_person.entry(row.get(item).to_owned()).or_default().extend(features);
            }
        }
        Ok(())
    };
    read().with_context(place)?;
    Ok(reasons)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recommender::head::Lifts;
    use recommend::{Loader, Partition, Split, Weighing};

    /// Eight people with two drugs each, told why; a ninth has a condition of nobody else.
    fn written(folder: &Path, without: Option<(&str, &str)>) -> InteractionOptions {
        let mut text = String::from("person,drug,why\n");
        for person in 1..=8 {
            let second = if person % 2 == 0 { "statin" } else { "insulin" };
            for (drug, why) in [("aspirin", "Heart"), (second, if person < 8 { "Heart" } else { "Sugar" })] {
                if without != Some((person.to_string().as_str(), drug)) {
                    text += &format!("{person},{drug},{why}\n");
                }
            }
        }
        text += "9,aspirin,Rare\n";
        std::fs::write(folder.join("events.csv"), text).unwrap();
        InteractionOptions {
            interactions: folder.join("events.csv"),
            user_column: "person".into(),
            item_column: "drug".into(),
            weight_column: None,
            time_column: None,
            no_item: Vec::new(),
        }
    }

    fn read(options: &InteractionOptions, people: Option<PathBuf>) -> Result<Circumstances> {
        let reason_columns = vec!["why".to_owned()];
        let given = CircumstanceOptions { people, items: None, reason_columns };
        Ok(Circumstances::read(&given, options, None)?.unwrap())
    }

    #[test]
    fn a_reason_is_known_by_its_own_item_alone() {
        let folder = tempfile::tempdir().unwrap();
        let options = written(folder.path(), None);
        let people = folder.path().join("people.jsonl");
        let line = |n: u32| {
            format!(
                "{{\"user_id\": \"{n}\", \"profile\": {{\"sex\": \"female\", \"conditions\": [\"Gout\"]}}}}\n"
            )
        };
        std::fs::write(&people, (1..=5).map(line).collect::<String>()).unwrap();
        let all = read(&options, Some(people.clone())).unwrap();
        assert_eq!(all.conditions, ["condition: gout", "condition: heart"], "no condition of few");
        assert_eq!(all.who, ["sex: female"]);
        assert_eq!((all.of("1"), all.of("8")), (&[0][..], &[][..]));
        let of = |person: &str, items: &[&str]| all.conditions_of(person, items.iter().copied());
        assert_eq!(of("1", &["aspirin", "insulin"]), [0, 1]);
        assert_eq!(of("1", &[]), [0], "the reason of what is held out is not known");
        assert_eq!((of("8", &["statin"]), of("8", &["aspirin"])), (vec![], vec![1]));

        // Measured is by tens of years and by sex.
        let year = clock::year_of(clock::now()) - 66;
        let line = |n: u32| {
            format!(
                "{{\"user_id\": \"{n}\", \"profile\": {{\"sex\": \"female\", \"birth_year\": {year}, \"pregnant\": true}}}}\n"
            )
        };
        std::fs::write(&people, (1..=5).map(line).collect::<String>()).unwrap();
        let all = read(&options, Some(people.clone())).unwrap();
        let who = ["age: 60 to 69", "age: 60 to 69, sex: female", "age: 65 to 69", "pregnant", "sex: female"];
        assert_eq!(all.who, who);
        assert_eq!(all.groups(["1", "8"].into_iter())["1"], ["age: 60 to 69", "sex: female"]);

        std::fs::write(&people, "{\"user_id\": \"1\", \"profile\": {\"birth_year\": 1}}\n").unwrap();
        let error = read(&options, Some(people)).unwrap_err().to_string();
        assert!(error.contains("people.jsonl: line 1: /profile/birth_year must be"), "{error}");
    }

    /// What is held out is taken out of the counts: the columns are those that are counted anew.
    #[test]
    fn lifts_without_one_are_those_counted_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let options = written(folder.path(), None);
        let all = read(&options, None).unwrap();
        let events = options.read().unwrap();
        let partition = Partition::new(&events, Split::LeaveOneOut, 1, &Weighing::default());
        let known = &partition.known;
        let lifts = Lifts::new(known, &all);
        let history = vec![1.0; known.items.len()];
        for case in partition.held_out.iter().filter(|case| case.user_id != "8") {
            let folder = tempfile::tempdir().unwrap();
            let fewer = written(folder.path(), Some((case.user_id.as_str(), case.item_ids[0].as_str())));
            let anew = read(&fewer, None).unwrap();
            let mut loader = Loader::new(Weighing::default());
            for event in fewer.read().unwrap() {
                loader.push(&event.user_id, &event.item_id, &event.event, event.weight, event.time);
            }
            let layers = loader.finish();
            let (ours, expected) = (
                lifts.sample(known, case, true, &history),
                Lifts::new(&layers, &anew).sample(&layers, case, false, &history),
            );
            let item = case.items[0] as usize;
            let (ours, expected) = (ours.column(1)[item], expected.column(1)[item]);
            assert!((ours - expected).abs() < 1e-5, "{ours} where {expected} was expected: {case:?}");
        }
    }
}
