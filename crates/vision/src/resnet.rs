//! A residual network of basic blocks (He et al. 2016) with batch normalisation.

use candle_core::{Result, Tensor};

use model::manifest::{ImageInput, ResnetConfig};
use nn::dropout::dropout;
use nn::plan::{Builder, Value};
use nn::residual::{Block, ConvNorm, Trunk};
use nn::{Init, Linear, Network, Params, Pass, Plan};

/// The network of a [`ResnetConfig`].
pub struct Resnet {
    trunk: Trunk,
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
        Ok(Resnet { trunk: Trunk::new(stem, blocks), dropout: config.dropout, head })
    }

    /// The same network for serving.
    ///
    /// # Errors
    /// Layers that do not fit each other.
    pub fn plan(&self, mut builder: Builder, input: Value) -> Result<Plan> {
        let x = self.trunk.plan(&mut builder, input)?;
        let (weights, bias) = self.head.values()?;
        let logits = builder.dense(x, weights, bias, false)?;
        builder.finish(logits)
    }
}

impl Network<Tensor> for Resnet {
    fn logits(&self, images: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let features = self.trunk.forward(images, pass)?;
        self.head.forward(&dropout(&features, self.dropout, pass)?)
    }
}
