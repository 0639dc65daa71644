//! Every kernel against the definition in double precision, over random shapes.

use super::*;
use crate::map::Map;
use crate::random;
use crate::simd::{dispatch, round_up};
use crate::window::Window;
use candle_core::{Device, Tensor};
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

/// Channels last, filled up.
fn places(map: &Map, planes: &[f32]) -> Vec<f32> {
    let mut places = vec![0.0; planes.len() / (map.channels * map.height * map.width) * map.image()];
    let source = Source::Planes(planes);
    for (image, into) in places.chunks_exact_mut(map.image()).enumerate() {
        dispatch(Fill { source: &source, image, map, into });
    }
    places
}

/// The way back.
fn planes(map: &Map, places: &[f32], shape: Four) -> Tensor {
    let each = map.channels * map.height * map.width;
    let mut planes = vec![0.0; shape.0 * each];
    for (from, image) in places.chunks_exact(map.image()).zip(planes.chunks_exact_mut(each)) {
        map.write(from, image);
    }
    Tensor::from_vec(planes, shape, &Device::Cpu).unwrap()
}

/// The sizes of a convolution, its maps, and the shape of its results.
fn sizes(x: Four, w: Four, window: Window) -> (Sizes, [Map; 2], Four) {
    let map = |shape: Four| Map::new(shape.2, shape.3, shape.1, round_up(shape.1));
    let (height, width) = window.output(x.2, x.3).unwrap();
    let y = (x.0, w.0, height, width);
    let (from, to) = (map(x), map(y));
    (Sizes::new(x.0, &from, &to, window), [from, to], y)
}

fn conv2d(x: &Tensor, w: &Tensor, window: Window) -> Tensor {
    let (sizes, [_, to], shape) = sizes(x.dims4().unwrap(), w.dims4().unwrap(), window);
    let mut out = vec![0.0; shape.0 * to.image()];
    forward(&sizes, &Source::Planes(&values(x)), &values(w), None, &mut out, |_, _| ());
    planes(&to, &out, shape)
}

/// The gradients of x and w for a gradient of the output; x is read from planes on request.
fn gradients(x: &Tensor, w: &Tensor, g: &Tensor, window: Window, from_planes: bool) -> [Tensor; 2] {
    let shape = x.dims4().unwrap();
    let (sizes, [from, to], _) = sizes(shape, w.dims4().unwrap(), window);
    let (x, g) = (values(x), places(&to, &values(g)));
    let x = if from_planes { x } else { places(&from, &x) };
    let source = if from_planes { Source::Planes(&x) } else { Source::Places(&x) };
    let mut out = vec![0.0; shape.0 * from.image()];
    let into = Wanted { out: &mut out, residual: None, then: |_, _: &mut [f32]| () };
    let (for_w, _) = backward(&sizes, &source, &Source::Places(&g), &values(w), Some(into));
    [planes(&from, &out, shape), Tensor::from_vec(for_w, w.shape(), &Device::Cpu).unwrap()]
}

/// Calls `f(place in x, place in w, place in y)` for every product of the definition.
fn products(x: Four, w: Four, window: Window, mut f: impl FnMut(usize, usize, usize)) -> Four {
    let Window { kernel, stride, padding, dilation } = window;
    let side = |length: usize, kernel: usize, padding: usize| {
        (length + 2 * padding - (kernel - 1) * dilation - 1) / stride + 1
    };
    let y = (x.0, w.0, side(x.2, kernel.0, padding.0), side(x.3, kernel.1, padding.1));
    for n in 0..y.0 {
        for o in 0..y.1 {
            for (oy, ox) in (0..y.2).flat_map(|oy| (0..y.3).map(move |ox| (oy, ox))) {
                for i in 0..w.1 {
                    for (ky, kx) in (0..kernel.0).flat_map(|ky| (0..kernel.1).map(move |kx| (ky, kx))) {
                        let row = (oy * stride + ky * dilation).wrapping_sub(padding.0);
                        let column = (ox * stride + kx * dilation).wrapping_sub(padding.1);
                        if row < x.2 && column < x.3 {
                            f(
                                ((n * x.1 + i) * x.2 + row) * x.3 + column,
                                ((o * w.1 + i) * kernel.0 + ky) * kernel.1 + kx,
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
fn plain(x: &Tensor, w: &Tensor, window: Window) -> Tensor {
    let (xs, ws) = (values(x), values(w));
    let shape = products(x.dims4().unwrap(), w.dims4().unwrap(), window, |_, _, _| {});
    let mut y = vec![0f64; shape.0 * shape.1 * shape.2 * shape.3];
    products(x.dims4().unwrap(), w.dims4().unwrap(), window, |i, j, k| {
        y[k] += f64::from(xs[i]) * f64::from(ws[j]);
    });
    Tensor::from_vec(y.into_iter().map(|v| v as f32).collect::<Vec<_>>(), shape, &Device::Cpu).unwrap()
}

/// Its gradients for a gradient `g` of the output, in double precision.
fn plain_gradients(x: &Tensor, w: &Tensor, g: &Tensor, window: Window) -> [Tensor; 2] {
    let (xs, ws, gs) = (values(x), values(w), values(g));
    let (mut dx, mut dw) = (vec![0f64; xs.len()], vec![0f64; ws.len()]);
    products(x.dims4().unwrap(), w.dims4().unwrap(), window, |i, j, k| {
        dx[i] += f64::from(ws[j]) * f64::from(gs[k]);
        dw[j] += f64::from(xs[i]) * f64::from(gs[k]);
    });
    [(dx, x), (dw, w)].map(|(values, like)| {
        let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
        Tensor::from_vec(values, like.shape(), &Device::Cpu).unwrap()
    })
}

/// Shapes of every kernel: few and many channels, odd sides, gaps.
fn shapes() -> impl Strategy<Value = (Four, Four, Window)> {
    let channels = prop_oneof![1usize..5, 7usize..20];
    let kernel = prop_oneof![Just((3usize, 3usize)), (1usize..6, 1usize..6)];
    let stride = prop_oneof![Just(1usize), 1usize..4];
    let dilation = prop_oneof![Just(1usize), 1usize..3];
    let sides = (1usize..14, 1usize..14);
    (1usize..4, channels.clone(), channels, sides, kernel, stride, (0usize..4, 0usize..4), dilation)
        .prop_map(|(batch, inputs, outputs, (height, width), kernel, stride, padding, dilation)| {
            let window = Window { kernel, stride, padding, dilation };
            ((batch, inputs, height, width), (outputs, inputs, kernel.0, kernel.1), window)
        })
        .prop_filter("the kernel fits", |(x, _, window)| window.output(x.2, x.3).is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn agrees_with_the_definition((x, w, window) in shapes(), seed: u64) {
        let (x, w) = (draw(x, seed, "x"), draw(w, seed, "w"));
        let got = conv2d(&x, &w, window);
        prop_assert!(distance(&got, &plain(&x, &w, window)) < 2e-4);
    }

    #[test]
    fn gradients_agree_with_the_definition((x, w, window) in shapes(), planes: bool, seed: u64) {
        let (x, w) = (draw(x, seed, "x"), draw(w, seed, "w"));
        let g = draw(plain(&x, &w, window).dims4().unwrap(), seed, "g");
        let [got_x, got_w] = gradients(&x, &w, &g, window, planes);
        let [dx, dw] = plain_gradients(&x, &w, &g, window);
        prop_assert!(distance(&got_x, &dx) < 5e-4);
        prop_assert!(distance(&got_w, &dw) < 2e-3);
    }
}

/// Sums over many images, where partial sums must fit together.
#[test]
fn a_batch_of_many_images_has_the_gradients_of_the_definition() {
    for (batch, inputs, outputs, side, stride) in [(37, 16, 24, 9, 1), (19, 3, 8, 12, 2), (33, 8, 16, 4, 1)] {
        let window = Window::new(3).stride(stride).padding(1);
        let x = draw((batch, inputs, side, side), 1, "x");
        let w = draw((outputs, inputs, 3, 3), 1, "w");
        let g = draw(conv2d(&x, &w, window).dims4().unwrap(), 1, "g");
        let [got_x, got_w] = gradients(&x, &w, &g, window, true);
        let [dx, dw] = plain_gradients(&x, &w, &g, window);
        assert!(distance(&got_x, &dx) < 5e-4);
        assert!(distance(&got_w, &dw) < 5e-3);
    }
}

/// The definition knows its own gradient only if it is one: finite differences know better.
#[test]
fn gradients_agree_with_finite_differences() {
    let window = Window::new(3).padding(1);
    let (x, w) = (draw((2, 8, 6, 5), 2, "x"), draw((8, 8, 3, 3), 2, "w"));
    let y = draw((2, 8, 6, 5), 2, "g");
    let loss = |x: &Tensor, w: &Tensor| -> f64 {
        let out = values(&plain(x, w, window));
        out.iter().zip(values(&y)).map(|(out, g)| f64::from(*out) * f64::from(g)).sum()
    };
    let got = gradients(&x, &w, &y, window, false);
    for (place, (gradient, tensor)) in got.iter().zip([&x, &w]).enumerate() {
        let gradient = values(gradient);
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
        let window = Window::new(3).padding(1);
        let largest = values(&x).iter().fold(0f32, |most, v| most.max(v.abs()));
        let weights =
            values(&w).chunks(64 * 9).map(|w| w.iter().map(|v| v.abs()).sum::<f32>()).fold(0.0, f32::max);
        let error = distance(&conv2d(&x, &w, window), &plain(&x, &w, window));
        assert!(error < crate::winograd::ERROR * largest * weights, "{error} at {scale}");
    }
}

#[test]
fn what_is_no_number_is_not_hidden() {
    for (kernel, stride) in [(3, 1), (3, 2), (1, 1), (5, 1)] {
        for outputs in [2, 16] {
            let window = Window::new(kernel).stride(stride).padding(kernel / 2);
            let w = draw((outputs, 16, kernel, kernel), 6, "w");
            for poison in [f32::NAN, f32::INFINITY] {
                let mut all = values(&draw((1, 16, 9, 9), 6, "x"));
                all[3 * 81 + 4 * 9 + 4] = poison;
                let x = Tensor::from_vec(all, (1, 16, 9, 9), &Device::Cpu).unwrap();
                let want = values(&plain(&x, &w, window));
                let got = values(&conv2d(&x, &w, window));
                assert!(want.iter().any(|v| !v.is_finite()));
                assert!(want.iter().zip(&got).all(|(want, got)| want.is_finite() || !got.is_finite()));
            }
        }
    }
}

#[test]
fn the_number_of_cores_does_not_show() {
    let window = Window::new(3).padding(1);
    let (x, w) = (draw((40, 8, 7, 7), 4, "x"), draw((16, 8, 3, 3), 4, "w"));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let y = conv2d(&x, &w, window);
            let [_, gradient] = gradients(&x, &w, &y, window, true);
            (values(&y), values(&gradient))
        })
    };
    assert!(run(1) == run(3));
}
