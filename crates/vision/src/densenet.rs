//! Dense connections (Huang et al. 2017): each layer reads all maps of its block that are there, so what an
//! early layer found is not computed again. DenseNet-121 is the network that most public work on chest
//! X-rays compares with.

use model::manifest::DensenetConfig;
use nn::{Conv, GraphBuilder, GraphError, Init, NodeId, Window};

/// The layers of a [`DensenetConfig`], from images to one logit a label.
pub(crate) fn describe(
    g: &mut GraphBuilder,
    images: NodeId,
    config: &DensenetConfig,
    labels: usize,
) -> Result<NodeId, GraphError> {
    let stem = Conv::new(config.stem_channels, Window::new(7).stride(2).padding(3));
    let x = g.conv("stem.conv", images, stem)?;
    let x = g.batch_norm("stem.norm", x);
    let x = g.relu(x);
    let mut x = g.max_pool("stem.pool", x, Window::new(3).stride(2).padding(1))?;
    let mut channels = config.stem_channels;
    for (b, layers) in config.blocks.iter().enumerate() {
        for l in 0..*layers {
            let name = format!("blocks.{b}.{l}");
            let y = norm_conv(g, &format!("{name}.first"), x, config.bottleneck * config.growth, 1)?;
            let y = norm_conv(g, &format!("{name}.second"), y, config.growth, 3)?;
            x = g.concat(&format!("{name}.join"), &[x, y])?;
            channels += config.growth;
        }
        if b + 1 < config.blocks.len() {
            let name = format!("transitions.{b}");
            channels /= 2;
            x = norm_conv(g, &name, x, channels, 1)?;
            x = g.average_pool(&format!("{name}.pool"), x, Window::new(2).stride(2))?;
        }
    }
    let x = g.batch_norm("last.norm", x);
    let x = g.relu(x);
    let x = g.global_average(x);
    let x = g.dropout(x, config.dropout);
    Ok(g.dense("head", x, labels, Init::glorot(channels, labels)))
}

/// A normalisation, the rectifier and a convolution that keeps the size of a map.
fn norm_conv(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    outputs: usize,
    kernel: usize,
) -> Result<NodeId, GraphError> {
    let x = g.batch_norm(&format!("{name}.norm"), x);
    let x = g.relu(x);
    g.conv(&format!("{name}.conv"), x, Conv::new(outputs, Window::new(kernel).padding(kernel / 2)))
}
