//! The structure of a DICOM Part 10 file: preamble, file meta information, data elements
//! (DICOM PS3.10 and PS3.5 section 7).
//!
//! Only the handful of attributes that decide how pixels look are picked out; all others, the
//! patient's among them, are stepped over and never leave the request's bytes. General DICOM
//! readers build the whole tree of nested sequences by recursion and reserve what a length field
//! claims, so a small hostile file ends the process. This reader walks the bytes it was given with
//! a loop, borrows every value from them, and allocates for neither length nor depth.

use std::collections::BTreeMap;

use super::malformed;
use crate::decode::DecodeError;

/// Group and element number of an attribute, e.g. `0x0028_0010` for (0028,0010) Rows.
pub(super) type Tag = u32;

/// Attributes that are kept, all others are stepped over.
pub(super) mod tags {
    use super::Tag;

    pub const TRANSFER_SYNTAX: Tag = 0x0002_0010;
    pub const MODALITY: Tag = 0x0008_0060;
    pub const BODY_PART: Tag = 0x0018_0015;
    pub const SAMPLES_PER_PIXEL: Tag = 0x0028_0002;
    pub const PHOTOMETRIC: Tag = 0x0028_0004;
    pub const PLANAR: Tag = 0x0028_0006;
    pub const FRAMES: Tag = 0x0028_0008;
    pub const ROWS: Tag = 0x0028_0010;
    pub const COLUMNS: Tag = 0x0028_0011;
    pub const BITS_ALLOCATED: Tag = 0x0028_0100;
    pub const BITS_STORED: Tag = 0x0028_0101;
    pub const HIGH_BIT: Tag = 0x0028_0102;
    pub const SIGNED: Tag = 0x0028_0103;
    pub const PADDING: Tag = 0x0028_0120;
    pub const PADDING_LIMIT: Tag = 0x0028_0121;
    pub const WINDOW_CENTRE: Tag = 0x0028_1050;
    pub const WINDOW_WIDTH: Tag = 0x0028_1051;
    pub const INTERCEPT: Tag = 0x0028_1052;
    pub const SLOPE: Tag = 0x0028_1053;
    pub const VOI_FUNCTION: Tag = 0x0028_1056;
    pub const PALETTE_DESCRIPTORS: [Tag; 3] = [0x0028_1101, 0x0028_1102, 0x0028_1103];
    pub const PALETTES: [Tag; 3] = [0x0028_1201, 0x0028_1202, 0x0028_1203];
    pub const MODALITY_LUTS: Tag = 0x0028_3000;
    pub const LUT_DESCRIPTOR: Tag = 0x0028_3002;
    pub const LUT_DATA: Tag = 0x0028_3006;
    pub const VOI_LUTS: Tag = 0x0028_3010;
    pub const FRAME_VOI: Tag = 0x0028_9132;
    pub const PIXEL_TRANSFORMATION: Tag = 0x0028_9145;
    pub const PRESENTATION_SHAPE: Tag = 0x2050_0020;
    pub const SHARED_GROUPS: Tag = 0x5200_9229;
    pub const FRAME_GROUPS: Tag = 0x5200_9230;
    pub const EXTENDED_OFFSETS: Tag = 0x7fe0_0001;
    pub const FLOAT_PIXELS: Tag = 0x7fe0_0008;
    pub const DOUBLE_PIXELS: Tag = 0x7fe0_0009;
    pub const PIXELS: Tag = 0x7fe0_0010;

    /// Groups of which every attribute is kept (image pixel, presentation, functional
    /// groups, pixel data).
    pub const GROUPS: [u32; 4] = [0x0028, 0x2050, 0x5200, 0x7fe0];

    /// Study Instance UID.
    pub const STUDY: Tag = 0x0020_000d;
    /// Attributes of other groups that are kept: what the file says that it is.
    pub const IDENTITY: [Tag; 3] = [MODALITY, BODY_PART, STUDY];

    pub const ITEM: Tag = 0xfffe_e000;
    pub const ITEM_END: Tag = 0xfffe_e00d;
    pub const SEQUENCE_END: Tag = 0xfffe_e0dd;
}

/// Length field of a value whose end is marked by a delimiter.
const UNDEFINED: u32 = u32::MAX;

/// Sequences inside sequences that are followed; real files have a handful.
const MAX_DEPTH: usize = 64;

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
    fn inside(self, vr: Option<[u8; 2]>) -> Encoding {
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

    fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
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

/// The attributes that were kept, of a data set or of an item of a sequence.
#[derive(Debug)]
pub(super) struct DataSet<'a> {
    values: BTreeMap<Tag, Value<'a>>,
    encoding: Encoding,
}

/// The name people know an attribute by.
fn shown(tag: Tag) -> String {
    format!("({:04X},{:04X})", tag >> 16, tag & 0xffff)
}

/// A position in the file.
#[derive(Clone)]
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    encoding: Encoding,
}

struct Header {
    tag: Tag,
    vr: Option<[u8; 2]>,
    length: u32,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
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

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn tag(&mut self) -> Result<Tag, DecodeError> {
        let group = self.array()?;
        let element = self.array()?;
        Ok(u32::from(self.encoding.u16(group)) << 16 | u32::from(self.encoding.u16(element)))
    }

    fn header(&mut self) -> Result<Header, DecodeError> {
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

    /// Takes an element's value. One of undefined length is walked to its delimiter, which is
    /// left out.
    fn value(&mut self, header: &Header) -> Result<Value<'a>, DecodeError> {
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
                let encoding = inside(self.encoding, header.vr);
                stack.push((open, encoding));
            } else {
                return Err(malformed(format!(
                    "sequences nested deeper than {MAX_DEPTH} levels, at byte {start}"
                )));
            }
        }
        Ok(self.at)
    }
}

/// Reads the preamble and the file meta information: the transfer syntax UID if there is one, and
/// where the data set begins. Files without the preamble, or without either, are read as well.
pub(super) fn read_meta(file: &[u8]) -> Result<(Option<String>, &[u8]), DecodeError> {
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

impl<'a> DataSet<'a> {
    /// Reads elements up to the pixel data, the end of the bytes or the end of an item.
    pub fn read(bytes: &'a [u8], encoding: Encoding) -> Result<DataSet<'a>, DecodeError> {
        let mut set = DataSet { values: BTreeMap::new(), encoding };
        set.collect(bytes)?;
        Ok(set)
    }

    /// Reads the whole elements of a data set of which `bytes` are the beginning.
    pub fn beginning(bytes: &'a [u8], encoding: Encoding) -> DataSet<'a> {
        let mut set = DataSet { values: BTreeMap::new(), encoding };
        // The element that is cut off ends the walk; what is broken is found when all is read.
        let _ = set.collect(bytes);
        set
    }

    fn collect(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let mut cursor = Cursor { bytes, at: 0, encoding: self.encoding };
        while cursor.at < bytes.len() {
            let header = cursor.header()?;
            if header.tag == tags::ITEM_END {
                break;
            }
            let value = cursor.value(&header)?;
            if tags::GROUPS.contains(&(header.tag >> 16)) || tags::IDENTITY.contains(&header.tag) {
                self.values.entry(header.tag).or_insert(value);
            }
            if header.tag == tags::PIXELS {
                break;
            }
        }
        Ok(())
    }

    /// The value of an attribute that is there and not empty.
    pub fn value(&self, tag: Tag) -> Option<Value<'a>> {
        self.values.get(&tag).copied().filter(|value| !value.bytes.is_empty())
    }

    /// 16-bit whole numbers (US or SS, sign not yet given), `None` where there are none.
    pub fn words(&self, tag: Tag) -> Option<Vec<u16>> {
        let encoding = self.encoding;
        self.value(tag)
            .map(|value| value.bytes.as_chunks::<2>().0.iter().map(|&pair| encoding.u16(pair)).collect())
    }

    /// One unsigned 16-bit number.
    pub fn word(&self, tag: Tag) -> Option<u16> {
        let value = self.value(tag)?;
        let pair = value.bytes.get(..2)?.try_into().ok()?;
        Some(self.encoding.u16(pair))
    }

    /// One unsigned 16-bit number that must be there.
    pub fn required(&self, tag: Tag, name: &str) -> Result<u16, DecodeError> {
        self.word(tag).ok_or_else(|| malformed(format!("{name} {} is missing", shown(tag))))
    }

    /// A coded word: its letters and digits, in capitals.
    pub fn word_of(&self, tag: Tag) -> Option<String> {
        let text = self.text(tag)?;
        let letters = text.chars().filter(char::is_ascii_alphanumeric);
        Some(letters.map(|letter| letter.to_ascii_uppercase()).collect())
            .filter(|word: &String| !word.is_empty())
    }

    /// Text, without its padding.
    pub fn text(&self, tag: Tag) -> Option<String> {
        self.value(tag).map(|value| String::from_utf8_lossy(value.bytes).trim_matches(['\0', ' ']).to_owned())
    }

    /// The first of the decimal numbers in an attribute.
    pub fn number(&self, tag: Tag, name: &str) -> Result<Option<f64>, DecodeError> {
        let Some(text) = self.text(tag) else {
            return Ok(None);
        };
        let first = text.split('\\').next().unwrap_or_default().trim();
        if first.is_empty() {
            return Ok(None);
        }
        match first.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(malformed(format!("{name} {} is not a number", shown(tag)))),
        }
    }

    /// Item `index` (from 0) of a sequence, if there is one.
    pub fn item(&self, tag: Tag, index: usize) -> Result<Option<DataSet<'a>>, DecodeError> {
        let Some(value) = self.value(tag) else {
            return Ok(None);
        };
        let encoding = self.encoding.inside(value.vr);
        let mut cursor = Cursor { bytes: value.bytes, at: 0, encoding };
        for at in 0.. {
            if cursor.at == value.bytes.len() {
                break;
            }
            let header = cursor.header()?;
            if header.tag == tags::SEQUENCE_END {
                break;
            }
            if header.tag != tags::ITEM {
                return Err(malformed(format!("{} holds no items", shown(tag))));
            }
            let item = if header.length == UNDEFINED {
                let start = cursor.at;
                cursor.skip_item()?;
                &value.bytes[start..cursor.at]
            } else {
                cursor.take(header.length as usize)?
            };
            if at == index {
                return DataSet::read(item, encoding.shown(item)).map(Some);
            }
        }
        Ok(None)
    }
}

impl Cursor<'_> {
    /// Steps behind the delimiter of an item of undefined length.
    fn skip_item(&mut self) -> Result<(), DecodeError> {
        loop {
            let header = self.header()?;
            if header.tag == tags::ITEM_END {
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
