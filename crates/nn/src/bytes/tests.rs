//! Convolutions over bytes beside the sums of their definition, with every kind of instructions there is.

use proptest::prelude::*;

use super::lanes::{from_half, to_half};
use super::*;
use crate::direct;
use crate::filter::Filter;
use crate::graph::Activation;
use crate::map::Map;
use crate::packed::{self, Matrix};
use crate::random;
use crate::simd::{AlignedVec, round_up};
use crate::window::Window;

fn draw(count: usize, seed: u64, name: &str) -> Vec<f32> {
    let mut rng = random::stream(seed, name);
    (0..count).map(|_| random::normal(&mut rng)).collect()
}

/// A convolution of random values, and what it is applied to.
struct Case {
    filter: Filter,
    from: Map,
    to: Map,
    levels: Levels,
    out: Option<Levels>,
    added: Option<Added>,
    activation: Option<Activation>,
    x: AlignedVec,
    bytes: AlignedVec,
    floats: Vec<f32>,
    images: usize,
}

impl Case {
    fn run(&self, instructions: Instructions) -> (Vec<u8>, Vec<f32>) {
        let filter = ByteFilter::new(
            &self.filter,
            (&self.from, self.levels),
            (&self.to, self.out),
            self.added,
            self.activation,
            instructions,
        );
        let size = self.images * self.to.image();
        let (mut bytes, mut floats) = (vec![7; size], vec![7.0; size]);
        filter.run(ByteArgs {
            from: &self.from,
            to: &self.to,
            images: self.images,
            x: bytemuck::cast_slice(&self.x),
            added: self.added.map(|added| match added {
                Added::Bytes(_) => (bytemuck::cast_slice(&self.bytes), added),
                _ => (&self.floats[..], added),
            }),
            out: match self.out {
                Some(_) => Output::Bytes(&mut bytes),
                None => Output::Floats(&mut floats),
            },
        });
        (bytes, floats)
    }

    /// The result of one channel at one place of the map by the definition, from the values that the bytes stand
    /// for and weights that are rounded as they should be.
    fn want(&self, image: usize, (y, x): (usize, usize), output: usize) -> f64 {
        let Filter { weights, inputs, window, .. } = &self.filter;
        let each = inputs * window.taps();
        let own = &weights[output * each..][..each];
        let scale = own.iter().fold(0.0f32, |most, weight| most.max(weight.abs())) / 127.0;
        let mut sum = f64::from(self.filter.bias[output]);
        let values: &[u8] = bytemuck::cast_slice(&self.x);
        for tap in 0..window.taps() {
            let (i, j) = (tap / window.kernel.1, tap % window.kernel.1);
            let row = window.reads(y, i, window.padding.0, self.from.height);
            let column = window.reads(x, j, window.padding.1, self.from.width);
            let (Some(row), Some(column)) = (row, column) else {
                continue;
            };
            for input in 0..*inputs {
                let at = image * self.from.image() + self.from.place(row, column) + input;
                let weight = (own[input * window.taps() + tap] / scale).round_ties_even();
                let value =
                    f64::from(self.levels.scale) * (f64::from(values[at]) - f64::from(self.levels.zero));
                sum += value * f64::from(scale) * f64::from(weight);
            }
        }
        let at = image * self.to.image() + self.to.place(y, x) + output;
        sum += match self.added {
            None => 0.0,
            Some(Added::Floats | Added::Halves) => f64::from(self.floats[at]),
            Some(Added::Bytes(levels)) => {
                f64::from(levels.value(bytemuck::cast_slice::<f32, u8>(&self.bytes)[at]))
            }
        };
        match self.activation {
            Some(Activation::Relu) => sum.max(0.0),
            Some(Activation::Relu6) => sum.clamp(0.0, 6.0),
            _ => sum,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn all_instructions_say_the_same_which_is_the_definition(
        (inputs, aligned) in (1usize..70, any::<bool>()), outputs in 1usize..150,
        (height, width) in (1usize..12, 1usize..12), (tall, wide) in (1usize..4, 1usize..4),
        stride in 1usize..3, dilation in 1usize..3, padding in 0usize..2, images in 1usize..4,
        zero in prop_oneof![Just(0u8), any::<u8>()], out_zero in prop_oneof![Just(None), Just(Some(0u8)), any::<u8>().prop_map(Some)],
        added in 0usize..3, activation in 0usize..3, seed: u64,
    ) {
        let window = Window { kernel: (tall, wide), stride, padding: (padding, padding), dilation };
        let Ok(size) = window.output(height, width) else { return Ok(()) };
        let depth = if aligned { round_up(inputs) } else { inputs };
        let (mut from, to) = (Map::new(height, width, inputs, depth), Map::new(size.0, size.1, outputs, round_up(outputs)));
        let mut to = to;
        to.make_room(1, size.0 + 1, size.1 + 2);
        let filter = Filter {
            weights: draw(outputs * inputs * window.taps(), seed, "weights"),
            bias: draw(outputs, seed, "bias"),
            outputs, inputs, window,
        };
        direct::make_room(&filter, &mut from, &to);
        let levels = Levels { scale: 0.02, zero };
        let mut x = AlignedVec::zeros((images * from.image()).div_ceil(4) + 4);
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut x);
        bytes.fill(zero);
        let drawn = draw(images * height * width * inputs, seed, "x");
        let mut drawn = drawn.iter();
        for image in 0..images {
            for (row, column) in from.places() {
                let at = image * from.image() + from.place(row, column);
                bytes[at..at + inputs].iter_mut().zip(&mut drawn).for_each(|(to, value)| *to = levels.byte(*value));
            }
        }
        let own = Levels { scale: 0.05, zero: 100 };
        let case = Case {
            filter, levels,
            out: out_zero.map(|zero| Levels { scale: 0.1, zero }),
            added: [None, Some(Added::Floats), Some(Added::Bytes(own))][added],
            activation: [None, Some(Activation::Relu), Some(Activation::Relu6)][activation],
            bytes: {
                let mut bytes = AlignedVec::zeros((images * to.image()).div_ceil(4));
                let values = draw(images * to.image(), seed, "added");
                let places = bytemuck::cast_slice_mut::<f32, u8>(&mut bytes).iter_mut();
                places.zip(&values).for_each(|(to, value)| *to = own.byte(*value));
                bytes
            },
            floats: draw(images * to.image(), seed, "added"),
            from, to, x, images,
        };
        let plain = case.run(Instructions::Plain);
        for instructions in Instructions::available() {
            prop_assert!(case.run(instructions) == plain, "{instructions:?}");
        }
        let mut written = vec![false; plain.0.len()];
        for image in 0..images {
            for (row, column) in case.to.places() {
                let at = image * case.to.image() + case.to.place(row, column);
                written[at..at + case.to.depth].fill(true);
                for output in 0..outputs {
                    let want = case.want(image, (row, column), output);
                    match case.out {
                        None => {
                            let got = f64::from(plain.1[at + output]);
                            prop_assert!((got - want).abs() < 1e-4 * (1.0 + want.abs()), "{got} for {want}");
                        }
                        Some(levels) => {
                            // Next to the middle between two levels either may be right.
                            let place = (want / f64::from(levels.scale) + f64::from(levels.zero)).clamp(0.0, 255.0);
                            let got = f64::from(plain.0[at + output]);
                            prop_assert!((got - place).abs() < 0.501, "{got} for {place}");
                        }
                    }
                }
            }
        }
        for (at, written) in written.into_iter().enumerate() {
            prop_assert!(written || (plain.0[at] == 7 && plain.1[at] == 7.0), "around the maps");
        }
    }

    #[test]
    fn numbers_of_half_the_length_are_multiplied_by_the_definition(
        inputs in 1usize..70, outputs in 1usize..150, (height, width) in (1usize..9, 1usize..9),
        (tall, wide) in (1usize..4, 1usize..4), stride in 1usize..3, padding in 0usize..2, images in 1usize..3,
        aligned: bool, short: bool, added in 0usize..3, relu: bool, seed: u64,
    ) {
        let window = Window { kernel: (tall, wide), stride, padding: (padding, padding), dilation: 1 };
        let Ok(size) = window.output(height, width) else { return Ok(()) };
        let depth = if aligned { round_up(inputs) } else { inputs };
        let mut from = Map::new(height, width, inputs, depth);
        let to = Map::new(size.0, size.1, outputs, round_up(outputs));
        let weights = draw(outputs * inputs * window.taps(), seed, "weights");
        let filter = Filter { weights, bias: draw(outputs, seed, "bias"), outputs, inputs, window };
        direct::make_room(&filter, &mut from, &to);
        let mut floats = vec![0.0; images * from.image()];
        let drawn = draw(images * height * width * inputs, seed, "x");
        let mut drawn = drawn.iter();
        let mut x = AlignedVec::zeros((images * from.image()).div_ceil(2) + 4);
        for image in 0..images {
            let start = image * from.image();
            for (row, column) in from.places() {
                let at = start + from.place(row, column);
                floats[at..at + inputs].iter_mut().zip(&mut drawn).for_each(|(to, value)| *to = *value);
            }
            halve(&from, &floats[start..], &mut bytemuck::cast_slice_mut(&mut x)[start..]);
        }
        let values = draw(images * to.image(), seed, "added");
        let mut halves = AlignedVec::zeros(values.len().div_ceil(2));
        halve(&Map::new(images, 1, 1, to.image()), &values, bytemuck::cast_slice_mut(&mut halves));
        let activation = relu.then_some(Activation::Relu);
        for instructions in Instructions::halves() {
            let packed = ByteFilter::halves(&filter, &from, &to, activation, instructions);
            let (mut long, mut half) = (vec![0.0f32; values.len()], vec![0u16; values.len()]);
            packed.run(ByteArgs {
                from: &from,
                to: &to,
                images,
                x: bytemuck::cast_slice(&x),
                added: [None, Some((&values[..], Added::Floats)), Some((&halves[..], Added::Halves))][added],
                out: if short { Output::Halves(&mut half) } else { Output::Floats(&mut long) },
            });
            for image in 0..images {
                for (row, column) in to.places() {
                    for output in 0..outputs {
                        let mut want = f64::from(filter.bias[output]);
                        let mut most = want.abs();
                        for tap in 0..window.taps() {
                            let (i, j) = (tap / wide, tap % wide);
                            let place = (window.reads(row, i, padding, height), window.reads(column, j, padding, width));
                            let (Some(i), Some(j)) = place else { continue };
                            for input in 0..inputs {
                                let at = image * from.image() + from.place(i, j) + input;
                                let product = f64::from(floats[at]) * f64::from(filter.weight(output, input, tap));
                                want += product;
                                most += product.abs();
                            }
                        }
                        let at = image * to.image() + to.place(row, column) + output;
                        want += if added > 0 { f64::from(values[at]) } else { 0.0 };
                        let want = if relu { want.max(0.0) } else { want };
                        let got = if short { f64::from(from_half(half[at])) } else { f64::from(long[at]) };
                        // Every factor is off by one part in 256 of it at most, and so is a short result.
                        let apart = (got - want).abs();
                        prop_assert!(apart <= 0.009 * (most + want.abs() + 1.0), "{instructions:?}: {got} for {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_are_brought_to_bytes_each_by_itself(
        inputs in 1usize..150, outputs in 1usize..9, count in 1usize..60, apart in 0usize..9, residual in 0usize..3, seed: u64,
    ) {
        let outputs = 16 * outputs;
        let (weight, bias) = (draw(outputs * inputs, seed, "weights"), draw(outputs, seed, "bias"));
        let (stride, wide) = (inputs + apart, outputs + 16);
        let mut x = draw(count * stride, seed, "x");
        // Rows of different sizes: some of one sign, one of zeros.
        for (row, values) in x.chunks_mut(stride).enumerate() {
            let by = [1.0, 1e-3, 1e4, 0.0][row % 4];
            values.iter_mut().for_each(|value| *value = by * if row % 3 == 0 { value.abs() } else { *value });
        }
        let added = draw(count * wide, seed, "added");
        let layers = |instructions| RowLayer::bytes(&weight, &bias, instructions);
        let run = |layer: &RowLayer| -> Vec<f32> {
            let mut out = added.clone();
            let residual = [packed::Residual::None, packed::Residual::Values(&added), packed::Residual::Output][residual];
            let mut memory = RowBytes::default();
            layer.forward(count, Matrix { values: &x, stride }, residual, (&mut out, wide), &mut memory);
            out
        };
        let plain = run(&layers(Instructions::Plain));
        for instructions in Instructions::available() {
            prop_assert!(run(&layers(instructions)) == plain, "{instructions:?}");
        }
        let halves: Vec<Vec<f32>> =
            Instructions::halves().into_iter().map(|kind| run(&RowLayer::halves(&weight, &bias, kind))).collect();
        for row in 0..count {
            let own = &x[row * stride..][..inputs];
            let (low, high) = own.iter().fold((0.0f32, 0.0f32), |(low, high), x| (low.min(*x), high.max(*x)));
            let levels = Levels::over(low, high);
            for output in 0..outputs {
                let weights = &weight[output * inputs..][..inputs];
                let signed = levels::WeightLevels::over(weights);
                let (mut want, mut exact, mut most) = (0.0, 0.0, 0.0);
                for (x, weight) in own.iter().zip(weights) {
                    let byte = f64::from(signed.byte(*weight)) * f64::from(signed.scale);
                    want += f64::from(levels.value(levels.byte(*x))) * byte;
                    exact += f64::from(*x) * f64::from(*weight);
                    most += f64::from((x * weight).abs());
                }
                let at = row * wide + output;
                let more = f64::from(bias[output]) + if residual > 0 { f64::from(added[at]) } else { 0.0 };
                // Next to the middle between two levels either may be right.
                let slack = 1e-4 * (1.0 + want.abs() + more.abs()) + f64::from(levels.scale * signed.scale) * 254.0;
                let got = f64::from(plain[at]);
                prop_assert!((got - want - more).abs() < slack, "{got} for {want} and {more}");
                for halves in &halves {
                    let off = (f64::from(halves[at]) - exact - more).abs();
                    prop_assert!(off <= 0.009 * (most + more.abs() + 1.0), "{} for {exact} and {more}", halves[at]);
                }
            }
            for at in row * wide + outputs..(row + 1) * wide {
                prop_assert!(plain[at] == added[at] && halves.iter().all(|halves| halves[at] == added[at]));
            }
        }
    }

    #[test]
    fn pools_over_bytes_are_those_of_what_they_stand_for(
        (height, width) in (3usize..9, 3usize..9), channels in 1usize..90, stride in 1usize..3, zero: u8, seed: u64,
    ) {
        let window = Window::new(3).stride(stride).padding(1);
        let size = window.output(height, width).unwrap();
        let (depth, levels) = (round_up(channels), Levels { scale: 0.03, zero });
        let (from, to) = (Map::new(height, width, channels, depth), Map::new(size.0, size.1, channels, depth));
        let floats = draw(from.image(), seed, "x");
        let mut x = vec![0; from.image()];
        quantise(&from, levels, &floats, &mut x);
        for (byte, value) in x.iter().zip(&floats) {
            prop_assert_eq!(*byte, levels.byte(*value));
        }
        let mut out = vec![0; to.image()];
        max_pool(&window, &from, &x, &to, &mut out);
        for (row, column) in to.places() {
            for channel in 0..channels {
                let mut most = 0;
                for tap in 0..9 {
                    let place = (window.reads(row, tap / 3, 1, height), window.reads(column, tap % 3, 1, width));
                    if let (Some(i), Some(j)) = place {
                        most = most.max(x[from.place(i, j) + channel]);
                    }
                }
                prop_assert_eq!(out[to.place(row, column) + channel], most);
            }
        }
        let mut means = vec![0.0; depth];
        global_average(&from, levels, &x, &mut means);
        for (channel, got) in means[..channels].iter().enumerate() {
            let sum: f64 = from.places().map(|(i, j)| f64::from(levels.value(x[from.place(i, j) + channel]))).sum();
            prop_assert!((f64::from(*got) - sum / (height * width) as f64).abs() < 1e-4);
        }
    }
}

#[test]
fn halves_are_the_nearest_and_what_is_no_number_stays_none() {
    for (value, want) in [
        (0.0, 0.0),
        (1.0, 1.0),
        (-2.5, -2.5),
        (1.0 + 1.0 / 256.0, 1.0),
        (1.004, 1.007_812_5),
        (3.3e38, 3.296_2e38),
    ] {
        let got = from_half(to_half(value));
        assert!((got - want).abs() <= 1e-4 * want.abs(), "{got} for {value}");
    }
    assert_eq!(from_half(to_half(f32::MAX)), f32::INFINITY);
    for none in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001)] {
        assert!(from_half(to_half(none)).is_nan());
    }
    assert_eq!(from_half(to_half(f32::NEG_INFINITY)), f32::NEG_INFINITY);
}

#[test]
fn a_row_with_what_is_no_number_has_none_in_its_result() {
    let (weight, bias) = (vec![0.5; 16 * 33], vec![0.0; 16]);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for place in [0, 32] {
            let mut x = vec![1.0; 3 * 33];
            x[33 + place] = bad;
            let layers = [
                RowLayer::bytes(&weight, &bias, Instructions::best()),
                RowLayer::halves(&weight, &bias, Instructions::halves()[0]),
            ];
            // One memory for both: what is left of the bytes counts for nothing.
            let mut memory = RowBytes::default();
            for layer in layers {
                let mut out = vec![0.0; 48];
                let x = Matrix { values: &x, stride: 33 };
                layer.forward(3, x, packed::Residual::None, (&mut out, 16), &mut memory);
                assert!(out[16..32].iter().all(|value| !value.is_finite()), "{out:?}");
                let others = out[..16].iter().chain(&out[32..]);
                assert!(others.clone().all(|value| (value - 16.5).abs() < 0.1), "{out:?}");
            }
        }
    }
}

#[test]
fn instructions_that_are_there_are_found() {
    let found = Instructions::available();
    assert_eq!(found.last(), Some(&Instructions::Plain));
    #[cfg(target_arch = "x86_64")]
    assert_eq!(is_native(), found.iter().any(|one| matches!(one, Instructions::Avx512 | Instructions::Avx)));
}

#[test]
#[should_panic(expected = "a row ends beyond the bytes")]
fn rows_that_end_too_early_are_refused() {
    let map = Map::new(4, 4, 16, 16);
    let filter = Filter {
        weights: vec![1.0; 256],
        bias: vec![0.0; 16],
        outputs: 16,
        inputs: 16,
        window: Window::new(1),
    };
    let levels = Levels { scale: 1.0, zero: 0 };
    let filter = ByteFilter::new(&filter, (&map, levels), (&map, None), None, None, Instructions::Plain);
    let (x, mut out) = (vec![0; map.image() - 1], vec![0.0; map.image()]);
    let out = Output::Floats(&mut out);
    filter.run(ByteArgs { from: &map, to: &map, images: 1, x: &x, added: None, out });
}
