//! A residual network of basic blocks (He et al. 2016) with batch normalisation.

use model::manifest::ResnetConfig;
use nn::{Conv, GraphBuilder, GraphError, Init, NodeId, Window};

/// The layers of a [`ResnetConfig`], from images to one logit a label.
pub(crate) fn describe(
    g: &mut GraphBuilder,
    images: NodeId,
    config: &ResnetConfig,
    labels: usize,
) -> Result<NodeId, GraphError> {
    let mut channels = config.stem_channels;
    let stem = conv_norm(g, "stem", images, channels, config.stem_kernel, config.stem_stride)?;
    let mut x = g.relu(stem);
    for (s, stage) in config.stages.iter().enumerate() {
        for b in 0..stage.blocks {
            let stride = if b == 0 { stage.stride } else { 1 };
            let name = format!("stages.{s}.{b}");
            x = block(g, &name, x, (channels, stage.channels), stride)?;
            channels = stage.channels;
        }
    }
    let x = g.global_average(x);
    let x = g.dropout(x, config.dropout);
    Ok(g.dense("head", x, labels, Init::glorot(channels, labels)))
}

/// Two 3 x 3 convolutions and a way around them, which is a 1 x 1 convolution where the shape
/// changes.
fn block(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    (inputs, outputs): (usize, usize),
    stride: usize,
) -> Result<NodeId, GraphError> {
    let around = match inputs != outputs || stride != 1 {
        true => conv_norm(g, &format!("{name}.around"), x, outputs, 1, stride)?,
        false => x,
    };
    let y = conv_norm(g, &format!("{name}.first"), x, outputs, 3, stride)?;
    let y = g.relu(y);
    let y = conv_norm(g, &format!("{name}.second"), y, outputs, 3, 1)?;
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
