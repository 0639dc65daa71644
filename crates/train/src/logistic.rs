//! Multinomial logistic regression with an L2 penalty, over sparse rows.
//!
//! The problem is convex, so there is one answer and no learning rate to tune: limited-memory
//! BFGS (Nocedal and Wright 2006, algorithm 7.5) finds it, whole batches at a time. Sums run over
//! fixed parts in a fixed order, so the result does not depend on the number of cores.
//!
//! The penalty may couple the labels. With a coupling `T` the logits are `x W T`, and the penalty
//! is on `W`: a matrix whose `T T'` has a large part along the labels' order says that what
//! speaks for one level speaks for its neighbors too. Where levels are rare and their labels
//! noisy, as in triage, that is worth more than any other change to the model.
//!
//! Weights of some columns are held to fall from the first label to the last: after the fit the
//! nearest such row takes the place of each (Barlow et al. 1972, "Statistical inference under order
//! restrictions").

use rayon::prelude::*;

use text::bag::Sparse;

/// Rows that one part of a sum covers.
const PART: usize = 64;
/// Values that one part of a sum over a vector covers.
const STRETCH: usize = 1 << 14;
/// Pairs of steps that L-BFGS remembers.
const MEMORY: usize = 6;

/// Rows and their labels.
pub struct Design {
    rows: Vec<Sparse>,
    /// By column: the rows that have it, and their values.
    columns: Vec<Vec<(u32, f32)>>,
    truth: Vec<usize>,
    /// How much each row counts.
    weights: Vec<f64>,
    labels: usize,
    /// Columns whose weights fall, or stay, from the first label to the last.
    falling: Vec<u32>,
}

impl Design {
    /// `width` columns; `truth` has the label's index of every row, `weights` how much it counts.
    pub fn new(
        rows: Vec<Sparse>,
        width: usize,
        truth: Vec<usize>,
        weights: Vec<f64>,
        labels: usize,
    ) -> Design {
        let mut columns = vec![Vec::new(); width];
        for (row, values) in rows.iter().enumerate() {
            for (column, value) in values {
                columns[*column as usize].push((row as u32, *value));
            }
        }
        Design { rows, columns, truth, weights, labels, falling: Vec::new() }
    }

    /// The same, with weights of the columns `falling` that fall from the first label to the last.
    pub fn falling(self, falling: Vec<u32>) -> Design {
        Design { falling, ..self }
    }

    /// What all rows count together.
    fn total(&self) -> f64 {
        self.weights.iter().sum::<f64>().max(f64::MIN_POSITIVE)
    }

    /// Logits of every row under `weight` (columns x labels) and `bias`.
    fn logits(&self, weight: &[f32], bias: &[f32]) -> Vec<f32> {
        let labels = self.labels;
        let mut logits = vec![0.0; self.rows.len() * labels];
        logits.par_chunks_mut(labels).zip(&self.rows).for_each(|(logits, row)| {
            logits.copy_from_slice(bias);
            for (column, value) in row {
                let weights = &weight[*column as usize * labels..][..labels];
                logits.iter_mut().zip(weights).for_each(|(logit, weight)| *logit += value * weight);
            }
        });
        logits
    }

    /// Mean negative log likelihood; `logits` become its gradient times what all rows count.
    fn loss(&self, logits: &mut [f32]) -> f64 {
        let labels = self.labels;
        let parts: Vec<f64> = logits
            .par_chunks_mut(PART * labels)
            .zip(self.truth.par_chunks(PART).zip(self.weights.par_chunks(PART)))
            .map(|(logits, (truth, weights))| {
                let rows = logits.chunks_mut(labels).zip(truth.iter().zip(weights));
                rows.map(|(row, (truth, weight))| softmax_loss(row, *truth, *weight)).sum::<f64>()
            })
            .collect();
        parts.iter().sum::<f64>() / self.total()
    }
}

/// The row's negative log likelihood times its weight; the row becomes probabilities less the truth,
/// times the weight.
fn softmax_loss(row: &mut [f32], truth: usize, weight: f64) -> f64 {
    let highest = row.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    let right = f64::from(row[truth] - highest);
    row.iter_mut().for_each(|x| *x = (*x - highest).exp());
    let total: f32 = row.iter().sum();
    row.iter_mut().for_each(|x| *x /= total);
    row[truth] -= 1.0;
    row.iter_mut().for_each(|x| *x *= weight as f32);
    weight * (f64::from(total).ln() - right)
}

/// How the labels hang together: a symmetric matrix, row after row, or none.
#[derive(Debug, Clone, PartialEq)]
pub struct Coupling(Option<Vec<f32>>);

impl Coupling {
    /// Labels that have nothing to do with each other.
    pub fn none() -> Coupling {
        Coupling(None)
    }

    /// Labels that are steps of one scale: `T T' = own I + along s s'`, where `s` is the place on
    /// the scale, centred and of norm 1.
    pub fn ordinal(labels: usize, own: f64, along: f64) -> Coupling {
        let middle = (labels as f64 - 1.0) / 2.0;
        let norm = (0..labels).map(|k| (k as f64 - middle).powi(2)).sum::<f64>().sqrt().max(1e-9);
        let place = |k: usize| (k as f64 - middle) / norm;
        // The square root keeps the direction `s` and the space across it.
        let excess = (own + along).sqrt() - own.sqrt();
        let entry = |i: usize, j: usize| {
            let across = if i == j { own.sqrt() } else { 0.0 };
            (across + excess * place(i) * place(j)) as f32
        };
        let entries = (0..labels * labels).map(|at| entry(at / labels, at % labels));
        Coupling(Some(entries.collect()))
    }

    /// Every row of `values` times the matrix.
    fn apply(&self, values: &[f32], labels: usize) -> Vec<f32> {
        let Some(matrix) = &self.0 else { return values.to_vec() };
        let mut out = vec![0.0; values.len()];
        out.par_chunks_mut(labels).zip(values.par_chunks(labels)).for_each(|(out, row)| {
            for (value, line) in row.iter().zip(matrix.chunks(labels)) {
                out.iter_mut().zip(line).for_each(|(sum, entry)| *sum += value * entry);
            }
        });
        out
    }
}

/// What is fitted, and how long.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Inverse of the penalty's strength: the objective is the weighted sum of the rows' negative
    /// log likelihoods plus `|W|^2 / (2 inverse_penalty)`. The bias is not penalised.
    pub inverse_penalty: f64,
    /// How the labels hang together.
    pub coupling: Coupling,
    /// Most iterations.
    pub iterations: usize,
    /// Stop when the objective falls by less than this share of itself.
    pub tolerance: f64,
}

/// A fitted model.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// Columns x labels.
    pub weight: Vec<f32>,
    /// One a label.
    pub bias: Vec<f32>,
    /// The values before the coupling, from which a next fit may start.
    inner: Vec<f32>,
}

impl Fitted {
    /// Logits of one row.
    pub fn logits(&self, row: &Sparse) -> Vec<f32> {
        let mut logits = self.bias.clone();
        for (column, value) in row {
            let weights = &self.weight[*column as usize * logits.len()..][..logits.len()];
            logits.iter_mut().zip(weights).for_each(|(logit, weight)| *logit += value * weight);
        }
        logits
    }
}

/// The least objective's weights. `start` is where to begin; `seen` is called after every
/// iteration with the loss over the rows and the model so far, and stops the fit by `false`.
pub fn fit(
    design: &Design,
    settings: &Settings,
    start: Option<&Fitted>,
    mut seen: impl FnMut(f64, &Fitted) -> bool,
) -> Fitted {
    let size = (design.columns.len() + 1) * design.labels;
    let mut point = start.map_or_else(|| vec![0.0; size], |fitted| fitted.inner.clone());
    let mut at = evaluate(design, settings, &point);
    let mut pairs: Vec<(Vec<f32>, Vec<f32>, f64)> = Vec::new();
    let mut slow = 0;
    for _ in 0..settings.iterations {
        let mut direction = newton_direction(&at.gradient, &pairs);
        let mut slope = dot(&direction, &at.gradient);
        if slope >= 0.0 {
            pairs.clear();
            direction = at.gradient.iter().map(|g| -g).collect();
            slope = dot(&direction, &at.gradient);
        }
        // The first step has no curvature to go by: of length 1.
        let first = if pairs.is_empty() { 1.0 / norm(&direction).max(1.0) } else { 1.0 };
        let Some((next, there)) = descend(design, settings, &point, &direction, &at, slope, first) else {
            break;
        };
        let step: Vec<f32> = next.iter().zip(&point).map(|(a, b)| a - b).collect();
        let change: Vec<f32> = there.gradient.iter().zip(&at.gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&step, &change);
        if curvature > 1e-10 * norm(&step) * norm(&change) {
            if pairs.len() == MEMORY {
                pairs.remove(0);
            }
            pairs.push((step, change, 1.0 / curvature));
        }
        slow = if at.objective - there.objective < settings.tolerance * at.objective.abs() {
            slow + 1
        } else {
            0
        };
        (point, at) = (next, there);
        let keep_on = seen(at.loss, &fitted(design, settings, &point));
        if !keep_on || slow == 2 {
            break;
        }
    }
    fitted(design, settings, &point)
}

fn fitted(design: &Design, settings: &Settings, point: &[f32]) -> Fitted {
    let (inner, bias) = point.split_at(design.columns.len() * design.labels);
    let mut weight = settings.coupling.apply(inner, design.labels);
    for column in &design.falling {
        fall(&mut weight[*column as usize * design.labels..][..design.labels]);
    }
    Fitted { weight, bias: bias.to_vec(), inner: point.to_vec() }
}

/// Makes a row into the nearest one that does not rise: neighbors that do are brought to their mean.
fn fall(row: &mut [f32]) {
    let mut blocks: Vec<(f32, usize)> = Vec::new();
    for &value in row.iter() {
        blocks.push((value, 1));
        while let [.., (before, m), (last, n)] = blocks[..]
            && before < last
        {
            blocks.pop();
            blocks.pop();
            blocks.push(((before * m as f32 + last * n as f32) / (m + n) as f32, m + n));
        }
    }
    let values = blocks.into_iter().flat_map(|(value, count)| std::iter::repeat_n(value, count));
    row.iter_mut().zip(values).for_each(|(old, new)| *old = new);
}

/// The objective at a point, divided by what all rows count.
struct Evaluation {
    objective: f64,
    loss: f64,
    gradient: Vec<f32>,
}

fn evaluate(design: &Design, settings: &Settings, point: &[f32]) -> Evaluation {
    let labels = design.labels;
    let rows = design.total();
    let (inner, bias) = point.split_at(design.columns.len() * labels);
    let mut residuals = design.logits(&settings.coupling.apply(inner, labels), bias);
    let loss = design.loss(&mut residuals);
    let penalty = 1.0 / (settings.inverse_penalty * rows);
    let scale = (1.0 / rows) as f32;

    let mut by_weight = vec![0.0; inner.len()];
    by_weight.par_chunks_mut(labels).zip(&design.columns).for_each(|(sum, column)| {
        for (row, value) in column {
            let residual = &residuals[*row as usize * labels..][..labels];
            sum.iter_mut().zip(residual).for_each(|(sum, residual)| *sum += value * scale * residual);
        }
    });
    let mut gradient = settings.coupling.apply(&by_weight, labels);
    gradient.par_iter_mut().zip(inner).for_each(|(g, w)| *g += penalty as f32 * w);
    let mut by_bias = vec![0.0f64; labels];
    for residual in residuals.chunks(labels) {
        by_bias.iter_mut().zip(residual).for_each(|(sum, r)| *sum += f64::from(*r));
    }
    gradient.extend(by_bias.iter().map(|sum| (sum / rows) as f32));
    Evaluation { objective: loss + 0.5 * penalty * dot(inner, inner), loss, gradient }
}

/// The two-loop recursion.
fn newton_direction(gradient: &[f32], pairs: &[(Vec<f32>, Vec<f32>, f64)]) -> Vec<f32> {
    let mut q: Vec<f32> = gradient.iter().map(|g| -g).collect();
    let mut alphas = Vec::with_capacity(pairs.len());
    for (step, change, rho) in pairs.iter().rev() {
        let alpha = rho * dot(step, &q);
        add(&mut q, change, -alpha);
        alphas.push(alpha);
    }
    if let Some((_, change, rho)) = pairs.last() {
        let scale = (1.0 / (rho * dot(change, change))) as f32;
        q.par_iter_mut().for_each(|x| *x *= scale);
    }
    for ((step, change, rho), alpha) in pairs.iter().zip(alphas.iter().rev()) {
        let beta = rho * dot(change, &q);
        add(&mut q, step, alpha - beta);
    }
    q
}

/// Halves the step until the objective falls enough (Armijo's rule).
fn descend(
    design: &Design,
    settings: &Settings,
    point: &[f32],
    direction: &[f32],
    at: &Evaluation,
    slope: f64,
    first: f64,
) -> Option<(Vec<f32>, Evaluation)> {
    let mut length = first;
    for _ in 0..20 {
        let mut next = point.to_vec();
        add(&mut next, direction, length);
        let there = evaluate(design, settings, &next);
        if there.objective <= at.objective + 1e-4 * length * slope {
            return Some((next, there));
        }
        length *= 0.5;
    }
    None
}

fn add(to: &mut [f32], other: &[f32], factor: f64) {
    to.par_iter_mut().zip(other).for_each(|(a, b)| *a += factor as f32 * b);
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let part = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    let parts: Vec<f64> = a.par_chunks(STRETCH).zip(b.par_chunks(STRETCH)).map(part).collect();
    parts.iter().sum()
}

fn norm(a: &[f32]) -> f64 {
    dot(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(coupling: Coupling) -> Settings {
        Settings { inverse_penalty: 2.0, coupling, iterations: 200, tolerance: 1e-9 }
    }

    fn design() -> Design {
        let rows = (0..60).map(|i| vec![(0, (i % 7) as f32 - 3.0), (1, (i % 5) as f32), (2, 1.0)]).collect();
        let weights = (0..60).map(|i| if i % 4 == 0 { 0.25 } else { 1.0 }).collect();
        Design::new(rows, 3, (0..60).map(|i| (i % 7 + i % 3) / 3 % 3).collect(), weights, 3)
    }

    #[test]
    fn the_gradient_is_that_of_the_objective() {
        let (design, settings) = (design(), settings(Coupling::ordinal(3, 0.5, 2.0)));
        let point: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7).sin()).collect();
        let gradient = evaluate(&design, &settings, &point).gradient;
        for place in 0..point.len() {
            let shifted = |by: f32| {
                let mut moved = point.clone();
                moved[place] += by;
                evaluate(&design, &settings, &moved).objective
            };
            let difference = (shifted(1e-2) - shifted(-1e-2)) / 2e-2;
            assert!((difference - f64::from(gradient[place])).abs() < 1e-3, "{place}: {difference}");
        }
    }

    #[test]
    fn the_fit_ends_where_the_gradient_vanishes() {
        for coupling in [Coupling::none(), Coupling::ordinal(3, 0.5, 2.0)] {
            let (design, settings) = (design(), settings(coupling));
            let mut losses = Vec::new();
            let fitted = fit(&design, &settings, None, |loss, _| {
                losses.push(loss);
                true
            });
            let end = evaluate(&design, &settings, &fitted.inner);
            assert!(norm(&end.gradient) < 1e-3, "{}", norm(&end.gradient));
            assert!(losses.len() > 2 && losses.last() < losses.first());
        }
    }

    #[test]
    fn rows_that_must_fall_are_the_nearest_that_do() {
        for (row, expected) in [
            ([3.0, 1.0, -2.0], [3.0, 1.0, -2.0]),
            ([1.0, 3.0, -2.0], [2.0, 2.0, -2.0]),
            ([0.0, 1.0, 5.0], [2.0, 2.0, 2.0]),
            ([4.0, -1.0, 0.0], [4.0, -0.5, -0.5]),
        ] {
            let mut row = row;
            fall(&mut row);
            assert_eq!(row, expected);
        }
        let fitted = fit(&design().falling(vec![1]), &settings(Coupling::none()), None, |_, _| true);
        assert!(fitted.weight[3..6].windows(2).all(|pair| pair[0] >= pair[1]), "{:?}", fitted.weight);
    }

    #[test]
    fn a_row_of_weight_two_counts_as_two_rows() {
        let rows: Vec<Sparse> =
            (0..12).map(|i| vec![(0, i as f32 * 0.3 - 1.0), (1, (i % 3) as f32)]).collect();
        let truth: Vec<usize> = (0..12).map(|i| i / 2 % 3).collect();
        let weights: Vec<f64> = (0..12).map(|i| if i < 4 { 2.0 } else { 1.0 }).collect();
        let twice = [&rows[..], &rows[..4]].concat();
        let twice_truth = [&truth[..], &truth[..4]].concat();
        let settings = settings(Coupling::none());
        let weighed = fit(&Design::new(rows, 2, truth, weights, 3), &settings, None, |_, _| true);
        let repeated =
            fit(&Design::new(twice, 2, twice_truth, vec![1.0; 16], 3), &settings, None, |_, _| true);
        for (a, b) in weighed.weight.iter().zip(&repeated.weight) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
    }

    #[test]
    fn the_ordinal_coupling_has_the_matrix_it_says() {
        let Coupling(Some(t)) = Coupling::ordinal(5, 0.5, 2.0) else { panic!("no matrix") };
        for i in 0..5 {
            for j in 0..5 {
                let product: f32 = (0..5).map(|k| t[i * 5 + k] * t[k * 5 + j]).sum();
                let s = |k: usize| (k as f32 - 2.0) / 10f32.sqrt();
                let expected = if i == j { 0.5 } else { 0.0 } + 2.0 * s(i) * s(j);
                assert!((product - expected).abs() < 1e-5, "{i} {j}: {product} for {expected}");
            }
        }
    }
}
