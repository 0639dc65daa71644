//! PALETTE COLOR: three tables from a stored value to red, green and blue (PS3.3 sections C.7.6.3.1.5
//! and C.7.9), plain or in segments.

use super::dataset::DataSet;
use super::malformed;
use super::pixels::Layout;
use super::table::Table;
use super::tags;
use crate::decode::DecodeError;

/// Most entries that a table has.
const MOST: usize = 65_536;

/// The colours of codes, red, green and blue of 16 bits each.
pub(super) fn colours(set: &DataSet<'_>, layout: &Layout, codes: &[u16]) -> Result<Vec<u16>, DecodeError> {
    let mut tables = Vec::with_capacity(3);
    for channel in 0..3 {
        let descriptor = set.words(tags::PALETTE_DESCRIPTORS[channel]);
        let entries = match set.words(tags::PALETTES[channel]) {
            Some(entries) => entries,
            None => match set.words(tags::SEGMENTED_PALETTES[channel]) {
                Some(segments) => expand(segments, descriptor.as_deref())?,
                None => {
                    return Err(malformed(
                        "PALETTE COLOR pixels without palettes, (0028,1201) to (0028,1203) or (0028,1221) to (0028,1223)",
                    ));
                }
            },
        };
        tables.push(Table::new(descriptor, entries, layout.signed)?);
    }
    // Writers of 8-bit palettes leave the 16 bits of the descriptor as they were.
    if tables.iter().all(|table| table.entries.iter().all(|&entry| entry <= 255)) {
        tables.iter_mut().for_each(|table| table.full = table.full.min(255.0));
    }
    // White is the same in all three.
    let full = tables.iter().map(|table| table.full).fold(0.0, f64::max);
    tables.iter_mut().for_each(|table| table.full = full);
    let mut out = Vec::with_capacity(codes.len() * 3);
    for &code in codes {
        let value = f64::from(layout.value(code));
        for table in &tables {
            out.push((table.at(value) / table.full * f64::from(u16::MAX)).round() as u16);
        }
    }
    Ok(out)
}

/// The entries that the segments of a palette stand for (PS3.3 section C.7.9.2).
fn expand(words: Vec<u16>, descriptor: Option<&[u16]>) -> Result<Vec<u16>, DecodeError> {
    // Palettes of eight bits have segments of bytes.
    let bytes = descriptor.and_then(|three| three.get(2)).is_some_and(|&bits| bits <= 8);
    let words: Vec<u16> = match bytes {
        true => words.iter().flat_map(|pair| pair.to_le_bytes()).map(u16::from).collect(),
        false => words,
    };
    let mut entries = Vec::new();
    // Each entry takes a segment at most, and an indirect one stands for others, which are plain.
    segments(&words, 0, usize::MAX, bytes, true, (&mut entries, &mut 0))?;
    Ok(entries)
}

/// Expands at most `count` segments from `at` on; `walked` are those that were, of which there are no more than entries.
fn segments(
    words: &[u16],
    mut at: usize,
    count: usize,
    bytes: bool,
    outer: bool,
    (entries, walked): (&mut Vec<u16>, &mut usize),
) -> Result<(), DecodeError> {
    let broken = || malformed("a segmented palette is broken");
    for _ in 0..count {
        let Some(&[kind, length]) = words.get(at..at + 2) else {
            // A byte that fills up the last word may be left.
            return if outer && words.len() - at.min(words.len()) < 2 { Ok(()) } else { Err(broken()) };
        };
        let length = usize::from(length);
        at += 2;
        *walked += 1;
        if length == 0 || *walked > MOST {
            return Err(broken());
        }
        match kind {
            // As they are.
            0 => {
                entries.extend_from_slice(words.get(at..at + length).ok_or_else(broken)?);
                at += length;
            }
            // A straight line from the entry before to the one given.
            1 => {
                let end = f64::from(*words.get(at).ok_or_else(broken)?);
                let start = f64::from(*entries.last().ok_or_else(broken)?);
                let step = (end - start) / length as f64;
                entries
                    .extend((1..=length).map(|index| (start + step * index as f64).round_ties_even() as u16));
                at += 1;
            }
            // Segments that are there already, from a byte on.
            2 if outer => {
                let parts = if bytes { 4 } else { 2 };
                let offset = words.get(at..at + parts).ok_or_else(broken)?.iter().rev();
                let offset =
                    offset.fold(0usize, |sum, &part| sum << if bytes { 8 } else { 16 } | usize::from(part));
                let start = if bytes { offset } else { offset / 2 };
                segments(words, start, length, bytes, false, (entries, walked))?;
                at += parts;
            }
            _ => return Err(broken()),
        }
        if entries.len() > MOST {
            return Err(broken());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn a_palette_of_segments_without_entries_is_refused_before_it_takes_time() {
        let sound = vec![0, 2, 7, 9, 1, 2, 11, 2, 1, 0, 0];
        assert_eq!(expand(sound, Some(&[6, 0, 16])).unwrap(), [7, 9, 10, 11, 7, 9]);
        assert!(expand(vec![0, 0], Some(&[1, 0, 16])).is_err());
        // Each of many segments stands for as many others.
        let plain = [0, 1, 5].repeat(20_000);
        let all = [2, 20_000, 0, 0].repeat(20_000);
        assert!(expand([plain, all].concat(), Some(&[1, 0, 16])).is_err());
    }
}
