//! A step of training on its way forward, over memory that was laid out before.

use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::compile::{Program, Unit, Value, View, Work};
use super::layers::{self, Extra, size};
use super::schedule::Place;
use crate::conv::{Sizes, Source, forward};
use crate::depthwise;
use crate::map::Map;
use crate::norm::{Means, Moments, Norm};
use crate::simd::{AlignedVec, dispatch};
use crate::window::Window;

/// Floats that a core works on at a time.
const PIECE: usize = 32 * 1024;

/// A batch on its way through a program.
pub struct Step {
    pub program: Arc<Program>,
    pub batch: usize,
    /// Pieces of memory, each for the whole batch.
    pub slots: Vec<AlignedVec>,
    /// Of the batch, as far as the step has come.
    pub norms: Vec<Option<Norm>>,
    /// What the gradients of normalised values take beside those of their results.
    pub means: Vec<Option<Means>>,
    /// Of the values of each normalisation.
    pub moments: Vec<Moments>,
    /// (images, channels, rows, columns) of the network's results.
    pub output: Vec<f32>,
}

/// Images that a core works on at a time, of so many floats each.
pub fn piece(image: usize) -> usize {
    (PIECE / image.max(1)).max(1)
}

/// Weights of a convolution in groups as those of one over all channels, with zeros between groups.
pub fn ungroup(weights: &[f32], groups: usize, outputs: usize) -> Vec<f32> {
    let each = weights.len() / outputs;
    let mut all = vec![0.0; weights.len() * groups];
    for (output, weights) in weights.chunks_exact(each).enumerate() {
        let group = output / (outputs / groups);
        all[output * each * groups + group * each..][..each].copy_from_slice(weights);
    }
    all
}

/// The way back from [`ungroup`].
pub fn regroup(all: &[f32], groups: usize, outputs: usize) -> Vec<f32> {
    let each = all.len() / outputs / groups;
    let part = |output: usize| &all[output * each * groups + output / (outputs / groups) * each..][..each];
    (0..outputs).flat_map(|output| part(output).iter().copied()).collect()
}

/// The window of a unit that is a matrix product, and its groups.
pub fn product(work: Work) -> Option<(Window, usize)> {
    match work {
        Work::Conv(conv) => Some((conv.window, conv.groups)),
        Work::Dense => Some((Window::new(1), 1)),
        _ => None,
    }
}

impl Step {
    /// Runs a batch of (channels, rows, columns) images forward, in the memory of an earlier step.
    pub fn forward(
        program: Arc<Program>,
        mut slots: Vec<AlignedVec>,
        images: &[f32],
        parameters: &[f32],
        rng: &mut ChaCha8Rng,
    ) -> Step {
        let input = &program.values[0].map;
        let batch = images.len() / (input.channels * input.height * input.width);
        slots.resize_with(program.schedule.sizes.len(), AlignedVec::default);
        for (slot, size) in slots.iter_mut().zip(&program.schedule.sizes) {
            if slot.len() < size * batch {
                // Given back before the larger one is taken.
                *slot = AlignedVec::default();
                *slot = AlignedVec::zeros(size * batch);
            }
        }
        let norms = program.norms.len();
        let mut step = Step {
            batch,
            slots,
            norms: (0..norms).map(|_| None).collect(),
            means: (0..norms).map(|_| None).collect(),
            moments: vec![Moments::default(); norms],
            output: Vec::new(),
            program: program.clone(),
        };
        for index in 1..program.units.len() {
            step.mask(index, rng);
            step.unit(index, images, parameters);
        }
        step.output = step.read_output(images);
        step
    }

    /// The memory of a place.
    pub fn at(&self, place: Place) -> &[f32] {
        &self.slots[place.slot][..place.size * self.batch]
    }

    /// A value or gradient as it lies.
    pub fn values(&self, index: usize) -> &[f32] {
        self.at(self.program.schedule.places[index].expect("only the images have no place"))
    }

    /// Takes the memory of a value or gradient out while it is written to.
    pub fn take(&mut self, index: usize) -> (Place, AlignedVec) {
        let place = self.program.schedule.places[index].expect("only the images have no place");
        (place, std::mem::take(&mut self.slots[place.slot]))
    }

    /// How a view is read.
    pub fn source<'a>(&'a self, view: View, images: &'a [f32]) -> Source<'a> {
        if view.value == 0 {
            return Source::Planes(images);
        }
        let values = self.values(view.value);
        if view.is_plain() {
            return Source::Places(values);
        }
        Source::Applied { values, norm: view.norm.map(|norm| self.norm(norm)), activation: view.activation }
    }

    /// A normalisation whose values are there.
    pub fn norm(&self, index: usize) -> &Norm {
        self.norms[index].as_ref().expect("a value is normalised before it is read")
    }

    /// The sizes of a unit that is a matrix product.
    pub fn sizes(&self, unit: usize, window: Window) -> Sizes {
        let values = &self.program.values;
        let input = self.program.units[unit].inputs[0].value;
        Sizes::new(self.batch, &values[input].map, &values[unit].map, window)
    }

    /// What a layer reads besides its inputs; `packed` is filled with its weights and bias.
    pub fn extra<'a>(&'a self, unit: usize, parameters: &[f32], packed: &'a mut [Vec<f32>; 2]) -> Extra<'a> {
        let Unit { work, weights, bias, .. } = &self.program.units[unit];
        if let Work::Depthwise(window) = work {
            let depth = self.program.values[unit].map.depth;
            packed[0] = depthwise::pack(&parameters[weights.clone()], window.taps(), depth);
            packed[1] = parameters[bias.clone()].to_vec();
            packed[1].resize(depth, 0.0);
        }
        let mask = self.program.schedule.masks[unit].map_or(&[][..], |place| self.at(place));
        Extra { weights: &packed[0], bias: &packed[1], mask }
    }

    /// Draws which values dropout keeps.
    fn mask(&mut self, unit: usize, rng: &mut ChaCha8Rng) {
        let (Work::Dropout(rate), Some(place)) =
            (self.program.units[unit].work, self.program.schedule.masks[unit])
        else {
            return;
        };
        let Map { channels, height, width, depth, .. } = self.program.values[unit].map;
        let kept = 1.0 / (1.0 - rate);
        let mask = &mut self.slots[place.slot][..place.size * self.batch];
        mask.fill(0.0);
        for image in mask.chunks_exact_mut(height * width * depth) {
            for channel in 0..channels {
                let places = image[channel..].iter_mut().step_by(depth);
                places.for_each(|factor| *factor = if rng.random::<f32>() < rate { 0.0 } else { kept });
            }
        }
    }

    /// Makes a value.
    fn unit(&mut self, index: usize, images: &[f32], parameters: &[f32]) {
        let program = self.program.clone();
        let (Unit { work, inputs, weights, bias }, value) = (&program.units[index], &program.values[index]);
        let (place, mut memory) = self.take(index);
        let out = &mut memory[..place.size * self.batch];
        let then = |part: &mut [f32]| finish(value, part);
        let parts: Vec<Option<Moments>> = match product(*work) {
            Some((window, groups)) => {
                let sizes = self.sizes(index, window);
                let bias = (!bias.is_empty()).then(|| &parameters[bias.clone()]);
                let all;
                let weights = match groups {
                    1 => &parameters[weights.clone()],
                    _ => {
                        all = ungroup(&parameters[weights.clone()], groups, sizes.outputs);
                        &all[..]
                    }
                };
                forward(&sizes, &self.source(inputs[0], images), weights, bias, out, |_, part| then(part))
            }
            None => {
                let mut packed = Default::default();
                let extra = self.extra(index, parameters, &mut packed);
                let source = |view: &View| (self.source(*view, images), &program.values[view.value].map);
                let inputs: Vec<_> = inputs.iter().map(source).collect();
                let (map, images) = (&value.map, piece(value.map.image()));
                let work = |(at, out): (usize, &mut [f32])| {
                    let out_ = &mut *out;
                    let (first, inputs) = (at * images, &inputs[..]);
                    dispatch(layers::Forward { work: *work, inputs, extra, first, map, out: out_ });
                    then(out)
                };
                out.par_chunks_mut(images * map.image()).enumerate().map(work).collect()
            }
        };
        self.slots[place.slot] = memory;
        let mut parts = parts.into_iter().flatten();
        if let Some(mut moments) = parts.next() {
            parts.for_each(|part| moments.add(&part));
            for norm in &value.norms {
                let layer = &program.norms[*norm];
                let [scale, shift] = [&layer.scale, &layer.shift].map(|range| &parameters[range.clone()]);
                self.norms[*norm] = Some(Norm::new(&moments, layer.epsilon, scale, shift));
                self.moments[*norm] = moments.clone();
            }
        }
    }

    /// The results, channels first.
    fn read_output(&self, images: &[f32]) -> Vec<f32> {
        let view = self.program.output;
        let map = &self.program.values[view.value].map;
        let (source, each) = (self.source(view, images), map.channels * map.height * map.width);
        let mut output = vec![0.0; self.batch * each];
        output.par_chunks_exact_mut(each.max(1)).enumerate().for_each(|(image, out)| {
            let mut memory = crate::scratch::take(map.image());
            map.write(dispatch(Look { source: &source, image, map, memory: &mut memory }), out);
        });
        output
    }
}

/// What happens to a piece of a value while it is in cache.
fn finish(value: &Value, part: &mut [f32]) -> Option<Moments> {
    if let Some(activation) = value.activation {
        dispatch(Activate(activation, part));
    }
    (!value.norms.is_empty()).then(|| Moments::of(part, value.map.depth))
}

struct Activate<'a>(crate::Activation, &'a mut [f32]);

impl pulp::WithSimd for Activate<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        self.0.apply(simd, self.1);
    }
}

struct Look<'a> {
    source: &'a Source<'a>,
    image: usize,
    map: &'a Map,
    memory: &'a mut [f32],
}

impl<'a> pulp::WithSimd for Look<'a> {
    type Output = &'a [f32];
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) -> &'a [f32] {
        self.source.image(simd, self.image, size(self.map), self.memory)
    }
}
