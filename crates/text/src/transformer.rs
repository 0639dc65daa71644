//! A small encoder over a note's tokens, joined with the fields.
//!
//! Tokens have learned values and learned places. A layer is a pre-norm encoder's (Vaswani et al.
//! 2017; Xiong et al. 2020): layer normalisation before attention and before the feed-forward
//! part, each with a way around it. Attention pooling makes one vector of a note; beside it stands
//! the mean of the embeddings, as in the recurrent network.

use model::manifest::TransformerConfig;
use nn::{Activation, Graph, GraphBuilder, GraphError, Init, NodeId, Pooling, Shape};

use super::network::head;

/// The network over notes of at most `max_tokens` tokens and `fields` field inputs, with one output
/// a label.
///
/// # Errors
/// Sizes that do not fit each other.
pub fn transformer(
    config: &TransformerConfig,
    max_tokens: usize,
    fields: usize,
    labels: usize,
) -> Result<Graph, GraphError> {
    let mut g = GraphBuilder::new();
    let tokens = g.input("tokens", Shape::Tokens);
    let embedded = g.embedding("embedding", tokens, config.vocabulary, config.width, config.token_dropout)?;
    let x = g.positions("positions", embedded, max_tokens)?;
    let mut x = g.dropout(x, config.dropout);
    for layer in 0..config.layers {
        x = encoder_layer(&mut g, &format!("layer{layer}"), x, config)?;
    }
    let x = g.layer_norm("norm", x)?;
    let pooled = g.pool_rows("pool", x, Pooling::Attention)?;
    let mean = g.pool_rows("mean embedding", embedded, Pooling::Mean)?;
    let pooled = g.concat("pooled", &[pooled, mean])?;
    let pooled = g.dropout(pooled, config.dropout);
    head(g, pooled, fields, labels)
}

fn encoder_layer(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    config: &TransformerConfig,
) -> Result<NodeId, GraphError> {
    let TransformerConfig { width, heads, feed_forward, dropout, .. } = *config;
    let named = |part: &str| format!("{name}.{part}");
    let dense = |g: &mut GraphBuilder, part: &str, x, inputs, outputs| {
        g.dense(&named(part), x, outputs, Init::glorot(inputs, outputs))
    };
    let y = g.layer_norm(&named("attention_norm"), x)?;
    let y = dense(g, "queries_keys_values", y, width, 3 * width);
    let y = g.attention(&named("attention"), y, heads)?;
    let y = dense(g, "output", y, width, width);
    let y = g.dropout(y, dropout);
    let x = g.add(&named("attended"), x, y)?;
    let y = g.layer_norm(&named("feed_forward_norm"), x)?;
    let y = dense(g, "expand", y, width, feed_forward);
    let y = g.activation(y, Activation::Gelu);
    let y = g.dropout(y, dropout);
    let y = dense(g, "contract", y, feed_forward, width);
    let y = g.dropout(y, dropout);
    g.add(&named("result"), x, y)
}
