//! Every kernel against the definition in double precision, over random shapes.

use super::*;
use crate::random;
use candle_core::{Device, Var};
use proptest::prelude::*;

type Four = (usize, usize, usize, usize);

fn draw(shape: Four, seed: u64, name: &str) -> Tensor {
    let mut rng = random::stream(seed, name);
    let count = shape.0 * shape.1 * shape.2 * shape.3;
    let values: Vec<f32> = (0..count).map(|_| random::normal(&mut rng)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

fn distance(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Calls `f(place in x, place in w, place in y)` for every product of the definition.
fn products(x: Four, w: Four, conv: ConvShape, mut f: impl FnMut(usize, usize, usize)) -> Four {
    let ConvShape { kernel, stride, padding, dilation, groups } = conv;
    let side = |length: usize| (length + 2 * padding - (kernel - 1) * dilation - 1) / stride + 1;
    let y = (x.0, w.0, side(x.2), side(x.3));
    for n in 0..y.0 {
        for o in 0..y.1 {
            for (oy, ox) in (0..y.2).flat_map(|oy| (0..y.3).map(move |ox| (oy, ox))) {
                for i in 0..w.1 {
                    for (ky, kx) in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
                        let row = (oy * stride + ky * dilation).wrapping_sub(padding);
                        let column = (ox * stride + kx * dilation).wrapping_sub(padding);
                        if row < x.2 && column < x.3 {
                            let channel = o / (w.0 / groups) * w.1 + i;
                            f(
                                ((n * x.1 + channel) * x.2 + row) * x.3 + column,
                                ((o * w.1 + i) * kernel + ky) * kernel + kx,
                                ((n * y.1 + o) * y.2 + oy) * y.3 + ox,
                            );
                        }
                    }
                }
            }
        }
    }
    y
}

/// The definition, in double precision.
fn plain(x: &Tensor, w: &Tensor, conv: ConvShape) -> Tensor {
    let (xs, ws) = (values(x), values(w));
    let shape = products(x.dims4().unwrap(), w.dims4().unwrap(), conv, |_, _, _| {});
    let mut y = vec![0f64; shape.0 * shape.1 * shape.2 * shape.3];
    products(x.dims4().unwrap(), w.dims4().unwrap(), conv, |i, j, k| {
        y[k] += f64::from(xs[i]) * f64::from(ws[j]);
    });
    Tensor::from_vec(y.into_iter().map(|v| v as f32).collect::<Vec<_>>(), shape, &Device::Cpu).unwrap()
}

/// Its gradients for a gradient `g` of the output, in double precision.
fn plain_gradients(x: &Tensor, w: &Tensor, g: &Tensor, conv: ConvShape) -> [Tensor; 2] {
    let (xs, ws, gs) = (values(x), values(w), values(g));
    let (mut dx, mut dw) = (vec![0f64; xs.len()], vec![0f64; ws.len()]);
    products(x.dims4().unwrap(), w.dims4().unwrap(), conv, |i, j, k| {
        dx[i] += f64::from(ws[j]) * f64::from(gs[k]);
        dw[j] += f64::from(xs[i]) * f64::from(gs[k]);
    });
    [(dx, x), (dw, w)].map(|(values, like)| {
        let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
        Tensor::from_vec(values, like.shape(), &Device::Cpu).unwrap()
    })
}

/// Shapes of every kernel: few and many channels, odd sides, gaps, groups.
fn shapes() -> impl Strategy<Value = (Four, Four, ConvShape)> {
    let channels = prop_oneof![1usize..5, 7usize..20];
    let kernel = prop_oneof![Just(3usize), 1usize..6];
    let stride = prop_oneof![Just(1usize), 1usize..4];
    let dilation = prop_oneof![Just(1usize), 1usize..3];
    let groups = prop_oneof![Just(1usize), 1usize..3];
    let sides = (1usize..14, 1usize..14);
    (1usize..4, channels.clone(), channels, sides, kernel, stride, 0usize..4, dilation, groups)
        .prop_map(|(batch, inputs, outputs, (height, width), kernel, stride, padding, dilation, groups)| {
            let conv = ConvShape { kernel, stride, padding, dilation, groups };
            ((batch, inputs * groups, height, width), (outputs * groups, inputs, kernel, kernel), conv)
        })
        .prop_filter("the kernel fits", |(x, _, conv)| {
            x.2.min(x.3) + 2 * conv.padding > (conv.kernel - 1) * conv.dilation
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn agrees_with_the_definition((x, w, conv) in shapes(), parallel: bool, seed: u64) {
        let (x, w) = (draw(x, seed, "x"), draw(w, seed, "w"));
        let got = conv2d(&x, &w, conv, parallel).unwrap();
        prop_assert!(distance(&got, &plain(&x, &w, conv)) < 2e-4);
    }

    #[test]
    fn gradients_agree_with_the_definition((x, w, conv) in shapes(), seed: u64) {
        let x = Var::from_tensor(&draw(x, seed, "x")).unwrap();
        let w = Var::from_tensor(&draw(w, seed, "w")).unwrap();
        let y = conv2d(&x, &w, conv, true).unwrap();
        let g = draw(y.dims4().unwrap(), seed, "g");
        let got = (y * &g).unwrap().sum_all().unwrap().backward().unwrap();
        let [dx, dw] = plain_gradients(&x, &w, &g, conv);
        prop_assert!(distance(got.get(&x).unwrap(), &dx) < 5e-4);
        prop_assert!(distance(got.get(&w).unwrap(), &dw) < 2e-3);
    }
}

/// Sums over many images, where partial sums must fit together.
#[test]
fn a_batch_of_many_images_has_the_gradients_of_the_definition() {
    for (batch, inputs, outputs, side, stride) in [(37, 16, 24, 9, 1), (19, 3, 8, 12, 2), (33, 8, 16, 4, 1)] {
        let conv = ConvShape::new(3, stride, 1);
        let x = Var::from_tensor(&draw((batch, inputs, side, side), 1, "x")).unwrap();
        let w = Var::from_tensor(&draw((outputs, inputs, 3, 3), 1, "w")).unwrap();
        let y = conv2d(&x, &w, conv, true).unwrap();
        let g = draw(y.dims4().unwrap(), 1, "g");
        let got = (y * &g).unwrap().sum_all().unwrap().backward().unwrap();
        let [dx, dw] = plain_gradients(&x, &w, &g, conv);
        assert!(distance(got.get(&x).unwrap(), &dx) < 5e-4);
        assert!(distance(got.get(&w).unwrap(), &dw) < 5e-3);
    }
}

/// The definition knows its own gradient only if it is one: finite differences know better.
#[test]
fn gradients_agree_with_finite_differences() {
    let conv = ConvShape::new(3, 1, 1);
    let (x, w) = (draw((2, 8, 6, 5), 2, "x"), draw((8, 8, 3, 3), 2, "w"));
    let y = draw((2, 8, 6, 5), 2, "g");
    let loss = |x: &Tensor, w: &Tensor| -> f64 {
        let out = values(&plain(x, w, conv));
        out.iter().zip(values(&y)).map(|(out, g)| f64::from(*out) * f64::from(g)).sum()
    };
    let [vx, vw] = [&x, &w].map(|tensor| Var::from_tensor(tensor).unwrap());
    let out = (conv2d(&vx, &vw, conv, true).unwrap() * &y).unwrap().sum_all().unwrap();
    let got = out.backward().unwrap();
    for (place, (var, tensor)) in [(&vx, &x), (&vw, &w)].into_iter().enumerate() {
        let gradient = values(got.get(var).unwrap());
        for at in [0, 17, 101, gradient.len() - 1] {
            let moved = |by: f32| {
                let mut all = values(tensor);
                all[at] += by;
                let tensor = Tensor::from_vec(all, tensor.shape(), &Device::Cpu).unwrap();
                if place == 0 { loss(&tensor, &w) } else { loss(&x, &tensor) }
            };
            let slope = (moved(0.5) - moved(-0.5)) as f32;
            assert!((slope - gradient[at]).abs() < 1e-3, "{slope} and {}", gradient[at]);
        }
    }
}

#[test]
fn winograds_way_keeps_the_stated_error_with_large_activations_too() {
    for scale in [1.0, 1e3, 1e6] {
        let x = (draw((2, 64, 13, 11), 5, "x") * scale).unwrap();
        let w = draw((16, 64, 3, 3), 5, "w");
        let conv = ConvShape::new(3, 1, 1);
        let largest = values(&x).iter().fold(0f32, |most, v| most.max(v.abs()));
        let weights =
            values(&w).chunks(64 * 9).map(|w| w.iter().map(|v| v.abs()).sum::<f32>()).fold(0.0, f32::max);
        let error = distance(&conv2d(&x, &w, conv, false).unwrap(), &plain(&x, &w, conv));
        assert!(error < crate::winograd::ERROR * largest * weights, "{error} at {scale}");
    }
}

#[test]
fn what_is_no_number_is_not_hidden() {
    for (kernel, stride) in [(3, 1), (3, 2), (1, 1), (5, 1)] {
        for outputs in [2, 16] {
            let conv = ConvShape::new(kernel, stride, kernel / 2);
            let w = draw((outputs, 16, kernel, kernel), 6, "w");
            for poison in [f32::NAN, f32::INFINITY] {
                let mut all = values(&draw((1, 16, 9, 9), 6, "x"));
                all[3 * 81 + 4 * 9 + 4] = poison;
                let x = Tensor::from_vec(all, (1, 16, 9, 9), &Device::Cpu).unwrap();
                let want = values(&plain(&x, &w, conv));
                let got = values(&conv2d(&x, &w, conv, false).unwrap());
                assert!(want.iter().any(|v| !v.is_finite()));
                assert!(want.iter().zip(&got).all(|(want, got)| want.is_finite() || !got.is_finite()));
            }
        }
    }
}

#[test]
fn empty_tensors_have_empty_or_zero_answers() {
    let conv = ConvShape::new(3, 1, 1);
    let empty = |shape: Four| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    let y = conv2d(&empty((0, 16, 5, 5)), &draw((16, 16, 3, 3), 0, "w"), conv, true).unwrap();
    assert_eq!(y.dims(), [0, 16, 5, 5]);
    let y = conv2d(&empty((2, 0, 5, 5)), &empty((16, 0, 3, 3)), conv, true).unwrap();
    assert_eq!(values(&y), vec![0.0; 2 * 16 * 25]);
    let y = conv2d(&draw((2, 16, 5, 5), 0, "x"), &empty((0, 16, 3, 3)), conv, true).unwrap();
    assert_eq!(y.dims(), [2, 0, 5, 5]);
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let error = |x: Four, w: Four, conv: ConvShape| {
        conv2d(&draw(x, 0, "x"), &draw(w, 0, "w"), conv, false).unwrap_err().to_string()
    };
    let conv = ConvShape::new(3, 1, 0);
    assert!(error((1, 2, 2, 8), (1, 2, 3, 3), conv).contains("does not fit"));
    assert!(error((1, 3, 8, 8), (1, 2, 3, 3), conv).contains("do not fit"));
    assert!(error((1, 3, 8, 8), (1, 3, 3, 3), ConvShape { stride: 0, ..conv }).contains("at least 1"));
    assert!(error((1, 3, 8, 8), (2, 1, 3, 3), ConvShape { groups: 2, ..conv }).contains("groups"));
}

#[test]
fn a_view_into_a_larger_tensor_is_read_at_its_offset() {
    for outputs in [3, 16] {
        let conv = ConvShape::new(3, 1, 1);
        let all = draw((4, 16, 6, 6), 3, "x");
        let w = draw((outputs, 16, 3, 3), 3, "w");
        let whole = conv2d(&all, &w, conv, false).unwrap().narrow(0, 2, 2).unwrap();
        let part = conv2d(&all.narrow(0, 2, 2).unwrap(), &w, conv, false).unwrap();
        assert_eq!(distance(&whole, &part), 0.0);
        let turned = conv2d(&all.transpose(2, 3).unwrap(), &w, conv, false).unwrap();
        let copied = conv2d(&all.transpose(2, 3).unwrap().contiguous().unwrap(), &w, conv, false).unwrap();
        assert_eq!(distance(&turned, &copied), 0.0);
    }
}

#[test]
fn the_number_of_cores_does_not_show() {
    let conv = ConvShape::new(3, 1, 1);
    let (x, w) = (draw((40, 8, 7, 7), 4, "x"), draw((16, 8, 3, 3), 4, "w"));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let w = Var::from_tensor(&w).unwrap();
            let y = conv2d(&x, &w, conv, true).unwrap();
            let gradient = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            (values(&y), values(gradient.get(&w).unwrap()))
        })
    };
    assert!(run(1) == run(3));
}
