//! Measuring between what the values of a network lie, on examples, so that it can be computed over bytes.
//!
//! Two passes over the examples, in single precision: the extremes of every map that a convolution reads,
//! then histograms between them. From those a range is taken that is worth its levels: a single value
//! far out is better cut off than all others told apart more coarsely.

use std::collections::BTreeMap;

use candle_core::Result;

use super::ranges::{Range, Ranges, residual};
use super::steps::Step;
use super::{Format, Place, Runner};
use crate::map::Map;
use crate::simd::AlignedVec;

/// Parts of a histogram.
const PARTS: usize = 4096;

/// Which values are cut off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clipping {
    /// None.
    Nothing,
    /// This share of the values, at the ends.
    Share(f64),
    /// Those that make the mean square error of all least.
    Error,
}

/// The values of one map.
#[derive(Debug, Clone)]
struct Seen {
    low: f32,
    high: f32,
    counts: Vec<u64>,
}

/// What was seen of the values that every convolution of a plan reads.
#[derive(Debug, Clone)]
pub struct Calibration {
    seen: BTreeMap<String, Seen>,
}

impl Calibration {
    /// Runs `images` twice.
    ///
    /// # Errors
    /// An image of another size.
    pub fn new<I: AsRef<[f32]>>(runner: &mut Runner, images: &[I]) -> Result<Calibration> {
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        watch(runner, images, |name, values| {
            let entry = seen.entry(name.to_string());
            let seen = entry.or_insert(Seen { low: 0.0, high: 0.0, counts: vec![0; PARTS] });
            for value in values.iter().filter(|value| value.is_finite()) {
                seen.low = seen.low.min(*value);
                seen.high = seen.high.max(*value);
            }
        })?;
        watch(runner, images, |name, values| {
            if let Some(Seen { low, high, counts }) = seen.get_mut(name) {
                let by = PARTS as f32 / (*high - *low).max(f32::MIN_POSITIVE);
                // A byte stands for 0 exactly: zeros, of which a rectifier leaves many, weigh nothing.
                for value in values.iter().filter(|value| value.is_finite() && **value != 0.0) {
                    counts[(((value - *low) * by) as usize).min(PARTS - 1)] += 1;
                }
            }
        })?;
        Ok(Calibration { seen })
    }

    /// The ranges of all maps.
    pub fn ranges(&self, clipping: Clipping) -> Ranges {
        self.seen.iter().map(|(name, seen)| (name.clone(), seen.range(clipping))).collect()
    }
}

impl Seen {
    /// The middle of a part.
    fn middle(&self, part: usize) -> f32 {
        self.low + (part as f32 + 0.5) * (self.high - self.low) / PARTS as f32
    }

    fn range(&self, clipping: Clipping) -> Range {
        let Seen { low, high, .. } = *self;
        match clipping {
            Clipping::Nothing => Range { low, high },
            Clipping::Share(share) => {
                let all: u64 = self.counts.iter().sum();
                let most = (share / 2.0 * all as f64) as u64;
                let is_left = |cut: &mut u64, part: &usize| {
                    *cut += self.counts[*part];
                    *cut > most
                };
                let (mut below, mut above) = (0, 0);
                let first = (0..PARTS).find(|part| is_left(&mut below, part)).unwrap_or(0);
                let last = (0..PARTS).rev().find(|part| is_left(&mut above, part)).unwrap_or(PARTS - 1);
                let width = (high - low) / PARTS as f32;
                let inner = (low + first as f32 * width, low + (last + 1) as f32 * width);
                Range { low: inner.0.min(0.0), high: inner.1.max(0.0) }
            }
            Clipping::Error => {
                // A rectified map keeps its 0; ends on both sides of it are moved by the same share.
                let tried = (20..=100).map(|share| share as f32 / 100.0);
                let ranges = tried.map(|share| Range { low: low * share, high: high * share });
                let errors = ranges.map(|range| (self.error(range), range));
                errors.min_by(|(a, _), (b, _)| a.total_cmp(b)).map_or(Range { low, high }, |(_, range)| range)
            }
        }
    }

    /// The sum of the squares of what bytes over a range are off by.
    fn error(&self, range: Range) -> f64 {
        let levels = range.levels();
        let inner = f64::from(levels.scale).powi(2) / 12.0;
        let parts = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let off = |part: usize| {
            let value = self.middle(part);
            let beyond = f64::from((value - range.high).max(range.low - value).max(0.0));
            if beyond > 0.0 { beyond * beyond } else { inner }
        };
        parts.map(|(part, count)| *count as f64 * off(part)).sum()
    }
}

/// Calls `see` with values of every map that a convolution of `runner`'s plan reads or adds, under the name
/// of its range.
fn watch<I: AsRef<[f32]>>(
    runner: &mut Runner,
    images: &[I],
    mut see: impl FnMut(&str, &[f32]),
) -> Result<()> {
    let mut rows = |name: &str, map: &Map, values: &[f32], images: usize| {
        for image in values.chunks_exact(map.image()).take(images) {
            for (y, x) in map.places() {
                see(name, &image[map.place(y, x)..][..map.channels]);
            }
        }
    };
    runner.watched(
        images,
        |_| {},
        |Step { action, from, to, .. }, maps: &[AlignedVec], images| {
            if let (Some(name), [Place { slot, map, format: Format::Floats }]) = (action.name(), &from[..]) {
                rows(name, map, &maps[*slot], images);
                if let Some(slot) = action.residual() {
                    rows(&residual(name), &to.map, &maps[slot], images);
                }
            }
        },
    )
}
