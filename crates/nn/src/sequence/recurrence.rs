//! One direction of a long short-term memory, and the pooling of its states.
//!
//! The input's part of the gates is computed before, for all steps or for the whole vocabulary.
//! At each step the sequences that still run are the first rows of a small matrix, longest first:
//! one product adds the state's part to their gates, then one pass over the rows makes gates,
//! cells and states and takes the states into the sums and maxima of their sequences. No state is
//! kept longer than a step. Values are rounded up to whole vectors; those added stay zero.

use pulp::{Simd, WithSimd};

use crate::activation::{sigmoids, sigmoids_times_tanh};
use crate::packed::{Epilogue, Matrix, PackedWeights, Residual};
use crate::simd::{dispatch, round_up};

/// A sequence among others that lie one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Its place among them.
    pub index: usize,
    /// Its first step.
    pub start: usize,
    /// Its steps; at least one.
    pub length: usize,
}

/// Fills `order` with the sequences of these lengths, longest first.
pub fn longest_first(lengths: impl Iterator<Item = usize>, order: &mut Vec<Span>) {
    order.clear();
    let mut start = 0;
    order.extend(lengths.enumerate().map(|(index, length)| {
        start += length;
        Span { index, start: start - length, length }
    }));
    order.sort_unstable_by_key(|sequence| (std::cmp::Reverse(sequence.length), sequence.index));
}

/// A direction, ready to serve.
#[derive(Clone)]
pub struct Recurrence {
    recurrent: PackedWeights,
    hidden: usize,
    /// Values of a state, rounded up.
    width: usize,
    reverse: bool,
}

/// What a batch needs besides its input; kept from batch to batch.
#[derive(Clone, Default)]
pub struct RecurrenceMemory {
    gates: Vec<f32>,
    states: Vec<f32>,
    cells: Vec<f32>,
    sums: Vec<f32>,
    highest: Vec<f32>,
}

impl RecurrenceMemory {
    fn begin(&mut self, rows: usize, width: usize) {
        self.gates.resize(rows * 4 * width, 0.0);
        for (values, start) in [
            (&mut self.states, 0.0),
            (&mut self.cells, 0.0),
            (&mut self.sums, 0.0),
            (&mut self.highest, f32::NEG_INFINITY),
        ] {
            values.clear();
            values.resize(rows * width, start);
        }
    }
}

impl Recurrence {
    /// `recurrent` is (4 hidden, hidden), gates in the order input, forget, cell, output;
    /// `reverse` reads from the end.
    pub fn new(recurrent: &[f32], hidden: usize, reverse: bool) -> Recurrence {
        let recurrent = spread(recurrent, hidden, hidden);
        let width = round_up(hidden);
        Recurrence { recurrent: PackedWeights::new(&recurrent, 4 * width), hidden, width, reverse }
    }

    /// Values of a step's gates, rounded up: as many outputs as [`Recurrence::input`] gives rows.
    pub fn gates(&self) -> usize {
        4 * self.width
    }

    /// The input's weights or biases, (4 hidden, columns), with rows of zeros where a gate is
    /// rounded up.
    pub fn input(&self, values: &[f32], columns: usize) -> Vec<f32> {
        spread(values, self.hidden, columns)
    }

    /// Runs over all sequences, in the order of [`longest_first`]. `input` gives the input's part
    /// of a step's gates, as many as [`Recurrence::gates`]. `out` is called for every sequence
    /// with its place, the mean and the maximum of its states.
    pub fn pool<'a>(
        &self,
        sequences: &[Span],
        input: impl Fn(usize) -> &'a [f32],
        memory: &mut RecurrenceMemory,
        mut out: impl FnMut(usize, &[f32], &[f32]),
    ) {
        let (width, gates_width) = (self.width, self.gates());
        memory.begin(sequences.len(), width);
        let longest = sequences.first().map_or(0, |sequence| sequence.length);
        let mut running = sequences.len();
        for step in 0..longest {
            while sequences[running - 1].length <= step {
                running -= 1;
            }
            let gates = &mut memory.gates[..running * gates_width];
            for (gates, sequence) in gates.chunks_exact_mut(gates_width).zip(sequences) {
                let step = if self.reverse { sequence.length - 1 - step } else { step };
                gates.copy_from_slice(input(sequence.start + step));
            }
            if step > 0 {
                let epilogue = Epilogue { residual: Residual::Output, ..Epilogue::default() };
                let states = Matrix { values: &memory.states, stride: width };
                self.recurrent.multiply(running, states, epilogue, gates, gates_width);
            }
            dispatch(Step { rows: running, width, memory });
        }
        for (row, sequence) in sequences.iter().enumerate() {
            let own = row * width..row * width + self.hidden;
            let sums = &mut memory.sums[own.clone()];
            sums.iter_mut().for_each(|sum| *sum /= sequence.length as f32);
            out(sequence.index, sums, &memory.highest[own]);
        }
    }
}

/// Rows of four gates of `hidden` outputs each, every gate filled up with rows of zeros.
fn spread(values: &[f32], hidden: usize, columns: usize) -> Vec<f32> {
    let width = round_up(hidden);
    let mut out = vec![0.0; 4 * width * columns];
    for (out, gate) in out.chunks_exact_mut(width * columns).zip(values.chunks_exact(hidden * columns)) {
        out[..gate.len()].copy_from_slice(gate);
    }
    out
}

/// Gates, cells and states of the first rows, from their gates before their functions.
struct Step<'a> {
    rows: usize,
    width: usize,
    memory: &'a mut RecurrenceMemory,
}

impl WithSimd for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let RecurrenceMemory { gates, states, cells, sums, highest } = self.memory;
        // A width is a whole number of vectors, so none of these leaves a rest.
        let vectors = self.width / S::F32_LANES;
        let gates = S::as_simd_f32s(gates).0.chunks_exact(4 * vectors);
        let states = S::as_mut_simd_f32s(states).0.chunks_exact_mut(vectors);
        let cells = S::as_mut_simd_f32s(cells).0.chunks_exact_mut(vectors);
        let sums = S::as_mut_simd_f32s(sums).0.chunks_exact_mut(vectors);
        let highest = S::as_mut_simd_f32s(highest).0.chunks_exact_mut(vectors);
        let rows = gates.zip(states).zip(cells).zip(sums).zip(highest);
        for ((((gates, states), cells), sums), highest) in rows.take(self.rows) {
            for k in 0..vectors {
                let (input, forget) = (gates[k], gates[vectors + k]);
                let (cell, output) = (gates[2 * vectors + k], gates[3 * vectors + k]);
                let kept = simd.mul_f32s(sigmoids(simd, forget), cells[k]);
                cells[k] = simd.add_f32s(kept, sigmoids_times_tanh(simd, input, cell));
                let state = sigmoids_times_tanh(simd, output, cells[k]);
                states[k] = state;
                sums[k] = simd.add_f32s(sums[k], state);
                // A state that is no number becomes the highest, and nothing is higher than it.
                let higher = simd.select_f32s(simd.less_than_f32s(highest[k], state), state, highest[k]);
                highest[k] = simd.select_f32s(simd.equal_f32s(state, state), higher, state);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_no_number_is_the_highest() {
        // Of two steps the first alone, or the last alone, has a gate that is no number.
        for bad in 0..2 {
            let recurrence = Recurrence::new(&[0.0; 4], 1, false);
            let mut gates = vec![vec![0.5; recurrence.gates()]; 2];
            gates[bad].fill(f32::NAN);
            let mut order = Vec::new();
            longest_first([2].into_iter(), &mut order);
            let mut pooled = Vec::new();
            recurrence.pool(
                &order,
                |step| &gates[step],
                &mut RecurrenceMemory::default(),
                |_, mean, highest| {
                    pooled.extend([mean[0], highest[0]]);
                },
            );
            assert!(pooled.iter().all(|x| x.is_nan()), "{pooled:?}");
        }
    }
}
