//! In which precision a package serves: what its manifest allows, the operator asks for and the processor has.

use std::collections::BTreeMap;

use crate::config::ServingPrecision;
use model::Manifest;
use model::manifest::Precision;
use nn::{Numerics, Range, Ranges};

/// The precision that the network of `manifest` is computed in.
pub fn choose(manifest: &Manifest, asked: ServingPrecision) -> Precision {
    let allowed = manifest.precision.as_ref().is_some_and(|precision| precision.int8.allowed);
    let wanted = match asked {
        ServingPrecision::F32 => false,
        ServingPrecision::Int8 => true,
        ServingPrecision::Auto => nn::has_byte_instructions(),
    };
    match allowed && wanted && !manifest.exact_convolution {
        true => Precision::Int8,
        false => Precision::F32,
    }
}

/// How the network of `manifest` is computed in a precision.
pub fn numerics(manifest: &Manifest, precision: Precision) -> Numerics {
    let ranges = manifest.precision.as_ref().map(|precision| &precision.int8.ranges);
    let ranges = ranges.filter(|_| precision == Precision::Int8).map(to_ranges).unwrap_or_default();
    Numerics { exact: manifest.exact_convolution, ranges }
}

fn to_ranges(ranges: &BTreeMap<String, (f32, f32)>) -> Ranges {
    ranges.iter().map(|(name, (low, high))| (name.clone(), Range { low: *low, high: *high })).collect()
}
