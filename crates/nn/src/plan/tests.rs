//! Plans beside the definition of their layers in double precision.

use std::sync::Arc;

use super::*;
use crate::reference;
use crate::step::tests::{NETWORKS, double, doubles, graph, noise, trained};

#[test]
fn a_plan_says_what_the_layers_say_alone_and_in_a_batch() {
    for (name, input, layers) in NETWORKS {
        let graph = graph(input, layers);
        let values = trained(&graph, 4);
        let images = noise(&[37, input[0], input[1], input[2]], 5);
        let want = reference::run(&graph, &doubles(&values), &double(&images), 37, false);
        let weights: BTreeMap<String, Vec<f32>> = values
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.flatten_all().unwrap().to_vec1().unwrap()))
            .collect();
        let images: Vec<Vec<f32>> = images.flatten_from(1).unwrap().to_vec2().unwrap();
        for exact in [false, true] {
            let plan = Plan::new(&graph, &weights, exact).unwrap();
            let labels = plan.labels();
            let mut runner = Runner::new(Arc::new(plan));
            let mut rows = Vec::new();
            runner.run(&images, |row| rows.push(row.to_vec())).unwrap();
            assert_eq!(rows.len() * labels, want.len());
            for (got, want) in rows.iter().flatten().zip(&want) {
                let apart = (f64::from(*got) - want).abs();
                assert!(apart < 1e-4 * (1.0 + want.abs()), "{name}: {got} for {want}");
            }
            for (image, row) in images.iter().zip(&rows).rev() {
                runner.run(&[image], |alone| assert!(close(alone, row), "{name}")).unwrap();
            }
        }
    }
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5 * (1.0 + b.abs()))
}

#[test]
fn weights_that_are_missing_are_named() {
    let (_, input, layers) = NETWORKS[1];
    let error = Plan::new(&graph(input, layers), &BTreeMap::new(), false).unwrap_err().to_string();
    assert!(error.contains("\"stem.weight\""), "{error}");
}
