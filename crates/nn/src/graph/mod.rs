//! One description of a network: its layers in the order of their computation, as plain data.
//!
//! An architecture is a function that calls a [`GraphBuilder`] layer by layer. Shapes are inferred
//! and checked while it does, so a network that cannot be computed is refused by the name of its
//! layer before a weight is drawn. Everything else is made from the description: the names and
//! shapes of the weights, the step of training and the serving plan.

mod build;
mod sequence;
#[cfg(test)]
mod tests;

use crate::params::Init;
use crate::window::Window;

pub use build::GraphBuilder;
pub use sequence::{Pooling, RelativePlaces, SequenceOp};

/// A layer that cannot be computed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphError {
    /// Name of the layer.
    pub layer: String,
    /// What is wrong with it.
    pub reason: String,
}

impl std::fmt::Display for GraphError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.layer, self.reason)
    }
}

impl std::error::Error for GraphError {}

impl From<GraphError> for candle_core::Error {
    fn from(error: GraphError) -> candle_core::Error {
        candle_core::Error::Msg(error.to_string())
    }
}

/// What one example is between two layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// An image, or what a convolution made of one. A vector is a map of one row and one column.
    Map {
        /// Values at each place.
        channels: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// A sequence of tokens.
    Tokens,
    /// One row for each token of a sequence.
    Rows {
        /// Values of a row.
        width: usize,
    },
}

impl Shape {
    /// A map.
    pub fn map(channels: usize, height: usize, width: usize) -> Shape {
        Shape::Map { channels, height, width }
    }

    /// A map of one place.
    pub fn vector(channels: usize) -> Shape {
        Shape::map(channels, 1, 1)
    }

    /// Values that an example holds, or each of its rows.
    pub fn values(self) -> usize {
        match self {
            Shape::Map { channels, height, width } => channels * height * width,
            Shape::Tokens => 1,
            Shape::Rows { width } => width,
        }
    }

    /// Values of a vector; `None` for other shapes.
    pub fn vector_width(self) -> Option<usize> {
        match self {
            Shape::Map { channels, height: 1, width: 1 } => Some(channels),
            _ => None,
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Shape::Map { channels, height: 1, width: 1 } => write!(f, "{channels} values"),
            Shape::Map { channels, height, width } => write!(f, "{channels} x {height} x {width}"),
            Shape::Tokens => write!(f, "tokens"),
            Shape::Rows { width } => write!(f, "rows of {width} values"),
        }
    }
}

/// A node, by its place in the order of computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub(crate) usize);

impl NodeId {
    /// The place among [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// A layer, the nodes it reads, and what it makes of one example.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Unique among the layers that have weights, whose names begin with it.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Earlier nodes.
    pub inputs: Vec<NodeId>,
    /// Of its result.
    pub shape: Shape,
}

/// What a node computes.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// An example as it is given.
    Input,
    /// Cross-correlation with learnt kernels.
    Conv(Conv),
    /// Normalisation of each channel over the batch (Ioffe and Szegedy 2015).
    BatchNorm {
        /// What the variance is added to before its root.
        epsilon: f32,
    },
    /// A function of each value.
    Activation(Activation),
    /// The maximum under a window; padding is never the maximum.
    MaxPool(Window),
    /// The mean under a window; padding counts as zeros.
    AveragePool(Window),
    /// The mean over rows and columns.
    GlobalAverage,
    /// A matrix product over everything that an example holds, channels first, or over each row of a
    /// sequence; and a bias.
    Dense {
        /// Values of the result.
        outputs: usize,
        /// How its weights start.
        init: Init,
    },
    /// The sum of two maps.
    Add,
    /// A map with a vector of as many channels added at each of its places.
    AddVector,
    /// Maps of one size, channels after channels.
    Concat,
    /// Rows and columns multiplied by a factor.
    Upsample {
        /// Result places along a side for each place of the input.
        factor: usize,
        /// How the places between are filled.
        method: Interpolation,
    },
    /// All channels, rows and columns of an example as one vector, channels first.
    Flatten,
    /// In training, sets this share of the values to zero and scales the others up (Srivastava et
    /// al. 2014).
    Dropout(f32),
    /// Normalisation over the channels of each place (Ba, Kiros and Hinton 2016).
    ChannelNorm {
        /// What the variance is added to before its root.
        epsilon: f32,
    },
    /// The places of a map as the tokens of one row behind a learnt one, each with a learnt value added (Dosovitskiy et
    /// al. 2021).
    Tokens,
    /// Attention of so many heads among the places of one row, whose channels are queries, keys and values.
    SelfAttention {
        /// Parts that the channels fall into.
        heads: usize,
    },
    /// The first place of a map as a vector.
    First,
    /// A layer over a sequence.
    Sequence(SequenceOp),
}

/// A convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    /// Channels of the result.
    pub outputs: usize,
    /// What lies under the kernel.
    pub window: Window,
    /// Parts that the channels fall into, each convolved by itself; as many as channels for a
    /// depthwise convolution.
    pub groups: usize,
    /// Whether a learnt value is added to each channel.
    pub bias: bool,
}

impl Conv {
    /// Over all channels, without bias.
    pub fn new(outputs: usize, window: Window) -> Conv {
        Conv { outputs, window, groups: 1, bias: false }
    }

    /// The same in groups.
    pub fn groups(self, groups: usize) -> Conv {
        Conv { groups, ..self }
    }

    /// The same with a bias.
    pub fn bias(self) -> Conv {
        Conv { bias: true, ..self }
    }
}

/// A function of each value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The larger of 0 and x.
    Relu,
    /// x within 0 and 6.
    Relu6,
    /// x times its sigmoid.
    Silu,
    /// x times the share of a normal distribution below x.
    Gelu,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
}

/// How places between known ones are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// By the nearest.
    Nearest,
    /// By straight lines between the centres of places, along rows and columns.
    Bilinear,
}

/// A named value of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// The name of its layer, and its own.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// How it starts.
    pub init: Init,
    /// False for running statistics, which no gradient reaches.
    pub learnt: bool,
}

/// A network, described.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    nodes: Vec<Node>,
    output: NodeId,
}

impl Graph {
    /// Its nodes; each reads earlier ones only.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of a place.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The node whose result is the network's.
    pub fn output(&self) -> NodeId {
        self.output
    }

    /// Whether a step of training can be made of it. Layers of vision transformers and of ConvNeXt are served only: such
    /// networks are adopted.
    pub fn is_trainable(&self) -> bool {
        let served = |op: &Op| {
            matches!(op, Op::ChannelNorm { .. } | Op::Tokens | Op::SelfAttention { .. } | Op::First)
        };
        !self.nodes.iter().any(|node| served(&node.op))
    }

    /// How often each node's result is read, once for the network's result.
    pub fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.nodes.len()];
        let read = self.nodes.iter().flat_map(|node| &node.inputs).chain([&self.output]);
        read.for_each(|id| readers[id.0] += 1);
        readers
    }

    /// All values of a network: the name of the layer, the value's own and its shape.
    pub fn values(&self) -> impl Iterator<Item = (&str, String, Vec<usize>)> {
        self.nodes.iter().enumerate().flat_map(|(place, node)| {
            let own = self.parameters(NodeId(place)).into_iter();
            own.map(move |value| (node.name.as_str(), value.name, value.shape))
        })
    }

    /// The values of a node, in a fixed order.
    pub fn parameters(&self, id: NodeId) -> Vec<Parameter> {
        let node = self.node(id);
        let value = |part: &str, shape: Vec<usize>, init: Init, learnt: bool| Parameter {
            name: format!("{}.{part}", node.name),
            shape,
            init,
            learnt,
        };
        let all = |part: &str, count: usize, start: f32, learnt: bool| {
            value(part, vec![count], Init::Constant(start), learnt)
        };
        let input = node.inputs.first().map(|input| self.node(*input).shape);
        match (&node.op, input) {
            (Op::Conv(Conv { outputs, window, groups, bias }), Some(Shape::Map { channels, .. })) => {
                let inputs = channels / groups;
                let (rows, columns) = window.kernel;
                let init = Init::he(inputs * window.taps());
                let weight = value("weight", vec![*outputs, inputs, rows, columns], init, true);
                std::iter::once(weight).chain(bias.then(|| all("bias", *outputs, 0.0, true))).collect()
            }
            (Op::BatchNorm { .. }, Some(Shape::Map { channels, .. })) => vec![
                all("scale", channels, 1.0, true),
                all("shift", channels, 0.0, true),
                all("running_mean", channels, 0.0, false),
                all("running_variance", channels, 1.0, false),
            ],
            (Op::ChannelNorm { .. }, Some(Shape::Map { channels, .. })) => {
                vec![all("scale", channels, 1.0, true), all("shift", channels, 0.0, true)]
            }
            (Op::Tokens, Some(Shape::Map { channels, height, width })) => {
                let init = Init::Normal(0.02);
                let positions = vec![height * width + 1, channels];
                vec![value("class", vec![channels], init, true), value("positions", positions, init, true)]
            }
            (Op::Dense { outputs, init }, Some(shape)) => vec![
                value("weight", vec![*outputs, shape.values()], *init, true),
                all("bias", *outputs, 0.0, true),
            ],
            (Op::Sequence(op), Some(shape)) => op.parameters(&node.name, shape.values(), node.shape.values()),
            _ => Vec::new(),
        }
    }
}
