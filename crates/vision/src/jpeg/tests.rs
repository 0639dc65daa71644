//! The decoders of this folder against streams that are made here, or that the standard prints.

use super::*;

/// Appends a difference as a code of `width` bits for its size and, behind it, as many bits of its value (ITU-T
/// T.81 section F.1.2.1).
fn code(difference: i32, width: usize, bits: &mut String) {
    let size = 32 - difference.unsigned_abs().leading_zeros();
    bits.push_str(&format!("{size:0width$b}"));
    if size > 0 {
        let low = if difference < 0 { difference + (1 << size) - 1 } else { difference };
        bits.push_str(&format!("{low:0width$b}", width = size as usize));
    }
}

/// Appends these bits to a file, filled up with ones to a whole byte.
fn flush(bits: &mut String, out: &mut Vec<u8>) {
    while !bits.len().is_multiple_of(8) {
        bits.push('1');
    }
    for at in (0..bits.len()).step_by(8) {
        let byte = u8::from_str_radix(&bits[at..at + 8], 2).expect("eight bits");
        out.push(byte);
        if byte == 0xff {
            out.push(0);
        }
    }
    bits.clear();
}

/// A lossless JPEG by predictor 1, its differences in a Huffman code of five bits for every size.
/// `rows` is the restart interval in rows, 0 for none; `transform` is the point transform.
fn lossless(values: &[u16], width: usize, rows: usize, transform: u32) -> Vec<u8> {
    let height = values.len() / width;
    let mut out = vec![0xff, 0xd8, 0xff, 0xc3, 0, 11, 12];
    out.extend((height as u16).to_be_bytes());
    out.extend((width as u16).to_be_bytes());
    out.extend([1, 1, 0x11, 0]);
    out.extend([0xff, 0xc4, 0, 19 + 17, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend(0..17);
    out.extend([0xff, 0xdd, 0, 4]);
    out.extend(((rows * width) as u16).to_be_bytes());
    out.extend([0xff, 0xda, 0, 8, 1, 1, 0, 1, 0, transform as u8]);
    let mut bits = String::new();
    for y in 0..height {
        let restarts = rows > 0 && y > 0 && y % rows == 0;
        if restarts {
            flush(&mut bits, &mut out);
            out.extend([0xff, 0xd0 + ((y / rows - 1) % 8) as u8]);
        }
        for x in 0..width {
            let value = |x: usize, y: usize| i32::from(values[y * width + x] >> transform);
            let prediction = match (x, y == 0 || restarts) {
                (0, true) => 1 << (12 - transform - 1),
                (0, false) => value(0, y - 1),
                _ => value(x - 1, y),
            };
            code(value(x, y) - prediction, 5, &mut bits);
        }
    }
    flush(&mut bits, &mut out);
    out.extend([0xff, 0xd9]);
    out
}

#[test]
fn lossless_jpeg_with_restarts_and_a_point_transform() {
    let values: Vec<u16> = (0..35u32).map(|at| (at * 1213 % 4096) as u16).collect();
    for rows in [0, 1, 2, 3] {
        for transform in [0, 1, 4] {
            let bytes = lossless(&values, 5, rows, transform);
            let header = read_header(&bytes).expect("a sound header");
            let expected: Vec<u16> = values.iter().map(|value| value >> transform << transform).collect();
            assert_eq!(decode_lossless(&bytes, &header), Ok(expected), "{rows} rows, {transform} bits");
        }
    }
}

/// The example of ITU-T T.87 annex H.3.
#[test]
fn the_jpeg_ls_picture_of_the_standard() {
    let bytes = [
        0xff, 0xd8, 0xff, 0xf7, 0x00, 0x0b, 0x08, 0x00, 0x04, 0x00, 0x04, 0x01, 0x01, 0x11, 0x00, 0xff, 0xda,
        0x00, 0x08, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0xc0, 0x00, 0x00, 0x6c, 0x80, 0x20, 0x8e, 0x01, 0xc0,
        0x00, 0x00, 0x57, 0x40, 0x00, 0x00, 0x6e, 0xe6, 0x00, 0x00, 0x01, 0xbc, 0x18, 0x00, 0x00, 0x05, 0xd8,
        0x00, 0x00, 0x91, 0x60, 0xff, 0xd9,
    ];
    let header = read_header(&bytes).expect("a sound header");
    let expected = vec![0, 0, 90, 74, 68, 50, 43, 205, 64, 145, 145, 145, 100, 145, 145, 145];
    assert_eq!(decode_ls(&bytes, &header), Ok(expected));
    let mut short = bytes[..40].to_vec();
    short.extend([0xff, 0xd9]);
    assert!(decode_ls(&short, &header).is_err());
    // A scan again would be a picture's work for a few bytes.
    let again = [&bytes[..55], &bytes[15..]].concat();
    assert!(decode_ls(&again, &header).unwrap_err().to_string().contains("two scans"));
}

#[test]
fn orientation_is_read_in_both_byte_orders() {
    let little = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
    let big = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0";
    assert_eq!(exif_orientation(little), Some(6));
    assert_eq!(exif_orientation(big), Some(8));
    // As LONG, of which the high word comes first; and as BYTE, which is none.
    let long = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x06";
    assert_eq!(exif_orientation(long), Some(6));
    let byte = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x01\0\x01\0\0\0\x06\0\0\0";
    assert_eq!(exif_orientation(byte), None);
}

#[test]
fn a_broken_exif_block_is_no_orientation() {
    let sound = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
    for end in 0..18 {
        assert_eq!(exif_orientation(&sound[..end]), None);
    }
    let far = b"II\x2a\0\xff\xff\xff\xff\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
    assert_eq!(exif_orientation(far), None);
    let nine = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0";
    assert_eq!(exif_orientation(nine), None);
}

/// A file of the folder that other programs made.
fn fixture(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/vision");
    std::fs::read(folder.join(name)).expect("a fixture")
}

/// Progressive files of 8 bits are decoded elsewhere, those of 12 here: the same coefficients.
#[test]
fn coefficients_that_come_bit_by_bit_are_put_together() {
    for (name, most) in [("gray-progressive.jpg", 1), ("rgb-progressive.jpg", 3)] {
        let bytes = fixture(name);
        let header = read_header(&bytes).expect("a header");
        assert_eq!(header.process, Process::Progressive);
        let here = dct::decode(&bytes, &header, Colour::Declared).expect("decoded here");
        let usual = decode_samples(&bytes, &header, Colour::Declared).expect("decoded as usual");
        assert_eq!(here.len(), usual.len());
        let off = here.iter().zip(&usual).map(|(&a, &b)| a.abs_diff(u16::from(b))).max();
        assert!(off.is_some_and(|off| off <= most), "{name}: {off:?}");
    }
}

#[test]
fn an_adobe_marker_that_says_nothing_is_passed_over() {
    let whole = fixture("rgb-444.jpg");
    let cut = [&whole[..2], &[0xff, 0xee, 0, 7], b"Adobe", &whole[2..]].concat();
    let options = DecodeOptions::default();
    assert_eq!(decode(&cut, &options), decode(&whole, &options));
}

/// A grey picture in intervals of four blocks, and where the bytes of each interval are.
fn with_restarts() -> (Vec<u8>, Vec<std::ops::Range<usize>>) {
    let (width, height) = (64u16, 48u16);
    let pixels: Vec<u8> =
        (0..u32::from(width) * u32::from(height)).map(|at| (at * at / 7 % 251) as u8).collect();
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 80);
    encoder.set_restart_interval(4);
    encoder.encode(&pixels, width, height, jpeg_encoder::ColorType::Luma).expect("encoded");
    let scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).expect("a scan");
    let mut start = scan + 2 + usize::from(u16::from_be_bytes([bytes[scan + 2], bytes[scan + 3]]));
    let mut intervals = Vec::new();
    let first = start;
    for at in first..bytes.len() - 1 {
        if bytes[at] == 0xff && bytes[at + 1] != 0 {
            intervals.push(start..at);
            start = at + 2;
        }
    }
    (bytes, intervals)
}

/// Decoders go on behind the next marker, and draw what they made of a damaged interval. What changes values and leaves as many
/// blocks cannot be seen.
#[test]
fn a_damaged_restart_interval_is_refused() {
    let (whole, intervals) = with_restarts();
    let options = DecodeOptions::default();
    assert!(decode(&whole, &options).is_ok());
    assert_eq!(intervals.len(), 12);
    for interval in &intervals {
        let middle = (interval.start + interval.end) / 2;
        let cut = [&whole[..middle], &whole[interval.end..]].concat();
        assert!(decode(&cut, &options).is_err(), "the second half is missing of {interval:?}");
        let last = *interval == intervals[11];
        let more = if last { vec![0x55; 40] } else { vec![0x55; 3] };
        let longer = [&whole[..interval.end], &more, &whole[interval.end..]].concat();
        assert!(decode(&longer, &options).is_err(), "there is more than the blocks of {interval:?}");
    }
}

/// A second frame, whether it comes before the scans or after them, is none that the first one's blocks have room for.
#[test]
fn a_file_of_two_frames_is_refused() {
    let whole = fixture("gray-progressive.jpg");
    let at = whole.windows(2).position(|pair| pair == [0xff, 0xc2]).expect("a frame");
    let length = 2 + usize::from(u16::from_be_bytes([whole[at + 2], whole[at + 3]]));
    let mut other = whole[at..at + length].to_vec();
    let options = DecodeOptions::default();
    for kind in [0xc0, 0xc1, 0xc2] {
        other[1] = kind;
        let end = whole.len() - 2;
        for place in [at, at + length, end] {
            let two = [&whole[..place], &other, &whole[place..]].concat();
            let refused = decode(&two, &options).expect_err("two frames").to_string();
            assert!(refused.contains("two frame headers"), "{kind:x} at {place}: {refused}");
        }
    }
}

/// A baseline file of one colour: every block has its mean and nothing else. `parts` are the sampling factors
/// and the mean's difference from grey of each component, in units of the quantization step (8 levels).
fn flat(parts: &[(u8, i8)], more: &[u8]) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    out.extend(more);
    out.extend([0xff, 0xdb, 0, 67, 0]);
    out.extend([64; 64]);
    out.extend([0xff, 0xc0, 0, 8 + 3 * parts.len() as u8, 8, 0, 16, 0, 16, parts.len() as u8]);
    for (id, (factors, _)) in parts.iter().enumerate() {
        out.extend([id as u8 + 1, *factors, 0]);
    }
    // Differences of sizes 0 to 7 in codes of three bits; of the others only the end of a block, in one.
    out.extend([0xff, 0xc4, 0, 19 + 7, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend(0..7);
    out.extend([0xff, 0xc4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend([0xff, 0xda, 0, 6 + 2 * parts.len() as u8, parts.len() as u8]);
    (0..parts.len()).for_each(|id| out.extend([id as u8 + 1, 0]));
    out.extend([0, 63, 0]);
    let (across, down) = parts.iter().fold((1, 1), |(a, d), (f, _)| (a.max(f >> 4), d.max(f & 15)));
    let alone = parts.len() == 1;
    let units = if alone {
        4
    } else {
        16usize.div_ceil(8 * usize::from(across)) * 16usize.div_ceil(8 * usize::from(down))
    };
    let mut bits = String::new();
    for unit in 0..units {
        for (factors, mean) in parts {
            let blocks = if alone { 1 } else { usize::from((factors >> 4) * (factors & 15)) };
            for block in 0..blocks {
                let difference = if unit == 0 && block == 0 { i32::from(*mean) } else { 0 };
                code(difference, 3, &mut bits);
                bits.push('0');
            }
        }
    }
    flush(&mut bits, &mut out);
    out.extend([0xff, 0xd9]);
    out
}

/// All pixels of a file of one colour.
fn only_colour(file: &[u8]) -> Vec<u8> {
    let image = decode(file, &DecodeOptions::default()).unwrap();
    let (Samples::Gray8(values) | Samples::Rgb8(values)) = image.samples() else { panic!("8 bits") };
    let first = &values[..image.channels() as usize];
    assert!(values.chunks_exact(first.len()).all(|pixel| pixel == first), "{values:?}");
    first.to_vec()
}

#[test]
fn components_may_be_sampled_in_any_way() {
    // Y 128 + 8 x 5, Cb 128 - 8 x 3, Cr 128 + 8 x 6.
    let colour =
        |factors: [u8; 3]| only_colour(&flat(&[(factors[0], 5), (factors[1], -3), (factors[2], 6)], &[]));
    let expected = [235, 142, 125];
    for factors in [
        [0x11, 0x11, 0x11],
        [0x22, 0x11, 0x11],
        [0x11, 0x22, 0x22],
        [0x11, 0x21, 0x11],
        [0x12, 0x21, 0x11],
        [0x13, 0x21, 0x11],
        [0x14, 0x12, 0x11],
        [0x41, 0x22, 0x11],
    ] {
        assert_eq!(colour(factors), expected, "{factors:x?}");
    }
    // Of one component the factors say nothing.
    for factors in [0x11, 0x22, 0x33] {
        assert_eq!(only_colour(&flat(&[(factors, 5)], &[])), [168]);
    }
}

#[test]
fn a_jfif_marker_goes_before_an_adobe_marker() {
    let adobe = [0xff, 0xee, 0, 14, b'A', b'd', b'o', b'b', b'e', 0, 100, 0, 0, 0, 0, 0];
    let jfif = [0xff, 0xe0, 0, 16, b'J', b'F', b'I', b'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0];
    let parts = |factors| [(factors, 5), (0x11, -3), (0x11, 6)];
    for factors in [0x11, 0x13] {
        assert_eq!(only_colour(&flat(&parts(factors), &adobe)), [168, 104, 176], "as stored");
        assert_eq!(only_colour(&flat(&parts(factors), &[jfif.as_slice(), &adobe].concat())), [235, 142, 125]);
    }
}
