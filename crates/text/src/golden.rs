//! The networks over tokens against PyTorch: same weights, same notes, same logits. PyTorch pads
//! and masks, medserve packs; `tests/golden/text.py` made the values.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::encoder::{Encoded, Example};
use crate::network::{self, Plan};
use crate::tokenizer::Tokens;
use candle_core::{Device, Tensor};
use model::manifest::{Architecture, Field, FieldKind, RecordInput};
use nn::{Network, Params, Pass};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    architecture: Architecture,
    labels: usize,
    max_tokens: usize,
    notes: Vec<Vec<u32>>,
    fields: Vec<Vec<f32>>,
    weights: BTreeMap<String, Values>,
    logits: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Values {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Case {
    /// The network as it trains, and as it serves.
    fn networks(&self) -> (Box<dyn Network<Vec<Example>>>, Plan) {
        let tensor = |v: &Values| Tensor::from_slice(&v.values, v.shape.as_slice(), &Device::Cpu).unwrap();
        let weights: BTreeMap<String, Tensor> =
            self.weights.iter().map(|(name, values)| (name.clone(), tensor(values))).collect();
        // One field of two values has three inputs.
        let values = vec!["no".to_string(), "yes".to_string()];
        let field = Field { name: "pain".to_string(), kind: FieldKind::Categorical { values } };
        let input = RecordInput { max_tokens: self.max_tokens, fields: vec![field] };
        let mut params = Params::frozen(weights.clone());
        let graph = network::build(&self.architecture, &input, self.labels, &mut params).unwrap();
        params.finish().unwrap();
        let mut params = Params::frozen(weights);
        let plan = network::plan(&self.architecture, &input, self.labels, &mut params).unwrap();
        params.finish().unwrap();
        (graph, plan)
    }

    fn examples(&self) -> Vec<Example> {
        let example = |(ids, fields): (&Vec<u32>, &Vec<f32>)| {
            let tokens = Tokens { ids: ids.clone(), total: ids.len() };
            Arc::new(Encoded { tokens, words: Vec::new(), characters: Vec::new(), fields: fields.clone() })
        };
        self.notes.iter().zip(&self.fields).map(example).collect()
    }
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../../../tests/golden/text.json")).unwrap()
}

fn logits(network: &dyn Network<Vec<Example>>, batch: &[Example]) -> Vec<Vec<f32>> {
    network.logits(&batch.to_vec(), &mut Pass::Inference).unwrap().to_vec2().unwrap()
}

#[test]
fn logits_are_those_of_pytorch() {
    for case in cases() {
        let kind = case.architecture.as_str();
        let (graph, mut plan) = case.networks();
        for got in [logits(graph.as_ref(), &case.examples()), plan.logits(&case.examples()).unwrap()] {
            assert_eq!(got.len(), case.logits.len());
            for (got, want) in got.iter().flatten().zip(case.logits.iter().flatten()) {
                assert!((f64::from(*got) - want).abs() < 1e-5, "{kind}: {got} for {want}");
            }
        }
    }
}

#[test]
fn batchmates_change_nothing() {
    for case in cases() {
        let (network, _) = case.networks();
        let together = logits(network.as_ref(), &case.examples());
        for (example, together) in case.examples().iter().zip(together) {
            let alone = logits(network.as_ref(), std::slice::from_ref(example));
            let gap = alone[0].iter().zip(&together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(gap < 1e-6, "{}: {gap}", case.architecture.as_str());
        }
    }
}
