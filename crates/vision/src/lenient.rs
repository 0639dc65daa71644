//! DICOM files as they are, not as they should be: what says nothing is passed over, and what is
//! mislabelled is read as what it is, the way viewers do.

use std::io::Write;

use crate::{DecodeOptions, Format, Samples, declared, decode};

const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// A data element in explicit little endian.
pub(crate) fn element(tag: u32, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
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
    let table = [element(0x0028_3002, b"US", &[2, 0, 0, 0]), element(0x0028_3006, b"US", &[9, 0, 7, 0])];
    let untold = item(&table.concat());
    for (name, expected, more) in [
        ("frames", &plain, vec![(0x0028_0008, b"IS", &b"0"[..])]),
        ("a word for frames", &plain, vec![(0x0028_0008, b"IS", &b"1A"[..])]),
        ("width", &plain, vec![(0x0028_1050, b"DS", &b"0"[..]), (0x0028_1051, b"DS", b"0")]),
        ("no number", &plain, vec![(0x0028_1050, b"DS", &b"AUTO"[..]), (0x0028_1051, b"DS", b"AUTO")]),
        ("no width", &plain, vec![(0x0028_1050, b"DS", &b"2000"[..]), (0x0028_1051, b"DS", b"NaN")]),
        (
            "an endless width",
            &plain,
            vec![(0x0028_1050, b"DS", &b"2000"[..]), (0x0028_1051, b"DS", b"1e400")],
        ),
        ("a dash", &plain, vec![(0x0028_1050, b"DS", &b"-"[..]), (0x0028_1051, b"DS", b"-")]),
        ("stars", &plain, vec![(0x0028_1050, b"DS", &b"****"[..]), (0x0028_1051, b"DS", b"****")]),
        ("two points", &plain, vec![(0x0028_1050, b"DS", &b"2000.0.0"[..]), (0x0028_1051, b"DS", b"3000")]),
        ("a width alone", &plain, vec![(0x0028_1051, b"DS", &b"3000"[..])]),
        (
            "fewer widths",
            &plain,
            vec![(0x0028_1050, b"DS", &b"abc\\2000"[..]), (0x0028_1051, b"DS", b"3000")],
        ),
        (
            "a second window",
            &window,
            vec![(0x0028_1050, b"DS", &b"abc\\2000"[..]), (0x0028_1051, b"DS", b"abc\\3000")],
        ),
        (
            "a third window",
            &window,
            vec![(0x0028_1050, b"DS", &b"7\\\\2000"[..]), (0x0028_1051, b"DS", b"0\\5\\3000")],
        ),
        (
            "a window before others",
            &window,
            vec![(0x0028_1050, b"DS", &b"2000\\abc"[..]), (0x0028_1051, b"DS", b"3000\\9")],
        ),
        ("case", &plain, vec![(0x0028_0004, b"CS", &b"monochrome2"[..])]),
        ("slope alone", &window, [&windowed[..], &[(0x0028_1053, b"DS", b"2")]].concat()),
        ("intercept alone", &window, [&windowed[..], &[(0x0028_1052, b"DS", b"-1000")]].concat()),
        ("slope", &plain, vec![(0x0028_1052, b"DS", &b"7"[..]), (0x0028_1053, b"DS", b"0")]),
        ("high bit", &plain, vec![(0x0028_0102, b"US", &[99, 0][..])]),
        ("function", &window, [&windowed[..], &[(0x0028_1056, b"CS", b"FOO")]].concat()),
        ("a table without bits", &window, [&windowed[..], &[(0x0028_3010, b"SQ", &untold[..])]].concat()),
        (
            "empty item",
            &window,
            [&windowed[..], &[(0x0028_3010, b"SQ", &b"\xfe\xff\x00\xe0\0\0\0\0"[..])]].concat(),
        ),
    ] {
        assert_eq!(&shown(RAMP, &more), expected, "{name}");
    }
    let narrow = [
        (0x0028_1052, b"DS", &b"0"[..]),
        (0x0028_1053, b"DS", b"0.0001"),
        (0x0028_1050, b"DS", b"0.2"),
        (0x0028_1051, b"DS", b"0.3"),
    ];
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

/// An item of a sequence, of so many elements.
fn item(elements: &[u8]) -> Vec<u8> {
    [&b"\xfe\xff\x00\xe0"[..], &(elements.len() as u32).to_le_bytes(), elements].concat()
}

#[test]
fn what_says_its_modality_and_region_by_class_and_code_says_them() {
    let identity = |more: &[(u32, &[u8; 2], &[u8])]| {
        declared(Format::Dicom, &file(EXPLICIT, &data_set(RAMP, more)), &DecodeOptions::default()).identity
    };
    let hand = item(&element(0x0008_0100, b"SH", b"85562004"));
    let mr: (u32, &[u8; 2], &[u8]) = (0x0008_0016, b"UI", b"1.2.840.10008.5.1.4.1.1.4\0");
    let said = identity(&[mr, (0x0008_2218, b"SQ", &hand)]);
    assert_eq!((said.modality.as_deref(), said.body_part.as_deref()), (Some("MR"), Some("HAND")));
    let named =
        [mr, (0x0008_2218, b"SQ", &hand), (0x0008_0060, b"CS", b"DX"), (0x0018_0015, b"CS", b"CHEST ")];
    let said = identity(&named);
    assert_eq!((said.modality.as_deref(), said.body_part.as_deref()), (Some("DX"), Some("CHEST")));
    let lung = item(&element(0x0008_0100, b"SH", b"39607008"));
    assert_eq!(identity(&[(0x0008_2218, b"SQ", &lung)]), crate::Identity::default());
}

/// A table of the values of interest that gives back what it gets, from `first` on.
fn table(vr: &[u8; 2], first: u16, bits: u16, entries: &[u16]) -> Vec<u8> {
    let bytes = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let descriptor = element(0x0028_3002, vr, &bytes(&[entries.len() as u16, first, bits]));
    item(&[descriptor, element(0x0028_3006, b"OW", &bytes(entries))].concat())
}

/// PS3.3 C.11.2.1.1: the first value is signed if the modality's output is, not if its slope is.
#[test]
fn the_first_value_of_a_table_is_signed_if_what_comes_to_it_is() {
    let entries = [0u16, 85, 170, 255];
    for (name, vr, first, slope, intercept, samples) in [
        ("turned", b"US", 40_000, "-1", "65535", [25_535, 25_534, 25_533, 25_532]),
        ("turned, of no VR of its own", b"UN", 40_000, "-1", "65535", [25_535, 25_534, 25_533, 25_532]),
        ("moved down, yet large", b"US", 40_000, "1", "-1024", [41_024, 41_025, 41_026, 41_027]),
        ("moved down", b"US", -1000i16 as u16, "1", "-1024", [24, 25, 26, 27]),
        ("moved down, marked", b"SS", -1000i16 as u16, "1", "-1024", [24, 25, 26, 27]),
    ] {
        let tables = table(vr, first, 8, &entries);
        let (slope, intercept) = (slope.as_bytes(), intercept.as_bytes());
        let more =
            [(0x0028_1052, b"DS", intercept), (0x0028_1053, b"DS", slope), (0x0028_3010, b"SQ", &tables[..])];
        assert_eq!(shown(samples, &more), [0, 21_845, 43_690, 65_535], "{name}");
    }
}

/// As pydicom gives the entries: as they are.
#[test]
fn entries_of_more_bits_than_are_announced_are_not_cut_off() {
    let more =
        |bits, entries: &[u16]| shown([0, 1, 2, 3], &[(0x0028_3010, b"SQ", &table(b"US", 0, bits, entries))]);
    assert_eq!(more(12, &[0, 16_384, 32_768, 65_472]), [0, 16_384, 32_768, 65_472]);
    assert_eq!(more(8, &[0, 341, 682, 1023]), [0, 21_845, 43_690, 65_535]);
    // A rounding of the writer's is no other depth.
    assert_eq!(more(12, &[0, 1365, 2730, 4096]), [0, 21_845, 43_690, 65_535]);
}

#[test]
fn a_picture_whose_size_stands_behind_its_pixels_is_read() {
    let set = data_set(RAMP, &[]);
    let at = set.windows(4).position(|four| four == [0xe0, 0x7f, 0x10, 0]).unwrap();
    let group28 = set.windows(4).position(|four| four == [0x28, 0, 2, 0]).unwrap();
    let unsorted = [&set[..group28], &set[at..], &set[group28..at]].concat();
    assert_eq!(grey(&file(EXPLICIT, &unsorted)), grey(&file(EXPLICIT, &set)));
    let rubbish = [&set[..], b"\x28\0\x50\x10DS"].concat();
    assert_eq!(grey(&file(EXPLICIT, &rubbish)), grey(&file(EXPLICIT, &set)));
}

#[test]
fn private_items_of_unknown_representation_may_be_explicit_or_implicit() {
    let open = |elements: &[u8]| {
        let start = b"\x09\0\x02\x10UN\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff";
        [&start[..], elements, b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"].concat()
    };
    let set = data_set(RAMP, &[]);
    let at = set.windows(4).position(|four| four == [0x28, 0, 2, 0]).unwrap();
    let explicit = element(0x0009_1003, b"LO", b"as it was");
    let implicit = b"\x09\0\x03\x10\x04\0\0\0word";
    for elements in [&explicit[..], implicit, b""] {
        let file = file(EXPLICIT, &[&set[..at], &open(elements), &set[at..]].concat());
        assert_eq!(grey(&file), grey(&self::file(EXPLICIT, &set)));
    }
}

#[test]
fn a_deflated_file_says_what_it_is_behind_a_large_private_element() {
    for length in [200_000, 3 << 20] {
        // Which does not deflate.
        let mut state = 1u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let private: Vec<u8> = (0..length).map(|_| byte()).collect();
        let set = data_set(RAMP, &[(0x0009_1001, b"OB", &private), (0x0018_0015, b"CS", b"HAND")]);
        let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        deflated.write_all(&set).unwrap();
        let file = file("1.2.840.10008.1.2.1.99", &deflated.finish().unwrap());
        let said = declared(Format::Dicom, &file, &DecodeOptions::default());
        assert_eq!((said.identity.body_part.as_deref(), said.size), (Some("HAND"), (4, 1)));
        assert!(said.memory >= length, "{}", said.memory);
        let found = crate::attributes(&file, &[0x0018_0015]).unwrap();
        assert_eq!(found.get(&0x0018_0015).map(Vec::as_slice), Some(&b"HAND"[..]));
        assert_eq!(grey(&file), shown(RAMP, &[]));
    }
}

#[test]
fn the_bytes_of_a_picture_are_others_where_it_looks_different() {
    let bytes = |file: &[u8]| {
        let mut all = Vec::new();
        crate::picture_bytes(file, |part| all.extend_from_slice(part));
        all
    };
    let plain = file(EXPLICIT, &data_set(RAMP, &[]));
    let renamed = file(EXPLICIT, &data_set(RAMP, &[(0x0010_0010, b"PN", b"Doe^Jane")]));
    assert_eq!(bytes(&plain), bytes(&renamed));
    for other in [data_set([0; 4], &[]), data_set(RAMP, &[(0x0028_0004, b"CS", b"MONOCHROME1")])] {
        assert_ne!(bytes(&plain), bytes(&file(EXPLICIT, &other)));
    }
    // How long a group is says nothing, and some writers say it.
    let mut counted = data_set(RAMP, &[]);
    let at = counted.windows(4).position(|four| four == [0x28, 0, 2, 0]).unwrap();
    counted.splice(at..at, element(0x0028_0000, b"UL", &[60, 0, 0, 0]));
    assert_eq!(bytes(&file(EXPLICIT, &counted)), bytes(&plain));
    assert_eq!(bytes(b"no DICOM"), b"no DICOM");
}

/// PS3.5 section 8.2.1: a JPEG frame has the stored bits alone, whatever High Bit says; pydicom shifts none of them.
#[test]
fn the_bits_of_a_jpeg_frame_are_not_shifted() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/vision/");
    for name in ["jpeg-lossless-12.dcm", "jpeg-lossless-8.dcm", "jpeg.dcm"] {
        let right = std::fs::read(format!("{folder}{name}")).unwrap();
        let at = right.windows(8).position(|eight| eight == b"\x28\0\x02\x01US\x02\0").unwrap() + 8;
        let allocated = right.windows(8).position(|eight| eight == b"\x28\0\0\x01US\x02\0").unwrap() + 8;
        let mut labelled = right.clone();
        labelled[at] = 15;
        labelled[allocated] = 16;
        assert_ne!(right[at], 15, "{name}");
        assert_eq!(grey(&labelled), grey(&right), "{name}");
    }
}

#[test]
fn the_byte_that_makes_a_length_even_may_be_missing() {
    let more: [(u32, &[u8; 2], &[u8]); 4] = [
        (0x0028_0011, b"US", &[3, 0]),
        (0x0028_0100, b"US", &[8, 0]),
        (0x0028_0101, b"US", &[8, 0]),
        (0x7fe0_0010, b"OB", &[0, 128, 255]),
    ];
    let whole = file(EXPLICIT, &data_set([0; 4], &more));
    let read = |bytes: &[u8]| {
        decode(Format::Dicom, bytes, &DecodeOptions::default()).map(crate::Image::into_samples)
    };
    let want = read(&whole).unwrap();
    assert_eq!(read(&whole[..whole.len() - 1]).unwrap(), want);
    let error = read(&whole[..whole.len() - 2]).unwrap_err().to_string();
    assert!(error.contains("truncated"), "{error}");
    // Of an even number of samples the last byte is a sample.
    let even = file(EXPLICIT, &data_set([1, 2, 3, 4], &[]));
    let error = read(&even[..even.len() - 1]).unwrap_err().to_string();
    assert!(error.contains("truncated"), "{error}");
}

#[test]
fn rows_from_front_to_back_are_a_lateral_view() {
    for (view, orientation, said) in [
        (&b""[..], &b"A\\F"[..], Some("LATERAL")),
        (b"", b"p\\f", Some("LATERAL")),
        (b"", b"L\\F", None),
        (b"", b"R\\F", None),
        (b"", b"", None),
        (b"", b"F\\P", Some("LATERAL")),
        (b"", b"H\\A", Some("LATERAL")),
    ] {
        let more: [(u32, &[u8; 2], &[u8]); 2] =
            [(0x0018_5101, b"CS", view), (0x0020_0020, b"CS", orientation)];
        let file = file(EXPLICIT, &data_set([1, 2, 3, 4], &more));
        let identity = declared(Format::Dicom, &file, &DecodeOptions::default()).identity;
        assert_eq!(identity.views.first().map(String::as_str), said, "{orientation:?}");
    }
    let both: [(u32, &[u8; 2], &[u8]); 2] = [(0x0018_5101, b"CS", b"PA"), (0x0020_0020, b"CS", b"A\\F")];
    let file = file(EXPLICIT, &data_set([1, 2, 3, 4], &both));
    let identity = declared(Format::Dicom, &file, &DecodeOptions::default()).identity;
    assert_eq!(identity.views, ["PA", "LATERAL"], "a model has to read both");
}
