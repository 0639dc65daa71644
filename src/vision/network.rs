//! Building the network that a manifest describes.

use candle_core::{Result, Tensor, bail};

use super::cnn::Cnn;
use super::resnet::Resnet;
use crate::model::manifest::{Architecture, ImageInput};
use crate::nn::{Network, Params};

/// The network of `architecture` over images of `input`, with one output a label. Its batch is
/// a tensor of (images, channels, height, width).
///
/// # Errors
/// Layers that do not fit each other, or weights that do not fit the layers.
pub fn build(
    architecture: &Architecture,
    input: &ImageInput,
    labels: usize,
    params: &mut Params,
) -> Result<Box<dyn Network<Tensor>>> {
    match architecture {
        Architecture::Cnn(config) => Ok(Box::new(Cnn::new(config, input, labels, params)?)),
        Architecture::Resnet(config) => Ok(Box::new(Resnet::new(config, input, labels, params)?)),
        other => bail!("the architecture \"{}\" does not read images", other.as_str()),
    }
}
