//! In which precisions a network over images, or an encoder over texts, may be computed, and what each costs.
//!
//! Training computes in single precision. A package of images may besides say between what the values of its layers
//! lie, measured on training pictures; with that a server computes its convolutions over bytes where the
//! processor has instructions for it. An encoder's dense layers bring each row to bytes by itself, so nothing
//! need be known before. How many answers change by that is measured on the validation split,
//! and a package that loses more than [`MOST_LOST`] of its accuracy does not allow it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Largest part of the validation pictures by which accuracy may fall: 0.2 points.
pub const MOST_LOST: f64 = 0.002;

/// What [`Int8::clipping`] says of an encoder: nothing is cut off, every row has levels of its own.
pub const BY_ROW: &str = "by row";

/// How the values of a network are kept and multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    F32,
    /// The upper half of it (bfloat16), sums in single precision.
    Bf16,
    /// Eight-bit whole numbers, sums in 32 bits.
    Int8,
}

impl Precision {
    /// The name used in manifests, settings and over HTTP.
    pub fn as_str(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
        }
    }
}

/// The precisions besides single precision that were measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Precisions {
    /// Over bytes.
    pub int8: Int8,
    /// Over numbers of half the length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bf16: Option<Bf16>,
}

/// What was measured of a network over numbers of half the length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bf16 {
    /// Whether it may serve.
    pub allowed: bool,
    /// What it costs.
    pub cost: PrecisionCost,
}

/// What was measured of a network over bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Int8 {
    /// Whether it may serve.
    pub allowed: bool,
    /// What it costs.
    pub cost: PrecisionCost,
    /// How values far out were treated when the ranges were chosen: kept, or cut off by share or by error; of an encoder
    /// [`BY_ROW`].
    pub clipping: String,
    /// None of an encoder; else the least and greatest value that every layer reads, by the layer's name, and of what is added to its results.
    /// A layer that is not named stays in single precision.
    pub ranges: BTreeMap<String, (f32, f32)>,
}

/// What [`PrecisionCost::accuracy`] is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// The share of the examples with the right label.
    #[default]
    Accuracy,
    /// The harmonic mean of precision and recall over names.
    F1,
    /// Normalised discounted cumulative gain of the first ten texts that questions find by vectors alone.
    Ndcg,
}

impl Measure {
    /// Its name in sentences.
    pub fn as_str(self) -> &'static str {
        match self {
            Measure::Accuracy => "accuracy",
            Measure::F1 => "F1",
            Measure::Ndcg => "nDCG@10",
        }
    }

    fn is_accuracy(&self) -> bool {
        *self == Measure::Accuracy
    }
}

/// What a precision costs beside single precision, on the same examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrecisionCost {
    /// The split of the examples.
    pub measured_on: String,
    /// Number of pictures, notes, texts with names, or questions.
    pub examples: usize,
    /// What the next two are.
    #[serde(default, skip_serializing_if = "Measure::is_accuracy")]
    pub measure: Measure,
    /// Accuracy, or what is measured in its place, in single precision.
    pub accuracy_f32: f64,
    /// The same in this one.
    pub accuracy: f64,
    /// Share of examples with the same label; of names those that both find among those that either finds; of questions
    /// those whose nearest text is the same.
    pub same_label: f64,
    /// Share of examples on which one of both abstains and the other does not.
    pub other_abstention: f64,
    /// Mean difference of the highest probability, or of those of the names that both find; of vectors the mean of 1 less the
    /// cosine of both.
    pub probability_difference: f64,
}

impl PrecisionCost {
    /// True where accuracy falls by no more than [`MOST_LOST`].
    pub fn is_small(&self) -> bool {
        // A share of pictures is no exact number.
        self.accuracy_f32 - self.accuracy <= MOST_LOST + 1e-9
    }
}

impl Precisions {
    /// Checks what can be checked without the network: of images, or `by_row` of an encoder.
    ///
    /// # Errors
    /// A sentence that names the member and what is accepted.
    pub fn check(&self, by_row: bool) -> Result<(), String> {
        if self.bf16.as_ref().is_some_and(|bf16| bf16.allowed && !bf16.cost.is_small()) {
            return Err(format!("precision.bf16 is allowed though accuracy falls by more than {MOST_LOST}"));
        }
        let Int8 { allowed, cost, ranges, clipping } = &self.int8;
        if by_row && (clipping != BY_ROW || !ranges.is_empty()) {
            return Err(format!("precision.int8 of an encoder has the clipping \"{BY_ROW}\" and no ranges"));
        }
        if *allowed && ((ranges.is_empty() && !by_row) || !cost.is_small()) {
            return Err(format!(
                "precision.int8 is allowed without ranges, or though accuracy falls by more than {MOST_LOST}"
            ));
        }
        let sound =
            |(low, high): &(f32, f32)| low.is_finite() && high.is_finite() && *low <= 0.0 && *high >= 0.0;
        match ranges.iter().find(|(_, range)| !sound(range)) {
            Some((name, (low, high))) => Err(format!(
                "precision.int8.ranges: \"{name}\" goes from {low} to {high}; a range has 0 in it and two finite ends"
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_too_much_is_not_allowed() {
        let cost = |accuracy| PrecisionCost {
            measured_on: "val".to_string(),
            examples: 1000,
            measure: Measure::Accuracy,
            accuracy_f32: 0.97,
            accuracy,
            same_label: 0.99,
            other_abstention: 0.0,
            probability_difference: 0.01,
        };
        let precisions = |allowed, accuracy, range| Precisions {
            int8: Int8 {
                allowed,
                cost: cost(accuracy),
                clipping: "error".to_string(),
                ranges: BTreeMap::from([("stem".to_string(), range)]),
            },
            bf16: None,
        };
        assert_eq!(precisions(true, 0.968, (-1.0, 2.0)).check(false), Ok(()));
        assert_eq!(precisions(false, 0.9, (0.0, 2.0)).check(false), Ok(()));
        assert!(precisions(true, 0.967, (0.0, 2.0)).check(false).unwrap_err().contains("falls"));
        let dear = Some(Bf16 { allowed: true, cost: cost(0.9) });
        let dear = Precisions { bf16: dear, ..precisions(true, 0.97, (0.0, 2.0)) };
        assert!(dear.check(false).unwrap_err().contains("bf16"));
        assert!(precisions(true, 0.97, (0.0, 2.0)).check(true).unwrap_err().contains("by row"));
        let mut rows = precisions(true, 0.97, (0.0, 2.0));
        rows.int8 = Int8 { ranges: BTreeMap::new(), clipping: BY_ROW.to_string(), ..rows.int8 };
        assert_eq!(rows.check(true), Ok(()));
        assert!(rows.check(false).unwrap_err().contains("without ranges"));
        rows.int8.cost.accuracy = 0.96;
        assert!(rows.check(true).unwrap_err().contains("falls"));
        for range in [(0.5, 2.0), (-2.0, -1.0), (0.0, f32::INFINITY), (f32::NAN, 1.0)] {
            assert!(precisions(true, 0.97, range).check(false).unwrap_err().contains("stem"));
        }
    }
}
