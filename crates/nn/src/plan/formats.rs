//! Which maps of a plan are of bytes.
//!
//! A convolution whose input has a range is computed over bytes. What it reads comes as bytes from the
//! layer before where that can make them and nobody needs the numbers; otherwise a step before it makes
//! them. What it is added to may be of either kind.

use candle_core::{Result, bail};

use super::build::{Builder, Planned, Value, Work};
use super::ranges::{Ranges, residual};
use super::steps::Layer;
use crate::bytes::{ByteFilter, Levels};
use crate::simd::AlignedVec;

/// How the values of a map are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Format {
    /// In single precision.
    #[default]
    Floats,
    /// As bytes.
    Bytes(Levels),
}

impl Format {
    /// Floats in the memory of so many values.
    pub fn floats(self, values: usize) -> usize {
        match self {
            Format::Floats => values,
            Format::Bytes(_) => values.div_ceil(4),
        }
    }

    /// Memory of so many floats that holds zeros, and a few more: the last group of bytes of a row may end
    /// behind it.
    pub fn memory(self, floats: usize) -> AlignedVec {
        let mut memory = AlignedVec::zeros(floats + 4);
        if let Format::Bytes(levels) = self {
            bytemuck::cast_slice_mut(&mut memory).fill(levels.zero);
        }
        memory
    }

    /// Of bytes.
    pub fn levels(self) -> Option<Levels> {
        match self {
            Format::Floats => None,
            Format::Bytes(levels) => Some(levels),
        }
    }

    pub fn is_bytes(&self) -> bool {
        matches!(self, Format::Bytes(_))
    }

    pub fn is_floats(&self) -> bool {
        !self.is_bytes()
    }
}

impl Builder {
    /// Decides which convolutions are over bytes, puts steps that make bytes where they are missing, and
    /// says how every value is kept.
    ///
    /// # Errors
    /// A range of no layer.
    pub(super) fn choose_formats(&mut self, ranges: &Ranges, output: Value) -> Result<Vec<Format>> {
        let names: Vec<&str> = self.layers.iter().filter_map(|layer| layer.name()).collect();
        let known = |name: &str| names.contains(&name) || names.iter().any(|own| residual(own) == name);
        if let Some(stranger) = ranges.keys().find(|name| !known(name)) {
            bail!("there is a range of \"{stranger}\", which is no convolution of the network");
        }
        for layer in &mut self.layers {
            layer.work = match std::mem::replace(&mut layer.work, Work::Layer(Layer::Copy)) {
                Work::Filter(name, filter) if ranges.contains_key(&name) && ByteFilter::suits(&filter) => {
                    Work::Bytes(name, filter)
                }
                other => other,
            };
        }
        let wanted = self.wanted(ranges, output);
        let mut formats = vec![Format::Floats; self.maps.len()];
        let mut made: Vec<(Value, Levels, Value)> = Vec::new();
        for mut layer in std::mem::take(&mut self.layers) {
            if let Work::Bytes(name, _) = &layer.work
                && formats[layer.from[0].0].is_floats()
            {
                let (x, levels) = (layer.from[0], ranges[name].levels());
                let found = made.iter().find(|(from, of, _)| *from == x && *of == levels);
                layer.from[0] = match found {
                    Some((.., value)) => *value,
                    None => {
                        let value = Value(self.maps.len());
                        self.maps.push(self.maps[x.0].clone());
                        formats.push(Format::Bytes(levels));
                        let work = Work::Layer(Layer::Quantise(levels));
                        let (from, residual, activation) = (vec![x], None, None);
                        self.layers.push(Planned { work, from, residual, to: value, activation });
                        made.push((x, levels, value));
                        value
                    }
                };
            }
            formats[layer.to.0] = match &layer.work {
                Work::Bytes(..) if ByteFilter::applies(layer.activation) => {
                    wanted[layer.to.0].map_or(Format::Floats, Format::Bytes)
                }
                Work::Layer(Layer::MaxPool(_)) if layer.activation.is_none() => formats[layer.from[0].0],
                _ => Format::Floats,
            };
            self.layers.push(layer);
        }
        Ok(formats)
    }

    /// The levels of the bytes that each value's readers want; none where one of them needs numbers.
    fn wanted(&self, ranges: &Ranges, output: Value) -> Vec<Option<Levels>> {
        let mut wanted: Vec<Option<Levels>> = vec![None; self.maps.len()];
        let mut numbers = vec![false; self.maps.len()];
        numbers[output.0] = true;
        for layer in self.layers.iter().rev() {
            match &layer.work {
                Work::Bytes(name, _) => {
                    wanted[layer.from[0].0].get_or_insert(ranges[name].levels());
                    if let Some(other) = layer.residual {
                        match ranges.get(&residual(name)) {
                            Some(range) => drop(wanted[other.0].get_or_insert(range.levels())),
                            None => numbers[other.0] = true,
                        }
                    }
                }
                // A pool makes bytes of bytes; the mean of bytes is a number.
                Work::Layer(Layer::MaxPool(_)) if layer.activation.is_none() => {
                    match wanted[layer.to.0].filter(|_| !numbers[layer.to.0]) {
                        Some(levels) => drop(wanted[layer.from[0].0].get_or_insert(levels)),
                        None => numbers[layer.from[0].0] = true,
                    }
                }
                Work::Layer(Layer::GlobalAverage) => {}
                Work::Layer(_) | Work::Filter(..) => {
                    layer.from.iter().chain(&layer.residual).for_each(|value| numbers[value.0] = true);
                }
            }
        }
        let both = wanted.into_iter().zip(numbers);
        both.map(|(levels, numbers)| levels.filter(|_| !numbers)).collect()
    }
}
