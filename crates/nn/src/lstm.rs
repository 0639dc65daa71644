//! A long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et
//! al. 2000) over sequences of different lengths, forward and backward, without padding.
//!
//! The values of all sequences lie one after the other, so a short sequence beside a long one
//! costs nothing and changes nothing. The input projection of everything is one product outside
//! the recurrence. Inside, sequences are taken in groups, longest first: at each step those that
//! still run are the first rows of one small matrix, and the four gates are one product. The
//! gradient does not keep the gates; it computes them again from the states, which is one product
//! for the whole sequence, and then walks back in time. Groups are the same whatever the number
//! of cores, and so are the sums.

use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::activation::{sigmoid, tanh};
use super::matrix::{View, multiply};
use super::tensors::{slice, values};

/// Sequences in a group.
const GROUP: usize = 16;

/// The recurrence: `gates` (steps, 4 hidden) is the input's part of the gates, `recurrent`
/// (4 hidden, hidden) the weight of the state before. `mask` (sequences x hidden) multiplies the
/// state that enters a step. Differentiable in both tensors.
///
/// # Errors
/// Shapes that do not fit; a sequence of no steps.
pub fn lstm(
    gates: &Tensor,
    recurrent: &Tensor,
    lengths: &[usize],
    reverse: bool,
    mask: Option<Vec<f32>>,
    parallel: bool,
) -> Result<Tensor> {
    let (steps, width) = gates.dims2()?;
    let hidden = width / 4;
    if recurrent.dims() != [4 * hidden, hidden] || lengths.iter().sum::<usize>() != steps {
        bail!(
            "gates {:?}, weights {:?} and sequences of {} steps do not fit each other",
            gates.dims(),
            recurrent.dims(),
            lengths.iter().sum::<usize>()
        )
    }
    if lengths.contains(&0) {
        bail!("a sequence of no steps has no state")
    }
    let op = LstmOp { groups: groups(lengths, reverse, hidden, mask.as_deref()), hidden, parallel };
    gates.contiguous()?.apply_op2(&recurrent.contiguous()?, op)
}

/// Sequences that are worked on together, in the packed order: all that run at step 0, longest
/// first, then all that still run at step 1, and so on.
struct Group {
    /// Where the rows of step s begin, and after the last step where they end.
    steps: Vec<usize>,
    /// The place of each packed row among the rows of the tensor.
    places: Vec<usize>,
    /// Rows x hidden, in the order of the group.
    mask: Option<Vec<f32>>,
}

fn groups(lengths: &[usize], reverse: bool, hidden: usize, mask: Option<&[f32]>) -> Vec<Group> {
    let mut start = 0;
    let mut order: Vec<(usize, usize, usize)> = Vec::with_capacity(lengths.len());
    for (index, length) in lengths.iter().enumerate() {
        order.push((index, start, *length));
        start += length;
    }
    order.sort_by_key(|(index, _, length)| (std::cmp::Reverse(*length), *index));
    order.chunks(GROUP).map(|members| group(members, reverse, hidden, mask)).collect()
}

fn group(members: &[(usize, usize, usize)], reverse: bool, hidden: usize, mask: Option<&[f32]>) -> Group {
    let longest = members.first().map_or(0, |member| member.2);
    let mut steps = vec![0];
    let mut places = Vec::new();
    for step in 0..longest {
        let running = members.iter().take_while(|(_, _, length)| *length > step);
        places.extend(running.map(|(_, start, length)| match reverse {
            true => start + length - 1 - step,
            false => start + step,
        }));
        steps.push(places.len());
    }
    let rows = |mask: &[f32]| -> Vec<f32> {
        members.iter().flat_map(|(index, ..)| mask[index * hidden..][..hidden].iter().copied()).collect()
    };
    Group { steps, places, mask: mask.map(rows) }
}

impl Group {
    /// Packed copies of the rows of `values`, each of `width` values.
    fn gather(&self, values: &[f32], width: usize) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.places.len() * width);
        for place in &self.places {
            out.extend_from_slice(&values[place * width..][..width]);
        }
        out
    }

    /// `rows` times the mask, where there is one.
    fn masked(&self, rows: &mut [f32]) {
        if let Some(mask) = &self.mask {
            rows.iter_mut().zip(mask).for_each(|(x, m)| *x *= m);
        }
    }

    /// Packed states of every step.
    fn forward(&self, gates: &[f32], recurrent: View, hidden: usize) -> Vec<f32> {
        let mut gates = self.gather(gates, 4 * hidden);
        let mut states = vec![0.0; self.places.len() * hidden];
        let mut cells = vec![0.0; self.steps.get(1).copied().unwrap_or(0) * hidden];
        let mut before = Vec::new();
        for step in 0..self.steps.len() - 1 {
            let (from, to) = (self.steps[step], self.steps[step + 1]);
            let gates = &mut gates[from * 4 * hidden..to * 4 * hidden];
            if step > 0 {
                before.clear();
                before.extend_from_slice(&states[self.steps[step - 1] * hidden..][..(to - from) * hidden]);
                self.masked(&mut before);
                multiply(gates, View::new(&before, to - from, hidden), recurrent.transposed(), true);
            }
            let states = &mut states[from * hidden..to * hidden];
            for ((gates, cells), states) in
                gates.chunks_mut(4 * hidden).zip(cells.chunks_mut(hidden)).zip(states.chunks_mut(hidden))
            {
                activate(gates, hidden);
                let (i, rest) = gates.split_at(hidden);
                let (f, rest) = rest.split_at(hidden);
                let (g, o) = rest.split_at(hidden);
                for k in 0..hidden {
                    cells[k] = f[k] * cells[k] + i[k] * g[k];
                    states[k] = o[k] * tanh(cells[k]);
                }
            }
        }
        states
    }

    /// The state that enters each packed row, masked.
    fn entering(&self, states: &[f32], hidden: usize) -> Vec<f32> {
        let mut entering = vec![0.0; states.len()];
        for step in 1..self.steps.len() - 1 {
            let (from, to) = (self.steps[step] * hidden, self.steps[step + 1] * hidden);
            let rows = &mut entering[from..to];
            rows.copy_from_slice(&states[self.steps[step - 1] * hidden..][..to - from]);
            self.masked(rows);
        }
        entering
    }

    /// Packed gradient of the gates, and that of the recurrent weight.
    fn backward(
        &self,
        gates: &[f32],
        recurrent: View,
        states: &[f32],
        gradient: &[f32],
        hidden: usize,
    ) -> (Vec<f32>, Vec<f32>) {
        let rows = self.places.len();
        let mut gates = self.gather(gates, 4 * hidden);
        let entering = self.entering(&self.gather(states, hidden), hidden);
        multiply(&mut gates, View::new(&entering, rows, hidden), recurrent.transposed(), true);
        gates.chunks_mut(4 * hidden).for_each(|gates| activate(gates, hidden));
        let cells = self.cells(&gates, hidden);
        let mut by_state = self.gather(gradient, hidden);

        let first = self.steps.get(1).copied().unwrap_or(0);
        let mut by_cell = vec![0.0; first * hidden];
        let mut back = vec![0.0; first * hidden];
        for step in (0..self.steps.len() - 1).rev() {
            let (from, to) = (self.steps[step], self.steps[step + 1]);
            for row in from..to {
                let before = match step {
                    0 => None,
                    _ => Some(&cells[(self.steps[step - 1] + row - from) * hidden..][..hidden]),
                };
                cell_backward(
                    &mut gates[row * 4 * hidden..][..4 * hidden],
                    &cells[row * hidden..][..hidden],
                    before,
                    &by_state[row * hidden..][..hidden],
                    &mut by_cell[(row - from) * hidden..][..hidden],
                );
            }
            if step > 0 {
                let back = &mut back[..(to - from) * hidden];
                let by_gates = View::new(&gates[from * 4 * hidden..to * 4 * hidden], to - from, 4 * hidden);
                multiply(back, by_gates, recurrent, false);
                self.masked(back);
                let earlier = &mut by_state[self.steps[step - 1] * hidden..][..back.len()];
                earlier.iter_mut().zip(back).for_each(|(sum, x)| *sum += *x);
            }
        }
        let mut by_recurrent = vec![0.0; 4 * hidden * hidden];
        let by_gates = View::new(&gates, rows, 4 * hidden).transposed();
        multiply(&mut by_recurrent, by_gates, View::new(&entering, rows, hidden), false);
        (gates, by_recurrent)
    }

    /// The cell after each packed row, from the activated gates.
    fn cells(&self, gates: &[f32], hidden: usize) -> Vec<f32> {
        let mut cells = vec![0.0; self.places.len() * hidden];
        for step in 0..self.steps.len() - 1 {
            for row in self.steps[step]..self.steps[step + 1] {
                let (earlier, now) = cells.split_at_mut(row * hidden);
                let gates = &gates[row * 4 * hidden..][..4 * hidden];
                for k in 0..hidden {
                    now[k] = gates[k] * gates[2 * hidden + k];
                }
                if step > 0 {
                    let before = self.steps[step - 1] + row - self.steps[step];
                    for k in 0..hidden {
                        now[k] += gates[hidden + k] * earlier[before * hidden + k];
                    }
                }
            }
        }
        cells
    }
}

/// One row's gates: sigmoid of input, forget and output, hyperbolic tangent of the cell.
fn activate(gates: &mut [f32], hidden: usize) {
    gates[..2 * hidden].iter_mut().for_each(|x| *x = sigmoid(*x));
    gates[2 * hidden..3 * hidden].iter_mut().for_each(|x| *x = tanh(*x));
    gates[3 * hidden..].iter_mut().for_each(|x| *x = sigmoid(*x));
}

/// One row back: activated gates become their gradient before activation, `by_cell` that of the
/// cell of the step before.
fn cell_backward(
    gates: &mut [f32],
    cell: &[f32],
    before: Option<&[f32]>,
    by_state: &[f32],
    by_cell: &mut [f32],
) {
    let hidden = cell.len();
    let (i, rest) = gates.split_at_mut(hidden);
    let (f, rest) = rest.split_at_mut(hidden);
    let (g, o) = rest.split_at_mut(hidden);
    for k in 0..hidden {
        let squashed = tanh(cell[k]);
        let c = by_cell[k] + by_state[k] * o[k] * (1.0 - squashed * squashed);
        by_cell[k] = c * f[k];
        let earlier = before.map_or(0.0, |before| before[k]);
        let by_input = c * g[k] * i[k] * (1.0 - i[k]);
        f[k] = c * earlier * f[k] * (1.0 - f[k]);
        g[k] = c * i[k] * (1.0 - g[k] * g[k]);
        i[k] = by_input;
        o[k] = by_state[k] * squashed * o[k] * (1.0 - o[k]);
    }
}

struct LstmOp {
    groups: Vec<Group>,
    hidden: usize,
    parallel: bool,
}

impl LstmOp {
    /// One result a group, in the order of the groups.
    fn each<T: Send>(&self, f: impl Fn(&Group) -> T + Sync + Send) -> Vec<T> {
        match self.parallel {
            true => self.groups.par_iter().map(f).collect(),
            false => self.groups.iter().map(f).collect(),
        }
    }

    /// Puts packed rows where they belong.
    fn scatter<'a>(&self, packed: impl Iterator<Item = &'a Vec<f32>>, rows: usize, width: usize) -> Vec<f32> {
        let mut out = vec![0.0; rows * width];
        for (group, values) in self.groups.iter().zip(packed) {
            for (place, row) in group.places.iter().zip(values.chunks(width)) {
                out[place * width..][..width].copy_from_slice(row);
            }
        }
        out
    }
}

impl CustomOp2 for LstmOp {
    fn name(&self) -> &'static str {
        "lstm"
    }

    fn cpu_fwd(
        &self,
        gates: &CpuStorage,
        gates_layout: &Layout,
        recurrent: &CpuStorage,
        recurrent_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let hidden = self.hidden;
        let gates = slice(gates, gates_layout)?;
        let recurrent = View::new(slice(recurrent, recurrent_layout)?, 4 * hidden, hidden);
        let steps = gates.len() / (4 * hidden).max(1);
        let states = self.each(|group| group.forward(gates, recurrent, hidden));
        let out = self.scatter(states.iter(), steps, hidden);
        Ok((CpuStorage::F32(out), Shape::from((steps, hidden))))
    }

    fn bwd(
        &self,
        gates: &Tensor,
        recurrent: &Tensor,
        states: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let hidden = self.hidden;
        let steps = gates.dim(0)?;
        let tensors = [gates.contiguous()?, recurrent.contiguous()?, states.contiguous()?];
        let [all_gates, all_recurrent, all_states] =
            [values(&tensors[0])?, values(&tensors[1])?, values(&tensors[2])?];
        let gradient = gradient.contiguous()?;
        let by_states = values(&gradient)?;
        let (of_gates, of_states, by_states) = (&all_gates[..], &all_states[..], &by_states[..]);
        let view = View::new(&all_recurrent, 4 * hidden, hidden);
        let parts = self.each(|group| group.backward(of_gates, view, of_states, by_states, hidden));
        let by_gates = self.scatter(parts.iter().map(|part| &part.0), steps, 4 * hidden);
        let mut by_recurrent = vec![0.0f32; 4 * hidden * hidden];
        for (_, part) in &parts {
            by_recurrent.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        }
        Ok((
            Some(Tensor::from_vec(by_gates, gates.shape(), &Device::Cpu)?),
            Some(Tensor::from_vec(by_recurrent, recurrent.shape(), &Device::Cpu)?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use candle_core::Var;

    fn draw(shape: (usize, usize), seed: u64) -> Tensor {
        let mut rng = random::stream(seed, "lstm");
        let values: Vec<f32> = (0..shape.0 * shape.1).map(|_| random::normal(&mut rng)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn rows(tensor: &Tensor) -> Vec<Vec<f32>> {
        tensor.to_vec2().unwrap()
    }

    #[test]
    fn a_sequence_has_the_same_states_alone_and_among_others() {
        let recurrent = draw((12, 3), 1);
        let lengths = [4, 1, 7, 4];
        let gates = draw((16, 12), 2);
        for reverse in [false, true] {
            let together = rows(&lstm(&gates, &recurrent, &lengths, reverse, None, true).unwrap());
            let mut start = 0;
            for length in lengths {
                let own = gates.narrow(0, start, length).unwrap();
                let alone = rows(&lstm(&own, &recurrent, &[length], reverse, None, false).unwrap());
                for (a, b) in alone.iter().flatten().zip(together[start..start + length].iter().flatten()) {
                    assert!((a - b).abs() < 1e-6, "{a} {b}");
                }
                start += length;
            }
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let (lengths, hidden) = ([3usize, 1, 5], 2);
        let mask: Vec<f32> = vec![2.0, 0.0, 1.0, 1.0, 0.0, 2.0];
        let weights = draw((9, hidden), 3);
        for reverse in [false, true] {
            let loss = |gates: &Tensor, recurrent: &Tensor| {
                let states = lstm(gates, recurrent, &lengths, reverse, Some(mask.clone()), true).unwrap();
                (states * &weights).unwrap().sum_all().unwrap()
            };
            let gates = Var::from_tensor(&draw((9, 4 * hidden), 4)).unwrap();
            let recurrent = Var::from_tensor(&draw((4 * hidden, hidden), 5)).unwrap();
            let gradients = loss(&gates, &recurrent).backward().unwrap();
            for (var, first) in [(&gates, true), (&recurrent, false)] {
                let own = gradients.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let values = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                for place in 0..values.len() {
                    let shifted = |by: f32| {
                        let mut moved = values.clone();
                        moved[place] += by;
                        let moved = Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap();
                        let loss = if first { loss(&moved, &recurrent) } else { loss(&gates, &moved) };
                        loss.to_scalar::<f32>().unwrap()
                    };
                    let difference = (shifted(1e-2) - shifted(-1e-2)) / 2e-2;
                    assert!((difference - own[place]).abs() < 2e-3, "{place}: {difference} {}", own[place]);
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (gates, recurrent) = (draw((4, 8), 6), draw((8, 2), 7));
        assert!(lstm(&gates, &recurrent, &[3], false, None, false).is_err());
        assert!(lstm(&gates, &recurrent, &[4, 0], false, None, false).is_err());
        assert!(lstm(&gates, &draw((8, 3), 8), &[4], false, None, false).is_err());
    }
}
