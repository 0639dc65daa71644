//! Samples of every depth that DICOM files have: single bits, 12 bits side by side, 32 bits, floating
//! point; and the frames and palettes that come with them.

use std::io::Write;

use crate::lenient::{data_set, file, grey};
use crate::{DecodeOptions, Format, Samples, decode};

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const PIXELS: u32 = 0x7fe0_0010;

type Elements<'a> = Vec<(u32, &'a [u8; 2], &'a [u8])>;

/// A picture of 4 x 1 samples of `allocated` bits.
fn picture<'a>(allocated: &'a [u8; 2], pixels: &'a [u8], more: Elements<'a>) -> Vec<u8> {
    let own: Elements<'_> =
        vec![(0x0028_0100, b"US", allocated), (0x0028_0101, b"US", allocated), (PIXELS, b"OW", pixels)];
    data_set([0; 4], &[own, more].concat())
}

fn frame(bytes: &[u8], frame: u32) -> Vec<u16> {
    let options = DecodeOptions { frame: Some(frame), ..DecodeOptions::default() };
    match decode(Format::Dicom, bytes, &options).map(crate::Image::into_samples) {
        Ok(Samples::Gray16(values)) => values,
        other => panic!("{other:?}"),
    }
}

fn colours(bytes: &[u8]) -> Vec<u16> {
    match decode(Format::Dicom, bytes, &DecodeOptions::default()).map(crate::Image::into_samples) {
        Ok(Samples::Rgb16(values)) => values,
        other => panic!("{other:?}"),
    }
}

/// A data set whose frames are fragments, for a picture as [`picture`] makes it without pixels.
fn fragments(syntax: &str, without_pixels: &[u8], frames: &[&[u8]]) -> Vec<u8> {
    let mut bytes = without_pixels.to_vec();
    // The empty pixel data at the end are a header of twelve bytes.
    bytes.truncate(bytes.len() - 12);
    bytes.extend(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\0\0\0\0");
    for frame in frames {
        bytes.extend(b"\xfe\xff\x00\xe0");
        bytes.extend((frame.len() as u32).to_le_bytes());
        bytes.extend(*frame);
    }
    bytes.extend(b"\xfe\xff\xdd\xe0\0\0\0\0");
    file(syntax, &bytes)
}

#[test]
fn single_bits_follow_each_other_over_frames() {
    // Four bits a frame, the first pixel in the lowest: the second frame begins within a byte.
    let set = picture(&[1, 0], &[0b0110_0101, 0b1000], vec![(0x0028_0008, b"IS", b"3")]);
    let file = file(EXPLICIT, &set);
    assert_eq!(frame(&file, 1), [65_535, 0, 65_535, 0]);
    assert_eq!(frame(&file, 2), [0, 65_535, 65_535, 0]);
    assert_eq!(frame(&file, 3), [0, 0, 0, 65_535]);
    let short = picture(&[1, 0], &[0b0110_0101, 0b1000], vec![(0x0028_0008, b"IS", b"5")]);
    assert!(decode(Format::Dicom, &self::file(EXPLICIT, &short), &DecodeOptions::default()).is_err());
}

#[test]
fn single_bits_are_read_from_run_lengths_and_deflated_frames() {
    let empty = picture(&[1, 0], &[], vec![(0x0028_0008, b"IS", b"2")]);
    let rle = |byte: u8| {
        let mut header = [0u8; 64];
        header[0] = 1;
        header[4] = 64;
        [&header[..], &[0, byte]].concat()
    };
    let coded = fragments("1.2.840.10008.1.2.5", &empty, &[&rle(0b0101), &rle(0b1001)]);
    assert_eq!(frame(&coded, 1), [65_535, 0, 65_535, 0]);
    assert_eq!(frame(&coded, 2), [65_535, 0, 0, 65_535]);

    let deflate = |byte: u8| {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&[byte]).expect("written to memory");
        encoder.finish().expect("written to memory")
    };
    let syntax = "1.2.840.10008.1.2.8.1";
    let coded = fragments(syntax, &empty, &[&deflate(0b0101), &deflate(0b1001)]);
    assert_eq!(frame(&coded, 1), [65_535, 0, 65_535, 0]);
    assert_eq!(frame(&coded, 2), [65_535, 0, 0, 65_535]);
    let cut = deflate(0b0101);
    let coded = fragments(syntax, &empty, &[&cut[..1], &cut[..1]]);
    assert!(decode(Format::Dicom, &coded, &DecodeOptions::default()).is_err());
}

#[test]
fn padding_of_more_than_sixteen_bits_is_a_number_of_sixteen() {
    for (stored, high) in [(32, 31), (24, 23), (24, 31), (17, 31)] {
        let shift = high + 1 - stored;
        let samples = [-2000i32, 0, 50, 100].map(|value| (value << shift).to_le_bytes()).concat();
        let (stored, high) = ([stored as u8, 0], [high as u8, 0]);
        let set = data_set(
            [0; 4],
            &[
                (0x0028_0100, b"US", &[32, 0]),
                (0x0028_0101, b"US", &stored),
                (0x0028_0102, b"US", &high),
                (0x0028_0103, b"US", &[1, 0]),
                (0x0028_0120, b"SS", &[0x30, 0xf8]),
                (PIXELS, b"OW", &samples),
            ],
        );
        let bytes = file(EXPLICIT, &set);
        assert_eq!(grey(&bytes), [0, 0, 32_768, 65_535], "{stored:?} {high:?}");
    }
}

/// Frames of which the attributes count `frames`, in fragments behind such a table of offsets.
fn run_lengths(frames: &[u8], table: &[u32], coded: &[&[u8]]) -> Vec<u8> {
    let empty = picture(&[1, 0], &[], vec![(0x0028_0008, b"IS", frames)]);
    let mut bytes = fragments("1.2.840.10008.1.2.5", &empty, coded);
    let head = [&b"OB\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0"[..], &[0; 4]].concat();
    let at = bytes.windows(head.len()).position(|window| window == head).expect("the table") + head.len();
    let offsets: Vec<u8> = table.iter().flat_map(|offset| offset.to_le_bytes()).collect();
    bytes[at - 4..at].copy_from_slice(&(offsets.len() as u32).to_le_bytes());
    bytes.splice(at..at, offsets);
    bytes
}

/// As pydicom reads them.
#[test]
fn fragments_that_are_not_one_a_frame_are_read_where_it_is_plain_whose_they_are() {
    let coded = |byte: u8| {
        let mut header = [0u8; 64];
        (header[0], header[4]) = (1, 64);
        [&header[..], &[0, byte]].concat()
    };
    let (one, other, third) = (coded(0b0101), coded(0b1001), coded(0b0001));
    let (first, second) = ([65_535, 0, 65_535, 0], [65_535, 0, 0, 65_535]);
    let (head, tail) = one.split_at(65);
    let empty: &[u8] = &[];
    let files: [(&str, Vec<u8>); 7] = [
        ("a frame that no number counts", run_lengths(b"2", &[], &[&one, &other, &third])),
        ("an empty fragment in front", run_lengths(b"2", &[], &[empty, &one, &other])),
        ("an empty fragment behind", run_lengths(b"2", &[], &[&one, &other, empty])),
        ("a frame in two, without a table", run_lengths(b"2", &[], &[head, tail, &other])),
        ("a frame in two, with a table", run_lengths(b"2", &[0, 82], &[head, tail, &other])),
        ("a table of other places", run_lengths(b"2", &[0, 70], &[head, tail, &other])),
        ("a table of too few", run_lengths(b"2", &[0], &[head, tail, &other])),
    ];
    for (name, file) in files {
        assert_eq!((frame(&file, 1), frame(&file, 2)), (first.to_vec(), second.to_vec()), "{name}");
    }
    assert_eq!(frame(&run_lengths(b"1", &[], &[head, tail]), 1), first);
    assert_eq!(frame(&run_lengths(b"1", &[], &[&one, &other]), 1), first);
    assert_eq!(frame(&run_lengths(b"2", &[], &[&one]), 1), first);
    // Which of three frames is lost nobody can say.
    let lost = run_lengths(b"3", &[], &[&one, &other]);
    let refused = |frame| decode(Format::Dicom, &lost, &DecodeOptions { frame, ..DecodeOptions::default() });
    assert!(refused(Some(1)).is_err() && refused(Some(2)).is_err());
    let beyond = run_lengths(b"2", &[], &[&one]);
    assert!(
        decode(Format::Dicom, &beyond, &DecodeOptions { frame: Some(2), ..DecodeOptions::default() })
            .is_err()
    );
}

#[test]
fn twelve_bits_side_by_side_are_read() {
    let bits = [0u64, 1000, 2000, 4000].iter().rev().fold(0, |bits, sample| bits << 12 | sample);
    let set = picture(&[12, 0], &bits.to_le_bytes()[..6], vec![]);
    assert_eq!(grey(&file(EXPLICIT, &set)), [0, 16_384, 32_768, 65_535]);
}

#[test]
fn whole_numbers_of_32_bits_are_read() {
    let bytes = |samples: [i64; 4]| samples.map(|sample| (sample as u32).to_le_bytes()).concat();
    let unsigned = bytes([0, 1 << 29, 1 << 30, 1 << 31]);
    let set = picture(&[32, 0], &unsigned, vec![]);
    assert_eq!(grey(&file(EXPLICIT, &set)), [0, 16_384, 32_768, 65_535]);
    let signed = bytes([-(1 << 30), 0, 1 << 29, 1 << 30]);
    let set = picture(&[32, 0], &signed, vec![(0x0028_0103, b"US", &[1, 0])]);
    assert_eq!(grey(&file(EXPLICIT, &set)), [0, 32_768, 49_151, 65_535]);
    // A window over the doses that the slope makes, and white as least.
    let windowed: Elements<'_> = vec![
        (0x0028_0004, b"CS", b"MONOCHROME1"),
        (0x0028_1050, b"DS", b"0.5"),
        (0x0028_1051, b"DS", b"1"),
        (0x0028_1052, b"DS", b"0"),
        (0x0028_1053, b"DS", b"4.656612873077393e-10"),
        (0x0028_1056, b"CS", b"LINEAR_EXACT"),
    ];
    assert_eq!(grey(&file(EXPLICIT, &picture(&[32, 0], &unsigned, windowed))), [65_535, 49_151, 32_768, 0]);

    // Four planes of bytes, the highest first.
    let mut planes = vec![0u8; 64];
    planes[0] = 4;
    for (plane, shift) in [24, 16, 8, 0].into_iter().enumerate() {
        planes[4 * (plane + 1)] = planes.len() as u8;
        planes.push(3);
        planes.extend([0u32, 1 << 29, 1 << 30, 1 << 31].map(|sample| (sample >> shift) as u8));
    }
    let coded = fragments("1.2.840.10008.1.2.5", &picture(&[32, 0], &[], vec![]), &[&planes]);
    assert_eq!(grey(&coded), [0, 16_384, 32_768, 65_535]);
}

#[test]
fn colours_of_32_bits_are_read() {
    let samples: Vec<u32> = (0..12).map(|index| index * (u32::MAX / 11)).collect();
    let pixels: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let rgb: Elements<'_> = vec![(0x0028_0002, b"US", &[3, 0]), (0x0028_0004, b"CS", b"RGB")];
    let expected: Vec<u16> =
        (0..12).map(|index| (f64::from(index) * 65_535.0 / 11.0).round() as u16).collect();
    assert_eq!(colours(&file(EXPLICIT, &picture(&[32, 0], &pixels, rgb.clone()))), expected);
    let planar = [rgb, vec![(0x0028_0006, b"US", &[1, 0])]].concat();
    let turned: Vec<u16> = (0..12).map(|at| expected[at % 3 * 4 + at / 3]).collect();
    assert_eq!(colours(&file(EXPLICIT, &picture(&[32, 0], &pixels, planar))), turned);
}

#[test]
fn floating_point_is_read_and_what_is_no_number_is_black() {
    let float = |values: [f32; 4], more: Elements<'_>| {
        let bytes = values.map(f32::to_le_bytes).concat();
        let pixels: Elements<'_> = vec![(0x7fe0_0008, b"OF", &bytes)];
        let mut set = picture(&[32, 0], &[], [pixels, more].concat());
        set.truncate(set.len() - 12);
        grey(&file(EXPLICIT, &set))
    };
    assert_eq!(float([-1.0, -0.5, 0.0, 1.0], vec![]), [0, 16_384, 32_768, 65_535]);
    assert_eq!(float([0.0, 0.25, f32::NAN, 1.0], vec![]), [0, 16_384, 0, 65_535]);
    assert_eq!(float([0.0, 0.25, f32::NEG_INFINITY, 1.0], vec![]), [0, 16_384, 0, 65_535]);
    let padding = (-1e30f32).to_le_bytes();
    assert_eq!(float([0.0, 0.25, -1e30, 1.0], vec![(0x0028_0122, b"FL", &padding)]), [0, 16_384, 0, 65_535]);

    let bytes = [-1.0f64, -0.5, 0.0, 1.0].map(f64::to_le_bytes).concat();
    let mut set = picture(&[64, 0], &[], vec![(0x7fe0_0009, b"OD", &bytes)]);
    set.truncate(set.len() - 12);
    assert_eq!(grey(&file(EXPLICIT, &set)), [0, 16_384, 32_768, 65_535]);
}

#[test]
fn segmented_palettes_are_expanded() {
    let words = |words: &[u16]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let descriptor = words(&[4, 0, 16]);
    // A value and a straight line from it; two values and the same segment again; plain.
    let red = words(&[0, 1, 0, 1, 3, 60_000]);
    let green = words(&[0, 2, 100, 200, 2, 1, 0, 0]);
    let blue = words(&[1, 2, 3, 4]);
    let pixels = words(&[0, 1, 2, 3]);
    let palettes = |green: &[u8]| {
        let set = picture(
            &[16, 0],
            &pixels,
            vec![
                (0x0028_0004, b"CS", b"PALETTE COLOR"),
                (0x0028_1101, b"US", &descriptor),
                (0x0028_1102, b"US", &descriptor),
                (0x0028_1103, b"US", &descriptor),
                (0x0028_1203, b"OW", &blue),
                (0x0028_1221, b"OW", &red),
                (0x0028_1222, b"OW", green),
            ],
        );
        file(EXPLICIT, &set)
    };
    assert_eq!(colours(&palettes(&green)), [0, 100, 1, 20_000, 200, 2, 40_000, 100, 3, 60_000, 200, 4]);
    // An indirect segment that stands for itself, a line from nothing, a cut segment.
    for broken in [&[2, 1, 0, 0][..], &[1, 4, 9], &[0, 4, 1, 2]] {
        let result = decode(Format::Dicom, &palettes(&words(broken)), &DecodeOptions::default());
        assert!(result.is_err(), "{broken:?}");
    }
}
