//! What a manifest says of a model that makes pictures.
//!
//! Such a model removes noise (Ho, Jain and Abbeel 2020, "Denoising diffusion probabilistic models"): from noise alone, in
//! a few steps, it comes to a picture of the label asked for. It works on squares of pixels, each as a few numbers, which is
//! what makes it fast enough for a processor.

use serde::{Deserialize, Serialize};

use super::check::within;
use super::manifest::ImageInput;

/// Most steps from noise to a picture.
const MAX_STEPS: usize = 1000;
/// Largest guidance.
const MAX_GUIDANCE: f32 = 20.0;
/// Most frequencies that a noise level is given in.
const MAX_FREQUENCIES: usize = 16;
/// Largest share of the noise that stays.
const MAX_KEPT: f32 = 0.2;
/// Most new noise.
const MAX_ANEW: f32 = 2.0;

/// How pictures are made. Their size and channels are those of the manifest's `input`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Side in pixels of the squares that a picture is cut into; the network's maps have one place a square.
    pub patch: usize,
    /// Numbers that a square becomes, by its principal components.
    pub components: usize,
    /// Frequencies whose sine and cosine tell the network the noise level.
    pub frequencies: usize,
    /// Steps from noise to a picture.
    pub steps: usize,
    /// How much further than asked each step goes from a picture of any label to one of the label wanted (Ho and Salimans
    /// 2022, "Classifier-free diffusion guidance"): 0 for not, which also halves the work.
    pub guidance: f32,
    /// Share of the noise that stays in what the network says on the way, times its ratio to the picture (Ning et al. 2023,
    /// "Elucidating the exposure bias in diffusion models"): 0 for none, and pictures flatter than real ones.
    #[serde(default)]
    pub noise_kept: f32,
    /// How much of the noise of a step is new (the eta of Song, Meng and Ermon 2021, "Denoising diffusion implicit models"): 0 for
    /// none, so that each picture is on the way that its first noise began; 1 for as much as training puts on.
    #[serde(default)]
    pub noise_anew: f32,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<GenerationMetrics>,
}

impl Generation {
    /// Numbers that say under what the network works: the noise level, and the label or none.
    pub fn conditions(&self, labels: usize) -> usize {
        2 * self.frequencies + labels
    }

    /// Refuses what cannot be.
    pub(crate) fn check(&self, labels: usize, input: &ImageInput) -> Result<(), String> {
        let ImageInput { height, width, channels, .. } = *input;
        let (height, width, channels) = (height as usize, width as usize, channels as usize);
        within("generation.patch", self.patch)?;
        if !height.is_multiple_of(self.patch) || !width.is_multiple_of(self.patch) {
            return Err(format!(
                "generation: {height} x {width} pixels do not fall into squares of {}",
                self.patch
            ));
        }
        let values = self.patch.saturating_mul(self.patch).saturating_mul(channels);
        if !(1..=values).contains(&self.components) {
            return Err(format!("generation.components is {}, not between 1 and {values}", self.components));
        }
        if !(1..=MAX_FREQUENCIES).contains(&self.frequencies) {
            return Err(format!(
                "generation.frequencies is {}, not between 1 and {MAX_FREQUENCIES}",
                self.frequencies
            ));
        }
        if !(1..=MAX_STEPS).contains(&self.steps) {
            return Err(format!("generation.steps is {}, not between 1 and {MAX_STEPS}", self.steps));
        }
        for (name, value, most) in [
            ("guidance", self.guidance, MAX_GUIDANCE),
            ("noise_kept", self.noise_kept, MAX_KEPT),
            ("noise_anew", self.noise_anew, MAX_ANEW),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(format!("generation.{name} is {value}, not from 0 to {most}"));
            }
        }
        within("the number of conditions", self.conditions(labels))
    }
}

/// A U-Net of residual blocks, each told the noise level and the label by a vector that is added to its channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenoiserConfig {
    /// Channels of each size of map, the largest first; each next one has half the rows and columns.
    pub widths: Vec<usize>,
    /// Residual blocks of each size on the way down, and again on the way up.
    pub blocks: usize,
    /// Values of the vector that says under what the network works.
    pub embedding: usize,
}

impl DenoiserConfig {
    /// Refuses sizes that cannot be.
    pub(crate) fn check(&self) -> Result<(), String> {
        within("the number of widths", self.widths.len())?;
        self.widths.iter().try_for_each(|channels| within("widths", *channels))?;
        within("blocks", self.blocks)?;
        within("embedding", self.embedding)
    }
}

/// Measures of the pictures that a model makes, beside real ones that it was not trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationMetrics {
    /// Pictures made for it, as many of each label.
    pub generated: usize,
    /// The split of the real pictures beside them.
    pub measured_on: String,
    /// Accuracy on the real pictures of a classifier trained on the generated ones alone.
    pub trained_on_generated: f64,
    /// Accuracy of the same classifier trained on the real ones of training.
    pub trained_on_real: f64,
    /// What generated pictures add where there are few real ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub few: Option<FewExamples>,
    /// Fréchet distance between generated and real pictures in the features of the classifier trained on real ones.
    pub frechet_distance: f64,
    /// That between the real pictures of training and those of the split, which is as near as can be expected.
    pub frechet_distance_of_real: f64,
    /// Share of the generated pictures that lie among real ones (Kynkäänniemi et al. 2019, "Improved precision and recall
    /// metric for assessing generative models").
    pub precision: f64,
    /// Share of the real pictures that lie among generated ones.
    pub recall: f64,
    /// Whether pictures of training come out again.
    pub memorisation: Memorisation,
}

/// Accuracies of a classifier with few real pictures to learn from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FewExamples {
    /// Real pictures of each label.
    pub per_label: usize,
    /// Trained on them alone, altered as usual.
    pub real: f64,
    /// Trained on them and the generated ones.
    pub real_and_generated: f64,
}

/// How near generated pictures are to those of training, turned and mirrored in every way, beside how near real ones are
/// that training has not seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memorisation {
    /// Share of the generated pictures nearer to their nearest picture of training than all but a hundredth of the real ones
    /// are.
    pub nearer: f64,
    /// What that share may be; a model above it is not written.
    pub at_most: f64,
    /// The median distance of generated pictures over that of real ones.
    pub median_ratio: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Crop, Normalisation, ResizeFilter};

    fn input() -> ImageInput {
        ImageInput {
            height: 64,
            width: 32,
            channels: 3,
            crop: Crop::Centre,
            resize: ResizeFilter::Bicubic,
            normalisation: Normalisation::PerImage { floor: 0.02 },
            accepts: None,
        }
    }

    #[test]
    fn what_cannot_be_made_is_refused_by_the_name_of_its_member() {
        let fits = Generation {
            patch: 4,
            components: 48,
            frequencies: 8,
            steps: 12,
            guidance: 0.5,
            noise_kept: 0.0,
            noise_anew: 0.0,
            metrics: None,
        };
        assert_eq!(fits.check(8, &input()), Ok(()));
        let wrong = [
            ("generation.patch", Generation { patch: 0, ..fits.clone() }),
            ("squares of 5", Generation { patch: 5, ..fits.clone() }),
            ("components is 49", Generation { components: 49, ..fits.clone() }),
            ("frequencies", Generation { frequencies: 0, ..fits.clone() }),
            ("steps", Generation { steps: 0, ..fits.clone() }),
            ("guidance", Generation { guidance: f32::NAN, ..fits.clone() }),
            ("noise_kept", Generation { noise_kept: 0.3, ..fits.clone() }),
            ("noise_anew", Generation { noise_anew: -0.1, ..fits.clone() }),
        ];
        for (part, generation) in wrong {
            let error = generation.check(8, &input()).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
