//! The recurrent network as it serves.
//!
//! The input's part of the gates depends on the token alone. Where the vocabulary is small enough
//! it is computed for every token when the model is loaded, which leaves a look-up in place of
//! half of the work; otherwise it is one product over all tokens of a batch.

use std::sync::Arc;

use candle_core::Result;

use super::{Head, Limits, mean};
use crate::encoder::Example;
use nn::serve::dense::{Dense, DenseWeights};
use nn::serve::recurrence::{self, Recurrence, Sequence, longest_first};
use nn::{Matrix, Residual};

/// Most values of a table of gates: 64 MiB.
const MOST: usize = 1 << 24;

/// See the module's introduction.
#[derive(Clone)]
pub struct LstmPlan {
    weights: Arc<Weights>,
    ids: Vec<u32>,
    order: Vec<Sequence>,
    embedded: Vec<f32>,
    gates: Vec<f32>,
    joined: Vec<f32>,
    scratch: recurrence::Scratch,
}

struct Weights {
    limits: Limits,
    /// (vocabulary, values of a token).
    embedding: Vec<f32>,
    gates: Gates,
    directions: Vec<Recurrence>,
    head: Head,
}

/// Where the input's part of the gates comes from; a row has those of all directions.
enum Gates {
    /// One row a token of the vocabulary.
    Table(Vec<f32>),
    /// From the embeddings of a batch.
    Product(Dense),
}

impl LstmPlan {
    /// `directions` are the input's weights, (4 hidden, values of a token), and the recurrence.
    pub(crate) fn new(
        limits: Limits,
        embedding: Vec<f32>,
        directions: Vec<(DenseWeights, Recurrence)>,
        head: Head,
    ) -> LstmPlan {
        let columns = embedding.len() / limits.vocabulary.max(1);
        let mut input = DenseWeights { weight: Vec::new(), bias: Vec::new() };
        for (own, recurrence) in &directions {
            input.weight.extend(recurrence.input(&own.weight, columns));
            input.bias.extend(recurrence.input(&own.bias, 1));
        }
        let directions = directions.into_iter().map(|(_, recurrence)| recurrence).collect();
        let (dense, width) = (input.pack(), input.bias.len());
        let gates = match limits.vocabulary * width <= MOST {
            true => {
                let mut table = vec![0.0; limits.vocabulary * width];
                let rows = Matrix { values: &embedding, stride: dense.inputs() };
                dense.forward(limits.vocabulary, rows, Residual::None, &mut table, width);
                Gates::Table(table)
            }
            false => Gates::Product(dense),
        };
        LstmPlan {
            weights: Arc::new(Weights { limits, embedding, gates, directions, head }),
            ids: Vec::new(),
            order: Vec::new(),
            embedded: Vec::new(),
            gates: Vec::new(),
            joined: Vec::new(),
            scratch: recurrence::Scratch::default(),
        }
    }

    /// See [`super::Plan::logits`].
    pub(super) fn logits(&mut self, batch: &[Example]) -> Result<Vec<Vec<f32>>> {
        let Weights { limits, embedding, gates, directions, head } = &*self.weights;
        limits.check(batch)?;
        self.ids.clear();
        self.ids.extend(batch.iter().flat_map(|record| &record.tokens.ids));
        longest_first(batch.iter().map(|record| record.tokens.ids.len()), &mut self.order);
        let ids = &self.ids;
        let (table, of_vocabulary) = match gates {
            Gates::Table(table) => (table, true),
            Gates::Product(dense) => {
                let (inputs, width) = (dense.inputs(), dense.outputs());
                self.embedded.clear();
                for id in ids {
                    self.embedded.extend_from_slice(&embedding[*id as usize * inputs..][..inputs]);
                }
                self.gates.resize(ids.len() * width, 0.0);
                let rows = Matrix { values: &self.embedded, stride: inputs };
                dense.forward(ids.len(), rows, Residual::None, &mut self.gates, width);
                (&self.gates, false)
            }
        };

        let width = head.width();
        self.joined.resize(batch.len() * width, 0.0);
        let stride: usize = directions.iter().map(Recurrence::gates).sum();
        let mut column = 0;
        let mut first_gate = 0;
        for direction in directions {
            let hidden = direction.hidden();
            let input = |place: usize| {
                let row = if of_vocabulary { ids[place] as usize } else { place };
                &table[row * stride + first_gate..][..direction.gates()]
            };
            direction.pool(&self.order, input, &mut self.scratch, |index, mean, highest| {
                let joined = &mut self.joined[index * width + column..];
                joined[..hidden].copy_from_slice(mean);
                joined[hidden..2 * hidden].copy_from_slice(highest);
            });
            column += 2 * hidden;
            first_gate += direction.gates();
        }
        for (joined, record) in self.joined.chunks_exact_mut(width).zip(batch) {
            mean(embedding, &record.tokens.ids, &mut joined[column..width - limits.fields]);
        }
        Ok(head.logits(batch, &mut self.joined))
    }
}
