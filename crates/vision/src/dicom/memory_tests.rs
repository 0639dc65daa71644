//! The memory that a file is admitted by counts the codec that its frame is decoded with, wherever that shows.

use std::io::Write;

use crate::{DecodeOptions, Format, declared};

const SIDE: u16 = 8000;
const NATIVE: &str = "1.2.840.10008.1.2.1.98";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

fn element(group: u16, number: u16, kind: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let head = [&group.to_le_bytes()[..], &number.to_le_bytes(), kind].concat();
    let length = match kind {
        b"OB" | b"OW" => [&[0, 0], &(value.len() as u32).to_le_bytes()[..]].concat(),
        _ => (value.len() as u16).to_le_bytes().to_vec(),
    };
    [&head, &length[..], value].concat()
}

/// Pixel data of such fragments, behind an empty table.
fn fragments(each: &[&[u8]]) -> Vec<u8> {
    let item = |bytes: &[u8]| [b"\xfe\xff\x00\xe0", &(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
    let mut pixels = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff".to_vec();
    pixels.extend(item(b""));
    each.iter().for_each(|bytes| pixels.extend(item(bytes)));
    [&pixels[..], b"\xfe\xff\xdd\xe0\0\0\0\0"].concat()
}

/// A grey image of two frames; of a deflated one all but the meta information is so.
fn file(syntax: &str, before: &[u8], pixels: &[u8]) -> Vec<u8> {
    let mut uid = syntax.as_bytes().to_vec();
    uid.resize(uid.len().next_multiple_of(2), 0);
    let uid = element(2, 0x10, b"UI", &uid);
    let word = |number: u16, value: u16| element(0x28, number, b"US", &value.to_le_bytes());
    let set = [
        word(2, 1),
        element(0x28, 4, b"CS", b"MONOCHROME2 "),
        element(0x28, 8, b"IS", b"2 "),
        word(0x10, SIDE),
        word(0x11, SIDE),
        word(0x100, 8),
        word(0x101, 8),
        word(0x102, 7),
        word(0x103, 0),
        before.to_vec(),
        pixels.to_vec(),
    ]
    .concat();
    let set = match syntax {
        DEFLATED => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&set).unwrap();
            encoder.finish().unwrap()
        }
        _ => set,
    };
    let length = element(2, 0, b"UL", &(uid.len() as u32).to_le_bytes());
    [&[0; 128], &b"DICM"[..], &length, &uid, &set].concat()
}

/// Bytes for each pixel that a file is admitted by.
fn a_pixel(file: &[u8]) -> u64 {
    declared(Format::Dicom, file, &DecodeOptions::default()).memory / u64::from(SIDE).pow(2)
}

const STREAM: &[u8] = &[0xff, 0x4f, 0xff, 0x51, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn a_later_frame_whose_codec_lies_in_two_fragments_takes_no_less_memory() {
    assert_eq!(a_pixel(&file(NATIVE, &[], &fragments(&[b"xxxx", STREAM]))), 22);
    for cut in [2, 4, 6] {
        let (first, rest) = STREAM.split_at(cut);
        assert_eq!(a_pixel(&file(NATIVE, &[], &fragments(&[b"xxxx", first, rest]))), 22, "{cut}");
        assert_eq!(a_pixel(&file(NATIVE, &[], &fragments(&[b"xxxx", first, b"", rest]))), 22, "{cut}");
    }
    let (first, rest) = [0xff, 0xd8, 0xff, 0xe0, 0, 4, 0, 0].split_at(2);
    assert_eq!(a_pixel(&file(NATIVE, &[], &fragments(&[b"xxxx", first, rest]))), 16);
    assert_eq!(a_pixel(&file(NATIVE, &[], &fragments(&[b"xxxx", b"yyyy"]))), 4);
}

#[test]
fn pixels_that_are_not_seen_in_a_deflated_file_take_no_less_memory() {
    let long = element(0x29, 0x1010, b"OB", &[0; 300_000]);
    // Behind what is looked at, and within it but for the fragments.
    assert!(a_pixel(&file(DEFLATED, &long, &fragments(&[b"xxxx", STREAM]))) >= 22);
    assert!(a_pixel(&file(DEFLATED, &[], &fragments(&[&[7; 300_000], STREAM]))) >= 22);
    assert!(a_pixel(&file(DEFLATED, &[], &fragments(&[b"xxxx", STREAM]))) >= 22);
    // Plain pixels are cut off there as well, but say that they are plain: their own bytes are added.
    let plain = element(0x7fe0, 0x10, b"OW", &[7; 300_000]);
    assert_eq!(a_pixel(&file(DEFLATED, &[], &plain)), 4 + 2);
}
