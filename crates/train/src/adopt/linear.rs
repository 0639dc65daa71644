//! The head of a classifier over an encoder that others have trained: logistic regression over its vectors of texts.
//!
//! The encoder stays as it is. Values of the vectors are brought to mean 0 and variance 1 over the training notes while
//! the head is fitted, which is then undone in its weights. The penalty is chosen by cross-validation within training.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};

use crate::folds::folds;
use crate::logistic::{Coupling, Design, Fitted, Settings, fit};
use model::calibration::negative_log_likelihood;
use text::bag::Sparse;

/// Inverse strengths of the penalty that are tried.
const INVERSE_PENALTIES: [f64; 6] = [0.0003, 0.001, 0.01, 0.1, 1.0, 10.0];
/// Most iterations of a fit.
const ITERATIONS: usize = 200;
/// Least deviation that a column is divided by.
const FLAT: f64 = 1e-6;

/// A head that was fitted.
pub struct LinearHead {
    /// Its tensors, by their names in a package.
    pub tensors: BTreeMap<String, Tensor>,
    /// The inverse strength of the penalty that was chosen.
    pub inverse_penalty: f64,
}

/// Fits a head to vectors, one row a note, and the labels of the notes; those with the same number in `units` are held back
/// together.
///
/// # Errors
/// No notes; what candle says.
pub fn fit_head(
    vectors: &[Vec<f32>],
    truth: &[usize],
    units: &[usize],
    labels: usize,
    seed: u64,
) -> Result<LinearHead> {
    let width = vectors.first().context("no training notes")?.len();
    let count = vectors.len() as f64;
    let mean_of = |of: &dyn Fn(f64, usize) -> f64| -> Vec<f64> {
        let column = |at: usize| vectors.iter().map(|row| of(f64::from(row[at]), at)).sum::<f64>() / count;
        (0..width).map(column).collect()
    };
    let means = mean_of(&|x, _| x);
    let deviations: Vec<f64> =
        mean_of(&|x, at| (x - means[at]).powi(2)).into_iter().map(|square| square.sqrt().max(FLAT)).collect();
    let standard = |row: &Vec<f32>| -> Sparse {
        let value = |at: usize| ((f64::from(row[at]) - means[at]) / deviations[at]) as f32;
        (0..width).map(|at| (at as u32, value(at))).collect()
    };
    let rows: Vec<Sparse> = vectors.iter().map(standard).collect();
    let fitted = |members: &[usize], inverse_penalty: f64| -> Fitted {
        let own = members.iter().map(|i| rows[*i].clone()).collect();
        let truth = members.iter().map(|i| truth[*i]).collect();
        let design = Design::new(own, width, truth, vec![1.0; members.len()], labels);
        let coupling = Coupling::none();
        let settings = Settings { inverse_penalty, coupling, iterations: ITERATIONS, tolerance: 1e-6 };
        fit(&design, &settings, None, |_, _| true)
    };
    let mut losses = [0.0; INVERSE_PENALTIES.len()];
    for held in folds(truth, units, seed) {
        let mut is_held = vec![false; rows.len()];
        held.iter().for_each(|i| is_held[*i] = true);
        let rest: Vec<usize> = (0..rows.len()).filter(|i| !is_held[*i]).collect();
        let right: Vec<usize> = held.iter().map(|i| truth[*i]).collect();
        for (loss, inverse_penalty) in losses.iter_mut().zip(INVERSE_PENALTIES) {
            let fitted = fitted(&rest, inverse_penalty);
            let logits: Vec<Vec<f32>> = held.iter().map(|i| fitted.logits(&rows[*i])).collect();
            *loss += held.len() as f64 * negative_log_likelihood(&logits, &right, 1.0);
        }
    }
    // Of equals the strongest.
    let tried = losses.into_iter().zip(INVERSE_PENALTIES);
    let (_, inverse_penalty) =
        tried.fold(
            (f64::INFINITY, INVERSE_PENALTIES[0]),
            |best, tried| {
                if tried.0 < best.0 { tried } else { best }
            },
        );
    let all: Vec<usize> = (0..rows.len()).collect();
    let Fitted { weight, bias, .. } = fitted(&all, inverse_penalty);
    // weight is (columns, labels); a dense layer's is (labels, columns).
    let own = |label: usize, at: usize| f64::from(weight[at * labels + label]) / deviations[at];
    let weights: Vec<f32> = (0..labels)
        .flat_map(|label| (0..width).map(move |at| (label, at)))
        .map(|(label, at)| own(label, at) as f32)
        .collect();
    let shifted = |label: usize| {
        let shift: f64 = (0..width).map(|at| own(label, at) * means[at]).sum();
        (f64::from(bias[label]) - shift) as f32
    };
    let biases: Vec<f32> = (0..labels).map(shifted).collect();
    let cpu = &Device::Cpu;
    let tensors = BTreeMap::from([
        ("head.labels.weight".to_string(), Tensor::from_vec(weights, (labels, width), cpu)?),
        ("head.labels.bias".to_string(), Tensor::from_vec(biases, labels, cpu)?),
    ]);
    Ok(LinearHead { tensors, inverse_penalty })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_works_on_vectors_as_they_are() {
        // The third value says the label, large and shifted; the first is the same everywhere.
        let vectors: Vec<Vec<f32>> = (0..60)
            .map(|i| vec![7.0, ((i * 37) % 11) as f32, 100.0 + 30.0 * (i % 3) as f32 + (i % 5) as f32])
            .collect();
        let truth: Vec<usize> = (0..60).map(|i| i % 3).collect();
        let units: Vec<usize> = (0..60).collect();
        let head = fit_head(&vectors, &truth, &units, 3, 0).unwrap();
        let weight = head.tensors["head.labels.weight"].to_vec2::<f32>().unwrap();
        let bias = head.tensors["head.labels.bias"].to_vec1::<f32>().unwrap();
        for (vector, label) in vectors.iter().zip(&truth) {
            let logit = |label: usize| {
                bias[label] + weight[label].iter().zip(vector).map(|(w, x)| w * x).sum::<f32>()
            };
            let others = (0..3).filter(|other| other != label);
            assert!(others.map(logit).all(|other| other < logit(*label)), "{vector:?}");
        }
        assert!(fit_head(&[], &[], &[], 2, 0).is_err());
    }
}
