//! Decoding: which format these bytes are, and the image in them.
//!
//! Files come from outside, so nothing here trusts them. The declared size is checked against
//! [`DecodeOptions::max_pixels`] before memory is taken for pixels; a file too short to hold what
//! it declares is refused at once; a truncated file is an error, never a half-grey image, because
//! a classifier would answer it with confidence. Error messages speak of structure (sizes,
//! offsets, attribute names) and never repeat values that could name a patient.

use thiserror::Error;

use super::image::{Image, ShapeError};
use super::pixel_shape::PixelShape;
use super::{dicom, jpeg, png};

/// The image formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Portable Network Graphics.
    Png,
    /// JPEG (ITU-T T.81) in a JFIF, EXIF or bare stream.
    Jpeg,
    /// A DICOM Part 10 file: preamble, `DICM`, file meta information, data set.
    Dicom,
}

impl Format {
    /// All formats, in the order they are named to people.
    pub const ALL: [Format; 3] = [Format::Png, Format::Jpeg, Format::Dicom];

    /// The media type used in HTTP's `content-type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Png => "image/png",
            Format::Jpeg => "image/jpeg",
            Format::Dicom => "application/dicom",
        }
    }

    /// The format that a `content-type` value names; parameters after `;` are ignored.
    pub fn from_content_type(value: &str) -> Option<Format> {
        let essence = value.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("image/jpg") {
            return Some(Format::Jpeg);
        }
        Format::ALL.into_iter().find(|format| essence.eq_ignore_ascii_case(format.content_type()))
    }

    /// The format that the first bytes of a file show, whatever it was called.
    pub fn sniff(bytes: &[u8]) -> Option<Format> {
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Format::Png)
        } else if bytes.starts_with(b"\xff\xd8\xff") {
            Some(Format::Jpeg)
        } else if bytes.get(128..132) == Some(b"DICM")
            || bytes.starts_with(b"DICM")
            || dicom::looks_like_elements(bytes)
        {
            Some(Format::Dicom)
        } else {
            None
        }
    }

    /// The name for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Png => "PNG",
            Format::Jpeg => "JPEG",
            Format::Dicom => "DICOM",
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a caller may ask of [`decode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Most pixels of one frame, width times height. Decoding takes up to six bytes a pixel for
    /// the image, and about as much again while it works.
    pub max_pixels: u64,
    /// Which frame of a multi-frame DICOM file, counted from 1 as DICOM does; `None` is the
    /// first. PNG and JPEG hold one frame.
    pub frame: Option<u32>,
}

impl DecodeOptions {
    /// The default of [`DecodeOptions::max_pixels`]: 64 Mi pixels, say 8,192 x 8,192.
    pub const MAX_PIXELS: u64 = 64 << 20;
}

impl Default for DecodeOptions {
    fn default() -> Self {
        DecodeOptions { max_pixels: DecodeOptions::MAX_PIXELS, frame: None }
    }
}

/// Why an image was not decoded. The message is meant for whoever sent the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// There were no bytes.
    #[error("the image is empty: no bytes were sent")]
    Empty,
    /// The bytes are not a sound file of the format.
    #[error("not a readable {format} file: {detail}")]
    Malformed {
        /// The format it was read as.
        format: Format,
        /// What was wrong, and where.
        detail: String,
    },
    /// The file declares more pixels than are accepted.
    #[error(
        "the image declares {width} x {height} pixels; at most {limit} pixels (width times height) are accepted"
    )]
    TooLarge {
        /// Declared width.
        width: u64,
        /// Declared height.
        height: u64,
        /// Most pixels accepted.
        limit: u64,
    },
    /// Decoding the file takes more memory than the caller gives to it.
    #[error("decoding the image takes {needed} bytes of memory; at most {limit} are given to it")]
    TooMuchMemory {
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that it may take.
        limit: u64,
    },
    /// The file declares no pixels.
    #[error("the image declares a width or height of zero")]
    ZeroSized,
    /// A DICOM transfer syntax without a decoder here.
    #[error("DICOM transfer syntax {uid} is not supported; supported are {}", dicom::SUPPORTED)]
    UnsupportedTransferSyntax {
        /// The transfer syntax's UID.
        uid: String,
    },
    /// A sound file that uses something this program does not read.
    #[error("not supported: {what}")]
    Unsupported {
        /// What it is.
        what: String,
    },
    /// A frame was asked for that the file does not have.
    #[error("there is no frame {frame}: the image has {frames} frame(s), counted from 1")]
    NoSuchFrame {
        /// The frame asked for.
        frame: u32,
        /// The frames there are.
        frames: u32,
    },
}

impl DecodeError {
    pub(super) fn malformed(format: Format, detail: impl Into<String>) -> DecodeError {
        DecodeError::Malformed { format, detail: detail.into() }
    }

    pub(super) fn unsupported(what: impl Into<String>) -> DecodeError {
        DecodeError::Unsupported { what: what.into() }
    }

    /// A decoder returned another number of values than the header declares.
    pub(super) fn shape(format: Format, error: ShapeError) -> DecodeError {
        DecodeError::malformed(format, error.to_string())
    }
}

/// Decodes an image file of a known format ([`Format::sniff`] tells it from the bytes).
pub fn decode(format: Format, bytes: &[u8], options: &DecodeOptions) -> Result<Image, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    match format {
        Format::Png => {
            only_frame(options)?;
            png::decode(bytes, options)
        }
        Format::Jpeg => {
            only_frame(options)?;
            jpeg::decode(bytes, options)
        }
        Format::Dicom => dicom::decode(bytes, options),
    }
}

/// What the header of a file declares; of a file that is broken before its header's end, nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// Bytes of memory that [`decode`] takes at most. Callers that decode several files at once admit
    /// them by it.
    pub memory: u64,
    /// Width and height in pixels.
    pub size: (u64, u64),
    /// How tall pixels are for their width. PNG's and JPEG's are square: their densities are about paper, and no browser goes by
    /// them.
    pub pixel_shape: PixelShape,
    /// What a DICOM file says that it is.
    pub identity: dicom::Identity,
}

impl Declared {
    /// Width and height in square pixels.
    pub fn square_size(&self) -> (u64, u64) {
        self.pixel_shape.square_size(self.size)
    }
}

/// Reads what the header of a file declares, without taking memory for its pixels.
pub fn declared(format: Format, bytes: &[u8], options: &DecodeOptions) -> Declared {
    match format {
        Format::Png => png::declared(bytes),
        Format::Jpeg => jpeg::declared(bytes),
        Format::Dicom => dicom::declared(bytes, options),
    }
}

/// PNG and JPEG files have frame 1 alone.
fn only_frame(options: &DecodeOptions) -> Result<(), DecodeError> {
    match options.frame {
        None | Some(1) => Ok(()),
        Some(frame) => Err(DecodeError::NoSuchFrame { frame, frames: 1 }),
    }
}

/// Refuses a declared size that is zero or above the limit. Called before any memory is taken.
pub(super) fn check_size(width: u64, height: u64, options: &DecodeOptions) -> Result<(), DecodeError> {
    if width == 0 || height == 0 {
        return Err(DecodeError::ZeroSized);
    }
    if width.saturating_mul(height) > options.max_pixels {
        return Err(DecodeError::TooLarge { width, height, limit: options.max_pixels });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_recognised_by_content() {
        assert_eq!(Format::sniff(b"\x89PNG\r\n\x1a\nrest"), Some(Format::Png));
        assert_eq!(Format::sniff(b"\xff\xd8\xff\xe0"), Some(Format::Jpeg));
        let mut dicom = vec![0; 128];
        dicom.extend_from_slice(b"DICM");
        assert_eq!(Format::sniff(&dicom), Some(Format::Dicom));
        assert_eq!(Format::sniff(b"a text file"), None);
        assert_eq!(Format::sniff(b""), None);
    }

    #[test]
    fn content_types_are_matched_without_parameters_or_case() {
        for format in Format::ALL {
            assert_eq!(Format::from_content_type(format.content_type()), Some(format));
        }
        assert_eq!(Format::from_content_type("Image/PNG; charset=binary"), Some(Format::Png));
        assert_eq!(Format::from_content_type("image/webp"), None);
    }

    #[test]
    fn nothing_is_an_error_of_its_own() {
        for format in Format::ALL {
            assert_eq!(decode(format, b"", &DecodeOptions::default()), Err(DecodeError::Empty));
        }
    }

    #[test]
    fn only_dicom_has_a_second_frame() {
        let options = DecodeOptions { frame: Some(2), ..DecodeOptions::default() };
        assert_eq!(
            decode(Format::Png, b"x", &options),
            Err(DecodeError::NoSuchFrame { frame: 2, frames: 1 })
        );
    }
}
