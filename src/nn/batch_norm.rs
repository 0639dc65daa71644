//! Batch normalisation (Ioffe and Szegedy 2015), forward and backward in one pass each.
//!
//! Candle's own divides by n - 1, which breaks on a batch of one, and builds a dozen tensors a
//! step. Here the variance is the mean square (divided by n), the running variance is scaled to
//! the unbiased one only where n > 1, and the whole step, with the rectifier behind it where there
//! is one, is one operation that looks at the batch's statistics once.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::Pass;
use super::conv::{slice, with_values};
use super::filter::Filter;
use super::params::{Buffer, Init, Params};
use super::relu::rectified;

/// Added to the variance, so that a constant channel stays finite.
const EPSILON: f32 = 1e-5;

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

    /// By the batch's own statistics while training, which also moves the running ones; by the
    /// running ones otherwise, so that an answer does not depend on what else is in the batch.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        self.apply(x, pass, false)
    }

    /// The same, and then a rectifier.
    pub fn forward_relu(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        self.apply(x, pass, true)
    }

    fn apply(&self, x: &Tensor, pass: &Pass, relu: bool) -> Result<Tensor> {
        if pass.is_training() {
            let op = BatchNormOp::of(x, relu)?;
            self.observe(&op.moments, Sizes::new(x.shape())?.count())?;
            return x.contiguous()?.apply_op3(&self.scale, &self.shift, op);
        }
        let (scale, shift) = self.running()?;
        let y = x.broadcast_mul(&scale.reshape((1, (), 1, 1))?)?.broadcast_add(&shift.reshape((
            1,
            (),
            1,
            1,
        ))?)?;
        if relu { y.relu() } else { Ok(y) }
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

    /// Moves the running statistics by those of a batch of `count` values a channel.
    fn observe(&self, moments: &[(f32, f32)], count: usize) -> Result<()> {
        let (Buffer::Running(mean), Buffer::Running(variance)) = (&self.mean, &self.variance) else {
            bail!("frozen weights cannot be trained")
        };
        let n = count as f32;
        let unbiased = if n > 1.0 { n / (n - 1.0) } else { 1.0 };
        let step = |running: &candle_core::Var, batch: Vec<f32>| -> Result<()> {
            let batch = Tensor::from_vec(batch, moments.len(), running.device())?;
            running.set(&((running.as_detached_tensor() * (1.0 - MOMENTUM))? + (batch * MOMENTUM)?)?)
        };
        step(mean, moments.iter().map(|m| m.0).collect())?;
        step(variance, moments.iter().map(|m| m.1 * unbiased).collect())
    }
}

/// One application: mean and mean square deviation of every channel, and what follows.
struct BatchNormOp {
    moments: Vec<(f32, f32)>,
    relu: bool,
}

impl BatchNormOp {
    fn of(x: &Tensor, relu: bool) -> Result<BatchNormOp> {
        let sizes = Sizes::new(x.shape())?;
        Ok(BatchNormOp { moments: with_values(x, |x| sizes.moments(x))?, relu })
    }
}

struct Sizes {
    batch: usize,
    channels: usize,
    area: usize,
}

impl Sizes {
    fn new(shape: &Shape) -> Result<Sizes> {
        let (batch, channels, height, width) = shape.dims4()?;
        if batch * height * width == 0 {
            bail!("batch normalisation of an empty batch")
        }
        Ok(Sizes { batch, channels, area: height * width })
    }

    /// Values a channel has.
    fn count(&self) -> usize {
        self.batch * self.area
    }

    /// One channel's values in `x`, image after image.
    fn channel<'a>(&self, x: &'a [f32], channel: usize) -> impl Iterator<Item = &'a [f32]> {
        let (area, step) = (self.area, self.channels * self.area);
        (0..self.batch).map(move |image| &x[image * step + channel * area..][..area])
    }

    /// Mean and mean square deviation of every channel, summed in double precision.
    fn moments(&self, x: &[f32]) -> Vec<(f32, f32)> {
        let n = self.count() as f64;
        (0..self.channels)
            .into_par_iter()
            .map(|c| {
                let sum: f64 = self.channel(x, c).map(|part| sum(part, |v| v)).sum();
                let mean = (sum / n) as f32;
                let square: f64 =
                    self.channel(x, c).map(|part| self::sum(part, |v| (v - mean) * (v - mean))).sum();
                (mean, (square / n) as f32)
            })
            .collect()
    }

    /// Writes `f(channel, index, output)` image by image.
    fn write(&self, f: impl Fn(usize, usize, &mut [f32]) + Sync) -> Vec<f32> {
        let mut out = vec![0.0; self.batch * self.channels * self.area];
        out.par_chunks_mut(self.area)
            .enumerate()
            .for_each(|(plane, out)| f(plane % self.channels, plane, out));
        out
    }
}

/// Sum of `f` over a run: eight running sums that the compiler keeps in a vector register, added
/// up in double precision.
fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0f32; 8];
    let chunks = values.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().map(|v| f64::from(f(*v))).sum();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += f(*value);
        }
    }
    rest + lanes.iter().map(|v| f64::from(*v)).sum::<f64>()
}

impl CustomOp3 for BatchNormOp {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        scale: &CpuStorage,
        scale_l: &Layout,
        shift: &CpuStorage,
        shift_l: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = Sizes::new(xl.shape())?;
        let (x, scale, shift) = (slice(x, xl)?, slice(scale, scale_l)?, slice(shift, shift_l)?);
        let out = sizes.write(|channel, plane, out| {
            let (mean, variance) = self.moments[channel];
            let factor = scale[channel] / (variance + EPSILON).sqrt();
            let offset = shift[channel] - mean * factor;
            for (out, x) in out.iter_mut().zip(&x[plane * sizes.area..]) {
                let y = x * factor + offset;
                // A maximum would hide what is no number.
                *out = if self.relu && y < 0.0 { 0.0 } else { y };
            }
        });
        Ok((CpuStorage::F32(out), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sizes = Sizes::new(x.shape())?;
        let factors = scale.to_vec1::<f32>()?;
        let gradient = if self.relu { &rectified(y, gradient)? } else { gradient };
        let (for_x, for_scale, for_shift) =
            with_values(x, |x| with_values(gradient, |g| backward(&sizes, &self.moments, x, g, &factors)))??;
        Ok((
            Some(Tensor::from_vec(for_x, x.shape(), x.device())?),
            Some(Tensor::from_vec(for_scale, scale.shape(), x.device())?),
            Some(Tensor::from_vec(for_shift, shift.shape(), x.device())?),
        ))
    }
}

/// Gradients for the input, the scale and the shift.
fn backward(
    sizes: &Sizes,
    moments: &[(f32, f32)],
    x: &[f32],
    gradient: &[f32],
    scale: &[f32],
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let n = sizes.count() as f32;
    // Over each channel: the sum of the gradient, and of the gradient times the normalised value.
    let sums: Vec<(f32, f32)> = (0..sizes.channels)
        .into_par_iter()
        .map(|c| {
            let (mean, variance) = moments[c];
            let inverse = 1.0 / (variance + EPSILON).sqrt();
            let (mut plain, mut weighted) = (0f64, 0f64);
            for (x, g) in sizes.channel(x, c).zip(sizes.channel(gradient, c)) {
                plain += sum(g, |v| v);
                let product: f32 = x.iter().zip(g).map(|(x, g)| (x - mean) * g).sum();
                weighted += f64::from(product * inverse);
            }
            (plain as f32, weighted as f32)
        })
        .collect();
    let for_x = sizes.write(|channel, plane, out| {
        let (mean, variance) = moments[channel];
        let inverse = 1.0 / (variance + EPSILON).sqrt();
        let (plain, weighted) = sums[channel];
        let factor = scale[channel] * inverse;
        let (a, b) = (plain / n, weighted / n * inverse);
        let start = plane * sizes.area;
        for ((out, x), g) in out.iter_mut().zip(&x[start..]).zip(&gradient[start..]) {
            *out = factor * (g - a - (x - mean) * b);
        }
    });
    (for_x, sums.iter().map(|s| s.1).collect(), sums.iter().map(|s| s.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::random;
    use candle_core::{Device, Var};

    fn draw(shape: &[usize], name: &str) -> Tensor {
        let mut rng = random::stream(0, name);
        let values: Vec<f32> =
            (0..shape.iter().product()).map(|_| 2.0 + 3.0 * random::normal(&mut rng)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// The same in candle's operations, whose gradients candle derives.
    fn plain(x: &Tensor, scale: &Tensor, shift: &Tensor, relu: bool) -> Result<Tensor> {
        let mean = x.mean_keepdim((0, 2, 3))?;
        let centred = x.broadcast_sub(&mean)?;
        let variance = centred.sqr()?.mean_keepdim((0, 2, 3))?;
        let normal = centred.broadcast_div(&(variance + f64::from(EPSILON))?.sqrt()?)?;
        let y = normal.broadcast_mul(&scale.reshape((1, (), 1, 1))?)?.broadcast_add(&shift.reshape((
            1,
            (),
            1,
            1,
        ))?)?;
        if relu { y.relu() } else { Ok(y) }
    }

    #[test]
    fn value_and_gradients_agree_with_the_definition() {
        let shapes = [[5, 3, 4, 7], [1, 2, 3, 3], [2, 3, 1, 1]];
        for (shape, relu) in shapes.into_iter().flat_map(|shape| [(shape, false), (shape, true)]) {
            let x = Var::from_tensor(&draw(&shape, "x")).unwrap();
            let scale = Var::from_tensor(&draw(&[shape[1]], "scale")).unwrap();
            let shift = Var::from_tensor(&draw(&[shape[1]], "shift")).unwrap();
            let weighting = draw(&shape, "g");
            let run = |y: Tensor| {
                let loss = (&y * &weighting).unwrap().sum_all().unwrap();
                (y, loss.backward().unwrap())
            };
            let (ours, our_gradients) = {
                let op = BatchNormOp::of(&x, relu).unwrap();
                run(x.as_tensor().apply_op3(&scale, &shift, op).unwrap())
            };
            let (theirs, their_gradients) = run(plain(&x, &scale, &shift, relu).unwrap());
            let close = |a: &Tensor, b: &Tensor| {
                let d: f32 = (a - b)
                    .unwrap()
                    .abs()
                    .unwrap()
                    .flatten_all()
                    .unwrap()
                    .max(0)
                    .unwrap()
                    .to_scalar()
                    .unwrap();
                assert!(d < 2e-3, "{shape:?}: {d}");
            };
            close(&ours, &theirs);
            for var in [&x, &scale, &shift] {
                close(our_gradients.get(var).unwrap(), their_gradients.get(var).unwrap());
            }
        }
    }

    #[test]
    fn a_batch_of_one_value_stays_finite() {
        let mut params = Params::fresh(0);
        let norm = BatchNorm::new(&mut params, "n", 2).unwrap();
        let mut rng = random::stream(0, "pass");
        let x = draw(&[1, 2, 1, 1], "x");
        let y = norm.forward(&x, &Pass::Training(&mut rng)).unwrap();
        let y = norm.forward(&y, &Pass::Inference).unwrap();
        assert!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|v| v.is_finite()));
    }
}
