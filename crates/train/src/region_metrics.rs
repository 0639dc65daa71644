//! What a segmentation is worth: Dice and IoU of regions, and of objects the harmonic mean of precision and
//! recall and the average precision, as the Data Science Bowl of 2018 and its successors count them.

use std::collections::BTreeMap;

use model::manifest::{ObjectMetrics, RegionMetrics};

/// What is right and what was found on one picture.
pub struct Pair<'a> {
    /// Index of the right label of each pixel, 0 for background.
    pub truth: &'a [u8],
    /// Index of the label found.
    pub found: &'a [u8],
    /// Numbers of the objects, right and found, where they are told apart.
    pub objects: Option<(&'a [u32], &'a [u32])>,
}

/// IoU thresholds of the average precision.
fn thresholds() -> impl Iterator<Item = f64> {
    (0..10).map(|step| 0.5 + 0.05 * f64::from(step))
}

/// Sums over the pictures of a split, as they come.
pub struct Measure {
    labels: Vec<String>,
    pictures: usize,
    dice: f64,
    iou: f64,
    /// By label: pixels shared, found, right.
    pixels: Vec<[f64; 3]>,
    objects: Option<Objects>,
}

#[derive(Default)]
struct Objects {
    truth: usize,
    found: usize,
    hits: usize,
    precision: f64,
}

impl Measure {
    /// Nothing yet; the first label is the background.
    pub fn new(labels: &[String]) -> Measure {
        let pixels = vec![[0.0; 3]; labels.len()];
        Measure { labels: labels.to_vec(), pictures: 0, dice: 0.0, iou: 0.0, pixels, objects: None }
    }

    /// Adds a picture. Returns its Dice coefficient.
    pub fn add(&mut self, pair: &Pair) -> f64 {
        let (mut shared, mut found, mut right) = (0.0, 0.0, 0.0);
        for (truth, answer) in pair.truth.iter().zip(pair.found) {
            let (truth, answer) = (usize::from(*truth), usize::from(*answer));
            self.pixels[truth][2] += 1.0;
            self.pixels[answer][1] += 1.0;
            right += f64::from(u8::from(truth > 0));
            found += f64::from(u8::from(answer > 0));
            if truth == answer {
                self.pixels[truth][0] += 1.0;
                shared += f64::from(u8::from(truth > 0));
            }
        }
        // Nothing found where there is nothing is right.
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 1.0 };
        let dice = share(2.0 * shared, found + right);
        self.pictures += 1;
        self.dice += dice;
        self.iou += share(shared, found + right - shared);
        if let Some((truth, found)) = pair.objects {
            let objects = self.objects.get_or_insert_with(Objects::default);
            let (ious, truth, found) = overlaps(truth, found);
            let hits = |least: f64| ious.iter().filter(|iou| **iou > least).count();
            objects.truth += truth;
            objects.found += found;
            objects.hits += hits(0.5);
            let precision = |least: f64| {
                let hits = hits(least);
                share(hits as f64, (truth + found - hits) as f64)
            };
            objects.precision += thresholds().map(precision).sum::<f64>() / thresholds().count() as f64;
        }
        dice
    }

    /// The metrics over all pictures so far.
    pub fn metrics(&self) -> RegionMetrics {
        let pictures = self.pictures.max(1) as f64;
        let dice = |[shared, found, right]: &[f64; 3]| {
            if found + right > 0.0 { 2.0 * shared / (found + right) } else { 1.0 }
        };
        let by_label: BTreeMap<String, f64> =
            self.labels.iter().zip(&self.pixels).skip(1).map(|(l, p)| (l.clone(), dice(p))).collect();
        RegionMetrics {
            pictures: self.pictures,
            dice: self.dice / pictures,
            iou: self.iou / pictures,
            dice_by_label: by_label,
            objects: self.objects.as_ref().map(|objects| ObjectMetrics {
                truth: objects.truth,
                found: objects.found,
                f1: 2.0 * objects.hits as f64 / (objects.truth + objects.found).max(1) as f64,
                average_precision: objects.precision / pictures,
            }),
        }
    }
}

/// For every right object its highest IoU with one that was found, where there is any; and the numbers of right and of
/// found objects. Above an IoU of one half an object has one partner at most.
fn overlaps(truth: &[u32], found: &[u32]) -> (Vec<f64>, usize, usize) {
    let (mut own, mut theirs, mut both) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (truth, found) in truth.iter().zip(found) {
        *own.entry(*truth).or_insert(0u64) += 1;
        *theirs.entry(*found).or_insert(0u64) += 1;
        if *truth > 0 && *found > 0 {
            *both.entry((*truth, *found)).or_insert(0u64) += 1;
        }
    }
    own.remove(&0);
    theirs.remove(&0);
    let mut best: BTreeMap<u32, f64> = BTreeMap::new();
    for ((truth, found), shared) in both {
        let iou = shared as f64 / (own[&truth] + theirs[&found] - shared) as f64;
        let most = best.entry(truth).or_insert(0.0);
        *most = most.max(iou);
    }
    (best.into_values().collect(), own.len(), theirs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<String> {
        vec!["background".to_string(), "cell".to_string()]
    }

    #[test]
    fn regions_and_objects_are_counted_by_hand() {
        let mut measure = Measure::new(&labels());
        // Three objects of four pixels: one whole, one of which three pixels are found, one missed; and a false alarm.
        let truth = [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 0, 0, 0, 0];
        let found = [7, 7, 7, 7, 9, 9, 9, 0, 0, 0, 0, 0, 5, 5, 0, 0];
        let mask = |numbers: &[u32]| numbers.iter().map(|n| u8::from(*n > 0)).collect::<Vec<u8>>();
        let (right, answer) = (mask(&truth), mask(&found));
        let dice = measure.add(&Pair { truth: &right, found: &answer, objects: Some((&truth, &found)) });
        assert!((dice - 14.0 / 21.0).abs() < 1e-12);
        let metrics = measure.metrics();
        assert!((metrics.iou - 7.0 / 14.0).abs() < 1e-12);
        assert!((metrics.dice_by_label["cell"] - dice).abs() < 1e-12);
        let objects = metrics.objects.unwrap();
        assert_eq!((objects.truth, objects.found), (3, 3));
        assert!((objects.f1 - 4.0 / 6.0).abs() < 1e-12);
        // Two hits below an IoU of 0.75, one from there on.
        assert!((objects.average_precision - (5.0 * 0.5 + 5.0 * 0.2) / 10.0).abs() < 1e-12, "{objects:?}");
    }

    #[test]
    fn nothing_found_where_there_is_nothing_is_right() {
        let mut measure = Measure::new(&labels());
        assert_eq!(
            measure.add(&Pair { truth: &[0; 4], found: &[0; 4], objects: Some((&[0; 4], &[0; 4])) }),
            1.0
        );
        assert_eq!(
            measure.add(&Pair { truth: &[0; 4], found: &[1; 4], objects: Some((&[0; 4], &[1; 4])) }),
            0.0
        );
        assert_eq!(measure.metrics().objects.unwrap().average_precision, 0.5);
    }
}
