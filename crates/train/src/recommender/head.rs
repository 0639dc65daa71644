//! Conditions and places in the score: a small ranking model over what a person's history and circumstances
//! say ([`super::ease`]), the person's conditions, and the distance.
//!
//! It is a conditional logit (McFadden 1974): whoever takes one more item takes item j with a
//! probability that is proportional to exp(w . x_j), over all the items that the person does not have.
//! x_j holds
//!
//! - *history*: the logarithm of the score by weights, which is about the share of people like this
//!   one who have the item
//! - *condition*: the sum of lifts over the conditions of the person: ln((n + a) / (e + a)), where n
//!   people with the condition have the item and e would if the two had nothing to do with one
//!   another. A lift is relative to how frequent an item is, so that what most people have is not
//!   counted once more for every condition; with a = 5, few people are believed little (the shrinkage
//!   of DuMouchel 1999, of one gamma prior around 1)
//! - *distance*: ln(1 + km), less its mean over the interactions, where both places are known
//!
//! So the score is that by weights times a power of what each circumstance multiplies the odds by. The
//! two or three coefficients are found by Newton's method on what is held out for choosing: what
//! somebody does not have in the sample is counted neither in the history nor in the lifts.

use std::collections::BTreeMap;

use rayon::prelude::*;
use recommend::{DistanceWeight, HeldOut, LEAST_SCORE, Laid, Layers};

use super::circumstances::Circumstances;

/// The a of a lift.
const PRIOR: f64 = 5.0;
/// Where nobody has both, a lift is kept if so many would be expected: below it is next to nothing.
const LEAST_EXPECTED: f64 = 0.25;
/// Penalty on the squares of the coefficients of standardised columns.
const PENALTY: f64 = 1.0;
/// The place of the first column; the others follow where there is something of the sort.
const HISTORY: usize = 0;

/// A case as it is learned from: a column of values of all items for each coefficient.
pub struct Sample {
    columns: Vec<Vec<f32>>,
    /// Items that are no candidates.
    own: Vec<u32>,
    /// Items that were taken.
    wanted: Vec<u32>,
}

impl Sample {
    /// The values of a column, by item.
    #[cfg(test)]
    pub fn column(&self, place: usize) -> &[f32] {
        &self.columns[place]
    }
}

/// What is counted of conditions and places in a matrix.
pub struct Lifts<'a> {
    circumstances: &'a Circumstances,
    /// For each condition: (item, how many people have both, lift), by item.
    rows: Vec<Vec<(u32, u32, f32)>>,
    /// How many people have each condition.
    people_of: Vec<u32>,
    /// How many people have each item.
    popularity: Vec<u32>,
    people: usize,
    mean_distance: Option<f64>,
}

impl<'a> Lifts<'a> {
    /// Counts.
    pub fn new(layers: &Layers, circumstances: &'a Circumstances) -> Self {
        let (conditions, items) = (circumstances.conditions.len(), layers.items.len());
        let mut both: Vec<Vec<u32>> = vec![Vec::new(); conditions];
        let (mut people_of, mut popularity) = (vec![0; conditions], vec![0; items]);
        let (mut people, mut distances, mut with_place) = (0, 0.0, 0usize);
        for user in 0..layers.users.len() as u32 {
            let row = layers.row(user).items;
            let person = layers.users.name(user);
            people += usize::from(!row.is_empty());
            if !row.is_empty() {
                let of_person =
                    circumstances.conditions_of(person, row.iter().map(|&item| layers.items.name(item)));
                of_person.iter().for_each(|&condition| people_of[condition as usize] += 1);
            }
            for &item in row {
                popularity[item as usize] += 1;
                for condition in known_without(circumstances, layers, person, row, item) {
                    both[condition as usize].push(item);
                }
                if let Some(km) = circumstances.distance_km(person, layers.items.name(item)) {
                    distances += km.ln_1p();
                    with_place += 1;
                }
            }
        }
        let mean_distance = (with_place > 0).then(|| distances / with_place as f64);
        let mut lifts =
            Self { circumstances, rows: Vec::new(), people_of, popularity, people, mean_distance };
        let counted = |(condition, items)| lifts.counted(condition, items);
        lifts.rows = both.into_par_iter().enumerate().map(counted).collect();
        lifts
    }

    /// The row of a condition, from the items of everybody who has it.
    fn counted(&self, condition: usize, mut items: Vec<u32>) -> Vec<(u32, u32, f32)> {
        items.sort_unstable();
        let mut counts = items.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32)).peekable();
        let mut row = Vec::new();
        for item in 0..self.popularity.len() as u32 {
            let count = counts.next_if(|&(other, _)| other == item).map_or(0, |(_, count)| count);
            let expected = self.expected(condition, self.popularity[item as usize]);
            if count > 0 || expected >= LEAST_EXPECTED {
                row.push((item, count, lift(count, expected) as f32));
            }
        }
        row
    }

    /// How many with the condition would have an item that so many people have.
    fn expected(&self, condition: usize, popularity: u32) -> f64 {
        f64::from(self.people_of[condition]) * f64::from(popularity) / self.people.max(1) as f64
    }

    /// What the coefficients are of.
    pub fn names(&self) -> Vec<&'static str> {
        let condition = (!self.rows.is_empty()).then_some("condition");
        let distance = self.mean_distance.map(|_| "distance");
        ["history"].into_iter().chain(condition).chain(distance).collect()
    }

    /// The columns of a case. With `leave_one_out` what is held out is in the matrix that was
    /// counted, and is taken out here.
    pub fn sample(&self, layers: &Layers, case: &HeldOut, leave_one_out: bool, history: &[f64]) -> Sample {
        let items = self.popularity.len();
        let mut columns = vec![vec![0f32; items]; self.names().len()];
        let held_out = case.items.iter().copied().filter(|&item| item != u32::MAX);
        if !self.rows.is_empty() {
            let name = |item: &u32| layers.items.name(*item);
            let conditions = self.circumstances.conditions_of(&case.user_id, case.own.items.iter().map(name));
            let column = &mut columns[HISTORY + 1];
            for &condition in &conditions {
                for &(item, _, lift) in &self.rows[condition as usize] {
                    column[item as usize] += lift;
                }
            }
            if let Some(user) = case.user.filter(|_| leave_one_out) {
                let full = layers.row(user).items;
                for item in held_out.clone() {
                    let known = known_without(self.circumstances, layers, &case.user_id, full, item);
                    let change = conditions.iter().map(|&condition| {
                        let also = known.binary_search(&condition).is_ok();
                        self.without(condition as usize, item, also)
                    });
                    column[item as usize] += change.sum::<f64>() as f32;
                }
            }
        }
        let logarithm = |&score: &f64| score.max(LEAST_SCORE).ln() as f32;
        columns[HISTORY] = history.iter().map(logarithm).collect();
        columns[HISTORY].resize(items, LEAST_SCORE.ln() as f32);
        if let (Some(mean), Some(column)) = (self.mean_distance, columns.last_mut()) {
            for (item, value) in column.iter_mut().enumerate() {
                let km = self.circumstances.distance_km(&case.user_id, layers.items.name(item as u32));
                *value = km.map_or(0.0, |km| (km.ln_1p() - mean) as f32);
            }
        }
        Sample { columns, own: case.own.items.to_vec(), wanted: held_out.collect() }
    }

    /// By how much a lift changes when one person does not have the item who does, and if `also`
    /// has the condition.
    fn without(&self, condition: usize, item: u32, also: bool) -> f64 {
        let row = &self.rows[condition];
        let found = row.binary_search_by_key(&item, |&(other, ..)| other).ok().map(|place| row[place]);
        let (count, counted) = found.map_or((0, 0.0), |(_, count, lift)| (count, lift));
        let count = count - u32::from(also).min(count);
        let expected = self.expected(condition, self.popularity[item as usize] - 1);
        let lift = if count > 0 || expected >= LEAST_EXPECTED { lift(count, expected) } else { 0.0 };
        lift - f64::from(counted)
    }
}

fn lift(count: u32, expected: f64) -> f64 {
    ((f64::from(count) + PRIOR) / (expected + PRIOR)).ln()
}

/// The conditions of somebody who has the items `row`, without what only `item` tells.
fn known_without(
    circumstances: &Circumstances,
    layers: &Layers,
    person: &str,
    row: &[u32],
    item: u32,
) -> Vec<u32> {
    let others = row.iter().filter(|&&other| other != item);
    circumstances.conditions_of(person, others.map(|&other| layers.items.name(other)))
}

/// The coefficients, in the order of the columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    coefficients: Vec<f64>,
    /// The mean log-likelihood of a choice.
    pub log_likelihood: f64,
}

impl Head {
    /// Fits the coefficients; none where there is nothing to learn from or of, or where history
    /// would count against itself.
    pub fn fit(samples: &[&Sample]) -> Option<Head> {
        let count = samples.first()?.columns.len();
        if count < 2 {
            return None;
        }
        let scales = scales(samples, count);
        let mut coefficients = vec![0.0; count];
        let (mut value, mut gradient, mut curvature) = derivatives(samples, &scales, &coefficients);
        for _ in 0..30 {
            for (place, row) in curvature.iter_mut().enumerate() {
                gradient[place] -= PENALTY * coefficients[place];
                row[place] += PENALTY;
            }
            let step = solve(curvature.clone(), gradient.clone())?;
            let mut factor = 1.0;
            // Newton's step goes up; where it goes too far, half of it does.
            let next = loop {
                let tried: Vec<f64> =
                    coefficients.iter().zip(&step).map(|(value, step)| value + factor * step).collect();
                let found = derivatives(samples, &scales, &tried);
                let penalised =
                    |value: f64, at: &[f64]| value - PENALTY / 2.0 * at.iter().map(|v| v * v).sum::<f64>();
                if penalised(found.0, &tried) >= penalised(value, &coefficients) || factor < 1e-3 {
                    break (tried, found);
                }
                factor /= 2.0;
            };
            let moved = step.iter().map(|step| (factor * step).abs()).fold(0.0, f64::max);
            coefficients = next.0;
            (value, gradient, curvature) = next.1;
            if moved < 1e-4 {
                break;
            }
        }
        let choices: usize = samples.iter().map(|sample| sample.wanted.len()).sum();
        let coefficients: Vec<f64> =
            coefficients.iter().zip(&scales).map(|(value, scale)| value / scale).collect();
        let sound = coefficients.iter().all(|value| value.is_finite()) && coefficients[HISTORY] > 0.0;
        sound.then(|| Head { coefficients, log_likelihood: value / choices.max(1) as f64 })
    }

    /// The scores of all items: exp(w . x), to the power that gives the history's score its own.
    /// Items that nothing speaks for by weights have none.
    pub fn scores(&self, sample: &Sample) -> Vec<f64> {
        let unit = self.coefficients[HISTORY];
        let mut scores = vec![0.0; sample.columns[HISTORY].len()];
        for (column, coefficient) in sample.columns.iter().zip(&self.coefficients) {
            let coefficient = coefficient / unit;
            scores
                .iter_mut()
                .zip(column)
                .for_each(|(score, value)| *score += coefficient * f64::from(*value));
        }
        scores.iter_mut().for_each(|score| *score = score.exp());
        scores
    }

    /// The same with what circumstances multiply raised to this power. The likelihood is of all items, most
    /// of them far down, and what is best for it may be too much for the first ten.
    pub fn shrunk(&self, power: f64) -> Head {
        let mut shrunk = self.clone();
        shrunk.coefficients[HISTORY + 1..].iter_mut().for_each(|value| *value *= power);
        shrunk
    }

    /// The power of the score that the probability was fitted to be proportional to.
    pub fn scale(&self) -> f64 {
        self.coefficients[HISTORY]
    }

    /// The coefficients by name, as they apply to the score: all but that of the history, which is 1.
    pub fn by_name(&self, lifts: &Lifts<'_>) -> BTreeMap<String, f64> {
        let unit = self.coefficients[HISTORY];
        let names = lifts.names().into_iter().map(str::to_owned);
        names.zip(self.coefficients.iter().map(|value| value / unit)).skip(1).collect()
    }

    /// The logarithms of what each condition multiplies scores by.
    pub fn factors(&self, lifts: &Lifts<'_>) -> Laid {
        let coefficient = self.by_name(lifts).get("condition").copied().unwrap_or_default();
        let (mut starts, mut targets, mut weights) = (vec![0], Vec::new(), Vec::new());
        for row in &lifts.rows {
            for &(item, _, lift) in row {
                targets.push(item);
                weights.push((coefficient * f64::from(lift)) as f32);
            }
            starts.push(targets.len());
        }
        (starts, targets, weights)
    }

    /// How the distance counts, where it does.
    pub fn distance(&self, lifts: &Lifts<'_>) -> Option<DistanceWeight> {
        let weight = *self.by_name(lifts).get("distance")?;
        Some(DistanceWeight { weight, mean: lifts.mean_distance? })
    }
}

/// The root mean squares of the columns about their means, at least a hair.
fn scales(samples: &[&Sample], count: usize) -> Vec<f64> {
    let of_column = |place: usize| {
        let (mut number, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for sample in samples {
            for &value in &sample.columns[place] {
                number += 1.0;
                sum += f64::from(value);
                squares += f64::from(value) * f64::from(value);
            }
        }
        let mean = sum / f64::max(number, 1.0);
        (squares / f64::max(number, 1.0) - mean * mean).max(0.0).sqrt().max(1e-6)
    };
    (0..count).into_par_iter().map(of_column).collect()
}

type Derivatives = (f64, Vec<f64>, Vec<Vec<f64>>);

/// The log-likelihood of what was taken, its gradient, and its curvature with the sign turned.
fn derivatives(samples: &[&Sample], scales: &[f64], coefficients: &[f64]) -> Derivatives {
    let count = scales.len();
    let nothing = || (0.0, vec![0.0; count], vec![vec![0.0; count]; count]);
    let of_sample = |mut sums: Derivatives, sample: &&Sample| {
        let items = sample.columns[0].len();
        let mut logits = vec![0.0; items];
        for ((column, scale), coefficient) in sample.columns.iter().zip(scales).zip(coefficients) {
            let factor = coefficient / scale;
            logits.iter_mut().zip(column).for_each(|(sum, value)| *sum += factor * f64::from(*value));
        }
        for &item in &sample.own {
            logits[item as usize] = f64::NEG_INFINITY;
        }
        let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut shares: Vec<f64> = logits.iter().map(|value| (value - most).exp()).collect();
        let total: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= total);
        let mut means = vec![0.0; count];
        let mut products = vec![vec![0.0; count]; count];
        for (a, first) in sample.columns.iter().enumerate() {
            for (share, value) in shares.iter().zip(first) {
                means[a] += share * f64::from(*value) / scales[a];
            }
            for (b, second) in sample.columns.iter().enumerate().take(a + 1) {
                let both = first.iter().zip(second).map(|(x, y)| f64::from(*x) * f64::from(*y));
                let sum: f64 = shares.iter().zip(both).map(|(share, product)| share * product).sum();
                products[a][b] = sum / (scales[a] * scales[b]);
            }
        }
        for &item in &sample.wanted {
            sums.0 += logits[item as usize] - most - total.ln();
            for a in 0..count {
                sums.1[a] += f64::from(sample.columns[a][item as usize]) / scales[a] - means[a];
                for b in 0..=a {
                    sums.2[a][b] += products[a][b] - means[a] * means[b];
                }
            }
        }
        sums
    };
    let add = |mut a: Derivatives, b: Derivatives| {
        a.0 += b.0;
        a.1.iter_mut().zip(b.1).for_each(|(x, y)| *x += y);
        for (x, y) in a.2.iter_mut().flatten().zip(b.2.into_iter().flatten()) {
            *x += y;
        }
        a
    };
    // Chunks of one size, added up in their order: the same sums on any number of cores.
    let parts: Vec<Derivatives> =
        samples.par_chunks(64).map(|chunk| chunk.iter().fold(nothing(), of_sample)).collect();
    let mut sums = parts.into_iter().fold(nothing(), add);
    for a in 0..count {
        for b in 0..a {
            sums.2[b][a] = sums.2[a][b];
        }
    }
    sums
}

/// Solves a small positive definite system by elimination; none where it is singular.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let size = right.len();
    for column in 0..size {
        let pivot = matrix[column][column];
        if !(pivot.is_finite() && pivot > 0.0) {
            return None;
        }
        let line = matrix[column].clone();
        for row in column + 1..size {
            let factor = matrix[row][column] / pivot;
            matrix[row].iter_mut().zip(&line).for_each(|(value, other)| *value -= factor * other);
            right[row] -= factor * right[column];
        }
    }
    for column in (0..size).rev() {
        let sum: f64 = (column + 1..size).map(|other| matrix[column][other] * right[other]).sum();
        right[column] = (right[column] - sum) / matrix[column][column];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn samples(truth: &[f64], count: usize) -> Vec<Sample> {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let made = |_| {
            let columns: Vec<Vec<f32>> =
                truth.iter().map(|_| (0..20).map(|_| rng.random_range(-1.0..1.0)).collect()).collect();
            let value = |item: usize| {
                columns.iter().zip(truth).map(|(column, w)| w * f64::from(column[item])).sum::<f64>().exp()
            };
            // The first item is no candidate.
            let mut left = rng.random_range(0.0..(1..20).map(value).sum::<f64>());
            let taken = (1..19).find(|&item| {
                left -= value(item);
                left < 0.0
            });
            Sample { columns, own: vec![0], wanted: vec![taken.unwrap_or(19) as u32] }
        };
        (0..count).map(made).collect()
    }

    #[test]
    fn the_coefficients_that_made_the_choices_are_found() {
        let truth = [2.0, -1.0, 0.5];
        let samples = samples(&truth, 4_000);
        let head = Head::fit(&samples.iter().collect::<Vec<_>>()).unwrap();
        for (found, truth) in head.coefficients.iter().zip(truth) {
            assert!((found - truth).abs() < 0.15, "{:?}", head.coefficients);
        }
        assert!(head.log_likelihood > -(19f64.ln()), "better than by chance");
        assert_eq!(Head::fit(&[]), None);
        let alone = Sample { columns: vec![vec![0.0; 2]], own: vec![], wanted: vec![0] };
        assert_eq!(Head::fit(&[&alone]), None, "nothing besides the history");
    }

    #[test]
    fn what_is_shrunk_changes_no_history() {
        let samples = samples(&[1.0, -0.5], 200);
        let head = Head::fit(&samples.iter().collect::<Vec<_>>()).unwrap();
        let (whole, half, none) = (
            head.scores(&samples[0]),
            head.shrunk(0.5).scores(&samples[0]),
            head.shrunk(0.0).scores(&samples[0]),
        );
        for (item, history) in samples[0].column(HISTORY).iter().enumerate() {
            assert!((none[item] - f64::from(*history).exp()).abs() < 1e-9);
            assert!((half[item] - (whole[item] * none[item]).sqrt()).abs() < 1e-9);
        }
        assert!(whole.iter().zip(&none).any(|(one, other)| (one / other - 1.0).abs() > 0.01));
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let samples = samples(&[1.0, -0.5], 30);
        let samples: Vec<&Sample> = samples.iter().collect();
        let (scales, at, step) = ([0.7, 1.3], [0.4, 0.2], 1e-5);
        let (_, gradient, curvature) = derivatives(&samples, &scales, &at);
        for place in 0..2 {
            let moved = |by: f64| {
                let mut at = at;
                at[place] += by;
                derivatives(&samples, &scales, &at)
            };
            let (above, below) = (moved(step), moved(-step));
            assert!((gradient[place] - (above.0 - below.0) / (2.0 * step)).abs() < 1e-4);
            for (other, curved) in curvature[place].iter().enumerate() {
                let slope = (above.1[other] - below.1[other]) / (2.0 * step);
                assert!((curved + slope).abs() < 1e-4);
            }
        }
    }
}
