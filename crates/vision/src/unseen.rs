//! What a network does not see of a picture: the part that the crop cuts off, and what so few pixels cannot show.
//!
//! Nothing that looks at what the network reads can tell that more was there: three films side by side would be answered as the
//! middle one. A film is seldom half as wide again as what is read of it, so where much is cut off and something is on it, the
//! picture is another one than those of training. A margin of one tone, as a viewer's screen has, says nothing. Nor can it tell that
//! a picture was made many times larger for it: a stamp of a film looks like a film without the lung's markings, and films of
//! sick children are nearest to that.

use std::ops::Range;

use super::crop::{Rectangle, part_read};
use super::{Image, Samples};
use model::manifest::{Crop, ImageInput};

/// How much longer than the network's shape a picture may be before what is cut off of it is looked at.
const LONGER: f64 = 1.6;

/// Standard deviation of the grey of a margin at most, in fractions of full scale.
const MARGIN: f64 = 0.03;

/// Pixels that are looked at along a side of a part, about.
const GRID: usize = 200;

/// Whether more than a margin of a picture would be cut off before a network with this input reads it.
pub fn is_cut_short(image: &Image, input: &ImageInput) -> bool {
    let (width, height) = image.square_size();
    let shape = f64::from(width) / f64::from(height) * f64::from(input.height) / f64::from(input.width);
    if input.crop == Crop::None || shape.max(1.0 / shape) <= LONGER {
        return false;
    }
    let (width, height) = (image.width(), image.height());
    let seen = Rectangle::middle(image, input);
    let (right, bottom) = (seen.left + seen.width, seen.top + seen.height);
    let parts = [
        (0..seen.top, 0..width),
        (bottom..height, 0..width),
        (0..height, 0..seen.left),
        (0..height, right..width),
    ];
    parts.into_iter().any(|(rows, columns)| deviation(image, rows, columns) > MARGIN)
}

/// Whether a picture has, of the part that a network with this input reads, fewer than one pixel for each four along a side of
/// what it reads. At a quarter answers are those of larger pictures, and below they are not.
pub fn is_too_small(image: &Image, input: &ImageInput) -> bool {
    const LEAST: u32 = 4;
    let seen = part_read(image, input);
    let is_short = |own: u32, read: u32| u64::from(own) * u64::from(LEAST) < u64::from(read);
    is_short(seen.width, input.width) || is_short(seen.height, input.height)
}

/// Standard deviation of the light of a part of a picture, in fractions of full scale, by a grid of its pixels; 0 of nothing.
fn deviation(image: &Image, rows: Range<u32>, columns: Range<u32>) -> f64 {
    let step = |range: &Range<u32>| (range.len() / GRID).max(1);
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for row in rows.clone().step_by(step(&rows)) {
        for column in columns.clone().step_by(step(&columns)) {
            let light = light(image, row as usize * image.width() as usize + column as usize);
            (count, sum, squares) = (count + 1.0, sum + light, squares + light * light);
        }
    }
    let (count, mean) = (f64::max(count, 1.0), sum / f64::max(count, 1.0));
    (squares / count - mean * mean).max(0.0).sqrt()
}

/// The mean of a pixel's channels, as a fraction of full scale.
fn light(image: &Image, pixel: usize) -> f64 {
    fn of<T: Copy + Into<f64>>(values: &[T], white: f64) -> f64 {
        values.iter().map(|value| (*value).into()).sum::<f64>() / (values.len() as f64 * white)
    }
    let channels = image.channels() as usize;
    let place = pixel * channels..(pixel + 1) * channels;
    match image.samples() {
        Samples::Gray8(values) | Samples::Rgb8(values) => of(&values[place], 255.0),
        Samples::Gray16(values) | Samples::Rgb16(values) => of(&values[place], 65_535.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::manifest::{Normalisation, ResizeFilter};

    fn input(crop: Crop) -> ImageInput {
        let normalisation = Normalisation::PerImage { floor: 0.02 };
        let resize = ResizeFilter::Bicubic;
        ImageInput { height: 8, width: 8, channels: 1, crop, resize, normalisation, accepts: None }
    }

    /// A picture with a pattern in the columns `from..to`, black elsewhere.
    fn picture(width: u32, height: u32, from: u32, to: u32) -> Image {
        let value = |at: u32| {
            let (row, column) = (at / width, at % width);
            if (from..to).contains(&column) { (row * 37 + column * 91) as u8 } else { 3 }
        };
        Image::from_gray8(width, height, (0..width * height).map(value).collect()).unwrap()
    }

    #[test]
    fn what_is_cut_off_counts_where_it_is_much_and_no_margin() {
        for (width, height, from, to, short) in [
            (30, 10, 0, 30, true),
            (10, 30, 0, 10, true),
            (20, 10, 0, 20, true),
            (30, 10, 10, 20, false),
            (30, 10, 10, 30, true),
            (30, 10, 0, 20, true),
            (15, 10, 0, 15, false),
            (10, 10, 0, 10, false),
        ] {
            let picture = picture(width, height, from, to);
            assert_eq!(is_cut_short(&picture, &input(Crop::Centre)), short, "{width} {height} {from} {to}");
            assert!(!is_cut_short(&picture, &input(Crop::None)));
        }
    }

    #[test]
    fn a_picture_is_too_small_where_its_part_that_is_read_has_less_than_a_quarter_of_what_is_read() {
        let of = |side: u32, crop| ImageInput { height: side, width: side, ..input(crop) };
        let small = |width: u32, height: u32, input: &ImageInput| {
            is_too_small(&picture(width, height, 0, width), input)
        };
        for (width, height, whole, middle) in [
            (56, 56, false, false),
            (55, 55, true, true),
            (224, 55, true, true),
            (55, 224, true, true),
            (32, 32, true, true),
            (500, 60, false, false),
            (1, 1, true, true),
        ] {
            assert_eq!(small(width, height, &of(224, Crop::None)), whole, "{width} {height}");
            assert_eq!(small(width, height, &of(224, Crop::Centre)), middle, "{width} {height}");
        }
        // Of a shorter side of 448 the middle half is read, which of 100 pixels are 50.
        assert!(small(100, 100, &of(224, Crop::Resized { shorter: 448 })));
        assert!(!small(112, 112, &of(224, Crop::Resized { shorter: 448 })));
        assert!(!small(7, 7, &of(28, Crop::Centre)) && small(6, 6, &of(28, Crop::Centre)));
    }
}
