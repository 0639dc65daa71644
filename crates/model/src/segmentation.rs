//! What a manifest says of a model that gives every pixel a label.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a picture becomes regions. The first label of such a model is the background.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segmentation {
    /// How a picture of another size than the network's is read.
    pub reading: Reading,
    /// How objects of the one label beside the background are told apart; nothing where they are not. The network
    /// then has one more output than labels: the edge of an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<Instances>,
    /// Least share of a picture's pixels that are no background where the model stands by its regions: one in a hundred
    /// pictures of training has less. None where such a picture has nothing else than background.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_share: Option<f64>,
    /// What a picture's regions are like where the model stands by them, as the network finds them on pictures of training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual: Option<UsualRegions>,
    /// Views of each tile over which the probabilities are averaged: 1 the tile itself, 2 with its mirror image, 4 with
    /// both turned by half a turn, 8 with all of these transposed, which are its mirror images and quarter turns. An
    /// answer takes as many times as long.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub views: u8,
    /// Measured on whole pictures, by split.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, RegionMetrics>,
}

/// What a manifest without a number of views means.
fn one() -> u8 {
    1
}

fn is_one(views: &u8) -> bool {
    *views == 1
}

/// Limits of what a network finds, each passed by one in two hundred pictures of training and validation: on clouds it
/// outlines what it is not sure of, and on pictures of another magnification what is smaller than any object it knows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsualRegions {
    /// Least mean over the outlined pixels of the probability that they are no background.
    pub least_certainty: f64,
    /// Least median of the pixels of an object, where objects are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_median: Option<f64>,
}

/// How a picture is brought to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reading {
    /// Resized to the network's input.
    Whole,
    /// At its own size, in tiles as large as the network's input.
    Tiles {
        /// Pixels that neighbors share at least.
        overlap: u32,
    },
}

/// How objects are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instances {
    /// Least probability of the inside where an object begins to grow.
    pub seed: f32,
    /// Least probability of being no background anywhere in an object.
    pub object: f32,
    /// Objects of fewer pixels are none.
    pub pixels: u32,
}

/// Metrics over the pictures of one split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionMetrics {
    /// Number of pictures.
    pub pictures: usize,
    /// Twice the shared pixels over the pixels of both, of what is no background: the mean over the pictures.
    pub dice: f64,
    /// Shared pixels over the pixels of either, likewise.
    pub iou: f64,
    /// By label, over all pixels of the split together.
    pub dice_by_label: BTreeMap<String, f64>,
    /// Of objects told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<ObjectMetrics>,
}

/// Metrics over the objects of one split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectMetrics {
    /// Objects there are.
    pub truth: usize,
    /// Objects that were found.
    pub found: usize,
    /// Harmonic mean of precision and recall over all objects, found where the IoU is above 0.5.
    pub f1: f64,
    /// Hits over hits, misses and false alarms at IoU 0.5 to 0.95 in steps of 0.05: the mean over these and the pictures.
    pub average_precision: f64,
}

impl Segmentation {
    /// Maps that the network of so many labels gives.
    pub fn outputs(&self, labels: usize) -> usize {
        labels + usize::from(self.instances.is_some())
    }

    /// Refuses what cannot be.
    pub(crate) fn check(&self, labels: usize, height: u32, width: u32) -> Result<(), String> {
        if labels > 255 {
            return Err(format!("segmentation: {labels} labels do not fit a mask of bytes"));
        }
        if let Reading::Tiles { overlap } = self.reading
            && overlap >= height.min(width)
        {
            return Err(format!("segmentation: tiles of {height} x {width} cannot share {overlap} pixels"));
        }
        if self.least_share.is_some_and(|share| !(share > 0.0 && share < 1.0)) {
            return Err("segmentation: least_share is not between 0 and 1".to_string());
        }
        if let Some(UsualRegions { least_certainty, least_median }) = self.usual {
            if !(0.0..=1.0).contains(&least_certainty) {
                return Err("segmentation: usual.least_certainty is not from 0 to 1".to_string());
            }
            if least_median.is_some_and(|median| !(median.is_finite() && median >= 0.0)) {
                return Err("segmentation: usual.least_median is no number of pixels".to_string());
            }
        }
        if ![1, 2, 4, 8].contains(&self.views) {
            return Err(format!("segmentation: {} views, not 1, 2, 4 or 8", self.views));
        }
        if self.views == 8 && height != width {
            return Err(format!(
                "segmentation: an input of {height} x {width} is no square, which has 8 views"
            ));
        }
        if let Some(Instances { seed, object, .. }) = self.instances {
            if !(seed > 0.0 && seed < 1.0 && object > 0.0 && object < 1.0) {
                return Err("segmentation: seed and object are not between 0 and 1".to_string());
            }
            if labels != 2 {
                return Err(
                    "segmentation: objects are told apart for one label beside the background".to_string()
                );
            }
        }
        Ok(())
    }
}
