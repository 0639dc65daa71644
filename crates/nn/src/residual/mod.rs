//! The convolutions of a residual network of basic blocks (He et al. 2016): from images to one mean
//! value a channel.
//!
//! Answering goes through candle's graph, layer by layer, or through a plan. A step of training is
//! one operation of the graph ([`step`]): as operations of their own the layers would each write
//! down what the next one reads, with channels first, and candle would add every gradient between
//! them to a tensor of zeros.

mod step;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::conv::{Sizes, with_values};
use super::plan::{Builder, Value};
use super::pool::global_average;
use super::relu::add_relu;
use super::{BatchNorm, Conv2d, ConvShape, Filter, Params, Pass};
use step::{BlockLayers, Layer, Step};

/// A convolution without bias and the normalisation behind it.
pub struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvNorm {
    /// A layer named `name` from `inputs` to `outputs` channels that keeps the size of an image
    /// but for the stride.
    ///
    /// # Errors
    /// Weights that do not fit the sizes.
    pub fn new(
        params: &mut Params,
        name: &str,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
    ) -> Result<ConvNorm> {
        let shape = ConvShape::new(kernel, stride, kernel / 2);
        Ok(ConvNorm {
            conv: Conv2d::new(params, &format!("{name}.conv"), inputs, outputs, shape, false)?,
            norm: BatchNorm::new(params, &format!("{name}.norm"), outputs)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.norm.forward(&self.conv.forward(x, &Pass::Inference)?)
    }

    /// Both as one convolution.
    fn filter(&self) -> Result<Filter> {
        self.norm.fold(self.conv.filter()?)
    }

    /// Its sizes behind an input of (images, channels, rows, columns), and those of its results.
    fn layer(
        &self,
        start: usize,
        x: (usize, usize, usize, usize),
    ) -> Result<(Layer, (usize, usize, usize, usize))> {
        let sizes = Sizes::new(x, self.conv.weight().dims(), self.conv.shape())?;
        let results = (sizes.batch, sizes.outputs, sizes.out_height, sizes.out_width);
        Ok((Layer { sizes, start }, results))
    }
}

/// Two 3 x 3 convolutions and a way around them.
pub struct Block {
    first: ConvNorm,
    second: ConvNorm,
    /// A 1 x 1 convolution where the shape changes on the way.
    around: Option<ConvNorm>,
}

impl Block {
    /// A block named `name`.
    ///
    /// # Errors
    /// Weights that do not fit the sizes.
    pub fn new(
        params: &mut Params,
        name: &str,
        inputs: usize,
        outputs: usize,
        stride: usize,
    ) -> Result<Block> {
        let around = match inputs != outputs || stride != 1 {
            true => Some(ConvNorm::new(params, &format!("{name}.around"), inputs, outputs, 1, stride)?),
            false => None,
        };
        Ok(Block {
            first: ConvNorm::new(params, &format!("{name}.first"), inputs, outputs, 3, stride)?,
            second: ConvNorm::new(params, &format!("{name}.second"), outputs, outputs, 3, 1)?,
            around,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.second.forward(&rectify(&self.first.forward(x)?)?)?;
        match &self.around {
            Some(around) => add_relu(&y, &around.forward(x)?),
            None => add_relu(&y, x),
        }
    }

    fn layers(&self) -> impl Iterator<Item = &ConvNorm> {
        [Some(&self.first), Some(&self.second), self.around.as_ref()].into_iter().flatten()
    }

    fn plan(&self, builder: &mut Builder, x: Value) -> Result<Value> {
        let around = match &self.around {
            Some(around) => builder.filter(x, around.filter()?, None, false)?,
            None => x,
        };
        let y = builder.filter(x, self.first.filter()?, None, true)?;
        builder.filter(y, self.second.filter()?, Some(around), true)
    }
}

/// A first convolution, and blocks.
pub struct Trunk {
    stem: ConvNorm,
    blocks: Vec<Block>,
}

impl Trunk {
    /// Of its layers, each of which takes what comes out of the one before.
    pub fn new(stem: ConvNorm, blocks: Vec<Block>) -> Trunk {
        Trunk { stem, blocks }
    }

    /// (batch, channels, height, width) to (batch, channels'): the mean over rows and columns.
    /// Training normalises by the batch's own statistics and moves the running ones.
    ///
    /// # Errors
    /// Shapes that do not fit; an empty batch while training.
    pub fn forward(&self, images: &Tensor, pass: &Pass) -> Result<Tensor> {
        if pass.is_training() {
            return self.train(images);
        }
        let mut x = rectify(&self.stem.forward(images)?)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        global_average(&x)
    }

    /// The same for serving.
    ///
    /// # Errors
    /// Layers that do not fit each other.
    pub fn plan(&self, builder: &mut Builder, input: Value) -> Result<Value> {
        let mut x = builder.filter(input, self.stem.filter()?, None, true)?;
        for block in &self.blocks {
            x = block.plan(builder, x)?;
        }
        Ok(builder.average(x))
    }

    /// Its layers: the stem, then each block's first, second and around.
    fn layers(&self) -> impl Iterator<Item = &ConvNorm> {
        std::iter::once(&self.stem).chain(self.blocks.iter().flat_map(Block::layers))
    }

    /// The sizes of all layers over images of a shape.
    fn sizes(&self, images: (usize, usize, usize, usize)) -> Result<(Layer, Vec<BlockLayers>)> {
        let (stem, mut x) = self.stem.layer(0, images)?;
        let mut start = stem.count();
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let (first, y) = block.first.layer(start, x)?;
            let (second, y) = block.second.layer(first.start + first.count(), y)?;
            start = second.start + second.count();
            let around = match &block.around {
                Some(around) => Some(around.layer(start, x)?.0),
                None => None,
            };
            start += around.as_ref().map_or(0, Layer::count);
            blocks.push((first, second, around));
            x = y;
        }
        Ok((stem, blocks))
    }

    fn train(&self, images: &Tensor) -> Result<Tensor> {
        let (stem, blocks) = self.sizes(images.dims4()?)?;
        let mut parameters = Vec::new();
        for ConvNorm { conv, norm } in self.layers() {
            for tensor in [conv.weight(), norm.scale(), norm.shift()] {
                parameters.push(tensor.flatten_all()?);
            }
        }
        let parameters = Tensor::cat(&parameters, 0)?;
        let images = images.contiguous()?;
        // Inside the pool from the start: coming and going costs a wake-up each time.
        let forward =
            |images: &[f32], values: &[f32]| rayon::scope(|_| Step::forward(stem, &blocks, images, values));
        let step = with_values(&images, |x| with_values(&parameters, |values| forward(x, values)))???;
        for (layer, moments) in self.layers().zip(step.moments()) {
            layer.norm.observe(moments)?;
        }
        let shape = (images.dims4()?.0, step.features.len() / images.dims4()?.0).into();
        images.apply_op2(&parameters, TrunkOp { step, shape })
    }
}

/// `max(x, 0)`; what is no number stays visible.
fn rectify(x: &Tensor) -> Result<Tensor> {
    add_relu(x, &x.zeros_like()?)
}

/// A step that has gone forward; its results are there.
struct TrunkOp {
    step: Step,
    shape: Shape,
}

impl CustomOp2 for TrunkOp {
    fn name(&self) -> &'static str {
        "residual-trunk"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.step.features.clone()), self.shape.clone()))
    }

    fn bwd(
        &self,
        images: &Tensor,
        parameters: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        // Images are data: usually nobody asks for their gradient.
        let mut for_images = images.track_op().then(|| vec![0.0; images.elem_count()]);
        let mut run = |x: &[f32], p: &[f32], g: &[f32]| {
            rayon::scope(|_| self.step.backward(x, p, g, for_images.as_deref_mut()))
        };
        let values =
            with_values(images, |x| with_values(parameters, |p| with_values(gradient, |g| run(x, p, g))))???;
        let tensor = |values: Vec<f32>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        let for_images = for_images.map(|values| tensor(values, images)).transpose()?;
        Ok((for_images, Some(tensor(values, parameters)?)))
    }
}

#[cfg(test)]
mod tests;
