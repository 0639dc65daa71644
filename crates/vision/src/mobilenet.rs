//! Inverted residuals (Sandler et al. 2018): MobileNetV2 and EfficientNet-Lite.
//!
//! A block widens its input by a 1 x 1 convolution, works on every channel by itself, and narrows it
//! again without an activation; where the shape stays, the input is added. Activations are clipped at 6.

use model::manifest::MobilenetConfig;
use nn::{Activation, Conv, GraphBuilder, GraphError, Init, NodeId, Window};

/// The layers of a [`MobilenetConfig`], from images to one logit a label.
pub(crate) fn describe(
    g: &mut GraphBuilder,
    images: NodeId,
    config: &MobilenetConfig,
    labels: usize,
) -> Result<NodeId, GraphError> {
    let mut channels = config.stem_channels;
    let stem = Window::new(3).stride(2).padding(1);
    let mut x = conv(g, "stem", images, Conv::new(channels, stem), config.epsilon)?;
    x = g.activation(x, Activation::Relu6);
    for (s, stage) in config.stages.iter().enumerate() {
        for b in 0..stage.blocks {
            let name = format!("stages.{s}.{b}");
            let stride = if b == 0 { stage.stride } else { 1 };
            let mut y = x;
            let wide = channels * stage.expand;
            if stage.expand > 1 {
                y = conv(g, &format!("{name}.expand"), y, Conv::new(wide, Window::new(1)), config.epsilon)?;
                y = g.activation(y, Activation::Relu6);
            }
            let window = Window::new(stage.kernel).stride(stride).padding(stage.kernel / 2);
            let deep = Conv::new(wide, window).groups(wide);
            y = conv(g, &format!("{name}.depthwise"), y, deep, config.epsilon)?;
            y = g.activation(y, Activation::Relu6);
            let narrow = Conv::new(stage.channels, Window::new(1));
            y = conv(g, &format!("{name}.project"), y, narrow, config.epsilon)?;
            x = match stride == 1 && channels == stage.channels {
                true => g.add(&name, x, y)?,
                false => y,
            };
            channels = stage.channels;
        }
    }
    let last = Conv::new(config.last_channels, Window::new(1));
    x = conv(g, "last", x, last, config.epsilon)?;
    x = g.activation(x, Activation::Relu6);
    let x = g.global_average(x);
    let x = g.dropout(x, config.dropout);
    Ok(g.dense("head", x, labels, Init::glorot(config.last_channels, labels)))
}

/// A convolution and a normalisation.
fn conv(g: &mut GraphBuilder, name: &str, x: NodeId, conv: Conv, epsilon: f32) -> Result<NodeId, GraphError> {
    let x = g.conv(&format!("{name}.conv"), x, conv)?;
    Ok(g.batch_norm_over(&format!("{name}.norm"), x, epsilon))
}
