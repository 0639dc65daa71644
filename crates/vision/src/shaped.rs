//! DICOM files whose pixels are not as tall as they are wide.

use crate::lenient::{data_set, element, file};
use crate::{DecodeOptions, Format, Image, PixelShape, declared, decode, in_square_pixels, preprocess};
use model::manifest::{Crop, ImageInput, Normalisation, ResizeFilter};

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const RAMP: [u16; 4] = [0, 1000, 2000, 4000];

const SPACING: u32 = 0x0028_0030;
const IMAGER: u32 = 0x0018_1164;
const SCANNED: u32 = 0x0018_2010;
const ASPECT: u32 = 0x0028_0034;

/// Height and width of a pixel, by decoding and by the header alone.
fn shape(more: &[(u32, &[u8; 2], &[u8])], frame: Option<u32>) -> (u32, u32) {
    let bytes = file(EXPLICIT, &data_set(RAMP, more));
    let options = DecodeOptions { frame, ..DecodeOptions::default() };
    let image = decode(Format::Dicom, &bytes, &options).unwrap();
    assert_eq!((image.width(), image.height()), (4, 1), "the pixels stay as they are");
    assert_eq!(declared(Format::Dicom, &bytes, &options).pixel_shape, image.pixel_shape());
    image.pixel_shape().terms()
}

#[test]
fn the_first_attribute_that_says_what_can_be_says_how_pixels_are() {
    type Said = &'static [(u32, &'static str)];
    let all: [(Said, (u32, u32)); 17] = [
        (&[], (1, 1)),
        (&[(ASPECT, "3\\4")], (3, 4)),
        (&[(ASPECT, " 3 \\ 4 ")], (3, 4)),
        (&[(SPACING, "0.15\\0.2")], (3, 4)),
        (&[(IMAGER, "0.15\\0.2")], (3, 4)),
        (&[(SCANNED, "0.15\\0.2")], (3, 4)),
        (&[(SPACING, "0,15\\0,2")], (3, 4)),
        (&[(SPACING, "0.2\\0.2"), (ASPECT, "3\\4")], (1, 1)),
        (&[(IMAGER, "0.4\\0.2"), (SPACING, "0.1\\0.2")], (1, 2)),
        (&[(SPACING, "0\\0"), (ASPECT, "3\\4")], (3, 4)),
        (&[(SPACING, "auto\\auto"), (IMAGER, "-1\\1"), (SCANNED, "1e400\\1"), (ASPECT, "3\\4")], (3, 4)),
        (&[(SPACING, "0.2"), (ASPECT, "3\\4")], (3, 4)),
        (&[(ASPECT, "1\\11")], (1, 1)),
        (&[(ASPECT, "10\\1")], (10, 1)),
        (&[(ASPECT, "NaN\\4")], (1, 1)),
        (&[(ASPECT, "0\\4")], (1, 1)),
        (&[(SPACING, "0.14300\\0.14301")], (1, 1)),
    ];
    for (attributes, expected) in all {
        let more: Vec<_> = attributes.iter().map(|(tag, text)| (*tag, b"DS", text.as_bytes())).collect();
        assert_eq!(shape(&more, None), expected, "{attributes:?}");
    }
}

#[test]
fn of_several_frames_each_has_the_pixels_of_its_group() {
    let item = |content: Vec<u8>| {
        [&[0xfe, 0xff, 0x00, 0xe0], &(content.len() as u32).to_le_bytes()[..], &content].concat()
    };
    let group = |tag, of, text: &str| item(element(tag, b"SQ", &item(element(of, b"DS", text.as_bytes()))));
    let measures = |text: &str| group(0x0028_9110, SPACING, text);
    let pixels = [0; 16];
    let frames =
        [measures("0.1\\0.2"), measures("no\\number"), group(0x0028_9443, IMAGER, "0.4\\0.1")].concat();
    let shared = measures("0.3\\0.1");
    let more: [(u32, &[u8; 2], &[u8]); 5] = [
        (0x0028_0008, b"IS", b"3"),
        (ASPECT, b"IS", b"3\\4"),
        (0x5200_9229, b"SQ", &shared),
        (0x5200_9230, b"SQ", &frames),
        (0x7fe0_0010, b"OW", &[&pixels[..], &pixels[..8]].concat()),
    ];
    assert_eq!(shape(&more, None), (1, 2));
    assert_eq!(shape(&more, Some(2)), (3, 1));
    assert_eq!(shape(&more, Some(3)), (4, 1));
    assert_eq!(shape(&[&more[..2], &more[4..]].concat(), Some(3)), (3, 4));
}

/// Waves, in a picture of `width` x `height` that is as broad as it is high.
fn waves(width: u32, height: u32) -> Image {
    let value = |at: u32| {
        let x = (f64::from(at % width) + 0.5) / f64::from(width);
        let y = (f64::from(at / width) + 0.5) / f64::from(height);
        (127.0 + 60.0 * (7.0 * x).sin() + 60.0 * (11.0 * y).cos()).round() as u8
    };
    Image::from_gray8(width, height, (0..width * height).map(value).collect()).unwrap()
}

#[test]
fn a_network_reads_a_picture_as_it_is_shown_whatever_the_shape_of_its_pixels() {
    let shape = PixelShape::new(3.0, 4.0).unwrap();
    for crop in [Crop::Centre, Crop::Resized { shorter: 32 }, Crop::None] {
        let normalisation = Normalisation::Fixed { mean: vec![0.0], std: vec![1.0] };
        let resize = ResizeFilter::Bilinear;
        let input =
            ImageInput { height: 28, width: 28, channels: 1, crop, resize, normalisation, accepts: None };
        let apart = |image: &Image| {
            let square = preprocess(&waves(224, 224), &input).unwrap();
            let other = preprocess(image, &input).unwrap();
            square.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        let stored = waves(224, 299);
        let (told, untold) = (apart(&stored.clone().of_pixels(shape)), apart(&stored));
        assert!(told < 0.02, "{crop:?}: {told}");
        // Drawn pixel by pixel it is another picture, but to a network that reads all of any shape.
        assert!(untold > 0.05 || crop == Crop::None, "{crop:?}: {untold}");
    }
}

#[test]
fn what_people_see_is_in_square_pixels_and_no_larger_than_it_may_be() {
    let shape = PixelShape::new(1.0, 4.0).unwrap();
    let size = |image: Image, most: u64| {
        let image = in_square_pixels(image, most).unwrap();
        assert!(image.pixel_shape().is_square());
        (image.width(), image.height())
    };
    assert_eq!(size(waves(50, 200), 1 << 20), (50, 200));
    assert_eq!(size(waves(50, 200).of_pixels(shape), 1 << 20), (200, 200));
    assert_eq!(size(waves(50, 200).of_pixels(shape), 20_000), (50, 50));
    assert_eq!(size(waves(200, 50).of_pixels(PixelShape::new(4.0, 1.0).unwrap()), 20_000), (50, 50));
    assert_eq!(size(waves(5000, 1).of_pixels(PixelShape::new(10.0, 1.0).unwrap()), 1 << 20), (5000, 10));
}
