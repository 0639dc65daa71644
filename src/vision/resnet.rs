//! A residual network of basic blocks (He et al. 2016) with batch normalisation.

use candle_core::{Result, Tensor};

use crate::model::manifest::{ImageInput, ResnetConfig};
use crate::nn::dropout::dropout;
use crate::nn::plan::{Builder, Value};
use crate::nn::pool::global_average;
use crate::nn::relu::add_relu;
use crate::nn::{BatchNorm, Conv2d, ConvShape, Filter, Init, Linear, Network, Params, Pass, Plan};

/// A convolution without bias and the normalisation behind it.
struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvNorm {
    fn new(
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

    fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        self.norm.forward(&self.conv.forward(x, pass)?, pass)
    }

    fn forward_relu(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        self.norm.forward_relu(&self.conv.forward(x, pass)?, pass)
    }

    /// Both as one convolution.
    fn filter(&self) -> Result<Filter> {
        self.norm.fold(self.conv.filter()?)
    }
}

/// Two 3 x 3 convolutions and a way around them.
struct Block {
    first: ConvNorm,
    second: ConvNorm,
    /// A 1 x 1 convolution where the shape changes on the way.
    around: Option<ConvNorm>,
}

impl Block {
    fn new(params: &mut Params, name: &str, inputs: usize, outputs: usize, stride: usize) -> Result<Block> {
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

    fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let y = self.first.forward_relu(x, pass)?;
        let y = self.second.forward(&y, pass)?;
        match &self.around {
            Some(around) => add_relu(&y, &around.forward(x, pass)?),
            None => add_relu(&y, x),
        }
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

/// The network of a [`ResnetConfig`].
pub struct Resnet {
    stem: ConvNorm,
    blocks: Vec<Block>,
    dropout: f32,
    head: Linear,
}

impl Resnet {
    /// Builds stem, stages and head.
    ///
    /// # Errors
    /// Weights that do not fit the sizes.
    pub fn new(
        config: &ResnetConfig,
        input: &ImageInput,
        labels: usize,
        params: &mut Params,
    ) -> Result<Resnet> {
        let mut channels = config.stem_channels;
        let stem = ConvNorm::new(
            params,
            "stem",
            input.channels as usize,
            channels,
            config.stem_kernel,
            config.stem_stride,
        )?;
        let mut blocks = Vec::new();
        for (s, stage) in config.stages.iter().enumerate() {
            for b in 0..stage.blocks {
                let stride = if b == 0 { stage.stride } else { 1 };
                blocks.push(Block::new(
                    params,
                    &format!("stages.{s}.{b}"),
                    channels,
                    stage.channels,
                    stride,
                )?);
                channels = stage.channels;
            }
        }
        let head = Linear::new(params, "head", channels, labels, Init::glorot(channels, labels))?;
        Ok(Resnet { stem, blocks, dropout: config.dropout, head })
    }

    /// The same network for serving.
    ///
    /// # Errors
    /// Layers that do not fit each other.
    pub fn plan(&self, mut builder: Builder, input: Value) -> Result<Plan> {
        let mut x = builder.filter(input, self.stem.filter()?, None, true)?;
        for block in &self.blocks {
            x = block.plan(&mut builder, x)?;
        }
        let x = builder.average(x);
        let (weights, bias) = self.head.values()?;
        let logits = builder.dense(x, weights, bias, false)?;
        builder.finish(logits)
    }
}

impl Network<Tensor> for Resnet {
    fn logits(&self, images: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let mut x = self.stem.forward_relu(images, pass)?;
        for block in &self.blocks {
            x = block.forward(&x, pass)?;
        }
        self.head.forward(&dropout(&global_average(&x)?, self.dropout, pass)?)
    }
}
