//! Sizes of the published families of networks over images, as a manifest holds them, and their bounds.
//!
//! A family is named after its paper; one published network is one choice of sizes. The layers are
//! in `vision`, one file a family.

use serde::{Deserialize, Serialize};

use super::architecture::ResnetConfig;
use super::check::{rate, within};

type Check = Result<(), String>;

/// Inverted residuals (Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks"): a
/// 3 x 3 convolution of stride 2, stages of blocks (1 x 1 to more channels, depthwise, 1 x 1 to few), a 1 x 1
/// convolution, the global average, dropout, a dense layer; values clipped at 6. EfficientNet-Lite (the
/// squeeze-free variant of Tan and Le 2019) is of this family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MobilenetConfig {
    /// Output channels of the first convolution.
    pub stem_channels: usize,
    /// Stages in order.
    pub stages: Vec<BlockStage>,
    /// Output channels of the last 1 x 1 convolution.
    pub last_channels: usize,
    /// What the variance of a normalisation is added to before its root.
    pub epsilon: f32,
    /// Dropout before the dense layer, in training only.
    pub dropout: f32,
}

/// A stage of [`MobilenetConfig`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockStage {
    /// Channels between the 1 x 1 convolutions for each channel of the block's input.
    pub expand: usize,
    /// Channels that every block gives.
    pub channels: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Side of the depthwise kernel.
    pub kernel: usize,
    /// Stride of the first block.
    pub stride: usize,
}

impl MobilenetConfig {
    /// Refuses sizes that cannot be.
    pub(crate) fn check(&self) -> Check {
        within("stem_channels", self.stem_channels)?;
        within("last_channels", self.last_channels)?;
        within("the number of stages", self.stages.len())?;
        for stage in &self.stages {
            within("expand", stage.expand)?;
            within("channels", stage.channels)?;
            within("blocks", stage.blocks)?;
            within("kernel", stage.kernel)?;
            within("stride", stage.stride)?;
        }
        epsilon(self.epsilon)?;
        rate(self.dropout)
    }
}

fn epsilon(value: f32) -> Check {
    match value > 0.0 && value < 1.0 {
        true => Ok(()),
        false => Err(format!("architecture: an epsilon of {value} is not between 0 and 1")),
    }
}

/// Dense connections (Huang et al. 2017, "Densely connected convolutional networks"): a 7 x 7 convolution of
/// stride 2 and a pool, blocks whose layers (normalisation and 1 x 1, normalisation and 3 x 3) each read all
/// maps before them and add `growth` channels, and between blocks a 1 x 1 convolution to half the channels and a
/// pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DensenetConfig {
    /// Output channels of the first convolution.
    pub stem_channels: usize,
    /// Channels that each layer adds.
    pub growth: usize,
    /// Output channels of a layer's 1 x 1 convolution, in multiples of `growth`.
    pub bottleneck: usize,
    /// Layers of each block.
    pub blocks: Vec<usize>,
    /// Dropout before the dense layer, in training only.
    pub dropout: f32,
}

impl DensenetConfig {
    /// Refuses sizes that cannot be.
    pub(crate) fn check(&self) -> Check {
        within("stem_channels", self.stem_channels)?;
        within("growth", self.growth)?;
        within("bottleneck", self.bottleneck)?;
        within("the number of blocks", self.blocks.len())?;
        self.blocks.iter().try_for_each(|layers| within("the layers of a block", *layers))?;
        rate(self.dropout)
    }
}

/// Inception-v3 (Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision"), without
/// its auxiliary classifier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InceptionConfig {
    /// What all published numbers of channels are divided by; 1 for the published network.
    pub divide: usize,
    /// Dropout before the dense layer, in training only.
    pub dropout: f32,
}

impl InceptionConfig {
    /// Refuses sizes that cannot be.
    pub(crate) fn check(&self) -> Check {
        if ![1, 2, 4, 8, 16].contains(&self.divide) {
            return Err(format!("architecture: divide is {}, not 1, 2, 4, 8 or 16", self.divide));
        }
        rate(self.dropout)
    }
}

/// A U-Net (Ronneberger, Fischer and Brox 2015, "U-Net: convolutional networks for biomedical image
/// segmentation") whose way down is a residual network: on the way up, maps are enlarged twofold and joined
/// with those of the same size from the way down. Where the first convolution halves the input, the last map is that of
/// `fine`, of the input's size, or, without one, is enlarged to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnetConfig {
    /// The way down; its dropout is before the way up.
    pub encoder: ResnetConfig,
    /// Channels of the way up, from the smallest map on; one for each size of the way down but the smallest.
    pub decoder: Vec<usize>,
    /// A last step up, to the input's size; only where the first convolution halves the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fine: Option<FineStep>,
}

/// The last step of a U-Net's way up, joined with a convolution of the input itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineStep {
    /// Channels that the input is convolved to.
    pub skip: usize,
    /// Channels of the step.
    pub channels: usize,
}

impl UnetConfig {
    /// Refuses sizes that cannot be, those of the encoder apart.
    pub(crate) fn check(&self) -> Check {
        within("the number of decoder steps", self.decoder.len())?;
        self.decoder.iter().try_for_each(|channels| within("decoder channels", *channels))?;
        let Some(FineStep { skip, channels }) = self.fine else { return Ok(()) };
        if self.encoder.stem_stride != 2 {
            return Err("architecture: a fine step is for a first convolution of stride 2".to_string());
        }
        within("fine skip channels", skip)?;
        within("fine channels", channels)
    }
}

/// A vision transformer (Dosovitskiy et al. 2021, "An image is worth 16x16 words"): patches of an image are the tokens
/// of a pre-norm encoder, whose first, learnt one becomes the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitConfig {
    /// Side of a patch in pixels; it divides the input's sides.
    pub patch: usize,
    /// Values a token.
    pub width: usize,
    /// Attention heads; they divide the width.
    pub heads: usize,
    /// Layers.
    pub layers: usize,
    /// Values inside a layer's feed-forward part.
    pub feed_forward: usize,
    /// Added to the variances under their roots.
    pub epsilon: f32,
}

impl VitConfig {
    /// Refuses sizes that cannot be.
    pub(crate) fn check(&self) -> Check {
        within("patch", self.patch)?;
        within("width", self.width)?;
        within("heads", self.heads)?;
        within("layers", self.layers)?;
        within("feed_forward", self.feed_forward)?;
        if !self.width.is_multiple_of(self.heads) {
            return Err(format!(
                "architecture: {} heads do not divide a width of {}",
                self.heads, self.width
            ));
        }
        epsilon(self.epsilon)
    }
}

/// ConvNeXt (Liu et al. 2022, "A ConvNet for the 2020s"): stages of depthwise convolutions of 7 x 7, each followed by a
/// normalisation over channels and two dense layers at every place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvnextConfig {
    /// Side of the patches, without overlap, that the first convolution reads.
    pub patch: usize,
    /// Stages in order; each but the first halves the map.
    pub stages: Vec<ConvnextStage>,
    /// Added to the variance under the root in the last normalisation; 1e-6 in the others.
    pub epsilon: f32,
}

/// A stage of [`ConvnextConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvnextStage {
    /// Channels that every block gives.
    pub channels: usize,
    /// Number of blocks.
    pub blocks: usize,
}

impl ConvnextConfig {
    /// Refuses sizes that cannot be.
    pub(crate) fn check(&self) -> Check {
        within("patch", self.patch)?;
        within("the number of stages", self.stages.len())?;
        for stage in &self.stages {
            within("channels", stage.channels)?;
            within("blocks", stage.blocks)?;
        }
        epsilon(self.epsilon)
    }
}
/// A network of which only a file is known: the package's `model.onnx`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxConfig {
    /// Its outputs are probabilities that add up to 1, and no logits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub probabilities: bool,
}
