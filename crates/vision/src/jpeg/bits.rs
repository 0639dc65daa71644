//! Entropy-coded bits of a JPEG scan, and its Huffman codes (ITU-T T.81 annexes C and F).
//!
//! Behind the last byte of a scan zeros are read, but only as look-ahead: a decoder that uses one of
//! them has a file from which something is missing, and gets an error.

use super::malformed;
use crate::decode::DecodeError;

/// Bits of a scan, the most significant of each byte first, without stuffed bytes.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, from the top down.
    held: u64,
    count: u32,
    /// How many of the held ones stand for bytes that are not there.
    padding: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Bits<'a> {
        Bits { bytes, at, held: 0, count: 0, padding: 0 }
    }

    /// Holds at least 32 bits.
    fn fill(&mut self) {
        while self.count <= 48 {
            let byte = match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
                (Some(0xff), Some(0)) => {
                    self.at += 2;
                    0xff
                }
                (Some(&byte), _) if byte != 0xff => {
                    self.at += 1;
                    byte
                }
                _ => {
                    self.padding += 8;
                    0
                }
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next `count` bits, 1 to 16, of those held.
    fn peek(&self, count: u32) -> usize {
        (self.held >> (64 - count)) as usize
    }

    fn skip(&mut self, count: u32) -> Result<(), DecodeError> {
        self.held <<= count;
        self.count -= count;
        if self.count < self.padding { Err(malformed("the file is truncated within a scan")) } else { Ok(()) }
    }

    /// A number of `count` bits, 0 to 16.
    pub fn take(&mut self, count: u32) -> Result<i32, DecodeError> {
        if count == 0 {
            return Ok(0);
        }
        self.fill();
        let value = self.peek(count) as i32;
        self.skip(count)?;
        Ok(value)
    }

    /// A difference of `size` bits, 0 to 15: one that begins with 0 is negative.
    pub fn difference(&mut self, size: u32) -> Result<i32, DecodeError> {
        let value = self.take(size)?;
        Ok(if size > 0 && value < 1 << (size - 1) { value - (1 << size) + 1 } else { value })
    }

    /// Steps behind restart marker `number` (modulo 8), which must come next. Codes that are left over
    /// before it mean that the interval is damaged: decoders go on behind the marker and say nothing.
    pub fn restart(&mut self, number: u32) -> Result<(), DecodeError> {
        let at = self.end();
        if self.bytes.get(at + 1) != Some(&(0xd0 + (number % 8) as u8)) {
            return Err(malformed("a restart marker is missing"));
        }
        if self.left_over(at) > 0 {
            return Err(malformed("it is damaged before a restart marker"));
        }
        *self = Bits::new(self.bytes, at + 2);
        Ok(())
    }

    /// Where the next marker begins, once the last code of a scan is read. A few bytes may be left over,
    /// which some writers leave there; more of them mean that codes were misread.
    pub fn finish(&self) -> Result<usize, DecodeError> {
        let end = self.end();
        if self.left_over(end) > STRAY {
            return Err(malformed("a scan is damaged: it holds more than its blocks"));
        }
        Ok(end)
    }

    /// Whole bytes of codes before the marker at `end` that were not read, without bytes that fill up.
    fn left_over(&self, end: usize) -> usize {
        let ahead = self.bytes.get(self.at..end).unwrap_or_default();
        (self.count - self.padding) as usize / 8 + ahead.iter().filter(|&&byte| byte != 0xff).count()
    }

    /// Where the next marker begins.
    pub fn end(&self) -> usize {
        let mut at = self.at;
        while let Some(pair) = self.bytes.get(at..at + 2) {
            if pair[0] == 0xff && !matches!(pair[1], 0 | 0xff) {
                break;
            }
            at += 1;
        }
        at
    }
}

/// So many bytes behind the last code of a scan are no sign of damage.
const STRAY: usize = 16;

/// Codes of up to this many bits are found by one look-up.
const FAST: u32 = 10;

/// A Huffman table.
#[derive(Clone)]
pub(super) struct Huffman {
    /// Length and symbol of the code that these bits begin with; a length of 0 for longer codes.
    fast: Vec<(u8, u8)>,
    /// For each length: one more than the last code, and what leads from a code to its symbol.
    ends: [i32; 17],
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// Reads a table of a DHT segment; gives what is behind it.
    pub fn read(body: &[u8]) -> Result<(Huffman, &[u8]), DecodeError> {
        let broken = || malformed("a Huffman table is broken");
        let (counts, rest) = body.split_first_chunk::<16>().ok_or_else(broken)?;
        let total = counts.iter().map(|&count| usize::from(count)).sum();
        let symbols = rest.get(..total).ok_or_else(broken)?.to_vec();
        let mut table = Huffman { fast: vec![(0, 0); 1 << FAST], ends: [0; 17], offsets: [0; 17], symbols };
        let (mut code, mut index) = (0i32, 0i32);
        for length in 1..=16u32 {
            let count = i32::from(counts[length as usize - 1]);
            table.offsets[length as usize] = index - code;
            for _ in 0..count {
                if length <= FAST {
                    let start = (code as usize) << (FAST - length);
                    let same = table.fast.get_mut(start..start + (1 << (FAST - length)));
                    same.ok_or_else(broken)?.fill((length as u8, table.symbols[index as usize]));
                }
                code += 1;
                index += 1;
            }
            if code > 1 << length {
                return Err(broken());
            }
            table.ends[length as usize] = code;
            code <<= 1;
        }
        Ok((table, &rest[total..]))
    }

    /// The next symbol.
    pub fn decode(&self, bits: &mut Bits<'_>) -> Result<u8, DecodeError> {
        bits.fill();
        let (length, symbol) = self.fast[bits.peek(FAST)];
        if length > 0 {
            bits.skip(u32::from(length))?;
            return Ok(symbol);
        }
        for length in FAST + 1..=16 {
            let code = bits.peek(length) as i32;
            if code < self.ends[length as usize] {
                let index = usize::try_from(code + self.offsets[length as usize]);
                let symbol = index.ok().and_then(|index| self.symbols.get(index));
                bits.skip(length)?;
                return symbol.copied().ok_or_else(|| malformed("a Huffman code has no meaning"));
            }
        }
        Err(malformed("a Huffman code has no meaning"))
    }
}

/// The tables of a file, as its DHT segments define them one after the other.
#[derive(Default)]
pub(super) struct Tables {
    /// For differences (DC, and all of lossless coding) and for AC coefficients.
    classes: [[Option<Huffman>; 4]; 2],
}

impl Tables {
    pub fn define(&mut self, mut body: &[u8]) -> Result<(), DecodeError> {
        while let Some((&which, rest)) = body.split_first() {
            let (class, slot) = (usize::from(which >> 4), usize::from(which & 15));
            let (table, rest) = Huffman::read(rest)?;
            let place = self.classes.get_mut(class).and_then(|class| class.get_mut(slot));
            *place.ok_or_else(|| malformed("a Huffman table has a number that none may have"))? = Some(table);
            body = rest;
        }
        Ok(())
    }

    pub fn get(&self, class: usize, slot: u8) -> Result<&Huffman, DecodeError> {
        let table = self.classes[class].get(usize::from(slot)).and_then(Option::as_ref);
        table.ok_or_else(|| malformed(format!("Huffman table {slot} is used and not defined")))
    }
}
