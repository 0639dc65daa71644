//! A description made into what a step of training computes.
//!
//! What a normalisation and an activation make of a layer's results is not written down: whoever
//! reads them makes it on the way, from a [`View`]. An activation whose slope follows from its result
//! is applied where a value is written, if nothing else reads the value.

use candle_core::{Result, bail};

use std::ops::Range;

use super::schedule::{Schedule, schedule};
use crate::graph::{Activation, Conv, Graph, Interpolation, NodeId, Op, Shape};
use crate::map::Map;
use crate::simd::round_up;
use crate::window::Window;

/// How a node's results are read: a value, normalised and activated on request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Among the program's values.
    pub value: usize,
    /// Among the program's normalisations.
    pub norm: Option<usize>,
    pub activation: Option<Activation>,
}

impl View {
    pub fn plain(value: usize) -> View {
        View { value, norm: None, activation: None }
    }

    /// True where the value is read as it lies.
    pub fn is_plain(&self) -> bool {
        self.norm.is_none() && self.activation.is_none()
    }
}

/// A value that is written down for every image of a batch.
#[derive(Debug)]
pub struct Value {
    pub map: Map,
    /// Applied where it is written; one that is clipped.
    pub activation: Option<Activation>,
    /// The normalisations that read it.
    pub norms: Vec<usize>,
}

/// What makes a value.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// The images as they are given, (channels, rows, columns).
    Input,
    Conv(Conv),
    Depthwise(Window),
    /// Over a vector.
    Dense,
    MaxPool(Window),
    AveragePool(Window),
    GlobalAverage,
    Add,
    AddVector,
    Concat,
    Upsample(usize, Interpolation),
    Flatten,
    Dropout(f32),
    /// Of what others read only as it lies.
    Copy,
}

impl Work {
    /// Whether the way back reads the inputs again; if not, their memory may be used for something
    /// else by then.
    pub fn rereads_inputs(&self) -> bool {
        // The gradient of a kernel takes the inputs; that of a maximum looks for the winner again.
        matches!(self, Work::Conv(_) | Work::Depthwise(_) | Work::Dense | Work::MaxPool(_))
    }
}

/// A value and how it comes about; its place is that of its value.
#[derive(Debug)]
pub struct Unit {
    pub work: Work,
    pub inputs: Vec<View>,
    /// Places among all parameters; empty where there are none.
    pub weights: Range<usize>,
    pub bias: Range<usize>,
}

/// A normalisation of a value.
#[derive(Debug)]
pub struct NormLayer {
    pub node: NodeId,
    pub epsilon: f32,
    pub value: usize,
    /// Places among all parameters.
    pub scale: Range<usize>,
    pub shift: Range<usize>,
}

/// A step of training, for batches of any size.
#[derive(Debug)]
pub struct Program {
    /// In the order of their computation; the first is the input.
    pub values: Vec<Value>,
    /// One a value.
    pub units: Vec<Unit>,
    pub norms: Vec<NormLayer>,
    pub output: View,
    /// Number of parameters that a gradient reaches.
    pub parameters: usize,
    pub schedule: Schedule,
}

impl Program {
    /// Of a network over images. With `input_gradient` the gradient of the images is computed, too.
    ///
    /// # Errors
    /// A network of several inputs.
    pub fn new(graph: &Graph, input_gradient: bool) -> Result<Program> {
        let mut lowering = Lowering {
            graph,
            input_gradient,
            readers: graph.readers(),
            values: Vec::new(),
            units: Vec::new(),
            norms: Vec::new(),
            views: Vec::new(),
            shared: Vec::new(),
            parameters: 0,
        };
        for place in 0..graph.nodes().len() {
            lowering.node(NodeId(place))?;
        }
        let output = lowering.read(lowering.views[graph.output().0]);
        let Lowering { values, units, norms, parameters, .. } = lowering;
        let schedule = schedule(&values, &units, output, input_gradient);
        Ok(Program { values, units, norms, output, parameters, schedule })
    }
}

struct Lowering<'a> {
    graph: &'a Graph,
    input_gradient: bool,
    readers: Vec<usize>,
    values: Vec<Value>,
    units: Vec<Unit>,
    norms: Vec<NormLayer>,
    /// Of every node so far.
    views: Vec<View>,
    /// Whether several nodes read what a node's view is of.
    shared: Vec<bool>,
    parameters: usize,
}

impl Lowering<'_> {
    fn node(&mut self, id: NodeId) -> Result<()> {
        let node = self.graph.node(id);
        let Shape::Map { channels, height, width } = node.shape else {
            bail!("{}: this layer cannot be in a network over images", node.name)
        };
        let map = Map::new(height, width, channels, round_up(channels));
        let input = node.inputs.first().map(|input| input.0);
        let x = input.map(|input| self.views[input]);
        let alone = input.is_some_and(|input| self.readers[input] == 1 && !self.shared[input]);
        let parts = self.parameters(id);
        let view = match (&node.op, x) {
            (Op::Input, _) => self.input(&node.name, map)?,
            (Op::BatchNorm { epsilon }, Some(x)) => self.norm(id, *epsilon, x, parts),
            (Op::Activation(activation), Some(x)) => self.activation(*activation, x, alone),
            (Op::Flatten, Some(x)) if self.is_vector(x) => x,
            (Op::Dropout(rate), Some(x)) if *rate <= 0.0 => x,
            (op, _) => {
                let mut inputs: Vec<View> = node.inputs.iter().map(|input| self.views[input.0]).collect();
                let work = match op {
                    Op::Conv(conv) => self.conv(conv, inputs[0]),
                    Op::Dense { .. } => {
                        inputs[0] = self.flat(inputs[0]);
                        Work::Dense
                    }
                    Op::MaxPool(window) => Work::MaxPool(*window),
                    Op::AveragePool(window) => Work::AveragePool(*window),
                    Op::GlobalAverage => Work::GlobalAverage,
                    Op::Add => Work::Add,
                    Op::AddVector => Work::AddVector,
                    Op::Concat => Work::Concat,
                    Op::Upsample { factor, method } => Work::Upsample(*factor, *method),
                    Op::Flatten => Work::Flatten,
                    Op::Dropout(rate) => Work::Dropout(*rate),
                    _ => bail!("{}: this layer cannot be in a network over images", node.name),
                };
                if !matches!(work, Work::Conv(_)) {
                    inputs.iter_mut().for_each(|view| *view = self.read(*view));
                }
                self.push(work, inputs, map, parts)
            }
        };
        self.shared.push(self.readers[id.0] > 1 || (!alone && input.is_some() && Some(view) == x));
        self.views.push(view);
        Ok(())
    }

    /// Where the values of a node that a gradient reaches lie among all.
    fn parameters(&mut self, id: NodeId) -> Vec<Range<usize>> {
        let learnt = self.graph.parameters(id).into_iter().filter(|parameter| parameter.learnt);
        let mut ranges = Vec::new();
        for parameter in learnt {
            let start = self.parameters;
            self.parameters += parameter.shape.iter().product::<usize>();
            ranges.push(start..self.parameters);
        }
        ranges
    }

    fn push(&mut self, work: Work, inputs: Vec<View>, map: Map, parts: Vec<Range<usize>>) -> View {
        let mut parts = parts.into_iter();
        let [weights, bias] = [0; 2].map(|_| parts.next().unwrap_or(0..0));
        self.values.push(Value { map, activation: None, norms: Vec::new() });
        self.units.push(Unit { work, inputs, weights, bias });
        View::plain(self.values.len() - 1)
    }

    fn input(&mut self, name: &str, map: Map) -> Result<View> {
        if !self.values.is_empty() {
            bail!("{name}: a network over images has one input")
        }
        let images = self.push(Work::Input, Vec::new(), map, Vec::new());
        // The way back to the images leads through values that are read as all others are.
        Ok(if self.input_gradient { self.copy(images) } else { images })
    }

    /// The same values, written down as they are read.
    fn copy(&mut self, view: View) -> View {
        let same = |unit: &Unit| matches!(unit.work, Work::Copy) && unit.inputs == [view];
        match self.units.iter().position(same) {
            Some(value) => View::plain(value),
            None => self.push(Work::Copy, vec![view], self.values[view.value].map.clone(), Vec::new()),
        }
    }

    /// A view that is not of the images as they are given.
    fn read(&mut self, view: View) -> View {
        if view.value == 0 { self.copy(view) } else { view }
    }

    /// A value that is read as it lies.
    fn plain(&mut self, view: View) -> View {
        if view.value == 0 || !view.is_plain() { self.copy(view) } else { view }
    }

    fn is_vector(&self, view: View) -> bool {
        let Map { height, width, .. } = self.values[view.value].map;
        (height, width) == (1, 1)
    }

    /// An example as one vector.
    fn flat(&mut self, view: View) -> View {
        if self.is_vector(view) {
            return view;
        }
        let Map { height, width, channels, .. } = self.values[view.value].map;
        let (view, all) = (self.read(view), channels * height * width);
        self.push(Work::Flatten, vec![view], Map::new(1, 1, all, round_up(all)), Vec::new())
    }

    fn conv(&self, conv: &Conv, x: View) -> Work {
        let channels = self.values[x.value].map.channels;
        match conv.groups > 1 && conv.groups == channels && conv.outputs == channels {
            true => Work::Depthwise(conv.window),
            false => Work::Conv(*conv),
        }
    }

    fn norm(&mut self, node: NodeId, epsilon: f32, x: View, parts: Vec<Range<usize>>) -> View {
        let x = self.plain(x);
        let norm = self.norms.len();
        self.values[x.value].norms.push(norm);
        let [scale, shift] = [parts[0].clone(), parts[1].clone()];
        self.norms.push(NormLayer { node, epsilon, value: x.value, scale, shift });
        View { norm: Some(norm), ..x }
    }

    fn activation(&mut self, activation: Activation, x: View, alone: bool) -> View {
        let mut x = self.read(x);
        if x.activation.is_some() {
            x = self.copy(x);
        }
        let value = &mut self.values[x.value];
        let fresh = value.activation.is_none() && value.norms.is_empty();
        if activation.is_clipped() && alone && fresh && !matches!(self.units[x.value].work, Work::Copy) {
            value.activation = Some(activation);
            return x;
        }
        View { activation: Some(activation), ..x }
    }
}
