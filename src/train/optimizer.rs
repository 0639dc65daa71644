//! AdamW (Loshchilov and Hutter 2019) with gradient clipping and an average of the weights.
//!
//! Candle's own has no clipping, and its state cannot be saved, so a run could not be resumed.
//! Weight decay touches matrices and kernels only: decaying a bias or a normalisation's scale
//! gains nothing.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

use crate::nn::Params;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The optimiser's state, saved with a checkpoint.
pub struct AdamW {
    weight_decay: f64,
    clip: f64,
    steps: u32,
    first: BTreeMap<String, Var>,
    second: BTreeMap<String, Var>,
}

impl AdamW {
    /// For the trainable values of `params`; a gradient whose norm over all values is above
    /// `clip` is scaled down to it.
    pub fn new(params: &Params, weight_decay: f64, clip: f64) -> Result<AdamW> {
        let zeros = || -> Result<BTreeMap<String, Var>> {
            params
                .trainable()
                .iter()
                .map(|(name, var)| Ok((name.clone(), Var::from_tensor(&var.zeros_like()?)?)))
                .collect()
        };
        Ok(AdamW { weight_decay, clip, steps: 0, first: zeros()?, second: zeros()? })
    }

    /// One step at `learning_rate`. Returns the gradient's norm before clipping.
    ///
    /// # Errors
    /// A gradient that is not finite: the step is not taken.
    pub fn step(&mut self, params: &Params, gradients: &GradStore, learning_rate: f64) -> Result<f64> {
        let mut square = 0f64;
        for var in params.trainable().values() {
            if let Some(gradient) = gradients.get(var) {
                square += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
            }
        }
        let norm = square.sqrt();
        if !norm.is_finite() {
            candle_core::bail!("the gradient is not finite; a lower learning rate may help")
        }
        let scale = if norm > self.clip { self.clip / norm } else { 1.0 };
        self.steps += 1;
        let correction1 = 1.0 - BETA1.powi(self.steps as i32);
        let correction2 = 1.0 - BETA2.powi(self.steps as i32);
        for (name, var) in params.trainable() {
            let Some(gradient) = gradients.get(var) else { continue };
            let gradient = (gradient * scale)?;
            let (first, second) = (&self.first[name], &self.second[name]);
            let m = ((first.as_detached_tensor() * BETA1)? + (&gradient * (1.0 - BETA1))?)?;
            let v = ((second.as_detached_tensor() * BETA2)? + (gradient.sqr()? * (1.0 - BETA2))?)?;
            let step = ((&m / correction1)? / ((&v / correction2)?.sqrt()? + EPSILON)?)?;
            let decay = if var.rank() > 1 { learning_rate * self.weight_decay } else { 0.0 };
            let value = ((var.as_detached_tensor() * (1.0 - decay))? - (step * learning_rate)?)?;
            first.set(&m)?;
            second.set(&v)?;
            var.set(&value)?;
        }
        Ok(norm)
    }

    /// The state by name, and the number of steps.
    pub fn state(&self) -> (BTreeMap<String, Tensor>, u32) {
        let named = |kind: &'static str, values: &BTreeMap<String, Var>| -> Vec<(String, Tensor)> {
            values.iter().map(|(name, var)| (format!("{kind}.{name}"), var.as_detached_tensor())).collect()
        };
        (named("first", &self.first).into_iter().chain(named("second", &self.second)).collect(), self.steps)
    }

    /// Goes back to a saved state.
    ///
    /// # Errors
    /// The state of another network.
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>, steps: u32) -> Result<()> {
        for (kind, values) in [("first", &self.first), ("second", &self.second)] {
            for (name, var) in values {
                match state.get(&format!("{kind}.{name}")) {
                    Some(tensor) => var.set(tensor)?,
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
            let moved = ((&self.values[&name] * decay)? + (value * (1.0 - decay))?)?;
            self.values.insert(name, moved);
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
    use crate::nn::Init;

    #[test]
    fn finds_the_minimum_of_a_bowl() {
        let mut params = Params::fresh(0);
        let x = params.get("x", 3, Init::Normal(1.0)).unwrap();
        let target = Tensor::new(&[1f32, -2.0, 0.5], &candle_core::Device::Cpu).unwrap();
        let mut optimizer = AdamW::new(&params, 0.0, 1.0).unwrap();
        for _ in 0..600 {
            let loss = (&x - &target).unwrap().sqr().unwrap().sum_all().unwrap();
            optimizer.step(&params, &loss.backward().unwrap(), 0.02).unwrap();
        }
        let distance = (&x - &target).unwrap().abs().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
        assert!(distance < 1e-2, "{distance}");
    }
}
