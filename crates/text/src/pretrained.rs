//! Encoders that others have trained: BERT (Devlin et al. 2019) and those built like it, RoBERTa (Liu et al.
//! 2019), XLM-R (Conneau et al. 2020) and DistilBERT (Sanh et al. 2019), as one description.
//!
//! Tokens have learned values and learned places, which are normalised. A layer is attention and then a
//! feed-forward part, each with a way around it and normalised behind it. Values of a kind of segment, which
//! some have, are part of the places: a text is one segment. What is added to the variance under a root is
//! 1e-5 here; a family that adds less gets its values of tokens and places scaled, which comes to the same.

use model::manifest::{EncoderConfig, TextPooling};
use nn::{Activation, Graph, GraphBuilder, GraphError, Init, NodeId, Pooling, Shape};

/// The network over texts of at most as many tokens as there are places, with one vector a text.
///
/// # Errors
/// Sizes that do not fit each other.
pub fn encoder(config: &EncoderConfig) -> Result<Graph, GraphError> {
    let mut g = GraphBuilder::new();
    let tokens = g.input("tokens", Shape::Tokens);
    let x = g.embedding("embedding", tokens, config.vocabulary, config.width, 0.0)?;
    let x = g.positions("positions", x, config.positions)?;
    let mut x = g.layer_norm("embedding_norm", x)?;
    for layer in 0..config.layers {
        x = encoder_layer(&mut g, &format!("layer{layer}"), x, config)?;
    }
    let pooling = match config.pooling {
        TextPooling::Mean => Pooling::Mean,
        TextPooling::Cls => Pooling::First,
    };
    let pooled = g.pool_rows("pool", x, pooling)?;
    g.finish(pooled)
}

fn encoder_layer(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    config: &EncoderConfig,
) -> Result<NodeId, GraphError> {
    let EncoderConfig { width, heads, feed_forward, .. } = *config;
    let named = |part: &str| format!("{name}.{part}");
    let dense = |g: &mut GraphBuilder, part: &str, x, inputs, outputs| {
        g.dense(&named(part), x, outputs, Init::glorot(inputs, outputs))
    };
    let y = dense(g, "queries_keys_values", x, width, 3 * width);
    let y = g.attention(&named("attention"), y, heads)?;
    let y = dense(g, "output", y, width, width);
    let y = g.add(&named("attended"), x, y)?;
    let x = g.layer_norm(&named("attention_norm"), y)?;
    let y = dense(g, "expand", x, width, feed_forward);
    let y = g.activation(y, Activation::Gelu);
    let y = dense(g, "contract", y, feed_forward, width);
    let y = g.add(&named("result"), x, y)?;
    g.layer_norm(&named("feed_forward_norm"), y)
}
