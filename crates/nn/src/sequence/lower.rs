//! From the description of a network over sequences to the steps that serve it.
//!
//! What does not depend on the input is done here, once. A layer normalisation's scale and shift go
//! into the dense layers that read it. A sum becomes part of the dense layer that ends one of its
//! terms. What depends on the token alone, such as the input's part of a recurrent network's gates,
//! is computed for the whole vocabulary where that is small enough. A vector that is joined with
//! others is written where they lie together. Dropout does nothing.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};

use super::dense::{DenseWeights, LayerNormWeights, Numbers};
use super::program::{Column, Program, RowMemory, RowSource, RowStep, Step, Table};
use super::recurrence::Recurrence;
use super::relative::RelativeTables;
use crate::bytes::RowBytes;
use crate::graph::{Activation, Graph, Node, Op, Pooling, SequenceOp, Shape};
use crate::packed::{Matrix, Residual};

/// Most values of a table of gates: 32 MiB.
const LARGEST_TABLE: usize = 1 << 23;

/// The steps that serve `graph`; `weights` are those of each node. Dense layers over rows are computed over `numbers`, but
/// for one whose result is the network's.
///
/// # Errors
/// A layer that cannot be served over sequences.
pub fn lower(graph: &Graph, weights: &[Vec<Tensor>], numbers: Numbers) -> Result<Program> {
    let mut lowering = Lowering::new(graph, weights, numbers)?;
    for place in 0..graph.nodes().len() {
        lowering.results[place] = lowering.layer(place)?;
    }
    let output = lowering.origin[graph.output().0];
    let shape = graph.nodes()[output].shape;
    let kept = match (shape, &lowering.results[output]) {
        (Shape::Rows { .. }, Rows::At(RowSource::Rows(from))) => Some(*from),
        (shape, _) if shape.vector_width().is_some() => None,
        _ => bail!("the result of a network that serves is one vector a sequence, or one a token"),
    };
    let mut program = lowering.program;
    program.logits = lowering.columns[output].unwrap_or(Column { vectors: 0, first: 0 });
    program.labels = shape.values();
    program.by_row = kept.is_some();
    program.steps.extend(kept.map(|from| Step::Keep { from }));
    program.assign_memory();
    Ok(program)
}

/// What is known of a node's rows.
#[derive(Clone)]
enum Rows {
    /// Nothing: it has none, or other nodes have seen to them.
    None,
    /// Where they are.
    At(RowSource),
    /// They are normalised; the scale and the shift of this node are still to be applied.
    Normalised(usize, usize),
    /// A dense layer that is done together with the sum that reads it.
    Awaited,
}

struct Lowering<'a> {
    graph: &'a Graph,
    weights: &'a [Vec<Tensor>],
    numbers: Numbers,
    /// The node whose result a node's is.
    origin: Vec<usize>,
    /// The nodes that read a result.
    readers: Vec<Vec<usize>>,
    /// Where vectors lie.
    columns: Vec<Option<Column>>,
    results: Vec<Rows>,
    program: Program,
}

impl<'a> Lowering<'a> {
    fn new(graph: &'a Graph, weights: &'a [Vec<Tensor>], numbers: Numbers) -> Result<Lowering<'a>> {
        let nodes = graph.nodes();
        let mut origin = Vec::with_capacity(nodes.len());
        let mut readers = vec![Vec::new(); nodes.len()];
        for (place, node) in nodes.iter().enumerate() {
            let dropped = matches!(node.op, Op::Dropout(_));
            origin.push(if dropped { origin[node.inputs[0].0] } else { place });
            if !dropped {
                node.inputs.iter().for_each(|input| readers[origin[input.0]].push(place));
            }
        }
        let program = Program {
            steps: Vec::new(),
            rows: Vec::new(),
            vectors: Vec::new(),
            logits: Column { vectors: 0, first: 0 },
            labels: 0,
            by_row: false,
            vocabulary: usize::MAX,
            most: usize::MAX,
            values: 0,
        };
        let (columns, results) = (vec![None; nodes.len()], vec![Rows::None; nodes.len()]);
        let mut lowering = Lowering { graph, weights, numbers, origin, readers, columns, results, program };
        lowering.place_vectors();
        Ok(lowering)
    }

    /// Gives every vector a place: inside the vector that it is joined to, where that alone reads it.
    fn place_vectors(&mut self) {
        let output = self.origin[self.graph.output().0];
        for (place, node) in self.graph.nodes().iter().enumerate().rev() {
            let Some(width) = node.shape.vector_width() else { continue };
            if self.origin[place] != place {
                continue;
            }
            let column = *self.columns[place].get_or_insert_with(|| {
                self.program.vectors.push(width);
                Column { vectors: self.program.vectors.len() - 1, first: 0 }
            });
            if node.op != Op::Concat {
                continue;
            }
            let mut first = column.first;
            for input in &node.inputs {
                let from = self.origin[input.0];
                if self.readers[from].len() == 1 && from != output {
                    self.columns[from] = Some(Column { first, ..column });
                }
                first += self.graph.nodes()[from].shape.vector_width().unwrap_or(0);
            }
        }
    }

    /// Emits what a node needs, and says what became of its rows.
    fn layer(&mut self, place: usize) -> Result<Rows> {
        let node = &self.graph.nodes()[place];
        let shapes: Vec<Shape> = node.inputs.iter().map(|input| self.graph.node(*input).shape).collect();
        match (&node.op, shapes.as_slice()) {
            (Op::Input, _) => match node.shape {
                Shape::Tokens => {}
                shape => {
                    self.program.values = shape.vector_width().unwrap_or(0);
                    self.vector_step(place, |to| Step::Values { to })?;
                }
            },
            (Op::Dropout(_), _) => {}
            (Op::Dense { .. }, [Shape::Rows { .. }]) => {
                let sum = match self.readers[place][..] {
                    [reader] => self.graph.nodes()[reader].op == Op::Add,
                    _ => false,
                };
                return if sum { Ok(Rows::Awaited) } else { self.dense(place, None) };
            }
            (Op::Dense { .. }, _) => {
                let from = self.column_of_input(place, 0)?;
                let dense = self.dense_weights(place)?.pack();
                self.vector_step(place, |to| Step::Dense { from, dense, to })?;
            }
            (Op::Activation(Activation::Gelu), [Shape::Rows { width }]) => {
                let (from, to) = (self.rows_of_input(place, 0)?, self.new_rows(*width));
                return Ok(self.row_step(RowStep::Gelu { from, to }, to));
            }
            (Op::Activation(kind), [shape]) => {
                let Some(width) = shape.vector_width() else { return self.refuse(place) };
                let (kind, from) = (*kind, self.column_of_input(place, 0)?);
                if !matches!(kind, Activation::Relu | Activation::Gelu | Activation::Tanh) {
                    return self.refuse(place);
                }
                self.vector_step(place, |to| Step::Activate { kind, from, width, to })?;
            }
            (Op::Add, [Shape::Rows { width }, _]) => return self.sum(place, *width),
            (Op::Concat, _) => {
                let Some(mut to) = self.columns[place] else { return self.refuse(place) };
                for (index, shape) in shapes.iter().enumerate() {
                    let from = self.column_of_input(place, index)?;
                    let width = shape.vector_width().unwrap_or(0);
                    if (from.vectors, from.first) != (to.vectors, to.first) {
                        self.program.steps.push(Step::Copy { from, width, to });
                    }
                    to.first += width;
                }
            }
            (Op::Sequence(op), [input]) => return self.sequence_layer(place, *op, *input),
            _ => return self.refuse(place),
        }
        Ok(Rows::None)
    }

    fn sequence_layer(&mut self, place: usize, op: SequenceOp, input: Shape) -> Result<Rows> {
        let width = if let Shape::Rows { width } = input { width } else { 0 };
        match op {
            SequenceOp::Embedding { vocabulary, .. } => {
                self.program.vocabulary = self.program.vocabulary.min(vocabulary);
                let values = self.plain(place, 0)?;
                let width = values.len() / vocabulary.max(1);
                return Ok(Rows::At(RowSource::Table(Arc::new(Table { values, width }))));
            }
            SequenceOp::Positions { most } => {
                self.program.most = self.program.most.min(most);
                let (from, table) = (self.source_of_input(place, 0)?, self.plain(place, 0)?);
                let to = self.new_rows(width);
                self.program.steps.push(Step::AddPositions { from, table, to });
                return Ok(Rows::At(RowSource::Rows(to)));
            }
            SequenceOp::LayerNorm if input.vector_width().is_some() => {
                let (from, norm) = (self.column_of_input(place, 0)?, self.norm_weights(place)?);
                self.vector_step(place, |to| Step::NormaliseVector { from, norm, to })?;
            }
            SequenceOp::LayerNorm => {
                let (from, to) = (self.rows_of_input(place, 0)?, self.new_rows(width));
                let folded = self.readers[place].iter().all(|reader| {
                    let op = &self.graph.nodes()[*reader].op;
                    matches!(op, Op::Dense { .. } | Op::Sequence(SequenceOp::Pool(Pooling::Attention)))
                });
                let then = if folded { None } else { Some(self.norm_weights(place)?) };
                let rows = self.row_step(RowStep::Normalise { from, then, to }, to);
                return Ok(if folded { Rows::Normalised(to, place) } else { rows });
            }
            SequenceOp::Attention { heads, reach } => {
                let (from, to) = (self.rows_of_input(place, 0)?, self.new_rows(width / 3));
                self.program.steps.push(Step::Attention { heads, reach, from, to });
                return Ok(Rows::At(RowSource::Rows(to)));
            }
            SequenceOp::RelativeAttention { heads, places } => {
                let table = |index: usize| self.plain(place, index);
                let keys = if places.keys { Some(table(0)?) } else { None };
                let queries = if places.queries { Some(table(usize::from(places.keys))?) } else { None };
                let tables = RelativeTables { places, keys, queries };
                let (from, to) = (self.rows_of_input(place, 0)?, self.new_rows(width / 3));
                self.program.steps.push(Step::RelativeAttention { heads, tables, from, to });
                return Ok(Rows::At(RowSource::Rows(to)));
            }
            SequenceOp::Rotary { heads, base } => {
                let (from, to) = (self.rows_of_input(place, 0)?, self.new_rows(width));
                self.program.steps.push(Step::Rotary { heads, base, from, to });
                return Ok(Rows::At(RowSource::Rows(to)));
            }
            SequenceOp::GatedGelu => {
                let (from, to) = (self.rows_of_input(place, 0)?, self.new_rows(width / 2));
                return Ok(self.row_step(RowStep::GatedGelu { from, to }, to));
            }
            SequenceOp::Lstm { hidden, reverse, .. } => self.recurrence(place, hidden, reverse)?,
            SequenceOp::Pool(Pooling::Attention) => {
                let mut score = self.plain(place, 0)?;
                let (from, then) = match self.results[self.input(place, 0)] {
                    Rows::Normalised(rows, norm) => (rows, Some(self.norm_weights(norm)?)),
                    _ => (self.rows_of_input(place, 0)?, None),
                };
                if let Some(norm) = &then {
                    score.iter_mut().zip(&norm.weight).for_each(|(weight, scale)| *weight *= scale);
                }
                self.vector_step(place, |to| Step::AttentionPool { from, score, then, to })?;
            }
            SequenceOp::Pool(pooling) => {
                let from = self.input(place, 0);
                if !matches!(self.graph.nodes()[from].op, Op::Sequence(SequenceOp::Lstm { .. })) {
                    let from = self.source_of_input(place, 0)?;
                    let (max, first) = (pooling == Pooling::Max, pooling == Pooling::First);
                    self.vector_step(place, |to| Step::Pool { from, max, first, to })?;
                }
            }
            SequenceOp::BinaryLogits => {
                let from = self.column_of_input(place, 0)?;
                self.vector_step(place, |to| Step::BinaryLogits { from, to })?;
            }
        }
        Ok(Rows::None)
    }

    /// The dense layer `place` over rows, and what is added to it.
    fn dense(&mut self, place: usize, residual: Option<usize>) -> Result<Rows> {
        let (from, weights) = match self.results[self.input(place, 0)] {
            Rows::Normalised(rows, norm) => {
                (rows, self.dense_weights(place)?.after(&self.norm_weights(norm)?))
            }
            _ => (self.rows_of_input(place, 0)?, self.dense_weights(place)?),
        };
        let to = self.new_rows(weights.bias.len());
        let last = place == self.origin[self.graph.output().0];
        let dense = weights.pack_as(if last { Numbers::Single } else { self.numbers });
        Ok(self.row_step(RowStep::Dense { from, dense, residual, to }, to))
    }

    /// The sum `place`, as part of a dense layer where there is one.
    fn sum(&mut self, place: usize, width: usize) -> Result<Rows> {
        let terms = [self.input(place, 0), self.input(place, 1)];
        let awaited = terms.iter().rposition(|term| matches!(self.results[*term], Rows::Awaited));
        match awaited {
            Some(index) => {
                let residual = self.rows_of_input(place, 1 - index)?;
                self.dense(terms[index], Some(residual))
            }
            None => {
                let (from, other) = (self.rows_of_input(place, 0)?, self.rows_of_input(place, 1)?);
                let to = self.new_rows(width);
                Ok(self.row_step(RowStep::Add { from, other, to }, to))
            }
        }
    }

    /// A long short-term memory, together with the pools that read it: no state is kept longer than
    /// a step.
    fn recurrence(&mut self, place: usize, hidden: usize, reverse: bool) -> Result<()> {
        let recurrence = Recurrence::new(&self.plain(place, 2)?, hidden, reverse);
        let input = self.dense_weights(place)?;
        let columns = input.weight.len() / (4 * hidden).max(1);
        let dense = DenseWeights {
            weight: recurrence.input(&input.weight, columns),
            bias: recurrence.input(&input.bias, 1),
        };
        let (dense, width) = (dense.pack(), recurrence.gates());
        let gates = match self.source_of_input(place, 0)? {
            RowSource::Table(table) if table.values.len() / columns.max(1) * width <= LARGEST_TABLE => {
                let tokens = table.values.len() / columns.max(1);
                let mut values = vec![0.0; tokens * width];
                let rows = Matrix { values: &table.values, stride: table.width };
                dense.forward(tokens, rows, Residual::None, (&mut values, width), &mut RowBytes::default());
                RowSource::Table(Arc::new(Table { values, width }))
            }
            _ => {
                let (from, to) = (self.rows_of_input(place, 0)?, self.new_rows(width));
                self.row_step(RowStep::Dense { from, dense, residual: None, to }, to);
                RowSource::Rows(to)
            }
        };
        let (mut mean, mut max) = (None, None);
        for reader in self.readers[place].clone() {
            let column = match self.graph.nodes()[reader].op {
                Op::Sequence(SequenceOp::Pool(Pooling::Mean)) => &mut mean,
                Op::Sequence(SequenceOp::Pool(Pooling::Max)) => &mut max,
                _ => return self.refuse(reader),
            };
            if column.is_some() {
                return self.refuse(reader);
            }
            *column = self.columns[reader];
        }
        self.program.steps.push(Step::Recurrence { gates, recurrence, mean, max });
        Ok(())
    }

    /// The node whose result input `index` of a node is.
    fn input(&self, place: usize, index: usize) -> usize {
        self.origin[self.graph.nodes()[place].inputs[index].0]
    }

    fn source_of_input(&mut self, place: usize, index: usize) -> Result<RowSource> {
        let from = self.input(place, index);
        if let Rows::Awaited = self.results[from] {
            self.results[from] = self.dense(from, None)?;
        }
        match &self.results[from] {
            Rows::At(source) => Ok(source.clone()),
            _ => self.refuse(place),
        }
    }

    /// The rows of input `index`, written out where they are those of a table.
    fn rows_of_input(&mut self, place: usize, index: usize) -> Result<usize> {
        match self.source_of_input(place, index)? {
            RowSource::Rows(rows) => Ok(rows),
            RowSource::Table(from) => {
                let to = self.new_rows(from.width);
                self.program.steps.push(Step::Lookup { from, to });
                let input = self.input(place, index);
                self.results[input] = Rows::At(RowSource::Rows(to));
                Ok(to)
            }
        }
    }

    fn column_of_input(&self, place: usize, index: usize) -> Result<Column> {
        let column = self.columns[self.input(place, index)];
        column.map_or_else(|| self.refuse(place), Ok)
    }

    fn new_rows(&mut self, width: usize) -> usize {
        self.program.rows.push(RowMemory { width, block: false });
        self.program.rows.len() - 1
    }

    /// Adds a step whose result is `to` to those that are done block by block.
    fn row_step(&mut self, step: RowStep, to: usize) -> Rows {
        match self.program.steps.last_mut() {
            Some(Step::RowWise(steps)) => steps.push(step),
            _ => self.program.steps.push(Step::RowWise(vec![step])),
        }
        Rows::At(RowSource::Rows(to))
    }

    fn vector_step(&mut self, place: usize, step: impl FnOnce(Column) -> Step) -> Result<()> {
        match self.columns[place] {
            Some(column) => self.program.steps.push(step(column)),
            None => return self.refuse(place),
        }
        Ok(())
    }

    fn plain(&self, place: usize, index: usize) -> Result<Vec<f32>> {
        self.weights[place][index].flatten_all()?.to_vec1()
    }

    /// The first two values of a node.
    fn dense_weights(&self, place: usize) -> Result<DenseWeights> {
        Ok(DenseWeights { weight: self.plain(place, 0)?, bias: self.plain(place, 1)? })
    }

    fn norm_weights(&self, place: usize) -> Result<LayerNormWeights> {
        Ok(LayerNormWeights { weight: self.plain(place, 0)?, bias: self.plain(place, 1)? })
    }

    fn refuse<T>(&self, place: usize) -> Result<T> {
        let Node { name, .. } = &self.graph.nodes()[place];
        bail!("{name}: this layer cannot be served in a network over sequences")
    }
}
