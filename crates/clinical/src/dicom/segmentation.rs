//! Regions as DICOM Segmentation (PS3.3 section A.51): binary, one frame for each label that is on the image, at the
//! image's own size.

use super::code::Code;
use super::data_set::DataSet;
use super::maker::{Kind, Maker, cut};
use super::report::NOTICE;
use super::source::Source;
use super::tags;
use super::uid::derived;

/// Where the labels of a model are on an image.
#[derive(Debug, Clone, Copy)]
pub struct Mask<'a> {
    /// Columns, as the image has.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The label's number of each pixel, row by row; 0 is background.
    pub labels: &'a [u8],
    /// The names of the labels, the background's first.
    pub names: &'a [String],
}

/// The Segmentation of a mask. Where no label is on the image, the frame of the first is empty.
pub fn segmentation(maker: &Maker<'_>, source: &Source, mask: &Mask<'_>) -> DataSet {
    let present = |number: &usize| mask.labels.contains(&(*number as u8));
    let mut numbers: Vec<usize> = (1..mask.names.len()).filter(present).collect();
    if numbers.is_empty() {
        numbers.push(1);
    }
    let organization = derived(&["dimensions", &maker.sop_instance(Kind::Segmentation, source)]);
    let source = &source.written(mask.names.iter().map(String::as_str));
    let mut set = maker.begin(Kind::Segmentation, source);
    let mut own = DataSet::new();
    own.text(tags::REFERENCED_CLASS, b"UI", &source.sop_class);
    own.text(tags::REFERENCED_INSTANCE, b"UI", &source.sop_instance);
    let mut series = DataSet::new();
    series.text(tags::SERIES, b"UI", &source.series).items(tags::REFERENCED_INSTANCES, vec![own]);
    let mut organized = DataSet::new();
    organized.text(tags::DIMENSION_UID, b"UI", &organization);
    let mut index = DataSet::new();
    index
        .text(tags::DIMENSION_UID, b"UI", &organization)
        .pointer(tags::DIMENSION_POINTER, tags::REFERENCED_SEGMENT)
        .pointer(tags::DIMENSION_GROUP, tags::SEGMENT_IDENTIFICATION)
        .text(tags::DIMENSION_LABEL, b"LO", "Segment");
    set.text(tags::IMAGE_TYPE, b"CS", "DERIVED\\PRIMARY")
        .items(tags::REFERENCED_SERIES, vec![series])
        .items(tags::DIMENSION_ORGANIZATIONS, vec![organized])
        .items(tags::DIMENSION_INDEXES, vec![index])
        .text(tags::FRAMES, b"IS", numbers.len().to_string())
        .words(tags::SAMPLES, &[1])
        .text(tags::PHOTOMETRIC, b"CS", "MONOCHROME2")
        .words(tags::ROWS, &[mask.height as u16])
        .words(tags::COLUMNS, &[mask.width as u16])
        .words(tags::BITS_ALLOCATED, &[1])
        .words(tags::BITS_STORED, &[1])
        .words(tags::HIGH_BIT, &[0])
        .words(tags::PIXEL_REPRESENTATION, &[0])
        .text(tags::LOSSY, b"CS", "00")
        .text(tags::SEGMENTATION_TYPE, b"CS", "BINARY")
        .text(tags::CONTENT_LABEL, b"CS", "AI_REGIONS")
        .text(tags::CONTENT_DESCRIPTION, b"LO", cut(NOTICE, 64))
        .text(tags::CONTENT_CREATOR, b"PN", "")
        .items(tags::SEGMENTS, segments(maker, source, &numbers, mask))
        .text(tags::PATIENT_ORIENTATION, b"CS", &source.orientation)
        .items(tags::SHARED_GROUPS, vec![shared(source)])
        .items(tags::FRAME_GROUPS, (1..=numbers.len() as u32).map(|segment| frame(source, segment)).collect())
        .bytes(tags::PIXELS, bits(&numbers, mask));
    source.tell_lossiness(&mut set);
    // It has the image's pixels, and has to say their shape where it does not say how large they are (PS3.3 C.7.6.3.1.7).
    if let Some((tall, wide)) = source.pixel_shape.filter(|_| !is_measured(source)) {
        set.text(tags::PIXEL_ASPECT, b"IS", format!("{tall}\\{wide}"));
    }
    if let Some(frame) = source.geometry.get(tags::FRAME_OF_REFERENCE).filter(|_| is_placed(source)) {
        set.text(tags::FRAME_OF_REFERENCE, b"UI", frame).text(tags::POSITION_REFERENCE, b"LO", "");
    }
    set
}

/// What each segment is. The category and type of a label are not known beyond its name.
fn segments(maker: &Maker<'_>, source: &Source, numbers: &[usize], mask: &Mask<'_>) -> Vec<DataSet> {
    let one = |(place, number): (usize, &usize)| {
        let label = mask.names.get(*number).map_or("", String::as_str);
        let mut algorithm = DataSet::new();
        algorithm
            .items(tags::ALGORITHM_FAMILY, vec![Code::dcm("123110", "Artificial Intelligence").item()])
            .text(tags::ALGORITHM_NAME, b"LO", cut(maker.model, 64))
            .text(tags::ALGORITHM_VERSION, b"LO", cut(maker.version, 64));
        let mut segment = DataSet::new();
        segment
            .words(tags::SEGMENT_NUMBER, &[place as u16 + 1])
            .text(tags::SEGMENT_LABEL, b"LO", cut(&maker.said(source, label), 64))
            .items(tags::SEGMENTED_CATEGORY, vec![Code::of("91723000", "SCT", "Anatomical Structure").item()])
            .items(tags::SEGMENTED_TYPE, vec![maker.label(source, label, None).item()])
            .text(tags::SEGMENT_ALGORITHM_TYPE, b"CS", "AUTOMATIC")
            .text(tags::SEGMENT_ALGORITHM, b"LO", cut(maker.model, 64))
            .items(tags::SEGMENT_ALGORITHM_IDENTIFICATION, vec![algorithm]);
        segment
    };
    numbers.iter().enumerate().map(one).collect()
}

/// Whether the image says how large its pixels are. The thickness is required beside their spacing, and is not made up: a
/// radiograph, which has none, says nothing.
fn is_measured(source: &Source) -> bool {
    [tags::PIXEL_SPACING, tags::SLICE_THICKNESS].iter().all(|tag| source.geometry.get(*tag).is_some())
}

/// Whether it says all that its place in space is made of: a part of it is of no use to a reader, and an error.
fn is_placed(source: &Source) -> bool {
    let place = [tags::FRAME_OF_REFERENCE, tags::IMAGE_POSITION, tags::IMAGE_ORIENTATION];
    is_measured(source) && place.iter().all(|tag| source.geometry.get(*tag).is_some())
}

/// What all frames have in common: how the image lies in space, where it says so.
fn shared(source: &Source) -> DataSet {
    let mut groups = DataSet::new();
    let mut group = |of: tags::Tag, names: &[(tags::Tag, &'static [u8; 2])]| {
        let mut item = DataSet::new();
        for (tag, vr) in names {
            if let Some(value) = source.geometry.get(*tag) {
                item.text(*tag, vr, value);
            }
        }
        if item != DataSet::new() {
            groups.items(of, vec![item]);
        }
    };
    if is_measured(source) {
        group(tags::PIXEL_MEASURES, &[(tags::PIXEL_SPACING, b"DS"), (tags::SLICE_THICKNESS, b"DS")]);
    }
    if is_placed(source) {
        group(tags::PLANE_POSITION, &[(tags::IMAGE_POSITION, b"DS")]);
        group(tags::PLANE_ORIENTATION, &[(tags::IMAGE_ORIENTATION, b"DS")]);
    }
    groups
}

/// What a frame is: of which segment, made of which image.
fn frame(source: &Source, segment: u32) -> DataSet {
    let mut image = source.reference();
    let purpose = Code::dcm("121322", "Source image for image processing operation");
    // A pixel of the mask is that of the image in the same place; without this word readers do not lay one over the other.
    image.items(tags::PURPOSE, vec![purpose.item()]).text(tags::SPATIAL_LOCATIONS, b"CS", "YES");
    let mut derivation = DataSet::new();
    derivation
        .items(tags::SOURCE_IMAGES, vec![image])
        .items(tags::DERIVATION_CODES, vec![Code::dcm("113076", "Segmentation").item()]);
    let mut content = DataSet::new();
    content.longs(tags::DIMENSION_VALUES, &[segment]);
    let mut identification = DataSet::new();
    identification.words(tags::REFERENCED_SEGMENT, &[segment as u16]);
    let mut groups = DataSet::new();
    groups
        .items(tags::DERIVATION_IMAGES, vec![derivation])
        .items(tags::FRAME_CONTENT, vec![content])
        .items(tags::SEGMENT_IDENTIFICATION, vec![identification]);
    groups
}

/// One bit a pixel, the first in the lowest, frames behind one another without a gap (PS3.5 section 8.1.1).
fn bits(numbers: &[usize], mask: &Mask<'_>) -> Vec<u8> {
    let mut bytes = vec![0u8; (numbers.len() * mask.labels.len()).div_ceil(8)];
    for (place, number) in numbers.iter().enumerate() {
        for (at, label) in mask.labels.iter().enumerate() {
            if usize::from(*label) == *number {
                let bit = place * mask.labels.len() + at;
                bytes[bit / 8] |= 1 << (bit % 8);
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_one_another_bit_by_bit() {
        let names = ["background", "a", "b"].map(String::from);
        let mask = Mask { width: 3, height: 1, labels: &[2, 0, 1], names: &names };
        // Frame of 1: 001, frame of 2: 100; the first pixel in the lowest bit.
        assert_eq!(bits(&[1, 2], &mask), [0b1100]);
    }
}
