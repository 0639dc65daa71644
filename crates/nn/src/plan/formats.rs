//! Which maps of a plan are of bytes.
//!
//! A convolution whose input has a range is computed over bytes. What it reads comes as bytes from the
//! layer before where that can make them and nobody needs the numbers; otherwise a step before it makes
//! them. What it is added to may be of either kind.

use candle_core::{Result, bail};

use super::Numerics;
use super::build::{Builder, Planned, Value, Work};
use super::ranges::{Ranges, residual};
use super::steps::Layer;
use crate::bytes::{self, ByteFilter, Levels};
use crate::simd::AlignedVec;
use crate::winograd::Winograd;

/// How the values of a map are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Format {
    /// In single precision.
    #[default]
    Floats,
    /// As bytes.
    Bytes(Levels),
    /// Rounded to half their length.
    Halves,
}

impl Format {
    /// Floats in the memory of so many values.
    pub fn floats(self, values: usize) -> usize {
        match self {
            Format::Floats => values,
            Format::Bytes(_) => values.div_ceil(4),
            Format::Halves => values.div_ceil(2),
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
            Format::Bytes(levels) => Some(levels),
            Format::Floats | Format::Halves => None,
        }
    }

    /// As what is added to the results of a convolution.
    pub fn added(self) -> bytes::Added {
        match self {
            Format::Floats => bytes::Added::Floats,
            Format::Halves => bytes::Added::Halves,
            Format::Bytes(levels) => bytes::Added::Bytes(levels),
        }
    }

    pub fn is_floats(self) -> bool {
        self == Format::Floats
    }
}

impl Builder {
    /// Decides which convolutions are over bytes, puts steps that make bytes where they are missing, and
    /// says how every value is kept.
    ///
    /// # Errors
    /// A range of no layer.
    pub(super) fn choose_formats(&mut self, numerics: &Numerics, output: Value) -> Result<Vec<Format>> {
        let ranges = &numerics.ranges;
        let names: Vec<&str> = self.layers.iter().filter_map(|layer| layer.name()).collect();
        let known = |name: &str| names.contains(&name) || names.iter().any(|own| residual(own) == name);
        if let Some(stranger) = ranges.keys().find(|name| !known(name)) {
            bail!("there is a range of \"{stranger}\", which is no convolution of the network");
        }
        for layer in &mut self.layers {
            let map = &self.maps[layer.from[0].0];
            layer.work = match std::mem::replace(&mut layer.work, Work::Layer(Layer::Copy)) {
                Work::Filter(name, filter)
                    if (ranges.contains_key(&name) && ByteFilter::suits(&filter))
                        || (numerics.halves && !Winograd::beats_halves(&filter, map)) =>
                {
                    Work::Bytes(name, filter)
                }
                other => other,
            };
        }
        let wanted = self.wanted(ranges, output);
        let mut formats = vec![Format::Floats; self.maps.len()];
        let mut made: Vec<(Value, Format, Value)> = Vec::new();
        for mut layer in std::mem::take(&mut self.layers) {
            if let Work::Bytes(name, _) = &layer.work
                && formats[layer.from[0].0].is_floats()
            {
                let (x, format) = (layer.from[0], read_as(ranges, name));
                let found = made.iter().find(|(from, of, _)| *from == x && *of == format);
                layer.from[0] = match found {
                    Some((.., value)) => *value,
                    None => {
                        let value = Value(self.maps.len());
                        self.maps.push(self.maps[x.0].clone());
                        formats.push(format);
                        let work = Work::Layer(format.levels().map_or(Layer::Halve, Layer::Quantise));
                        let (from, residual, activation) = (vec![x], None, None);
                        self.layers.push(Planned { work, from, residual, to: value, activation });
                        made.push((x, format, value));
                        value
                    }
                };
            }
            formats[layer.to.0] = match &layer.work {
                Work::Bytes(..) | Work::Depthwise(..) if ByteFilter::applies(layer.activation) => {
                    wanted[layer.to.0].unwrap_or_default()
                }
                Work::Layer(Layer::MaxPool(_)) if layer.activation.is_none() => formats[layer.from[0].0],
                _ => Format::Floats,
            };
            self.layers.push(layer);
        }
        Ok(formats)
    }

    /// How the readers of each value want it; nothing where one of them needs numbers.
    fn wanted(&self, ranges: &Ranges, output: Value) -> Vec<Option<Format>> {
        let mut wanted: Vec<Option<Format>> = vec![None; self.maps.len()];
        let mut numbers = vec![false; self.maps.len()];
        let mut averaged = vec![false; self.maps.len()];
        numbers[output.0] = true;
        for layer in self.layers.iter().rev() {
            match &layer.work {
                Work::Bytes(name, _) => {
                    let format = read_as(ranges, name);
                    wanted[layer.from[0].0].get_or_insert(format);
                    let Some(other) = layer.residual else { continue };
                    match (format, ranges.get(&residual(name))) {
                        (Format::Bytes(_), Some(range)) => {
                            wanted[other.0].get_or_insert(Format::Bytes(range.levels()));
                        }
                        (Format::Halves, _) => drop(wanted[other.0].get_or_insert(format)),
                        _ => numbers[other.0] = true,
                    }
                }
                // A pool makes bytes of bytes; the mean of bytes is a number.
                Work::Layer(Layer::MaxPool(_)) if layer.activation.is_none() => {
                    match wanted[layer.to.0]
                        .filter(|format| format.levels().is_some() && !numbers[layer.to.0])
                    {
                        Some(format) => drop(wanted[layer.from[0].0].get_or_insert(format)),
                        None => numbers[layer.from[0].0] = true,
                    }
                }
                // A mean is taken of bytes and of numbers, not of those of half the length.
                Work::Layer(Layer::GlobalAverage) => averaged[layer.from[0].0] = true,
                Work::Layer(_) | Work::Filter(..) | Work::Depthwise(..) => {
                    layer.from.iter().chain(&layer.residual).for_each(|value| numbers[value.0] = true);
                }
            }
        }
        for (at, wanted) in wanted.iter_mut().enumerate() {
            wanted.take_if(|format| numbers[at] || averaged[at] && *format == Format::Halves);
        }
        wanted
    }
}

/// How a convolution of less than single precision reads its input.
fn read_as(ranges: &Ranges, name: &str) -> Format {
    ranges.get(name).map_or(Format::Halves, |range| Format::Bytes(range.levels()))
}
