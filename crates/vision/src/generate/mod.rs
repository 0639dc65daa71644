//! Pictures of a label, made from noise: what training measures and what the server answers are made here alike.
//!
//! A picture is squares of pixels, each as a few numbers ([`codec`]). From numbers of pure chance a network takes the noise away
//! in a few steps ([`sampler`]); under what it works comes as maps beside them ([`conditions`]). The same seed, number and label
//! give the same picture, whatever else is asked for beside it.

pub mod codec;
pub mod sampler;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use model::Manifest;
use model::manifest::{Architecture, Generation, ImageInput, Input};
use nn::{GraphError, ImageNetwork, Params, Plan, Runner, random};

use super::denoiser;
use super::image::{Image, Samples};
use codec::Codec;
use sampler::Way;

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GenerateError {
    /// The network did not answer.
    #[error("the network failed: {0}")]
    Network(String),
    /// Its answer is no number.
    #[error("the network's answer is not a number")]
    NotFinite,
    /// Nobody waits for the picture any more.
    #[error("the picture was given up")]
    Stopped,
}

/// The sizes of what a manifest's network reads and gives.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Places of a map.
    pub places: usize,
    /// Numbers of a picture: components x places.
    pub values: usize,
    /// Maps of conditions beside it.
    pub conditions: usize,
}

impl Sizes {
    /// Of a model of so many labels.
    pub fn new(generation: &Generation, input: &ImageInput, labels: usize) -> Sizes {
        let side = |pixels: u32| pixels as usize / generation.patch;
        let places = side(input.height) * side(input.width);
        Sizes { places, values: generation.components * places, conditions: generation.conditions(labels) }
    }
}

/// The network that a manifest describes, with the values of `params`.
///
/// # Errors
/// A manifest of another task; layers that do not fit each other; weights that do not fit the layers.
pub fn network(manifest: &Manifest, params: &mut Params) -> candle_core::Result<ImageNetwork> {
    let (Architecture::Denoiser(config), Some(generation), Input::Image(input)) =
        (&manifest.architecture, &manifest.generation, &manifest.input)
    else {
        return Err(GraphError {
            layer: "denoiser".to_string(),
            reason: "this model makes no pictures".to_string(),
        }
        .into());
    };
    let graph = denoiser::describe(config, generation, input, manifest.labels.len())?;
    ImageNetwork::new(graph, params)
}

/// What the network is told at the time `t`, from 0 (the picture) to 1 (noise alone), of a picture of a label or of any: sines
/// and cosines of the time, then a 1 for the label.
pub fn conditions(generation: &Generation, labels: usize, t: f64, label: Option<usize>) -> Vec<f32> {
    let angle = |k: usize| t * std::f64::consts::FRAC_PI_2 * f64::from(1u32 << k);
    let times = (0..generation.frequencies).flat_map(|k| [angle(k).sin(), angle(k).cos()]);
    let label = (0..labels).map(|own| if Some(own) == label { 1.0 } else { 0.0 });
    times.map(|value| value as f32).chain(label).collect()
}

/// What a network reads: the numbers of a picture, and each condition all over a map.
pub fn network_input(values: &[f32], conditions: &[f32], places: usize) -> Vec<f32> {
    let maps = conditions.iter().flat_map(|value| std::iter::repeat_n(*value, places));
    values.iter().copied().chain(maps).collect()
}

/// A model that makes pictures, ready to be run. Copies share the weights.
#[derive(Clone)]
pub struct Generator {
    runner: Runner,
    codec: Arc<Codec>,
    generation: Generation,
    sizes: Sizes,
    input: ImageInput,
    labels: usize,
}

impl Generator {
    /// The model of a manifest from all weights of its package.
    ///
    /// # Errors
    /// As [`network`], and weights that the manifest's network does not use.
    pub fn build(
        manifest: &Manifest,
        mut weights: BTreeMap<String, Tensor>,
    ) -> candle_core::Result<Generator> {
        let (Some(generation), Input::Image(input)) = (&manifest.generation, &manifest.input) else {
            candle_core::bail!("this model makes no pictures")
        };
        let codec = Codec::take(&mut weights, generation, input)?;
        let mut params = Params::frozen(weights);
        let plan = network(manifest, &mut params)?.plan(manifest.exact_convolution)?;
        params.finish()?;
        Ok(Generator::new(manifest.labels.len(), generation, input, plan, codec))
    }

    /// The model of a plan and what its numbers stand for.
    pub fn new(
        labels: usize,
        generation: &Generation,
        input: &ImageInput,
        plan: Plan,
        codec: Codec,
    ) -> Generator {
        Generator {
            runner: Runner::new(Arc::new(plan)),
            codec: Arc::new(codec),
            generation: generation.clone(),
            sizes: Sizes::new(generation, input, labels),
            input: input.clone(),
            labels,
        }
    }

    /// The picture number `number` of a seed, of the label of this index; `stop` is asked before each step.
    ///
    /// # Errors
    /// A network that fails; what stopped it.
    pub fn run(
        &mut self,
        label: usize,
        seed: u64,
        number: usize,
        stop: impl Fn() -> bool,
    ) -> Result<Image, GenerateError> {
        // Each label has its own noise, and each picture of a request: nothing depends on how many are asked for.
        let mut rng = random::stream(seed, &format!("picture:{label}:{number}"));
        let count = self.sizes.values;
        let noise = || random::normals(&mut rng, count);
        let Generation { steps, noise_kept, noise_anew, .. } = self.generation;
        let way = Way { steps, kept: noise_kept, anew: noise_anew };
        let values = sampler::sample(way, noise, |values, t| {
            if stop() {
                return Err(GenerateError::Stopped);
            }
            self.velocity(values, t, label)
        })?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(GenerateError::NotFinite);
        }
        Ok(self.image(&self.codec.decode(&values)))
    }

    /// What the network says, gone further towards the label where the manifest asks for guidance.
    fn velocity(&mut self, values: &[f32], t: f64, label: usize) -> Result<Vec<f32>, GenerateError> {
        let Generation { guidance, .. } = self.generation;
        let input = |label| {
            let conditions = conditions(&self.generation, self.labels, t, label);
            network_input(values, &conditions, self.sizes.places)
        };
        let inputs = match guidance > 0.0 {
            true => vec![input(Some(label)), input(None)],
            false => vec![input(Some(label))],
        };
        let mut answers = Vec::with_capacity(2);
        let failed = |error: candle_core::Error| GenerateError::Network(error.to_string());
        self.runner.run(&inputs, |answer| answers.push(answer.to_vec())).map_err(failed)?;
        let any = answers.get(1).cloned();
        let mut velocity = answers.swap_remove(0);
        if let Some(any) = any {
            for (own, any) in velocity.iter_mut().zip(any) {
                *own += guidance * (*own - any);
            }
        }
        Ok(velocity)
    }

    /// Fractions of full scale, channels first, as 8-bit samples.
    fn image(&self, fractions: &[f32]) -> Image {
        let ImageInput { width, height, channels, .. } = self.input;
        let area = (width * height) as usize;
        let byte = |value: f32| (value * 255.0).round().clamp(0.0, 255.0) as u8;
        let pixel =
            |at: usize| (0..channels as usize).map(move |channel| byte(fractions[channel * area + at]));
        let samples: Vec<u8> = (0..area).flat_map(pixel).collect();
        let samples = if channels == 1 { Samples::Gray8(samples) } else { Samples::Rgb8(samples) };
        Image::new(width, height, samples).expect("as many samples as the size says")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_network_is_told_tells_times_and_labels_apart() {
        let generation = Generation {
            patch: 4,
            components: 2,
            frequencies: 3,
            steps: 4,
            guidance: 0.0,
            noise_kept: 0.0,
            noise_anew: 0.0,
            metrics: None,
        };
        let told = conditions(&generation, 3, 0.5, Some(1));
        let root = std::f32::consts::FRAC_1_SQRT_2;
        let want = [root, root, 1.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0];
        assert_eq!(told.len(), generation.conditions(3));
        assert!(told.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6), "{told:?}");
        assert!(conditions(&generation, 3, 0.5, None)[6..].iter().all(|value| *value == 0.0));
        assert_eq!(network_input(&[1.0, 2.0], &[3.0, 4.0], 2), [1.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
    }
}
