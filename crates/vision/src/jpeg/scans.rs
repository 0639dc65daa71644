//! The scans of a baseline, extended or progressive JPEG, code by code (ITU-T T.81 annexes F and G).
//!
//! Two things are made of them. Every file is walked once without keeping anything, to find whether
//! all of the picture is there: decoders draw what is missing in grey and call it a success. And of
//! the files that the usual decoder does not read (12 bits, components in scans apart) the
//! coefficients are kept, of progressive ones bit by bit.

use super::bits::{Bits, Huffman, Tables};
use super::segments::{Scan, Segments};
use super::{Header, malformed};
use crate::decode::DecodeError;

/// From the order of coding to rows of eight.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// How often each block is coded at most, on average: once for each bit of a coefficient or two, and again in scans of their
/// own, as the most thorough encoders do. What comes oftener is there to take time.
const PASSES: usize = 48;

/// A component of the frame.
pub(super) struct Component {
    pub id: u8,
    /// Sampling factors across and down.
    pub across: usize,
    pub down: usize,
    quantization: usize,
    /// Blocks that hold samples of the picture, and blocks with those that fill up the last units.
    pub blocks: [usize; 2],
    pub stride: usize,
    rows: usize,
    /// Coefficients by block, in rows of eight, without quantization steps. Empty unless kept.
    pub coefficients: Vec<i32>,
    /// The coefficients of each block that are not zero, by order of coding (progressive only).
    nonzero: Vec<u64>,
    /// Bits below those that were coded, of each coefficient; 255 before its first scan.
    missing: [u8; 64],
    prediction: i32,
}

/// A frame and what is known of its scans.
pub(super) struct Frame {
    pub components: Vec<Component>,
    pub across: usize,
    pub down: usize,
    progressive: bool,
    keep: bool,
    quantization: [Option<[u16; 64]>; 4],
    interval: usize,
}

impl Frame {
    /// Walks all scans of a file. With `keep` the coefficients stay.
    pub fn read(bytes: &[u8], header: &Header, keep: bool) -> Result<Frame, DecodeError> {
        let mut frame = Frame {
            components: Vec::new(),
            across: 1,
            down: 1,
            progressive: false,
            keep,
            quantization: [None; 4],
            interval: 0,
        };
        let mut tables = Tables::default();
        let mut ids = Vec::new();
        let mut segments = Segments::new(bytes);
        let mut walked = 0;
        while let Some((marker, body)) = segments.next()? {
            match marker {
                0xc0..=0xc2 => {
                    frame.define(marker == 0xc2, body, header)?;
                    ids = frame.components.iter().map(|component| component.id).collect();
                }
                0xc4 => tables.define(body)?,
                0xdb if keep => frame.quantize(body)?,
                0xdd => frame.interval = super::restart_interval(body)?,
                0xda => {
                    let scan = Scan::read(body, &ids)?;
                    walked += frame.blocks(scan.parts.iter().map(|part| part.component));
                    if walked > PASSES * frame.blocks(0..frame.components.len()) {
                        return Err(malformed("it has more scans than its picture can need"));
                    }
                    let mut bits = Bits::new(bytes, segments.at);
                    frame.scan(&scan, &tables, &mut bits)?;
                    segments.at = bits.finish()?;
                }
                _ => {}
            }
        }
        let complete = frame.components.iter().all(|component| component.missing == [0; 64]);
        if !complete {
            return Err(malformed("the file is truncated: scans are missing"));
        }
        frame.finish()?;
        Ok(frame)
    }

    /// How many blocks these components have.
    fn blocks(&self, of: impl Iterator<Item = usize>) -> usize {
        of.filter_map(|at| self.components.get(at)).map(|one| one.stride * one.rows).sum()
    }

    /// Multiplies coefficients that came bit by bit with their quantization steps.
    fn finish(&mut self) -> Result<(), DecodeError> {
        if !(self.keep && self.progressive) {
            return Ok(());
        }
        for component in &mut self.components {
            let steps = component.steps(&self.quantization)?;
            for block in component.coefficients.as_chunks_mut::<64>().0 {
                for (&place, &step) in ZIGZAG.iter().zip(steps) {
                    let value = &mut block[usize::from(place)];
                    *value = value.wrapping_mul(i32::from(step));
                }
            }
        }
        Ok(())
    }

    fn define(&mut self, progressive: bool, body: &[u8], header: &Header) -> Result<(), DecodeError> {
        if !self.components.is_empty() {
            return Err(malformed("it has two frame headers"));
        }
        let each = body.get(6..).unwrap_or_default().as_chunks::<3>().0;
        let factors =
            each.iter().all(|one| (1..=4).contains(&(one[1] >> 4)) && (1..=4).contains(&(one[1] & 15)));
        if each.len() != usize::from(header.components) || each.is_empty() || !factors {
            return Err(malformed("its frame header is broken"));
        }
        self.progressive = progressive;
        self.across = each.iter().map(|one| usize::from(one[1] >> 4)).max().unwrap_or(1);
        self.down = each.iter().map(|one| usize::from(one[1] & 15)).max().unwrap_or(1);
        let (width, height) = (usize::from(header.width), usize::from(header.height));
        let units = [width.div_ceil(8 * self.across), height.div_ceil(8 * self.down)];
        for one in each {
            let (across, down) = (usize::from(one[1] >> 4), usize::from(one[1] & 15));
            let (stride, rows) = (units[0] * across, units[1] * down);
            let kept = if self.keep { stride * rows * 64 } else { 0 };
            let marked = if progressive { stride * rows } else { 0 };
            self.components.push(Component {
                id: one[0],
                across,
                down,
                quantization: usize::from(one[2]),
                blocks: [
                    (width * across).div_ceil(self.across).div_ceil(8),
                    (height * down).div_ceil(self.down).div_ceil(8),
                ],
                stride,
                rows,
                coefficients: vec![0; kept],
                nonzero: vec![0; marked],
                missing: [255; 64],
                prediction: 0,
            });
        }
        Ok(())
    }

    fn quantize(&mut self, mut body: &[u8]) -> Result<(), DecodeError> {
        let broken = || malformed("a quantization table is broken");
        while let Some((&which, rest)) = body.split_first() {
            let wide = which >> 4 != 0;
            let (steps, rest) = rest.split_at_checked(if wide { 128 } else { 64 }).ok_or_else(broken)?;
            let mut table = [0; 64];
            for (at, step) in table.iter_mut().enumerate() {
                *step = if wide {
                    u16::from_be_bytes([steps[2 * at], steps[2 * at + 1]])
                } else {
                    u16::from(steps[at])
                };
            }
            *self.quantization.get_mut(usize::from(which & 15)).ok_or_else(broken)? = Some(table);
            body = rest;
        }
        Ok(())
    }

    /// Reads the blocks of a scan in their order.
    fn scan(&mut self, scan: &Scan, tables: &Tables, bits: &mut Bits<'_>) -> Result<(), DecodeError> {
        let (first, last) = (usize::from(scan.first), usize::from(scan.last));
        let sound = if self.progressive {
            // DC and AC coefficients have scans of their own, AC of one component.
            first <= last && last < 64 && (first > 0 || last == 0) && (first == 0 || scan.parts.len() == 1)
        } else {
            true
        };
        if !sound || scan.low > 13 {
            return Err(malformed("a scan header is broken"));
        }
        // A sequential scan has all coefficients, whatever some writers say.
        let band = if self.progressive { first..=last } else { 0..=63 };
        for part in &scan.parts {
            let component = &mut self.components[part.component];
            component.prediction = 0;
            component.missing[band.clone()].fill(if self.progressive { scan.low } else { 0 });
        }
        let alone = scan.parts.len() == 1;
        let columns = if alone { self.components[scan.parts[0].component].blocks[0] } else { 0 };
        let (units, per_row) = if alone {
            (columns * self.components[scan.parts[0].component].blocks[1], columns)
        } else {
            let component = &self.components[scan.parts[0].component];
            let per_row = component.stride / component.across;
            (per_row * (component.rows / component.down), per_row)
        };
        let needs_ac = !self.progressive || first > 0;
        let mut chosen = Vec::with_capacity(scan.parts.len());
        for part in &scan.parts {
            let dc = if !self.progressive || first == 0 && scan.high == 0 {
                Some(tables.get(0, part.dc)?)
            } else {
                None
            };
            let ac = if needs_ac { Some(tables.get(1, part.ac)?) } else { None };
            chosen.push((part.component, dc, ac));
        }
        let mut run = 0u32;
        for unit in 0..units {
            if self.interval > 0 && unit > 0 && unit % self.interval == 0 {
                bits.restart((unit / self.interval - 1) as u32)?;
                run = 0;
                scan.parts.iter().for_each(|part| self.components[part.component].prediction = 0);
            }
            for &(index, dc, ac) in &chosen {
                let component = &mut self.components[index];
                let (across, down) = if alone { (1, 1) } else { (component.across, component.down) };
                let (column, row) = (unit % per_row * across, unit / per_row * down);
                for block in 0..across * down {
                    let at = (row + block / across) * component.stride + column + block % across;
                    match (self.progressive, dc, ac) {
                        (false, Some(dc), Some(ac)) => {
                            let steps = match self.keep {
                                true => Some(component.steps(&self.quantization)?),
                                false => None,
                            };
                            component.sequential(at, dc, ac, steps, bits)?;
                        }
                        (true, Some(dc), None) => {
                            let size = u32::from(dc.decode(bits)?);
                            let difference = bits.difference(size.min(15))?;
                            component.prediction = component.prediction.wrapping_add(difference);
                            component.keep(at, 0, component.prediction.wrapping_shl(u32::from(scan.low)));
                        }
                        (true, None, None) => {
                            let bit = bits.take(1)? << scan.low;
                            component.change(at, 0, |value| value | bit);
                        }
                        (true, _, Some(ac)) if scan.high == 0 => {
                            component.first(at, ac, first..=last, scan.low, &mut run, bits)?;
                        }
                        (true, _, Some(ac)) => {
                            component.refine(at, ac, first..=last, scan.low, &mut run, bits)?
                        }
                        _ => return Err(malformed("a scan header is broken")),
                    }
                }
            }
        }
        Ok(())
    }
}

/// A run of blocks without further coefficients: this one and what is given back.
fn end_of_band(run: u8, bits: &mut Bits<'_>) -> Result<u32, DecodeError> {
    Ok((1 << run) + bits.take(u32::from(run))? as u32 - 1)
}

impl Component {
    /// The quantization steps of this component, in the order of coding.
    fn steps<'a>(&self, tables: &'a [Option<[u16; 64]>; 4]) -> Result<&'a [u16; 64], DecodeError> {
        let table = tables.get(self.quantization).and_then(Option::as_ref);
        table.ok_or_else(|| malformed("a quantization table is missing"))
    }

    /// Changes coefficient `k` of a block, where coefficients are kept.
    fn change(&mut self, at: usize, k: usize, by: impl Fn(i32) -> i32) {
        if let Some(value) = self.coefficients.get_mut(64 * at + usize::from(ZIGZAG[k])) {
            *value = by(*value);
        }
    }

    fn keep(&mut self, at: usize, k: usize, value: i32) {
        self.change(at, k, |_| value);
    }

    /// Moves a coefficient that is not zero away from zero.
    fn more(&mut self, at: usize, k: usize, by: i32) {
        self.change(at, k, |value| value.wrapping_add(by * value.signum()));
    }

    /// All coefficients of a block; they are kept, times their steps, where there are `steps`.
    fn sequential(
        &mut self,
        at: usize,
        dc: &Huffman,
        ac: &Huffman,
        steps: Option<&[u16; 64]>,
        bits: &mut Bits<'_>,
    ) -> Result<(), DecodeError> {
        let size = u32::from(dc.decode(bits)?);
        if size > 15 {
            return Err(malformed("a coefficient is too large"));
        }
        self.prediction = self.prediction.wrapping_add(bits.difference(size)?);
        if let Some(steps) = steps {
            self.coefficients[64 * at] = self.prediction.wrapping_mul(i32::from(steps[0]));
        }
        let mut k = 1;
        while k < 64 {
            let code = ac.decode(bits)?;
            let (run, size) = (usize::from(code >> 4), u32::from(code & 15));
            if size == 0 {
                if run < 15 {
                    break;
                }
                k += 16;
                continue;
            }
            k += run;
            if k > 63 {
                return Err(malformed("a block has too many coefficients"));
            }
            let value = bits.difference(size)?;
            if let Some(steps) = steps {
                self.coefficients[64 * at + usize::from(ZIGZAG[k])] = value * i32::from(steps[k]);
            }
            k += 1;
        }
        Ok(())
    }

    /// The first scan of a band: which coefficients are not zero is noted.
    fn first(
        &mut self,
        at: usize,
        ac: &Huffman,
        band: std::ops::RangeInclusive<usize>,
        low: u8,
        run: &mut u32,
        bits: &mut Bits<'_>,
    ) -> Result<(), DecodeError> {
        if *run > 0 {
            *run -= 1;
            return Ok(());
        }
        let mut k = *band.start();
        while k <= *band.end() {
            let code = ac.decode(bits)?;
            let (zeros, size) = (code >> 4, u32::from(code & 15));
            if size == 0 && zeros < 15 {
                *run = end_of_band(zeros, bits)?;
                break;
            }
            k += usize::from(zeros);
            if size > 0 {
                if k > *band.end() {
                    return Err(malformed("a block has too many coefficients"));
                }
                let value = bits.difference(size)?;
                self.keep(at, k, value.wrapping_shl(u32::from(low)));
                self.nonzero[at] |= 1 << k;
            }
            k += 1;
        }
        Ok(())
    }

    /// A further bit of a band: one for each coefficient that is not zero, and those that become so.
    fn refine(
        &mut self,
        at: usize,
        ac: &Huffman,
        band: std::ops::RangeInclusive<usize>,
        low: u8,
        run: &mut u32,
        bits: &mut Bits<'_>,
    ) -> Result<(), DecodeError> {
        let known = self.nonzero[at];
        let mut k = *band.start();
        if *run == 0 {
            while k <= *band.end() {
                let code = ac.decode(bits)?;
                let (mut zeros, size) = (code >> 4, code & 15);
                if size == 0 && zeros < 15 {
                    *run = end_of_band(zeros, bits)? + 1;
                    break;
                }
                // A coefficient that becomes one has size 1: its sign.
                let value = if size > 0 && bits.take(1)? == 0 { -1 } else { 1 };
                while k <= *band.end() {
                    if known >> k & 1 != 0 {
                        self.more(at, k, bits.take(1)? << low);
                    } else if zeros == 0 {
                        break;
                    } else {
                        zeros -= 1;
                    }
                    k += 1;
                }
                if size > 0 && k <= *band.end() {
                    self.keep(at, k, value << low);
                    self.nonzero[at] |= 1 << k;
                }
                k += 1;
            }
        }
        if *run > 0 {
            while k <= *band.end() {
                if known >> k & 1 != 0 {
                    self.more(at, k, bits.take(1)? << low);
                }
                k += 1;
            }
            *run -= 1;
        }
        Ok(())
    }
}
