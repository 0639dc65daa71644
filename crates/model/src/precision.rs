//! In which precisions a network over images may be computed, and what each costs.
//!
//! Training computes in single precision. A package may besides say between what the values of its layers
//! lie, measured on training pictures; with that a server computes its convolutions over bytes where the
//! processor has instructions for it. How many answers change by that is measured on the validation split,
//! and a package that loses more than [`MOST_LOST`] of its accuracy does not allow it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Largest part of the validation pictures by which accuracy may fall: 0.2 points.
pub const MOST_LOST: f64 = 0.002;

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
    /// How values far out were treated when the ranges were chosen: kept, or cut off by share or by error.
    pub clipping: String,
    /// Least and greatest value that every layer reads, by the layer's name, and of what is added to its results.
    /// A layer that is not named stays in single precision.
    pub ranges: BTreeMap<String, (f32, f32)>,
}

/// What a precision costs beside single precision, on the same pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrecisionCost {
    /// The split of the pictures.
    pub measured_on: String,
    /// Number of pictures.
    pub examples: usize,
    /// Accuracy in single precision.
    pub accuracy_f32: f64,
    /// Accuracy in this one.
    pub accuracy: f64,
    /// Share of pictures with the same label.
    pub same_label: f64,
    /// Share of pictures on which one of both abstains and the other does not.
    pub other_abstention: f64,
    /// Mean difference of the highest probability.
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
    /// Checks what can be checked without the network.
    ///
    /// # Errors
    /// A sentence that names the member and what is accepted.
    pub fn check(&self) -> Result<(), String> {
        if self.bf16.as_ref().is_some_and(|bf16| bf16.allowed && !bf16.cost.is_small()) {
            return Err(format!("precision.bf16 is allowed though accuracy falls by more than {MOST_LOST}"));
        }
        let Int8 { allowed, cost, ranges, .. } = &self.int8;
        if *allowed && (ranges.is_empty() || !cost.is_small()) {
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
        assert_eq!(precisions(true, 0.968, (-1.0, 2.0)).check(), Ok(()));
        assert_eq!(precisions(false, 0.9, (0.0, 2.0)).check(), Ok(()));
        assert!(precisions(true, 0.967, (0.0, 2.0)).check().unwrap_err().contains("falls"));
        let dear = Some(Bf16 { allowed: true, cost: cost(0.9) });
        let dear = Precisions { bf16: dear, ..precisions(true, 0.97, (0.0, 2.0)) };
        assert!(dear.check().unwrap_err().contains("bf16"));
        for range in [(0.5, 2.0), (-2.0, -1.0), (0.0, f32::INFINITY), (f32::NAN, 1.0)] {
            assert!(precisions(true, 0.97, range).check().unwrap_err().contains("stem"));
        }
    }
}
