//! How tall a pixel is for its width.
//!
//! Most pixels are square. Those of digitized films, of ultrasound, of scans that are shown from another side and of resampled
//! copies may not be, and a DICOM file says so: drawn pixel by pixel, a chest is broader or longer than it is. So what a network
//! reads of a picture, and what people see of it, goes by its size in square pixels; places on it (masks, what was read, evidence)
//! stay those of the pixels that it has.

/// Most that one side of a pixel may be longer than the other. What says more says nothing: no device records so.
const MOST: f64 = 10.0;

/// Pixels whose sides differ by less are square: spacings are rounded, and a picture is resampled only for what can be seen.
const NEARLY: f64 = 1.01;

/// Steps of the ratio that is kept.
const STEPS: u32 = 10_000;

/// The height and the width of a pixel, in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelShape {
    tall: u32,
    wide: u32,
}

impl Default for PixelShape {
    fn default() -> PixelShape {
        PixelShape::SQUARE
    }
}

impl PixelShape {
    /// As tall as it is wide.
    pub const SQUARE: PixelShape = PixelShape { tall: 1, wide: 1 };

    /// Of pixels so tall and so wide; `None` for what is no shape of a pixel: not a length, or more than ten times as long one
    /// way as the other.
    pub fn new(tall: f64, wide: f64) -> Option<PixelShape> {
        let is_length = |side: f64| side.is_finite() && side > 0.0;
        let (ratio, least) = (tall / wide, 1.0 / MOST - 1e-9);
        if !(is_length(tall) && is_length(wide) && (least..=MOST + 1e-9).contains(&ratio)) {
            return None;
        }
        if ratio.max(1.0 / ratio) < NEARLY {
            return Some(PixelShape::SQUARE);
        }
        let tall = (ratio * f64::from(STEPS)).round() as u32;
        let (mut a, mut b) = (tall, STEPS);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        Some(PixelShape { tall: tall / a, wide: STEPS / a })
    }

    /// Height and width, as two numbers without a common factor.
    pub fn terms(self) -> (u32, u32) {
        (self.tall, self.wide)
    }

    /// Whether it is as tall as it is wide.
    pub fn is_square(self) -> bool {
        self == PixelShape::SQUARE
    }

    /// Width and height, in square pixels, of a picture of `width` x `height` such pixels: the side along which they are
    /// longer becomes longer, so that none is lost.
    pub fn square_size(self, (width, height): (u64, u64)) -> (u64, u64) {
        let (tall, wide) = (u64::from(self.tall), u64::from(self.wide));
        let longer = |side: u64, more: u64, less: u64| (side.saturating_mul(more) + less / 2) / less;
        match tall >= wide {
            true => (width, longer(height, tall, wide)),
            false => (longer(width, wide, tall), height),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_made_longer_along_the_longer_side_of_its_pixels() {
        for (tall, wide, size, square) in [
            (1.0, 1.0, (3, 5), (3, 5)),
            (3.0, 4.0, (224, 299), (299, 299)),
            (0.15, 0.2, (224, 299), (299, 299)),
            (2.0, 1.0, (10, 7), (10, 14)),
            (1.0, 10.0, (1, 1), (10, 1)),
            (0.02, 0.2, (1, 1), (10, 1)),
            (0.143, 0.1431, (2000, 2000), (2000, 2000)),
        ] {
            let shape = PixelShape::new(tall, wide).unwrap();
            assert_eq!(shape.square_size(size), square, "{tall} {wide}");
            assert_eq!(shape.is_square(), size == square);
        }
        assert_eq!(PixelShape::new(0.15, 0.2).unwrap().terms(), (3, 4));
    }

    #[test]
    fn what_is_no_shape_of_a_pixel_is_none() {
        for (tall, wide) in [
            (0.0, 0.0),
            (0.0, 1.0),
            (1.0, 0.0),
            (-3.0, -4.0),
            (f64::NAN, 1.0),
            (1.0, f64::INFINITY),
            (f64::INFINITY, f64::INFINITY),
            (1.0, 11.0),
            (300.0, 1.0),
        ] {
            assert_eq!(PixelShape::new(tall, wide), None, "{tall} {wide}");
        }
    }
}
