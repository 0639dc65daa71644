//! ConvNeXt: residual blocks of a depthwise convolution of 7 x 7 and two dense layers at every place. It is served only;
//! its weights come from others, the scale of each block multiplied into its last layer.

use model::manifest::ConvnextConfig;
use nn::{Activation, Conv, GraphBuilder, GraphError, Init, NodeId, Window};

use super::vit::dense;

/// Of all normalisations but the last.
const EPSILON: f32 = 1e-6;

/// The layers of a [`ConvnextConfig`], from images to one logit a label.
pub(crate) fn describe(
    g: &mut GraphBuilder,
    images: NodeId,
    config: &ConvnextConfig,
    labels: usize,
) -> Result<NodeId, GraphError> {
    let mut channels = config.stages.first().map_or(0, |stage| stage.channels);
    let window = Window::new(config.patch).stride(config.patch);
    let x = g.conv("patches", images, Conv::new(channels, window).bias())?;
    let mut x = g.channel_norm("patches.norm", x, EPSILON);
    for (s, stage) in config.stages.iter().enumerate() {
        if s > 0 {
            channels = stage.channels;
            let y = g.channel_norm(&format!("down.{s}.norm"), x, EPSILON);
            let window = Window::new(2).stride(2);
            x = g.conv(&format!("down.{s}.conv"), y, Conv::new(channels, window).bias())?;
        }
        for b in 0..stage.blocks {
            let name = |part: &str| format!("stages.{s}.{b}.{part}");
            let window = Window::new(7).padding(3);
            let y = g.conv(&name("deep"), x, Conv::new(channels, window).groups(channels).bias())?;
            let y = g.channel_norm(&name("norm"), y, EPSILON);
            let y = dense(g, &name("expand"), y, 4 * channels)?;
            let y = g.activation(y, Activation::Gelu);
            let y = dense(g, &name("contract"), y, channels)?;
            x = g.add(&name("sum"), x, y)?;
        }
    }
    let x = g.global_average(x);
    let x = g.channel_norm("last", x, config.epsilon);
    Ok(g.dense("head", x, labels, Init::glorot(channels, labels)))
}
