//! The steps of a plan, each over a few images.

use pulp::{Simd, WithSimd};

use super::Place;
use super::depthwise::{Depthwise, Maker};
use super::formats::Format;
use crate::activation::Clip;
use crate::bytes::{self, ByteArgs, ByteFilter, Levels, Output};
use crate::filter::{ConvArgs, Kernel};
use crate::graph::{Activation, Interpolation};
use crate::map::{Image, ImageMut, Map};
use crate::simd::{AlignedVec, dispatch};
use crate::window::Window;
use crate::{pooling, reshape, tokens};

/// One layer, with what was fused into it.
#[derive(Debug)]
pub struct Step {
    pub action: Action,
    pub from: Vec<Place>,
    pub to: Place,
    /// Applied to the results.
    pub activation: Option<Activation>,
}

/// What a step computes.
#[derive(Debug)]
pub enum Action {
    Filter {
        /// Of the layer.
        name: String,
        kernel: Kernel,
        /// Memory of what is added to the results.
        residual: Option<usize>,
        clip: Clip,
    },
    /// A convolution over bytes or numbers of half the length.
    Bytes {
        /// Of the layer.
        name: String,
        filter: ByteFilter,
        added: Option<Added>,
    },
    Depthwise(Box<Depthwise>),
    Layer(Layer),
}

impl Action {
    /// Name of the convolution in it; of a depthwise one's, that which makes its input with it.
    pub fn name(&self) -> Option<&str> {
        match self {
            Action::Filter { name, .. } | Action::Bytes { name, .. } => Some(name),
            Action::Depthwise(layer) => layer.before.as_ref().map(|before| &*before.name),
            Action::Layer(_) => None,
        }
    }

    /// True where that is over less than single precision.
    pub fn is_lowered(&self) -> bool {
        match self {
            Action::Bytes { .. } => true,
            Action::Depthwise(layer) => {
                layer.before.as_ref().is_some_and(|before| matches!(before.kernel, Maker::Bytes(_)))
            }
            _ => false,
        }
    }

    /// The memory of what is added to its results.
    pub fn residual(&self) -> Option<usize> {
        match self {
            Action::Filter { residual, .. } => *residual,
            _ => None,
        }
    }
}

/// What is added to the results of a convolution.
#[derive(Debug)]
pub struct Added {
    pub slot: usize,
    pub format: Format,
}

/// A layer that is no convolution.
#[derive(Debug, Clone)]
pub enum Layer {
    MaxPool(Window),
    AveragePool(Window),
    GlobalAverage,
    Add,
    AddVector,
    Concat,
    Upsample(usize, Interpolation),
    Flatten,
    /// Over the channels of each place.
    ChannelNorm {
        epsilon: f32,
        scale: Vec<f32>,
        shift: Vec<f32>,
    },
    Tokens {
        class: Vec<f32>,
        positions: Vec<f32>,
    },
    /// Of so many heads.
    SelfAttention(usize),
    First,
    Copy,
    /// Numbers become bytes of these levels.
    Quantise(Levels),
    /// Numbers are rounded to half their length.
    Halve,
}

impl Step {
    pub fn run(&self, maps: &mut [AlignedVec], scratch: &mut [f32], images: usize) {
        let Step { action, from, to, activation } = self;
        // Taken out while it is written to: the compiler then knows that nothing else is.
        let mut out = std::mem::take(&mut maps[to.slot]);
        match action {
            Action::Filter { kernel, residual, clip, .. } => kernel.run(ConvArgs {
                from: &from[0].map,
                to: &to.map,
                images,
                x: &maps[from[0].slot],
                residual: residual.map(|slot| &*maps[slot]),
                clip: *clip,
                out: &mut out,
                scratch,
            }),
            Action::Bytes { filter, added, .. } => {
                filter.run(ByteArgs {
                    from: &from[0].map,
                    to: &to.map,
                    images,
                    x: bytemuck::cast_slice(&maps[from[0].slot]),
                    added: added.as_ref().map(|added| (&*maps[added.slot], added.format.added())),
                    out: match to.format {
                        Format::Bytes(_) => Output::Bytes(bytemuck::cast_slice_mut(&mut out)),
                        Format::Halves => Output::Halves(bytemuck::cast_slice_mut(&mut out)),
                        Format::Floats => Output::Floats(&mut out),
                    },
                });
            }
            Action::Depthwise(layer) => {
                layer.run((&from[0], &maps[from[0].slot]), (to, &mut out), images, scratch);
            }
            Action::Layer(layer) => {
                let out = &mut out;
                dispatch(RunLayer { layer, from, maps, to, images, out });
            }
        }
        if let Some(activation) = *activation {
            dispatch(Activate { activation, map: &to.map, images, values: &mut out });
        }
        maps[to.slot] = out;
    }
}

struct RunLayer<'a> {
    layer: &'a Layer,
    from: &'a [Place],
    maps: &'a [AlignedVec],
    to: &'a Place,
    images: usize,
    out: &'a mut [f32],
}

impl WithSimd for RunLayer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let RunLayer { layer, from, maps, to: place, images, out } = self;
        let to = &place.map;
        for image in 0..images {
            if !from[0].format.is_floats() || !place.format.is_floats() {
                run_bytes(layer, (&from[0], &maps[from[0].slot]), (place, out), image);
                continue;
            }
            let input = |place: &Place| &maps[place.slot][image * place.map.image()..][..place.map.image()];
            let x = Image { map: &from[0].map, values: input(&from[0]) };
            let mut out = ImageMut { map: to, values: &mut out[image * to.image()..][..to.image()] };
            match layer {
                Layer::MaxPool(window) => pooling::max(window, x, out),
                Layer::AveragePool(window) => pooling::average(window, x, out),
                Layer::GlobalAverage => pooling::global_average(x, out),
                Layer::Upsample(factor, method) => reshape::upsample(*factor, *method, x, out),
                Layer::Flatten => reshape::flatten(x, out),
                Layer::ChannelNorm { epsilon, scale, shift } => {
                    tokens::layer_norm(*epsilon, scale, shift, x, out);
                }
                Layer::Tokens { class, positions } => tokens::tokens(class, positions, x, out),
                Layer::SelfAttention(heads) => tokens::attention(*heads, x, out),
                Layer::First => tokens::first(x, out),
                Layer::Copy => reshape::concat(x, 0, out),
                Layer::AddVector => {
                    reshape::concat(x, 0, ImageMut { map: to, values: &mut *out.values });
                    let vector = Image { map: &from[1].map, values: input(&from[1]) };
                    reshape::add_vector(vector.at(0, 0), out);
                }
                Layer::Quantise(_) | Layer::Halve => unreachable!("its result is no number"),
                Layer::Concat => {
                    let mut before = 0;
                    for place in from {
                        let x = Image { map: &place.map, values: input(place) };
                        let out = ImageMut { map: to, values: &mut *out.values };
                        reshape::concat(x, before, out);
                        before += place.map.channels;
                    }
                }
                Layer::Add => {
                    let other = Image { map: &from[1].map, values: input(&from[1]) };
                    for (row, column) in to.places() {
                        let values = x.at(row, column).iter().zip(other.at(row, column));
                        let out = out.at(row, column).iter_mut();
                        out.zip(values).for_each(|(out, (a, b))| *out = a + b);
                    }
                }
            }
        }
    }
}

/// One image through a layer that reads or makes bytes.
#[inline(always)]
fn run_bytes(layer: &Layer, (from, x): (&Place, &[f32]), (to, out): (&Place, &mut [f32]), image: usize) {
    let (own, result) = (image * from.map.image(), image * to.map.image());
    let bytes = || &bytemuck::cast_slice::<f32, u8>(x)[own..][..from.map.image()];
    match (layer, from.format) {
        (Layer::Quantise(levels), Format::Floats) => {
            let out = &mut bytemuck::cast_slice_mut(out)[result..];
            bytes::quantise(&from.map, *levels, &x[own..], out);
        }
        (Layer::Halve, Format::Floats) => {
            bytes::halve(&from.map, &x[own..], &mut bytemuck::cast_slice_mut(out)[result..]);
        }
        (Layer::MaxPool(window), Format::Bytes(_)) => {
            let out = &mut bytemuck::cast_slice_mut(out)[result..];
            bytes::max_pool(window, &from.map, bytes(), &to.map, out);
        }
        (Layer::GlobalAverage, Format::Bytes(levels)) => {
            bytes::global_average(&from.map, levels, bytes(), &mut out[result..]);
        }
        (layer, _) => unreachable!("{layer:?} is given numbers"),
    }
}

struct Activate<'a> {
    activation: Activation,
    map: &'a Map,
    images: usize,
    values: &'a mut [f32],
}

impl WithSimd for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Activate { activation, map, images, values } = self;
        for image in values.chunks_exact_mut(map.image()).take(images) {
            for row in 0..map.height {
                activation.apply(simd, &mut image[map.place(row, 0)..][..map.width * map.depth]);
            }
        }
    }
}
