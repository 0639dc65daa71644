//! Batch normalisation (Ioffe and Szegedy 2015) as a layer: its parameters and running statistics.
//!
//! Candle's own divides by n - 1, which breaks on a batch of one. Here the variance is the mean
//! square (divided by n), and the running variance is scaled to the unbiased one only where n > 1.
//! Answering uses the running statistics; a step of training, which uses the batch's own, is part of
//! a larger operation ([`super::residual`]) over the sums in [`super::norm`].

use candle_core::{Result, Tensor, bail};

use super::filter::Filter;
use super::norm::{EPSILON, Moments};
use super::params::{Buffer, Init, Params};

/// Share of the running statistics that one batch replaces.
const MOMENTUM: f64 = 0.1;

/// Normalises each channel of (batch, channels, height, width).
#[derive(Debug, Clone)]
pub struct BatchNorm {
    scale: Tensor,
    shift: Tensor,
    mean: Buffer,
    variance: Buffer,
}

impl BatchNorm {
    /// A layer named `name` over `channels` that starts as the identity after normalisation.
    pub fn new(params: &mut Params, name: &str, channels: usize) -> Result<BatchNorm> {
        Ok(BatchNorm {
            scale: params.get(&format!("{name}.scale"), channels, Init::Constant(1.0))?,
            shift: params.get(&format!("{name}.shift"), channels, Init::Constant(0.0))?,
            mean: params.buffer(&format!("{name}.running_mean"), channels, 0.0)?,
            variance: params.buffer(&format!("{name}.running_variance"), channels, 1.0)?,
        })
    }

    /// By the running statistics, so that an answer does not depend on what else is in the batch.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (scale, shift) = self.running()?;
        let [scale, shift] = [scale, shift].map(|values| values.reshape((1, (), 1, 1)));
        x.broadcast_mul(&scale?)?.broadcast_add(&shift?)
    }

    /// A factor for each channel.
    pub(super) fn scale(&self) -> &Tensor {
        &self.scale
    }

    /// A term for each channel.
    pub(super) fn shift(&self) -> &Tensor {
        &self.shift
    }

    /// What the running statistics make of it: a factor and then a term for each channel.
    fn running(&self) -> Result<(Tensor, Tensor)> {
        let deviation = (self.variance.tensor() + f64::from(EPSILON))?.sqrt()?;
        let scale = (&self.scale / deviation)?;
        let shift = (&self.shift - (self.mean.tensor() * &scale)?)?;
        Ok((scale, shift))
    }

    /// The convolution before it with the running statistics folded in.
    pub fn fold(&self, filter: Filter) -> Result<Filter> {
        let (scale, shift) = self.running()?;
        Ok(filter.then(&scale.to_vec1::<f32>()?, &shift.to_vec1::<f32>()?))
    }

    /// Moves the running statistics by those of a batch.
    ///
    /// # Errors
    /// Weights of a package.
    pub(super) fn observe(&self, moments: &Moments) -> Result<()> {
        let (Buffer::Running(mean), Buffer::Running(variance)) = (&self.mean, &self.variance) else {
            bail!("frozen weights cannot be trained")
        };
        let n = moments.count() as f32;
        let unbiased = if n > 1.0 { n / (n - 1.0) } else { 1.0 };
        let channels = mean.elem_count();
        let step = |running: &candle_core::Var, batch: Vec<f32>| -> Result<()> {
            let batch = Tensor::from_vec(batch, channels, running.device())?;
            running.set(&((running.as_detached_tensor() * (1.0 - MOMENTUM))? + (batch * MOMENTUM)?)?)
        };
        step(mean, (0..channels).map(|channel| moments.channel(channel).0).collect())?;
        step(variance, (0..channels).map(|channel| moments.channel(channel).1 * unbiased).collect())
    }
}
