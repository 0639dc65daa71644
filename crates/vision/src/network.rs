//! The network that a manifest describes: its layers, and what is made of them.

use candle_core::Result;

use super::{cnn, convnext, densenet, inception, mobilenet, resnet, unet, vit};
use model::manifest::{Architecture, ImageInput};
use nn::{Graph, GraphBuilder, GraphError, ImageNetwork, Numerics, Params, Plan, Shape};

/// The layers of `architecture` over images of `input`, with one output a label.
///
/// # Errors
/// Layers that do not fit each other.
pub fn describe(
    architecture: &Architecture,
    input: &ImageInput,
    labels: usize,
) -> std::result::Result<Graph, GraphError> {
    let mut g = GraphBuilder::new();
    let ImageInput { channels, height, width, .. } = *input;
    let images = g.input("images", Shape::map(channels as usize, height as usize, width as usize));
    let logits = match architecture {
        Architecture::Cnn(config) => cnn::describe(&mut g, images, config, labels)?,
        Architecture::Resnet(config) => resnet::describe(&mut g, images, config, labels)?,
        Architecture::Mobilenet(config) => mobilenet::describe(&mut g, images, config, labels)?,
        Architecture::Densenet(config) => densenet::describe(&mut g, images, config, labels)?,
        Architecture::Inception(config) => inception::describe(&mut g, images, config, labels)?,
        Architecture::Unet(config) => unet::describe(&mut g, images, config, labels)?,
        Architecture::Vit(config) => vit::describe(&mut g, images, config, labels)?,
        Architecture::Convnext(config) => convnext::describe(&mut g, images, config, labels)?,
        other => {
            let reason = "this architecture does not read images".to_string();
            return Err(GraphError { layer: other.as_str().to_string(), reason });
        }
    };
    g.finish(logits)
}

/// What a residual network's last layer reads, without that layer: one vector an image.
///
/// # Errors
/// Another architecture; layers that do not fit each other, or weights that do not fit the layers.
pub fn features(
    architecture: &Architecture,
    input: &ImageInput,
    params: &mut Params,
) -> Result<ImageNetwork> {
    let Architecture::Resnet(config) = architecture else {
        candle_core::bail!("{}: the features of a resnet alone are given", architecture.as_str())
    };
    let mut g = GraphBuilder::new();
    let ImageInput { channels, height, width, .. } = *input;
    let images = g.input("images", Shape::map(channels as usize, height as usize, width as usize));
    let x = *resnet::features(&mut g, images, config)?.last().unwrap_or(&images);
    let x = g.global_average(x);
    ImageNetwork::new(g.finish(x)?, params)
}

/// The network of `architecture` with the values of `params`.
///
/// # Errors
/// Layers that do not fit each other, or weights that do not fit the layers.
pub fn build(
    architecture: &Architecture,
    input: &ImageInput,
    labels: usize,
    params: &mut Params,
) -> Result<ImageNetwork> {
    ImageNetwork::new(describe(architecture, input, labels)?, params)
}

/// The same network for serving. `exact` keeps convolutions to the sums of their definition.
///
/// # Errors
/// As [`build`].
pub fn plan(
    architecture: &Architecture,
    input: &ImageInput,
    labels: usize,
    params: &mut Params,
    exact: bool,
) -> Result<Plan> {
    plan_with(architecture, input, labels, params, &Numerics { exact, ..Numerics::default() })
}

/// The same with its way of computing.
///
/// # Errors
/// As [`build`].
pub fn plan_with(
    architecture: &Architecture,
    input: &ImageInput,
    labels: usize,
    params: &mut Params,
    numerics: &Numerics,
) -> Result<Plan> {
    build(architecture, input, labels, params)?.plan_with(numerics)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use candle_core::{D, Device, Tensor};
    use proptest::prelude::*;

    use super::*;
    use model::manifest::{
        CnnConfig, CnnLayer, Crop, FineStep, Normalisation, ResizeFilter, ResnetConfig, ResnetStage,
        UnetConfig,
    };
    use nn::{Activation, Conv, Interpolation, Op, Runner, random};

    fn input(channels: u32, height: u32, width: u32) -> ImageInput {
        ImageInput {
            height,
            width,
            channels,
            crop: Crop::None,
            resize: ResizeFilter::Bilinear,
            normalisation: Normalisation::PerImage { floor: 0.02 },
            accepts: None,
        }
    }

    fn image(input: &ImageInput, seed: u64) -> Vec<f32> {
        let mut rng = random::stream(seed, "image");
        (0..input.channels * input.height * input.width).map(|_| random::normal(&mut rng)).collect()
    }

    /// A described network in candle's own operations.
    fn stock(graph: &Graph, weights: &BTreeMap<String, Tensor>, images: &Tensor) -> Result<Tensor> {
        let mut results: Vec<Tensor> = Vec::new();
        for node in graph.nodes() {
            let weight = |part: &str| &weights[&format!("{}.{part}", node.name)];
            let column = |part: &str| weight(part).reshape((1, (), 1, 1));
            let input = |place: usize| &results[node.inputs[place].index()];
            results.push(match &node.op {
                Op::Input => images.clone(),
                Op::Conv(Conv { window, bias, .. }) => {
                    let y = input(0).conv2d(weight("weight"), window.padding.0, window.stride, 1, 1)?;
                    if *bias { y.broadcast_add(&column("bias")?)? } else { y }
                }
                Op::BatchNorm { epsilon } => {
                    let deviation = (column("running_variance")? + f64::from(*epsilon))?.sqrt()?;
                    let x = input(0).broadcast_sub(&column("running_mean")?)?.broadcast_div(&deviation)?;
                    x.broadcast_mul(&column("scale")?)?.broadcast_add(&column("shift")?)?
                }
                Op::Activation(Activation::Relu) => input(0).relu()?,
                Op::MaxPool(window) => input(0).max_pool2d_with_stride(window.kernel, window.kernel)?,
                Op::GlobalAverage => input(0).flatten_from(2)?.mean(D::Minus1)?,
                Op::Dense { .. } => input(0).matmul(&weight("weight").t()?)?.broadcast_add(weight("bias"))?,
                Op::Add => (input(0) + input(1))?,
                Op::Flatten => input(0).flatten_from(1)?,
                Op::Dropout(_) => input(0).clone(),
                Op::Concat => Tensor::cat(&[input(0), input(1)], 1)?,
                Op::Upsample { factor, method: Interpolation::Nearest } => {
                    let (_, _, rows, columns) = input(0).dims4()?;
                    input(0).upsample_nearest2d(rows * factor, columns * factor)?
                }
                op => panic!("{op:?} is in no architecture here"),
            });
        }
        results.swap_remove(graph.output().index()).flatten_from(1)
    }

    /// Logits of candle's operations and of the plan, with and without its short ways.
    fn both(
        architecture: &Architecture,
        input: &ImageInput,
        images: &[Vec<f32>],
        seed: u64,
    ) -> [Vec<Vec<f32>>; 3] {
        let labels = 3;
        let mut params = Params::fresh(seed);
        build(architecture, input, labels, &mut params).unwrap();
        // Statistics and scales as training leaves them, not as it finds them.
        let mut rng = random::stream(seed, "values");
        let mut weights = params.snapshot().unwrap();
        for (name, tensor) in &mut weights {
            let spread = |around: f32, by: f32, rng: &mut _| around + by * random::uniform(rng, -1.0, 1.0);
            let around = match name.rsplit('.').next() {
                Some("scale" | "running_variance") => (1.0, 0.5),
                Some("shift" | "running_mean" | "bias") => (0.0, 0.5),
                _ => continue,
            };
            let values: Vec<f32> =
                (0..tensor.elem_count()).map(|_| spread(around.0, around.1, &mut rng)).collect();
            *tensor = Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap();
        }
        let ImageInput { channels, height, width, .. } = *input;
        let shape = (images.len(), channels as usize, height as usize, width as usize);
        let batch = Tensor::from_vec(images.concat(), shape, &Device::Cpu).unwrap();
        let graph = describe(architecture, input, labels).unwrap();
        let graph = stock(&graph, &weights, &batch).unwrap().to_vec2().unwrap();
        let planned = [false, true].map(|exact| {
            let mut params = Params::frozen(weights.clone());
            let plan = plan(architecture, input, labels, &mut params, exact).unwrap();
            params.finish().unwrap();
            let mut rows = Vec::new();
            Runner::new(Arc::new(plan)).run(images, |logits| rows.push(logits.to_vec())).unwrap();
            rows
        });
        let [plan, exact] = planned;
        [graph, plan, exact]
    }

    fn assert_close(a: &[Vec<f32>], b: &[Vec<f32>], most: f32) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().flatten().zip(b.iter().flatten()) {
            assert!((a - b).abs() <= most, "{a} and {b}");
        }
    }

    fn resnet(widths: &[usize], kernel: usize, stride: usize, blocks: usize) -> Architecture {
        let stage = |(place, channels): (usize, &usize)| ResnetStage {
            channels: *channels,
            blocks,
            stride: 1 + place.min(1),
        };
        Architecture::Resnet(ResnetConfig {
            stem_channels: widths[0],
            stem_kernel: kernel,
            stem_stride: stride,
            stem_pool: false,
            bottleneck: false,
            stages: widths.iter().enumerate().map(stage).collect(),
            dropout: 0.1,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_resnets_plan_says_what_its_graph_says(
            channels in prop_oneof![Just(1u32), Just(3u32)], height in 5u32..41, width in 5u32..41,
            first in 1usize..20, second in 1usize..40, kernel in prop_oneof![Just(3usize), Just(7usize)],
            stride in 1usize..3, blocks in 1usize..3, count in 1usize..5, seed: u64,
        ) {
            let input = input(channels, height, width);
            let images: Vec<_> = (0..count as u64).map(|i| image(&input, seed ^ i)).collect();
            let architecture = resnet(&[first, second, second], kernel, stride, blocks);
            let [graph, plan, exact] = both(&architecture, &input, &images, seed);
            assert_close(&graph, &plan, 1e-4);
            assert_close(&graph, &exact, 1e-4);
        }

        #[test]
        fn a_unets_plan_says_what_its_graph_says(
            channels in prop_oneof![Just(1u32), Just(3u32)], height in 1u32..6, width in 1u32..6,
            first in 1usize..20, second in 1usize..40, skip in 1usize..20, last in 1usize..20,
            stride in 1usize..3, count in 1usize..4, seed: u64,
        ) {
            let input = input(channels, 8 * height, 8 * width);
            let images: Vec<_> = (0..count as u64).map(|i| image(&input, seed ^ i)).collect();
            let Architecture::Resnet(encoder) = resnet(&[first, second, second], 3, stride, 1) else { panic!() };
            let encoder = ResnetConfig { stem_stride: stride, dropout: 0.0, ..encoder };
            let fine = (stride == 2).then_some(FineStep { skip, channels: last });
            let unet = Architecture::Unet(UnetConfig { encoder, decoder: vec![second, first], fine });
            let [graph, plan, exact] = both(&unet, &input, &images, seed);
            // One map a label, each as large as the image.
            assert!(plan.iter().all(|maps| maps.len() == 3 * 64 * (height * width) as usize));
            // Each pixel by itself, without a mean over all of them.
            assert_close(&graph, &plan, 1e-3);
            assert_close(&graph, &exact, 1e-3);
        }

        #[test]
        fn a_cnns_plan_says_what_its_graph_says(
            channels in prop_oneof![Just(1u32), Just(3u32)], height in 12u32..41, width in 12u32..41,
            first in 1usize..20, second in 1usize..40, kernel in 1usize..4, padding in 0usize..2,
            count in 1usize..5, seed: u64,
        ) {
            let input = input(channels, height, width);
            let images: Vec<_> = (0..count as u64).map(|i| image(&input, seed ^ i)).collect();
            let architecture = Architecture::Cnn(CnnConfig { layers: vec![
                CnnLayer::Conv { filters: first, kernel: 3, padding },
                CnnLayer::Pool { size: 2 },
                CnnLayer::Conv { filters: second, kernel, padding: 1 },
                CnnLayer::Conv { filters: first, kernel: 3, padding: 2 },
                CnnLayer::Pool { size: 3 },
                CnnLayer::Flatten,
                CnnLayer::Dropout { rate: 0.5 },
                CnnLayer::Dense { units: 24 },
            ] });
            let [graph, plan, exact] = both(&architecture, &input, &images, seed);
            assert_close(&graph, &plan, 1e-4);
            assert_close(&graph, &exact, 1e-4);
        }
    }

    #[test]
    fn an_image_gets_the_same_logits_alone_and_in_a_batch() {
        let input = input(1, 28, 28);
        let mut params = Params::fresh(3);
        let plan = plan(&resnet(&[16, 32, 64, 128], 3, 1, 1), &input, 3, &mut params, false).unwrap();
        let mut runner = Runner::new(Arc::new(plan));
        let images: Vec<_> = (0..70).map(|i| image(&input, i)).collect();
        let mut together = Vec::new();
        runner.run(&images, |logits| together.push(logits.to_vec())).unwrap();
        for (image, row) in images.iter().zip(&together).rev() {
            let mut alone = Vec::new();
            runner.run(&[image], |logits| alone.push(logits.to_vec())).unwrap();
            assert_close(&alone, std::slice::from_ref(row), 1e-5);
        }
        assert!(runner.run(&[vec![0.0; 3]], |_| ()).unwrap_err().to_string().contains("784"));
    }

    #[test]
    fn a_pixel_that_is_no_number_reaches_the_logits_and_no_later_image() {
        let input = input(1, 28, 28);
        let layers = vec![
            CnnLayer::Conv { filters: 8, kernel: 3, padding: 0 },
            CnnLayer::Pool { size: 2 },
            CnnLayer::Conv { filters: 8, kernel: 3, padding: 0 },
            CnnLayer::Pool { size: 2 },
            CnnLayer::Flatten,
        ];
        for architecture in [resnet(&[16, 16], 3, 1, 1), Architecture::Cnn(CnnConfig { layers })] {
            let plan = plan(&architecture, &input, 3, &mut Params::fresh(3), false).unwrap();
            let mut runner = Runner::new(Arc::new(plan));
            let sound = image(&input, 1);
            let mut before = Vec::new();
            runner.run(&[&sound], |logits| before = logits.to_vec()).unwrap();
            for poison in [f32::NAN, f32::INFINITY] {
                let mut broken = sound.clone();
                broken[13 * 28 + 14] = poison;
                runner.run(&[broken], |logits| assert!(logits.iter().all(|v| !v.is_finite()))).unwrap();
            }
            runner.run(&[&sound], |logits| assert_eq!(logits, before)).unwrap();
        }
    }
}
