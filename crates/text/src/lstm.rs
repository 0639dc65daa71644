//! A recurrent network over a note's tokens, joined with the fields.
//!
//! A last state alone remembers little of a long note. The head therefore sees the mean and the
//! maximum of all states, and beside them the mean of the embeddings, so that it can never do
//! worse than a bag of tokens for want of memory.

use model::manifest::LstmConfig;
use nn::{Graph, GraphBuilder, GraphError, Pooling, Shape};

use super::network::head;

/// The network over records of `fields` field inputs, with one output a label.
///
/// # Errors
/// Sizes that do not fit each other.
pub fn lstm(config: &LstmConfig, fields: usize, labels: usize) -> Result<Graph, GraphError> {
    let LstmConfig { vocabulary, embedding, hidden, bidirectional, .. } = *config;
    let mut g = GraphBuilder::new();
    let tokens = g.input("tokens", Shape::Tokens);
    let x = g.embedding("embedding", tokens, vocabulary, embedding, config.token_dropout)?;
    let inputs = g.dropout(x, config.dropout);
    let mut pooled = Vec::new();
    for (name, reverse) in [("forward", false), ("backward", true)] {
        if !reverse || bidirectional {
            let states = g.lstm(name, inputs, hidden, reverse, config.recurrent_dropout)?;
            pooled.push(g.pool_rows("mean state", states, Pooling::Mean)?);
            pooled.push(g.pool_rows("highest state", states, Pooling::Max)?);
        }
    }
    pooled.push(g.pool_rows("mean embedding", x, Pooling::Mean)?);
    let pooled = g.concat("pooled", &pooled)?;
    let pooled = g.dropout(pooled, config.dropout);
    head(g, pooled, fields, labels)
}
