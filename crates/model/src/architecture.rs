//! The architectures that a manifest may name, and their sizes.
//!
//! A network is built from them in `vision` and `text`, which is why this file names no tensor. The published
//! families over images stand in `networks`.

use serde::{Deserialize, Serialize};

use super::embedding::{EncoderConfig, VectorsConfig};
use super::generation::DenoiserConfig;
use super::networks::{
    ConvnextConfig, DensenetConfig, InceptionConfig, MobilenetConfig, OnnxConfig, UnetConfig, VitConfig,
};
use super::recommendation::EaseConfig;

/// A network and its sizes. Its number of outputs is the number of labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Architecture {
    /// Convolution, pooling and dense layers in a row.
    Cnn(CnnConfig),
    /// Residual blocks with batch normalisation.
    Resnet(ResnetConfig),
    /// Inverted residual blocks of depthwise convolutions.
    Mobilenet(MobilenetConfig),
    /// Blocks whose layers read all earlier ones.
    Densenet(DensenetConfig),
    /// Convolutions of several sizes side by side.
    Inception(InceptionConfig),
    /// A label for every pixel.
    Unet(UnetConfig),
    /// An encoder over patches of an image, which others have trained.
    Vit(VitConfig),
    /// Depthwise convolutions of 7 x 7 and normalisations over channels, which others have trained.
    Convnext(ConvnextConfig),
    /// A classifier that others have trained, as an ONNX file.
    Onnx(OnnxConfig),
    /// What noise there is on a picture.
    Denoiser(DenoiserConfig),
    /// Hashed word and character n-grams, linear.
    Bag(BagConfig),
    /// A recurrent network over tokens.
    Lstm(LstmConfig),
    /// A small encoder over tokens.
    Transformer(TransformerConfig),
    /// A linear chain over sparse features of tokens, which finds names.
    Crf(CrfConfig),
    /// Vectors of words, and of a text from those of its words.
    Vectors(VectorsConfig),
    /// An encoder that others have trained.
    Encoder(EncoderConfig),
    /// Weights between items.
    Ease(EaseConfig),
}

impl Architecture {
    /// The name used on the command line.
    pub fn as_str(&self) -> &'static str {
        match self {
            Architecture::Cnn(_) => "cnn",
            Architecture::Resnet(_) => "resnet",
            Architecture::Mobilenet(_) => "mobilenet",
            Architecture::Densenet(_) => "densenet",
            Architecture::Inception(_) => "inception",
            Architecture::Unet(_) => "unet",
            Architecture::Vit(_) => "vit",
            Architecture::Convnext(_) => "convnext",
            Architecture::Onnx(_) => "onnx",
            Architecture::Denoiser(_) => "denoiser",
            Architecture::Bag(_) => "bag",
            Architecture::Lstm(_) => "lstm",
            Architecture::Transformer(_) => "transformer",
            Architecture::Crf(_) => "crf",
            Architecture::Vectors(_) => "vectors",
            Architecture::Encoder(_) => "encoder",
            Architecture::Ease(_) => "ease",
        }
    }

    /// True for the networks that take an image, false for those that take a record.
    pub fn is_for_images(&self) -> bool {
        match self {
            Architecture::Cnn(_)
            | Architecture::Resnet(_)
            | Architecture::Mobilenet(_)
            | Architecture::Densenet(_)
            | Architecture::Inception(_)
            | Architecture::Unet(_)
            | Architecture::Vit(_)
            | Architecture::Convnext(_)
            | Architecture::Onnx(_)
            | Architecture::Denoiser(_) => true,
            Architecture::Bag(_)
            | Architecture::Lstm(_)
            | Architecture::Transformer(_)
            | Architecture::Crf(_)
            | Architecture::Vectors(_)
            | Architecture::Encoder(_)
            | Architecture::Ease(_) => false,
        }
    }
}

/// A classical stack: the layers in order, then a dense layer to the labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CnnConfig {
    /// Layers from the image to the last hidden values.
    pub layers: Vec<CnnLayer>,
}

/// A layer of [`CnnConfig`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "layer", rename_all = "lowercase", deny_unknown_fields)]
pub enum CnnLayer {
    /// Convolution, then ReLU.
    Conv {
        /// Output channels.
        filters: usize,
        /// Side of the square kernel.
        kernel: usize,
        /// Zeros added on each side.
        #[serde(default)]
        padding: usize,
    },
    /// Maximum over windows of `size` x `size`, without overlap.
    Pool {
        /// Side and stride of the window.
        size: usize,
    },
    /// Channels, rows and columns become one vector.
    Flatten,
    /// A dense layer, then ReLU.
    Dense {
        /// Outputs.
        units: usize,
    },
    /// Dropout, in training only.
    Dropout {
        /// Share of the values that is dropped.
        rate: f32,
    },
}

/// A residual network (He et al. 2016, "Deep residual learning for image recognition"): a stem,
/// stages of blocks, global average pooling, dropout, a dense layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResnetConfig {
    /// Output channels of the first convolution.
    pub stem_channels: usize,
    /// Side of the first convolution's kernel.
    pub stem_kernel: usize,
    /// Stride of the first convolution.
    pub stem_stride: usize,
    /// A 3 x 3 maximum of stride 2 behind the first convolution, for large images.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stem_pool: bool,
    /// Blocks of 1 x 1, 3 x 3 and 1 x 1 convolutions whose inner ones have a quarter of the channels, in
    /// place of blocks of two 3 x 3 convolutions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bottleneck: bool,
    /// Stages in order.
    pub stages: Vec<ResnetStage>,
    /// Dropout before the dense layer, in training only.
    pub dropout: f32,
}

/// A stage of [`ResnetConfig`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResnetStage {
    /// Channels that every block gives.
    pub channels: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Stride of the first block's 3 x 3 convolution, the first where it has two.
    pub stride: usize,
}

/// A bag of n-grams: every n-gram known from training has one value a label, and a record's
/// logits are the weighted sum over its n-grams and fields (the fastText idea, Joulin et al.
/// 2017, "Bag of tricks for efficient text classification", with the labels as the embedding).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BagConfig {
    /// N-grams of words.
    pub words: NGrams,
    /// N-grams of characters within words.
    pub characters: NGrams,
    /// Number of n-grams known; others count for nothing.
    pub ngrams: usize,
    /// Weigh n-grams by the logarithm of their rarity in training.
    pub inverse_document_frequency: bool,
    /// What the fields' inputs are multiplied by, which says how much they may weigh beside the
    /// note, whose n-grams of one kind have norm `scale`.
    pub field_scale: f32,
    /// Trees that read the fields and the linear answer, and whose answer is averaged with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trees: Option<TreesConfig>,
}

/// Extremely randomised trees (Geurts, Ernst and Wehenkel 2006, "Extremely randomized trees") on
/// top of another model's answer (Wolpert 1992, "Stacked generalization").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreesConfig {
    /// Number of trees.
    pub trees: usize,
    /// Splits of all trees together.
    pub splits: usize,
    /// Leaves of all trees together.
    pub leaves: usize,
}

/// N-grams of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NGrams {
    /// Shortest.
    pub min: usize,
    /// Longest; 0 for none at all.
    pub max: usize,
    /// Euclidean norm of a note's n-grams of this kind.
    pub scale: f32,
}

/// A long short-term memory over the note's tokens: its states are pooled (mean and maximum over
/// the tokens, beside the mean of the embeddings), joined with the fields, and a dense layer
/// gives the logits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LstmConfig {
    /// Tokens known.
    pub vocabulary: usize,
    /// Values a token.
    pub embedding: usize,
    /// Values of the state, in each direction.
    pub hidden: usize,
    /// Read from both ends.
    pub bidirectional: bool,
    /// Dropout of whole tokens' embeddings, in training only.
    pub token_dropout: f32,
    /// Dropout before and after the memory, in training only.
    pub dropout: f32,
    /// Dropout of the state that a step hands to the next, the same at every step (Gal and
    /// Ghahramani 2016), in training only.
    pub recurrent_dropout: f32,
}

/// A pre-norm encoder (Vaswani et al. 2017; Xiong et al. 2020) with learned positions and
/// attention pooling, joined with the fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerConfig {
    /// Tokens known.
    pub vocabulary: usize,
    /// Values a token.
    pub width: usize,
    /// Attention heads; they divide the width.
    pub heads: usize,
    /// Layers.
    pub layers: usize,
    /// Values inside a layer's feed-forward part.
    pub feed_forward: usize,
    /// Dropout of whole tokens' embeddings, in training only.
    pub token_dropout: f32,
    /// Dropout, in training only.
    pub dropout: f32,
}

/// A conditional random field over tags of tokens (Lafferty, McCallum and Pereira 2001), with what
/// it knows besides its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrfConfig {
    /// Number of features known; others count for nothing.
    pub features: usize,
    /// Names of a probability above this may be chosen.
    pub threshold: f32,
    /// Lists of names, in the order of their tensors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<NameList>,
    /// Number of words whose classes are known.
    #[serde(default)]
    pub classes: usize,
    /// Which names may belong together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relations: Vec<RelationConfig>,
}

/// A list of names, kept as hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameList {
    /// What it lists.
    pub name: String,
    /// Number of names.
    pub names: usize,
}

/// A relation between two names of a sentence: a logistic model over sparse features of the pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationConfig {
    /// What the relation is called.
    pub label: String,
    /// Label of the name it goes from.
    pub from: String,
    /// Label of the name it goes to.
    pub to: String,
    /// Number of features known.
    pub features: usize,
}
