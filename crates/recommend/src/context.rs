//! People in like circumstances: for those whose own history says too little.
//!
//! A person's context is a set of features: each condition, the age band (tens of years) and each
//! word of lifestyle. Two people are as alike as the share of their features they have in common
//! (Jaccard: shared / all of either).

use std::sync::Arc;

use super::candidates::Circumstances;
use super::clock::year_of;
use super::data::{Millis, Profile};
use super::neighbors::best::Best;
use super::terminology::normalise;

/// A person in a snapshot. The year-dependent age band is made when asked for.
#[derive(Debug, Clone)]
pub struct Person {
    pub profile: Profile,
    /// Conditions and lifestyle as they are compared, sorted, distinct.
    features: Vec<String>,
}

impl Person {
    pub fn new(profile: Profile) -> Self {
        let conditions = profile.conditions.as_deref().unwrap_or_default();
        let mut features: Vec<String> = conditions
            .iter()
            .map(|code| condition_feature(code))
            .chain(profile.lifestyle.iter().map(|word| format!("lifestyle: {}", normalise(word))))
            .collect();
        features.sort_unstable();
        features.dedup();
        Self { profile, features }
    }

    /// The tens of years the person turns or turned this year, such as 60.
    fn age_band(&self, now: Millis) -> Option<i32> {
        self.profile.birth_year.map(|year| (year_of(now) - year).div_euclid(10) * 10)
    }

    /// Everything that a learned score may count: the features above, the age (tens of years and halves of
    /// them), the sex, both together, and a pregnancy.
    pub fn circumstances(&self, now: Millis) -> Vec<String> {
        let band = self.age_band(now).map(age_feature);
        let half = self.profile.birth_year.map(|year| {
            let from = (year_of(now) - year).div_euclid(5) * 5;
            format!("age: {from} to {}", from + 4)
        });
        let sex = self.profile.sex.map(|sex| format!("sex: {}", sex.as_str()));
        let both = band.as_ref().zip(sex.as_ref()).map(|(band, sex)| format!("{band}, {sex}"));
        let pregnant = (self.profile.pregnant == Some(true)).then(|| "pregnant".to_owned());
        self.features.iter().cloned().chain([band, half, sex, both, pregnant].into_iter().flatten()).collect()
    }
}

fn age_feature(band: i32) -> String {
    format!("age: {band} to {}", band + 9)
}

/// What of a person a learned score may count, as it is at that moment: conditions, words of
/// lifestyle, the age (`age: 60 to 69` and `age: 65 to 69`), the sex, tens of years and sex together
/// (`age: 60 to 69, sex: female`), and `pregnant`.
pub fn features_of(profile: &Profile, now: Millis) -> Vec<String> {
    Person::new(profile.clone()).circumstances(now)
}

/// A condition as it is called there.
pub fn condition_feature(condition: &str) -> String {
    format!("condition: {}", normalise(condition))
}

/// How alike two people's circumstances are, 0 to 1.
pub fn similarity(a: &Person, b: &Person, now: Millis) -> f64 {
    let (mut shared, mut i, mut j) = (0usize, 0, 0);
    while let (Some(x), Some(y)) = (a.features.get(i), b.features.get(j)) {
        let order = x.cmp(y);
        shared += usize::from(order.is_eq());
        i += usize::from(order.is_le());
        j += usize::from(order.is_ge());
    }
    let bands = (a.age_band(now), b.age_band(now));
    let in_band = matches!(bands, (Some(x), Some(y)) if x == y);
    let have = a.features.len() + b.features.len();
    let have = have + usize::from(bands.0.is_some()) + usize::from(bands.1.is_some());
    let shared = shared + usize::from(in_band);
    if shared == 0 { 0.0 } else { shared as f64 / (have - shared) as f64 }
}

/// The features of `own` that at least half of the others have, in words.
pub fn shared_context(own: &Person, others: &[Arc<Person>], now: Millis) -> Vec<String> {
    let common = |has: &dyn Fn(&Person) -> bool| {
        let holders = others.iter().filter(|other| has(other)).count();
        holders > 0 && 2 * holders >= others.len()
    };
    let mut context = Vec::new();
    if let Some(band) = own.age_band(now)
        && common(&|other| other.age_band(now) == Some(band))
    {
        context.push(age_feature(band));
    }
    for feature in &own.features {
        if common(&|other| other.features.binary_search(feature).is_ok()) {
            context.push(feature.clone());
        }
    }
    context
}

/// The `count` people most alike in circumstances among those `admits` admits, most alike first,
/// ties by id in byte order. The person asking is left out.
pub fn nearest(asking: Circumstances<'_>, count: usize, admits: impl Fn(&str) -> bool) -> Vec<(String, f64)> {
    let own = asking.person;
    if own.features.is_empty() && own.profile.birth_year.is_none() {
        return Vec::new();
    }
    let mut names: Vec<&str> = Vec::new();
    let mut alike: Vec<f64> = Vec::new();
    for (name, person) in asking.people.iter() {
        let similarity = similarity(own, person, asking.now);
        if similarity > 0.0 && name != asking.user_id {
            names.push(name);
            alike.push(similarity);
        }
    }
    // Whether someone is admitted costs more to find out than how alike they are, so it is asked
    // of the most alike only, of more of them if that was not enough.
    let mut considered = count.saturating_mul(4).min(names.len());
    loop {
        let order = |a: u32, b: u32| names[a as usize].cmp(names[b as usize]);
        let mut best = Best::new(considered, order);
        for (place, &similarity) in alike.iter().enumerate() {
            best.offer(place as u32, similarity);
        }
        let sorted = best.into_sorted().into_iter().map(|(place, s)| (names[place as usize], s));
        let admitted = sorted.filter(|(name, _)| admits(name)).take(count);
        let found: Vec<(String, f64)> = admitted.map(|(name, s)| (name.to_owned(), s)).collect();
        if found.len() == count || considered == names.len() {
            return found;
        }
        considered = considered.saturating_mul(8).min(names.len());
    }
}
