//! A U-Net whose way down is a residual network: a label for every pixel.
//!
//! What is large is seen on small maps, where it fits under a kernel; where its edge runs is seen on
//! large ones. The way up joins the two, size by size. Where the first convolution already halves the picture, a last
//! narrow step joins its half-size map with the picture itself, or the logits are enlarged by straight lines: less work,
//! but objects a few pixels wide then run into each other.

use model::manifest::{FineStep, UnetConfig};
use nn::{Conv, GraphBuilder, GraphError, Interpolation, NodeId, Shape, Window};

use super::resnet;

/// The layers of a [`UnetConfig`], from images to one map of logits a label, of the images' size.
pub(crate) fn describe(
    g: &mut GraphBuilder,
    images: NodeId,
    config: &UnetConfig,
    labels: usize,
) -> Result<NodeId, GraphError> {
    let refuse = |reason: String| Err(GraphError { layer: "decoder".to_string(), reason });
    // Of maps of one size, the last has seen the most.
    let mut down: Vec<NodeId> = Vec::new();
    for x in resnet::features(g, images, &config.encoder)? {
        match down.last_mut().filter(|last| rows(g, **last) == rows(g, x)) {
            Some(last) => *last = x,
            None => down.push(x),
        }
    }
    let Some(mut x) = down.pop() else { return refuse("there is no way down".to_string()) };
    if down.len() != config.decoder.len() {
        let (steps, sizes) = (config.decoder.len(), down.len());
        return refuse(format!("{steps} steps up do not fit {sizes} sizes above the smallest"));
    }
    x = g.dropout(x, config.encoder.dropout);
    for (step, (skip, channels)) in down.into_iter().rev().zip(&config.decoder).enumerate() {
        let name = format!("up.{step}");
        let larger = g.upsample(&format!("{name}.enlarge"), x, 2, Interpolation::Nearest)?;
        let joined = g.concat(&format!("{name}.join"), &[larger, skip])?;
        x = conv(g, &format!("{name}.first"), joined, *channels)?;
        x = conv(g, &format!("{name}.second"), x, *channels)?;
    }
    if let Some(FineStep { skip, channels }) = config.fine {
        let skip = conv(g, "fine.skip", images, skip)?;
        let larger = g.upsample("fine.enlarge", x, 2, Interpolation::Nearest)?;
        let joined = g.concat("fine.join", &[larger, skip])?;
        x = conv(g, "fine.first", joined, channels)?;
        x = conv(g, "fine.second", x, channels)?;
    }
    let x = g.conv("head", x, Conv::new(labels, Window::new(1)).bias())?;
    match rows(g, images) / rows(g, x).max(1) {
        1 => Ok(x),
        factor => g.upsample("enlarge", x, factor, Interpolation::Bilinear),
    }
}

fn rows(g: &GraphBuilder, x: NodeId) -> usize {
    match g.shape(x) {
        Shape::Map { height, .. } => height,
        _ => 0,
    }
}

/// A 3 x 3 convolution, a normalisation and the rectifier.
fn conv(g: &mut GraphBuilder, name: &str, x: NodeId, outputs: usize) -> Result<NodeId, GraphError> {
    let x = g.conv(&format!("{name}.conv"), x, Conv::new(outputs, Window::new(3).padding(1)))?;
    let x = g.batch_norm(&format!("{name}.norm"), x);
    Ok(g.relu(x))
}
