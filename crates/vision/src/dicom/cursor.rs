//! Data elements one after the other (PS3.5 section 7): how they are written, where each ends, and what
//! lies in the fragments of pixel data.
//!
//! General DICOM readers build the whole tree of nested sequences by recursion and reserve what a length
//! field claims, so a small hostile file ends the process. This one walks the bytes it was given with a
//! loop, borrows every value from them, and allocates for neither length nor depth.

use super::malformed;
use super::tags::{self, Tag};
use crate::decode::DecodeError;

/// Length field of a value whose end is marked by a delimiter.
pub(super) const UNDEFINED: u32 = u32::MAX;

/// Sequences inside sequences that are followed; real files have a handful.
const MAX_DEPTH: usize = 64;

/// The value representations that there are (PS3.5 section 6.2), two letters each.
const VRS: &[u8] = b"AEASATCSDADSDTFDFLISLOLTOBODOFOLOVOWPNSHSLSQSSSTSVTMUCUIULUNURUSUTUV";

/// How elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Encoding {
    pub explicit: bool,
    pub big_endian: bool,
}

impl Encoding {
    pub const EXPLICIT_LITTLE: Encoding = Encoding { explicit: true, big_endian: false };

    pub fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    /// How the items of a sequence are written: what an unknown VR hides is in implicit little
    /// endian (PS3.5 section 6.2.2, note 2).
    pub fn inside(self, vr: Option<[u8; 2]>) -> Encoding {
        match &vr {
            Some([b'U', b'N']) => Encoding { explicit: false, big_endian: false },
            _ => self,
        }
    }

    /// How elements are written, by the first of them: its group is a small number in the right
    /// byte order, and where there is a value representation it is two letters. Files that are
    /// labelled as what they are not are read as what they are.
    pub fn shown(self, bytes: &[u8]) -> Encoding {
        let Some(&[g0, g1, _, _, vr @ ..]) = bytes.first_chunk::<6>() else {
            return self;
        };
        // The groups with which data sets and items begin.
        let usual = |group: u8| matches!(group, 0x02 | 0x08 | 0x10 | 0x18 | 0x20 | 0x28 | 0x40);
        let big_endian = match (g0, g1) {
            (group, 0) if usual(group) => false,
            (0, group) if usual(group) => true,
            _ => self.big_endian,
        };
        // Items have none in any encoding.
        let is_item = [g0, g1] == [0xfe, 0xff] || [g0, g1] == [0xff, 0xfe];
        let explicit = if is_item { self.explicit } else { vr.iter().all(u8::is_ascii_uppercase) };
        Encoding { explicit, big_endian }
    }

    pub fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    pub fn u64(self, bytes: [u8; 8]) -> u64 {
        if self.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) }
    }
}

/// The value of an element, borrowed from the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub vr: Option<[u8; 2]>,
    /// For a sequence: its items, headers included.
    pub bytes: &'a [u8],
    /// The value was of undefined length: a sequence, or the fragments of pixel data.
    pub undefined: bool,
    /// It has the delimiter that ends it, if it needs one.
    pub ended: bool,
}

/// A position in the file.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    pub encoding: Encoding,
}

/// What stands before the value of an element.
pub(super) struct Header {
    pub tag: Tag,
    pub vr: Option<[u8; 2]>,
    pub length: u32,
}

impl<'a> Cursor<'a> {
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(length);
        match end.and_then(|end| self.bytes.get(self.at..end)) {
            Some(bytes) => {
                self.at += length;
                Ok(bytes)
            }
            None => Err(malformed(format!(
                "the file is truncated: {length} bytes are announced at byte {}, {} are left",
                self.at,
                self.bytes.len() - self.at
            ))),
        }
    }

    /// All that is left, as a value.
    pub fn rest(&mut self, vr: Option<[u8; 2]>) -> Value<'a> {
        let bytes = &self.bytes[self.at..];
        self.at = self.bytes.len();
        Value { vr, bytes, undefined: false, ended: true }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn tag(&mut self) -> Result<Tag, DecodeError> {
        let group = self.array()?;
        let element = self.array()?;
        Ok(u32::from(self.encoding.u16(group)) << 16 | u32::from(self.encoding.u16(element)))
    }

    pub fn header(&mut self) -> Result<Header, DecodeError> {
        let start = self.at;
        let tag = self.tag()?;
        // Items and delimiters have no VR in any encoding.
        if !self.encoding.explicit || tag >> 16 == 0xfffe {
            let length = self.array()?;
            return Ok(Header { tag, vr: None, length: self.encoding.u32(length) });
        }
        let vr: [u8; 2] = self.array()?;
        // Question marks stand where a writer did not know, and take the short form.
        if !vr.iter().all(u8::is_ascii_uppercase) && &vr != b"??" {
            // One element written without its value representation, or no element at all.
            let rest: [u8; 2] = self.array()?;
            let length = self.encoding.u32([vr[0], vr[1], rest[0], rest[1]]);
            if length != UNDEFINED && length as usize > self.bytes.len() - self.at {
                return Err(malformed(format!(
                    "no data element at byte {start}: its value representation is not two letters"
                )));
            }
            return Ok(Header { tag, vr: None, length });
        }
        let long = matches!(
            &vr,
            b"OB"
                | b"OW"
                | b"OF"
                | b"OD"
                | b"OL"
                | b"OV"
                | b"SQ"
                | b"UC"
                | b"UR"
                | b"UT"
                | b"UN"
                | b"SV"
                | b"UV"
        );
        let length = if long {
            self.take(2)?;
            let length = self.array()?;
            self.encoding.u32(length)
        } else {
            let length = self.array()?;
            u32::from(self.encoding.u16(length))
        };
        Ok(Header { tag, vr: Some(vr), length })
    }

    /// How the elements of an item of an unknown VR are written that begins here: in implicit little endian (PS3.5
    /// section 6.2.2, note 2), but that many old writers left them as they were.
    fn in_unknown(&self, outer: Encoding) -> Encoding {
        let vr = self.bytes.get(self.at + 4..self.at + 6).unwrap_or_default();
        match VRS.chunks(2).any(|known| known == vr) {
            true => outer,
            false => self.encoding,
        }
    }

    /// Takes an element's value. One of undefined length is walked to its delimiter, which is
    /// left out.
    pub fn value(&mut self, header: &Header) -> Result<Value<'a>, DecodeError> {
        let undefined = header.length == UNDEFINED;
        let mut ended = true;
        let bytes = if undefined && header.tag == tags::PIXELS {
            let (bytes, delimiter) = self.take_fragments()?;
            ended = delimiter;
            bytes
        } else if undefined {
            let start = self.at;
            let end = self.skip_sequence(header.vr)?;
            &self.bytes[start..end]
        } else {
            self.take(header.length as usize)?
        };
        Ok(Value { vr: header.vr, bytes, undefined, ended })
    }

    /// Takes the fragments of pixel data, to their delimiter or to whatever stands in its place: some
    /// writers leave it out, others write zeros. Says whether it was there.
    fn take_fragments(&mut self) -> Result<(&'a [u8], bool), DecodeError> {
        let start = self.at;
        while self.bytes.len() - self.at >= 8 {
            let header = self.header()?;
            if header.tag != tags::ITEM || header.length == UNDEFINED {
                return Ok((&self.bytes[start..self.at - 8], header.tag == tags::SEQUENCE_END));
            }
            self.take(header.length as usize)?;
        }
        let end = self.at;
        self.at = self.bytes.len();
        Ok((&self.bytes[start..end], false))
    }

    /// Steps behind the delimiter of a sequence of undefined length and returns where the
    /// delimiter stands.
    fn skip_sequence(&mut self, vr: Option<[u8; 2]>) -> Result<usize, DecodeError> {
        enum Level {
            Sequence,
            Item,
        }
        let outer = self.encoding;
        let inside = Encoding::inside;
        let mut stack = vec![(Level::Sequence, inside(outer, vr))];
        while let Some((level, encoding)) = stack.last() {
            self.encoding = *encoding;
            let start = self.at;
            let header = self.header()?;
            let open = match (level, header.tag) {
                (Level::Sequence, tags::SEQUENCE_END) | (Level::Item, tags::ITEM_END) => {
                    stack.pop();
                    if stack.is_empty() {
                        self.encoding = outer;
                        return Ok(start);
                    }
                    None
                }
                // Some writers close a sequence and its item at once, or an item twice.
                (Level::Item, tags::SEQUENCE_END) if stack.len() > 1 => {
                    stack.truncate(stack.len() - 2);
                    if stack.is_empty() {
                        self.encoding = outer;
                        return Ok(start);
                    }
                    None
                }
                (Level::Sequence, tags::ITEM_END) => None,
                (Level::Sequence, tags::ITEM) => Some(Level::Item),
                (Level::Item, tag) if tag >> 16 != 0xfffe => Some(Level::Sequence),
                _ => {
                    return Err(malformed(format!(
                        "a sequence is not closed as it was opened, at byte {start}"
                    )));
                }
            };
            let Some(open) = open else { continue };
            if header.length != UNDEFINED {
                self.take(header.length as usize)?;
            } else if stack.len() < MAX_DEPTH {
                let encoding = match open {
                    Level::Item if !self.encoding.explicit && outer.explicit => self.in_unknown(outer),
                    _ => inside(self.encoding, header.vr),
                };
                stack.push((open, encoding));
            } else {
                return Err(malformed(format!(
                    "sequences nested deeper than {MAX_DEPTH} levels, at byte {start}"
                )));
            }
        }
        Ok(self.at)
    }

    /// Steps behind the delimiter of an item of undefined length.
    pub fn skip_item(&mut self) -> Result<(), DecodeError> {
        let outer = self.encoding;
        self.encoding = self.in_unknown(Encoding { explicit: true, ..outer });
        loop {
            let header = self.header()?;
            if header.tag == tags::ITEM_END {
                self.encoding = outer;
                return Ok(());
            }
            self.value(&header)?;
        }
    }
}

/// The fragments of encapsulated pixel data, the offset table first (PS3.5 annex A.4).
pub(super) fn fragments<'a>(value: Value<'a>) -> Result<Vec<&'a [u8]>, DecodeError> {
    let mut cursor = Cursor { bytes: value.bytes, at: 0, encoding: Encoding::EXPLICIT_LITTLE };
    let mut fragments = Vec::new();
    while cursor.at < value.bytes.len() {
        let header = cursor.header()?;
        if header.tag != tags::ITEM || header.length == UNDEFINED {
            return Err(malformed("the pixel data (7FE0,0010) are not fragments"));
        }
        fragments.push(cursor.take(header.length as usize)?);
    }
    Ok(fragments)
}
