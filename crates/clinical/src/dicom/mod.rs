//! Answers about images as DICOM objects: plain data, written and never read.
//!
//! A result is in the study of its image, in a series of its own, and says which model made it and of which
//! image: a structured report ([`report()`]), a picture with the evidence drawn over it ([`capture()`]), and regions
//! ([`segmentation()`]). Its UIDs follow from the image and the model's version, so that an image that is sent twice
//! has one result.

mod capture;
mod charset;
mod code;
mod content;
pub mod data_set;
mod letters;
mod lossy;
mod maker;
mod moment;
mod named;
mod report;
mod segmentation;
mod source;
mod synthetic;
#[allow(missing_docs)]
pub mod tags;
#[cfg(test)]
mod tests;
mod text;
pub mod uid;

pub use capture::{Drawing, capture};
pub use code::Code;
pub use data_set::DataSet;
pub use maker::{Kind, Maker};
pub use moment::Moment;
pub use named::{Named, Patient};
pub use report::{Answer, report};
pub use segmentation::{Mask, segmentation};
pub use source::{Source, SourceError};
pub use synthetic::{Making, synthetic};
