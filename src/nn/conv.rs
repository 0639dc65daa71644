//! Convolution as a matrix product, forward and backward.
//!
//! Candle's own convolution on a CPU reaches a small part of the machine. Here each image is
//! unfolded so that a column holds the values under the kernel at one output position (im2col,
//! Chellapilla et al. 2006), and the convolution and both its gradients are matrix products
//! with that matrix. Training works on the images of a batch in parallel; serving uses the one
//! thread it was called on. Sums run over fixed chunks in a fixed order, so the result does not
//! depend on the number of cores.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Storage, Tensor, bail};
use rayon::prelude::*;

use super::Pass;
use super::matrix::{View, multiply};
use super::params::{Init, Params};

/// Images a partial sum of the weight gradient covers.
const CHUNK: usize = 8;

/// Kernel, stride and padding of a convolution, the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Side of the kernel.
    pub kernel: usize,
    /// Step between output positions.
    pub stride: usize,
    /// Zeros on each side of the input.
    pub padding: usize,
}

/// A convolution over (batch, channels, height, width), with or without a bias.
#[derive(Debug, Clone)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    shape: ConvShape,
}

impl Conv2d {
    /// A layer named `name` whose weights start for a rectifier behind it.
    pub fn new(
        params: &mut Params,
        name: &str,
        inputs: usize,
        outputs: usize,
        shape: ConvShape,
        bias: bool,
    ) -> Result<Conv2d> {
        let side = shape.kernel;
        let init = Init::he(inputs * side * side);
        let weight = params.get(&format!("{name}.weight"), (outputs, inputs, side, side), init)?;
        let bias = match bias {
            true => Some(params.get(&format!("{name}.bias"), outputs, Init::Constant(0.0))?),
            false => None,
        };
        Ok(Conv2d { weight, bias, shape })
    }

    /// (batch, inputs, height, width) to (batch, outputs, height', width').
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let y = conv2d(x, &self.weight, self.shape, pass.is_training())?;
        match &self.bias {
            Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
            None => Ok(y),
        }
    }
}

/// Cross-correlation of `x` (batch, inputs, height, width) with `weight` (outputs, inputs,
/// kernel, kernel), differentiable in both; `parallel` spreads the batch over the cores.
///
/// # Errors
/// Shapes that do not fit; an input smaller than the kernel.
pub fn conv2d(x: &Tensor, weight: &Tensor, shape: ConvShape, parallel: bool) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&weight.contiguous()?, ConvOp { shape, parallel })
}

#[derive(Clone, Copy)]
struct ConvOp {
    shape: ConvShape,
    parallel: bool,
}

/// All sizes of one application.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    inputs: usize,
    height: usize,
    width: usize,
    outputs: usize,
    out_height: usize,
    out_width: usize,
    conv: ConvShape,
}

impl Sizes {
    fn new(x: &Shape, weight: &Shape, conv: ConvShape) -> Result<Sizes> {
        let (batch, inputs, height, width) = x.dims4()?;
        let (outputs, weight_inputs, kernel_height, kernel_width) = weight.dims4()?;
        if weight_inputs != inputs || kernel_height != conv.kernel || kernel_width != conv.kernel {
            bail!("weights of {:?} do not fit an input of {:?}", weight.dims(), x.dims())
        }
        if conv.stride == 0 || conv.kernel == 0 {
            bail!("a convolution needs a kernel and a stride of at least 1")
        }
        let (tall, wide) = (height + 2 * conv.padding, width + 2 * conv.padding);
        if tall < conv.kernel || wide < conv.kernel {
            bail!("a kernel of {0} x {0} does not fit an input of {tall} x {wide}", conv.kernel)
        }
        Ok(Sizes {
            batch,
            inputs,
            height,
            width,
            outputs,
            out_height: (tall - conv.kernel) / conv.stride + 1,
            out_width: (wide - conv.kernel) / conv.stride + 1,
            conv,
        })
    }

    /// Values of one image of the input.
    fn image(&self) -> usize {
        self.inputs * self.height * self.width
    }

    /// Output positions.
    fn positions(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Values under the kernel.
    fn patch(&self) -> usize {
        self.inputs * self.conv.kernel * self.conv.kernel
    }

    /// The output columns whose kernel column `kx` lies inside the input, and the input column
    /// of the first of them.
    fn inside(&self, kx: usize) -> (std::ops::Range<usize>, usize) {
        let ConvShape { stride, padding, .. } = self.conv;
        let first = padding.saturating_sub(kx).div_ceil(stride);
        let end = match (self.width + padding).checked_sub(kx) {
            Some(room) => room.div_ceil(stride).min(self.out_width),
            None => 0,
        };
        (first..end.max(first), (first * stride + kx).saturating_sub(padding))
    }

    /// Calls `f(row of the unfolded matrix, its part, start in the image)` for every run of
    /// output positions that lies in one row of the input.
    fn runs(&self, mut f: impl FnMut(usize, std::ops::Range<usize>, usize)) {
        let ConvShape { kernel, stride, padding } = self.conv;
        for channel in 0..self.inputs {
            for ky in 0..kernel {
                for kx in 0..kernel {
                    let row = (channel * kernel + ky) * kernel + kx;
                    let (columns, first) = self.inside(kx);
                    if columns.is_empty() {
                        continue;
                    }
                    for oy in 0..self.out_height {
                        let Some(y) = (oy * stride + ky).checked_sub(padding).filter(|y| *y < self.height)
                        else {
                            continue;
                        };
                        let at = oy * self.out_width;
                        let start = (channel * self.height + y) * self.width + first;
                        f(row, at + columns.start..at + columns.end, start);
                    }
                }
            }
        }
    }

    /// The matrix (patch, positions) of one image; `unfolded` comes zeroed or from a call with
    /// the same sizes, as the padding's zeros are never written.
    fn unfold(&self, image: &[f32], unfolded: &mut [f32]) {
        let (positions, stride) = (self.positions(), self.conv.stride);
        self.runs(|row, part, start| {
            let target = &mut unfolded[row * positions..][part];
            if stride == 1 {
                target.copy_from_slice(&image[start..start + target.len()]);
            } else {
                for (value, source) in target.iter_mut().zip(image[start..].iter().step_by(stride)) {
                    *value = *source;
                }
            }
        });
    }

    /// The reverse of [`Sizes::unfold`]: adds each value to the place it came from.
    fn fold(&self, unfolded: &[f32], image: &mut [f32]) {
        let (positions, stride) = (self.positions(), self.conv.stride);
        self.runs(|row, part, start| {
            let source = &unfolded[row * positions..][part];
            for (value, place) in source.iter().zip(image[start..].iter_mut().step_by(stride)) {
                *place += *value;
            }
        });
    }
}

/// Runs `f` over the pieces of one image each, on all cores or on this one.
fn each_image<F>(parallel: bool, out: &mut [f32], size: usize, scratch: usize, f: F)
where
    F: Fn(usize, &mut [f32], &mut Vec<f32>) + Sync,
{
    if size == 0 {
        return;
    }
    if parallel {
        out.par_chunks_mut(size)
            .enumerate()
            .for_each_init(|| vec![0.0; scratch], |buffer, (index, part)| f(index, part, buffer));
    } else {
        let mut buffer = vec![0.0; scratch];
        for (index, part) in out.chunks_mut(size).enumerate() {
            f(index, part, &mut buffer);
        }
    }
}

fn forward(sizes: &Sizes, parallel: bool, x: &[f32], weight: &[f32]) -> Vec<f32> {
    let (positions, patch) = (sizes.positions(), sizes.patch());
    let mut out = vec![0.0; sizes.batch * sizes.outputs * positions];
    let weight = View::new(weight, sizes.outputs, patch);
    each_image(parallel, &mut out, sizes.outputs * positions, patch * positions, |index, out, unfolded| {
        sizes.unfold(&x[index * sizes.image()..][..sizes.image()], unfolded);
        multiply(out, weight, View::new(unfolded, patch, positions), false);
    });
    out
}

fn input_gradient(sizes: &Sizes, parallel: bool, weight: &[f32], gradient: &[f32]) -> Vec<f32> {
    let (positions, patch) = (sizes.positions(), sizes.patch());
    let mut out = vec![0.0; sizes.batch * sizes.image()];
    let weight = View::new(weight, sizes.outputs, patch).transposed();
    let each = sizes.outputs * positions;
    each_image(parallel, &mut out, sizes.image(), patch * positions, |index, out, unfolded| {
        let gradient = View::new(&gradient[index * each..][..each], sizes.outputs, positions);
        multiply(unfolded, weight, gradient, false);
        sizes.fold(unfolded, out);
    });
    out
}

fn weight_gradient(sizes: &Sizes, x: &[f32], gradient: &[f32]) -> Vec<f32> {
    let (positions, patch) = (sizes.positions(), sizes.patch());
    let each = sizes.outputs * positions;
    let images: Vec<usize> = (0..sizes.batch).collect();
    let partial: Vec<Vec<f32>> = images
        .par_chunks(CHUNK)
        .map(|chunk| {
            let mut unfolded = vec![0.0; patch * positions];
            let mut sum = vec![0.0; sizes.outputs * patch];
            for &index in chunk {
                sizes.unfold(&x[index * sizes.image()..][..sizes.image()], &mut unfolded);
                let gradient = View::new(&gradient[index * each..][..each], sizes.outputs, positions);
                multiply(&mut sum, gradient, View::new(&unfolded, patch, positions).transposed(), true);
            }
            sum
        })
        .collect();
    let mut total = vec![0.0; sizes.outputs * patch];
    for part in &partial {
        for (sum, value) in total.iter_mut().zip(part) {
            *sum += value;
        }
    }
    total
}

/// The values of a contiguous tensor's layout.
pub(super) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a tensor that is not contiguous reached a kernel"),
    }
}

/// Calls `f` with a tensor's values.
pub(super) fn with_values<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(f(slice(storage, layout)?)),
        _ => bail!("this kernel works on the CPU only"),
    }
}

impl CustomOp2 for ConvOp {
    fn name(&self) -> &'static str {
        "conv2d-im2col"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = Sizes::new(xl.shape(), wl.shape(), self.shape)?;
        let out = forward(&sizes, self.parallel, slice(x, xl)?, slice(w, wl)?);
        let shape = (sizes.batch, sizes.outputs, sizes.out_height, sizes.out_width).into();
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let sizes = Sizes::new(x.shape(), w.shape(), self.shape)?;
        // The first layer's input is data: nobody asks for its gradient.
        let for_x = match x.track_op() {
            true => {
                let values = with_values(w, |w| {
                    with_values(gradient, |g| input_gradient(&sizes, self.parallel, w, g))
                })??;
                Some(Tensor::from_vec(values, x.shape(), x.device())?)
            }
            false => None,
        };
        let values = with_values(x, |x| with_values(gradient, |g| weight_gradient(&sizes, x, g)))??;
        Ok((for_x, Some(Tensor::from_vec(values, w.shape(), w.device())?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::random;
    use candle_core::{Device, Var};
    use proptest::prelude::*;

    fn draw(shape: (usize, usize, usize, usize), seed: u64, name: &str) -> Tensor {
        let mut rng = random::stream(seed, name);
        let count = shape.0 * shape.1 * shape.2 * shape.3;
        let values: Vec<f32> = (0..count).map(|_| random::normal(&mut rng)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn distance(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    /// The definition, in double precision.
    fn plain(x: &Tensor, w: &Tensor, conv: ConvShape) -> Tensor {
        let s = Sizes::new(x.shape(), w.shape(), conv).unwrap();
        let (x, w) = (
            x.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            w.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        );
        let mut out = Vec::new();
        for n in 0..s.batch {
            for o in 0..s.outputs {
                for oy in 0..s.out_height {
                    for ox in 0..s.out_width {
                        let mut sum = 0f64;
                        for c in 0..s.inputs {
                            for ky in 0..conv.kernel {
                                for kx in 0..conv.kernel {
                                    let y = (oy * conv.stride + ky) as isize - conv.padding as isize;
                                    let z = (ox * conv.stride + kx) as isize - conv.padding as isize;
                                    if (0..s.height as isize).contains(&y)
                                        && (0..s.width as isize).contains(&z)
                                    {
                                        let at = ((n * s.inputs + c) * s.height + y as usize) * s.width
                                            + z as usize;
                                        let wat = ((o * s.inputs + c) * conv.kernel + ky) * conv.kernel + kx;
                                        sum += f64::from(x[at]) * f64::from(w[wat]);
                                    }
                                }
                            }
                        }
                        out.push(sum as f32);
                    }
                }
            }
        }
        Tensor::from_vec(out, (s.batch, s.outputs, s.out_height, s.out_width), &Device::Cpu).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn agrees_with_the_definition(
            batch in 1usize..4, inputs in 1usize..5, outputs in 1usize..5,
            height in 1usize..14, width in 1usize..14,
            kernel in 1usize..6, stride in 1usize..4, padding in 0usize..4, parallel: bool, seed: u64,
        ) {
            prop_assume!(height + 2 * padding >= kernel && width + 2 * padding >= kernel);
            let conv = ConvShape { kernel, stride, padding };
            let x = draw((batch, inputs, height, width), seed, "x");
            let w = draw((outputs, inputs, kernel, kernel), seed, "w");
            let got = conv2d(&x, &w, conv, parallel).unwrap();
            let want = plain(&x, &w, conv);
            prop_assert_eq!(got.dims(), want.dims());
            prop_assert!(distance(&got, &want) < 1e-4);
        }

        #[test]
        fn gradients_agree_with_candles_own(
            batch in 1usize..11, inputs in 1usize..4, outputs in 1usize..4, side in 5usize..12,
            kernel in 1usize..4, stride in 1usize..3, padding in 0usize..2, seed: u64,
        ) {
            // Candle's transposed convolution wants the input to be covered exactly.
            prop_assume!((side + 2 * padding - kernel) % stride == 0);
            let conv = ConvShape { kernel, stride, padding };
            let x = Var::from_tensor(&draw((batch, inputs, side, side), seed, "x")).unwrap();
            let w = Var::from_tensor(&draw((outputs, inputs, kernel, kernel), seed, "w")).unwrap();
            let ours = conv2d(&x, &w, conv, true).unwrap();
            let theirs = x.conv2d(&w, padding, stride, 1, 1).unwrap();
            let weighting = draw(ours.dims4().unwrap(), seed, "g");
            let ours = (ours * &weighting).unwrap().sum_all().unwrap().backward().unwrap();
            let theirs = (theirs * &weighting).unwrap().sum_all().unwrap().backward().unwrap();
            for var in [&x, &w] {
                prop_assert!(distance(ours.get(var).unwrap(), theirs.get(var).unwrap()) < 1e-3);
            }
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let conv = ConvShape { kernel: 3, stride: 1, padding: 0 };
        let x = draw((1, 2, 2, 8), 0, "x");
        let w = draw((1, 2, 3, 3), 0, "w");
        assert!(conv2d(&x, &w, conv, false).unwrap_err().to_string().contains("does not fit"));
        let x = draw((1, 3, 8, 8), 0, "x");
        assert!(conv2d(&x, &w, conv, false).unwrap_err().to_string().contains("do not fit"));
    }

    #[test]
    fn a_view_into_a_larger_tensor_is_read_at_its_offset() {
        let conv = ConvShape { kernel: 3, stride: 1, padding: 1 };
        let all = draw((4, 2, 6, 6), 3, "x");
        let w = draw((3, 2, 3, 3), 3, "w");
        let whole = conv2d(&all, &w, conv, false).unwrap().narrow(0, 2, 2).unwrap();
        let part = conv2d(&all.narrow(0, 2, 2).unwrap(), &w, conv, false).unwrap();
        assert_eq!(distance(&whole, &part), 0.0);
        let turned = conv2d(&all.transpose(2, 3).unwrap(), &w, conv, false).unwrap();
        let copied = conv2d(&all.transpose(2, 3).unwrap().contiguous().unwrap(), &w, conv, false).unwrap();
        assert_eq!(distance(&turned, &copied), 0.0);
    }
}
