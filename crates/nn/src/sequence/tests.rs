//! Networks over sequences as they serve beside the same networks as they train: combinations of
//! layers that no architecture of ours has.

use super::*;
use crate::graph::{Activation, GraphBuilder, Pooling, RelativePlaces, Shape};
use crate::params::Init;
use crate::{Pass, random};

const TOKENS: usize = 40;

/// Logits of both, over sequences of these lengths with two values each.
fn check(describe: impl Fn(&mut GraphBuilder, NodeId, NodeId) -> NodeId, lengths: &[usize]) {
    let mut g = GraphBuilder::new();
    let (tokens, values) = (g.input("tokens", Shape::Tokens), g.input("values", Shape::vector(2)));
    let output = describe(&mut g, tokens, values);
    compare(g.finish(output).unwrap(), 2, lengths);
}

/// The same of a network that reads so many of the two values.
fn compare(graph: Graph, values: usize, lengths: &[usize]) {
    let (network, sequences) = drawn(graph, values, lengths);
    let inputs: Vec<_> = sequences.iter().map(|(tokens, values)| SequenceInput { tokens, values }).collect();
    let trained = network.forward(&inputs, &mut Pass::Inference).unwrap().to_vec2::<f32>().unwrap();
    let served = network.plan().unwrap().logits(&inputs).unwrap();
    assert_eq!(served.len(), inputs.len());
    assert_eq!(served.iter().flatten().count(), trained.iter().flatten().count());
    for (served, trained) in served.iter().flatten().zip(trained.iter().flatten()) {
        assert!((served - trained).abs() < 1e-4 * trained.abs().max(1.0), "{served} for {trained}");
    }
}

/// Positions of a sequence and the values of each.
type Drawn = (Vec<u32>, Vec<f32>);

/// The network of a description with weights of chance, and sequences of these lengths.
fn drawn(graph: Graph, values: usize, lengths: &[usize]) -> (SequenceNetwork, Vec<Drawn>) {
    let mut fresh = Params::fresh(1);
    SequenceNetwork::new(graph.clone(), &mut fresh).unwrap();
    let shake = |(name, tensor): (String, Tensor)| {
        let noise = (crate::differences::draw(tensor.shape().clone(), name.len() as u64) * 0.3).unwrap();
        (name, (tensor + noise).unwrap())
    };
    let weights = fresh.snapshot().unwrap().into_iter().map(shake).collect();
    let network = SequenceNetwork::new(graph, &mut Params::frozen(weights)).unwrap();
    let mut rng = random::stream(2, "tokens");
    let sequence = |length: &usize| -> (Vec<u32>, Vec<f32>) {
        let tokens = (0..*length).map(|_| (random::normal(&mut rng).abs() * 1e3) as u32 % TOKENS as u32);
        (tokens.collect(), [*length as f32 / 9.0, -0.5][..values].to_vec())
    };
    let sequences = lengths.iter().map(sequence).collect();
    (network, sequences)
}

fn dense(g: &mut GraphBuilder, name: &str, x: NodeId, outputs: usize) -> NodeId {
    let inputs = g.shape(x).values();
    g.dense(name, x, outputs, Init::glorot(inputs, outputs))
}

/// A layer whose normalisations come last, as in the first encoders: their results are added, so
/// that no dense layer can take the scale and the shift.
#[test]
fn post_norm_layers_and_pools_over_rows() {
    let describe = |g: &mut GraphBuilder, tokens, values| {
        let x = g.embedding("embedding", tokens, TOKENS, 12, 0.1).unwrap();
        let x = g.positions("positions", x, 60).unwrap();
        let x = g.layer_norm("first", x).unwrap();
        let y = dense(g, "all", x, 36);
        let y = g.attention("attention", y, 3).unwrap();
        let y = dense(g, "output", y, 12);
        let x = g.add("attended", y, x).unwrap();
        let x = g.layer_norm("second", x).unwrap();
        let y = dense(g, "expand", x, 20);
        let y = g.activation(y, Activation::Gelu);
        let y = dense(g, "contract", y, 12);
        let x = g.add("result", x, y).unwrap();
        let x = g.layer_norm("third", x).unwrap();
        let twice = g.add("twice", x, x).unwrap();
        let parts = [
            g.pool_rows("mean", x, Pooling::Mean).unwrap(),
            values,
            g.pool_rows("max", twice, Pooling::Max).unwrap(),
            g.pool_rows("pool", x, Pooling::Attention).unwrap(),
            values,
        ];
        let x = g.concat("pooled", &parts).unwrap();
        let x = dense(g, "hidden", x, 7);
        dense(g, "head", x, 3)
    };
    check(describe, &[1, 48, 7, 60, 49, 2]);
}

/// A recurrent layer over rows that are not those of a table, read by one pool alone, beside a
/// sum of two dense layers.
#[test]
fn recurrence_over_what_other_layers_made() {
    let describe = |g: &mut GraphBuilder, tokens, values| {
        let x = g.embedding("embedding", tokens, TOKENS, 10, 0.1).unwrap();
        let (a, b) = (dense(g, "a", x, 9), dense(g, "b", x, 9));
        let sum = g.add("sum", a, b).unwrap();
        let states = g.lstm("states", sum, 6, true, 0.1).unwrap();
        let pooled = g.pool_rows("max", states, Pooling::Max).unwrap();
        let both = g.concat("inner", &[pooled, values]).unwrap();
        let mean = g.pool_rows("mean", x, Pooling::Mean).unwrap();
        let both = g.concat("outer", &[mean, both]).unwrap();
        let logit = dense(g, "head", both, 1);
        g.binary_logits("logits", logit).unwrap()
    };
    check(describe, &[3, 17, 1, 32]);
}

/// Rows turned by their places, some that see only those near by, and a feed-forward part with a gate.
#[test]
fn rotary_local_attention_and_gates() {
    let describe = |g: &mut GraphBuilder, tokens, values| {
        let x = g.embedding("embedding", tokens, TOKENS, 12, 0.1).unwrap();
        let mut x = g.layer_norm("first", x).unwrap();
        for (layer, (base, reach)) in [(100.0, usize::MAX), (10.0, 3), (10.0, 0)].into_iter().enumerate() {
            let y = g.layer_norm(&format!("{layer}.norm"), x).unwrap();
            let y = dense(g, &format!("{layer}.all"), y, 36);
            let y = g.rotary(&format!("{layer}.turned"), y, 3, base).unwrap();
            let y = g.local_attention(&format!("{layer}.attention"), y, 3, reach).unwrap();
            let y = dense(g, &format!("{layer}.output"), y, 12);
            x = g.add("attended", x, y).unwrap();
            let y = g.layer_norm(&format!("{layer}.second"), x).unwrap();
            let y = dense(g, &format!("{layer}.expand"), y, 20);
            let y = g.gated_gelu("gated", y).unwrap();
            let y = dense(g, &format!("{layer}.contract"), y, 12);
            x = g.add("result", x, y).unwrap();
        }
        let x = g.layer_norm("last", x).unwrap();
        let x = g.pool_rows("mean", x, Pooling::Mean).unwrap();
        let x = g.layer_norm("pooled", x).unwrap();
        let x = g.concat("joined", &[x, values]).unwrap();
        dense(g, "head", x, 3)
    };
    check(describe, &[1, 60, 7, 300, 49, 2]);
}

/// An encoder of post-norm layers whose dense layers suit whole vectors, but for the one of the tags.
fn encoder(g: &mut GraphBuilder, tags: Option<usize>) -> NodeId {
    let tokens = g.input("tokens", Shape::Tokens);
    let x = g.embedding("embedding", tokens, TOKENS, 32, 0.0).unwrap();
    let x = g.positions("positions", x, 200).unwrap();
    let mut x = g.layer_norm("first", x).unwrap();
    for layer in 0..2 {
        let y = dense(g, &format!("{layer}.all"), x, 96);
        let y = g.attention(&format!("{layer}.attention"), y, 2).unwrap();
        let y = dense(g, &format!("{layer}.output"), y, 32);
        let y = g.add("attended", y, x).unwrap();
        x = g.layer_norm(&format!("{layer}.norm"), y).unwrap();
        let y = dense(g, &format!("{layer}.expand"), x, 64);
        let y = g.activation(y, Activation::Gelu);
        let y = dense(g, &format!("{layer}.contract"), y, 32);
        let y = g.add("result", x, y).unwrap();
        x = g.layer_norm(&format!("{layer}.last"), y).unwrap();
    }
    match tags {
        Some(tags) => dense(g, "tags", x, tags),
        None => g.pool_rows("mean", x, Pooling::Mean).unwrap(),
    }
}

/// In less than single precision an encoder says nearly the same, and of a text the same alone and among others.
#[test]
fn in_less_than_single_precision_nearly_the_same() {
    for tags in [None, Some(16)] {
        let mut g = GraphBuilder::new();
        let output = encoder(&mut g, tags);
        let (network, sequences) = drawn(g.finish(output).unwrap(), 0, &[48, 1, 120, 49, 7, 200]);
        let inputs: Vec<_> =
            sequences.iter().map(|(tokens, _)| SequenceInput { tokens, values: &[] }).collect();
        let mut plan = network.plan().unwrap();
        // The last layer of a tagger is one whose result is the network's.
        let layers = 8 + usize::from(tags.is_some());
        assert_eq!(plan.dense_layers(), (layers, 0));
        let exact = plan.logits(&inputs).unwrap();
        for (numbers, most) in [(Numbers::Halves, 0.02), (Numbers::Bytes, 0.05)] {
            let mut plan = network.plan_as(numbers).unwrap();
            assert_eq!(plan.dense_layers(), (layers, 8));
            let low = plan.logits(&inputs).unwrap();
            let pairs = || low.iter().flatten().zip(exact.iter().flatten());
            let size: f32 = pairs().map(|(_, b)| b * b).sum();
            let off: f32 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
            assert!((off / size).sqrt() < most && off > 0.0, "{numbers:?}: {off} of {size}");
            for (input, together) in inputs.iter().zip(&low) {
                // A sum may be made in other parts, which may bring a value to the level next to it.
                let alone = &plan.logits(&[*input]).unwrap()[0];
                let near = |(a, b): (&f32, &f32)| (a - b).abs() < 0.02 * (1.0 + b.abs());
                assert!(alone.iter().zip(together).all(near), "{numbers:?}");
            }
        }
    }
}

/// Scores that say how far apart rows are: by keys, by queries, by both, of distances that share rows and that do not.
#[test]
fn relative_attention() {
    for (keys, queries, most) in
        [(true, true, Some(40)), (true, false, None), (false, true, Some(300)), (true, true, None)]
    {
        let places = RelativePlaces { span: 8, most, keys, queries };
        let describe = |g: &mut GraphBuilder, tokens, values| {
            let x = g.embedding("embedding", tokens, TOKENS, 12, 0.1).unwrap();
            let y = dense(g, "all", x, 36);
            let y = g.relative_attention("attention", y, 3, places).unwrap();
            let y = dense(g, "output", y, 12);
            let x = g.add("attended", y, x).unwrap();
            let x = g.pool_rows("mean", x, Pooling::Mean).unwrap();
            let x = g.concat("joined", &[x, values]).unwrap();
            dense(g, "head", x, 3)
        };
        check(describe, &[1, 60, 7, 130, 49, 2]);
    }
    let mut g = GraphBuilder::new();
    let tokens = g.input("tokens", Shape::Tokens);
    let x = g.embedding("embedding", tokens, TOKENS, 12, 0.1).unwrap();
    let places = RelativePlaces { span: 0, most: None, keys: true, queries: true };
    assert!(g.relative_attention("attention", x, 2, places).is_err());
}

/// Distances far apart share rows, the farther the more; beyond the farthest all are one.
#[test]
fn distances_are_told_apart_near_by() {
    let places = RelativePlaces { span: 8, most: Some(40), keys: true, queries: true };
    let rows: Vec<usize> =
        [0, 1, -1, 4, -4, 5, 6, 8, 12, 20, 39, 40, 4000, -5, -39, -4000].map(|d| places.row(d)).to_vec();
    assert_eq!(rows, [8, 9, 7, 12, 4, 13, 13, 13, 14, 15, 15, 15, 15, 3, 1, 0]);
    let plain = RelativePlaces { most: None, ..places };
    assert_eq!([-9, -8, -7, 0, 7, 8, 9].map(|d| plain.row(d)), [0, 0, 1, 8, 15, 15, 15]);
}

/// Functions of vectors, as the heads of encoders have them.
#[test]
fn functions_of_vectors() {
    let describe = |g: &mut GraphBuilder, tokens, values| {
        let x = g.embedding("embedding", tokens, TOKENS, 9, 0.1).unwrap();
        let x = g.pool_rows("first", x, Pooling::First).unwrap();
        let a = dense(g, "a", x, 5);
        let a = g.activation(a, Activation::Tanh);
        let b = dense(g, "b", values, 4);
        let b = g.activation(b, Activation::Relu);
        let both = g.concat("both", &[a, b]).unwrap();
        let c = dense(g, "c", both, 6);
        let c = g.activation(c, Activation::Gelu);
        dense(g, "head", c, 3)
    };
    check(describe, &[3, 1, 40]);
}

/// A result for every token, of groups of sequences and of blocks of rows.
#[test]
fn rows_as_the_result() {
    let mut g = GraphBuilder::new();
    let tokens = g.input("tokens", Shape::Tokens);
    let x = g.embedding("embedding", tokens, TOKENS, 12, 0.1).unwrap();
    let x = g.positions("positions", x, 300).unwrap();
    let y = dense(&mut g, "all", x, 36);
    let y = g.attention("attention", y, 2).unwrap();
    let y = dense(&mut g, "output", y, 12);
    let x = g.add("attended", y, x).unwrap();
    let x = g.layer_norm("norm", x).unwrap();
    let x = dense(&mut g, "tags", x, 5);
    compare(g.finish(x).unwrap(), 0, &[48, 1, 49, 300, 7, 200, 60]);
}

#[test]
fn what_cannot_be_served_is_refused_by_the_name_of_its_layer() {
    let mut g = GraphBuilder::new();
    let tokens = g.input("tokens", Shape::Tokens);
    let x = g.embedding("embedding", tokens, TOKENS, 4, 0.0).unwrap();
    let x = g.lstm("states", x, 4, false, 0.0).unwrap();
    let x = dense(&mut g, "dense", x, 4);
    let x = g.pool_rows("mean", x, Pooling::Mean).unwrap();
    let network = SequenceNetwork::new(g.finish(x).unwrap(), &mut Params::fresh(1)).unwrap();
    let error = network.plan().map(drop).unwrap_err().to_string();
    assert!(error.starts_with("dense: this layer cannot be served in a network over sequences"), "{error}");
}
