//! The segments of a JPEG file one after the other, and what a scan header says.

use super::malformed;
use crate::decode::DecodeError;

/// Walks the segments behind the start-of-image marker.
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    /// Where the next is looked for. Behind a scan header the caller moves it behind the scan.
    pub at: usize,
}

impl<'a> Segments<'a> {
    pub fn new(bytes: &'a [u8]) -> Segments<'a> {
        Segments { bytes, at: 2 }
    }

    /// The next marker's code and its segment; nothing at the end of the image. Fill bytes may stand
    /// before a marker, and some writers leave a few others behind a segment; they are passed over.
    pub fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, DecodeError> {
        let truncated = || malformed("the file is truncated");
        loop {
            let at = self.at;
            match self.bytes.get(at..at + 2).ok_or_else(truncated)? {
                [0xff, 0xd9] => return Ok(None),
                [0xff, 0 | 1 | 0xd0..=0xd8] => self.at += 2,
                &[0xff, marker] if marker != 0xff => {
                    let length = match self.bytes.get(at + 2..at + 4) {
                        Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
                        _ => return Err(truncated()),
                    };
                    if length < 2 {
                        return Err(malformed(format!("a segment of length {length} at byte {at}")));
                    }
                    self.at = at + 2 + length;
                    let body = self.bytes.get(at + 4..self.at).ok_or_else(truncated)?;
                    return Ok(Some((marker, body)));
                }
                _ => self.at += 1,
            }
        }
    }
}

/// A component in a scan, and the numbers of its Huffman tables.
pub(super) struct Part {
    pub component: usize,
    pub dc: u8,
    pub ac: u8,
}

/// A scan header (ITU-T T.81 section B.2.3).
pub(super) struct Scan {
    pub parts: Vec<Part>,
    /// First and last coefficient, or in lossless coding the predictor.
    pub first: u8,
    pub last: u8,
    /// Bits below those coded: of the scan before, and of this one (the point transform).
    pub high: u8,
    pub low: u8,
}

impl Scan {
    /// `ids` are the identifiers of the frame's components.
    pub fn read(body: &[u8], ids: &[u8]) -> Result<Scan, DecodeError> {
        let broken = || malformed("a scan header is broken");
        let (&count, rest) = body.split_first().ok_or_else(broken)?;
        let count = usize::from(count);
        let (pairs, tail) = rest.split_at_checked(2 * count).ok_or_else(broken)?;
        let &[first, last, approximation, ..] = tail else { return Err(broken()) };
        let mut parts: Vec<Part> = Vec::with_capacity(count);
        for &[id, tables] in pairs.as_chunks::<2>().0 {
            let component = ids.iter().position(|&other| other == id).ok_or_else(broken)?;
            if parts.iter().any(|part| part.component == component) {
                return Err(broken());
            }
            parts.push(Part { component, dc: tables >> 4, ac: tables & 15 });
        }
        if parts.is_empty() || parts.len() > 4 {
            return Err(broken());
        }
        Ok(Scan { parts, first, last, high: approximation >> 4, low: approximation & 15 })
    }
}
