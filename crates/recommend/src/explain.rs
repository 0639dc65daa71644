//! Which of a person's own items speak for a recommendation.
//!
//! What ties the person to a neighbor is the dot product of their rows, and each own item's part
//! in it is own weight x neighbor's weight. So an own item's part in a recommendation is the sum,
//! over the neighbors who have the recommended item, of similarity x own weight x neighbor's
//! weight. Items are named, neighbors never.

use std::collections::HashMap;

use super::layers::Layers;
use super::matrix::RowView;
use super::names::Names;
use super::neighbors::best::Best;
use super::source::{Neighbor, Owned, ScoredItem};

/// How many own items an explanation names.
pub const SHARED_ITEMS: usize = 5;

/// Each neighbor's share in each own item, worked out once for all explanations of an answer.
pub struct Ties {
    /// For each neighbor: (place in the own row, similarity x own weight x their weight).
    parts: Vec<Vec<(u32, f64)>>,
    own_items: Vec<u32>,
}

impl Ties {
    /// The ties of the owner of `own` to the neighbors (user, similarity).
    pub fn new(layers: &Layers, own: RowView<'_>, neighbors: &[(u32, f64)]) -> Self {
        let mut place_of = vec![u32::MAX; layers.items.len()];
        for (place, &item) in own.items.iter().enumerate() {
            place_of[item as usize] = place as u32;
        }
        let parts = neighbors
            .iter()
            .map(|&(user, similarity)| {
                let entries = layers.row(user).iter();
                let shared = entries.filter_map(|(item, weight)| {
                    let place = place_of[item as usize];
                    let own = own.weights.get(place as usize)?;
                    Some((place, similarity * f64::from(*own) * f64::from(weight)))
                });
                shared.collect()
            })
            .collect();
        Self { parts, own_items: own.items.to_vec() }
    }

    /// The same ties as a store tells them. Own items without a number in `items` are left out.
    pub fn told(items: &Names, own: &[Owned], neighbors: &[Neighbor], scored: &[ScoredItem]) -> Self {
        let scored: HashMap<&str, &ScoredItem> =
            scored.iter().map(|scored| (scored.item_id.as_str(), scored)).collect();
        let mut parts = vec![Vec::new(); neighbors.len()];
        let mut own_items = Vec::with_capacity(own.len());
        for Owned { item_id, weight: own } in own {
            let Some(item) = items.get(item_id) else { continue };
            let place = own_items.len() as u32;
            own_items.push(item);
            let Some(shared) = scored.get(item_id.as_str()) else { continue };
            for (&supporter, &weight) in shared.supporters.iter().zip(&shared.weights) {
                let similarity = neighbors[supporter as usize].similarity;
                let part = similarity * f64::from(*own) * f64::from(weight);
                parts[supporter as usize].push((place, part));
            }
        }
        Self { parts, own_items }
    }

    /// The own items that tie the person to the supporters (places in the list of neighbors),
    /// strongest first, ties by id, at most [`SHARED_ITEMS`] of those `admits` admits.
    pub fn strongest(
        &self,
        items: &Names,
        supporters: impl IntoIterator<Item = usize>,
        admits: impl Fn(u32) -> bool,
    ) -> Vec<u32> {
        let mut sums = vec![0.0; self.own_items.len()];
        for supporter in supporters {
            for &(place, part) in &self.parts[supporter] {
                sums[place as usize] += part;
            }
        }
        let mut best = Best::new(SHARED_ITEMS, |a, b| items.compare(a, b));
        for (&item, &sum) in self.own_items.iter().zip(&sums) {
            if sum > 0.0 && admits(item) {
                best.offer(item, sum);
            }
        }
        best.into_sorted().into_iter().map(|(item, _)| item).collect()
    }
}
