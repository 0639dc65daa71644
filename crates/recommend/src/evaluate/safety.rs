//! Lists of drugs before and after the rules: how often two drugs of one list interact.
//!
//! The rate of drug-drug interactions (DDI) is that of the literature on recommending medications (such as
//! GAMENet, AAAI 2019): of all pairs of drugs that stand in one list, the share that a rule speaks
//! against, counted over the lists of all people. The list before the rules is the k best by score; the
//! one after them is chosen by the code that answers in the server. A *conflict* is a pair that the
//! rules do not let stand together: an interaction that is more than a caution, or the same therapy
//! twice. After the rules there is none.
//!
//! What a person takes is what is known of the person's items: what a profile says of medications is
//! not looked at, since it would tell what is held out.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::metrics::{Metrics, Tally};
use super::{HeldOut, best};
use crate::answer::{RecommendError, Request};
use crate::answering::safe_list;
use crate::catalogue::{Catalogue, Entry};
use crate::data::{Contraindications, Item, Kind, Millis, Profile, User};
use crate::filters::{Medication, Patient};
use crate::layers::Layers;
use crate::ranking::Candidate;
use crate::settings::Settings;
use crate::snapshot::KindSnapshot;
use crate::terminology::Terminology;

/// The rules that lists are held to, and what has been counted of them.
pub struct DrugLists {
    kind: KindSnapshot,
    terminology: Arc<Terminology>,
    settings: Settings,
    profiles: HashMap<String, Profile>,
    now: Millis,
    k: usize,
    known_drugs: usize,
    abstained: usize,
    before: Count,
    after: Count,
}

/// Lists of drugs, before and after the rules.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrugListReport {
    /// Of the items that can be recommended, those that are described; the others are known by their ids.
    pub known_drugs: usize,
    /// People for whom candidates were found.
    pub people: usize,
    /// How many of them are recommended nothing, since what a rule needs is not recorded.
    pub abstained: usize,
    /// The k best by score.
    pub before: ListSafety,
    /// What the rules leave.
    pub after: ListSafety,
}

/// What stands together in lists.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListSafety {
    /// Mean length of a list.
    pub length: f64,
    /// Pairs of drugs within a list, all lists together.
    pub pairs: usize,
    /// Share of them that interact by any rule, cautions among them.
    pub ddi_rate: f64,
    /// Pairs that the rules do not let stand together.
    pub conflicts: usize,
    /// Share of the pairs of a recommended drug and one that is taken that interact by any rule.
    pub ddi_rate_with_taken: f64,
    /// How good the lists are.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// Sums on the way to [`ListSafety`].
struct Count {
    tally: Tally,
    drugs: usize,
    pairs: usize,
    interacting: usize,
    conflicts: usize,
    with_taken: usize,
    interacting_with_taken: usize,
}

impl Count {
    fn new(items: usize, k: usize) -> Self {
        let tally = Tally::new(items, k);
        let (drugs, pairs, interacting, conflicts) = (0, 0, 0, 0);
        Self { tally, drugs, pairs, interacting, conflicts, with_taken: 0, interacting_with_taken: 0 }
    }

    /// Counts one list, best first.
    fn add(&mut self, catalogue: &Catalogue, list: &[u32], own: &[u32], wanted: &[u32]) {
        self.tally.add(list, wanted, !list.is_empty());
        self.drugs += list.len();
        let entry = |item: &u32| Some((*item, catalogue.get(*item)?.as_ref()));
        let listed: Vec<(u32, &Entry)> = list.iter().filter_map(entry).collect();
        for (place, &(number, drug)) in listed.iter().enumerate() {
            let beside = Medication::recommended(number, drug);
            for &(other, second) in &listed[place + 1..] {
                self.pairs += 1;
                self.interacting += usize::from(beside.interacts(second));
                self.conflicts += usize::from(beside.excludes(other, second).is_some());
            }
            for (_, taken) in own.iter().filter_map(entry) {
                self.with_taken += 1;
                self.interacting_with_taken += usize::from(beside.interacts(taken));
            }
        }
    }

    fn report(self, people: usize) -> ListSafety {
        let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
        ListSafety {
            length: share(self.drugs, people),
            pairs: self.pairs,
            ddi_rate: share(self.interacting, self.pairs),
            conflicts: self.conflicts,
            ddi_rate_with_taken: share(self.interacting_with_taken, self.with_taken),
            metrics: self.tally.metrics(),
        }
    }
}

impl DrugLists {
    /// The rules of these drugs, for lists of k of what can be computed from `known`. An item that is not
    /// described has no rules, and of a person who is not, nothing is recorded.
    pub fn new(
        drugs: impl IntoIterator<Item = Item>,
        people: impl IntoIterator<Item = User>,
        known: &Layers,
        settings: &Settings,
        k: usize,
        now: Millis,
    ) -> Self {
        let terminology = Terminology::shared(&[]);
        let mut drugs: HashMap<String, Item> = drugs
            .into_iter()
            .filter(|drug| drug.kind == Kind::Drug)
            .map(|drug| (drug.item_id.clone(), drug))
            .collect();
        let mut catalogue = Catalogue::default();
        let mut known_drugs = 0;
        for number in 0..known.items.len() as u32 {
            let name = known.items.name(number);
            let described = drugs.remove(name);
            known_drugs += usize::from(described.is_some());
            let drug = described.unwrap_or_else(|| named_alone(name));
            catalogue.set(number, Some(Arc::new(Entry::new(drug, &terminology))));
        }
        let count = || Count::new(known.items.len(), k);
        Self {
            kind: KindSnapshot { layers: known.clone(), catalogue },
            terminology,
            settings: settings.clone(),
            profiles: people.into_iter().map(|user| (user.user_id, user.profile)).collect(),
            now,
            k,
            known_drugs,
            abstained: 0,
            before: count(),
            after: count(),
        }
    }

    /// How many of the drugs can be recommended.
    pub fn known_drugs(&self) -> usize {
        self.known_drugs
    }

    /// Counts the two lists of one case, whose candidates are in any order.
    ///
    /// # Errors
    /// A score that is no number.
    pub fn add(&mut self, case: &HeldOut, candidates: &[Candidate]) -> Result<(), RecommendError> {
        let KindSnapshot { layers, catalogue } = &self.kind;
        let before = best(layers, case.own.view(), candidates.iter().copied(), self.k);
        if before.is_empty() {
            return Ok(());
        }
        let name = |item: &u32| catalogue.get(*item).map(|entry| entry.item.name.clone());
        let profile = Profile {
            medications: Some(case.own.items.iter().filter_map(name).collect()),
            ..self.profiles.get(&case.user_id).cloned().unwrap_or_default()
        };
        let patient = Patient::new(
            &profile,
            Kind::Drug,
            catalogue,
            catalogue,
            &self.terminology,
            &self.settings,
            self.now,
        );
        self.abstained += usize::from(patient.abstains().is_some());
        let request = Request { limit: self.k, ..Request::new(case.user_id.clone(), Kind::Drug, self.now) };
        let mut seen = case.own.items.clone();
        seen.sort_unstable();
        let after = safe_list(&self.kind, patient, &request, seen, candidates.to_vec())?;
        self.before.add(catalogue, &before, &case.own.items, &case.items);
        self.after.add(catalogue, &after, &case.own.items, &case.items);
        Ok(())
    }

    /// What was counted.
    pub fn report(self) -> DrugListReport {
        let people = self.before.tally.users();
        DrugListReport {
            known_drugs: self.known_drugs,
            people,
            abstained: self.abstained,
            before: self.before.report(people),
            after: self.after.report(people),
        }
    }
}

/// A drug of which its identifier alone is known.
fn named_alone(id: &str) -> Item {
    Item {
        item_id: id.to_owned(),
        kind: Kind::Drug,
        name: id.to_owned(),
        attributes: serde_json::Map::new(),
        latitude: None,
        longitude: None,
        hidden: false,
        repeatable: false,
        contraindications: Contraindications::default(),
    }
}
