//! A vision transformer: patches of an image become tokens, and dense layers over them are convolutions of 1 x 1. It is
//! served only; its weights come from others.

use model::manifest::VitConfig;
use nn::{Activation, Conv, GraphBuilder, GraphError, Init, NodeId, Window};

/// The layers of a [`VitConfig`], from images to one logit a label.
pub(crate) fn describe(
    g: &mut GraphBuilder,
    images: NodeId,
    config: &VitConfig,
    labels: usize,
) -> Result<NodeId, GraphError> {
    let VitConfig { patch, width, heads, layers, feed_forward, epsilon } = *config;
    let window = Window::new(patch).stride(patch);
    let x = g.conv("patches", images, Conv::new(width, window).bias())?;
    let mut x = g.tokens("tokens", x);
    for layer in 0..layers {
        let name = |part: &str| format!("layers.{layer}.{part}");
        let y = g.channel_norm(&name("before"), x, epsilon);
        let y = dense(g, &name("heads"), y, 3 * width)?;
        let y = g.self_attention(&name("attention"), y, heads)?;
        let y = dense(g, &name("joined"), y, width)?;
        x = g.add(&name("attended"), x, y)?;
        let y = g.channel_norm(&name("after"), x, epsilon);
        let y = dense(g, &name("expand"), y, feed_forward)?;
        let y = g.activation(y, Activation::Gelu);
        let y = dense(g, &name("contract"), y, width)?;
        x = g.add(&name("sum"), x, y)?;
    }
    // A normalisation is of each token alone: that of the first is all that is needed.
    let x = g.first(x);
    let x = g.channel_norm("last", x, epsilon);
    Ok(g.dense("head", x, labels, Init::glorot(width, labels)))
}

/// The same dense layer at every place.
pub(crate) fn dense(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    outputs: usize,
) -> Result<NodeId, GraphError> {
    g.conv(name, x, Conv::new(outputs, Window::new(1)).bias())
}
