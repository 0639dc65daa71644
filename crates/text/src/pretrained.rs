//! Encoders that others have trained: BERT (Devlin et al. 2019) and those built like it, RoBERTa (Liu et al.
//! 2019), XLM-R (Conneau et al. 2020) and DistilBERT (Sanh et al. 2019), as one description.
//!
//! Tokens have learned values and learned places, which are normalised. A layer is attention and then a
//! feed-forward part, each with a way around it and normalised behind it. Values of a kind of segment, which
//! some have, are part of the places: a text is one segment. What is added to the variance under a root is
//! 1e-5 here; a family that adds less gets its values of tokens and places scaled, which comes to the same.
//!
//! ModernBERT (Warner et al. 2024) normalises before each part and turns queries and keys by their places in place of adding
//! values; most of its layers see only what is near by, and its feed-forward parts have a gate.
//!
//! DeBERTa's second and third version (He et al. 2021) are built as BERT is, but that attention reads how far apart two tokens
//! are. The keys and queries of distances, which its layers make of one table, are made when it is adopted.

use model::manifest::{
    EncoderConfig, EncoderHead, HeadActivation, RelativeConfig, RotaryConfig, TextPooling,
};
use nn::{Activation, Graph, GraphBuilder, GraphError, Init, NodeId, Pooling, RelativePlaces, Shape};

/// The network over texts of at most as many tokens as there are places, with one vector a text.
///
/// # Errors
/// Sizes that do not fit each other.
pub fn encoder(config: &EncoderConfig) -> Result<Graph, GraphError> {
    let mut g = GraphBuilder::new();
    let x = rows(&mut g, config)?;
    let pooled = pooled(&mut g, x, config)?;
    g.finish(pooled)
}

/// The same with a head that has one output a label.
///
/// # Errors
/// As [`encoder`]; a configuration without such a head.
pub fn classifier(config: &EncoderConfig, labels: usize) -> Result<Graph, GraphError> {
    let activation = match config.head {
        Some(EncoderHead::Labels { activation }) => Some(activation),
        Some(EncoderHead::Linear) => None,
        _ => return Err(no_head("labels")),
    };
    let mut g = GraphBuilder::new();
    let x = rows(&mut g, config)?;
    let pooled = pooled(&mut g, x, config)?;
    let init = |outputs| Init::glorot(config.width, outputs);
    let Some(activation) = activation else {
        let logits = g.dense("head.labels", pooled, labels, init(labels));
        return g.finish(logits);
    };
    let hidden = g.dense("head.hidden", pooled, config.width, init(config.width));
    let function = match activation {
        HeadActivation::Tanh => Activation::Tanh,
        HeadActivation::Relu => Activation::Relu,
        HeadActivation::Gelu | HeadActivation::GeluAlone => Activation::Gelu,
    };
    let mut hidden = g.activation(hidden, function);
    if activation == HeadActivation::Gelu {
        hidden = g.layer_norm("head.norm", hidden)?;
    }
    let logits = g.dense("head.labels", hidden, labels, init(labels));
    g.finish(logits)
}

/// The same with a head that has one output a tag for every token.
///
/// # Errors
/// As [`encoder`]; a configuration without such a head.
pub fn tagger(config: &EncoderConfig, tags: usize) -> Result<Graph, GraphError> {
    let Some(EncoderHead::Tags { .. }) = config.head else { return Err(no_head("tags")) };
    let mut g = GraphBuilder::new();
    let mut x = rows(&mut g, config)?;
    if config.rotary.is_some() {
        x = g.dense("head.hidden", x, config.width, Init::glorot(config.width, config.width));
        x = g.activation(x, Activation::Gelu);
        x = g.layer_norm("head.norm", x)?;
    }
    let logits = g.dense("head.tags", x, tags, Init::glorot(config.width, tags));
    g.finish(logits)
}

fn no_head(of: &str) -> GraphError {
    GraphError { layer: "head".to_string(), reason: format!("the encoder has no head of {of}") }
}

/// A row for every token.
fn rows(g: &mut GraphBuilder, config: &EncoderConfig) -> Result<NodeId, GraphError> {
    let tokens = g.input("tokens", Shape::Tokens);
    let x = g.embedding("embedding", tokens, config.vocabulary, config.width, 0.0)?;
    if let Some(rotary) = &config.rotary {
        return rotary_rows(g, x, config, rotary);
    }
    let x = match config.relative {
        Some(RelativeConfig { places: false, .. }) => x,
        _ => g.positions("positions", x, config.positions)?,
    };
    let mut x = g.layer_norm("embedding_norm", x)?;
    for layer in 0..config.layers {
        x = encoder_layer(g, &format!("layer{layer}"), x, config)?;
    }
    Ok(x)
}

/// The same where places are angles.
fn rotary_rows(
    g: &mut GraphBuilder,
    x: NodeId,
    config: &EncoderConfig,
    rotary: &RotaryConfig,
) -> Result<NodeId, GraphError> {
    let EncoderConfig { width, heads, feed_forward, .. } = *config;
    let mut x = g.layer_norm("embedding_norm", x)?;
    for layer in 0..config.layers {
        let named = |part: &str| format!("layer{layer}.{part}");
        let dense = |g: &mut GraphBuilder, part: &str, x, inputs, outputs| {
            g.dense(&named(part), x, outputs, Init::glorot(inputs, outputs))
        };
        let (base, reach) = match layer % rotary.every {
            0 => (rotary.base, usize::MAX),
            _ => (rotary.local_base, rotary.reach),
        };
        // What comes from the tokens is normalised already.
        let y = if layer == 0 { x } else { g.layer_norm(&named("attention_norm"), x)? };
        let y = dense(g, "queries_keys_values", y, width, 3 * width);
        let y = g.rotary(&named("turned"), y, heads, base)?;
        let y = g.local_attention(&named("attention"), y, heads, reach)?;
        let y = dense(g, "output", y, width, width);
        x = g.add(&named("attended"), x, y)?;
        let y = g.layer_norm(&named("feed_forward_norm"), x)?;
        let y = dense(g, "expand", y, width, 2 * feed_forward);
        let y = g.gated_gelu(&named("gated"), y)?;
        let y = dense(g, "contract", y, feed_forward, width);
        x = g.add(&named("result"), x, y)?;
    }
    g.layer_norm("norm", x)
}

/// One vector of the rows.
fn pooled(g: &mut GraphBuilder, x: NodeId, config: &EncoderConfig) -> Result<NodeId, GraphError> {
    let pooling = match config.pooling {
        TextPooling::Mean => Pooling::Mean,
        TextPooling::Cls => Pooling::First,
    };
    g.pool_rows("pool", x, pooling)
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
    let y = match config.relative {
        Some(RelativeConfig { span, most, keys, queries, .. }) => {
            let places = RelativePlaces { span, most, keys, queries };
            g.relative_attention(&named("attention"), y, heads, places)?
        }
        None => g.attention(&named("attention"), y, heads)?,
    };
    let y = dense(g, "output", y, width, width);
    let y = g.add(&named("attended"), x, y)?;
    let x = g.layer_norm(&named("attention_norm"), y)?;
    let y = dense(g, "expand", x, width, feed_forward);
    let y = g.activation(y, Activation::Gelu);
    let y = dense(g, "contract", y, feed_forward, width);
    let y = g.add(&named("result"), x, y)?;
    g.layer_norm(&named("feed_forward_norm"), y)
}
