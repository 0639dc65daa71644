//! What a file says of the shape of its pixels (PS3.3 section C.7.6.3.1.7).

use super::dataset::DataSet;
use super::tags::{self, Tag};
use crate::pixel_shape::PixelShape;

/// The attributes that say it, each the height of a pixel and then its width, in the order in which DCMTK goes by them: distances
/// before their ratio, which has no place beside them.
const SAYING: [Tag; 4] =
    [tags::PIXEL_SPACING, tags::IMAGER_SPACING, tags::SCANNED_SPACING, tags::PIXEL_ASPECT];

/// The functional groups that have such attributes.
const GROUPS: [Tag; 2] = [tags::PIXEL_MEASURES, tags::FRAME_PIXEL_DATA];

/// The shape of the pixels of a frame: by the functional groups of the frame, those of all frames, or the file itself, whichever
/// first says what can be. Where nothing does, pixels are square.
pub(super) fn pixel_shape(set: &DataSet<'_>, frame: u32) -> PixelShape {
    let groups = [(tags::FRAME_GROUPS, frame.saturating_sub(1) as usize), (tags::SHARED_GROUPS, 0)];
    let of_group = |(groups, index)| {
        let groups = item(set, groups, index)?;
        GROUPS.into_iter().find_map(|tag| said(&item(&groups, tag, 0)?))
    };
    groups.into_iter().find_map(of_group).or_else(|| said(set)).unwrap_or_default()
}

/// An item that cannot be read says nothing here; where brightness depends on it the file is refused.
fn item<'a>(set: &DataSet<'a>, tag: Tag, index: usize) -> Option<DataSet<'a>> {
    set.item(tag, index).ok().flatten()
}

/// What the first of the attributes says that says what can be: two lengths, or their ratio.
fn said(set: &DataSet<'_>) -> Option<PixelShape> {
    SAYING.into_iter().find_map(|tag| match set.numbers(tag)[..] {
        [Some(tall), Some(wide), ..] => PixelShape::new(tall, wide),
        _ => None,
    })
}
