//! A network over images as it is served: a list of steps over memory that was laid out before.
//!
//! Training needs a graph, and every operation a tensor of its own. Serving needs neither. A plan
//! is made once from the layers of a network: normalisation is folded into weights, what follows
//! a convolution happens while its output is still in registers, channels come last throughout,
//! and maps that are not needed at the same time share memory. Running it allocates nothing.

use std::sync::Arc;

use candle_core::{Result, bail};
use pulp::{Simd, WithSimd};

use super::filter::{Filter, Job, Kernel};
use super::map::Map;
use super::simd::{AlignedVec, dispatch, round_up};

/// Bytes of maps that are worked on before the next images are: what stays near the second cache.
const TOGETHER: usize = 2 << 20;

/// A value on its way through a network: a map, or a vector, which is a map of one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value(usize);

/// Collects the layers of a network in the order of their computation.
pub struct Builder {
    maps: Vec<Map>,
    layers: Vec<Layer>,
    exact: bool,
}

struct Layer {
    work: Work,
    from: Value,
    residual: Option<Value>,
    to: Value,
    relu: bool,
}

enum Work {
    Filter(Filter),
    MaxPool(usize),
    Average,
}

impl Builder {
    /// A network over images of (channels, height, width). `exact` keeps convolutions to the sums
    /// of their definition, at some cost in time.
    pub fn new(channels: usize, height: usize, width: usize, exact: bool) -> (Builder, Value) {
        // Three channels rounded up to sixteen would be five times the work.
        let input = Map::new(height, width, channels, channels);
        (Builder { maps: vec![input], layers: Vec::new(), exact }, Value(0))
    }

    /// A convolution or dense layer, then what is added, then a rectifier.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn filter(&mut self, x: Value, filter: Filter, residual: Option<Value>, relu: bool) -> Result<Value> {
        let from = &self.maps[x.0];
        if filter.inputs != from.channels {
            bail!("{} channels reach a filter of {}", from.channels, filter.inputs)
        }
        let (height, width) = filter.output(from.height, from.width)?;
        let to = Map::new(height, width, filter.outputs, round_up(filter.outputs));
        if let Some(residual) = residual
            && size(&self.maps[residual.0]) != size(&to)
        {
            bail!("a sum of maps of different sizes")
        }
        Ok(self.push(Work::Filter(filter), x, residual, to, relu))
    }

    /// A dense layer over everything that `x` holds: `weights` of (outputs, channels * rows * columns).
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn dense(&mut self, x: Value, weights: Vec<f32>, bias: Vec<f32>, relu: bool) -> Result<Value> {
        let Map { height, width, channels, .. } = self.maps[x.0];
        if weights.len() != bias.len() * channels * height * width {
            bail!("{} weights for {} outputs over {channels} x {height} x {width}", weights.len(), bias.len())
        }
        let filter = Filter {
            outputs: bias.len(),
            weights,
            bias,
            inputs: channels,
            kernel: (height, width),
            stride: 1,
            padding: 0,
            dilation: 1,
        };
        self.filter(x, filter, None, relu)
    }

    /// Maximum over windows of `side` x `side` without overlap; what does not fill one is left out.
    ///
    /// # Errors
    /// A map smaller than the window.
    pub fn max_pool(&mut self, x: Value, side: usize) -> Result<Value> {
        let Map { height, width, channels, depth, .. } = self.maps[x.0];
        if side == 0 || height < side || width < side {
            bail!("a pool of {side} x {side} does not fit an input of {height} x {width}")
        }
        let to = Map::new(height / side, width / side, channels, depth);
        Ok(self.push(Work::MaxPool(side), x, None, to, false))
    }

    /// Mean over rows and columns.
    pub fn average(&mut self, x: Value) -> Value {
        let Map { channels, depth, .. } = self.maps[x.0];
        self.push(Work::Average, x, None, Map::new(1, 1, channels, depth), false)
    }

    fn push(&mut self, work: Work, from: Value, residual: Option<Value>, to: Map, relu: bool) -> Value {
        let value = Value(self.maps.len());
        self.maps.push(to);
        self.layers.push(Layer { work, from, residual, to: value, relu });
        value
    }

    /// The plan whose logits are `output`.
    ///
    /// # Errors
    /// An output that is not a vector.
    pub fn finish(mut self, output: Value) -> Result<Plan> {
        if (self.maps[output.0].height, self.maps[output.0].width) != (1, 1) {
            bail!("logits are a vector, not a map")
        }
        self.lay_out();
        let slots = self.slots();
        let mut sizes = vec![0; slots.iter().max().map_or(0, |most| most + 1)];
        for (value, slot) in slots.iter().enumerate() {
            sizes[*slot] = self.maps[value].image();
        }
        let image: usize = sizes.iter().sum();
        if image > u32::MAX as usize / 64 {
            bail!("an image of {image} values is more than a plan can address")
        }
        let place = |value: Value| Place { slot: slots[value.0], map: self.maps[value.0].clone() };
        let mut scratch = 0;
        let mut steps = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let (from, to) = (place(layer.from), place(layer.to));
            let work = match &layer.work {
                Work::Filter(filter) => {
                    let kernel = Kernel::new(filter, &from.map, &to.map, self.exact);
                    scratch = scratch.max(kernel.scratch());
                    let residual = layer.residual.map(|residual| slots[residual.0]);
                    Action::Filter { kernel, residual, relu: layer.relu }
                }
                Work::MaxPool(side) => Action::MaxPool(*side),
                Work::Average => Action::Average,
            };
            steps.push(Step { action: work, from, to });
        }
        Ok(Plan {
            steps,
            input: place(Value(0)),
            output: place(output),
            sizes,
            scratch,
            together: (TOGETHER / (4 * image.max(1))).clamp(1, 32),
        })
    }

    /// Widens the zeros around every map as its readers need; maps of one size get the same, so
    /// that they can be added place by place and share memory.
    fn lay_out(&mut self) {
        for layer in &self.layers {
            if let Work::Filter(filter) = &layer.work {
                let to = self.maps[layer.to.0].clone();
                Kernel::make_room(filter, &mut self.maps[layer.from.0], &to);
            }
        }
        let before = self.maps.clone();
        for map in &mut self.maps {
            let own = size(map);
            for other in before.iter().filter(|other| size(other) == own) {
                map.make_room(other.before, other.height + other.below, other.width + other.behind);
            }
        }
    }

    /// The memory of each value: that of an earlier one of the same layout where nobody needs it
    /// any more.
    fn slots(&self) -> Vec<usize> {
        let mut last_use = vec![0; self.maps.len()];
        for (time, layer) in self.layers.iter().enumerate() {
            for value in [Some(layer.from), layer.residual].into_iter().flatten() {
                last_use[value.0] = time;
            }
        }
        let mut slots: Vec<usize> = vec![0];
        let mut free: Vec<(usize, &Map)> = Vec::new();
        let mut count = 1;
        for (time, layer) in self.layers.iter().enumerate() {
            let map = &self.maps[layer.to.0];
            let slot = match free.iter().position(|(_, other)| *other == map) {
                Some(at) => free.swap_remove(at).0,
                None => {
                    count += 1;
                    count - 1
                }
            };
            slots.push(slot);
            let mut used = vec![layer.from];
            used.extend(layer.residual.filter(|residual| *residual != layer.from));
            for value in used.into_iter().filter(|value| last_use[value.0] == time) {
                free.push((slots[value.0], &self.maps[value.0]));
            }
        }
        slots
    }
}

/// What maps must have in common to be added.
fn size(map: &Map) -> (usize, usize, usize, usize) {
    (map.height, map.width, map.channels, map.depth)
}

/// A map and the memory it lies in.
#[derive(Debug)]
struct Place {
    slot: usize,
    map: Map,
}

#[derive(Debug)]
struct Step {
    action: Action,
    from: Place,
    to: Place,
}

#[derive(Debug)]
enum Action {
    Filter { kernel: Kernel, residual: Option<usize>, relu: bool },
    MaxPool(usize),
    Average,
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
    /// Number of logits.
    pub fn labels(&self) -> usize {
        self.output.map.channels
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
}

impl Runner {
    /// Memory for `plan`.
    pub fn new(plan: Arc<Plan>) -> Runner {
        let maps = plan.sizes.iter().map(|size| AlignedVec::zeros(size * plan.together)).collect();
        let scratch = AlignedVec::zeros(plan.scratch);
        Runner { plan, maps, scratch }
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
                self.step(step, images.len());
            }
            let Place { slot, map } = &plan.output;
            for logits in self.maps[*slot].chunks_exact(map.image()).take(images.len()) {
                answer(&logits[map.place(0, 0, 0)..][..map.channels]);
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, images: usize) {
        let Step { action, from, to } = step;
        // Taken out while it is written to: the compiler then knows that nothing else is.
        let mut out = std::mem::take(&mut self.maps[to.slot]);
        let x = &self.maps[from.slot];
        match action {
            Action::Filter { kernel, residual, relu } => kernel.run(Job {
                from: &from.map,
                to: &to.map,
                images,
                x,
                residual: residual.map(|slot| &*self.maps[slot]),
                relu: *relu,
                out: &mut out,
                scratch: &mut self.scratch,
            }),
            Action::MaxPool(side) => {
                dispatch(MaxPool { from: &from.map, to: &to.map, images, x, side: *side, out: &mut out });
            }
            Action::Average => average(&from.map, &to.map, images, x, &mut out),
        }
        self.maps[to.slot] = out;
    }
}

struct MaxPool<'a> {
    from: &'a Map,
    to: &'a Map,
    images: usize,
    x: &'a [f32],
    side: usize,
    out: &'a mut [f32],
}

impl WithSimd for MaxPool<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let MaxPool { from, to, images, x, side, out } = self;
        for image in 0..images {
            for y in 0..to.height {
                for column in 0..to.width {
                    let out = &mut out[image * to.image() + to.place(y, column, 0)..][..to.depth];
                    out.fill(f32::NEG_INFINITY);
                    for window in 0..side * side {
                        let (dy, dx) = (window / side, window % side);
                        let at = image * from.image() + from.place(y * side + dy, column * side + dx, 0);
                        for (most, value) in out.iter_mut().zip(&x[at..at + from.depth]) {
                            // What is no number stays, and is taken wherever it comes up.
                            *most = if *most > *value || most.is_nan() { *most } else { *value };
                        }
                    }
                }
            }
        }
    }
}

fn average(from: &Map, to: &Map, images: usize, x: &[f32], out: &mut [f32]) {
    let scale = 1.0 / (from.height * from.width) as f32;
    for image in 0..images {
        let out = &mut out[image * to.image() + to.place(0, 0, 0)..][..to.depth];
        out.fill(0.0);
        for y in 0..from.height {
            let row = &x[image * from.image() + from.place(y, 0, 0)..][..from.width * from.depth];
            for place in row.chunks_exact(from.depth) {
                out.iter_mut().zip(place).for_each(|(sum, value)| *sum += value);
            }
        }
        out.iter_mut().for_each(|sum| *sum *= scale);
    }
}
