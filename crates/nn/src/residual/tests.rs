//! A step beside the same layers in candle's own operations and double precision, whose gradients
//! candle derives.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Var};

use super::*;
use crate::random;

/// A network: channels of the images, side of the stem's kernel and its stride, then for each block
/// its channels and stride; the first channels are the stem's.
#[derive(Debug, Clone, Copy)]
struct Shape(usize, usize, usize, &'static [(usize, usize)]);

const SHAPES: [(Shape, [usize; 3]); 7] = [
    (Shape(1, 3, 1, &[(16, 1), (16, 1), (32, 2), (48, 2)]), [9, 12, 12]),
    (Shape(3, 7, 2, &[(8, 1), (8, 1), (20, 2)]), [5, 23, 15]),
    (Shape(9, 3, 1, &[(5, 1), (5, 1), (5, 2), (7, 1)]), [70, 4, 6]),
    (Shape(1, 3, 1, &[(16, 1), (16, 3)]), [2, 7, 1]),
    (Shape(2, 1, 1, &[(3, 1)]), [4, 3, 3]),
    (Shape(1, 5, 1, &[(16, 1), (128, 2), (128, 1)]), [33, 6, 6]),
    (Shape(1, 3, 1, &[(16, 1), (16, 1)]), [1, 33, 70]),
];

fn build(shape: Shape, params: &mut Params) -> Trunk {
    let Shape(channels, kernel, stride, widths) = shape;
    let mut before = widths[0].0;
    let stem = ConvNorm::new(params, "stem", channels, before, kernel, stride).unwrap();
    let mut blocks = Vec::new();
    for (place, (width, stride)) in widths[1..].iter().enumerate() {
        blocks.push(Block::new(params, &format!("{place}"), before, *width, *stride).unwrap());
        before = *width;
    }
    Trunk::new(stem, blocks)
}

/// Parameters and a trunk, scales and shifts other than they start.
fn trunk(shape: Shape, seed: u64) -> (Params, Trunk) {
    let mut params = Params::fresh(seed);
    let trunk = build(shape, &mut params);
    let mut rng = random::stream(seed, "values");
    for (name, var) in params.trainable() {
        if name.contains("norm") {
            let values: Vec<f32> =
                (0..var.elem_count()).map(|_| random::uniform(&mut rng, 0.3, 1.5)).collect();
            var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
        }
    }
    (params, trunk)
}

fn noise(dims: &[usize], seed: u64) -> Tensor {
    let mut rng = random::stream(seed, "noise");
    let values: Vec<f32> = (0..dims.iter().product()).map(|_| random::normal(&mut rng)).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn values(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The layers in candle's operations over `params` in double precision.
struct Plain {
    params: BTreeMap<String, Var>,
}

impl Plain {
    fn layer(&self, name: &str, x: &Tensor, kernel: usize, stride: usize) -> Result<Tensor> {
        let param = |part: &str| self.params[&format!("{name}.{part}")].as_tensor();
        let x = x.conv2d(param("conv.weight"), kernel / 2, stride, 1, 1)?;
        let centred = x.broadcast_sub(&x.mean_keepdim((0, 2, 3))?)?;
        let variance = centred.sqr()?.mean_keepdim((0, 2, 3))?;
        let normal = centred.broadcast_div(&(variance + f64::from(crate::norm::EPSILON))?.sqrt()?)?;
        let [scale, shift] = ["norm.scale", "norm.shift"].map(|part| param(part).reshape((1, (), 1, 1)));
        normal.broadcast_mul(&scale?)?.broadcast_add(&shift?)
    }

    fn forward(&self, shape: Shape, images: &Tensor) -> Result<Tensor> {
        let Shape(_, kernel, stride, widths) = shape;
        let mut x = self.layer("stem", images, kernel, stride)?.relu()?;
        for (place, (_, stride)) in widths[1..].iter().enumerate() {
            let y = self.layer(&format!("{place}.first"), &x, 3, *stride)?.relu()?;
            let y = self.layer(&format!("{place}.second"), &y, 3, 1)?;
            x = match self.params.contains_key(&format!("{place}.around.conv.weight")) {
                true => (y + self.layer(&format!("{place}.around"), &x, 1, *stride)?)?.relu()?,
                false => (y + x)?.relu()?,
            };
        }
        x.flatten_from(2)?.mean(candle_core::D::Minus1)
    }
}

fn train(trunk: &Trunk, images: &Tensor) -> Result<Tensor> {
    trunk.forward(images, &Pass::Training(&mut random::stream(0, "pass")))
}

#[test]
fn values_and_all_gradients_agree_with_double_precision() {
    for (shape, [batch, height, width]) in SHAPES {
        let (params, trunk) = trunk(shape, 7);
        let images = Var::from_tensor(&noise(&[batch, shape.0, height, width], 8)).unwrap();
        let got = train(&trunk, &images).unwrap();
        let weights = noise(got.dims(), 9);
        let gradients = (&got * &weights).unwrap().sum_all().unwrap().backward().unwrap();

        let double = |tensor: &Tensor| Var::from_tensor(&tensor.to_dtype(DType::F64).unwrap()).unwrap();
        let plain = Plain {
            params: params.trainable().iter().map(|(name, var)| (name.clone(), double(var))).collect(),
        };
        let plain_images = double(&images);
        let want = plain.forward(shape, &plain_images).unwrap();
        let loss = (&want * weights.to_dtype(DType::F64).unwrap()).unwrap().sum_all().unwrap();
        let want_gradients = loss.backward().unwrap();

        let close = |name: &str, got: &Tensor, want: &Tensor| {
            assert_eq!(got.dims(), want.dims());
            let (got, want) = (values(got), values(want));
            let largest = want.iter().fold(0.1f64, |most, value| most.max(value.abs()));
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() < 1e-3 * largest, "{shape:?} {name}: {got} for {want}, {largest}");
            }
        };
        close("features", &got, &want);
        close("images", gradients.get(&images).unwrap(), want_gradients.get(&plain_images).unwrap());
        for (name, var) in params.trainable() {
            close(name, gradients.get(var).unwrap(), want_gradients.get(&plain.params[name]).unwrap());
        }
    }
}

#[test]
fn the_number_of_cores_does_not_show() {
    let (shape, [batch, height, width]) = SHAPES[0];
    let images = noise(&[batch * 8, shape.0, height, width], 1);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (params, trunk) = trunk(shape, 2);
            let features = train(&trunk, &images).unwrap();
            let gradients = features.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let of = |var: &Var| values(gradients.get(var).unwrap());
            let moved = params.snapshot().unwrap();
            (
                values(&features),
                params.trainable().values().map(of).collect::<Vec<_>>(),
                moved.values().map(values).collect::<Vec<_>>(),
            )
        })
    };
    let one = run(1);
    assert!(one == run(2) && one == run(5));
}

#[test]
fn running_statistics_follow_the_batch() {
    let (params, trunk) = trunk(SHAPES[1].0, 3);
    let images = noise(&[6, 3, 23, 17], 4);
    train(&trunk, &images).unwrap();
    let x = trunk.stem.conv.forward(&images, &Pass::Inference).unwrap();
    let x = x.transpose(0, 1).unwrap().flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
    let moved = params.snapshot().unwrap();
    let [means, variances] =
        ["mean", "variance"].map(|name| values(&moved[&format!("stem.norm.running_{name}")]));
    for (channel, x) in x.iter().enumerate() {
        let n = x.len() as f64;
        let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
        let variance = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / (n - 1.0);
        assert!((means[channel] - 0.1 * mean).abs() < 1e-5);
        assert!((variances[channel] - 0.9 - 0.1 * variance).abs() < 1e-4);
    }
}

#[test]
fn a_batch_of_one_value_stays_finite() {
    let (params, trunk) = trunk(Shape(1, 3, 1, &[(4, 1), (4, 1)]), 5);
    let images = noise(&[1, 1, 1, 1], 6);
    let features = train(&trunk, &images).unwrap();
    let gradients = features.sum_all().unwrap().backward().unwrap();
    assert!(values(&features).iter().all(|value| value.is_finite()));
    for var in params.trainable().values() {
        assert!(values(gradients.get(var).unwrap()).iter().all(|value| value.is_finite()));
    }
    let answer = trunk.forward(&images, &Pass::Inference).unwrap();
    assert!(values(&answer).iter().all(|value| value.is_finite()));
}

/// The stem makes channels of one value of images of one value.
#[test]
fn a_channel_of_one_value_stays_finite() {
    let (_, trunk) = trunk(Shape(1, 1, 1, &[(4, 1), (4, 1)]), 5);
    for value in [0.0f32, 1e-20, 1e4, 1e8] {
        let images = Tensor::full(value, (5, 1, 9, 9), &Device::Cpu).unwrap();
        let features = train(&trunk, &images).unwrap();
        assert!(values(&features).iter().all(|value| value.is_finite()), "{value}");
    }
}

#[test]
fn what_is_no_number_is_not_hidden() {
    let (_, trunk) = trunk(SHAPES[0].0, 5);
    for poison in [f32::NAN, f32::INFINITY] {
        let mut pixels: Vec<f32> = noise(&[3 * 144], 5).to_vec1().unwrap();
        pixels[144 + 70] = poison;
        let images = Tensor::from_vec(pixels, (3, 1, 12, 12), &Device::Cpu).unwrap();
        assert!(values(&train(&trunk, &images).unwrap()).iter().all(|value| !value.is_finite()));
        let answer = trunk.forward(&images, &Pass::Inference).unwrap();
        assert!(values(&answer.get(1).unwrap()).iter().all(|value| !value.is_finite()));
    }
}

#[test]
fn a_view_into_a_larger_tensor_is_read_at_its_place() {
    let (_, trunk) = trunk(SHAPES[1].0, 5);
    let all = noise(&[6, 3, 18, 20], 5);
    let view = all.narrow(0, 2, 3).unwrap().transpose(2, 3).unwrap();
    let copy =
        Tensor::from_vec(view.flatten_all().unwrap().to_vec1::<f32>().unwrap(), view.shape(), &Device::Cpu);
    assert_eq!(values(&train(&trunk, &view).unwrap()), values(&train(&trunk, &copy.unwrap()).unwrap()));
}

#[test]
fn empty_batches_and_the_weights_of_a_package_are_errors() {
    let (params, trunk) = trunk(SHAPES[0].0, 5);
    let empty = Tensor::zeros((0, 1, 12, 12), DType::F32, &Device::Cpu).unwrap();
    assert!(train(&trunk, &empty).unwrap_err().to_string().contains("empty"));
    let frozen = build(SHAPES[0].0, &mut Params::frozen(params.snapshot().unwrap()));
    assert!(train(&frozen, &noise(&[2, 1, 12, 12], 5)).unwrap_err().to_string().contains("frozen"));
    assert!(train(&trunk, &noise(&[2, 2, 12, 12], 5)).unwrap_err().to_string().contains("do not fit"));
}
