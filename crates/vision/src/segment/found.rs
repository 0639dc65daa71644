//! What was found on a picture: probabilities of each pixel, and the regions and objects that they make.

use super::objects::{self, Growth};
use crate::image::Image;
use model::manifest::{Instances, Segmentation, UsualRegions};

/// What is seen on a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Regions {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Index of the label of each pixel, 0 for background.
    pub labels: Vec<u8>,
    /// Number of the object at each pixel, 0 for none, where objects are told apart.
    pub objects: Option<Vec<u32>>,
    /// Mean over the pixels of the highest probability.
    pub confidence: f32,
    /// Mean over what is outlined of the probability that it is no background; 0 where nothing is.
    pub certainty: f32,
    /// Square pixels that each pixel is as large as: 1, but of a picture whose pixels are not square.
    pub area: f64,
}

impl Regions {
    /// Share of the pixels that are no background.
    pub fn share(&self) -> f64 {
        let found = self.labels.iter().filter(|label| **label != 0).count();
        found as f64 / self.labels.len().max(1) as f64
    }

    /// Median of the square pixels of an object, where objects are told apart and there are any.
    pub fn median_pixels(&self) -> Option<f64> {
        let objects = self.objects.as_ref()?;
        let mut sizes = vec![0u32; objects.iter().copied().max()? as usize];
        objects.iter().filter(|number| **number > 0).for_each(|number| sizes[*number as usize - 1] += 1);
        sizes.sort_unstable();
        let middle = sizes.len().checked_sub(1)? / 2;
        Some(self.area * f64::midpoint(f64::from(sizes[middle]), f64::from(sizes[sizes.len() / 2])))
    }

    /// Whether what is found is unlike what is found on next to every picture of training, so that this picture shows
    /// something else: less than there, less sure, or smaller.
    pub fn unlike(&self, segmentation: &Segmentation) -> bool {
        let share = self.share();
        let beyond = |UsualRegions { least_certainty, least_median }: UsualRegions| {
            let smaller = |least: f64| self.median_pixels().is_some_and(|median| median < least);
            f64::from(self.certainty) < least_certainty || least_median.is_some_and(smaller)
        };
        // Nothing at all is neither faint nor small.
        segmentation.least_share.is_some_and(|least| share < least)
            || (share > 0.0 && segmentation.usual.is_some_and(beyond))
    }
}

/// Probabilities of a picture at its own size, in 1 / 255.
pub struct Maps {
    pub(super) height: usize,
    pub(super) width: usize,
    /// The most probable label of each pixel; an edge counts as its object.
    pub(super) labels: Vec<u8>,
    /// That it is the inside of an object.
    pub(super) inside: Vec<u8>,
    /// That it is no background.
    pub(super) object: Vec<u8>,
    pub(super) sum: f64,
    /// Square pixels that each pixel is as large as.
    pub(super) area: f64,
}

impl Maps {
    /// The regions, with objects told apart where `instances` says how.
    pub fn regions(&self, instances: Option<&Instances>) -> Regions {
        let Maps { height, width, ref labels, ref inside, ref object, sum, area } = *self;
        let mut labels = labels.clone();
        let objects = instances.map(|instances| {
            let Instances { seed, object: least, pixels } = *instances;
            let byte = |share: f32| (share * 255.0).round().clamp(1.0, 255.0) as u8;
            let pixels = (f64::from(pixels) / area).round() as usize;
            let growth = Growth { seed: byte(seed), object: byte(least), least: pixels };
            let objects = objects::objects(inside, object, width, &growth);
            labels.iter_mut().zip(&objects).for_each(|(label, number)| *label = u8::from(*number > 0));
            objects
        });
        let confidence = (sum / (height * width).max(1) as f64) as f32;
        let outlined = labels.iter().zip(object).filter(|(label, _)| **label != 0);
        let (sure, count) =
            outlined.fold((0u64, 0u64), |(sure, count), (_, own)| (sure + u64::from(*own), count + 1));
        let certainty = (sure as f64 / (255 * count).max(1) as f64) as f32;
        Regions { height, width, labels, objects, confidence, certainty, area }
    }

    /// Of a picture that was read in square pixels, for its own: each is what the square one at its middle is.
    pub(super) fn in_pixels_of(self, image: &Image) -> Maps {
        let (height, width) = (image.height() as usize, image.width() as usize);
        if (height, width) == (self.height, self.width) {
            return self;
        }
        let middle = |at: usize, length: usize, own: usize| (2 * at + 1) * own / (2 * length);
        let own = |map: &[u8]| -> Vec<u8> {
            let row = |row: usize| &map[middle(row, height, self.height) * self.width..][..self.width];
            let pixels = |row: &[u8]| -> Vec<u8> {
                (0..width).map(|column| row[middle(column, width, self.width)]).collect()
            };
            (0..height).flat_map(|at| pixels(row(at))).collect()
        };
        let (labels, inside, object) = (own(&self.labels), own(&self.inside), own(&self.object));
        let area = area(image);
        Maps { height, width, labels, inside, object, sum: self.sum / area, area }
    }
}

/// Square pixels that each of a picture's is as large as.
pub(super) fn area(image: &Image) -> f64 {
    let (width, height) = image.square_size();
    f64::from(width) * f64::from(height) / (f64::from(image.width()) * f64::from(image.height()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_found_is_unlike_where_it_is_less_or_fainter_or_smaller() {
        // Objects of 2, 4 and 6 pixels on 24, nine in ten sure.
        let numbers: Vec<u32> = [vec![1; 2], vec![2; 4], vec![3; 6], vec![0; 12]].concat();
        let regions = Regions {
            height: 4,
            width: 6,
            labels: numbers.iter().map(|number| u8::from(*number > 0)).collect(),
            objects: Some(numbers),
            confidence: 0.9,
            certainty: 0.9,
            area: 1.0,
        };
        assert_eq!((regions.share(), regions.median_pixels()), (0.5, Some(4.0)));
        let unlike = |limits: serde_json::Value| {
            let mut segmentation = json!({"reading": {"kind": "whole"}});
            segmentation.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
            regions.unlike(&serde_json::from_value(segmentation).unwrap())
        };
        let usual = |certainty: f64, median: Option<f64>| json!({"usual": {"least_certainty": certainty, "least_median": median}});
        assert!(
            !unlike(json!({}))
                && !unlike(json!({"least_share": 0.49}))
                && unlike(json!({"least_share": 0.51}))
        );
        assert!(!unlike(usual(0.89, None)) && unlike(usual(0.91, None)));
        assert!(!unlike(usual(0.5, Some(4.0))) && unlike(usual(0.5, Some(4.5))));
        let nothing =
            Regions { labels: vec![0; 24], objects: Some(vec![0; 24]), certainty: 0.0, ..regions.clone() };
        let segmentation =
            serde_json::from_value(json!({"reading": {"kind": "whole"}, "usual": {"least_certainty": 0.9}}));
        assert!(nothing.median_pixels().is_none() && !nothing.unlike(&segmentation.unwrap()));
    }

    #[test]
    fn how_sure_of_an_object_is_the_mean_over_what_is_outlined() {
        let maps = Maps {
            height: 1,
            width: 4,
            labels: vec![0, 1, 1, 0],
            inside: vec![0; 4],
            object: vec![9, 255, 153, 0],
            sum: 3.0,
            area: 1.0,
        };
        assert!((maps.regions(None).certainty - 0.8).abs() < 1e-6);
    }
}
