use std::sync::Arc;

use candle_core::Tensor;
use proptest::prelude::*;

use super::{Plan, TokenNetwork};
use crate::encoder::{Encoded, Example};
use crate::lstm::lstm;
use crate::tokenizer::Tokens;
use crate::transformer::transformer;
use model::manifest::{LstmConfig, TransformerConfig};
use nn::{Graph, Network, Params, Pass, SequenceNetwork, random};

const VOCABULARY: usize = 30;
const TOKENS: usize = 300;

fn lstm_config(embedding: usize, hidden: usize, bidirectional: bool) -> LstmConfig {
    LstmConfig {
        vocabulary: VOCABULARY,
        embedding,
        hidden,
        bidirectional,
        token_dropout: 0.1,
        dropout: 0.1,
        recurrent_dropout: 0.1,
    }
}

fn transformer_config(width: usize, heads: usize, layers: usize, feed_forward: usize) -> TransformerConfig {
    TransformerConfig {
        vocabulary: VOCABULARY,
        width,
        heads,
        layers,
        feed_forward,
        token_dropout: 0.1,
        dropout: 0.1,
    }
}

/// Values of a network that training could have come to: no bias is zero, no scale is one.
fn params(seed: u64, build: impl Fn(&mut Params)) -> Params {
    let mut fresh = Params::fresh(seed);
    build(&mut fresh);
    let moved = |(name, tensor): (String, Tensor)| {
        let mut rng = random::stream(seed, &name);
        let noise: Vec<f32> = (0..tensor.elem_count()).map(|_| 0.2 * random::normal(&mut rng)).collect();
        let noise = Tensor::from_vec(noise, tensor.shape(), tensor.device()).unwrap();
        (name, (tensor + noise).unwrap())
    };
    Params::frozen(fresh.snapshot().unwrap().into_iter().map(moved).collect())
}

fn notes(seed: u64, lengths: &[usize], fields: usize) -> Vec<Example> {
    let mut rng = random::stream(seed, "notes");
    let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| random::normal(&mut rng)).collect() };
    let note = |length: &usize| {
        let ids = draw(*length).iter().map(|x| (x.abs() * 1e3) as u32 % VOCABULARY as u32).collect();
        let tokens = Tokens { ids, total: *length };
        Arc::new(Encoded { tokens, words: Vec::new(), characters: Vec::new(), fields: draw(fields) })
    };
    lengths.iter().map(note).collect()
}

/// The network as it trains and as it serves.
fn pair(graph: &Graph, seed: u64) -> (TokenNetwork, Plan) {
    let build = |params: &mut Params| SequenceNetwork::new(graph.clone(), params).unwrap();
    let network = build(&mut params(seed, |params| drop(build(params))));
    let plan = Plan::Tokens(Box::new(network.plan().unwrap()));
    (TokenNetwork(network), plan)
}

fn lstm_pair(config: &LstmConfig, fields: usize, labels: usize, seed: u64) -> (TokenNetwork, Plan) {
    pair(&lstm(config, fields, labels).unwrap(), seed)
}

fn transformer_pair(
    config: &TransformerConfig,
    fields: usize,
    labels: usize,
    seed: u64,
) -> (TokenNetwork, Plan) {
    pair(&transformer(config, TOKENS, fields, labels).unwrap(), seed)
}

/// That the plan agrees with the network, and a batch with its notes one by one.
fn check(network: &dyn Network<Vec<Example>>, plan: &mut Plan, batch: Vec<Example>) {
    let graph: Vec<Vec<f32>> = network.logits(&batch, &mut Pass::Inference).unwrap().to_vec2().unwrap();
    let together = plan.logits(&batch).unwrap();
    assert_eq!(together.len(), batch.len());
    for ((note, graph), together) in batch.iter().zip(graph).zip(together) {
        let alone = plan.logits(std::slice::from_ref(note)).unwrap().remove(0);
        assert_eq!(together.len(), graph.len());
        for ((graph, together), alone) in graph.iter().zip(&together).zip(alone) {
            assert!((graph - together).abs() < 1e-4 * graph.abs().max(1.0), "{together} for {graph}");
            assert!((alone - together).abs() < 1e-5 * alone.abs().max(1.0), "{together}, alone {alone}");
        }
    }
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1usize..12, 1usize..120, Just(16), Just(64)], 1..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_recurrent_network_serves_as_it_was_trained(
        embedding in 1usize..40, hidden in 1usize..70, bidirectional: bool, fields in 0usize..4,
        labels in 2usize..7, lengths in lengths(), seed: u64,
    ) {
        let config = lstm_config(embedding, hidden, bidirectional);
        let (network, mut plan) = lstm_pair(&config, fields, labels, seed);
        check(&network, &mut plan, notes(seed, &lengths, fields));
    }

    #[test]
    fn an_encoder_serves_as_it_was_trained(
        heads in 1usize..5, size in 1usize..40, layers in 1usize..4, feed_forward in 1usize..90,
        fields in 0usize..4, labels in 2usize..7, lengths in lengths(), seed: u64,
    ) {
        let config = transformer_config(heads * size, heads, layers, feed_forward);
        let (network, mut plan) = transformer_pair(&config, fields, labels, seed);
        check(&network, &mut plan, notes(seed, &lengths, fields));
    }
}

#[test]
fn the_sizes_that_train_makes_by_default_agree_on_long_and_short_notes() {
    let lengths = [300, 1, 64, 7, 300, 49];
    let (network, mut plan) = lstm_pair(&lstm_config(128, 128, true), 3, 5, 1);
    check(&network, &mut plan, notes(1, &lengths, 3));
    let (network, mut plan) = transformer_pair(&transformer_config(128, 4, 2, 256), 3, 5, 2);
    check(&network, &mut plan, notes(2, &lengths, 3));
}

#[test]
fn what_the_network_cannot_read_is_refused_and_the_next_batch_is_answered() {
    let (_, recurrent) = lstm_pair(&lstm_config(8, 8, true), 2, 3, 3);
    let (_, encoder) = transformer_pair(&transformer_config(8, 2, 1, 8), 2, 3, 4);
    for mut plan in [recurrent, encoder] {
        let good = notes(3, &[5, 9], 2);
        let before = plan.logits(&good).unwrap();
        let refused = |plan: &mut Plan, note: Encoded, reason: &str| {
            let error = plan.logits(&[good[0].clone(), Arc::new(note)]).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        };
        let tokens =
            |ids: Vec<u32>| Encoded { tokens: Tokens { total: ids.len(), ids }, ..good[0].as_ref().clone() };
        refused(&mut plan, tokens(vec![]), "a sequence of 0 tokens");
        refused(&mut plan, tokens(vec![VOCABULARY as u32]), "the token 30 in a vocabulary of 30");
        refused(
            &mut plan,
            Encoded { fields: vec![0.0], ..tokens(vec![1]) },
            "a sequence with 1 values, where 2 are read",
        );
        assert_eq!(plan.logits(&good).unwrap(), before);
        assert_eq!(plan.logits(&[]).unwrap(), Vec::<Vec<f32>>::new());
    }
}

#[test]
fn what_is_no_number_comes_out_as_none_in_its_own_record_alone() {
    let (_, recurrent) = lstm_pair(&lstm_config(8, 8, true), 2, 3, 5);
    let (_, encoder) = transformer_pair(&transformer_config(8, 2, 2, 8), 2, 3, 6);
    for mut plan in [recurrent, encoder] {
        let good = notes(7, &[5, 20], 2);
        let alone = plan.logits(&good[..1]).unwrap();
        for bad in [f32::NAN, f32::INFINITY] {
            let odd = Arc::new(Encoded { fields: vec![0.5, bad], ..good[1].as_ref().clone() });
            let logits = plan.logits(&[good[0].clone(), odd]).unwrap();
            assert!(logits[1].iter().all(|x| !x.is_finite()), "{:?}", logits[1]);
            assert!(logits[0].iter().zip(&alone[0]).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }
}

#[test]
fn weights_that_are_no_numbers_never_give_numbers() {
    for bad in [f32::NAN, f32::INFINITY] {
        for name in ["embedding.weight", "forward.input.weight", "forward.recurrent"] {
            let config = lstm_config(8, 8, true);
            never_numbers(&lstm(&config, 0, 3).unwrap(), 8, name, bad);
        }
        for name in
            ["embedding.weight", "layer0.queries_keys_values.weight", "layer1.expand.weight", "pool.weight"]
        {
            let config = transformer_config(8, 2, 2, 8);
            never_numbers(&transformer(&config, TOKENS, 0, 3).unwrap(), 9, name, bad);
        }
    }
}

/// Every value of one tensor is `bad`.
fn spoilt(seed: u64, name: &str, bad: f32, build: impl Fn(&mut Params)) -> Params {
    let mut fresh = Params::fresh(seed);
    build(&mut fresh);
    let mut values = fresh.snapshot().unwrap();
    let tensor = values.get_mut(name).unwrap();
    *tensor = Tensor::full(bad, tensor.shape(), tensor.device()).unwrap();
    Params::frozen(values)
}

fn never_numbers(graph: &Graph, seed: u64, name: &str, bad: f32) {
    let build = |params: &mut Params| SequenceNetwork::new(graph.clone(), params).unwrap();
    let plan = build(&mut spoilt(seed, name, bad, |params| drop(build(params)))).plan().unwrap();
    let mut plan = Plan::Tokens(Box::new(plan));
    for row in plan.logits(&notes(8, &[2, 5, 20], 0)).unwrap() {
        assert!(row.iter().all(|x| !x.is_finite()), "{name} {bad}: {row:?}");
    }
}
