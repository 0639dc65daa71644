//! Describing a network layer by layer, with shapes inferred and checked.

use super::{Activation, Conv, Graph, GraphError, Interpolation, Node, NodeId, Op, Shape};
use crate::norm::EPSILON;
use crate::params::Init;
use crate::window::Window;

/// Collects layers in the order of their computation.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    nodes: Vec<Node>,
    /// The first layer over images that was given something else, which [`GraphBuilder::finish`]
    /// reports.
    refused: Option<GraphError>,
}

type Result<T> = std::result::Result<T, GraphError>;

/// The error of a layer.
pub(super) fn refuse<T>(layer: &str, reason: impl Into<String>) -> Result<T> {
    Err(GraphError { layer: layer.to_string(), reason: reason.into() })
}

impl GraphBuilder {
    /// A network without layers.
    pub fn new() -> GraphBuilder {
        GraphBuilder::default()
    }

    /// An input of the network.
    pub fn input(&mut self, name: &str, shape: Shape) -> NodeId {
        self.push(name, Op::Input, &[], shape)
    }

    /// A convolution.
    ///
    /// # Errors
    /// A kernel larger than the map; channels that do not fall into the groups.
    pub fn conv(&mut self, name: &str, x: NodeId, conv: Conv) -> Result<NodeId> {
        let (channels, height, width) = self.map(name, x);
        let Conv { outputs, window, groups, .. } = conv;
        if groups == 0 || !channels.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            return refuse(
                name,
                format!("{channels} channels to {outputs} cannot be done in {groups} groups"),
            );
        }
        let (height, width) = window.output(height, width).or_else(|reason| refuse(name, reason))?;
        Ok(self.push(name, Op::Conv(conv), &[x], Shape::map(outputs, height, width)))
    }

    /// A batch normalisation whose variance is kept from 0 by [`EPSILON`].
    pub fn batch_norm(&mut self, name: &str, x: NodeId) -> NodeId {
        self.batch_norm_over(name, x, EPSILON)
    }

    /// The same with another `epsilon`.
    pub fn batch_norm_over(&mut self, name: &str, x: NodeId, epsilon: f32) -> NodeId {
        self.map(name, x);
        self.push(name, Op::BatchNorm { epsilon }, &[x], self.shape(x))
    }

    /// A function of each value.
    pub fn activation(&mut self, x: NodeId, activation: Activation) -> NodeId {
        self.push("activation", Op::Activation(activation), &[x], self.shape(x))
    }

    /// [`Activation::Relu`].
    pub fn relu(&mut self, x: NodeId) -> NodeId {
        self.activation(x, Activation::Relu)
    }

    /// The maximum under a window.
    ///
    /// # Errors
    /// A window larger than the map; padding as large as the window, which would have a maximum
    /// of nothing.
    pub fn max_pool(&mut self, name: &str, x: NodeId, window: Window) -> Result<NodeId> {
        self.pool(name, x, window, Op::MaxPool(window))
    }

    /// The mean under a window, padding counted as zeros.
    ///
    /// # Errors
    /// As [`GraphBuilder::max_pool`].
    pub fn average_pool(&mut self, name: &str, x: NodeId, window: Window) -> Result<NodeId> {
        self.pool(name, x, window, Op::AveragePool(window))
    }

    fn pool(&mut self, name: &str, x: NodeId, window: Window, op: Op) -> Result<NodeId> {
        let (channels, height, width) = self.map(name, x);
        let (out_height, out_width) = window.output(height, width).or_else(|reason| refuse(name, reason))?;
        if 2 * window.padding.0 > window.kernel.0 || 2 * window.padding.1 > window.kernel.1 {
            return refuse(name, "the padding of a pool is at most half of its window");
        }
        Ok(self.push(name, op, &[x], Shape::map(channels, out_height, out_width)))
    }

    /// The mean over rows and columns.
    pub fn global_average(&mut self, x: NodeId) -> NodeId {
        let (channels, ..) = self.map("global average", x);
        self.push("global average", Op::GlobalAverage, &[x], Shape::vector(channels))
    }

    /// A dense layer over everything that an example holds, its weights (outputs, channels * rows *
    /// columns); or over each row of a sequence, its weights (outputs, width).
    pub fn dense(&mut self, name: &str, x: NodeId, outputs: usize, init: Init) -> NodeId {
        let shape = match self.shape(x) {
            Shape::Rows { .. } => Shape::Rows { width: outputs },
            _ => {
                self.map(name, x);
                Shape::vector(outputs)
            }
        };
        self.push(name, Op::Dense { outputs, init }, &[x], shape)
    }

    /// The sum of two maps.
    ///
    /// # Errors
    /// Maps of different shapes.
    pub fn add(&mut self, name: &str, a: NodeId, b: NodeId) -> Result<NodeId> {
        if self.shape(a) != self.shape(b) {
            return refuse(name, format!("{} and {} cannot be added", self.shape(a), self.shape(b)));
        }
        Ok(self.push(name, Op::Add, &[a, b], self.shape(a)))
    }

    /// A map with the vector `v`, one value a channel, added at each of its places.
    ///
    /// # Errors
    /// What is added is no vector, or one of another number of channels.
    pub fn add_vector(&mut self, name: &str, x: NodeId, v: NodeId) -> Result<NodeId> {
        let (channels, ..) = self.map(name, x);
        if self.shape(v).vector_width() != Some(channels) {
            let (x, v) = (self.shape(x), self.shape(v));
            return refuse(name, format!("{v} cannot be added at each place of {x}"));
        }
        Ok(self.push(name, Op::AddVector, &[x, v], self.shape(x)))
    }

    /// The channels of all of `parts`, one after the other.
    ///
    /// # Errors
    /// Nothing to join; maps of different rows or columns.
    pub fn concat(&mut self, name: &str, parts: &[NodeId]) -> Result<NodeId> {
        let Some(first) = parts.first() else { return refuse(name, "there is nothing to join") };
        let (_, height, width) = self.map(name, *first);
        let mut all = 0;
        for part in parts {
            let (channels, rows, columns) = self.map(name, *part);
            if (rows, columns) != (height, width) {
                return refuse(
                    name,
                    format!("{} and {} cannot be joined", self.shape(*first), self.shape(*part)),
                );
            }
            all += channels;
        }
        Ok(self.push(name, Op::Concat, parts, Shape::map(all, height, width)))
    }

    /// Rows and columns multiplied by `factor`.
    ///
    /// # Errors
    /// A factor of 0.
    pub fn upsample(
        &mut self,
        name: &str,
        x: NodeId,
        factor: usize,
        method: Interpolation,
    ) -> Result<NodeId> {
        if factor == 0 {
            return refuse(name, "a factor of 0 leaves nothing");
        }
        let (channels, height, width) = self.map(name, x);
        let shape = Shape::map(channels, height * factor, width * factor);
        Ok(self.push(name, Op::Upsample { factor, method }, &[x], shape))
    }

    /// A normalisation over the channels of each place.
    pub fn channel_norm(&mut self, name: &str, x: NodeId, epsilon: f32) -> NodeId {
        self.map(name, x);
        self.push(name, Op::ChannelNorm { epsilon }, &[x], self.shape(x))
    }

    /// The places of a map as the tokens of one row behind a learnt one, each with a learnt value added.
    pub fn tokens(&mut self, name: &str, x: NodeId) -> NodeId {
        let (channels, height, width) = self.map(name, x);
        self.push(name, Op::Tokens, &[x], Shape::map(channels, 1, height * width + 1))
    }

    /// Attention among the places of one row, whose channels are queries, keys and values.
    ///
    /// # Errors
    /// More than one row; channels that do not fall into three parts of so many heads.
    pub fn self_attention(&mut self, name: &str, x: NodeId, heads: usize) -> Result<NodeId> {
        let (channels, height, width) = self.map(name, x);
        if height != 1 || heads == 0 || !channels.is_multiple_of(3 * heads) {
            return refuse(name, format!("{} are not attended to by {heads} heads", self.shape(x)));
        }
        let shape = Shape::map(channels / 3, 1, width);
        Ok(self.push(name, Op::SelfAttention { heads }, &[x], shape))
    }

    /// The first place of a map as a vector.
    pub fn first(&mut self, x: NodeId) -> NodeId {
        let (channels, ..) = self.map("first", x);
        self.push("first", Op::First, &[x], Shape::vector(channels))
    }

    /// Everything that an example holds as one vector, channels first.
    pub fn flatten(&mut self, x: NodeId) -> NodeId {
        let (channels, height, width) = self.map("flatten", x);
        self.push("flatten", Op::Flatten, &[x], Shape::vector(channels * height * width))
    }

    /// Dropout of a share `rate` of the values, in training only.
    pub fn dropout(&mut self, x: NodeId, rate: f32) -> NodeId {
        self.push("dropout", Op::Dropout(rate), &[x], self.shape(x))
    }

    /// What an example is behind a node.
    pub fn shape(&self, x: NodeId) -> Shape {
        self.nodes[x.0].shape
    }

    /// Channels, rows and columns behind a node, where there are any.
    fn map(&mut self, layer: &str, x: NodeId) -> (usize, usize, usize) {
        match self.shape(x) {
            Shape::Map { channels, height, width } => (channels, height, width),
            other => {
                let reason = format!("{other} are not an image or a vector");
                self.refused.get_or_insert(GraphError { layer: layer.to_string(), reason });
                (1, 1, 1)
            }
        }
    }

    pub(super) fn push(&mut self, name: &str, op: Op, inputs: &[NodeId], shape: Shape) -> NodeId {
        self.nodes.push(Node { name: name.to_string(), op, inputs: inputs.to_vec(), shape });
        NodeId(self.nodes.len() - 1)
    }

    /// The network whose result is that of `output`.
    ///
    /// # Errors
    /// A layer over something that it cannot read, or whose result nothing reads; two layers with weights of one name; a layer of no
    /// values.
    pub fn finish(self, output: NodeId) -> Result<Graph> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        let graph = Graph { nodes: self.nodes, output };
        for (place, count) in graph.readers().into_iter().enumerate() {
            let Node { name, shape, .. } = &graph.nodes[place];
            if count == 0 {
                return refuse(name, "nothing reads the result of this layer");
            }
            if shape.values() == 0 {
                return refuse(name, "this layer has no values");
            }
        }
        let mut names = std::collections::BTreeSet::new();
        for parameter in (0..graph.nodes.len()).flat_map(|place| graph.parameters(NodeId(place))) {
            if !names.insert(parameter.name.clone()) {
                return refuse(&parameter.name, "two layers have weights of this name");
            }
        }
        Ok(graph)
    }
}
