//! The attributes that were kept of a data set, and their values as numbers, words and items.

use std::collections::BTreeMap;

use super::cursor::{Cursor, Encoding, UNDEFINED, Value};
use super::malformed;
use super::tags::{self, Tag, shown};
use crate::decode::DecodeError;

/// Whether an attribute says how pixels look, or what the file is.
fn is_kept(tag: Tag) -> bool {
    tags::GROUPS.contains(&(tag >> 16)) || tags::SPACINGS.contains(&tag) || tags::IDENTITY.contains(&tag)
}

/// The attributes that were kept, of a data set or of an item of a sequence.
#[derive(Debug)]
pub(super) struct DataSet<'a> {
    values: BTreeMap<Tag, Value<'a>>,
    encoding: Encoding,
    /// The attribute of pixels that begins first, where it says how long it is: those are in no fragments, even where they are cut off.
    pub native: Option<Tag>,
}

impl<'a> DataSet<'a> {
    /// Reads elements up to the pixel data, the end of the bytes or the end of an item.
    pub fn read(bytes: &'a [u8], encoding: Encoding) -> Result<DataSet<'a>, DecodeError> {
        let mut set = DataSet { values: BTreeMap::new(), encoding, native: None };
        set.collect(bytes, is_kept)?;
        Ok(set)
    }

    /// Reads the whole elements of a data set of which `bytes` are the beginning.
    pub fn beginning(bytes: &'a [u8], encoding: Encoding) -> DataSet<'a> {
        DataSet::of(bytes, encoding, is_kept)
    }

    /// As [`DataSet::beginning`], of other attributes than those of the pixels.
    pub fn of(bytes: &'a [u8], encoding: Encoding, keep: impl Fn(Tag) -> bool) -> DataSet<'a> {
        let mut set = DataSet { values: BTreeMap::new(), encoding, native: None };
        // The element that is cut off ends the walk; what is broken is found when all is read.
        let _ = set.collect(bytes, keep);
        set
    }

    fn collect(&mut self, bytes: &'a [u8], keep: impl Fn(Tag) -> bool) -> Result<(), DecodeError> {
        let mut cursor = Cursor { bytes, at: 0, encoding: self.encoding };
        while cursor.at < bytes.len() {
            let header = cursor.header()?;
            if header.tag == tags::ITEM_END {
                break;
            }
            let pixels = matches!(header.tag, tags::PIXELS | tags::FLOAT_PIXELS | tags::DOUBLE_PIXELS);
            if pixels && header.length != UNDEFINED {
                self.native = self.native.or(Some(header.tag));
            }
            let value = match pixels && cursor.bytes.len() - cursor.at + 1 == header.length as usize {
                // Without the byte that makes their length even. Whether they are all there is seen by the size of the picture.
                true => cursor.rest(header.vr),
                false => cursor.value(&header)?,
            };
            if keep(header.tag) {
                self.values.entry(header.tag).or_insert(value);
            }
            if pixels {
                // Nothing is expected behind the pixels, but for what says how they lie where a writer did not sort.
                if !self.values.contains_key(&tags::ROWS) {
                    self.unsorted(cursor, keep);
                }
                break;
            }
        }
        Ok(())
    }

    /// Collects what follows the pixels, as far as it is elements.
    fn unsorted(&mut self, mut cursor: Cursor<'a>, keep: impl Fn(Tag) -> bool) {
        while cursor.at < cursor.bytes.len() {
            let Ok(header) = cursor.header() else { return };
            let Ok(value) = cursor.value(&header) else { return };
            if keep(header.tag) {
                self.values.entry(header.tag).or_insert(value);
            }
        }
    }

    /// All that were kept, in the order of their tags.
    pub fn values(&self) -> impl Iterator<Item = (Tag, &'a [u8])> {
        self.values.iter().map(|(tag, value)| (*tag, value.bytes))
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

    /// The number that fills the frame around a picture of floating-point numbers.
    pub fn float_padding(&self) -> Option<f64> {
        if let Some(value) = self.value(tags::FLOAT_PADDING) {
            return value.bytes.first_chunk().map(|&four| f32::from_bits(self.encoding.u32(four)).into());
        }
        let value = self.value(tags::DOUBLE_PADDING)?;
        value.bytes.first_chunk().map(|&eight| f64::from_bits(self.encoding.u64(eight)))
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
        let none = || malformed(format!("{name} {} is not a number", shown(tag)));
        decimal(first).map(Some).ok_or_else(none)
    }

    /// All decimal numbers in an attribute, in their places, and `None` in the place of what is no number.
    pub fn numbers(&self, tag: Tag) -> Vec<Option<f64>> {
        let text = self.text(tag).unwrap_or_default();
        text.split('\\').map(|value| decimal(value.trim())).collect()
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

/// A finite decimal number, also with a comma for the point or a unit behind it, as some devices write.
fn decimal(text: &str) -> Option<f64> {
    let text = text.replacen(',', ".", 1);
    let plain = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    // "2000HU" is a number with something behind it; "inf" is none.
    let number = text.find(|c| !plain(c)).map_or(text.as_str(), |end| &text[..end]);
    number.trim_end_matches(['e', 'E']).parse().ok().filter(|number: &f64| number.is_finite())
}
