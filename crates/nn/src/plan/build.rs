//! The layers of a plan laid out in memory: zeros around maps, and maps that share memory.

use candle_core::{Result, bail};

use super::depthwise::{Before, Depthwise, Maker};
use super::formats::Format;
use super::steps::{Action, Added, Layer, Step};
use super::{Numerics, Place, Plan, Slot};
use crate::activation::Clip;
use crate::bytes::{self, ByteFilter, Instructions};
use crate::direct::{self, Direct};
use crate::filter::{Filter, Kernel};
use crate::graph::Activation;
use crate::map::Map;
use crate::simd::round_up;

/// Bytes of maps that are worked on before the next images are: what stays near the second cache.
const TOGETHER: usize = 2 << 20;

/// Weights that are read anew for every image, being more than the second cache holds, are read for as many
/// images at once.
const HEAVY: (usize, usize) = (1 << 20, 4);

/// A map on its way through a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value(pub(super) usize);

/// Collects layers in the order of their computation.
pub struct Builder {
    pub(super) maps: Vec<Map>,
    pub(super) layers: Vec<Planned>,
    exact: bool,
}

pub(super) struct Planned {
    pub work: Work,
    pub from: Vec<Value>,
    pub residual: Option<Value>,
    pub to: Value,
    pub activation: Option<Activation>,
}

pub(super) enum Work {
    /// A convolution of this name.
    Filter(String, Filter),
    /// The same over bytes.
    Bytes(String, Filter),
    /// A depthwise convolution, with the one that makes its input where they are computed together.
    Depthwise(Box<Depthwise>, Option<Box<Planned>>),
    Layer(Layer),
}

impl Planned {
    /// Of a convolution.
    pub fn name(&self) -> Option<&str> {
        match &self.work {
            Work::Filter(name, _) | Work::Bytes(name, _) => Some(name),
            Work::Depthwise(..) | Work::Layer(_) => None,
        }
    }
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
        (name, filter): (String, Filter),
        residual: Option<Value>,
        size: (usize, usize),
    ) -> Value {
        let to = Map::new(size.0, size.1, filter.outputs, round_up(filter.outputs));
        self.push(Work::Filter(name, filter), vec![x], residual, to)
    }

    /// A depthwise convolution, whose results lie like `to`.
    pub fn depthwise(&mut self, layer: Depthwise, x: Value, to: Map) -> Value {
        self.push(Work::Depthwise(Box::new(layer), None), vec![x], None, to)
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
    pub fn finish(mut self, output: Value, numerics: &Numerics) -> Result<Plan> {
        let formats = self.choose_formats(numerics, output)?;
        self.lay_out();
        self.join(output);
        let slot_of = self.slots(output, &formats);
        let mut slots = vec![Slot::default(); slot_of.iter().flatten().max().map_or(0, |most| most + 1)];
        for (value, slot) in slot_of.iter().enumerate() {
            if let Some(slot) = *slot {
                let floats = formats[value].floats(self.maps[value].image());
                slots[slot] = Slot { floats, format: formats[value] };
            }
        }
        let slot = |value: Value| slot_of[value.0].expect("memory of a value that a step reads or writes");
        let image: usize = slots.iter().map(|slot| slot.floats).sum();
        if self.maps.iter().any(|map| map.image() > u32::MAX as usize / 64) || image > u32::MAX as usize / 64
        {
            bail!("an image of {image} values is more than a plan can address")
        }
        let place = |value: Value| Place {
            slot: slot(value),
            map: self.maps[value.0].clone(),
            format: formats[value.0],
        };
        let mut scratch = 0;
        let mut weights = 0;
        let mut steps = Vec::with_capacity(self.layers.len());
        for Planned { work, from, residual, to, activation } in self.layers {
            let (from, to): (Vec<_>, _) = (from.into_iter().map(place).collect(), place(to));
            let mut activation = activation;
            let added = residual.map(|value| Added { slot: slot(value), format: formats[value.0] });
            let action = match work {
                Work::Filter(name, filter) => {
                    weights += filter.weights.len();
                    let kernel = Kernel::new(&filter, &from[0].map, &to.map, self.exact);
                    scratch = scratch.max(kernel.scratch());
                    let clip = Clip::take(&mut activation);
                    Action::Filter { name, kernel, residual: added.map(|added| added.slot), clip }
                }
                Work::Bytes(name, filter) => {
                    weights += filter.weights.len() / 4;
                    let applied = activation.take_if(|one| ByteFilter::applies(Some(*one)));
                    let kind = added.as_ref().map(|added| added.format.added());
                    let filter = byte_filter(&filter, &from[0], (&to.map, to.format), kind, applied);
                    Action::Bytes { name, filter, added }
                }
                Work::Depthwise(mut layer, before) => {
                    layer.clip = Clip::take(&mut activation);
                    layer.before = before.map(|before| {
                        let Planned { work, to, mut activation, .. } = *before;
                        let Map { height, width, channels, depth, .. } = self.maps[to.0];
                        let map = Map::new(height, width, channels, depth);
                        let (name, kernel) = match work {
                            Work::Filter(name, filter) => {
                                weights += filter.weights.len();
                                let clip = Clip::take(&mut activation);
                                (name, Maker::Direct(Direct::new(&filter, &from[0].map, &map), clip))
                            }
                            Work::Bytes(name, filter) => {
                                weights += filter.weights.len() / 4;
                                let to = (&map, Format::Floats);
                                (name, Maker::Bytes(byte_filter(&filter, &from[0], to, None, activation)))
                            }
                            Work::Depthwise(..) | Work::Layer(_) => unreachable!("products alone are joined"),
                        };
                        Before { name, kernel, map }
                    });
                    scratch = scratch.max(layer.scratch(&to.map));
                    Action::Depthwise(layer)
                }
                Work::Layer(layer) => Action::Layer(layer),
            };
            steps.push(Step { action, from, to, activation });
        }
        Ok(Plan {
            steps,
            input: place(Value(0)),
            output: place(output),
            slots,
            scratch,
            together: (TOGETHER / (4 * image.max(1))).clamp(if weights > HEAVY.0 { HEAVY.1 } else { 1 }, 32),
            bytes: formats.iter().any(|format| format.levels().is_some()),
        })
    }

    /// Puts a convolution into the depthwise one that alone reads its results, where these are many.
    fn join(&mut self, output: Value) {
        let mut readers = vec![0; self.maps.len()];
        readers[output.0] += 1;
        for layer in &self.layers {
            layer.from.iter().chain(&layer.residual).for_each(|value| readers[value.0] += 1);
        }
        let mut joined: Vec<Planned> = Vec::with_capacity(self.layers.len());
        for mut layer in std::mem::take(&mut self.layers) {
            if let Work::Depthwise(_, before) = &mut layer.work {
                let last = joined.pop_if(|last| {
                    let (x, to) = (&self.maps[last.from[0].0], &self.maps[last.to.0]);
                    let is_product = match &last.work {
                        Work::Filter(_, filter) => !Kernel::is_winograd(filter, x, to, self.exact),
                        Work::Bytes(..) => true,
                        Work::Depthwise(..) | Work::Layer(_) => false,
                    };
                    is_product
                        && last.to == layer.from[0]
                        && last.residual.is_none()
                        && readers[last.to.0] == 1
                        && ByteFilter::applies(last.activation)
                        && Depthwise::pays(to)
                });
                if let Some(last) = last {
                    layer.from.clone_from(&last.from);
                    *before = Some(Box::new(last));
                }
            }
            joined.push(layer);
        }
        self.layers = joined;
    }

    /// Widens the zeros around every map as its readers need; maps of one size get the same, so
    /// that they can be added place by place and share memory.
    fn lay_out(&mut self) {
        for layer in &self.layers {
            let to = self.maps[layer.to.0].clone();
            match &layer.work {
                Work::Filter(_, filter) => Kernel::make_room(filter, &mut self.maps[layer.from[0].0], &to),
                Work::Bytes(_, filter) => direct::make_room(filter, &mut self.maps[layer.from[0].0], &to),
                Work::Depthwise(..) | Work::Layer(_) => {}
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
    /// any more; none of what is made where it is read.
    fn slots(&self, output: Value, formats: &[Format]) -> Vec<Option<usize>> {
        let mut last_use = vec![0; self.maps.len()];
        for (time, layer) in self.layers.iter().enumerate() {
            layer.from.iter().chain(&layer.residual).for_each(|value| last_use[value.0] = time);
        }
        last_use[output.0] = self.layers.len();
        let mut slots: Vec<Option<usize>> = vec![None; self.maps.len()];
        slots[0] = Some(0);
        let mut free: Vec<(usize, (&Map, Format))> = Vec::new();
        let mut count = 1;
        for (time, layer) in self.layers.iter().enumerate() {
            let layout = (&self.maps[layer.to.0], formats[layer.to.0]);
            let slot = match free.iter().position(|(_, other)| *other == layout) {
                Some(at) => free.swap_remove(at).0,
                None => {
                    count += 1;
                    count - 1
                }
            };
            slots[layer.to.0] = Some(slot);
            let mut used: Vec<Value> = layer.from.iter().chain(&layer.residual).copied().collect();
            used.sort_by_key(|value| value.0);
            used.dedup();
            for value in used.into_iter().filter(|value| last_use[value.0] == time) {
                let layout = (&self.maps[value.0], formats[value.0]);
                free.extend(slots[value.0].map(|slot| (slot, layout)));
            }
        }
        slots
    }
}

/// A convolution over bytes or numbers of half the length, whose results go to a map of this layout and format.
fn byte_filter(
    filter: &Filter,
    from: &Place,
    (to, format): (&Map, Format),
    added: Option<bytes::Added>,
    activation: Option<Activation>,
) -> ByteFilter {
    match from.format {
        Format::Bytes(levels) => {
            let (x, out) = ((&from.map, levels), (to, format.levels()));
            ByteFilter::new(filter, x, out, added, activation, Instructions::best())
        }
        _ => ByteFilter::halves(filter, &from.map, to, activation, Instructions::halves()[0]),
    }
}

/// What maps must have in common to be added.
fn size(map: &Map) -> (usize, usize, usize, usize) {
    (map.height, map.width, map.channels, map.depth)
}
