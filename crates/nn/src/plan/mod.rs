//! A network over images as it is served: a list of steps over memory that was laid out before.
//!
//! Training needs values that a gradient can go back over. Serving needs none. A plan is made once
//! from the description of a network and its values: normalisation is folded into weights, what
//! follows a convolution happens while its output is still in registers, channels come last
//! throughout, and maps that are not needed at the same time share memory. Running it allocates
//! nothing.

mod build;
mod calibrate;
mod depthwise;
mod formats;
mod fuse;
mod ranges;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Result, bail};

use super::graph::Graph;
use super::map::Map;
use super::simd::AlignedVec;
use formats::Format;
use steps::Step;

pub use calibrate::{Calibration, Clipping};
pub use ranges::{Range, Ranges};

/// How a plan computes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Numerics {
    /// Keep convolutions to the sums of their definition, at some cost in time.
    pub exact: bool,
    /// Convolutions whose inputs have a range here are over bytes; none for single precision throughout.
    pub ranges: Ranges,
    /// The others are over numbers of half the length (bfloat16), but for those that are faster in single
    /// precision.
    pub halves: bool,
}

/// A map and the memory it lies in.
#[derive(Debug)]
struct Place {
    slot: usize,
    map: Map,
    format: Format,
}

/// A piece of memory.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Floats of an image.
    floats: usize,
    format: Format,
}

/// A network ready to be run, the same for every engine.
#[derive(Debug)]
pub struct Plan {
    steps: Vec<Step>,
    input: Place,
    output: Place,
    slots: Vec<Slot>,
    scratch: usize,
    /// Images that go through the steps together.
    together: usize,
    /// Whether any map is of bytes.
    bytes: bool,
}

impl Plan {
    /// The network of `graph` with `weights` by name. `exact` keeps convolutions to the sums of their
    /// definition, at some cost in time.
    ///
    /// # Errors
    /// Weights that are missing or of another size; a layer that cannot be in a network over images.
    pub fn new(graph: &Graph, weights: &BTreeMap<String, Vec<f32>>, exact: bool) -> Result<Plan> {
        Plan::with(graph, weights, &Numerics { exact, ..Numerics::default() })
    }

    /// The same, with its way of computing.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn with(graph: &Graph, weights: &BTreeMap<String, Vec<f32>>, numerics: &Numerics) -> Result<Plan> {
        fuse::plan(graph, weights, numerics)
    }

    /// Names of the convolutions and dense layers, but for depthwise ones, in the order of their computation.
    pub fn convolutions(&self) -> Vec<String> {
        self.steps.iter().filter_map(|step| step.action.name().map(str::to_string)).collect()
    }

    /// How many of them are over less than single precision.
    pub fn lowered(&self) -> usize {
        self.steps.iter().filter(|step| step.action.is_lowered()).count()
    }

    /// Number of logits; of a network whose result is a map, of its values.
    pub fn labels(&self) -> usize {
        let Map { channels, height, width, .. } = self.output.map;
        channels * height * width
    }

    /// Values of one image, (channels, height, width).
    pub fn image(&self) -> usize {
        self.input.map.channels * self.input.map.height * self.input.map.width
    }
}

/// A plan with the memory it runs in: what one engine owns.
#[derive(Debug, Clone)]
pub struct Runner {
    plan: Arc<Plan>,
    maps: Vec<AlignedVec>,
    scratch: AlignedVec,
    /// Of one image, channels first.
    result: Vec<f32>,
}

impl Runner {
    /// Memory for `plan`.
    pub fn new(plan: Arc<Plan>) -> Runner {
        let maps = plan.slots.iter().map(|slot| slot.format.memory(slot.floats * plan.together)).collect();
        let scratch = AlignedVec::zeros(plan.scratch);
        let result = vec![0.0; plan.labels()];
        Runner { plan, maps, scratch, result }
    }

    /// The plan it runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Calls `answer` with the logits of every image, in order; an image is (channels, height,
    /// width) values.
    ///
    /// # Errors
    /// An image of another size.
    pub fn run<I: AsRef<[f32]>>(&mut self, images: &[I], answer: impl FnMut(&[f32])) -> Result<()> {
        self.watched(images, answer, |_, _, _| {})
    }

    /// The same; `watch` sees every step, the maps before it and the number of images.
    fn watched<I: AsRef<[f32]>>(
        &mut self,
        images: &[I],
        mut answer: impl FnMut(&[f32]),
        mut watch: impl FnMut(&Step, &[AlignedVec], usize),
    ) -> Result<()> {
        let plan = self.plan.clone();
        for images in images.chunks(plan.together) {
            let Place { slot, map, .. } = &plan.input;
            for (image, into) in images.iter().zip(self.maps[*slot].chunks_exact_mut(map.image())) {
                if image.as_ref().len() != plan.image() {
                    bail!("an image of {} values where {} are read", image.as_ref().len(), plan.image())
                }
                map.read(image.as_ref(), into);
            }
            for step in &plan.steps {
                watch(step, &self.maps, images.len());
                step.run(&mut self.maps, &mut self.scratch, images.len());
            }
            let Place { slot, map, .. } = &plan.output;
            for (image, values) in images.iter().zip(self.maps[*slot].chunks_exact(map.image())) {
                map.write(values, &mut self.result);
                // A byte stands for a number always: what is none would be hidden.
                if plan.bytes && image.as_ref().iter().any(|value| !value.is_finite()) {
                    self.result.fill(f32::NAN);
                }
                answer(&self.result);
            }
        }
        Ok(())
    }
}
