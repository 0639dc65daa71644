//! A step of training on its way back: the gradients of all parameters, as the schedule says.

use std::ops::Range;

use rayon::prelude::*;

use super::compile::Unit;
use super::forward::{Step, piece, product, regroup, ungroup};
use super::layers::{self, size};
use super::schedule::{Backward, Epilogue, Part};
use crate::conv::{Fill, Source, Wanted, backward};
use crate::depthwise;
use crate::map::Map;
use crate::norm::{GradientEpilogue, Means, Sums};
use crate::simd::dispatch;

use super::compile::Work;

/// What a step reads and writes on its way back.
pub struct Gradients<'a> {
    /// (images, channels, rows, columns).
    pub images: &'a [f32],
    pub parameters: &'a [f32],
    /// Of the output.
    pub output: &'a [f32],
    /// Of the parameters.
    pub for_parameters: &'a mut [f32],
    /// Of the images, if the program was made for it.
    pub for_images: Option<&'a mut [f32]>,
}

impl Step {
    /// Fills in the gradients of parameters, which come as zeros, and of images.
    pub fn backward(&mut self, g: &mut Gradients) {
        let program = self.program.clone();
        for work in &program.schedule.backward {
            match work {
                Backward::Output(part) => {
                    let map = &program.values[program.output.value].map;
                    let source = Source::Planes(g.output);
                    self.write(part, map, g, |_, first, out| {
                        for (image, into) in out.chunks_exact_mut(map.image()).enumerate() {
                            dispatch(Fill { source: &source, image: first + image, map, into });
                        }
                    });
                }
                Backward::Combine { value, views, buffer, epilogue } => {
                    self.combine(*value, views, *buffer, epilogue, g);
                }
                Backward::Unit { unit, gradient, norm, parts } => {
                    self.unit_backward(*unit, *gradient, *norm, parts, g);
                }
                Backward::Images { gradient } => {
                    let map = &program.values[0].map;
                    let images = g
                        .for_images
                        .iter_mut()
                        .flat_map(|images| images.chunks_exact_mut(map.channels * map.height * map.width));
                    let from = self.values(*gradient).chunks_exact(map.image());
                    from.zip(images).for_each(|(from, image)| map.write(from, image));
                }
            }
        }
    }

    /// The gradient of a value as it is read.
    fn gradient_of(&self, value: usize, gradient: usize, norm: Option<usize>) -> Source<'_> {
        let gradient = self.values(gradient);
        match norm {
            None => Source::Places(gradient),
            Some(norm) => {
                let means = self.means[norm].as_ref().expect("a complete gradient was summed");
                Source::Gradient { gradient, values: self.values(value), norm: self.norm(norm), means }
            }
        }
    }

    /// What is done to a piece of a gradient of the size of `map`.
    fn epilogue<'a>(&'a self, epilogue: &Epilogue, map: &Map, images: &'a [f32]) -> GradientEpilogue<'a> {
        let values = |norm: &usize| (self.values(self.program.norms[*norm].value), self.norm(*norm));
        GradientEpilogue {
            activation: epilogue.activation.map(|(activation, view)| (activation, self.source(view, images))),
            norms: epilogue.norms.iter().map(values).collect(),
            bias: !epilogue.biases.is_empty(),
            size: size(map),
        }
    }

    /// Takes the sums over all pieces of a gradient to what they were gathered for.
    fn settle(&mut self, epilogue: &Epilogue, pieces: Vec<Option<Sums>>, g: &mut Gradients) {
        let mut pieces = pieces.into_iter().flatten();
        let Some(mut sums) = pieces.next() else { return };
        pieces.for_each(|piece| sums.add(&piece));
        for (index, norm) in epilogue.norms.iter().enumerate() {
            let (layer, applied) = (&self.program.norms[*norm], self.norm(*norm));
            let places = layer.scale.clone().zip(layer.shift.clone());
            for ((scale, shift), gradients) in places.zip(sums.gradients(index, applied)) {
                (g.for_parameters[scale], g.for_parameters[shift]) = gradients;
            }
            self.means[*norm] = Some(Means::new(&sums, index, applied));
        }
        for unit in &epilogue.biases {
            let into = &mut g.for_parameters[self.program.units[*unit].bias.clone()];
            into.iter_mut().zip(sums.plain()).for_each(|(into, sum)| *into = *sum as f32);
        }
    }

    /// Writes a gradient of the size of `map` piece by piece: `f` is given the step, the first image
    /// and the memory of each.
    fn write(
        &mut self,
        part: &Part,
        map: &Map,
        g: &mut Gradients,
        f: impl Fn(&Step, usize, &mut [f32]) + Sync,
    ) {
        let (place, mut memory) = self.take(part.buffer);
        let out = &mut memory[..place.size * self.batch];
        let step = &*self;
        let (images, epilogue) = (piece(map.image()), step.epilogue(&part.epilogue, map, g.images));
        let pieces = out.par_chunks_mut(images * map.image()).enumerate().map(|(at, out)| {
            f(step, at * images, out);
            epilogue.apply(at * images, out)
        });
        let pieces = pieces.collect();
        drop(epilogue);
        self.slots[place.slot] = memory;
        self.settle(&part.epilogue, pieces, g);
    }

    fn combine(
        &mut self,
        value: usize,
        views: &[(usize, Option<usize>)],
        buffer: usize,
        epilogue: &Epilogue,
        g: &mut Gradients,
    ) {
        let program = self.program.clone();
        let map = &program.values[value].map;
        let (place, mut memory) = self.take(buffer);
        let out = &mut memory[..place.size * self.batch];
        let step = &*self;
        let sources: Vec<_> = views.iter().map(|(at, norm)| step.gradient_of(value, *at, *norm)).collect();
        let (images, then) = (piece(map.image()), step.epilogue(epilogue, map, g.images));
        let pieces = out.par_chunks_mut(images * map.image()).enumerate().map(|(at, out)| {
            let (sources, first) = (&sources[..], at * images);
            dispatch(layers::Combine { sources, first, map, out: &mut *out });
            then.apply(first, out)
        });
        let pieces = pieces.collect();
        drop((then, sources));
        self.slots[place.slot] = memory;
        self.settle(epilogue, pieces, g);
    }

    /// The gradients of a unit's parameters and inputs.
    fn unit_backward(
        &mut self,
        index: usize,
        gradient: usize,
        norm: Option<usize>,
        parts: &[Option<Part>],
        g: &mut Gradients,
    ) {
        let program = self.program.clone();
        let Unit { work, inputs, .. } = &program.units[index];
        if product(*work).is_some() {
            return self.product_backward(index, gradient, norm, parts[0].as_ref(), g);
        }
        if let Work::Depthwise(_) = work {
            self.depthwise_weights(index, gradient, norm, g);
        }
        let mut before = 0;
        let (images, parameters) = (g.images, g.parameters);
        for (view, part) in inputs.iter().zip(parts) {
            let from = &program.values[view.value].map;
            if let Some(part) = part {
                self.write(part, from, g, |step, first, out| {
                    let mut packed = Default::default();
                    dispatch(layers::Backward {
                        work: *work,
                        gradient: &step.gradient_of(index, gradient, norm),
                        map: &program.values[index].map,
                        x: work.rereads_inputs().then(|| step.source(*view, images)),
                        extra: step.extra(index, parameters, &mut packed),
                        before,
                        earlier: part.earlier.map(|earlier| step.values(earlier)),
                        first,
                        from,
                        out,
                    });
                });
            }
            before += from.channels;
        }
    }

    fn product_backward(
        &mut self,
        index: usize,
        gradient: usize,
        norm: Option<usize>,
        part: Option<&Part>,
        g: &mut Gradients,
    ) {
        let program = self.program.clone();
        let Unit { work, inputs, weights, .. } = &program.units[index];
        let Some((window, groups)) = product(*work) else { return };
        let sizes = self.sizes(index, window);
        let all;
        let values = match groups {
            1 => &g.parameters[weights.clone()],
            _ => {
                all = ungroup(&g.parameters[weights.clone()], groups, sizes.outputs);
                &all[..]
            }
        };
        let mut taken = part.map(|part| self.take(part.buffer));
        let step = &*self;
        let from = &program.values[inputs[0].value].map;
        let none = Epilogue::default();
        let epilogue = step.epilogue(part.map_or(&none, |part| &part.epilogue), from, g.images);
        let then = |images: Range<usize>, out: &mut [f32]| epilogue.apply(images.start, out);
        let into = taken.as_mut().map(|(place, memory)| Wanted {
            out: &mut memory[..place.size * step.batch],
            residual: part.and_then(|part| part.earlier).map(|earlier| step.values(earlier)),
            then,
        });
        let (x, source) = (step.source(inputs[0], g.images), step.gradient_of(index, gradient, norm));
        let (for_weights, pieces) = backward(&sizes, &x, &source, values, into);
        drop((epilogue, x, source));
        let into = &mut g.for_parameters[weights.clone()];
        match groups {
            1 => into.copy_from_slice(&for_weights),
            _ => into.copy_from_slice(&regroup(&for_weights, groups, sizes.outputs)),
        }
        if let (Some((place, memory)), Some(part)) = (taken, part) {
            self.slots[place.slot] = memory;
            self.settle(&part.epilogue, pieces, g);
        }
    }

    fn depthwise_weights(&self, index: usize, gradient: usize, norm: Option<usize>, g: &mut Gradients) {
        let Unit { work: Work::Depthwise(window), inputs, weights, .. } = &self.program.units[index] else {
            return;
        };
        let values = &self.program.values;
        let (map, from) = (&values[index].map, &values[inputs[0].value].map);
        let (gradient, x) = (self.gradient_of(index, gradient, norm), self.source(inputs[0], g.images));
        let (images, count) = (piece(map.image()), window.taps() * map.depth);
        let pieces: Vec<usize> = (0..self.batch).step_by(images).collect();
        let part = |first: &usize| {
            let mut sums = vec![0.0; count];
            let images = *first..(first + images).min(self.batch);
            let (gradient, x) = (&gradient, &x);
            dispatch(layers::DepthwiseWeights { window, gradient, map, x, from, images, sums: &mut sums });
            sums
        };
        let parts: Vec<Vec<f32>> = pieces.par_iter().map(part).collect();
        let mut total = vec![0.0; count];
        for part in &parts {
            total.iter_mut().zip(part).for_each(|(total, sum)| *total += sum);
        }
        let into = &mut g.for_parameters[weights.clone()];
        depthwise::unpack(&total, window.taps(), map.depth, into);
    }
}
