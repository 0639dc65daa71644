//! The layers of a plan laid out in memory: zeros around maps, and maps that share memory.

use candle_core::{Result, bail};

use super::steps::{Action, Layer, Step};
use super::{Place, Plan};
use crate::filter::{Filter, Kernel};
use crate::graph::Activation;
use crate::map::Map;
use crate::simd::round_up;

/// Bytes of maps that are worked on before the next images are: what stays near the second cache.
const TOGETHER: usize = 2 << 20;

/// A map on its way through a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value(usize);

/// Collects layers in the order of their computation.
pub struct Builder {
    maps: Vec<Map>,
    layers: Vec<Planned>,
    exact: bool,
}

struct Planned {
    work: Work,
    from: Vec<Value>,
    residual: Option<Value>,
    to: Value,
    activation: Option<Activation>,
}

enum Work {
    Filter(Filter),
    Layer(Layer),
}

impl Builder {
    /// A network over images like `input`. `exact` keeps convolutions to the sums of their
    /// definition.
    pub fn new(input: Map, exact: bool) -> (Builder, Value) {
        (Builder { maps: vec![input], layers: Vec::new(), exact }, Value(0))
    }

    /// How a value lies.
    pub fn map(&self, value: Value) -> &Map {
        &self.maps[value.0]
    }

    /// A convolution or dense layer, and then what is added; its results have `size` rows and
    /// columns.
    pub fn filter(
        &mut self,
        x: Value,
        filter: Filter,
        residual: Option<Value>,
        size: (usize, usize),
    ) -> Value {
        let to = Map::new(size.0, size.1, filter.outputs, round_up(filter.outputs));
        self.push(Work::Filter(filter), vec![x], residual, to)
    }

    /// Any other layer, whose results lie like `to`.
    pub fn layer(&mut self, layer: Layer, from: Vec<Value>, to: Map) -> Value {
        self.push(Work::Layer(layer), from, None, to)
    }

    /// Applies `activation` to a value that nothing reads yet. False if there is one already.
    pub fn activate(&mut self, value: Value, activation: Activation) -> bool {
        match self.layers.iter_mut().find(|layer| layer.to == value) {
            Some(layer) if layer.activation.is_none() => {
                layer.activation = Some(activation);
                true
            }
            _ => false,
        }
    }

    fn push(&mut self, work: Work, from: Vec<Value>, residual: Option<Value>, to: Map) -> Value {
        let value = Value(self.maps.len());
        self.maps.push(to);
        self.layers.push(Planned { work, from, residual, to: value, activation: None });
        value
    }

    /// The plan whose result is `output`.
    ///
    /// # Errors
    /// More values than a plan can address.
    pub fn finish(mut self, output: Value) -> Result<Plan> {
        self.lay_out();
        let slots = self.slots(output);
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
        for Planned { work, from, residual, to, activation } in self.layers {
            let (from, to): (Vec<_>, _) = (from.into_iter().map(place).collect(), place(to));
            let mut activation = activation;
            let action = match work {
                Work::Filter(filter) => {
                    let kernel = Kernel::new(&filter, &from[0].map, &to.map, self.exact);
                    scratch = scratch.max(kernel.scratch());
                    let residual = residual.map(|residual| slots[residual.0]);
                    // The one activation that kernels apply to their results in registers.
                    let relu = activation.take_if(|one| *one == Activation::Relu).is_some();
                    Action::Filter { kernel, residual, relu }
                }
                Work::Layer(layer) => Action::Layer(layer),
            };
            steps.push(Step { action, from, to, activation });
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
                Kernel::make_room(filter, &mut self.maps[layer.from[0].0], &to);
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
    fn slots(&self, output: Value) -> Vec<usize> {
        let mut last_use = vec![0; self.maps.len()];
        for (time, layer) in self.layers.iter().enumerate() {
            layer.from.iter().chain(&layer.residual).for_each(|value| last_use[value.0] = time);
        }
        last_use[output.0] = self.layers.len();
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
            let mut used: Vec<Value> = layer.from.iter().chain(&layer.residual).copied().collect();
            used.sort_by_key(|value| value.0);
            used.dedup();
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
