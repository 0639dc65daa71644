//! Convolution as matrix products, forward and backward, for training and wherever a graph is kept.
//!
//! Candle's own convolution on a CPU reaches a small part of the machine. Here the kernels of
//! serving ([`super::filter`]) work in all directions, on maps with their channels last: a 3 x 3
//! kernel of stride 1 goes Winograd's way, other convolutions are products over the values where
//! they lie. Training works on the images of a batch in parallel; serving uses the one thread it was
//! called on. Sums run over fixed parts in a fixed order, so the result does not depend on the
//! number of cores.

mod backward;
mod forward;
mod reverse;
mod sizes;
mod source;
mod weights;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Storage, Tensor, bail};

use super::Pass;
use super::filter::Filter;
use super::params::{Init, Params};

pub(super) use backward::{Wanted, backward};
pub(super) use forward::{Form, forward};
pub use sizes::ConvShape;
pub(super) use sizes::Sizes;
pub(super) use source::Source;

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
        let inputs = inputs / shape.groups;
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

    /// The kernels, (outputs, inputs / groups, side, side).
    pub(super) fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// How they are applied.
    pub(super) fn shape(&self) -> ConvShape {
        self.shape
    }

    /// The layer as plain numbers, for a plan; groups are filled up with zeros.
    pub fn filter(&self) -> Result<Filter> {
        let (outputs, part, side, _) = self.weight.dims4()?;
        let ConvShape { stride, padding, dilation, groups, .. } = self.shape;
        let (inputs, each) = (part * groups, part * side * side);
        let values: Vec<f32> = self.weight.flatten_all()?.to_vec1()?;
        let mut weights = vec![0.0; outputs * each * groups];
        for (output, values) in values.chunks_exact(each.max(1)).enumerate() {
            let group = output / (outputs / groups);
            weights[output * each * groups + group * each..][..each].copy_from_slice(values);
        }
        let bias = match &self.bias {
            Some(bias) => bias.to_vec1()?,
            None => vec![0.0; outputs],
        };
        Ok(Filter { weights, bias, outputs, inputs, kernel: (side, side), stride, padding, dilation })
    }
}

/// Cross-correlation of `x` (batch, inputs, height, width) with `weight` (outputs, inputs / groups,
/// kernel, kernel), differentiable in both; `parallel` spreads the batch over the cores.
///
/// # Errors
/// Shapes that do not fit; an input smaller than the kernel.
pub fn conv2d(x: &Tensor, weight: &Tensor, shape: ConvShape, parallel: bool) -> Result<Tensor> {
    let ConvShape { stride, padding, dilation, groups, .. } = shape;
    let (inputs, outputs) = (x.dims4()?.1, weight.dims4()?.0);
    if groups == 0 || !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
        bail!("{inputs} channels to {outputs} cannot be done in {groups} groups")
    }
    if !x.device().is_cpu() {
        return x.conv2d(weight, padding, stride, dilation, groups);
    }
    if groups > 1 {
        let shape = ConvShape { groups: 1, ..shape };
        let part = |group: usize| {
            let x = x.narrow(1, group * (inputs / groups), inputs / groups)?;
            conv2d(&x, &weight.narrow(0, group * (outputs / groups), outputs / groups)?, shape, parallel)
        };
        return Tensor::cat(&(0..groups).map(part).collect::<Result<Vec<_>>>()?, 1);
    }
    x.contiguous()?.apply_op2(&weight.contiguous()?, ConvOp { shape, parallel })
}

#[derive(Clone, Copy)]
struct ConvOp {
    shape: ConvShape,
    parallel: bool,
}

/// The values of a contiguous tensor's layout.
pub(super) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a tensor that is not contiguous reached a kernel"),
    }
}

/// Calls `f` with a tensor's values.
pub fn with_values<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(f(slice(storage, layout)?)),
        _ => bail!("this kernel works on the CPU only"),
    }
}

impl CustomOp2 for ConvOp {
    fn name(&self) -> &'static str {
        "conv2d-products"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = Sizes::new(xl.shape().dims4()?, wl.dims(), self.shape)?;
        let (x, w) = (Source::Planes(slice(x, xl)?), slice(w, wl)?);
        let mut out = vec![0.0; sizes.batch * sizes.outputs * sizes.positions()];
        if !sizes.is_empty() {
            forward(&sizes, self.parallel, &x, w, (&mut out, Form::Planes), |_, _| ());
        }
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
        let sizes = Sizes::new(x.dims4()?, w.dims(), self.shape)?;
        // The first layer's input is data: nobody asks for its gradient.
        let mut for_x = x.track_op().then(|| vec![0.0; x.elem_count()]);
        let mut for_w = vec![0.0; w.elem_count()];
        if !sizes.is_empty() {
            let mut of = |x: &[f32], w: &[f32], g: &[f32]| {
                let (x, g) = (Source::Planes(x), Source::Planes(g));
                let into = for_x.as_mut().map(|out| Wanted {
                    out,
                    form: Form::Planes,
                    residual: None,
                    then: |_, _: &mut [f32]| (),
                });
                backward(&sizes, &x, &g, w, into).0
            };
            for_w = with_values(x, |x| with_values(w, |w| with_values(gradient, |g| of(x, w, g))))???;
        }
        let tensor = |values: Vec<f32>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        Ok((for_x.map(|values| tensor(values, x)).transpose()?, Some(tensor(for_w, w)?)))
    }
}

#[cfg(test)]
mod tests;
