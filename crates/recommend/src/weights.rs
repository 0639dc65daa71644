//! From what happened to how much it counts: the weight of an entry of the matrix.
//!
//! An interaction counts `event weight x weight`, halved for every half-life of its age where one
//! is set, and narrowed to 32 bits. Several interactions of one user with one item become one
//! entry: their counts are added (in double precision, narrowed at the end), or the latest alone
//! is kept.
//!
//! Ages are counted from a fixed reference time, not from the moment of the request. Decay by
//! half-lives is the same factor for everyone, so cosine similarities and the order of scores do
//! not depend on the reference at all, and rows read at different times fit together. The store
//! keeps the reference, so that replicas and restarts agree on every score; since weights are of
//! 32 bits, it must not fall behind too far, and is moved on at a start when it has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::data::Millis;

/// What becomes of several interactions of one user with one item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Repeats {
    /// They count together: ten visits weigh ten times one.
    #[default]
    Add,
    /// The latest counts alone, as a changed rating does. At equal times the larger weight.
    Last,
}

/// How interactions are weighed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weighing {
    /// Factors by event; finite and not below 0. An event with factor 0 does not count.
    pub events: BTreeMap<String, f32>,
    /// The factor of an event that is not listed.
    pub other_events: f32,
    /// The age, in days, at which an interaction counts half. `None`: age does not matter.
    pub half_life_days: Option<f64>,
    /// What becomes of several interactions of one user with one item.
    pub repeats: Repeats,
    /// The moment ages are counted from.
    #[serde(skip)]
    pub reference_time: Millis,
}

impl Default for Weighing {
    fn default() -> Self {
        Self {
            events: BTreeMap::new(),
            other_events: 1.0,
            half_life_days: None,
            repeats: Repeats::Add,
            reference_time: 0,
        }
    }
}

impl Weighing {
    /// Checks these settings.
    ///
    /// # Errors
    /// The first thing that is wrong, in words.
    pub fn validate(&self) -> Result<(), String> {
        for (event, factor) in &self.events {
            if !(factor.is_finite() && *factor >= 0.0) {
                return Err(format!(
                    "the weight of event {event:?} is {factor}; it must be finite and not below 0"
                ));
            }
        }
        if !(self.other_events.is_finite() && self.other_events >= 0.0) {
            return Err("the weight of other events must be finite and not below 0".to_owned());
        }
        if self.half_life_days.is_some_and(|days| !(days.is_finite() && days > 0.0)) {
            return Err("half_life_days must be a finite number above 0".to_owned());
        }
        Ok(())
    }

    /// The oldest reference time that will do at this moment, if age matters at all: today's
    /// interactions then weigh up to 2^32 times what they say, and 32 bits hold 2^127.
    pub fn oldest_reference(&self, now: Millis) -> Option<Millis> {
        let half_life = self.half_life_days?;
        Some(now.saturating_sub((32.0 * half_life * 86_400_000.0) as Millis))
    }

    /// What one interaction counts, or `None` if it does not count (its event's factor is 0, or
    /// it is so old that nothing of it is left in 32 bits).
    pub fn weigh(&self, event: &str, weight: f32, time: Millis) -> Option<f32> {
        let factor = self.events.get(event).copied().unwrap_or(self.other_events);
        let mut counted = f64::from(factor) * f64::from(weight);
        if let Some(half_life) = self.half_life_days {
            let age_days = (self.reference_time - time) as f64 / 86_400_000.0;
            counted *= (-age_days / half_life).exp2();
        }
        let counted = counted.min(f64::from(f32::MAX)) as f32;
        (counted >= f32::MIN_POSITIVE).then_some(counted)
    }
}

/// Turns what happened into the entries of a row: `events` holds (item, time, weight) in any
/// order; they are left sorted by item, one entry each, in the given combination.
///
/// Weights of one item are added smallest first, so that the same interactions give the same
/// bits however they came.
pub fn combine(events: &mut [(u32, Millis, f32)], repeats: Repeats, mut emit: impl FnMut(u32, f32)) {
    match repeats {
        // Positive floats are ordered as their bits are.
        Repeats::Add => events.sort_unstable_by_key(|&(item, _, w)| (item, w.to_bits())),
        Repeats::Last => events.sort_unstable_by_key(|&(item, time, w)| (item, time, w.to_bits())),
    }
    for run in events.chunk_by(|a, b| a.0 == b.0) {
        let Some(&(item, _, last)) = run.last() else { continue };
        let weight = match repeats {
            Repeats::Last => last,
            Repeats::Add if run.len() == 1 => last,
            Repeats::Add => {
                let sum: f64 = run.iter().map(|&(_, _, weight)| f64::from(weight)).sum();
                sum.min(f64::from(f32::MAX)) as f32
            }
        };
        emit(item, weight);
    }
}
