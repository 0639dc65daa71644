//! The best few of many: a bounded heap with the worst of the best on top, so that most
//! newcomers are turned away by one comparison.

use std::cmp::Ordering;

/// Keeps the `limit` entries with the highest values. Ties go to the entry that `compare` puts
/// first, so the outcome does not depend on the order of the offers.
pub struct Best<F> {
    limit: usize,
    compare: F,
    /// A heap: every entry is no better than those below it, so the worst is at 0.
    heap: Vec<(u32, f64)>,
}

impl<F: Fn(u32, u32) -> Ordering> Best<F> {
    /// Without entries yet; it will keep `limit` of them.
    pub fn new(limit: usize, compare: F) -> Self {
        Self { limit, compare, heap: Vec::with_capacity(limit.min(4_096)) }
    }

    /// The value a newcomer has to reach: that of the worst entry kept, or below everything
    /// while there is room.
    pub fn worst(&self) -> f64 {
        match self.heap.first() {
            Some(&(_, worst)) if self.heap.len() == self.limit => worst,
            _ => f64::NEG_INFINITY,
        }
    }

    /// Offers an entry (its value is no NaN); whether it was taken.
    pub fn offer(&mut self, key: u32, value: f64) -> bool {
        if self.heap.len() < self.limit {
            self.heap.push((key, value));
            self.rise(self.heap.len() - 1);
            return true;
        }
        match self.heap.first() {
            Some(&worst) if self.better((key, value), worst) => {
                self.heap[0] = (key, value);
                self.sink();
                true
            }
            _ => false,
        }
    }

    /// The entries, best first.
    pub fn into_sorted(self) -> Vec<(u32, f64)> {
        let Self { compare, mut heap, .. } = self;
        heap.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| compare(a.0, b.0)));
        heap
    }

    fn better(&self, a: (u32, f64), b: (u32, f64)) -> bool {
        match a.1.partial_cmp(&b.1) {
            Some(Ordering::Greater) => true,
            Some(Ordering::Equal) => (self.compare)(a.0, b.0) == Ordering::Less,
            _ => false,
        }
    }

    fn rise(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.better(self.heap[parent], self.heap[at]) {
                break;
            }
            self.heap.swap(parent, at);
            at = parent;
        }
    }

    fn sink(&mut self) {
        let mut at = 0;
        loop {
            let mut worst = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len() && self.better(self.heap[worst], self.heap[child]) {
                    worst = child;
                }
            }
            if worst == at {
                return;
            }
            self.heap.swap(at, worst);
            at = worst;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keeps_what_sorting_would_keep(
            values in proptest::collection::vec(0u8..20, 0..200),
            limit in 0usize..30,
        ) {
            let offers: Vec<(u32, f64)> =
                values.iter().enumerate().map(|(key, &v)| (key as u32, f64::from(v))).collect();
            let mut best = Best::new(limit, |a: u32, b: u32| a.cmp(&b));
            for &(key, value) in offers.iter().rev() {
                best.offer(key, value);
            }
            let mut sorted = offers;
            sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            sorted.truncate(limit);
            prop_assert_eq!(best.into_sorted(), sorted);
        }
    }
}
