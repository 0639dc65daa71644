//! The classical stack: convolutions, pools, dense layers, one after another.
//!
//! The sizes stand in the manifest, so one piece of code is every such network, from one
//! convolution over 28 x 28 pixels to several over 224 x 224 in colour.

use candle_core::{Result, Tensor, bail};

use model::manifest::{CnnConfig, CnnLayer, ImageInput};
use nn::dropout::dropout;
use nn::plan::{Builder, Value};
use nn::pool::max_pool;
use nn::{Conv2d, ConvShape, Init, Linear, Network, Params, Pass, Plan};

enum Layer {
    Conv(Conv2d),
    Pool(usize),
    Flatten,
    Dense(Linear),
    Dropout(f32),
}

/// The network of a [`CnnConfig`].
pub struct Cnn {
    layers: Vec<Layer>,
    head: Linear,
}

/// The shape of one example between two layers.
#[derive(Clone, Copy)]
enum Shape {
    Planes { channels: usize, height: usize, width: usize },
    Vector(usize),
}

impl Cnn {
    /// Builds the layers in order, each checked against the shape that reaches it.
    ///
    /// # Errors
    /// A layer that does not fit what comes before it, named by its place.
    pub fn new(config: &CnnConfig, input: &ImageInput, labels: usize, params: &mut Params) -> Result<Cnn> {
        let mut shape = Shape::Planes {
            channels: input.channels as usize,
            height: input.height as usize,
            width: input.width as usize,
        };
        let mut layers = Vec::with_capacity(config.layers.len());
        for (place, layer) in config.layers.iter().enumerate() {
            let name = format!("layers.{place}");
            let (built, next) = build(layer, shape, &name, params)?;
            layers.push(built);
            shape = next;
        }
        let Shape::Vector(inputs) = shape else { bail!("a cnn needs a flatten layer before its labels") };
        let head = Linear::new(params, "head", inputs, labels, Init::glorot(inputs, labels))?;
        Ok(Cnn { layers, head })
    }

    /// The same network for serving.
    ///
    /// # Errors
    /// Layers that do not fit each other.
    pub fn plan(&self, mut builder: Builder, input: Value) -> Result<Plan> {
        let mut x = input;
        for layer in &self.layers {
            x = match layer {
                Layer::Conv(conv) => builder.filter(x, conv.filter()?, None, true)?,
                Layer::Pool(size) => builder.max_pool(x, *size)?,
                Layer::Dense(dense) => {
                    let (weights, bias) = dense.values()?;
                    builder.dense(x, weights, bias, true)?
                }
                // A dense layer of the plan reads maps as they are.
                Layer::Flatten | Layer::Dropout(_) => x,
            };
        }
        let (weights, bias) = self.head.values()?;
        let logits = builder.dense(x, weights, bias, false)?;
        builder.finish(logits)
    }
}

fn build(layer: &CnnLayer, shape: Shape, name: &str, params: &mut Params) -> Result<(Layer, Shape)> {
    Ok(match (layer, shape) {
        (&CnnLayer::Conv { filters, kernel, padding }, Shape::Planes { channels, height, width }) => {
            let side = |length: usize| match (length + 2 * padding).checked_sub(kernel) {
                Some(room) => Ok(room + 1),
                None => bail!("{name}: a kernel of {kernel} does not fit {height} x {width} pixels"),
            };
            let next = Shape::Planes { channels: filters, height: side(height)?, width: side(width)? };
            let conv = ConvShape::new(kernel, 1, padding);
            (Layer::Conv(Conv2d::new(params, name, channels, filters, conv, true)?), next)
        }
        (&CnnLayer::Pool { size }, Shape::Planes { channels, height, width }) => {
            if height < size || width < size {
                bail!("{name}: a pool of {size} does not fit {height} x {width} pixels")
            }
            (Layer::Pool(size), Shape::Planes { channels, height: height / size, width: width / size })
        }
        (CnnLayer::Flatten, Shape::Planes { channels, height, width }) => {
            (Layer::Flatten, Shape::Vector(channels * height * width))
        }
        (&CnnLayer::Dense { units }, Shape::Vector(inputs)) => {
            (Layer::Dense(Linear::new(params, name, inputs, units, Init::he(inputs))?), Shape::Vector(units))
        }
        (&CnnLayer::Dropout { rate }, shape) => (Layer::Dropout(rate), shape),
        (CnnLayer::Dense { .. }, Shape::Planes { .. }) => {
            bail!("{name}: a dense layer needs a flatten layer before it")
        }
        (_, Shape::Vector(_)) => bail!("{name}: this layer does not fit behind a flatten layer"),
    })
}

impl Network<Tensor> for Cnn {
    fn logits(&self, images: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let mut x = images.clone();
        for layer in &self.layers {
            x = match layer {
                Layer::Conv(conv) => conv.forward(&x, pass)?.relu()?,
                Layer::Pool(size) => max_pool(&x, *size)?,
                Layer::Flatten => x.flatten_from(1)?,
                Layer::Dense(dense) => dense.forward(&x)?.relu()?,
                Layer::Dropout(rate) => dropout(&x, *rate, pass)?,
            };
        }
        self.head.forward(&x)
    }
}
