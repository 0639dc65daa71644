//! The file around a data set (DICOM PS3.10): preamble and file meta information, or what is left of them.

use super::cursor::{Cursor, Encoding};
use super::tags::Tag;
use super::{malformed, tags};
use crate::decode::DecodeError;

/// Reads the preamble and the file meta information: the transfer syntax UID if there is one, and
/// where the data set begins. Files without the preamble, or without either, are read as well.
pub(super) fn read_meta(file: &[u8]) -> Result<(Option<String>, &[u8]), DecodeError> {
    read_meta_with(file, |_, _| {})
}

/// The same, and gives `each` the elements of the file meta information.
pub(super) fn read_meta_with(
    file: &[u8],
    mut each: impl FnMut(Tag, &[u8]),
) -> Result<(Option<String>, &[u8]), DecodeError> {
    let at = if file.get(128..132) == Some(b"DICM") {
        132
    } else if file.starts_with(b"DICM") {
        4
    } else if looks_like_elements(file) {
        0
    } else {
        return Err(malformed("neither \"DICM\" at byte 128 nor a data element at its start"));
    };
    let encoding = Encoding::EXPLICIT_LITTLE.shown(&file[at..]);
    let mut cursor = Cursor { bytes: file, at, encoding };
    let mut uid = None;
    while cursor.at < file.len() && cursor.clone().tag()? >> 16 == 2 {
        let header = cursor.header()?;
        let value = cursor.value(&header)?;
        each(header.tag, value.bytes);
        if header.tag == tags::TRANSFER_SYNTAX && !value.bytes.is_empty() {
            let text = String::from_utf8_lossy(value.bytes);
            let text = text.trim_matches(['\0', ' ']);
            // Shown to people when it is not supported, so it must be a UID and nothing else.
            if text.is_empty()
                || text.len() > 64
                || !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            {
                return Err(malformed("the transfer syntax (0002,0010) is not a UID"));
            }
            uid = Some(text.to_owned());
        }
    }
    Ok((uid, &file[cursor.at..]))
}

/// Whether bytes begin with a data element of one of the first groups, as a data set does that was
/// stored without the preamble of a file.
pub(crate) fn looks_like_elements(bytes: &[u8]) -> bool {
    let encoding = Encoding::EXPLICIT_LITTLE.shown(bytes);
    let mut cursor = Cursor { bytes, at: 0, encoding };
    let header = cursor.header();
    header.is_ok_and(|header| {
        let known = matches!(header.tag, 0x0002_0000..=0x0002_0018 | 0x0008_0000..=0x0008_0070);
        known && cursor.take(header.length as usize).is_ok()
    })
}
