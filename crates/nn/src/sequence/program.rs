//! What a serving plan over sequences does, step by step, and the memory that its steps share.
//!
//! [`super::lower`] gives every result an index of its own. [`Program::assign_memory`] then lets
//! results that are not needed at the same time share memory, and finds those that only the steps
//! of one pass over blocks of rows see: they never need more memory than a block.

use std::sync::Arc;

use super::dense::{Dense, LayerNormWeights};
use super::recurrence::Recurrence;
use super::relative::RelativeTables;
use crate::graph::Activation;

/// One row for every token known.
pub struct Table {
    /// (vocabulary, width).
    pub values: Vec<f32>,
    /// Values of a row.
    pub width: usize,
}

/// Where the row of a token comes from.
#[derive(Clone)]
pub enum RowSource {
    /// It depends on the token alone.
    Table(Arc<Table>),
    /// A result.
    Rows(usize),
}

/// Where a vector lies: a result with one row a sequence, and the first of its columns there.
#[derive(Clone, Copy)]
pub struct Column {
    pub vectors: usize,
    pub first: usize,
}

pub enum Step {
    /// Writes the rows of a table.
    Lookup { from: Arc<Table>, to: usize },
    /// Adds the rows of `table`, (most tokens, width), by the places in the sequence.
    AddPositions { from: RowSource, table: Vec<f32>, to: usize },
    /// Steps that work on each row by itself, done one after the other on a block of rows.
    RowWise(Vec<RowStep>),
    /// Queries, keys and values to what the heads make of them.
    Attention { heads: usize, reach: usize, from: usize, to: usize },
    /// The same where scores also say how far apart two rows are.
    RelativeAttention { heads: usize, tables: RelativeTables, from: usize, to: usize },
    /// Turns queries and keys by their places.
    Rotary { heads: usize, base: f32, from: usize, to: usize },
    /// Runs over the gates' part that comes from the input.
    Recurrence { gates: RowSource, recurrence: Recurrence, mean: Option<Column>, max: Option<Column> },
    /// The mean, or the maximum, of a sequence's rows, or of its first row alone.
    Pool { from: RowSource, max: bool, first: bool, to: Column },
    /// The mean of a sequence's rows weighted by their products with `score`, scaled and shifted.
    AttentionPool { from: usize, score: Vec<f32>, then: Option<LayerNormWeights>, to: Column },
    /// Copies the values that belong to a sequence.
    Values { to: Column },
    /// Copies a vector.
    Copy { from: Column, width: usize, to: Column },
    /// A layer normalisation of vectors.
    NormaliseVector { from: Column, norm: LayerNormWeights, to: Column },
    /// A dense layer over vectors.
    Dense { from: Column, dense: Dense, to: Column },
    /// A function of each value of a vector.
    Activate { kind: Activation, from: Column, width: usize, to: Column },
    /// 0 and the value of a vector of one.
    BinaryLogits { from: Column, to: Column },
    /// Keeps rows as the result.
    Keep { from: usize },
}

pub enum RowStep {
    /// Mean 0 and variance 1; then a scale and a shift, where the layers that follow do not hold them.
    Normalise { from: usize, then: Option<LayerNormWeights>, to: usize },
    /// A dense layer, and what is added to its result.
    Dense { from: usize, dense: Dense, residual: Option<usize>, to: usize },
    /// The Gaussian error linear unit.
    Gelu { from: usize, to: usize },
    /// That of the first half of the columns, times the second.
    GatedGelu { from: usize, to: usize },
    /// A sum.
    Add { from: usize, other: usize, to: usize },
}

/// The rows of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowMemory {
    pub width: usize,
    /// Whether it holds a block of rows alone.
    pub block: bool,
}

pub struct Program {
    pub steps: Vec<Step>,
    /// The memory of rows, by the indices in the steps.
    pub rows: Vec<RowMemory>,
    /// Values of a vector, by the indices in the steps.
    pub vectors: Vec<usize>,
    /// Where the result lies, if it is one vector a sequence.
    pub logits: Column,
    /// Values of the result: of a sequence, or of each of its rows.
    pub labels: usize,
    /// Whether the result is a row for every token.
    pub by_row: bool,
    /// Tokens known.
    pub vocabulary: usize,
    /// Most tokens of a sequence.
    pub most: usize,
    /// Values that belong to a sequence.
    pub values: usize,
}

/// The rows that a step reads and writes.
#[derive(Default)]
struct Used<'a> {
    reads: Vec<&'a mut usize>,
    /// Whether the result may be written over the first that is read.
    in_place: bool,
    writes: Option<&'a mut usize>,
}

impl<'a> Used<'a> {
    fn new(reads: Vec<&'a mut usize>, in_place: bool, writes: &'a mut usize) -> Used<'a> {
        Used { reads, in_place, writes: Some(writes) }
    }
}

impl RowSource {
    fn used(&mut self) -> Vec<&mut usize> {
        match self {
            RowSource::Table(_) => Vec::new(),
            RowSource::Rows(rows) => vec![rows],
        }
    }
}

impl RowStep {
    fn used(&mut self) -> Used<'_> {
        match self {
            RowStep::Normalise { from, to, .. } | RowStep::GatedGelu { from, to } => {
                Used::new(vec![from], false, to)
            }
            RowStep::Dense { from, residual: None, to, .. } => Used::new(vec![from], false, to),
            RowStep::Dense { from, residual: Some(residual), to, .. } => {
                Used::new(vec![residual, from], true, to)
            }
            RowStep::Gelu { from, to } => Used::new(vec![from], true, to),
            RowStep::Add { from, other, to } => Used::new(vec![from, other], true, to),
        }
    }
}

impl Step {
    fn used(&mut self) -> Vec<Used<'_>> {
        let reads = |reads: Vec<_>| vec![Used { reads, ..Used::default() }];
        match self {
            Step::Lookup { to, .. } => vec![Used::new(Vec::new(), false, to)],
            Step::AddPositions { from, to, .. } => vec![Used::new(from.used(), false, to)],
            Step::RowWise(steps) => steps.iter_mut().map(RowStep::used).collect(),
            Step::Attention { from, to, .. } | Step::RelativeAttention { from, to, .. } => {
                vec![Used::new(vec![from], false, to)]
            }
            Step::Rotary { from, to, .. } => vec![Used::new(vec![from], true, to)],
            Step::Recurrence { gates: from, .. } | Step::Pool { from, .. } => reads(from.used()),
            Step::AttentionPool { from, .. } | Step::Keep { from } => reads(vec![from]),
            Step::Values { .. }
            | Step::Copy { .. }
            | Step::Dense { .. }
            | Step::Activate { .. }
            | Step::NormaliseVector { .. }
            | Step::BinaryLogits { .. } => Vec::new(),
        }
    }
}

impl Program {
    /// How many of the dense layers over rows there are, and how many of them are in less than single precision.
    pub fn dense_layers(&self) -> (usize, usize) {
        let row_wise = self.steps.iter().filter_map(|step| match step {
            Step::RowWise(steps) => Some(steps),
            _ => None,
        });
        row_wise.flatten().fold((0, 0), |(all, low), step| match step {
            RowStep::Dense { dense, .. } => (all + 1, low + usize::from(dense.is_low())),
            _ => (all, low),
        })
    }

    /// Gives results memory, and lets them share it; see the module's introduction.
    pub fn assign_memory(&mut self) {
        let count = self.rows.len();
        let (mut last_use, mut written, mut block) = (vec![0; count], vec![0; count], vec![true; count]);
        let mut time = 0;
        for (place, step) in self.steps.iter_mut().enumerate() {
            let row_wise = matches!(step, Step::RowWise(_));
            for used in step.used() {
                for rows in used.reads {
                    last_use[*rows] = time;
                    block[*rows] &= row_wise && written[*rows] == place;
                }
                if let Some(rows) = used.writes {
                    written[*rows] = place;
                    block[*rows] &= row_wise;
                }
                time += 1;
            }
        }
        let of = |rows: usize| RowMemory { width: self.rows[rows].width, block: block[rows] };
        let mut all: Vec<RowMemory> = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        let mut assigned = vec![0; count];
        let mut time = 0;
        for step in &mut self.steps {
            for Used { reads, in_place, writes } in step.used() {
                let mut ended: Vec<usize> = reads.iter().map(|rows| **rows).collect();
                ended.sort_unstable();
                ended.dedup();
                ended.retain(|rows| last_use[*rows] == time);
                if let Some(writes) = writes {
                    let over = reads.first().map(|rows| **rows).filter(|rows| {
                        let own = reads.iter().filter(|other| **other == rows).count() == 1;
                        in_place && own && ended.contains(rows) && of(*rows) == of(*writes)
                    });
                    let memory = match over {
                        Some(rows) => {
                            ended.retain(|other| *other != rows);
                            assigned[rows]
                        }
                        None => match free.iter().position(|memory| all[*memory] == of(*writes)) {
                            Some(place) => free.swap_remove(place),
                            None => {
                                all.push(of(*writes));
                                all.len() - 1
                            }
                        },
                    };
                    assigned[*writes] = memory;
                    *writes = memory;
                }
                free.extend(ended.into_iter().map(|rows| assigned[rows]));
                reads.into_iter().for_each(|rows| *rows = assigned[*rows]);
                time += 1;
            }
        }
        self.rows = all;
    }
}
