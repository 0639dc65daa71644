//! The loss of a segmentation: cross-entropy over the pixels, and what the Dice coefficient of every label but the
//! background lacks of one (Milletari et al. 2016, "V-Net"), for each picture: one with little to outline counts like every other.
//!
//! Cross-entropy alone is content where most pixels are background; Dice alone has little to say where a label is rare.
//! Both are one operation here, because as operations of tensors each would hold a batch of maps.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Added to both sides of a Dice coefficient, so that what is nowhere is found everywhere.
const SMOOTH: f64 = 1.0;

/// The loss of `logits` (pictures, labels, rows, columns) over the right label of each pixel, pictures one after the
/// other. `weights` is how much a pixel counts in the cross-entropy, as U-Net's authors weigh what lies between cells
/// that touch; their scale does not matter.
///
/// # Errors
/// Sizes that do not fit each other; a label beyond the maps; weights that add up to nothing.
pub fn region_loss(logits: &Tensor, truth: Vec<u8>, weights: Vec<f32>) -> Result<Tensor> {
    let (pictures, labels, rows, columns) = logits.dims4()?;
    if truth.len() != pictures * rows * columns || truth.iter().any(|label| usize::from(*label) >= labels) {
        bail!("{} labels do not fit maps of {:?}", truth.len(), logits.dims())
    }
    let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
    if weights.len() != truth.len() || !(total > 0.0 && total.is_finite()) {
        bail!("{} weights do not fit maps of {:?}", weights.len(), logits.dims())
    }
    let (truth, weights) = (Arc::new(truth), Arc::new(weights));
    logits.contiguous()?.apply_op1(RegionLoss { labels, area: rows * columns, truth, weights, total })
}

struct RegionLoss {
    labels: usize,
    area: usize,
    truth: Arc<Vec<u8>>,
    weights: Arc<Vec<f32>>,
    /// Sum of the weights.
    total: f64,
}

/// Over a picture: the sum of what every pixel costs, and of each label the probability that it has where it is right,
/// everywhere, and the pixels where it is right.
#[derive(Clone)]
struct Sums {
    cost: f64,
    labels: Vec<[f64; 3]>,
}

impl Sums {
    fn dice(&self, label: usize) -> (f64, f64) {
        let [shared, found, right] = self.labels[label];
        (2.0 * shared + SMOOTH, found + right + SMOOTH)
    }
}

impl RegionLoss {
    /// Probabilities of a pixel.
    fn pixel(&self, logits: &[f32], at: usize, into: &mut [f32]) {
        let own = || logits[at..].iter().step_by(self.area);
        let most = own().copied().fold(f32::NEG_INFINITY, f32::max);
        into.iter_mut().zip(own()).for_each(|(p, logit)| *p = (logit - most).exp());
        let total: f32 = into.iter().sum();
        into.iter_mut().for_each(|p| *p /= total);
    }

    /// Of each picture, in their order, so that the number of cores does not show.
    fn sums(&self, logits: &[f32]) -> Vec<Sums> {
        let pictures = logits.par_chunks(self.labels * self.area).zip(self.truth.par_chunks(self.area));
        let pictures = pictures.zip(self.weights.par_chunks(self.area));
        let each = pictures.map(|((logits, truth), weights)| {
            let mut sums = Sums { cost: 0.0, labels: vec![[0.0; 3]; self.labels] };
            let mut p = vec![0.0; self.labels];
            for (at, (right, weight)) in truth.iter().zip(weights).enumerate() {
                self.pixel(logits, at, &mut p);
                let right = usize::from(*right);
                sums.cost -= f64::from(*weight) * f64::from(p[right].max(1e-12)).ln();
                sums.labels[right][0] += f64::from(p[right]);
                sums.labels[right][2] += 1.0;
                sums.labels.iter_mut().zip(&p).for_each(|(sums, p)| sums[1] += f64::from(*p));
            }
            sums
        });
        each.collect()
    }

    /// How much the Dice coefficient of one label in one picture counts.
    fn share(&self) -> f64 {
        1.0 / ((self.labels - 1).max(1) * (self.truth.len() / self.area)) as f64
    }

    fn gradient(&self, logits: &[f32], factor: f32) -> Vec<f32> {
        let share = self.share();
        // Of the loss by the probability of a label at a pixel: where it is right, and anywhere.
        let slope = |sums: &Sums, label: usize| {
            let (above, below) = sums.dice(label);
            let own = if label == 0 { 0.0 } else { share };
            [(-own * 2.0 / below) as f32, (own * above / (below * below)) as f32]
        };
        let slopes: Vec<Vec<[f32; 2]>> = self
            .sums(logits)
            .iter()
            .map(|sums| (0..self.labels).map(|label| slope(sums, label)).collect())
            .collect();
        let mut gradient = vec![0.0; logits.len()];
        let pictures = gradient.par_chunks_mut(self.labels * self.area);
        let pictures = pictures.zip(logits.par_chunks(self.labels * self.area));
        let pictures = pictures.zip(self.truth.par_chunks(self.area)).zip(self.weights.par_chunks(self.area));
        pictures.zip(&slopes).for_each(|((((gradient, logits), truth), weights), slopes)| {
            let mut p = vec![0.0; self.labels];
            for (at, (right, weight)) in truth.iter().zip(weights).enumerate() {
                let share = (f64::from(*weight) / self.total) as f32;
                self.pixel(logits, at, &mut p);
                let right = usize::from(*right);
                let slope =
                    |label: usize| slopes[label][1] + if label == right { slopes[label][0] } else { 0.0 };
                let mean: f32 = p.iter().enumerate().map(|(label, p)| p * slope(label)).sum();
                for (label, p) in p.iter().enumerate() {
                    let cross = share * (p - if label == right { 1.0 } else { 0.0 });
                    gradient[label * self.area + at] = factor * (cross + p * (slope(label) - mean));
                }
            }
        });
        gradient
    }
}

impl CustomOp1 for RegionLoss {
    fn name(&self) -> &'static str {
        "region-loss"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("maps are not contiguous") };
        let sums = self.sums(&logits.as_slice::<f32>()?[start..end]);
        let cost: f64 = sums.iter().map(|picture| picture.cost).sum();
        let dice = |picture: &Sums| -> f64 {
            (1..self.labels).map(|label| picture.dice(label)).map(|(above, below)| above / below).sum()
        };
        let loss = cost / self.total + 1.0 - self.share() * sums.iter().map(dice).sum::<f64>();
        Ok((CpuStorage::F32(vec![loss as f32]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let factor = gradient.to_scalar::<f32>()?;
        let values = nn::tensors::values(logits)?;
        let gradient = self.gradient(&values, factor);
        Ok(Some(Tensor::from_vec(gradient, logits.shape(), logits.device())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use nn::random;

    fn truth() -> Vec<u8> {
        (0..2 * 12).map(|at| [0, 0, 1, 2, 0, 1, 0][at % 7]).collect()
    }

    fn weights() -> Vec<f32> {
        (0..2 * 12).map(|at| [1.0, 1.0, 4.0, 0.5, 1.0][at % 5]).collect()
    }

    fn maps(seed: u64) -> Vec<f32> {
        let mut rng = random::stream(seed, "maps");
        (0..2 * 3 * 12).map(|_| random::normal(&mut rng)).collect()
    }

    fn loss(values: &[f64]) -> f64 {
        let (truth, weights) = (truth(), weights());
        let (mut cost, mut sums) = (0.0, [[[0.0f64; 3]; 3]; 2]);
        for (at, right) in truth.iter().enumerate() {
            let own: Vec<f64> =
                (0..3).map(|label| values[(at / 12 * 3 + label) * 12 + at % 12].exp()).collect();
            let total: f64 = own.iter().sum();
            cost -= f64::from(weights[at]) * (own[usize::from(*right)] / total).ln();
            for (label, sums) in sums[at / 12].iter_mut().enumerate() {
                let is = f64::from(u8::from(usize::from(*right) == label));
                sums[0] += is * own[label] / total;
                sums[1] += own[label] / total;
                sums[2] += is;
            }
        }
        let dice = |[shared, found, right]: [f64; 3]| (2.0 * shared + 1.0) / (found + right + 1.0);
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let mean = sums.iter().map(|picture| dice(picture[1]) + dice(picture[2])).sum::<f64>() / 4.0;
        cost / total + 1.0 - mean
    }

    #[test]
    fn the_loss_and_its_gradient_are_those_of_the_definition() {
        let values = maps(3);
        let double: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
        let logits = Var::from_vec(values, (2, 3, 3, 4), &Device::Cpu).unwrap();
        let got = (region_loss(&logits, truth(), weights()).unwrap() * 2.0).unwrap();
        assert!((f64::from(got.to_scalar::<f32>().unwrap()) - 2.0 * loss(&double)).abs() < 1e-5);
        let gradients = got.backward().unwrap();
        let gradient: Vec<f32> = gradients.get(&logits).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        for (at, got) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut values = double.clone();
                values[at] += by;
                loss(&values)
            };
            let want = 2.0 * (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((f64::from(*got) - want).abs() < 1e-5, "{at}: {got} for {want}");
        }
    }

    #[test]
    fn labels_that_do_not_fit_are_refused() {
        let logits = Tensor::zeros((1, 2, 2, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(region_loss(&logits, vec![0; 3], vec![1.0; 3]).is_err());
        assert!(region_loss(&logits, vec![0, 1, 2, 0], vec![1.0; 4]).is_err());
        assert!(region_loss(&logits, vec![0, 1, 1, 0], vec![1.0; 3]).is_err());
        assert!(region_loss(&logits, vec![0, 1, 1, 0], vec![0.0; 4]).is_err());
    }
}
