//! Networks over images by name: which sizes `--arch` stands for.
//!
//! A published name means the published sizes; `resnet` and `cnn` are made of the options beside it. `auto`
//! looks at the size of the images and at how many there are, because a large network learns a small set by heart
//! and a small one does not see what is fine on a large picture.

use anyhow::{Context, Result};

use model::manifest::{
    Architecture, BlockStage, CnnConfig, CnnLayer, DensenetConfig, InceptionConfig, MobilenetConfig,
    ResnetConfig, ResnetStage,
};

/// Side from which on a stem halves a picture twice before the first block: below, there is not enough of it.
const LARGE: u32 = 96;

/// What kind of network is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    /// Chosen by the images' size and number
    Auto,
    /// Convolution, pooling and dense layers in a row, by --layers
    Cnn,
    /// Residual blocks with batch normalisation, by --widths and --blocks
    Resnet,
    /// He et al. 2016
    Resnet18,
    /// He et al. 2016
    Resnet34,
    /// He et al. 2016
    Resnet50,
    /// Simonyan and Zisserman 2015, without normalisation
    Vgg11,
    /// Simonyan and Zisserman 2015, without normalisation
    Vgg16,
    /// Szegedy et al. 2016; made for 299 pixels
    InceptionV3,
    /// Huang et al. 2017
    Densenet121,
    /// Sandler et al. 2018
    MobilenetV2,
    /// EfficientNet-Lite0, the smallest of its family
    EfficientnetLite0,
}

/// How a residual network begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Stem {
    /// large from 96 pixels on
    Auto,
    /// 3 x 3 at full size
    Small,
    /// 7 x 7 of stride 2, and a pool
    Large,
}

/// The options that decide a network.
#[derive(Debug, Clone, clap::Args)]
pub struct NetworkOptions {
    /// Kind of network
    #[arg(long, env = "MEDSERVE_ARCH", value_enum, default_value = "resnet")]
    pub arch: Arch,
    /// Channels of the residual stages
    #[arg(long, env = "MEDSERVE_WIDTHS", value_delimiter = ',', default_value = "16,32,64,128")]
    pub widths: Vec<usize>,
    /// Blocks of each residual stage
    #[arg(long, env = "MEDSERVE_BLOCKS", default_value_t = 1)]
    pub blocks: usize,
    /// First layers of a residual network
    #[arg(long, env = "MEDSERVE_STEM", value_enum, default_value = "auto")]
    pub stem: Stem,
    /// Layers of a cnn in order: convFxK (F filters of K x K), poolN, flatten, denseN, dropoutR
    #[arg(
        long,
        env = "MEDSERVE_CNN_LAYERS",
        value_delimiter = ',',
        default_value = "conv32x3,pool2,conv64x3,pool2,flatten,dense64"
    )]
    pub layers: Vec<String>,
    /// Dropout before the last layer
    #[arg(long, env = "MEDSERVE_RESNET_DROPOUT", default_value_t = 0.0)]
    pub dropout: f32,
}

impl NetworkOptions {
    /// The network for images of `side` pixels, of which there are so many to train on.
    ///
    /// # Errors
    /// A layer that is none; no stage.
    pub fn architecture(&self, side: u32, images: usize) -> Result<Architecture> {
        let dropout = self.dropout;
        Ok(match self.arch {
            Arch::Auto => auto(side, images, dropout),
            Arch::Cnn => {
                let layers = self.layers.iter().map(|text| layer(text)).collect::<Result<_>>()?;
                Architecture::Cnn(CnnConfig { layers })
            }
            Arch::Resnet => {
                self.widths.first().context("--widths names no stage")?;
                let large = match self.stem {
                    Stem::Auto => side >= LARGE,
                    Stem::Small => false,
                    Stem::Large => true,
                };
                let blocks = vec![self.blocks; self.widths.len()];
                Architecture::Resnet(resnet(&self.widths, &blocks, large, dropout))
            }
            Arch::Resnet18 => published_resnet(&[2, 2, 2, 2], false, dropout),
            Arch::Resnet34 => published_resnet(&[3, 4, 6, 3], false, dropout),
            Arch::Resnet50 => published_resnet(&[3, 4, 6, 3], true, dropout),
            Arch::Vgg11 => vgg(&[1, 1, 2, 2, 2]),
            Arch::Vgg16 => vgg(&[2, 2, 3, 3, 3]),
            Arch::InceptionV3 => Architecture::Inception(InceptionConfig { divide: 1, dropout }),
            Arch::Densenet121 => Architecture::Densenet(DensenetConfig {
                stem_channels: 64,
                growth: 32,
                bottleneck: 4,
                blocks: vec![6, 12, 24, 16],
                dropout,
            }),
            Arch::MobilenetV2 => mobilenet_v2(dropout),
            Arch::EfficientnetLite0 => efficientnet_lite0(dropout),
        })
    }
}

/// Residual stages; each but the first halves rows and columns.
fn resnet(widths: &[usize], blocks: &[usize], large: bool, dropout: f32) -> ResnetConfig {
    let stage = |(place, (channels, blocks)): (usize, (&usize, &usize))| ResnetStage {
        channels: *channels,
        blocks: *blocks,
        stride: if place == 0 { 1 } else { 2 },
    };
    ResnetConfig {
        stem_channels: widths.first().copied().unwrap_or_default(),
        stem_kernel: if large { 7 } else { 3 },
        stem_stride: if large { 2 } else { 1 },
        stem_pool: large,
        bottleneck: false,
        stages: widths.iter().zip(blocks).enumerate().map(stage).collect(),
        dropout,
    }
}

fn published_resnet(blocks: &[usize], bottleneck: bool, dropout: f32) -> Architecture {
    let widths = [64, 128, 256, 512].map(|width| if bottleneck { 4 * width } else { width });
    let config = resnet(&widths, blocks, true, dropout);
    Architecture::Resnet(ResnetConfig { stem_channels: 64, bottleneck, ..config })
}

/// Five groups of 3 x 3 convolutions, each followed by a pool, and two dense layers.
fn vgg(groups: &[usize]) -> Architecture {
    let mut layers = Vec::new();
    for (count, filters) in groups.iter().zip([64, 128, 256, 512, 512]) {
        layers.extend((0..*count).map(|_| CnnLayer::Conv { filters, kernel: 3, padding: 1 }));
        layers.push(CnnLayer::Pool { size: 2 });
    }
    layers.push(CnnLayer::Flatten);
    for _ in 0..2 {
        layers.extend([CnnLayer::Dense { units: 4096 }, CnnLayer::Dropout { rate: 0.5 }]);
    }
    Architecture::Cnn(CnnConfig { layers })
}

/// Inverted bottlenecks, stages of (expand, channels, blocks, kernel, stride), between a stem and a last
/// convolution of the published sizes.
fn mobilenet(sizes: &[[usize; 5]], epsilon: f32, dropout: f32) -> Architecture {
    let stage = |[expand, channels, blocks, kernel, stride]: &[usize; 5]| BlockStage {
        expand: *expand,
        channels: *channels,
        blocks: *blocks,
        kernel: *kernel,
        stride: *stride,
    };
    let stages = sizes.iter().map(stage).collect();
    Architecture::Mobilenet(MobilenetConfig {
        stem_channels: 32,
        stages,
        last_channels: 1280,
        epsilon,
        dropout,
    })
}

fn mobilenet_v2(dropout: f32) -> Architecture {
    let sizes = [
        [1, 16, 1, 3, 1],
        [6, 24, 2, 3, 2],
        [6, 32, 3, 3, 2],
        [6, 64, 4, 3, 2],
        [6, 96, 3, 3, 1],
        [6, 160, 3, 3, 2],
        [6, 320, 1, 3, 1],
    ];
    mobilenet(&sizes, 1e-5, dropout)
}

fn efficientnet_lite0(dropout: f32) -> Architecture {
    let sizes = [
        [1, 16, 1, 3, 1],
        [6, 24, 2, 3, 2],
        [6, 40, 2, 5, 2],
        [6, 80, 3, 3, 2],
        [6, 112, 3, 5, 1],
        [6, 192, 4, 5, 2],
        [6, 320, 1, 3, 1],
    ];
    mobilenet(&sizes, 1e-3, dropout)
}

/// By size and number: narrow and short for a few thousand images or fewer, ResNet-18 for tens of thousands.
fn auto(side: u32, images: usize, dropout: f32) -> Architecture {
    let large = side >= LARGE;
    let (widths, blocks): (&[usize], usize) = match images {
        0..3_000 => (&[16, 32, 64, 128], 1),
        3_000..20_000 => (&[32, 64, 128, 256], 1),
        _ if large => return published_resnet(&[2, 2, 2, 2], false, dropout),
        _ => (&[32, 64, 128, 256], 2),
    };
    Architecture::Resnet(resnet(widths, &vec![blocks; widths.len()], large, dropout))
}

/// A layer as written on the command line, e.g. "conv32x3".
fn layer(text: &str) -> Result<CnnLayer> {
    let parse = || -> Option<CnnLayer> {
        if text == "flatten" {
            return Some(CnnLayer::Flatten);
        }
        if let Some(sizes) = text.strip_prefix("conv") {
            let (filters, kernel) = sizes.split_once('x')?;
            return Some(CnnLayer::Conv {
                filters: filters.parse().ok()?,
                kernel: kernel.parse().ok()?,
                padding: 0,
            });
        }
        if let Some(size) = text.strip_prefix("pool") {
            return Some(CnnLayer::Pool { size: size.parse().ok()? });
        }
        if let Some(units) = text.strip_prefix("dense") {
            return Some(CnnLayer::Dense { units: units.parse().ok()? });
        }
        Some(CnnLayer::Dropout { rate: text.strip_prefix("dropout")?.parse().ok()? })
    };
    parse()
        .with_context(|| format!("--layers: \"{text}\" is not convFxK, poolN, flatten, denseN or dropoutR"))
}
