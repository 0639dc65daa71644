//! The network that says what noise there is on a picture: a U-Net of residual blocks over the numbers of squares of pixels
//! ([`super::generate`]).
//!
//! Under what it works (the noise level, the label) comes as maps beside the picture's, each of one value. Their means are that
//! value again, whatever the size of the map: so a network over images needs no second input. What two dense layers make of them
//! is added to the channels inside each block.

use model::manifest::{DenoiserConfig, Generation, ImageInput};
use nn::{Activation, Conv, Graph, GraphBuilder, GraphError, Init, Interpolation, NodeId, Shape, Window};

/// The layers of a [`DenoiserConfig`]: from the numbers of a picture and its conditions, (components + conditions, rows, columns),
/// to as many numbers as the picture has.
///
/// # Errors
/// Maps that cannot be halved so often.
pub fn describe(
    config: &DenoiserConfig,
    generation: &Generation,
    input: &ImageInput,
    labels: usize,
) -> Result<Graph, GraphError> {
    let mut g = GraphBuilder::new();
    let (rows, columns) = (input.height as usize / generation.patch, input.width as usize / generation.patch);
    let inputs = generation.components + generation.conditions(labels);
    let images = g.input("values", Shape::map(inputs, rows, columns));
    let mut v = g.global_average(images);
    for name in ["embedding.first", "embedding.second"] {
        let width = g.shape(v).values();
        v = g.dense(name, v, config.embedding, Init::he(width));
        v = g.activation(v, Activation::Silu);
    }
    let block = |g: &mut GraphBuilder, name: &str, x: NodeId, channels: usize| block(g, name, x, v, channels);

    let first = config.widths.first().copied().unwrap_or(1);
    let mut x = conv(&mut g, "stem", images, first)?;
    let mut skips = Vec::new();
    for (size, channels) in config.widths.iter().enumerate() {
        if size > 0 {
            let (height, width) = places(&g, x);
            if !height.is_multiple_of(2) || !width.is_multiple_of(2) {
                let reason = format!("maps of {height} x {width} places cannot be halved");
                return Err(GraphError { layer: format!("down.{size}"), reason });
            }
            x = g.average_pool(&format!("down.{size}.halve"), x, Window::new(2).stride(2))?;
        }
        for number in 0..config.blocks {
            x = block(&mut g, &format!("down.{size}.{number}"), x, *channels)?;
        }
        skips.push((size, *channels, x));
    }
    for (size, channels, skip) in skips.into_iter().rev().skip(1) {
        let larger = g.upsample(&format!("up.{size}.enlarge"), x, 2, Interpolation::Nearest)?;
        x = g.concat(&format!("up.{size}.join"), &[larger, skip])?;
        for number in 0..config.blocks {
            x = block(&mut g, &format!("up.{size}.{number}"), x, channels)?;
        }
    }
    let x = g.conv("head", x, Conv::new(generation.components, Window::new(3).padding(1)).bias())?;
    g.finish(x)
}

fn places(g: &GraphBuilder, x: NodeId) -> (usize, usize) {
    match g.shape(x) {
        Shape::Map { height, width, .. } => (height, width),
        _ => (0, 0),
    }
}

/// A 3 x 3 convolution, a normalisation and SiLU.
fn conv(g: &mut GraphBuilder, name: &str, x: NodeId, outputs: usize) -> Result<NodeId, GraphError> {
    let x = conv_norm(g, name, x, outputs, 3)?;
    Ok(g.activation(x, Activation::Silu))
}

fn conv_norm(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    outputs: usize,
    kernel: usize,
) -> Result<NodeId, GraphError> {
    let x =
        g.conv(&format!("{name}.conv"), x, Conv::new(outputs, Window::new(kernel).padding(kernel / 2)))?;
    Ok(g.batch_norm(&format!("{name}.norm"), x))
}

/// Two 3 x 3 convolutions and a way around them; what is made of the conditions `v` is added between the two.
fn block(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    v: NodeId,
    outputs: usize,
) -> Result<NodeId, GraphError> {
    let around = match g.shape(x) {
        Shape::Map { channels, .. } if channels == outputs => x,
        _ => conv_norm(g, &format!("{name}.around"), x, outputs, 1)?,
    };
    let y = conv_norm(g, &format!("{name}.first"), x, outputs, 3)?;
    let width = g.shape(v).values();
    let own = g.dense(&format!("{name}.condition"), v, outputs, Init::glorot(width, outputs));
    let y = g.add_vector(name, y, own)?;
    let y = g.activation(y, Activation::Silu);
    let y = conv_norm(g, &format!("{name}.second"), y, outputs, 3)?;
    let sum = g.add(name, y, around)?;
    Ok(g.activation(sum, Activation::Silu))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::manifest::{Crop, Normalisation, ResizeFilter};

    #[test]
    fn maps_have_the_size_of_the_squares_and_are_halved_where_they_can_be() {
        let config = DenoiserConfig { widths: vec![8, 16, 24], blocks: 2, embedding: 12 };
        let generation = Generation {
            patch: 4,
            components: 10,
            frequencies: 4,
            steps: 4,
            guidance: 0.0,
            noise_kept: 0.0,
            noise_anew: 0.0,
            metrics: None,
        };
        let input = |height, width| ImageInput {
            height,
            width,
            channels: 3,
            crop: Crop::Centre,
            resize: ResizeFilter::Bicubic,
            normalisation: Normalisation::PerImage { floor: 0.02 },
            accepts: None,
        };
        let graph = describe(&config, &generation, &input(64, 48), 5).unwrap();
        assert_eq!(graph.nodes()[0].shape, Shape::map(10 + 8 + 5, 16, 12));
        assert_eq!(graph.node(graph.output()).shape, Shape::map(10, 16, 12));
        let error = describe(&config, &generation, &input(64, 40), 5).unwrap_err().to_string();
        assert_eq!(error, "down.2: maps of 8 x 5 places cannot be halved");
    }
}
