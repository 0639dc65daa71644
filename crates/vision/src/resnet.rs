//! A residual network (He et al. 2016) with batch normalisation: of basic blocks, as ResNet-18 and -34, or
//! of bottlenecks, as ResNet-50. With a stem of 7 x 7, stride 2 and a pool it is the published network over large
//! images; small ones keep their size in the stem.

use model::manifest::ResnetConfig;
use nn::{Conv, GraphBuilder, GraphError, Init, NodeId, Window};

/// The layers of a [`ResnetConfig`], from images to one logit a label.
pub(crate) fn describe(
    g: &mut GraphBuilder,
    images: NodeId,
    config: &ResnetConfig,
    labels: usize,
) -> Result<NodeId, GraphError> {
    let stages = features(g, images, config)?;
    let x = *stages.last().unwrap_or(&images);
    let x = g.global_average(x);
    let channels = g.shape(x).values();
    let x = g.dropout(x, config.dropout);
    Ok(g.dense("head", x, labels, Init::glorot(channels, labels)))
}

/// What the stem gives, before its pool, and each stage.
pub(crate) fn features(
    g: &mut GraphBuilder,
    images: NodeId,
    config: &ResnetConfig,
) -> Result<Vec<NodeId>, GraphError> {
    let mut channels = config.stem_channels;
    let stem = conv_norm(g, "stem", images, channels, config.stem_kernel, config.stem_stride)?;
    let mut x = g.relu(stem);
    let mut found = vec![x];
    if config.stem_pool {
        x = g.max_pool("stem.pool", x, Window::new(3).stride(2).padding(1))?;
    }
    for (s, stage) in config.stages.iter().enumerate() {
        for b in 0..stage.blocks {
            let stride = if b == 0 { stage.stride } else { 1 };
            let name = format!("stages.{s}.{b}");
            let sizes = (channels, stage.channels);
            x = match config.bottleneck {
                true => bottleneck(g, &name, x, sizes, stride)?,
                false => block(g, &name, x, sizes, stride)?,
            };
            channels = stage.channels;
        }
        found.push(x);
    }
    Ok(found)
}

/// The way around a block, which is a 1 x 1 convolution where the shape changes.
fn around(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    (inputs, outputs): (usize, usize),
    stride: usize,
) -> Result<NodeId, GraphError> {
    match inputs != outputs || stride != 1 {
        true => conv_norm(g, &format!("{name}.around"), x, outputs, 1, stride),
        false => Ok(x),
    }
}

/// Two 3 x 3 convolutions and a way around them.
fn block(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    (inputs, outputs): (usize, usize),
    stride: usize,
) -> Result<NodeId, GraphError> {
    let around = around(g, name, x, (inputs, outputs), stride)?;
    let y = conv_norm(g, &format!("{name}.first"), x, outputs, 3, stride)?;
    let y = g.relu(y);
    let y = conv_norm(g, &format!("{name}.second"), y, outputs, 3, 1)?;
    let sum = g.add(name, y, around)?;
    Ok(g.relu(sum))
}

/// A 3 x 3 convolution between two of 1 x 1, over a quarter of the channels, and a way around them. The
/// stride is that of the 3 x 3 convolution, as in most published weights.
fn bottleneck(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    (inputs, outputs): (usize, usize),
    stride: usize,
) -> Result<NodeId, GraphError> {
    let around = around(g, name, x, (inputs, outputs), stride)?;
    let y = conv_norm(g, &format!("{name}.first"), x, outputs / 4, 1, 1)?;
    let y = g.relu(y);
    let y = conv_norm(g, &format!("{name}.second"), y, outputs / 4, 3, stride)?;
    let y = g.relu(y);
    let y = conv_norm(g, &format!("{name}.third"), y, outputs, 1, 1)?;
    let sum = g.add(name, y, around)?;
    Ok(g.relu(sum))
}

/// A convolution that keeps the size of a map but for the stride, and a normalisation.
fn conv_norm(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    outputs: usize,
    kernel: usize,
    stride: usize,
) -> Result<NodeId, GraphError> {
    let window = Window::new(kernel).stride(stride).padding(kernel / 2);
    let x = g.conv(&format!("{name}.conv"), x, Conv::new(outputs, window))?;
    Ok(g.batch_norm(&format!("{name}.norm"), x))
}
