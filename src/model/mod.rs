//! The model package: manifest, weights, digest and calibration, read and written in one place.

pub mod manifest;
