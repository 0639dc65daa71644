//! The classical stack: convolutions, pools, dense layers, one after another.
//!
//! The sizes stand in the manifest, so one piece of code is every such network, from one
//! convolution over 28 x 28 pixels to several over 224 x 224 in colour.

use model::manifest::{CnnConfig, CnnLayer};
use nn::{Conv, GraphBuilder, GraphError, Init, NodeId, Window};

/// The layers of a [`CnnConfig`], from images to one logit a label.
pub(crate) fn describe(
    g: &mut GraphBuilder,
    images: NodeId,
    config: &CnnConfig,
    labels: usize,
) -> Result<NodeId, GraphError> {
    let (mut x, mut flat) = (images, false);
    for (place, layer) in config.layers.iter().enumerate() {
        let name = format!("layers.{place}");
        let refuse = |reason: &str| Err(GraphError { layer: name.clone(), reason: reason.to_string() });
        let window = |kernel: usize| Window::new(kernel);
        x = match (layer.clone(), flat) {
            (CnnLayer::Conv { filters, kernel, padding }, false) => {
                let conv = Conv::new(filters, window(kernel).padding(padding)).bias();
                let x = g.conv(&name, x, conv)?;
                g.relu(x)
            }
            (CnnLayer::Pool { size }, false) => g.max_pool(&name, x, window(size).stride(size))?,
            (CnnLayer::Flatten, false) => {
                flat = true;
                g.flatten(x)
            }
            (CnnLayer::Dense { units }, true) => {
                let x = g.dense(&name, x, units, Init::he(g.shape(x).values()));
                g.relu(x)
            }
            (CnnLayer::Dropout { rate }, _) => g.dropout(x, rate),
            (CnnLayer::Dense { .. }, false) => {
                return refuse("a dense layer needs a flatten layer before it");
            }
            (_, true) => return refuse("this layer does not fit behind a flatten layer"),
        };
    }
    if !flat {
        let reason = "a cnn needs a flatten layer before its labels".to_string();
        return Err(GraphError { layer: "head".to_string(), reason });
    }
    Ok(g.dense("head", x, labels, Init::glorot(g.shape(x).values(), labels)))
}
