//! Which part of a picture a network reads: what the crop of its manifest leaves.
//!
//! The crop goes by the picture in square pixels, as people see it, and the part is told in the pixels that the picture has: one
//! resampling from there to the network's size does both, and evidence and masks need no other places than those.

use super::image::Image;
use model::manifest::{Crop, ImageInput};

/// The part of an image that a network with this input reads, in whole pixels.
pub(super) fn part_read(image: &Image, input: &ImageInput) -> Rectangle {
    match input.crop {
        Crop::None => Rectangle::whole(image.width(), image.height()),
        Crop::Centre => Rectangle::middle(image, input),
        Crop::Resized { shorter } => {
            Middle::new(image, input, shorter).nearest(image.width(), image.height())
        }
    }
}

/// The part of an image that is the middle of its resized self, in the image's own pixels.
pub(super) struct Middle {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Middle {
    /// Of an image whose shorter side becomes `shorter`. The longer one is rounded down, and of an odd remainder the smaller
    /// half is cut off at the left or top, as transformers does.
    pub(super) fn new(image: &Image, input: &ImageInput, shorter: u32) -> Middle {
        let (width, height) = image.square_size();
        let least = u64::from(width.min(height).max(1));
        // `own` pixels of the image are `length` square ones.
        let span = |length: u32, own: u32, target: u32| {
            let resized = u64::from(length) * u64::from(shorter) / least;
            let start = resized.saturating_sub(u64::from(target)) / 2;
            let scale = f64::from(own) / resized.max(1) as f64;
            (start as f64 * scale, (f64::from(target) * scale).min(f64::from(own) - start as f64 * scale))
        };
        let (left, width) = span(width, image.width(), input.width);
        let (top, height) = span(height, image.height(), input.height);
        Middle { left, top, width, height }
    }

    /// The nearest whole pixels of an image of this size.
    fn nearest(&self, width: u32, height: u32) -> Rectangle {
        let span = |start: f64, length: f64, whole: u32| {
            let first = (start.round() as u32).min(whole.saturating_sub(1));
            (first, ((start + length).round() as u32).clamp(first + 1, whole) - first)
        };
        let ((left, width), (top, height)) =
            (span(self.left, self.width, width), span(self.top, self.height, height));
        Rectangle { left, top, width, height }
    }
}

/// A part of an image, in whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rectangle {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Rectangle {
    fn whole(width: u32, height: u32) -> Rectangle {
        Rectangle { left: 0, top: 0, width, height }
    }

    /// The largest centred part of an image that, as it is shown, has the aspect ratio of a network's input.
    pub(super) fn middle(image: &Image, input: &ImageInput) -> Rectangle {
        let (width, height) = image.square_size();
        let seen = Rectangle::centred(width, height, input.width, input.height);
        // From square pixels to the nearest of the image's own.
        let span = |start: u32, length: u32, square: u32, own: u32| {
            let (square, whole) = (u64::from(square), u64::from(own));
            let place = |at: u32| ((2 * u64::from(at) * whole + square) / (2 * square)) as u32;
            let first = place(start).min(own - 1);
            (first, place(start + length).clamp(first + 1, own) - first)
        };
        let (left, wide) = span(seen.left, seen.width, width, image.width());
        let (top, tall) = span(seen.top, seen.height, height, image.height());
        Rectangle { left, top, width: wide, height: tall }
    }

    /// The largest centred part of a `width` x `height` image that has the aspect ratio of
    /// `target_width` x `target_height`. The shortened side is rounded to the nearest pixel and
    /// is at least 1; an odd remainder leaves the extra pixel at the right or bottom.
    fn centred(width: u32, height: u32, target_width: u32, target_height: u32) -> Rectangle {
        let (w, h) = (u64::from(width), u64::from(height));
        let (tw, th) = (u64::from(target_width), u64::from(target_height));
        let (cw, ch) = if w * th > h * tw {
            (((2 * h * tw + th) / (2 * th)).clamp(1, w), h)
        } else {
            (w, ((2 * w * th + tw) / (2 * tw)).clamp(1, h))
        };
        Rectangle {
            left: ((w - cw) / 2) as u32,
            top: ((h - ch) / 2) as u32,
            width: cw as u32,
            height: ch as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PixelShape;
    use model::manifest::{Normalisation, ResizeFilter};

    fn input(crop: Crop) -> ImageInput {
        let normalisation = Normalisation::PerImage { floor: 0.02 };
        let resize = ResizeFilter::Bilinear;
        ImageInput { height: 8, width: 8, channels: 1, crop, resize, normalisation, accepts: None }
    }

    fn read(size: (u32, u32), shape: (f64, f64), crop: Crop) -> [u32; 4] {
        let image = Image::from_gray8(size.0, size.1, vec![0; (size.0 * size.1) as usize]).unwrap();
        let image = image.of_pixels(PixelShape::new(shape.0, shape.1).unwrap());
        let Rectangle { left, top, width, height } = part_read(&image, &input(crop));
        [left, top, width, height]
    }

    #[test]
    fn the_middle_is_that_of_the_picture_in_square_pixels() {
        let resized = Crop::Resized { shorter: 8 };
        for crop in [Crop::Centre, resized] {
            // Twice as tall as wide: 20 x 20 of them are 20 x 40, of which the middle 20 x 20 are 20 x 10.
            assert_eq!(read((20, 20), (2.0, 1.0), crop), [0, 5, 20, 10]);
            assert_eq!(read((20, 20), (1.0, 2.0), crop), [5, 0, 10, 20]);
            // A square picture of pixels that are not is read whole.
            assert_eq!(read((24, 32), (3.0, 4.0), crop), [0, 0, 24, 32]);
            assert_eq!(read((20, 10), (1.0, 1.0), crop), [5, 0, 10, 10]);
        }
        // Of a shorter side of 16 the middle half is read.
        assert_eq!(read((20, 20), (2.0, 1.0), Crop::Resized { shorter: 16 }), [5, 8, 10, 5]);
        assert_eq!(read((20, 20), (2.0, 1.0), Crop::None), [0, 0, 20, 20]);
        // However few pixels there are, one is read.
        assert_eq!(read((1, 1), (10.0, 1.0), Crop::Centre), [0, 0, 1, 1]);
    }
}
