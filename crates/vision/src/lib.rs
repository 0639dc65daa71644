//! Vision: from the bytes of an image file to the numbers a network is given, and its logits.
//!
//! [`decode`] turns PNG, JPEG and DICOM files into an [`Image`], refusing what is broken, too
//! large or unknown with a sentence for the sender. [`preprocess`] does to an image what the
//! manifest of a model says: crop, resize, channels, normalisation. Training and serving call the
//! very same two functions, so a model never sees at the hospital what it did not see in training.
//! [`network`] builds the architecture that a manifest describes.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod cnn;
mod convnext;
mod crop;
pub mod decode;
mod denoiser;
mod densenet;
mod dicom;
pub mod evidence;
pub mod generate;
pub mod image;
mod inception;
mod jpeg;
mod lanes;
pub mod likeness;
mod mobilenet;
pub mod names;
pub mod network;
pub mod onnx;
pub mod phantom;
mod pixel_shape;
mod png;
pub mod preprocess;
mod resnet;
pub mod segment;
mod sharpness;
pub mod synthetic;
pub mod tones;
mod unet;
mod unseen;
mod vit;
pub mod write;

pub use decode::{Declared, DecodeError, DecodeOptions, Format, declared, decode};
pub use dicom::{Identity, attributes, is_read, picture_bytes};
pub use image::{Image, Samples, ShapeError};
pub use pixel_shape::PixelShape;
pub use preprocess::{PreprocessError, Preprocessor, in_square_pixels, preprocess};
pub use unseen::{is_cut_short, is_too_small};

#[cfg(test)]
mod depths;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod lenient;
#[cfg(test)]
mod shaped;
#[cfg(test)]
mod tests;
