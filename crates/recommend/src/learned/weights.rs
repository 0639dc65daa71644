//! Weights between items: how much having one item speaks for another.
//!
//! Held by rows, for each item those that it speaks for, because an answer adds up the rows of
//! the items somebody has. A score is the sum of those weights and of the base, which is what
//! speaks for an item whatever somebody has; so each own item's part in a score is a number that
//! stands in the table, and the parts add up to the score.

use super::super::ranking::Candidate;

/// Rows of a sparse matrix, one after another: row r names the columns `targets[starts[r]..starts[r + 1]]`,
/// ascending, with the `weights` in the same places.
#[derive(Debug, Clone, PartialEq)]
pub struct SparseRows {
    starts: Vec<usize>,
    targets: Vec<u32>,
    weights: Vec<f32>,
}

impl SparseRows {
    /// So many `rows`, over so many `columns`.
    ///
    /// # Errors
    /// The first thing that does not fit, in words; a row is named by `name`.
    pub fn new(
        (rows, columns): (usize, usize),
        starts: Vec<usize>,
        targets: Vec<u32>,
        weights: Vec<f32>,
        name: impl Fn(usize) -> String,
    ) -> Result<Self, String> {
        if starts.len() != rows + 1 || targets.len() != weights.len() {
            return Err(format!(
                "{rows} rows have {} beginnings, {} targets and {} weights",
                starts.len(),
                targets.len(),
                weights.len()
            ));
        }
        let rising = starts.windows(2).all(|pair| pair[0] <= pair[1]);
        if starts[0] != 0 || starts[rows] != targets.len() || !rising {
            return Err("the rows do not lie one after another".to_owned());
        }
        for (row, pair) in starts.windows(2).enumerate() {
            let targets = &targets[pair[0]..pair[1]];
            if targets.windows(2).any(|pair| pair[0] >= pair[1])
                || targets.last().is_some_and(|&last| last as usize >= columns)
            {
                return Err(format!("the row of {} does not name items in order", name(row)));
            }
        }
        if weights.iter().any(|value| !value.is_finite()) {
            return Err("a weight is no finite number".to_owned());
        }
        Ok(Self { starts, targets, weights })
    }

    /// The columns that a row names, and the weights.
    pub fn row(&self, row: u32) -> (&[u32], &[f32]) {
        let range = self.starts[row as usize]..self.starts[row as usize + 1];
        (&self.targets[range.clone()], &self.weights[range])
    }

    /// The weight of a column in a row, if it is named there.
    pub fn weight(&self, row: u32, column: u32) -> Option<f64> {
        let (targets, weights) = self.row(row);
        let place = targets.binary_search(&column).ok()?;
        Some(f64::from(weights[place]))
    }

    /// How many weights there are.
    pub fn weight_count(&self) -> usize {
        self.weights.len()
    }

    /// Adds a row to sums, one a column.
    pub fn add(&self, row: u32, sums: &mut [f64]) {
        let (targets, weights) = self.row(row);
        for (&target, &weight) in targets.iter().zip(weights) {
            if let Some(sum) = sums.get_mut(target as usize) {
                *sum += f64::from(weight);
            }
        }
    }
}

/// Weights fitted offline, over items known by their identifiers.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemWeights {
    items: Vec<Box<str>>,
    base: Vec<f32>,
    rows: SparseRows,
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
        if base.len() != count {
            return Err(format!("{count} items have {} bases", base.len()));
        }
        let rows = SparseRows::new((count, count), starts, targets, weights, |item| {
            format!("item {:?}", items[item])
        })?;
        if let Some(item) = (0..count).find(|&item| rows.weight(item as u32, item as u32).is_some()) {
            return Err(format!("the item {:?} speaks for itself", items[item]));
        }
        if base.iter().any(|value| !value.is_finite()) {
            return Err("a weight is no finite number".to_owned());
        }
        Ok(Self { items, base, rows })
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
        self.rows.row(item)
    }

    /// The rows of all items.
    pub fn rows(&self) -> &SparseRows {
        &self.rows
    }

    /// How many weights there are.
    pub fn weight_count(&self) -> usize {
        self.rows.weight_count()
    }

    /// Adds up the score of every item for somebody who has the items `own` (numbers, ascending,
    /// distinct), in double precision and in that order. `sums` is overwritten.
    pub fn scores(&self, own: &[u32], sums: &mut Vec<f64>) {
        sums.clear();
        sums.extend(self.base.iter().map(|&base| f64::from(base)));
        own.iter().for_each(|&item| self.rows.add(item, sums));
    }

    /// The parts of the score of `target`: for each of `own` that has one, the item and its part.
    /// Together with the base of `target` they are the score.
    pub fn contributions<'a>(&'a self, own: &'a [u32], target: u32) -> impl Iterator<Item = Candidate> + 'a {
        own.iter().filter_map(move |&item| Some(Candidate { item, score: self.rows.weight(item, target)? }))
    }
}
