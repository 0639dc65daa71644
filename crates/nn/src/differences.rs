//! Gradients beside finite differences, for the tests of layers.

use candle_core::{Device, Shape, Tensor, Var};

use super::random;

/// Normal values of a shape, by `seed`.
pub fn draw(shape: impl Into<Shape>, seed: u64) -> Tensor {
    let shape = shape.into();
    let mut rng = random::stream(seed, "differences");
    let values: Vec<f32> = (0..shape.elem_count()).map(|_| random::normal(&mut rng)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Asserts that the gradient of the sum of `layer(at) * weights` by `at`, under fixed random
/// weights, is what small steps around `at` say.
pub fn assert_gradient(at: &Tensor, layer: impl Fn(&Tensor) -> Tensor) {
    const STEP: f32 = 1e-2;
    let loss = |x: &Tensor| {
        let y = layer(x);
        (&y * draw(y.shape().clone(), 99)).unwrap().sum_all().unwrap()
    };
    let var = Var::from_tensor(at).unwrap();
    let gradients = loss(&var).backward().unwrap();
    let own = gradients.get(&var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let values = at.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for place in 0..values.len() {
        let shifted = |by: f32| {
            let mut moved = values.clone();
            moved[place] += by;
            loss(&Tensor::from_vec(moved, at.shape(), &Device::Cpu).unwrap()).to_scalar::<f32>().unwrap()
        };
        let difference = (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP);
        let near = 5e-3 * (1.0 + difference.abs());
        assert!((difference - own[place]).abs() < near, "{place}: {difference} {}", own[place]);
    }
}
