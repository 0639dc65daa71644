//! The named values of a network, trainable or frozen.
//!
//! A layer asks for its values by name and shape and gets tensors. In a fresh set they are new,
//! seeded variables that gradients flow to; in a frozen set they are the tensors of a package,
//! plain data with no graph behind them, so serving tracks no gradient and holds no history.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Shape, Tensor, Var};

use super::random;

/// How a value starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All the same.
    Constant(f32),
    /// Normal with this standard deviation.
    Normal(f32),
    /// Uniform over (-bound, bound).
    Uniform(f32),
}

impl Init {
    /// For layers followed by a rectifier (He et al. 2015, "Delving deep into rectifiers"):
    /// normal with variance 2 / `fan_in`.
    pub fn he(fan_in: usize) -> Init {
        Init::Normal((2.0 / fan_in as f32).sqrt())
    }

    /// For layers followed by something near linear (Glorot and Bengio 2010): uniform with
    /// variance 2 / (`fan_in` + `fan_out`).
    pub fn glorot(fan_in: usize, fan_out: usize) -> Init {
        Init::Uniform((6.0 / (fan_in + fan_out) as f32).sqrt())
    }
}

enum Origin {
    Fresh { seed: u64 },
    Frozen,
}

/// The values of one network. See the module's introduction.
pub struct Params {
    origin: Origin,
    frozen: BTreeMap<String, Tensor>,
    trainable: BTreeMap<String, Var>,
    buffers: BTreeMap<String, Var>,
}

impl Params {
    /// New values for training; each depends on `seed` and its own name only.
    pub fn fresh(seed: u64) -> Params {
        Params::new(Origin::Fresh { seed }, BTreeMap::new())
    }

    /// The values of a package, for serving.
    pub fn frozen(values: BTreeMap<String, Tensor>) -> Params {
        Params::new(Origin::Frozen, values)
    }

    fn new(origin: Origin, frozen: BTreeMap<String, Tensor>) -> Params {
        Params { origin, frozen, trainable: BTreeMap::new(), buffers: BTreeMap::new() }
    }

    /// A value that training changes by gradient.
    ///
    /// # Errors
    /// A frozen set that lacks the name, or has it in another shape.
    pub fn get(&mut self, name: &str, shape: impl Into<Shape>, init: Init) -> Result<Tensor> {
        let shape = shape.into();
        match self.origin {
            Origin::Frozen => self.take(name, &shape),
            Origin::Fresh { seed } => {
                let var = Var::from_tensor(&draw(seed, name, &shape, init)?)?;
                let tensor = var.as_tensor().clone();
                self.trainable.insert(name.to_string(), var);
                Ok(tensor)
            }
        }
    }

    /// A value that training changes by itself (running statistics): no gradient flows to it.
    ///
    /// # Errors
    /// As [`Params::get`].
    pub fn buffer(&mut self, name: &str, shape: impl Into<Shape>, value: f32) -> Result<Buffer> {
        let shape = shape.into();
        match self.origin {
            Origin::Frozen => Ok(Buffer::Frozen(self.take(name, &shape)?)),
            Origin::Fresh { .. } => {
                let var = Var::from_tensor(&Tensor::full(value, shape, &Device::Cpu)?)?;
                self.buffers.insert(name.to_string(), var.clone());
                Ok(Buffer::Running(var))
            }
        }
    }

    fn take(&mut self, name: &str, shape: &Shape) -> Result<Tensor> {
        let Some(tensor) = self.frozen.remove(name) else {
            candle_core::bail!("the weights have no tensor \"{name}\"")
        };
        if tensor.shape() != shape {
            candle_core::bail!(
                "the tensor \"{name}\" has shape {:?}, the manifest asks for {:?}",
                tensor.dims(),
                shape.dims()
            )
        }
        Ok(tensor)
    }

    /// Ends the building of a network from a frozen set.
    ///
    /// # Errors
    /// Values that no layer asked for: the manifest describes another network.
    pub fn finish(self) -> Result<()> {
        match self.frozen.keys().next() {
            None => Ok(()),
            Some(name) => candle_core::bail!(
                "the weights have {} tensors that the manifest's network does not use, \"{name}\" among them",
                self.frozen.len()
            ),
        }
    }

    /// Values that an optimiser steps, in the order of their names.
    pub fn trainable(&self) -> &BTreeMap<String, Var> {
        &self.trainable
    }

    /// Number of values that an optimiser steps.
    pub fn count(&self) -> usize {
        self.trainable.values().map(|v| v.elem_count()).sum()
    }

    /// A copy of every value and buffer as it is now.
    pub fn snapshot(&self) -> Result<BTreeMap<String, Tensor>> {
        self.all().map(|(name, var)| Ok((name.clone(), var.as_detached_tensor().copy()?))).collect()
    }

    /// Sets every value and buffer to those of an earlier snapshot.
    ///
    /// # Errors
    /// A snapshot of another network.
    pub fn restore(&self, snapshot: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, var) in self.all() {
            match snapshot.get(name) {
                Some(tensor) => var.set(tensor)?,
                None => candle_core::bail!("the snapshot has no tensor \"{name}\""),
            }
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = (&String, &Var)> {
        self.trainable.iter().chain(&self.buffers)
    }
}

/// A value of [`Params::buffer`].
#[derive(Debug, Clone)]
pub enum Buffer {
    /// Of a package.
    Frozen(Tensor),
    /// Kept up by training.
    Running(Var),
}

impl Buffer {
    /// The value as it is now, without a graph.
    pub fn tensor(&self) -> Tensor {
        match self {
            Buffer::Frozen(tensor) => tensor.clone(),
            Buffer::Running(var) => var.as_detached_tensor(),
        }
    }
}

fn draw(seed: u64, name: &str, shape: &Shape, init: Init) -> Result<Tensor> {
    let count = shape.elem_count();
    let mut rng = random::stream(seed, &format!("init:{name}"));
    let values: Vec<f32> = match init {
        Init::Constant(value) => vec![value; count],
        Init::Normal(std) => (0..count).map(|_| std * random::normal(&mut rng)).collect(),
        Init::Uniform(bound) => (0..count).map(|_| random::uniform(&mut rng, -bound, bound)).collect(),
    };
    Tensor::from_vec(values, shape.clone(), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_values_whatever_was_asked_before() {
        let mut a = Params::fresh(7);
        let mut b = Params::fresh(7);
        b.get("other", 3, Init::Normal(1.0)).unwrap();
        let x = a.get("w", (2, 3), Init::he(3)).unwrap().to_vec2::<f32>().unwrap();
        let y = b.get("w", (2, 3), Init::he(3)).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(x, y);
    }

    #[test]
    fn a_frozen_set_refuses_wrong_shapes_and_left_over_values() {
        let mut params = Params::fresh(0);
        params.get("w", (2, 3), Init::Normal(1.0)).unwrap();
        let snapshot = params.snapshot().unwrap();

        let error = Params::frozen(snapshot.clone()).get("w", (3, 2), Init::Constant(0.0)).unwrap_err();
        assert!(error.to_string().contains("\"w\" has shape [2, 3]"), "{error}");
        let error = Params::frozen(snapshot.clone()).get("v", (3, 2), Init::Constant(0.0)).unwrap_err();
        assert!(error.to_string().contains("no tensor \"v\""), "{error}");
        let error = Params::frozen(snapshot).finish().unwrap_err();
        assert!(error.to_string().contains("\"w\" among them"), "{error}");
    }
}
