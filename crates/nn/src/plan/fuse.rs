//! A description made into the layers of a plan: what follows a convolution becomes part of it.
//!
//! A convolution is held back until something reads its result. A normalisation that is its only
//! reader scales its weights, a sum and an activation behind it happen in its epilogue.

use std::collections::BTreeMap;

use candle_core::{Result, bail};

use super::build::{Builder, Value};
use super::depthwise::Depthwise;
use super::steps::Layer;
use super::{Numerics, Plan};
use crate::activation::Clip;
use crate::depthwise::pack;
use crate::filter::Filter;
use crate::graph::{Activation, Conv, Graph, Node, NodeId, Op, Shape};
use crate::map::Map;
use crate::simd::round_up;
use crate::window::Window;

/// The plan of a network.
pub fn plan(graph: &Graph, weights: &BTreeMap<String, Vec<f32>>, numerics: &Numerics) -> Result<Plan> {
    let input = graph.nodes().iter().position(|node| node.op == Op::Input).map(|place| &graph.nodes()[place]);
    let Some(Node { shape: Shape::Map { channels, height, width }, .. }) = input else {
        bail!("a network over images has an input")
    };
    // Three channels rounded up to sixteen would be five times the work.
    let (builder, images) = Builder::new(Map::new(*height, *width, *channels, *channels), numerics.exact);
    let nodes = graph.nodes().len();
    let readers = graph.readers();
    let mut fuse = Fuse { graph, weights, builder, images, held: Vec::new(), aligned: None, readers };
    for place in 0..nodes {
        let held = fuse.node(NodeId(place))?;
        fuse.held.push(held);
    }
    let output = fuse.value(graph.output());
    fuse.builder.finish(output, numerics)
}

/// A node's result.
#[derive(Clone)]
enum Held {
    /// It is there.
    Value(Value),
    /// That of an earlier node.
    Same(NodeId),
    /// Of a convolution that is not in the plan yet.
    Conv(Box<HeldConv>),
}

#[derive(Clone)]
struct HeldConv {
    /// Of its layer.
    name: String,
    filter: Filter,
    depthwise: bool,
    x: Value,
    residual: Option<Value>,
    size: (usize, usize),
}

struct Fuse<'a> {
    graph: &'a Graph,
    weights: &'a BTreeMap<String, Vec<f32>>,
    builder: Builder,
    images: Value,
    held: Vec<Held>,
    /// The images with their channels filled up.
    aligned: Option<Value>,
    readers: Vec<usize>,
}

impl Fuse<'_> {
    fn node(&mut self, id: NodeId) -> Result<Held> {
        let node = self.graph.node(id);
        let (channels, height, width) = self.size(id)?;
        let to = Map::new(height, width, channels, round_up(channels));
        let input = node.inputs.first().copied();
        let layer = match (&node.op, input) {
            (Op::Input, _) => return Ok(Held::Value(self.images)),
            (Op::Dropout(_), Some(x)) => return Ok(Held::Same(x)),
            (Op::Flatten, Some(x)) if self.dense_follows(id) || self.shape(x) == node.shape => {
                return Ok(Held::Same(x));
            }
            (Op::Conv(conv), Some(x)) => return self.conv(id, conv, x),
            (Op::Dense { outputs, .. }, Some(x)) => return self.dense(id, *outputs, x),
            (Op::BatchNorm { epsilon }, Some(x)) => return self.batch_norm(id, *epsilon, x),
            (Op::Activation(activation), Some(x)) => return Ok(self.activation(*activation, x, to)),
            (Op::Add, Some(_)) => {
                if let Some(held) = self.add(&node.inputs) {
                    return Ok(held);
                }
                Layer::Add
            }
            (Op::AddVector, _) => Layer::AddVector,
            (Op::MaxPool(window), _) => Layer::MaxPool(*window),
            (Op::AveragePool(window), _) => Layer::AveragePool(*window),
            (Op::GlobalAverage, _) => Layer::GlobalAverage,
            (Op::Concat, _) => Layer::Concat,
            (Op::Upsample { factor, method }, _) => Layer::Upsample(*factor, *method),
            (Op::Flatten, _) => Layer::Flatten,
            (Op::ChannelNorm { epsilon }, _) => Layer::ChannelNorm {
                epsilon: *epsilon,
                scale: self.weight(id, 0)?.clone(),
                shift: self.weight(id, 1)?.clone(),
            },
            (Op::Tokens, _) => {
                Layer::Tokens { class: self.weight(id, 0)?.clone(), positions: self.weight(id, 1)?.clone() }
            }
            (Op::SelfAttention { heads }, _) => Layer::SelfAttention(*heads),
            (Op::First, _) => Layer::First,
            _ => bail!("{}: this layer cannot be in a network over images", node.name),
        };
        let from = node.inputs.iter().map(|input| self.aligned_value(*input)).collect();
        Ok(Held::Value(self.builder.layer(layer, from, to)))
    }

    fn shape(&self, id: NodeId) -> Shape {
        self.graph.node(id).shape
    }

    /// Channels, rows and columns of a node's result.
    fn size(&self, id: NodeId) -> Result<(usize, usize, usize)> {
        match self.shape(id) {
            Shape::Map { channels, height, width } => Ok((channels, height, width)),
            _ => bail!("{}: this layer cannot be in a network over images", self.graph.node(id).name),
        }
    }

    /// The values of a node's weights.
    fn weight(&self, id: NodeId, part: usize) -> Result<&Vec<f32>> {
        let parameter = &self.graph.parameters(id)[part];
        match self.weights.get(&parameter.name) {
            Some(values) if values.len() == parameter.shape.iter().product::<usize>() => Ok(values),
            _ => bail!("the weights have no \"{}\" of {:?}", parameter.name, parameter.shape),
        }
    }

    /// Whether only dense layers read a node's values, which take them as they lie.
    fn dense_follows(&self, id: NodeId) -> bool {
        let mut readers = (0..self.graph.nodes().len())
            .map(NodeId)
            .filter(|reader| self.graph.node(*reader).inputs.contains(&id));
        id != self.graph.output()
            && readers.all(|reader| match self.graph.node(reader).op {
                Op::Dense { .. } => true,
                Op::Dropout(_) => self.dense_follows(reader),
                _ => false,
            })
    }

    /// The convolution that a node's result is still held back in, if one reader asks for it.
    fn take(&mut self, id: NodeId) -> Option<HeldConv> {
        if self.readers[id.0] != 1 {
            return None;
        }
        match &self.held[id.0] {
            Held::Same(earlier) => self.take(*earlier),
            Held::Conv(conv) => Some(*conv.clone()),
            Held::Value(_) => None,
        }
    }

    /// A node's result, in the plan from now on.
    fn value(&mut self, id: NodeId) -> Value {
        let value = match self.held[id.0].clone() {
            Held::Value(value) => return value,
            Held::Same(earlier) => return self.value(earlier),
            Held::Conv(conv) => self.emit(*conv),
        };
        self.held[id.0] = Held::Value(value);
        value
    }

    /// The same with its channels filled up, which all but the images have.
    fn aligned_value(&mut self, id: NodeId) -> Value {
        let value = self.value(id);
        if value != self.images {
            return value;
        }
        if let Some(aligned) = self.aligned {
            return aligned;
        }
        let Map { height, width, channels, .. } = *self.builder.map(value);
        let to = Map::new(height, width, channels, round_up(channels));
        let aligned = self.builder.layer(Layer::Copy, vec![value], to);
        self.aligned = Some(aligned);
        aligned
    }

    fn emit(&mut self, HeldConv { name, filter, depthwise, x, residual, size }: HeldConv) -> Value {
        if !depthwise {
            return self.builder.filter(x, (name, filter), residual, size);
        }
        let Filter { weights, mut bias, outputs, window, .. } = filter;
        let to = Map::new(size.0, size.1, outputs, round_up(outputs));
        bias.resize(to.depth, 0.0);
        let weights = pack(&weights, window.taps(), to.depth);
        let layer = Depthwise { window, weights, bias, clip: Clip::None, before: None };
        self.builder.depthwise(layer, x, to)
    }

    fn hold(&self, id: NodeId, filter: Filter, depthwise: bool, x: Value, size: (usize, usize)) -> Held {
        let name = self.graph.node(id).name.clone();
        Held::Conv(Box::new(HeldConv { name, filter, depthwise, x, residual: None, size }))
    }

    fn conv(&mut self, id: NodeId, conv: &Conv, x: NodeId) -> Result<Held> {
        let (inputs, ..) = self.size(x)?;
        let (_, height, width) = self.size(id)?;
        let Conv { outputs, window, groups, bias } = *conv;
        let weights = self.weight(id, 0)?;
        let bias = if bias { self.weight(id, 1)?.clone() } else { vec![0.0; outputs] };
        let depthwise = groups > 1 && groups == inputs && outputs == inputs;
        // Of the groups of a depthwise convolution there is no sum; others are filled up with zeros.
        let (weights, inputs) = match depthwise || groups == 1 {
            true => (weights.clone(), if depthwise { 1 } else { inputs }),
            false => (crate::step::ungroup(weights, groups, outputs), inputs),
        };
        let x = if depthwise { self.aligned_value(x) } else { self.value(x) };
        let filter = Filter { weights, bias, outputs, inputs, window };
        Ok(self.hold(id, filter, depthwise, x, (height, width)))
    }

    /// A convolution whose kernel covers its whole input.
    fn dense(&mut self, id: NodeId, outputs: usize, x: NodeId) -> Result<Held> {
        let (weights, bias) = (self.weight(id, 0)?.clone(), self.weight(id, 1)?.clone());
        let x = self.value(x);
        let Map { height, width, channels: inputs, .. } = *self.builder.map(x);
        let window = Window { kernel: (height, width), ..Window::new(1) };
        Ok(self.hold(id, Filter { weights, bias, outputs, inputs, window }, false, x, (1, 1)))
    }

    fn batch_norm(&mut self, id: NodeId, epsilon: f32, x: NodeId) -> Result<Held> {
        let part = |part: usize| self.weight(id, part);
        let (scale, shift, mean, variance) = (part(0)?, part(1)?, part(2)?, part(3)?);
        let factors = scale.iter().zip(variance).map(|(scale, variance)| scale / (variance + epsilon).sqrt());
        let scale: Vec<f32> = factors.collect();
        let terms = shift.iter().zip(mean).zip(&scale).map(|((shift, mean), scale)| shift - mean * scale);
        let shift: Vec<f32> = terms.collect();
        if let Some(conv @ HeldConv { residual: None, .. }) = self.take(x) {
            let filter = conv.filter.then(&scale, &shift);
            return Ok(Held::Conv(Box::new(HeldConv { filter, ..conv })));
        }
        let x = self.aligned_value(x);
        let Map { height, width, channels: outputs, .. } = *self.builder.map(x);
        let filter = Filter { weights: scale, bias: shift, outputs, inputs: 1, window: Window::new(1) };
        Ok(self.hold(id, filter, true, x, (height, width)))
    }

    fn activation(&mut self, activation: Activation, x: NodeId, to: Map) -> Held {
        let alone = self.alone(x);
        let value = self.aligned_value(x);
        if alone && self.builder.activate(value, activation) {
            return Held::Value(value);
        }
        let copy = self.builder.layer(Layer::Copy, vec![value], to);
        self.builder.activate(copy, activation);
        Held::Value(copy)
    }

    /// Whether a node's value has one reader.
    fn alone(&self, id: NodeId) -> bool {
        let earlier = match self.held[id.0] {
            Held::Same(earlier) => self.alone(earlier),
            _ => true,
        };
        self.readers[id.0] == 1 && earlier
    }

    /// A sum as the epilogue of one of its parts, if one is a convolution that waits for it.
    fn add(&mut self, parts: &[NodeId]) -> Option<Held> {
        for (own, other) in [(parts[0], parts[1]), (parts[1], parts[0])] {
            let conv = self.take(own).filter(|conv| !conv.depthwise && conv.residual.is_none());
            if let Some(conv) = conv.filter(|_| own != other) {
                let residual = Some(self.aligned_value(other));
                return Some(Held::Conv(Box::new(HeldConv { residual, ..conv })));
            }
        }
        None
    }
}
