//! A network over images as it is served: a list of steps over memory that was laid out before.
//!
//! Training needs values that a gradient can go back over. Serving needs none. A plan is made once
//! from the description of a network and its values: normalisation is folded into weights, what
//! follows a convolution happens while its output is still in registers, channels come last
//! throughout, and maps that are not needed at the same time share memory. Running it allocates
//! nothing.

mod build;
mod fuse;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Result, bail};

use super::graph::Graph;
use super::map::Map;
use super::simd::AlignedVec;
use steps::Step;

/// A map and the memory it lies in.
#[derive(Debug)]
struct Place {
    slot: usize,
    map: Map,
}

/// A network ready to be run, the same for every engine.
#[derive(Debug)]
pub struct Plan {
    steps: Vec<Step>,
    input: Place,
    output: Place,
    /// Floats of an image in each piece of memory.
    sizes: Vec<usize>,
    scratch: usize,
    /// Images that go through the steps together.
    together: usize,
}

impl Plan {
    /// The network of `graph` with `weights` by name. `exact` keeps convolutions to the sums of their
    /// definition, at some cost in time.
    ///
    /// # Errors
    /// Weights that are missing or of another size; a layer that cannot be in a network over images.
    pub fn new(graph: &Graph, weights: &BTreeMap<String, Vec<f32>>, exact: bool) -> Result<Plan> {
        fuse::plan(graph, weights, exact)
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
        let maps = plan.sizes.iter().map(|size| AlignedVec::zeros(size * plan.together)).collect();
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
    pub fn run<I: AsRef<[f32]>>(&mut self, images: &[I], mut answer: impl FnMut(&[f32])) -> Result<()> {
        let plan = self.plan.clone();
        for images in images.chunks(plan.together) {
            let Place { slot, map } = &plan.input;
            for (image, into) in images.iter().zip(self.maps[*slot].chunks_exact_mut(map.image())) {
                if image.as_ref().len() != plan.image() {
                    bail!("an image of {} values where {} are read", image.as_ref().len(), plan.image())
                }
                map.read(image.as_ref(), into);
            }
            for step in &plan.steps {
                step.run(&mut self.maps, &mut self.scratch, images.len());
            }
            let Place { slot, map } = &plan.output;
            for values in self.maps[*slot].chunks_exact(map.image()).take(images.len()) {
                map.write(values, &mut self.result);
                answer(&self.result);
            }
        }
        Ok(())
    }
}
