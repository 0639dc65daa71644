//! Files that are broken, cut off, made up or meant to hurt: every one is answered with an error
//! or an image, never with a panic, and never with memory for what a header merely claims.

use std::path::PathBuf;

use crate::{DecodeError, DecodeOptions, Format, decode};
use proptest::prelude::*;

/// Every fixture, by name.
fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/vision");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the fixtures' folder")
        .map(|entry| entry.expect("a fixture").path())
        .filter(|path| path.extension().is_some_and(|extension| extension != "json"))
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            (name.into_owned(), std::fs::read(&path).expect("a fixture"))
        })
        .collect();
    files.sort();
    assert!(files.len() > 50);
    files
}

fn fixture(name: &str) -> Vec<u8> {
    let (_, bytes) = fixtures()
        .into_iter()
        .find(|(file, _)| file == name)
        .unwrap_or_else(|| panic!("there is no fixture {name}"));
    bytes
}

fn format_of(bytes: &[u8]) -> Format {
    Format::sniff(bytes).expect("a fixture of a known format")
}

/// A limit that keeps what a mutated header can ask for small.
fn small() -> DecodeOptions {
    DecodeOptions { max_pixels: 1 << 20, frame: None }
}

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    for (name, bytes) in fixtures() {
        let format = format_of(&bytes);
        if decode(format, &bytes, &small()).is_err() {
            continue;
        }
        // A DICOM value of odd length is padded, and a delimiter may follow the last fragment.
        let padding = match format {
            Format::Dicom => 9,
            Format::Png | Format::Jpeg => 0,
        };
        for end in 0..bytes.len() {
            let result = decode(format, &bytes[..end], &small());
            assert!(
                result.is_err() || end + padding >= bytes.len(),
                "{name} cut to {end} of {} bytes was accepted",
                bytes.len()
            );
        }
    }
}

#[test]
fn a_flipped_bit_never_panics() {
    for (_, bytes) in fixtures() {
        let format = format_of(&bytes);
        for at in 0..bytes.len() {
            for bit in [0, 3, 7] {
                let mut broken = bytes.clone();
                broken[at] ^= 1 << bit;
                let _ = decode(format, &broken, &small());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Random bytes behind each format's signature.
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut dicom = vec![0; 128];
        dicom.extend_from_slice(b"DICM");
        for (format, signature) in [
            (Format::Png, b"\x89PNG\r\n\x1a\n".to_vec()),
            (Format::Jpeg, b"\xff\xd8\xff".to_vec()),
            (Format::Dicom, dicom),
        ] {
            let _ = decode(format, &bytes, &small());
            let _ = decode(format, &[signature, bytes.clone()].concat(), &small());
        }
    }

    /// Several bytes of a sound file overwritten at once.
    #[test]
    fn overwritten_bytes_never_panic(
        pick in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let files = fixtures();
        let (_, mut bytes) = files[pick.index(files.len())].clone();
        let format = format_of(&bytes);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = decode(format, &bytes, &small());
    }
}

fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 6, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    let crc = crc32(&header);
    file.extend(header);
    file.extend(crc.to_be_bytes());
    file.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e\0\0\0\0IEND\xae\x42\x60\x82");
    file
}

/// The checksum of PNG chunks, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (0u32.wrapping_sub(crc & 1))))
    })
}

/// Guards against the decoder reading a palette's last, incomplete colour.
#[test]
fn a_palette_of_a_broken_length_is_refused() {
    let mut bytes = fixture("palette8.png");
    let at = bytes.windows(4).position(|window| window == b"PLTE").expect("a palette");
    let length = u32::from_be_bytes(bytes[at - 4..at].try_into().expect("four bytes")) as usize;
    bytes.insert(at + 4 + length, 7);
    bytes[at - 4..at].copy_from_slice(&(length as u32 + 1).to_be_bytes());
    let checksum = crc32(&bytes[at..at + 5 + length]).to_be_bytes();
    bytes[at + 5 + length..at + 9 + length].copy_from_slice(&checksum);
    let result = decode(Format::Png, &bytes, &small());
    assert!(matches!(result, Err(DecodeError::Malformed { .. })));
}

fn jpeg_header(width: u16, height: u16) -> Vec<u8> {
    let mut file = b"\xff\xd8\xff\xc0\0\x0b\x08".to_vec();
    file.extend(height.to_be_bytes());
    file.extend(width.to_be_bytes());
    file.extend(b"\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0\xff\xd9");
    file
}

/// Replaces the value of a 16-bit attribute of group 0028 of an explicit little-endian file.
fn with_word(mut file: Vec<u8>, element: u16, value: u16) -> Vec<u8> {
    let mut header = vec![0x28, 0];
    header.extend(element.to_le_bytes());
    header.extend(b"US\x02\0");
    let at = file.windows(8).position(|window| window == header).expect("the attribute");
    file[at + 8..at + 10].copy_from_slice(&value.to_le_bytes());
    file
}

/// Bits that lie where a codec's samples have none, in every way that the attributes can say so.
#[test]
fn no_word_about_bits_makes_a_coded_frame_panic() {
    let names = [
        "jpeg.dcm",
        "jpeg-colour.dcm",
        "jpeg-lossless-8.dcm",
        "jpeg-lossless-16.dcm",
        "jpeg-lossless-signed.dcm",
        "jpeg2000-12.dcm",
        "jpeg2000-signed.dcm",
        "rle-16.dcm",
    ];
    let mut read = 0;
    for name in names {
        for allocated in [8, 16, 32] {
            for stored in [1, 8, 12, 16, 17, 24, 32].into_iter().filter(|stored| *stored <= allocated) {
                for high in
                    [7, 11, 15, 16, 23, 31].into_iter().filter(|high| (stored - 1..allocated).contains(high))
                {
                    for signed in [0, 1] {
                        let words = [(0x100, allocated), (0x101, stored), (0x102, high), (0x103, signed)];
                        let set = |file, (element, value)| with_word(file, element, value);
                        let file = words.into_iter().fold(fixture(name), set);
                        read += usize::from(decode(Format::Dicom, &file, &small()).is_ok());
                    }
                }
            }
        }
    }
    assert!(read > 100, "{read} are read");
}

fn huge_dicom(rows: u16, columns: u16) -> Vec<u8> {
    with_word(with_word(fixture("mono2-8.dcm"), 0x10, rows), 0x11, columns)
}

#[test]
fn a_small_file_that_claims_a_huge_image_is_refused() {
    let options = DecodeOptions::default();
    for (format, bytes) in [
        (Format::Png, png_header(60_000, 60_000)),
        (Format::Jpeg, jpeg_header(60_000, 60_000)),
        (Format::Dicom, huge_dicom(60_000, 60_000)),
    ] {
        assert_eq!(
            decode(format, &bytes, &options),
            Err(DecodeError::TooLarge { width: 60_000, height: 60_000, limit: DecodeOptions::MAX_PIXELS }),
            "{format}"
        );
    }
}

#[test]
fn a_small_file_that_claims_a_large_image_within_the_limit_is_refused_for_its_length() {
    let options = DecodeOptions::default();
    for (format, bytes) in [
        (Format::Png, png_header(8_000, 8_000)),
        (Format::Jpeg, jpeg_header(8_000, 8_000)),
        (Format::Dicom, huge_dicom(8_000, 8_000)),
    ] {
        let result = decode(format, &bytes, &options);
        assert!(matches!(result, Err(DecodeError::Malformed { .. })), "{format}: {result:?}");
    }
}

#[test]
fn zero_sizes_are_refused() {
    let options = DecodeOptions::default();
    for (format, bytes) in [
        (Format::Png, png_header(0, 5)),
        (Format::Png, png_header(5, 0)),
        (Format::Jpeg, jpeg_header(0, 5)),
        (Format::Jpeg, jpeg_header(5, 0)),
        (Format::Dicom, huge_dicom(0, 5)),
        (Format::Dicom, huge_dicom(5, 0)),
    ] {
        assert_eq!(decode(format, &bytes, &options), Err(DecodeError::ZeroSized), "{format}");
    }
}

#[test]
fn the_limit_counts_pixels() {
    let bytes = fixture("gray8.png");
    let with_limit = |max_pixels| decode(Format::Png, &bytes, &DecodeOptions { max_pixels, frame: None });
    let image = with_limit(1_000_000).expect("a sound file");
    let pixels = u64::from(image.width()) * u64::from(image.height());
    assert!(with_limit(pixels).is_ok());
    assert!(matches!(with_limit(pixels - 1), Err(DecodeError::TooLarge { .. })));
}

/// Guards against a reader that builds the tree of sequences by recursion: the stack ends, and
/// the process with it.
#[test]
fn sequences_nested_without_end_are_refused() {
    let mut bytes = fixture("mono2-8.dcm");
    let start = bytes
        .windows(6)
        .position(|window| window == b"\x08\0\x16\0UI")
        .expect("the first element of the data set");
    bytes.truncate(start);
    for _ in 0..500_000 {
        bytes.extend(b"\x08\0\x15\x11SQ\0\0\xff\xff\xff\xff");
        bytes.extend(b"\xfe\xff\x00\xe0\xff\xff\xff\xff");
    }
    let result = decode(Format::Dicom, &bytes, &small());
    assert!(matches!(result, Err(DecodeError::Malformed { .. })));
}

#[test]
fn an_unsupported_transfer_syntax_is_named() {
    let error = decode(Format::Dicom, &fixture("referenced.dcm"), &small()).expect_err("pixels elsewhere");
    assert_eq!(error, DecodeError::UnsupportedTransferSyntax { uid: "1.2.840.10008.1.2.4.94".into() });
    assert!(error.to_string().contains("1.2.840.10008.1.2.4.94"));
}

/// Guards against a decoder that takes memory for every component a few bytes declare.
#[test]
fn components_that_the_attributes_do_not_have_are_refused_before_they_are_decoded() {
    let mut bytes = fixture("jpeg2000-8.dcm");
    let siz = bytes.windows(4).position(|four| four == [0xff, 0x4f, 0xff, 0x51]).expect("a codestream");
    bytes[siz + 40..siz + 42].copy_from_slice(&16_384u16.to_be_bytes());
    let error = decode(Format::Dicom, &bytes, &small()).expect_err("16384 components");
    assert!(error.to_string().contains("16384 samples a pixel"), "{error}");
}

#[test]
fn a_frame_that_is_not_there_is_an_error_of_its_own() {
    let bytes = fixture("frames.dcm");
    for frame in [0, 4, u32::MAX] {
        let options = DecodeOptions { frame: Some(frame), ..DecodeOptions::default() };
        assert_eq!(
            decode(Format::Dicom, &bytes, &options),
            Err(DecodeError::NoSuchFrame { frame, frames: 3 })
        );
    }
}

/// The fixtures' patient is called Drawn^Nobody; no error may say so.
#[test]
fn errors_hold_nothing_of_the_patient() {
    for (name, bytes) in fixtures() {
        if !name.ends_with(".dcm") {
            continue;
        }
        for end in (0..bytes.len()).step_by(7) {
            if let Err(error) = decode(Format::Dicom, &bytes[..end], &small()) {
                let text = format!("{error} {error:?}");
                assert!(!text.contains("Drawn") && !text.contains("Nobody"), "{text}");
            }
        }
    }
}

#[test]
fn bytes_of_another_format_are_malformed() {
    for format in Format::ALL {
        let result = decode(format, b"just a line of text\n", &small());
        assert!(matches!(result, Err(DecodeError::Malformed { .. })), "{format}");
    }
    assert!(decode(Format::Png, &fixture("gray.jpg"), &small()).is_err());
    assert!(decode(Format::Jpeg, &fixture("gray8.png"), &small()).is_err());
    assert!(decode(Format::Dicom, &fixture("gray8.png"), &small()).is_err());
}

/// A fixture, and where its frame begins.
fn frame_of(name: &str, start: &[u8]) -> (Vec<u8>, usize) {
    let bytes = fixture(name);
    let at = bytes.windows(start.len()).position(|window| window == start).expect("a frame");
    (bytes, at)
}

/// Guards against a decoder that takes memory for every precinct or tile that a header declares.
#[test]
fn a_code_stream_of_too_many_parts_is_refused() {
    let (bytes, siz) = frame_of("jpeg2000-8.dcm", &[0xff, 0x4f, 0xff, 0x51]);
    let mut tiles = bytes.clone();
    // XTsiz and YTsiz.
    tiles[siz + 24..siz + 32].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
    // Xsiz and Ysiz, as the attributes say.
    for at in [siz + 8, siz + 12] {
        tiles[at..at + 4].copy_from_slice(&700u32.to_be_bytes());
    }
    let tiles = with_word(with_word(tiles, 0x10, 700), 0x11, 700);
    let error = decode(Format::Dicom, &tiles, &DecodeOptions::default()).expect_err("490,000 tiles");
    assert!(error.to_string().contains("490000 tiles"), "{error}");
}

/// Guards against a decoder that draws the missing half of a picture in grey: the file says that it
/// ends, but its scans are not whole.
#[test]
fn half_a_scan_before_an_end_marker_is_refused() {
    for name in ["gray.jpg", "jpeg-lossless-12.dcm", "jpeg.dcm"] {
        let bytes = fixture(name);
        let end = bytes.windows(2).rposition(|pair| pair == [0xff, 0xd9]).expect("an end of image");
        let scan = bytes.windows(2).rposition(|pair| pair == [0xff, 0xda]).expect("a scan");
        let mut broken = bytes.clone();
        // The second half of the scan becomes fill bytes before the marker.
        broken[scan + 12 + (end - scan - 12) / 2..end].fill(0xff);
        let result = decode(format_of(&bytes), &broken, &small());
        assert!(matches!(result, Err(DecodeError::Malformed { .. })), "{name}: {result:?}");
    }
}

/// Guards against half a picture: a download in parts leaves zeros where the rest was to come, and a zero is an empty
/// packet of JPEG 2000.
#[test]
fn a_code_stream_that_ends_in_zeros_is_refused() {
    for name in ["jpeg2000-12.dcm", "jpeg2000-colour.dcm", "htj2k-16.dcm", "htj2k-colour.dcm"] {
        let (bytes, start) = frame_of(name, &[0xff, 0x4f, 0xff, 0x51]);
        let end = bytes.windows(2).rposition(|pair| pair == [0xff, 0xd9]).expect("an end of the stream");
        assert!(decode(Format::Dicom, &bytes, &small()).is_ok(), "{name}");
        for share in [2, 3] {
            let mut broken = bytes.clone();
            broken[end - (end - start) / share..end].fill(0);
            let result = decode(Format::Dicom, &broken, &small());
            assert!(matches!(result, Err(DecodeError::Malformed { .. })), "{name}, 1 / {share}: {result:?}");
            broken[end..].fill(0);
            assert!(decode(Format::Dicom, &broken, &small()).is_err(), "{name}, without an end");
        }
    }
}

/// Guards against pixels that are counted by requests and not by bytes.
#[test]
fn the_memory_of_a_file_is_known_before_it_is_decoded() {
    let options = DecodeOptions::default();
    for (name, bytes) in fixtures() {
        let format = format_of(&bytes);
        if let Ok(image) = decode(format, &bytes, &options) {
            let pixels = u64::from(image.width()) * u64::from(image.height());
            let needed = crate::declared(format, &bytes, &options).memory;
            assert!(needed >= pixels && needed <= 96 * pixels, "{name}: {needed} bytes for {pixels} pixels");
        }
    }
    let png = png_header(8192, 8192);
    assert_eq!(crate::declared(Format::Png, &png, &options).memory, 8192 * 8192 * 3);
}

/// The codec shows in the joined fragments, as the decoder reads them.
#[test]
fn a_frame_that_begins_with_an_empty_or_a_short_fragment_takes_no_less_memory() {
    let whole = fixture("jpeg2000-8.dcm");
    let options = DecodeOptions::default();
    let needed = |bytes: &[u8]| crate::declared(Format::Dicom, bytes, &options).memory;
    let start = whole.windows(4).position(|four| four == [0xff, 0x4f, 0xff, 0x51]).unwrap();
    let length = u32::from_le_bytes(whole[start - 4..start].try_into().unwrap()) as usize;
    let item = |bytes: &[u8]| [b"\xfe\xff\x00\xe0", &(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
    for cut in [0, 2] {
        let (first, rest) = whole[start..start + length].split_at(cut);
        let file = [&whole[..start - 8], &item(first), &item(rest), &whole[start + length..]].concat();
        assert_eq!(
            decode(Format::Dicom, &file, &options).unwrap(),
            decode(Format::Dicom, &whole, &options).unwrap()
        );
        assert!(needed(&file) >= needed(&whole), "{cut}: {} of {}", needed(&file), needed(&whole));
    }
}
