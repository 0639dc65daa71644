//! DICOM files as they are, not as they should be: what says nothing is passed over, and what is
//! mislabelled is read as what it is, the way viewers do.

use crate::{DecodeOptions, Format, Samples, decode};

const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// A data element in explicit little endian.
fn element(tag: u32, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(((tag >> 16) as u16).to_le_bytes());
    bytes.extend((tag as u16).to_le_bytes());
    bytes.extend(vr);
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(b' ');
    }
    if matches!(vr, b"OW" | b"OB" | b"OF" | b"OD" | b"SQ" | b"UN") {
        bytes.extend([0, 0]);
        bytes.extend((value.len() as u32).to_le_bytes());
    } else {
        bytes.extend((value.len() as u16).to_le_bytes());
    }
    bytes.extend(value);
    bytes
}

/// The attributes of a picture of 4 x 1 samples of 16 bits, `more` among them.
pub(crate) fn data_set(samples: [u16; 4], more: &[(u32, &[u8; 2], &[u8])]) -> Vec<u8> {
    let mut elements: Vec<(u32, [u8; 2], Vec<u8>)> = vec![
        (0x0008_0016, *b"UI", b"1.2".to_vec()),
        (0x0028_0002, *b"US", vec![1, 0]),
        (0x0028_0004, *b"CS", b"MONOCHROME2".to_vec()),
        (0x0028_0010, *b"US", vec![1, 0]),
        (0x0028_0011, *b"US", vec![4, 0]),
        (0x0028_0100, *b"US", vec![16, 0]),
        (0x0028_0101, *b"US", vec![16, 0]),
        (0x7fe0_0010, *b"OW", samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()),
    ];
    for &(tag, vr, value) in more {
        elements.retain(|element| element.0 != tag);
        elements.push((tag, *vr, value.to_vec()));
    }
    elements.sort();
    elements.iter().flat_map(|(tag, vr, value)| element(*tag, vr, value)).collect()
}

pub(crate) fn file(syntax: &str, data_set: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    bytes.extend(element(0x0002_0010, b"UI", syntax.as_bytes()));
    bytes.extend(data_set);
    bytes
}

pub(crate) fn grey(bytes: &[u8]) -> Vec<u16> {
    assert_eq!(Format::sniff(bytes), Some(Format::Dicom));
    match decode(Format::Dicom, bytes, &DecodeOptions::default()).map(crate::Image::into_samples) {
        Ok(Samples::Gray16(values)) => values,
        other => panic!("{other:?}"),
    }
}

const RAMP: [u16; 4] = [0, 1000, 2000, 4000];

fn shown(samples: [u16; 4], more: &[(u32, &[u8; 2], &[u8])]) -> Vec<u16> {
    grey(&file(EXPLICIT, &data_set(samples, more)))
}

#[test]
fn what_says_nothing_is_passed_over() {
    let plain = shown(RAMP, &[]);
    assert_eq!(plain, [0, 16_384, 32_768, 65_535]);
    let windowed: [(u32, &[u8; 2], &[u8]); 2] =
        [(0x0028_1050, b"DS", b"2000"), (0x0028_1051, b"DS", b"3000")];
    let window = shown(RAMP, &windowed);
    for (name, expected, more) in [
        ("frames", &plain, vec![(0x0028_0008, b"IS", &b"0"[..])]),
        ("a word for frames", &plain, vec![(0x0028_0008, b"IS", &b"1A"[..])]),
        ("width", &plain, vec![(0x0028_1050, b"DS", &b"0"[..]), (0x0028_1051, b"DS", b"0")]),
        ("case", &plain, vec![(0x0028_0004, b"CS", &b"monochrome2"[..])]),
        ("slope", &plain, vec![(0x0028_1052, b"DS", &b"7"[..]), (0x0028_1053, b"DS", b"0")]),
        ("high bit", &plain, vec![(0x0028_0102, b"US", &[99, 0][..])]),
        ("function", &window, [&windowed[..], &[(0x0028_1056, b"CS", b"FOO")]].concat()),
        (
            "empty item",
            &window,
            [&windowed[..], &[(0x0028_3010, b"SQ", &b"\xfe\xff\x00\xe0\0\0\0\0"[..])]].concat(),
        ),
    ] {
        assert_eq!(&shown(RAMP, &more), expected, "{name}");
    }
    let narrow =
        [(0x0028_1053, b"DS", &b"0.0001"[..]), (0x0028_1050, b"DS", b"0.2"), (0x0028_1051, b"DS", b"0.3")];
    assert_eq!(shown(RAMP, &narrow), [0, 10_922, 32_768, 65_535]);
}

#[test]
fn padding_takes_no_part_in_the_extremes() {
    let padding = [(0x0028_0120, b"US", &[0xff, 0xff][..])];
    assert_eq!(shown([0, 1000, 2000, 65_535], &padding), [0, 32_768, 65_535, 0]);
}

/// As DCMTK shows them.
#[test]
fn the_presentation_shape_says_which_end_is_white() {
    for (photometric, shape, inverted) in [
        (&b"MONOCHROME1"[..], &b""[..], true),
        (b"MONOCHROME1", b"IDENTITY", false),
        (b"MONOCHROME1", b"INVERSE", true),
        (b"MONOCHROME2", b"IDENTITY", false),
        (b"MONOCHROME2", b"INVERSE", true),
    ] {
        let values = shown(RAMP, &[(0x0028_0004, b"CS", photometric), (0x2050_0020, b"CS", shape)]);
        assert_eq!(values[0] == 65_535, inverted, "{values:?}");
    }
}

#[test]
fn mislabelled_and_bare_files_are_read_as_what_they_are() {
    let set = data_set(RAMP, &[]);
    let right = grey(&file(EXPLICIT, &set));
    assert_eq!(grey(&file("1.2.840.10008.1.2", &set)), right);
    assert_eq!(grey(&file("1.2.840.10008.1.2.2", &set)), right);
    assert_eq!(grey(&set), right);
    assert_eq!(grey(&file(EXPLICIT, &set)[128..]), right);
    let unknown = data_set(RAMP, &[(0x0009_0010, b"??", b"unknown")]);
    assert_eq!(grey(&file(EXPLICIT, &unknown)), right);
}

#[test]
fn functional_groups_of_unknown_representation_are_read() {
    // Implicit little endian: FrameVOILUTSequence with a window, in an item of the shared groups.
    let implicit = |tag: u32, value: &[u8]| {
        let mut bytes = Vec::new();
        bytes.extend(((tag >> 16) as u16).to_le_bytes());
        bytes.extend((tag as u16).to_le_bytes());
        bytes.extend((value.len() as u32).to_le_bytes());
        bytes.extend(value);
        bytes
    };
    let window = [implicit(0x0028_1050, b"2000"), implicit(0x0028_1051, b"3000")].concat();
    let voi = implicit(0x0028_9132, &implicit(0xfffe_e000, &window));
    let groups = implicit(0xfffe_e000, &voi);
    let plain = [(0x0028_1050, b"DS", &b"2000"[..]), (0x0028_1051, b"DS", b"3000")];
    assert_eq!(shown(RAMP, &[(0x5200_9229, b"UN", &groups)]), shown(RAMP, &plain));
}
