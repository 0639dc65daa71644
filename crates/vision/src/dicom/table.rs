//! Look-up tables of a data set: of the modality, of the values of interest, and of a palette.

use super::dataset::DataSet;
use super::malformed;
use super::tags::{self, Tag};
use crate::decode::DecodeError;

/// A look-up table of the data set (PS3.3 sections C.11.1.1 and C.11.2.1.1).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    /// The value that the first entry is for.
    pub first: i32,
    pub entries: Vec<u16>,
    /// The largest value an entry may have.
    pub full: f64,
}

impl Table {
    /// Reads item 0 of a sequence of tables, for input from the least to the greatest number that there may be. The
    /// first value that a table is for is signed if the input is (PS3.3 C.11.2.1.1).
    pub fn read(
        set: &DataSet<'_>,
        sequence: Tag,
        (least, greatest): (f64, f64),
    ) -> Result<Option<Table>, DecodeError> {
        let Some(item) = set.item(sequence, 0)? else {
            return Ok(None);
        };
        // An item that holds no table says nothing, and neither does one for the eye alone that does not say of which values it
        // is, as DCMTK has it. Without the table of the modality the numbers would be other ones.
        let is_table = |descriptor: &Vec<u16>| sequence != tags::VOI_LUTS || descriptor.len() == 3;
        match (item.words(tags::LUT_DESCRIPTOR).filter(is_table), item.words(tags::LUT_DATA)) {
            (Some(descriptor), Some(entries)) => {
                let first = descriptor.get(1).copied().map_or(0.0, f64::from);
                // An explicit VR says which it is; US only where such a number can come.
                let signed = match item.value(tags::LUT_DESCRIPTOR).and_then(|value| value.vr) {
                    Some([b'S', b'S']) => true,
                    Some([b'U', b'S']) => least < 0.0 && first > greatest,
                    _ => least < 0.0,
                };
                Table::new(Some(descriptor), entries, signed).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// `descriptor` is the number of entries (0 for 65,536), the first value and the bits.
    pub fn new(
        descriptor: Option<Vec<u16>>,
        mut entries: Vec<u16>,
        signed: bool,
    ) -> Result<Table, DecodeError> {
        let Some(&[count, first, bits]) = descriptor.as_deref() else {
            return Err(malformed("a look-up table has no descriptor of three numbers"));
        };
        let count = if count == 0 { 65_536 } else { usize::from(count) };
        let bits = if (1..=16).contains(&bits) { bits } else { 16 };
        let packed = entries.len() == count.div_ceil(2) && count > 1;
        let bits = if packed { bits.min(8) } else { bits };
        if packed {
            // Entries of eight bits may come two in a word, the first one low; some such tables say that they have sixteen.
            entries = entries.iter().flat_map(|pair| pair.to_le_bytes()).map(u16::from).collect();
        }
        // Some writers count one too many; values beyond the end take the last entry.
        let count = if entries.len() + 1 == count { entries.len() } else { count };
        if entries.len() < count || count == 0 {
            return Err(malformed(format!(
                "a look-up table announces {count} entries and has {}",
                entries.len()
            )));
        }
        entries.truncate(count);
        // Entries of more bits than are announced: white is what they all fit in. One that is a single level beyond
        // is a rounding of the writer's.
        let greatest = u32::from(entries.iter().copied().max().unwrap_or(0));
        let full = u32::from(u16::MAX >> (16 - bits));
        let full = if greatest > full + 1 { (greatest + 1).next_power_of_two() - 1 } else { full };
        Ok(Table {
            first: if signed { i32::from(first as i16) } else { i32::from(first) },
            entries,
            full: f64::from(full),
        })
    }

    /// The entry for a value; values beyond the ends take the ends' entries.
    pub fn at(&self, value: f64) -> f64 {
        let last = self.entries.len() - 1;
        let index = (value.round() - f64::from(self.first)).clamp(0.0, last as f64);
        f64::from(self.entries[index as usize])
    }
}
