//! The model package: manifest, weights, digest and calibration, read and written in one place.

#![forbid(unsafe_code)]

mod architecture;
pub mod calibration;
mod check;
pub mod drift;
mod embedding;
mod generation;
pub mod manifest;
mod metrics;
mod networks;
mod outputs;
pub mod package;
pub mod precision;
pub mod recommendation;
mod segmentation;

pub use manifest::Manifest;
pub use package::{Package, PackageError};
