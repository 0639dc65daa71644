//! Weights between items: how much having one item speaks for another.
//!
//! Held by rows, for each item those that it speaks for, because an answer adds up the rows of
//! the items somebody has. A score is the sum of those weights and of the base, which is what
//! speaks for an item whatever somebody has; so each own item's part in a score is a number that
//! stands in the table, and the parts add up to the score.
//!
//! Where many of all possible weights are named, they are held a second time with nothing left out
//! ([`Table`]): columns one after another are added up several at a time, which is far faster than
//! to go where each weight says.

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
    table: Option<Table>,
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
        let table = Table::of(&rows, count);
        Ok(Self { items, base, rows, table })
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
        match &self.table {
            Some(table) => table.add(own, sums),
            None => own.iter().for_each(|&item| self.rows.add(item, sums)),
        }
    }

    /// The parts of the score of `target`: for each of `own` that has one, the item and its part.
    /// Together with the base of `target` they are the score.
    pub fn contributions<'a>(&'a self, own: &'a [u32], target: u32) -> impl Iterator<Item = Candidate> + 'a {
        let weight = move |item| match &self.table {
            Some(table) => table.weight(item, target),
            None => self.rows.weight(item, target),
        };
        own.iter().filter_map(move |&item| Some(Candidate { item, score: weight(item)? }))
    }
}

/// Weights of every item for every other, 0 where none is named.
#[derive(Debug, Clone, PartialEq)]
struct Table {
    columns: usize,
    weights: Vec<f32>,
}

impl Table {
    /// The least share of all weights that has to be named: below, going from one to the next is faster.
    const LEAST_SHARE: usize = 5;
    /// Most bytes that it may take.
    const MOST_BYTES: usize = 256 << 20;
    /// Rows that are added at a time.
    const TOGETHER: usize = 8;

    /// The same weights, where that is worth its memory.
    fn of(rows: &SparseRows, columns: usize) -> Option<Self> {
        let cells = columns.checked_mul(columns)?;
        if cells > Self::MOST_BYTES / size_of::<f32>() || rows.weight_count() < cells / Self::LEAST_SHARE {
            return None;
        }
        let mut weights = vec![0.0; cells];
        for (row, line) in weights.chunks_exact_mut(columns).enumerate() {
            let (targets, values) = rows.row(row as u32);
            targets.iter().zip(values).for_each(|(&target, &value)| line[target as usize] = value);
        }
        Some(Self { columns, weights })
    }

    fn row(&self, row: u32) -> &[f32] {
        &self.weights[row as usize * self.columns..][..self.columns]
    }

    fn weight(&self, row: u32, column: u32) -> Option<f64> {
        let weight = self.row(row)[column as usize];
        (weight != 0.0).then(|| f64::from(weight))
    }

    /// Adds these rows to sums, one a column: to each in the order of the rows, so that what comes out is
    /// that of [`SparseRows::add`] to the last bit.
    fn add(&self, rows: &[u32], sums: &mut [f64]) {
        pulp::Arch::new().dispatch(Adding { table: self, rows, sums });
    }
}

/// The loop over rows, compiled for what the processor has.
struct Adding<'a> {
    table: &'a Table,
    rows: &'a [u32],
    sums: &'a mut [f64],
}

impl pulp::NullaryFnOnce for Adding<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { table, rows, sums } = self;
        let (together, rest) = rows.as_chunks::<{ Table::TOGETHER }>();
        for rows in together {
            let rows = rows.map(|row| &table.row(row)[..sums.len()]);
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum = rows.iter().fold(*sum, |sum, row| sum + f64::from(row[column]));
            }
        }
        for &row in rest {
            sums.iter_mut().zip(table.row(row)).for_each(|(sum, weight)| *sum += f64::from(*weight));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Of any number of rows: what the table adds up, and each weight, is that of the rows to the last bit.
        #[test]
        fn a_table_says_what_its_rows_say(
            columns in 1usize..40,
            seeds in prop::collection::vec(any::<i16>(), 1600),
            own in prop::collection::btree_set(0u32..40, 0..40),
        ) {
            let (mut starts, mut targets, mut weights) = (vec![0], Vec::new(), Vec::new());
            for row in 0..columns {
                for column in 0..columns {
                    let seed = seeds[row * columns + column];
                    if row != column && seed % 3 != 0 {
                        targets.push(column as u32);
                        weights.push(f32::from(seed) / 7.0);
                    }
                }
                starts.push(targets.len());
            }
            let rows = SparseRows::new((columns, columns), starts, targets, weights, |row| row.to_string());
            let rows = rows.unwrap();
            let Some(table) = Table::of(&rows, columns) else { return Ok(()) };
            let own: Vec<u32> = own.into_iter().filter(|&row| (row as usize) < columns).collect();
            let mut expected: Vec<f64> = (0..columns).map(|column| column as f64 / 3.0).collect();
            let mut sums = expected.clone();
            own.iter().for_each(|&row| rows.add(row, &mut expected));
            table.add(&own, &mut sums);
            prop_assert_eq!(sums, expected);
            for &row in &own {
                for column in 0..columns as u32 {
                    prop_assert_eq!(table.weight(row, column), rows.weight(row, column));
                }
            }
        }
    }
}
