//! AdamW (Loshchilov and Hutter 2019) with gradient clipping and an average of the weights.
//!
//! Candle's own has no clipping, and its state cannot be saved, so a run could not be resumed; and it
//! passes over the values a dozen times where once is enough.
//! Weight decay touches matrices and kernels only: decaying a bias or a normalisation's scale
//! gains nothing.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Shape, Tensor, Var};
use rayon::prelude::*;

use nn::Params;
use nn::tensors::values;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Values that a core works on at a time, and that are summed in single precision.
const CHUNK: usize = 4096;

/// The optimiser's state, saved with a checkpoint.
pub struct AdamW {
    weight_decay: f64,
    clip: f64,
    steps: u32,
    moments: BTreeMap<String, Moments>,
}

/// Running means of a value's gradient and of its square.
struct Moments {
    shape: Shape,
    first: Vec<f32>,
    second: Vec<f32>,
}

/// What a step does to every value of a tensor.
#[derive(Clone, Copy)]
struct Change {
    /// Of the gradient, by clipping.
    scale: f32,
    /// Of the running means, towards those that did not start at zero.
    corrections: (f32, f32),
    rate: f32,
    /// What is left of the value itself.
    keep: f32,
}

impl Change {
    /// Changes values in one pass.
    fn apply(self, values: &mut [f32], gradient: &[f32], moments: &mut Moments) {
        let Change { scale, corrections, rate, keep } = self;
        let (beta1, beta2) = (BETA1 as f32, BETA2 as f32);
        let (rest1, rest2) = ((1.0 - BETA1) as f32, (1.0 - BETA2) as f32);
        let firsts = moments.first.par_chunks_mut(CHUNK);
        let state = firsts.zip(moments.second.par_chunks_mut(CHUNK));
        let parts = values.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(state);
        parts.for_each(|((values, gradient), (firsts, seconds))| {
            let state = firsts.iter_mut().zip(seconds);
            for ((value, gradient), (first, second)) in values.iter_mut().zip(gradient).zip(state) {
                let gradient = gradient * scale;
                *first = *first * beta1 + gradient * rest1;
                *second = *second * beta2 + gradient * gradient * rest2;
                let deviation = (*second * corrections.1).sqrt() + EPSILON as f32;
                *value = *value * keep - *first * corrections.0 / deviation * rate;
            }
        });
    }
}

/// Sum of squares: in single precision over eight strands of a chunk, in double over all.
fn square(values: &[f32]) -> f64 {
    let of = |values: &[f32]| {
        let mut strands = [0f32; 8];
        let chunks = values.chunks_exact(8);
        let rest: f64 = chunks.remainder().iter().map(|value| f64::from(value * value)).sum();
        for chunk in chunks {
            strands.iter_mut().zip(chunk).for_each(|(strand, value)| *strand += value * value);
        }
        rest + strands.iter().map(|strand| f64::from(*strand)).sum::<f64>()
    };
    values.chunks(CHUNK).map(of).sum()
}

impl AdamW {
    /// For the trainable values of `params`; a gradient whose norm over all values is above
    /// `clip` is scaled down to it.
    pub fn new(params: &Params, weight_decay: f64, clip: f64) -> Result<AdamW> {
        let zeros = |var: &Var| {
            let [first, second] = [0; 2].map(|_| vec![0.0; var.elem_count()]);
            Moments { shape: var.shape().clone(), first, second }
        };
        let moments = params.trainable().iter().map(|(name, var)| (name.clone(), zeros(var))).collect();
        Ok(AdamW { weight_decay, clip, steps: 0, moments })
    }

    /// One step at `learning_rate`. Returns the gradient's norm before clipping.
    ///
    /// # Errors
    /// A gradient that is not finite: the step is not taken.
    pub fn step(&mut self, params: &Params, gradients: &GradStore, learning_rate: f64) -> Result<f64> {
        let mut sum = 0f64;
        for var in params.trainable().values() {
            if let Some(gradient) = gradients.get(var) {
                sum += square(&values(&gradient.contiguous()?)?);
            }
        }
        let norm = sum.sqrt();
        if !norm.is_finite() {
            candle_core::bail!("the gradient is not finite; a lower learning rate may help")
        }
        let scale = if norm > self.clip { self.clip / norm } else { 1.0 };
        self.steps += 1;
        let correction = |beta: f64| (1.0 / (1.0 - beta.powi(self.steps as i32))) as f32;
        let corrections = (correction(BETA1), correction(BETA2));
        for (name, var) in params.trainable() {
            let (Some(gradient), Some(moments)) = (gradients.get(var), self.moments.get_mut(name)) else {
                continue;
            };
            let decay = if var.rank() > 1 { learning_rate * self.weight_decay } else { 0.0 };
            let (rate, keep) = (learning_rate as f32, (1.0 - decay) as f32);
            let change = Change { scale: scale as f32, corrections, rate, keep };
            let mut changed = values(var)?.to_vec();
            change.apply(&mut changed, &values(&gradient.contiguous()?)?, moments);
            var.set(&Tensor::from_vec(changed, var.shape(), var.device())?)?;
        }
        Ok(norm)
    }

    /// The state by name, and the number of steps.
    ///
    /// # Errors
    /// Memory that runs out.
    pub fn state(&self) -> Result<(BTreeMap<String, Tensor>, u32)> {
        let mut state = BTreeMap::new();
        for (name, Moments { shape, first, second }) in &self.moments {
            for (kind, values) in [("first", first), ("second", second)] {
                state.insert(format!("{kind}.{name}"), Tensor::from_slice(values, shape, &Device::Cpu)?);
            }
        }
        Ok((state, self.steps))
    }

    /// Goes back to a saved state.
    ///
    /// # Errors
    /// The state of another network.
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>, steps: u32) -> Result<()> {
        for (name, Moments { shape, first, second }) in &mut self.moments {
            for (kind, values) in [("first", first), ("second", second)] {
                match state.get(&format!("{kind}.{name}")) {
                    Some(tensor) if tensor.shape() == shape => {
                        *values = tensor.flatten_all()?.to_vec1()?;
                    }
                    Some(_) => candle_core::bail!("the checkpoint's state for \"{name}\" has another shape"),
                    None => candle_core::bail!("the checkpoint has no state for \"{name}\""),
                }
            }
        }
        self.steps = steps;
        Ok(())
    }
}

/// An exponential moving average of all values (Polyak averaging): flatter, and steadier from
/// step to step, than the values themselves.
pub struct Average {
    decay: f64,
    values: BTreeMap<String, Tensor>,
}

impl Average {
    /// Starts at the values as they are.
    pub fn new(params: &Params, decay: f64) -> Result<Average> {
        Ok(Average { decay, values: params.snapshot()? })
    }

    /// Moves towards the values after step number `step`; early on it follows faster.
    pub fn update(&mut self, params: &Params, step: u32) -> Result<()> {
        let step = f64::from(step);
        let decay = self.decay.min((1.0 + step) / (10.0 + step));
        for (name, value) in params.snapshot()? {
            let (keep, rest) = (decay as f32, (1.0 - decay) as f32);
            let mean = |(mean, value): (&f32, &f32)| mean * keep + value * rest;
            let moved: Vec<f32> = {
                let (means, values) = (values(&self.values[&name])?, values(&value)?);
                means.iter().zip(values.iter()).map(mean).collect()
            };
            self.values.insert(name, Tensor::from_vec(moved, value.shape(), value.device())?);
        }
        Ok(())
    }

    /// The average as it is now.
    pub fn values(&self) -> &BTreeMap<String, Tensor> {
        &self.values
    }

    /// Goes back to a saved average.
    pub fn restore(&mut self, values: BTreeMap<String, Tensor>) {
        self.values = values;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nn::Init;

    #[test]
    fn finds_the_minimum_of_a_bowl() {
        let mut params = Params::fresh(0);
        let x = params.get("x", 3, Init::Normal(1.0)).unwrap();
        let target = Tensor::new(&[1f32, -2.0, 0.5], &Device::Cpu).unwrap();
        let mut optimizer = AdamW::new(&params, 0.0, 1.0).unwrap();
        for _ in 0..600 {
            let loss = (&x - &target).unwrap().sqr().unwrap().sum_all().unwrap();
            optimizer.step(&params, &loss.backward().unwrap(), 0.02).unwrap();
        }
        let distance = (&x - &target).unwrap().abs().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
        assert!(distance < 1e-2, "{distance}");
    }

    /// A matrix and a vector of several chunks, and steps whose gradients are clipped and not.
    #[test]
    fn takes_the_steps_of_the_definition_and_goes_on_from_a_saved_state() {
        let (rate, weight_decay, clip) = (0.1, 0.05, 30.0);
        let mut params = Params::fresh(1);
        params.get("w", (100, 70), Init::Normal(1.0)).unwrap();
        params.get("b", 3, Init::Normal(1.0)).unwrap();
        let values = |params: &Params| -> Vec<Vec<f64>> {
            let of = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            params.snapshot().unwrap().values().map(|v| of(v).into_iter().map(f64::from).collect()).collect()
        };
        // The gradient of a sum of squares is twice the value.
        let gradients = |params: &Params, factor: f64| {
            let sum = |var: &Var| (var.sqr().unwrap().sum_all().unwrap() * factor).unwrap();
            let sums: Vec<Tensor> = params.trainable().values().map(sum).collect();
            (&sums[0] + &sums[1]).unwrap().backward().unwrap()
        };
        let mut want = values(&params);
        let mut means: Vec<Vec<(f64, f64)>> = want.iter().map(|v| vec![(0.0, 0.0); v.len()]).collect();
        let mut optimizer = AdamW::new(&params, weight_decay, clip).unwrap();
        for (step, factor) in [(1, 0.5), (2, 0.05), (3, 0.001)] {
            if step == 2 {
                let (state, steps) = optimizer.state().unwrap();
                optimizer = AdamW::new(&params, weight_decay, clip).unwrap();
                optimizer.restore(&state, steps).unwrap();
            }
            let norm = 2.0 * factor * want.iter().flatten().map(|v| v * v).sum::<f64>().sqrt();
            let scale = (clip / norm).min(1.0);
            let got = optimizer.step(&params, &gradients(&params, factor), rate).unwrap();
            assert!((got / norm - 1.0).abs() < 1e-5, "{got} and {norm}");
            // In the order of the names the vector comes first.
            for ((values, means), decay) in want.iter_mut().zip(&mut means).zip([0.0, weight_decay]) {
                for (value, (first, second)) in values.iter_mut().zip(means) {
                    let gradient = 2.0 * factor * scale * *value;
                    *first = 0.9 * *first + 0.1 * gradient;
                    *second = 0.999 * *second + 0.001 * gradient * gradient;
                    let (m, v) = (*first / (1.0 - 0.9f64.powi(step)), *second / (1.0 - 0.999f64.powi(step)));
                    *value -= rate * (m / (v.sqrt() + 1e-8) + decay * *value);
                }
            }
            for (got, want) in values(&params).iter().flatten().zip(want.iter().flatten()) {
                assert!((got - want).abs() < 1e-5 * (1.0 + want.abs()), "{got} for {want}");
            }
        }
        assert!(AdamW::new(&params, 0.0, 1.0).unwrap().restore(&BTreeMap::new(), 1).is_err());
    }

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing() {
        let mut params = Params::fresh(0);
        let x = params.get("x", 3, Init::Normal(1.0)).unwrap();
        let before = x.to_vec1::<f32>().unwrap();
        let loss = (&x * f64::NAN).unwrap().sum_all().unwrap();
        let mut optimizer = AdamW::new(&params, 0.0, 1.0).unwrap();
        assert!(optimizer.step(&params, &loss.backward().unwrap(), 0.02).is_err());
        assert_eq!(x.to_vec1::<f32>().unwrap(), before);
    }
}
