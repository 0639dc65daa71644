//! In which precision a package serves: what its manifest allows, the operator asks for and the processor has.

use std::collections::BTreeMap;

use crate::config::ServingPrecision;
use model::Manifest;
use model::manifest::Precision;
use nn::{Numerics, Range, Ranges};

/// The precision that the network of `manifest` is computed in.
pub fn choose(manifest: &Manifest, asked: ServingPrecision) -> Precision {
    let measured = manifest.precision.as_ref().filter(|_| !manifest.exact_convolution);
    let int8 = measured.is_some_and(|measured| measured.int8.allowed);
    let bf16 = measured.and_then(|measured| measured.bf16.as_ref()).is_some_and(|bf16| bf16.allowed);
    match asked {
        ServingPrecision::Int8 if int8 => Precision::Int8,
        ServingPrecision::Bf16 if bf16 => Precision::Bf16,
        ServingPrecision::Auto if int8 && nn::has_byte_instructions() => Precision::Int8,
        ServingPrecision::Auto if bf16 && nn::has_fast_halves() => Precision::Bf16,
        _ => Precision::F32,
    }
}

/// How the network of `manifest` is computed in a precision.
pub fn numerics(manifest: &Manifest, precision: Precision) -> Numerics {
    let ranges = manifest.precision.as_ref().map(|precision| &precision.int8.ranges);
    let ranges = ranges.filter(|_| precision == Precision::Int8).map(to_ranges).unwrap_or_default();
    Numerics { exact: manifest.exact_convolution, ranges, halves: precision == Precision::Bf16 }
}

fn to_ranges(ranges: &BTreeMap<String, (f32, f32)>) -> Ranges {
    ranges.iter().map(|(name, (low, high))| (name.clone(), Range { low: *low, high: *high })).collect()
}
