//! The demo region: an invented island with people, hospitals, doctors, pharmacies, drugs and
//! advice, and a year of what happened between them, made from a seed.
//!
//! It exists so that every example of the documentation has something to answer with, and so
//! that the safety filters have something to filter. The drugs are real generic names with
//! contraindications and interactions of common knowledge, written down for demonstration: they
//! are not complete, not checked, and no medical advice. Each pair of `interactions.csv` names a
//! public document that tells of it, for whoever wants to compare. People and places are invented.
//!
//! The history is plausible rather than random: age brings conditions, conditions bring
//! prescriptions that this very person may take, specialists, and advice that fits; places are
//! visited by distance. So similar people have similar histories, and neighbors mean something.

mod people;
mod places;
mod tables;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{Case, Loaded, Store, StoreError, StoredCase};
use recommend::{Interaction, Item, Millis, User};

/// The seed of the region the documentation's examples are about.
pub const SEED: u64 = 7;

/// How many people live in the region: `u1` to `u2000`.
pub const PEOPLE: usize = 2_000;

const DAY_MS: Millis = 86_400_000;

/// Everything there is.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    pub users: Vec<User>,
    pub items: Vec<Item>,
    pub interactions: Vec<Interaction>,
}

/// Makes the region with its year of history ending at `now`. The same arguments give the same
/// region; another day only moves the times.
pub fn generate(seed: u64, now: Millis) -> Region {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let tables = tables::Tables::read();
    let places = places::generate(&mut random);
    let mut items: Vec<Item> = places.items().collect();
    items.extend(tables.items());
    let mut region = Region { users: Vec::with_capacity(PEOPLE), items, interactions: Vec::new() };
    // History in whole days, so that a restart on the same day finds the same times.
    let today = now.div_euclid(DAY_MS) * DAY_MS;
    for number in 1..=PEOPLE {
        let person = people::person(number, today, &mut random);
        let history = people::year(&person, &tables, &places, today, &mut random);
        region.users.push(history.user);
        region.interactions.extend(history.interactions);
    }
    region
}

/// Invented cases, for a search to find.
pub fn cases() -> Vec<StoredCase> {
    let line = |line| {
        let case: Case = serde_json::from_str(line).expect("a case a line");
        StoredCase { case, vector: None }
    };
    include_str!("cases.jsonl").lines().map(line).collect()
}

/// Fills an empty store with the region and says what it loaded; a store that holds anything is
/// left as it is, `None`.
pub async fn load(store: &dyn Store, seed: u64, now: Millis) -> Result<Option<Loaded>, StoreError> {
    if store.counts().await? != Default::default() {
        return Ok(None);
    }
    let region = generate(seed, now);
    let mut load = store.begin_load().await?;
    load.users(&region.users).await?;
    load.items(&region.items).await?;
    load.interactions(&region.interactions).await?;
    load.cases(&cases()).await?;
    load.commit(None).await.map(Some)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashMap};

    use super::*;
    use recommend::Kind;

    const NOW: Millis = 1_700_000_000_000;

    #[test]
    fn the_same_seed_gives_the_same_region() {
        assert_eq!(generate(SEED, NOW), generate(SEED, NOW));
        assert_ne!(generate(SEED, NOW).interactions, generate(SEED + 1, NOW).interactions);
    }

    #[test]
    fn everything_in_it_passes_the_rules_for_data() {
        let region = generate(SEED, NOW);
        for user in &region.users {
            assert_eq!(user.validate("", NOW), [], "{}", user.user_id);
        }
        for item in &region.items {
            assert_eq!(item.validate(""), [], "{}", item.item_id);
        }
        for stored in cases() {
            assert_eq!(stored.case.validate(""), [], "{}", stored.case.case_id);
        }
        let users: BTreeSet<&str> = region.users.iter().map(|u| u.user_id.as_str()).collect();
        let items: BTreeSet<&str> = region.items.iter().map(|i| i.item_id.as_str()).collect();
        assert_eq!((users.len(), items.len()), (region.users.len(), region.items.len()));
        let mut keys = BTreeSet::new();
        for row in &region.interactions {
            assert_eq!(row.validate("", NOW), []);
            assert!(users.contains(row.user_id.as_str()) && items.contains(row.item_id.as_str()));
            assert!(keys.insert((&row.user_id, &row.item_id, &row.event, row.time)));
        }
    }

    #[test]
    fn it_has_people_and_things_of_every_kind_and_a_history_of_each() {
        let region = generate(SEED, NOW);
        assert_eq!(region.users.len(), PEOPLE);
        assert_eq!(region.users[0].user_id, "u1");
        assert_eq!(region.users[PEOPLE - 1].user_id, "u2000");
        let mut items: BTreeMap<Kind, usize> = BTreeMap::new();
        let kinds: HashMap<&str, Kind> = region.items.iter().map(|i| (i.item_id.as_str(), i.kind)).collect();
        for kind in kinds.values() {
            *items.entry(*kind).or_default() += 1;
        }
        assert!(items[&Kind::Drug] >= 150, "{items:?}");
        for kind in Kind::ALL {
            assert!(items[&kind] >= 10, "{kind}");
            let of_kind = |row: &&Interaction| kinds[row.item_id.as_str()] == kind;
            let users: BTreeSet<&str> =
                region.interactions.iter().filter(of_kind).map(|row| row.user_id.as_str()).collect();
            assert!(users.len() > PEOPLE / 3, "{kind}: {} users", users.len());
        }
    }

    #[test]
    fn nobody_was_prescribed_what_their_profile_rules_out() {
        let region = generate(SEED, NOW);
        let drugs: HashMap<&str, &Item> =
            region.items.iter().map(|item| (item.item_id.as_str(), item)).collect();
        let profiles: HashMap<&str, &User> =
            region.users.iter().map(|user| (user.user_id.as_str(), user)).collect();
        for row in region.interactions.iter().filter(|row| row.event == "prescription") {
            let rules = &drugs[row.item_id.as_str()].contraindications;
            let profile = &profiles[row.user_id.as_str()].profile;
            let clash = |ours: &[String], theirs: &Option<Vec<String>>| {
                theirs.iter().flatten().any(|code| ours.contains(code))
            };
            assert!(!clash(&rules.conditions, &profile.conditions), "{row:?}");
            assert!(!clash(&rules.allergies, &profile.allergies), "{row:?}");
            assert!(!(rules.pregnancy && profile.pregnant == Some(true)), "{row:?}");
        }
    }

    #[test]
    fn interactions_and_conditions_of_drugs_name_things_that_exist() {
        let region = generate(SEED, NOW);
        let drugs: Vec<&Item> = region.items.iter().filter(|i| i.kind == Kind::Drug).collect();
        let known: BTreeSet<&str> = drugs
            .iter()
            .flat_map(|drug| [Some(drug.name.as_str()), drug.contraindications.therapeutic_class.as_deref()])
            .flatten()
            .collect();
        // Named as partners although the region does not stock them.
        let elsewhere = ["aminoglycoside", "carbapenem", "mercaptopurine", "tizanidine"];
        for drug in &drugs {
            assert!(
                drug.contraindications
                    .rules
                    .iter()
                    .all(|rule| !rule.source.is_empty() && !rule.note.is_empty()),
                "{}: a rule without a source",
                drug.name
            );
            for partner in &drug.contraindications.interacts_with {
                assert!(
                    known.contains(partner.as_str()) || elsewhere.contains(&partner.as_str()),
                    "{} interacts with {partner:?}, which is neither a drug nor a class",
                    drug.name
                );
            }
        }
    }
}
