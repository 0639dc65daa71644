//! Weights between items in closed form (Steck 2019, "Embarrassingly shallow autoencoders for
//! sparse data").
//!
//! X says who has what, a row a person and a column an item, 1 or 0. Wanted is B with a diagonal
//! of zeros that makes |X - X B|^2 + lambda |B|^2 least: each item is to be told from a person's
//! other items. With P = (X'X + lambda I)^-1, B[i][j] = -P[i][j] / P[j][j].
//!
//! - *base*: one more column, which everybody has, so that something speaks for an item whatever
//!   somebody has. It is penalised like the others and never recommended.
//! - *who*: a column for each circumstance that does not follow from the items, such as an age band,
//!   which those have who are in it (side information as more columns: Jeunen, Van Balen and Goethals
//!   2020, "Closed-form models for collaborative filtering with side-information"). The same holds.
//! - *dropout*: lambda I + p / (1 - p) diag(X'X) in place of lambda I, as if each item had been left
//!   out of X with probability p (Steck 2020, "Autoencoders that don't overfit towards the identity").
//! - *damping*: X'WX in place of X'X, where W holds n^-d for somebody with n items. Pairs of items
//!   grow with the square of n, so that without it the few with the longest lists say most.
//!
//! When some items are left out of one row at a time, X'WX changes by a matrix of rank 2 (more with
//! dropout, as the diagonal changes too), so the scores that the weights fitted without them would
//! give follow from P by the Woodbury identity, exactly, and nothing is fitted anew.

use anyhow::Result;
use rayon::prelude::*;
use recommend::{HeldOut, ItemWeights, Layers};

use super::inverse::inverse;

/// Rows of X'WX that one thread adds up at a time.
const ROWS_TOGETHER: usize = 64;

/// What is to be chosen before the weights can be computed.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct EaseSettings {
    /// Penalty on the squares of the weights, above 0.
    pub lambda: f64,
    /// Whether there is a base.
    pub base: bool,
    /// Probability of being left out, from 0 to below 1.
    pub dropout: f64,
    /// The power of the number of somebody's items that their row is divided by, 0 or more.
    pub damping: f64,
    /// Whether circumstances have columns.
    pub who: bool,
}

impl EaseSettings {
    /// A lambda and nothing else.
    pub fn plain(lambda: f64) -> Self {
        Self { lambda, base: false, dropout: 0.0, damping: 0.0, who: false }
    }

    /// How much the row of somebody with so many items counts.
    pub fn row_weight(&self, items: usize) -> f64 {
        if self.damping == 0.0 { 1.0 } else { (items.max(1) as f64).powf(-self.damping) }
    }

    /// By how much the diagonal of X'X is multiplied and added to it.
    fn shrink(&self) -> f64 {
        self.dropout / (1.0 - self.dropout)
    }
}

/// The columns that circumstances have, and who is in which.
pub trait Who: Sync {
    /// How many columns there are.
    fn count(&self) -> usize;
    /// Those of a person, ascending and distinct.
    fn of(&self, person: &str) -> &[u32];
}

/// Nobody is in any.
pub struct Nobody;

impl Who for Nobody {
    fn count(&self) -> usize {
        0
    }

    fn of(&self, _: &str) -> &[u32] {
        &[]
    }
}

/// Where in X the items, the base and the circumstances stand.
#[derive(Debug, Clone, Copy)]
struct Columns {
    settings: EaseSettings,
    items: usize,
    size: usize,
}

impl Columns {
    /// The columns of somebody who has the items `own` and is in the circumstances `who`, ascending.
    fn places(&self, own: &[u32], who: &[u32]) -> Vec<usize> {
        let base = self.settings.base.then_some(self.items);
        let who = who.iter().filter(|_| self.settings.who).map(|&column| self.column(column));
        own.iter().map(|&item| item as usize).chain(base).chain(who).collect()
    }

    /// The place of a circumstance's column.
    fn column(&self, column: u32) -> usize {
        self.items + usize::from(self.settings.base) + column as usize
    }
}

/// X'WX, its lower half: what does not depend on the penalties.
#[derive(Clone)]
pub struct Gram {
    columns: Columns,
    values: Vec<f64>,
}

impl Gram {
    /// That of a matrix, on all cores.
    pub fn new(layers: &Layers, settings: EaseSettings, who: &dyn Who) -> Self {
        let items = layers.items.len();
        let of_who = if settings.who { who.count() } else { 0 };
        let size = items + usize::from(settings.base) + of_who;
        let columns = Columns { settings, items, size };
        let of_user = |user: u32| {
            let row = layers.row(user).items;
            let places = columns.places(row, who.of(layers.users.name(user)));
            (places, settings.row_weight(row.len()))
        };
        let users = (0..layers.users.len() as u32).filter(|&user| !layers.row(user).items.is_empty());
        let rows: Vec<(Vec<usize>, f64)> = users.map(of_user).collect();
        let mut values = vec![0.0; size * size];
        // Each thread has rows of its own, so that what comes out does not depend on how many there are.
        values.par_chunks_mut(size.max(1) * ROWS_TOGETHER).enumerate().for_each(|(band, lines)| {
            let first = band * ROWS_TOGETHER;
            let end = first + lines.len() / size;
            for (places, weight) in &rows {
                let begin = places.partition_point(|&place| place < first);
                let within = places[begin..].iter().take_while(|&&place| place < end);
                for (nth, &place) in within.enumerate() {
                    let line = &mut lines[(place - first) * size..][..size];
                    places[..=begin + nth].iter().for_each(|&other| line[other] += weight);
                }
            }
        });
        Self { columns, values }
    }

    /// Whether these settings have the same X'WX, over the same matrix.
    pub fn is_of(&self, settings: &EaseSettings) -> bool {
        let of = |settings: &EaseSettings| (settings.base, settings.damping, settings.who);
        of(&self.columns.settings) == of(settings)
    }
}

/// The fitted model: P, from which every weight and score follows.
pub struct Ease {
    settings: EaseSettings,
    items: usize,
    /// Rows of P: the items, the base where there is one, and the circumstances where they count.
    size: usize,
    inverse: Vec<f64>,
}

impl Ease {
    /// Fits the weights between all items of a matrix.
    ///
    /// # Errors
    /// A lambda so small that the matrix cannot be inverted.
    pub fn fit(layers: &Layers, settings: EaseSettings, who: &dyn Who) -> Result<Ease> {
        Self::of(Gram::new(layers, settings, who), settings)
    }

    /// The same of an X'WX that is at hand, of settings that [`Gram::is_of`] it.
    ///
    /// # Errors
    /// As [`Ease::fit`].
    pub fn of(gram: Gram, settings: EaseSettings) -> Result<Ease> {
        let Gram { columns: Columns { items, size, .. }, mut values } = gram;
        for place in 0..size {
            let value = &mut values[place * size + place];
            *value += settings.lambda + settings.shrink() * *value;
        }
        Ok(Ease { settings, items, size, inverse: inverse(values, size)? })
    }

    fn columns(&self) -> Columns {
        Columns { settings: self.settings, items: self.items, size: self.size }
    }

    /// The columns of somebody who has the items `own` and is in the circumstances `who`, ascending.
    fn places(&self, own: &[u32], who: &[u32]) -> Vec<usize> {
        self.columns().places(own, who)
    }

    fn row(&self, place: usize) -> &[f64] {
        &self.inverse[place * self.size..][..self.size]
    }

    /// B[i][j]: how much the item i speaks for the item j.
    pub fn weight(&self, i: usize, j: usize) -> f64 {
        // P is symmetric, and a column of B is read whole.
        if i == j { 0.0 } else { -self.row(j)[i] / self.row(j)[j] }
    }

    /// P times the row of somebody in these columns.
    fn times(&self, places: &[usize]) -> Vec<f64> {
        let mut sums = vec![0.0; self.size];
        for &place in places {
            sums.iter_mut().zip(self.row(place)).for_each(|(sum, value)| *sum += value);
        }
        sums
    }

    /// The score of every item for somebody who has the items `own` and is in the circumstances
    /// `who`; the items themselves have none that means anything.
    pub fn scores(&self, own: &[u32], who: &[u32]) -> Vec<f64> {
        let sums = self.times(&self.places(own, who));
        (0..self.items).map(|item| -sums[item] / self.row(item)[item]).collect()
    }

    /// The same by the weights that would have been fitted had somebody who has the items `full`
    /// only had `own`, a part of them.
    pub fn scores_without(&self, full: &[u32], own: &[u32], who: &[u32]) -> Vec<f64> {
        // With dropout the diagonal loses a part at what is left out; with damping it changes at
        // what is left as well, as the row is a shorter one.
        let shrink = self.settings.shrink();
        let before = self.settings.row_weight(full.len());
        let after = self.settings.row_weight(own.len());
        let (full, own) = (self.places(full, who), self.places(own, who));
        let of_place = |&place: &usize| match own.contains(&place) {
            true => (place, shrink * (after - before)),
            false => (place, -shrink * before),
        };
        let diagonal: Vec<(usize, f64)> =
            full.iter().map(of_place).filter(|&(_, change)| change != 0.0).collect();
        self.scores_changed((&full, before), (&own, after), &diagonal)
    }

    /// Nearly the same, and far faster where many items are left out: the part of the penalty that
    /// dropout makes of the item's own frequency is left as it is. For choosing settings.
    pub fn scores_nearly_without(&self, full: &[u32], own: &[u32], who: &[u32]) -> Vec<f64> {
        let (before, after) = (self.settings.row_weight(full.len()), self.settings.row_weight(own.len()));
        let (full, own) = (self.places(full, who), self.places(own, who));
        self.scores_changed((&full, before), (&own, after), &[])
    }

    /// The scores of the row `own` after X'WX lost the row `full`, gained `own`, and its diagonal
    /// changed. Rows are columns and a weight.
    fn scores_changed(
        &self,
        (full, before): (&[usize], f64),
        (own, after): (&[usize], f64),
        diagonal: &[(usize, f64)],
    ) -> Vec<f64> {
        let mut vectors = vec![(self.times(full), -before), (self.times(own), after)];
        vectors.extend(diagonal.iter().map(|&(place, change)| (self.row(place).to_vec(), change)));
        let count = vectors.len();
        let of = |values: &[f64], places: &[usize]| places.iter().map(|&place| values[place]).sum::<f64>();
        // C^-1 + U' P U, with U the vectors and C what they are multiplied by.
        let mut small = vec![vec![0.0; count]; count];
        for (k, (values, factor)) in vectors.iter().enumerate() {
            small[0][k] = of(values, full);
            small[1][k] = of(values, own);
            for (row, &(place, _)) in diagonal.iter().enumerate() {
                small[row + 2][k] = values[place];
            }
            small[k][k] += 1.0 / factor;
        }
        let own_parts: Vec<f64> = vectors.iter().map(|(values, _)| of(values, own)).collect();
        let inverted = invert(small);
        let parts: Vec<f64> =
            inverted.iter().map(|row| row.iter().zip(&own_parts).map(|(a, b)| a * b).sum()).collect();
        let mut sums = vectors[1].0[..self.items].to_vec();
        let mut changes = vec![0.0; self.items];
        for ((values, _), (part, row)) in vectors.iter().zip(parts.iter().zip(&inverted)) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum -= part * value);
            for ((other, _), factor) in vectors.iter().zip(row) {
                let products = values.iter().zip(other);
                changes.iter_mut().zip(products).for_each(|(change, (a, b))| *change += factor * a * b);
            }
        }
        let scores = sums.iter().zip(&changes).enumerate();
        scores.map(|(item, (sum, change))| -sum / (self.row(item)[item] - change)).collect()
    }

    /// The scores for a case of an evaluation: with `leave_one_out` what is held out is in the
    /// matrix that was fitted and has to be taken out of it first.
    pub fn scores_of(&self, layers: &Layers, case: &HeldOut, who: &dyn Who, leave_one_out: bool) -> Vec<f64> {
        let who = who.of(&case.user_id);
        match case.user.filter(|_| leave_one_out) {
            Some(user) => self.scores_without(layers.row(user).items, &case.own.items, who),
            None if case.own.items.is_empty() => Vec::new(),
            None => self.scores(&case.own.items, who),
        }
    }

    /// How much each circumstance speaks for each item: a row of (item, weight) for each, none
    /// where they do not count.
    pub fn of_who(&self) -> Vec<Vec<(u32, f32)>> {
        let columns = self.size - self.items - usize::from(self.settings.base);
        let weights = |column: usize| {
            let place = self.columns().column(column as u32);
            let weight = |item: usize| (item as u32, self.weight(place, item) as f32);
            (0..self.items).map(weight).filter(|&(_, weight)| weight != 0.0).collect()
        };
        (0..columns).map(weights).collect()
    }

    /// The weights as a server adds them up: of each item's column the `keep` largest by size.
    ///
    /// # Errors
    /// Weights that are no numbers.
    pub fn weights(&self, layers: &Layers, keep: usize) -> Result<ItemWeights> {
        let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); self.items];
        let mut sizes = Vec::new();
        for j in 0..self.items {
            sizes.clear();
            sizes.extend((0..self.items).map(|i| self.weight(i, j).abs()));
            let least = if keep < self.items {
                *sizes.select_nth_unstable_by(self.items - keep.max(1), f64::total_cmp).1
            } else {
                0.0
            };
            for (i, row) in rows.iter_mut().enumerate() {
                let weight = self.weight(i, j) as f32;
                if weight != 0.0 && f64::from(weight.abs()) >= f64::from(least as f32) {
                    row.push((j as u32, weight));
                }
            }
        }
        let base = match self.settings.base {
            true => (0..self.items).map(|item| self.weight(self.items, item) as f32).collect(),
            false => vec![0.0; self.items],
        };
        let names = (0..self.items as u32).map(|item| layers.items.name(item).into()).collect();
        let mut starts = vec![0];
        starts.extend(rows.iter().scan(0, |sum, row| {
            *sum += row.len();
            Some(*sum)
        }));
        let (targets, weights) = rows.into_iter().flatten().unzip();
        ItemWeights::new(names, base, starts, targets, weights).map_err(anyhow::Error::msg)
    }
}

/// The inverse of a small matrix, by elimination with the largest pivot of each column.
fn invert(mut matrix: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let size = matrix.len();
    for (place, row) in matrix.iter_mut().enumerate() {
        row.extend((0..size).map(|column| f64::from(u8::from(column == place))));
    }
    for column in 0..size {
        let pivot =
            (column..size).max_by(|&a, &b| matrix[a][column].abs().total_cmp(&matrix[b][column].abs()));
        matrix.swap(column, pivot.unwrap_or(column));
        let scale = matrix[column][column];
        matrix[column].iter_mut().for_each(|value| *value /= scale);
        let line = matrix[column].clone();
        for (_, row) in matrix.iter_mut().enumerate().filter(|(place, _)| *place != column) {
            let factor = row[column];
            row.iter_mut().zip(&line).for_each(|(value, other)| *value -= factor * other);
        }
    }
    matrix.into_iter().map(|row| row[size..].to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use recommend::{Loader, Partition, Split, Weighing};
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Golden {
        have: Vec<Vec<u32>>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        lambda: f64,
        base: bool,
        dropout: f64,
        damping: f64,
        weights: Vec<Vec<f64>>,
        left_out: Vec<LeftOut>,
    }

    #[derive(Deserialize)]
    struct LeftOut {
        person: usize,
        item: u32,
        scores: Vec<f64>,
    }

    /// Made by `tests/golden/ease.py`.
    fn golden() -> Golden {
        serde_json::from_str(include_str!("../../../../tests/golden/ease.json")).unwrap()
    }

    fn layers(have: &[Vec<u32>]) -> Layers {
        let mut loader = Loader::new(Weighing::default());
        for (person, items) in have.iter().enumerate() {
            for item in items {
                loader.push(&format!("{person:03}"), &format!("{item:03}"), "", 1.0, 0);
            }
        }
        loader.finish()
    }

    fn settings(case: &Case) -> EaseSettings {
        EaseSettings {
            lambda: case.lambda,
            base: case.base,
            dropout: case.dropout,
            damping: case.damping,
            who: false,
        }
    }

    #[test]
    fn the_weights_are_those_of_numpy() {
        let golden = golden();
        let layers = layers(&golden.have);
        for case in &golden.cases {
            let ease = Ease::fit(&layers, settings(case), &Nobody).unwrap();
            for (i, row) in case.weights.iter().enumerate() {
                for (j, expected) in row.iter().enumerate() {
                    let ours = ease.weight(i, j);
                    assert!((ours - expected).abs() < 1e-10, "{i} {j}: {ours} where {expected} was expected");
                }
            }
        }
    }

    #[test]
    fn what_is_left_out_is_left_out_of_the_weights_too() {
        let golden = golden();
        let layers = layers(&golden.have);
        for case in &golden.cases {
            let ease = Ease::fit(&layers, settings(case), &Nobody).unwrap();
            for LeftOut { person, item, scores } in &case.left_out {
                let full = &golden.have[*person];
                let own: Vec<u32> = full.iter().copied().filter(|other| other != item).collect();
                let ours = ease.scores_without(full, &own, &[]);
                for (place, (ours, expected)) in ours.iter().zip(scores).enumerate() {
                    if own.contains(&(place as u32)) {
                        continue;
                    }
                    assert!((ours - expected).abs() < 1e-9, "{ours} where {expected} was expected");
                }
            }
        }
    }

    /// The parts that an answer names are the whole of a score, and the served score is the
    /// closed form's, but for the narrowing to 32 bits.
    #[test]
    fn contributions_add_up_to_the_score() {
        let golden = golden();
        let layers = layers(&golden.have);
        for case in &golden.cases {
            let ease = Ease::fit(&layers, settings(case), &Nobody).unwrap();
            let weights = ease.weights(&layers, usize::MAX).unwrap();
            let mut sums = Vec::new();
            for own in &golden.have {
                weights.scores(own, &mut sums);
                let exact = ease.scores(own, &[]);
                for item in (0..layers.items.len() as u32).filter(|item| !own.contains(item)) {
                    let parts: f64 = weights.contributions(own, item).map(|part| part.score).sum();
                    let score = sums[item as usize];
                    assert!((parts + f64::from(weights.base()[item as usize]) - score).abs() < 1e-12);
                    assert!((score - exact[item as usize]).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn the_smallest_weights_are_dropped_first() {
        let golden = golden();
        let layers = layers(&golden.have);
        let ease = Ease::fit(&layers, EaseSettings::plain(1.0), &Nobody).unwrap();
        let kept = ease.weights(&layers, 3).unwrap();
        for target in 0..layers.items.len() as u32 {
            let mut sizes: Vec<f64> =
                (0..layers.items.len()).map(|i| ease.weight(i, target as usize).abs()).collect();
            sizes.sort_by(|a, b| b.total_cmp(a));
            let own: Vec<u32> = (0..layers.items.len() as u32).collect();
            let mut left: Vec<f64> = kept.contributions(&own, target).map(|part| part.score.abs()).collect();
            left.sort_by(|a, b| b.total_cmp(a));
            assert_eq!(left.len(), 3);
            assert!(left.iter().zip(&sizes).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }

    /// Every person is in one of three circumstances, by number.
    struct Thirds;

    impl Who for Thirds {
        fn count(&self) -> usize {
            3
        }

        fn of(&self, person: &str) -> &[u32] {
            static EACH: [[u32; 1]; 3] = [[0], [1], [2]];
            &EACH[person.parse::<usize>().unwrap() % 3]
        }
    }

    /// A circumstance weighs what an item would that those have who are in it.
    #[test]
    fn a_circumstance_is_a_column_like_an_item() {
        let golden = golden();
        let with = |person: usize, own: &[u32]| [own, &[12 + person as u32 % 3]].concat();
        let have: Vec<Vec<u32>> =
            golden.have.iter().enumerate().map(|(person, own)| with(person, own)).collect();
        let settings = EaseSettings { who: true, ..EaseSettings::plain(2.0) };
        let ease = Ease::fit(&layers(&golden.have), settings, &Thirds).unwrap();
        let as_items = Ease::fit(&layers(&have), EaseSettings::plain(2.0), &Nobody).unwrap();
        for (person, own) in golden.have.iter().enumerate() {
            let ours = ease.scores(own, Thirds.of(&person.to_string()));
            let expected = as_items.scores(&with(person, own), &[]);
            assert!(ours.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9), "{ours:?} {expected:?}");
        }
        for (column, row) in ease.of_who().iter().enumerate() {
            for &(item, weight) in row {
                let expected = as_items.weight(12 + column, item as usize);
                assert!((f64::from(weight) - expected).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn leaving_one_out_takes_it_out_of_the_fitted_matrix() {
        let golden = golden();
        let events: Vec<recommend::Interaction> = golden
            .have
            .iter()
            .enumerate()
            .flat_map(|(person, items)| {
                items.iter().map(move |item| recommend::Interaction {
                    user_id: format!("{person:03}"),
                    item_id: format!("{item:03}"),
                    event: String::new(),
                    weight: 1.0,
                    time: 0,
                })
            })
            .collect();
        let partition = Partition::new(&events, Split::LeaveOneOut, 3, &Weighing::default());
        let settings = EaseSettings { base: true, damping: 0.5, who: true, ..EaseSettings::plain(5.0) };
        let ease = Ease::fit(&partition.known, settings, &Thirds).unwrap();
        for case in partition.held_out.iter().take(5) {
            let mut without = golden.have.clone();
            let person: usize = case.user_id.parse().unwrap();
            without[person].retain(|item| !case.item_ids.contains(&format!("{item:03}")));
            let anew = layers(&without);
            if anew.items.len() < partition.known.items.len() {
                continue;
            }
            let refitted = Ease::fit(&anew, settings, &Thirds).unwrap();
            let ours = ease.scores_of(&partition.known, case, &Thirds, true);
            for (ours, expected) in
                ours.iter().zip(&refitted.scores(&without[person], Thirds.of(&case.user_id)))
            {
                assert!((ours - expected).abs() < 1e-9, "{ours} where {expected} was expected");
            }
        }
    }
}
