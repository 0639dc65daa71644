//! A network over sequences as it serves: its steps, and the memory that an engine keeps for them.
//!
//! A few sequences at a time go through all steps, so that their rows stay in cache and memory does
//! not grow with the batch. A recurrent network takes the whole batch, because its products have as
//! many rows as there are sequences.

use std::sync::Arc;

use candle_core::{Result, bail};

use super::SequenceInput;
use super::attention::{AttentionMemory, Rotation, attend, attention_pool};
use super::program::{Column, Program, RowSource, RowStep, Step};
use super::recurrence::{RecurrenceMemory, Span, longest_first};
use super::rows::{gelu_in_place, normalise, scale_and_shift};
use crate::bytes::RowBytes;
use crate::graph::Activation;
use crate::packed::{Matrix, Residual};

/// Tokens that go through the steps together, where one sequence does not have more.
const TOGETHER: usize = 256;

/// Rows of a block.
const BLOCK: usize = 48;

/// See the module's introduction. A clone shares the weights and has memory of its own.
#[derive(Clone)]
pub struct SequencePlan {
    program: Arc<Program>,
    /// Tokens that go through the steps together.
    together: usize,
    memory: Memory,
}

/// What a batch needs besides the weights.
#[derive(Clone, Default)]
struct Memory {
    tokens: Vec<u32>,
    lengths: Vec<usize>,
    order: Vec<Span>,
    rows: Vec<Vec<f32>>,
    /// One row a sequence.
    vectors: Vec<Vec<f32>>,
    /// Rows that are the result.
    kept: Vec<f32>,
    attention: AttentionMemory,
    rotations: Vec<Rotation>,
    recurrence: RecurrenceMemory,
    bytes: RowBytes,
}

impl SequencePlan {
    pub(super) fn new(program: Program) -> SequencePlan {
        let recurrent = program.steps.iter().any(|step| matches!(step, Step::Recurrence { .. }));
        let memory = Memory {
            rows: vec![Vec::new(); program.rows.len()],
            vectors: vec![Vec::new(); program.vectors.len()],
            ..Memory::default()
        };
        let together = if recurrent { usize::MAX } else { TOGETHER };
        SequencePlan { program: Arc::new(program), together, memory }
    }

    /// Number of dense layers over rows, and how many of them are in less than single precision.
    pub fn dense_layers(&self) -> (usize, usize) {
        self.program.dense_layers()
    }

    /// The logits of each sequence, in order; where the network's result is a row for every token, a sequence's
    /// rows one after the other.
    ///
    /// # Errors
    /// Sequences that the network cannot read: no tokens or too many, a token it does not know,
    /// other values.
    pub fn logits(&mut self, sequences: &[SequenceInput]) -> Result<Vec<Vec<f32>>> {
        let program = self.program.clone();
        program.check(sequences)?;
        let mut logits = Vec::with_capacity(sequences.len());
        let mut rest = sequences;
        while !rest.is_empty() {
            let mut tokens = 0usize;
            let fit = |sequence: &&SequenceInput| {
                tokens = tokens.saturating_add(sequence.tokens.len());
                tokens <= self.together
            };
            let count = rest.iter().take_while(fit).count().max(1);
            let (group, others) = rest.split_at(count);
            rest = others;
            self.memory.begin(&program, group);
            for step in &program.steps {
                self.memory.run(&program, step, group);
            }
            if program.by_row {
                let mut kept = &self.memory.kept[..];
                for sequence in group {
                    let (own, others) = kept.split_at(sequence.tokens.len() * program.labels);
                    logits.push(own.to_vec());
                    kept = others;
                }
                continue;
            }
            let Column { vectors, first } = program.logits;
            let all = self.memory.vectors[vectors].chunks_exact(program.vectors[vectors]);
            logits.extend(all.take(count).map(|row| row[first..first + program.labels].to_vec()));
        }
        Ok(logits)
    }
}

impl Program {
    fn check(&self, sequences: &[SequenceInput]) -> Result<()> {
        for SequenceInput { tokens, values } in sequences {
            if tokens.is_empty() || tokens.len() > self.most {
                bail!("a sequence of {} tokens, where 1 to {} are read", tokens.len(), self.most)
            }
            if let Some(token) = tokens.iter().find(|token| **token as usize >= self.vocabulary) {
                bail!("the token {token} in a vocabulary of {}", self.vocabulary)
            }
            if values.len() != self.values {
                bail!("a sequence with {} values, where {} are read", values.len(), self.values)
            }
        }
        Ok(())
    }
}

impl Memory {
    /// Makes room for a group of sequences.
    fn begin(&mut self, program: &Program, group: &[SequenceInput]) {
        self.tokens.clear();
        self.tokens.extend(group.iter().flat_map(|sequence| sequence.tokens));
        self.lengths.clear();
        self.lengths.extend(group.iter().map(|sequence| sequence.tokens.len()));
        for (rows, memory) in self.rows.iter_mut().zip(&program.rows) {
            let count = if memory.block { BLOCK } else { self.tokens.len() };
            rows.resize(count * memory.width, 0.0);
        }
        for (vectors, width) in self.vectors.iter_mut().zip(&program.vectors) {
            vectors.resize(group.len() * width, 0.0);
        }
    }

    fn run(&mut self, program: &Program, step: &Step, group: &[SequenceInput]) {
        let widths = &program.vectors;
        match step {
            Step::Lookup { from, to } => {
                let out = self.rows[*to].chunks_exact_mut(from.width);
                for (out, token) in out.zip(&self.tokens) {
                    out.copy_from_slice(&from.values[*token as usize * from.width..][..from.width]);
                }
            }
            Step::AddPositions { from, table, to } => {
                let width = program.rows[*to].width;
                let mut out = std::mem::take(&mut self.rows[*to]);
                let mut all = out.chunks_exact_mut(width).enumerate();
                for length in &self.lengths {
                    for ((place, out), position) in all.by_ref().take(*length).zip(table.chunks_exact(width))
                    {
                        let row = self.row(from, place, width);
                        out.iter_mut().zip(row.iter().zip(position)).for_each(|(out, (x, y))| *out = x + y);
                    }
                }
                self.rows[*to] = out;
            }
            Step::RowWise(steps) => {
                for first in (0..self.tokens.len()).step_by(BLOCK) {
                    let count = BLOCK.min(self.tokens.len() - first);
                    steps.iter().for_each(|step| self.run_rows(program, step, first, count));
                }
            }
            Step::Attention { heads, reach, from, to } => {
                let width = program.rows[*to].width;
                let mut out = std::mem::take(&mut self.rows[*to]);
                let (x, memory) = (&self.rows[*from], &mut self.attention);
                attend((*heads, *reach, None), &self.lengths, x, &mut out, width, memory);
                self.rows[*to] = out;
            }
            Step::RelativeAttention { heads, tables, from, to } => {
                let width = program.rows[*to].width;
                let mut out = std::mem::take(&mut self.rows[*to]);
                let (x, memory) = (&self.rows[*from], &mut self.attention);
                attend((*heads, usize::MAX, Some(tables)), &self.lengths, x, &mut out, width, memory);
                self.rows[*to] = out;
            }
            Step::Rotary { heads, base, from, to } => {
                let width = program.rows[*to].width / 3;
                let mut out = std::mem::take(&mut self.rows[*to]);
                if from != to {
                    out.copy_from_slice(&self.rows[*from]);
                }
                let half = width / heads / 2;
                if !self.rotations.iter().any(|rotation| rotation.is(*base, half)) {
                    self.rotations.push(Rotation::new(*base, half));
                }
                let own = self.rotations.iter_mut().find(|rotation| rotation.is(*base, half));
                if let Some(rotation) = own {
                    rotation.turn(&self.lengths, &mut out, width);
                }
                self.rows[*to] = out;
            }
            Step::Recurrence { gates, recurrence, mean, max } => {
                longest_first(self.lengths.iter().copied(), &mut self.order);
                let Memory { tokens, order, rows, vectors, recurrence: memory, .. } = self;
                let input = |place: usize| row(gates, tokens, rows, place, recurrence.gates());
                recurrence.pool(order, input, memory, |index, means, highest| {
                    for (column, values) in [(mean, means), (max, highest)] {
                        if let Some(Column { vectors: to, first }) = column {
                            let out = &mut vectors[*to][index * widths[*to] + first..];
                            out[..values.len()].copy_from_slice(values);
                        }
                    }
                });
            }
            Step::Pool { from, max, first, to } => {
                let width = match from {
                    RowSource::Table(table) => table.width,
                    RowSource::Rows(rows) => program.rows[*rows].width,
                };
                let mut out = std::mem::take(&mut self.vectors[to.vectors]);
                let mut start = 0;
                for (out, length) in out.chunks_exact_mut(widths[to.vectors]).zip(&self.lengths) {
                    let count = if *first { 1 } else { *length };
                    let rows = (start..start + count).map(|place| self.row(from, place, width));
                    pool(rows, *max, &mut out[to.first..to.first + width]);
                    start += length;
                }
                self.vectors[to.vectors] = out;
            }
            Step::AttentionPool { from, score, then, to } => {
                let width = score.len();
                let mut rows = &self.rows[*from][..];
                let out = self.vectors[to.vectors].chunks_exact_mut(widths[to.vectors]);
                for (out, length) in out.zip(&self.lengths) {
                    let (own, others) = rows.split_at(length * width);
                    rows = others;
                    let out = &mut out[to.first..to.first + width];
                    attention_pool(score, own, out, &mut self.attention);
                    if let Some(norm) = then {
                        scale_and_shift(out, norm);
                    }
                }
            }
            Step::Values { to } => {
                let out = self.vectors[to.vectors].chunks_exact_mut(widths[to.vectors]);
                for (out, sequence) in out.zip(group) {
                    out[to.first..to.first + sequence.values.len()].copy_from_slice(sequence.values);
                }
            }
            Step::Copy { from, width, to } => {
                let mut out = std::mem::take(&mut self.vectors[to.vectors]);
                let all = self.vectors[from.vectors].chunks_exact(widths[from.vectors]);
                for (out, vector) in out.chunks_exact_mut(widths[to.vectors]).zip(all) {
                    out[to.first..to.first + width].copy_from_slice(&vector[from.first..from.first + width]);
                }
                self.vectors[to.vectors] = out;
            }
            Step::Dense { from, dense, to } => {
                let mut out = std::mem::take(&mut self.vectors[to.vectors]);
                let x = &self.vectors[from.vectors][from.first..];
                let x = Matrix { values: x, stride: widths[from.vectors] };
                let to_rows = (&mut out[to.first..], widths[to.vectors]);
                dense.forward(group.len(), x, Residual::None, to_rows, &mut self.bytes);
                self.vectors[to.vectors] = out;
            }
            Step::NormaliseVector { from, norm, to } => {
                let width = norm.weight.len();
                let mut out = std::mem::take(&mut self.vectors[to.vectors]);
                let all = self.vectors[from.vectors].chunks_exact(widths[from.vectors]);
                for (out, vector) in out.chunks_exact_mut(widths[to.vectors]).zip(all) {
                    let out = &mut out[to.first..to.first + width];
                    normalise(&vector[from.first..from.first + width], width, out);
                    scale_and_shift(out, norm);
                }
                self.vectors[to.vectors] = out;
            }
            Step::Activate { kind, from, width, to } => {
                let mut out = std::mem::take(&mut self.vectors[to.vectors]);
                let all = self.vectors[from.vectors].chunks_exact(widths[from.vectors]);
                for (out, vector) in out.chunks_exact_mut(widths[to.vectors]).zip(all) {
                    let out = &mut out[to.first..to.first + width];
                    out.copy_from_slice(&vector[from.first..from.first + width]);
                    match kind {
                        Activation::Gelu => gelu_in_place(out),
                        Activation::Tanh => out.iter_mut().for_each(|x| *x = x.tanh()),
                        // What is no number stays none, which `max` would hide.
                        _ => out.iter_mut().filter(|x| **x < 0.0).for_each(|x| *x = 0.0),
                    }
                }
                self.vectors[to.vectors] = out;
            }
            Step::Keep { from } => {
                self.kept.clear();
                self.kept.extend_from_slice(&self.rows[*from]);
            }
            Step::BinaryLogits { from, to } => {
                for index in 0..group.len() {
                    let logit = self.vectors[from.vectors][index * widths[from.vectors] + from.first];
                    let out = &mut self.vectors[to.vectors][index * widths[to.vectors] + to.first..];
                    out[..2].copy_from_slice(&[0.0, logit]);
                }
            }
        }
    }

    /// One step over `count` rows from `first` on.
    fn run_rows(&mut self, program: &Program, step: &RowStep, first: usize, count: usize) {
        let range = |rows: usize| {
            let memory = program.rows[rows];
            let start = if memory.block { 0 } else { first * memory.width };
            start..start + count * memory.width
        };
        let to = match step {
            RowStep::Normalise { to, .. } | RowStep::Dense { to, .. } => *to,
            RowStep::Gelu { to, .. } | RowStep::GatedGelu { to, .. } | RowStep::Add { to, .. } => *to,
        };
        let width = program.rows[to].width;
        // Taken out while it is written to: what is read lies elsewhere, or is what is written over.
        let mut memory = std::mem::take(&mut self.rows[to]);
        let out = &mut memory[range(to)];
        let read = |rows: usize| &self.rows[rows][range(rows)];
        match step {
            RowStep::Normalise { from, then, .. } => {
                normalise(read(*from), width, out);
                if let Some(norm) = then {
                    out.chunks_exact_mut(width).for_each(|row| scale_and_shift(row, norm));
                }
            }
            RowStep::Dense { from, dense, residual, .. } => {
                let residual = match residual {
                    None => Residual::None,
                    Some(rows) if *rows == to => Residual::Output,
                    Some(rows) => Residual::Values(read(*rows)),
                };
                let x = Matrix { values: read(*from), stride: dense.inputs() };
                dense.forward(count, x, residual, (out, width), &mut self.bytes);
            }
            RowStep::Gelu { from, .. } => {
                if *from != to {
                    out.copy_from_slice(read(*from));
                }
                gelu_in_place(out);
            }
            RowStep::GatedGelu { from, .. } => {
                let both = || read(*from).chunks_exact(2 * width);
                out.chunks_exact_mut(width).zip(both()).for_each(|(out, x)| out.copy_from_slice(&x[..width]));
                gelu_in_place(out);
                for (out, x) in out.chunks_exact_mut(width).zip(both()) {
                    out.iter_mut().zip(&x[width..]).for_each(|(out, gate)| *out *= gate);
                }
            }
            RowStep::Add { from, other, .. } => {
                if *from != to {
                    out.copy_from_slice(read(*from));
                }
                out.iter_mut().zip(read(*other)).for_each(|(sum, value)| *sum += value);
            }
        }
        self.rows[to] = memory;
    }

    fn row<'a>(&'a self, from: &'a RowSource, place: usize, width: usize) -> &'a [f32] {
        row(from, &self.tokens, &self.rows, place, width)
    }
}

/// The row of the token at `place`.
fn row<'a>(
    from: &'a RowSource,
    tokens: &[u32],
    rows: &'a [Vec<f32>],
    place: usize,
    width: usize,
) -> &'a [f32] {
    match from {
        RowSource::Table(table) => &table.values[tokens[place] as usize * width..][..width],
        RowSource::Rows(index) => &rows[*index][place * width..][..width],
    }
}

/// Writes the mean or the maximum of `rows` to `out`.
fn pool<'a>(rows: impl ExactSizeIterator<Item = &'a [f32]>, max: bool, out: &mut [f32]) {
    let count = rows.len() as f32;
    out.fill(if max { f32::NEG_INFINITY } else { 0.0 });
    for row in rows {
        match max {
            // What is no number is not hidden: it counts as higher than any.
            true => out
                .iter_mut()
                .zip(row)
                .filter(|(out, x)| *x > *out || x.is_nan())
                .for_each(|(out, x)| *out = *x),
            false => out.iter_mut().zip(row).for_each(|(sum, x)| *sum += x),
        }
    }
    if !max {
        out.iter_mut().for_each(|sum| *sum /= count);
    }
}
