//! A decoded image: pixels in memory and nothing else.
//!
//! Values are kept in the width they came in (8 or 16 bits), because 8 bits resize several times
//! faster and 16 bits carry the contrast of an X-ray detector. Whatever the width, the full scale
//! of the type means white: 255 and 65,535 are both 1.0 to the network.

use thiserror::Error;

use super::pixel_shape::PixelShape;

/// An image: `width` x `height` pixels in rows from top to bottom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    samples: Samples,
    shape: PixelShape,
}

/// The values of an image, row by row; the three values of a colour pixel lie side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Samples {
    /// Grey, 0 (black) to 255 (white).
    Gray8(Vec<u8>),
    /// Red, green, blue, 0 to 255.
    Rgb8(Vec<u8>),
    /// Grey, 0 (black) to 65,535 (white).
    Gray16(Vec<u16>),
    /// Red, green, blue, 0 to 65,535.
    Rgb16(Vec<u16>),
}

/// The number of values does not fit the width and height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an image of {width} x {height} pixels with {channels} channel(s) is not made of {values} values")]
pub struct ShapeError {
    /// Declared width in pixels.
    pub width: u32,
    /// Declared height in pixels.
    pub height: u32,
    /// Values a pixel.
    pub channels: u32,
    /// Values given.
    pub values: usize,
}

impl Samples {
    /// Values a pixel: 1 or 3.
    pub fn channels(&self) -> u32 {
        match self {
            Samples::Gray8(_) | Samples::Gray16(_) => 1,
            Samples::Rgb8(_) | Samples::Rgb16(_) => 3,
        }
    }

    fn len(&self) -> usize {
        match self {
            Samples::Gray8(v) | Samples::Rgb8(v) => v.len(),
            Samples::Gray16(v) | Samples::Rgb16(v) => v.len(),
        }
    }
}

impl Image {
    /// An image of `width` x `height` square pixels. Neither may be zero, and the number of values must
    /// be `width * height * channels`.
    pub fn new(width: u32, height: u32, samples: Samples) -> Result<Image, ShapeError> {
        let channels = samples.channels();
        let expected = u128::from(width) * u128::from(height) * u128::from(channels);
        if expected == 0 || expected != samples.len() as u128 {
            return Err(ShapeError { width, height, channels, values: samples.len() });
        }
        Ok(Image { width, height, samples, shape: PixelShape::SQUARE })
    }

    /// The same image, of pixels of this shape.
    pub fn of_pixels(self, shape: PixelShape) -> Image {
        Image { shape, ..self }
    }

    /// An image from 8-bit grey values in rows, as data sets store them.
    pub fn from_gray8(width: u32, height: u32, values: Vec<u8>) -> Result<Image, ShapeError> {
        Image::new(width, height, Samples::Gray8(values))
    }

    /// An image from 8-bit red, green, blue triples in rows, as data sets store them.
    pub fn from_rgb8(width: u32, height: u32, values: Vec<u8>) -> Result<Image, ShapeError> {
        Image::new(width, height, Samples::Rgb8(values))
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// How tall its pixels are for their width.
    pub fn pixel_shape(&self) -> PixelShape {
        self.shape
    }

    /// Width and height in square pixels, as it is shown.
    pub fn square_size(&self) -> (u32, u32) {
        let (width, height) = self.shape.square_size((self.width.into(), self.height.into()));
        let side = |length: u64| u32::try_from(length).unwrap_or(u32::MAX).max(1);
        (side(width), side(height))
    }

    /// Values a pixel: 1 or 3.
    pub fn channels(&self) -> u32 {
        self.samples.channels()
    }

    /// The values.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// How light each pixel is, 0 to 1, by the luma of ITU-R BT.601.
    pub fn grey(&self) -> Vec<f32> {
        fn of<T: Copy + Into<f32>>(values: &[T], channels: usize, white: f32) -> Vec<f32> {
            let light = |pixel: &[T]| match pixel {
                [red, green, blue] => {
                    0.299 * (*red).into() + 0.587 * (*green).into() + 0.114 * (*blue).into()
                }
                [grey, ..] => (*grey).into(),
                [] => 0.0,
            };
            values.chunks_exact(channels).map(|pixel| light(pixel) / white).collect()
        }
        match &self.samples {
            Samples::Gray8(values) => of(values, 1, 255.0),
            Samples::Rgb8(values) => of(values, 3, 255.0),
            Samples::Gray16(values) => of(values, 1, 65_535.0),
            Samples::Rgb16(values) => of(values, 3, 65_535.0),
        }
    }

    /// Takes the image apart into its values.
    pub fn into_samples(self) -> Samples {
        self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_values_must_fit_the_size() {
        assert!(Image::from_gray8(2, 3, vec![0; 6]).is_ok());
        assert!(Image::from_rgb8(2, 3, vec![0; 18]).is_ok());
        assert!(Image::from_gray8(2, 3, vec![0; 5]).is_err());
        assert!(Image::from_rgb8(2, 3, vec![0; 6]).is_err());
        assert!(Image::from_gray8(0, 3, vec![]).is_err());
        // The product does not fit 64 bits with three channels: no overflow, a refusal.
        assert!(Image::from_rgb8(u32::MAX, u32::MAX, vec![0; 3]).is_err());
    }
}
