//! Weights between items: how much having one item speaks for another.
//!
//! Held by rows, for each item those that it speaks for, because an answer adds up the rows of
//! the items somebody has. A score is the sum of those weights and of the base, which is what
//! speaks for an item whatever somebody has; so each own item's part in a score is a number that
//! stands in the table, and the parts add up to the score.

use super::super::ranking::Candidate;

/// Weights fitted offline, over items known by their identifiers.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemWeights {
    items: Vec<Box<str>>,
    base: Vec<f32>,
    starts: Vec<usize>,
    targets: Vec<u32>,
    weights: Vec<f32>,
}

impl ItemWeights {
    /// Weights between `items` (identifiers, sorted in byte order, distinct): item i speaks for
    /// `targets[starts[i]..starts[i + 1]]` (numbers of items, ascending) by as much as the
    /// `weights` in the same places say, and `base[i]` speaks for it whatever somebody has.
    ///
    /// # Errors
    /// The first thing that does not fit, in words.
    pub fn new(
        items: Vec<Box<str>>,
        base: Vec<f32>,
        starts: Vec<usize>,
        targets: Vec<u32>,
        weights: Vec<f32>,
    ) -> Result<Self, String> {
        let count = items.len();
        if count == 0 {
            return Err("there are no items".to_owned());
        }
        if let Some(pair) = items.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(format!("the items are not sorted and distinct at {:?}", pair[1]));
        }
        if base.len() != count || starts.len() != count + 1 || targets.len() != weights.len() {
            return Err(format!(
                "{count} items have {} bases, {} beginnings of rows, {} targets and {} weights",
                base.len(),
                starts.len(),
                targets.len(),
                weights.len()
            ));
        }
        let rising = starts.windows(2).all(|pair| pair[0] <= pair[1]);
        if starts[0] != 0 || starts[count] != targets.len() || !rising {
            return Err("the rows do not lie one after another".to_owned());
        }
        for (item, pair) in starts.windows(2).enumerate() {
            let row = &targets[pair[0]..pair[1]];
            if row.windows(2).any(|pair| pair[0] >= pair[1])
                || row.last().is_some_and(|&last| last as usize >= count)
            {
                return Err(format!("the row of item {:?} does not name items in order", items[item]));
            }
            if row.binary_search(&(item as u32)).is_ok() {
                return Err(format!("the item {:?} speaks for itself", items[item]));
            }
        }
        if base.iter().chain(&weights).any(|value| !value.is_finite()) {
            return Err("a weight is no finite number".to_owned());
        }
        Ok(Self { items, base, starts, targets, weights })
    }

    /// The identifiers of the items, in order of their numbers.
    pub fn items(&self) -> &[Box<str>] {
        &self.items
    }

    /// The number of an item.
    pub fn number(&self, item_id: &str) -> Option<u32> {
        self.items.binary_search_by(|probe| probe.as_ref().cmp(item_id)).ok().map(|number| number as u32)
    }

    /// What speaks for each item whatever somebody has, by number.
    pub fn base(&self) -> &[f32] {
        &self.base
    }

    /// The items that an item speaks for, and how much: numbers, ascending, and weights.
    pub fn row(&self, item: u32) -> (&[u32], &[f32]) {
        let range = self.starts[item as usize]..self.starts[item as usize + 1];
        (&self.targets[range.clone()], &self.weights[range])
    }

    /// How many weights there are.
    pub fn weight_count(&self) -> usize {
        self.weights.len()
    }

    /// Adds up the score of every item for somebody who has the items `own` (numbers, ascending,
    /// distinct), in double precision and in that order. `sums` is overwritten.
    pub fn scores(&self, own: &[u32], sums: &mut Vec<f64>) {
        sums.clear();
        sums.extend(self.base.iter().map(|&base| f64::from(base)));
        for &item in own {
            let (targets, weights) = self.row(item);
            for (&target, &weight) in targets.iter().zip(weights) {
                if let Some(sum) = sums.get_mut(target as usize) {
                    *sum += f64::from(weight);
                }
            }
        }
    }

    /// The parts of the score of `target`: for each of `own` that has one, the item and its part.
    /// Together with the base of `target` they are the score.
    pub fn contributions<'a>(&'a self, own: &'a [u32], target: u32) -> impl Iterator<Item = Candidate> + 'a {
        own.iter().filter_map(move |&item| {
            let (targets, weights) = self.row(item);
            let place = targets.binary_search(&target).ok()?;
            Some(Candidate { item, score: f64::from(weights[place]) })
        })
    }
}
