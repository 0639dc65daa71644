//! Where strangers' pictures enter: files, and compressed frames by themselves, each codec by its transfer syntax.

#![allow(dead_code)] // Each target uses one of them.

use std::sync::LazyLock;

use model::Manifest;
use model::manifest::Input;
use vision::{DecodeOptions, Format, decode, preprocess};

static PNEUMONIA: LazyLock<Manifest> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../models/pneumonia/1/manifest.json")).expect("a shipped manifest")
});

/// An image of any format that its first bytes show.
pub fn image(data: &[u8]) {
    if let Some(format) = Format::sniff(data) {
        read(format, data);
    }
}

/// A DICOM file, whatever its first bytes are.
pub fn dicom(data: &[u8]) {
    read(Format::Dicom, data);
}

fn read(format: Format, data: &[u8]) {
    // A small limit keeps a fuzzer's time for what is wrong, not for what is large.
    let options = DecodeOptions { max_pixels: 1 << 20, frame: None };
    let _ = vision::declared(format, data, &options);
    if let (Ok(image), Input::Image(input)) = (decode(format, data, &options), &PNEUMONIA.input) {
        let _ = preprocess(&image, input);
    }
}

/// Run lengths; JPEG baseline, extended and lossless, JPEG-LS, JPEG 2000, of high throughput; deflated and
/// uncompressed frames.
const SYNTAXES: [&str; 9] = [
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.8.1",
    "1.2.840.10008.1.2.1.98",
];

/// A frame within a DICOM file that is sound around it, so that a fuzzer's time goes to the codec and not to the file.
/// A byte each stands for the transfer syntax, the kind of samples, rows and columns; then comes the frame.
/// Of the kind the lowest bits say, from the lowest: colour, bits allocated (two bits: 8, 16, 1, 32), sign, planes one
/// after the other, twelve of sixteen bits stored.
pub fn codec(data: &[u8]) {
    if let Some(file) = around_frame(data) {
        dicom(&file);
    }
}

/// The file that [`codec`] puts around a frame.
pub fn around_frame(data: &[u8]) -> Option<Vec<u8>> {
    let ([syntax, kind, rows, columns], frame) = data.split_first_chunk()?;
    Some(wrapped(SYNTAXES[usize::from(*syntax) % SYNTAXES.len()], *kind, (*rows, *columns), frame))
}

fn wrapped(syntax: &str, kind: u8, (rows, columns): (u8, u8), frame: &[u8]) -> Vec<u8> {
    let set = |bit: u8| kind >> bit & 1 == 1;
    let allocated: u16 = [8, 16, 1, 32][usize::from(kind >> 1 & 3)];
    let stored = if set(5) && allocated == 16 { 12 } else { allocated };
    let (samples, photometric) = if set(0) { (3, "RGB ") } else { (1, "MONOCHROME2 ") };
    let word = |number: u16, value: u16| element(0x0028, number, *b"US", &value.to_le_bytes());
    let uid = element(0x0002, 0x0010, *b"UI", &padded(syntax));
    let pixels = [
        &[0xe0, 0x7f, 0x10, 0x00, b'O', b'B', 0, 0, 0xff, 0xff, 0xff, 0xff][..],
        &item(0xe000, &[]),
        &item(0xe000, frame),
        &item(0xe0dd, &[]),
    ];
    [
        vec![0; 128],
        b"DICM".to_vec(),
        element(0x0002, 0x0000, *b"UL", &(uid.len() as u32).to_le_bytes()),
        uid,
        word(0x0002, samples),
        element(0x0028, 0x0004, *b"CS", photometric.as_bytes()),
        word(0x0006, u16::from(set(4))),
        word(0x0010, rows.into()),
        word(0x0011, columns.into()),
        word(0x0100, allocated),
        word(0x0101, stored),
        word(0x0102, stored - 1),
        word(0x0103, u16::from(set(3))),
        pixels.concat(),
    ]
    .concat()
}

fn padded(uid: &str) -> Vec<u8> {
    let mut bytes = uid.as_bytes().to_vec();
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes
}

fn element(group: u16, number: u16, kind: [u8; 2], value: &[u8]) -> Vec<u8> {
    let tag = [group.to_le_bytes(), number.to_le_bytes()].concat();
    [&tag, &kind[..], &(value.len() as u16).to_le_bytes(), value].concat()
}

/// An item of the encapsulated pixel data.
fn item(number: u16, bytes: &[u8]) -> Vec<u8> {
    let even = bytes.len().next_multiple_of(2);
    let mut item = [&[0xfe, 0xff], &number.to_le_bytes()[..], &(even as u32).to_le_bytes(), bytes].concat();
    item.resize(8 + even, 0);
    item
}
