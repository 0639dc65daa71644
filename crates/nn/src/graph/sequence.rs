//! The layers of networks over sequences. Rows are one vector a token; a batch has the tokens of
//! all sequences one after the other.

use super::build::{GraphBuilder, refuse};
use super::{GraphError, NodeId, Op, Parameter, Shape};
use crate::params::Init;

/// What a layer over a sequence computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SequenceOp {
    /// A learnt row for each token.
    Embedding {
        /// Tokens known.
        vocabulary: usize,
        /// Share of the tokens that training leaves out, all values of one at once.
        token_dropout: f32,
    },
    /// Adds a learnt row for each place in the sequence.
    Positions {
        /// Most tokens of a sequence.
        most: usize,
    },
    /// Normalisation of each row to mean 0 and variance 1, then a scale and a shift a column (Ba,
    /// Kiros and Hinton 2016).
    LayerNorm,
    /// What attention makes of rows of queries, keys and values (Vaswani et al. 2017).
    Attention {
        /// Parts that the columns of each fall into.
        heads: usize,
        /// Rows before a row, and behind it, that it sees; those of the whole sequence where there are no more.
        reach: usize,
    },
    /// Attention whose scores also say how far apart two rows are, by learnt keys and queries of distances (He et al. 2021,
    /// "DeBERTa: decoding-enhanced BERT with disentangled attention").
    RelativeAttention {
        /// Parts that the columns of each fall into.
        heads: usize,
        /// The distances.
        places: RelativePlaces,
    },
    /// Turns the values of queries and keys, two by two, by angles that grow with the place in the sequence, so that
    /// products depend on how far apart two rows are (Su et al. 2021, "RoFormer").
    Rotary {
        /// Parts that the columns of each fall into; of a part of n columns, column i is turned with column i + n / 2.
        heads: usize,
        /// The angle of the pair i is the place over this to the power of 2 i / n.
        base: f32,
    },
    /// The Gaussian error linear unit of the first half of the columns, times the second half (Shazeer 2020, "GLU variants
    /// improve transformer").
    GatedGelu,
    /// The states of a long short-term memory (Hochreiter and Schmidhuber 1997, with the forget
    /// gate of Gers et al. 2000). Gates are in the order input, forget, cell, output.
    Lstm {
        /// Values of a state.
        hidden: usize,
        /// Whether it reads from the end.
        reverse: bool,
        /// Share of the values that training leaves out of every state that enters a step, the
        /// same for all steps of a sequence.
        recurrent_dropout: f32,
    },
    /// One vector of all rows of a sequence.
    Pool(Pooling),
    /// (0, z) of z: two logits, of which the softmax is (1 - sigmoid(z), sigmoid(z)).
    BinaryLogits,
}

/// How distances between rows are told apart in [`SequenceOp::RelativeAttention`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelativePlaces {
    /// Rows of a table for distances to one side; it has twice as many.
    pub span: usize,
    /// Distances up to half the span have rows of their own, larger ones up to this share them by their logarithm (He, Gao
    /// and Chen 2023, "DeBERTaV3"); without it each has its own up to the span.
    pub most: Option<usize>,
    /// Whether the product of a query with the key of the distance counts.
    pub keys: bool,
    /// Whether the product of a key with the query of the distance counts.
    pub queries: bool,
}

impl RelativePlaces {
    /// The row of a table for a key that lies `distance` rows before the query.
    pub fn row(self, distance: isize) -> usize {
        let (span, middle) = (self.span as isize, self.span as isize / 2);
        let bucket = match self.most {
            Some(most) if distance.abs() > middle && middle > 0 => {
                let over = |x: f64| (x / middle as f64).ln();
                let share = over(distance.abs() as f64) / over(most as f64 - 1.0);
                distance.signum() * ((share * (middle - 1) as f64).ceil() as isize + middle)
            }
            _ => distance,
        };
        (bucket.saturating_add(span)).clamp(0, 2 * span - 1) as usize
    }

    /// Terms of a score: the rows' own and those of the distance.
    pub fn terms(self) -> usize {
        1 + usize::from(self.keys) + usize::from(self.queries)
    }
}

/// How rows become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The mean of each column.
    Mean,
    /// The maximum of each column.
    Max,
    /// The first row.
    First,
    /// The mean of the rows weighted by the softmax of a learnt score.
    Attention,
}

type Result<T> = std::result::Result<T, GraphError>;

impl GraphBuilder {
    /// Tokens to rows of `width` values.
    ///
    /// # Errors
    /// Something else than tokens.
    pub fn embedding(
        &mut self,
        name: &str,
        x: NodeId,
        vocabulary: usize,
        width: usize,
        token_dropout: f32,
    ) -> Result<NodeId> {
        if self.shape(x) != Shape::Tokens {
            return refuse(name, format!("{} are no tokens", self.shape(x)));
        }
        Ok(self.sequence(name, SequenceOp::Embedding { vocabulary, token_dropout }, x, Shape::Rows { width }))
    }

    /// Adds learnt rows of places, of which a sequence has at most `most`.
    ///
    /// # Errors
    /// Something else than rows.
    pub fn positions(&mut self, name: &str, x: NodeId, most: usize) -> Result<NodeId> {
        self.rows(name, x)?;
        Ok(self.sequence(name, SequenceOp::Positions { most }, x, self.shape(x)))
    }

    /// A layer normalisation of rows, or of a vector.
    ///
    /// # Errors
    /// Something else.
    pub fn layer_norm(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        if self.shape(x).vector_width().is_none() {
            self.rows(name, x)?;
        }
        Ok(self.sequence(name, SequenceOp::LayerNorm, x, self.shape(x)))
    }

    /// Attention within each sequence: rows of queries, keys and values, one after the other, to
    /// rows of a third of their width.
    ///
    /// # Errors
    /// Rows that do not fall into three times `heads` parts.
    pub fn attention(&mut self, name: &str, x: NodeId, heads: usize) -> Result<NodeId> {
        self.local_attention(name, x, heads, usize::MAX)
    }

    /// The same where a row sees at most `reach` rows before it and as many behind it.
    ///
    /// # Errors
    /// As there.
    pub fn local_attention(&mut self, name: &str, x: NodeId, heads: usize, reach: usize) -> Result<NodeId> {
        let width = self.rows(name, x)?;
        if heads == 0 || !width.is_multiple_of(3 * heads) {
            return refuse(name, format!("{width} columns do not fall into 3 x {heads} parts"));
        }
        let op = SequenceOp::Attention { heads, reach };
        Ok(self.sequence(name, op, x, Shape::Rows { width: width / 3 }))
    }

    /// Attention within each sequence whose scores also say how far apart two rows are.
    ///
    /// # Errors
    /// As [`GraphBuilder::attention`]; a span of 0.
    pub fn relative_attention(
        &mut self,
        name: &str,
        x: NodeId,
        heads: usize,
        places: RelativePlaces,
    ) -> Result<NodeId> {
        let width = self.rows(name, x)?;
        if heads == 0 || !width.is_multiple_of(3 * heads) {
            return refuse(name, format!("{width} columns do not fall into 3 x {heads} parts"));
        }
        if places.span == 0 || places.most.is_some_and(|most| most < 3 || most <= 1 + places.span / 2) {
            return refuse(name, format!("{places:?} are no distances"));
        }
        let op = SequenceOp::RelativeAttention { heads, places };
        Ok(self.sequence(name, op, x, Shape::Rows { width: width / 3 }))
    }

    /// Turns rows of queries, keys and values by their places, values excepted.
    ///
    /// # Errors
    /// Rows that do not fall into three times `heads` parts of an even number of columns.
    pub fn rotary(&mut self, name: &str, x: NodeId, heads: usize, base: f32) -> Result<NodeId> {
        let width = self.rows(name, x)?;
        if heads == 0 || !width.is_multiple_of(6 * heads) {
            return refuse(name, format!("{width} columns do not fall into 3 x {heads} even parts"));
        }
        Ok(self.sequence(name, SequenceOp::Rotary { heads, base }, x, self.shape(x)))
    }

    /// Rows to rows of half their width.
    ///
    /// # Errors
    /// Something else than rows of an even number of columns.
    pub fn gated_gelu(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        let width = self.rows(name, x)?;
        if !width.is_multiple_of(2) {
            return refuse(name, format!("{width} columns have no halves"));
        }
        Ok(self.sequence(name, SequenceOp::GatedGelu, x, Shape::Rows { width: width / 2 }))
    }

    /// The states of a long short-term memory of `hidden` values; `reverse` reads from the end.
    ///
    /// # Errors
    /// Something else than rows.
    pub fn lstm(
        &mut self,
        name: &str,
        x: NodeId,
        hidden: usize,
        reverse: bool,
        recurrent_dropout: f32,
    ) -> Result<NodeId> {
        self.rows(name, x)?;
        let op = SequenceOp::Lstm { hidden, reverse, recurrent_dropout };
        Ok(self.sequence(name, op, x, Shape::Rows { width: hidden }))
    }

    /// One vector of the rows of a sequence; only [`Pooling::Attention`] has weights.
    ///
    /// # Errors
    /// Something else than rows.
    pub fn pool_rows(&mut self, name: &str, x: NodeId, pooling: Pooling) -> Result<NodeId> {
        let width = self.rows(name, x)?;
        Ok(self.sequence(name, SequenceOp::Pool(pooling), x, Shape::vector(width)))
    }

    /// The logits of two labels from a vector of one value.
    ///
    /// # Errors
    /// Something else than one value.
    pub fn binary_logits(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        if self.shape(x) != Shape::vector(1) {
            return refuse(name, format!("{} are not one logit", self.shape(x)));
        }
        Ok(self.sequence(name, SequenceOp::BinaryLogits, x, Shape::vector(2)))
    }

    fn sequence(&mut self, name: &str, op: SequenceOp, x: NodeId, shape: Shape) -> NodeId {
        self.push(name, Op::Sequence(op), &[x], shape)
    }

    /// Values of a row behind a node.
    fn rows(&self, layer: &str, x: NodeId) -> Result<usize> {
        match self.shape(x) {
            Shape::Rows { width } => Ok(width),
            other => refuse(layer, format!("{other} are not rows, one a token")),
        }
    }
}

impl SequenceOp {
    /// The values of such a layer named `name`, over rows of `width` values where it reads rows, in a
    /// fixed order; a row of its result has `to` values.
    pub(super) fn parameters(self, name: &str, width: usize, to: usize) -> Vec<Parameter> {
        let value = |part: &str, shape: Vec<usize>, init: Init| Parameter {
            name: format!("{name}.{part}"),
            shape,
            init,
            learnt: true,
        };
        let all = |part: &str, count: usize, start: f32| value(part, vec![count], Init::Constant(start));
        match self {
            SequenceOp::Embedding { vocabulary, .. } => {
                vec![value("weight", vec![vocabulary, to], Init::Normal(0.1))]
            }
            SequenceOp::Positions { most } => vec![value("weight", vec![most, to], Init::Normal(0.02))],
            SequenceOp::LayerNorm => vec![all("weight", to, 1.0), all("bias", to, 0.0)],
            SequenceOp::Lstm { hidden, .. } => vec![
                value("input.weight", vec![4 * hidden, width], Init::glorot(width, hidden)),
                all("input.bias", 4 * hidden, 0.0),
                value("recurrent", vec![4 * hidden, hidden], Init::glorot(hidden, hidden)),
            ],
            SequenceOp::Pool(Pooling::Attention) => {
                vec![value("weight", vec![1, width], Init::Constant(0.0)), all("bias", 1, 0.0)]
            }
            SequenceOp::RelativeAttention { places, .. } => {
                let table = |part: &str| value(part, vec![2 * places.span, to], Init::Normal(0.02));
                let keys = places.keys.then(|| table("keys"));
                keys.into_iter().chain(places.queries.then(|| table("queries"))).collect()
            }
            SequenceOp::Attention { .. }
            | SequenceOp::Rotary { .. }
            | SequenceOp::GatedGelu
            | SequenceOp::Pool(_)
            | SequenceOp::BinaryLogits => Vec::new(),
        }
    }
}
