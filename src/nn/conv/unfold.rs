//! Convolution as a product with an unfolded image, forward and backward: a column of the matrix
//! holds the values under the kernel at one output position (im2col, Chellapilla et al. 2006).
//! It takes any shape.

use std::ops::Range;

use candle_core::{Result, Shape, bail};
use rayon::prelude::*;

use super::ConvShape;
use crate::nn::filter::output_side;
use crate::nn::matrix::{View, multiply};

/// Images a partial sum of the weight gradient covers.
const CHUNK: usize = 8;

/// All sizes of one application.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub batch: usize,
    pub inputs: usize,
    pub height: usize,
    pub width: usize,
    pub outputs: usize,
    pub out_height: usize,
    pub out_width: usize,
    pub conv: ConvShape,
}

impl Sizes {
    /// # Errors
    /// Shapes that do not fit each other.
    pub fn new(x: &Shape, weight: &Shape, conv: ConvShape) -> Result<Sizes> {
        let (batch, inputs, height, width) = x.dims4()?;
        let (outputs, weight_inputs, kernel_height, kernel_width) = weight.dims4()?;
        if weight_inputs != inputs || kernel_height != conv.kernel || kernel_width != conv.kernel {
            bail!("weights of {:?} do not fit an input of {:?}", weight.dims(), x.dims())
        }
        let side = |length| output_side(length, conv.kernel, conv.stride, conv.padding, conv.dilation);
        let (out_height, out_width) = (side(height)?, side(width)?);
        Ok(Sizes { batch, inputs, height, width, outputs, out_height, out_width, conv })
    }

    /// Values of one image of the input.
    pub fn image(&self) -> usize {
        self.inputs * self.height * self.width
    }

    /// Output positions.
    pub fn positions(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Values under the kernel.
    fn patch(&self) -> usize {
        self.inputs * self.conv.kernel * self.conv.kernel
    }

    /// The output columns for which the value `kx` columns into the kernel lies inside the input,
    /// and the input column of the first of them.
    fn inside(&self, kx: usize) -> (Range<usize>, usize) {
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
    fn runs(&self, mut f: impl FnMut(usize, Range<usize>, usize)) {
        let ConvShape { kernel, stride, padding, dilation, .. } = self.conv;
        for channel in 0..self.inputs {
            for ky in 0..kernel {
                for kx in 0..kernel {
                    let row = (channel * kernel + ky) * kernel + kx;
                    let (columns, first) = self.inside(kx * dilation);
                    if columns.is_empty() {
                        continue;
                    }
                    for oy in 0..self.out_height {
                        let Some(y) =
                            (oy * stride + ky * dilation).checked_sub(padding).filter(|y| *y < self.height)
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

/// The convolution of a batch.
pub fn forward(sizes: &Sizes, parallel: bool, x: &[f32], weight: &[f32]) -> Vec<f32> {
    let (positions, patch) = (sizes.positions(), sizes.patch());
    let mut out = vec![0.0; sizes.batch * sizes.outputs * positions];
    let weight = View::new(weight, sizes.outputs, patch);
    each_image(parallel, &mut out, sizes.outputs * positions, patch * positions, |index, out, unfolded| {
        sizes.unfold(&x[index * sizes.image()..][..sizes.image()], unfolded);
        multiply(out, weight, View::new(unfolded, patch, positions), false);
    });
    out
}

/// The gradient of the inputs from that of the outputs.
pub fn input_gradient(sizes: &Sizes, parallel: bool, weight: &[f32], gradient: &[f32]) -> Vec<f32> {
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

/// The gradient of the weights from the inputs and the gradient of the outputs.
pub fn weight_gradient(sizes: &Sizes, x: &[f32], gradient: &[f32]) -> Vec<f32> {
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
