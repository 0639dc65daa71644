//! JPEG-LS (ITU-T T.87), lossless and near-lossless, as DICOM uses it.

use super::segments::{Scan, Segments};
use super::{Header, malformed};
use crate::decode::DecodeError;

/// Bits of a scan. Behind a byte of ones the next byte has seven bits.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    byte: u8,
    left: u32,
}

impl Bits<'_> {
    fn bit(&mut self) -> Result<u32, DecodeError> {
        if self.left == 0 {
            let stuffed = self.at > 0 && self.byte == 0xff;
            let next = self.bytes.get(self.at).copied();
            let marker = next == Some(0xff) && self.bytes.get(self.at + 1).is_none_or(|&byte| byte >= 0x80);
            self.byte = match next {
                Some(byte) if !(marker || stuffed && byte >= 0x80) => byte,
                _ => return Err(malformed("the file is truncated within a scan")),
            };
            self.at += 1;
            self.left = if stuffed { 7 } else { 8 };
        }
        self.left -= 1;
        Ok(u32::from(self.byte >> self.left & 1))
    }

    fn take(&mut self, count: u32) -> Result<i32, DecodeError> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | self.bit()?;
        }
        Ok(value as i32)
    }

    /// A number in the limited-length Golomb code of parameter `k` (section A.5.3).
    fn golomb(&mut self, k: u32, limit: u32, bits: u32) -> Result<i32, DecodeError> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros >= limit {
                return Err(malformed("a code of its scan is too long"));
            }
        }
        if zeros < limit.saturating_sub(bits + 1) {
            Ok(((zeros << k) as i32) + self.take(k)?)
        } else {
            Ok(self.take(bits)? + 1)
        }
    }
}

/// Numbers of steps between longer runs (section A.2.1, the array J).
const RUNS: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// The parameters of coding, and what was learnt of each context.
struct Coder {
    near: i32,
    most: i32,
    range: i32,
    bits: u32,
    limit: u32,
    reset: i32,
    thresholds: [i32; 3],
    contexts: Vec<Context>,
}

/// A context: sum of errors' sizes, their bias and its correction, occurrences; of the last two,
/// which are of runs, `bias` counts negative errors.
#[derive(Clone)]
struct Context {
    size: i32,
    bias: i32,
    correction: i32,
    count: i32,
}

/// Parameters that an LSE segment sets; 0 is the default.
#[derive(Default, Clone, Copy)]
struct Preset {
    most: i32,
    thresholds: [i32; 3],
    reset: i32,
}

impl Coder {
    fn new(precision: u8, near: i32, preset: Preset) -> Result<Coder, DecodeError> {
        let most = if preset.most > 0 { preset.most } else { (1 << precision) - 1 };
        if near > most.min(510) / 2 || most >= 1 << precision {
            return Err(malformed("its parameters are out of range"));
        }
        let step = 2 * near + 1;
        let range = (most + 2 * near) / step + 1;
        let bits_of = |value: i32| 32 - (value - 1).max(0).leading_zeros();
        let wide = bits_of(most + 1).max(2);
        let clamp = |value: i32, least: i32| if value > most || value < least { least } else { value };
        // Table C.3.
        let (t1, t2, t3) = if most >= 128 {
            let factor = (most.min(4095) + 128) / 256;
            (factor + 2 + 3 * near, factor * 4 + 3 + 5 * near, factor * 17 + 4 + 7 * near)
        } else {
            let factor = 256 / (most + 1);
            let at_least = |least: i32, value: i32| value.max(least);
            (
                at_least(2, 3 / factor + 3 * near),
                at_least(3, 7 / factor + 5 * near),
                at_least(4, 21 / factor + 7 * near),
            )
        };
        let t1 = clamp(t1, near + 1);
        let t2 = clamp(t2, t1);
        let t3 = clamp(t3, t2);
        let set = |own: i32, usual: i32| if own > 0 { own } else { usual };
        let [p1, p2, p3] = preset.thresholds;
        let fresh = Context { size: ((range + 32) / 64).max(2), bias: 0, correction: 0, count: 1 };
        Ok(Coder {
            near,
            most,
            range,
            bits: bits_of(range),
            limit: 2 * (wide + wide.max(8)),
            reset: set(preset.reset, 64).max(3),
            thresholds: [set(p1, t1), set(p2, t2), set(p3, t3)],
            contexts: vec![fresh; 367],
        })
    }

    fn quantize(&self, difference: i32) -> i32 {
        let size = difference.abs();
        let [t1, t2, t3] = self.thresholds;
        let level = if size <= self.near {
            0
        } else if size < t1 {
            1
        } else if size < t2 {
            2
        } else if size < t3 {
            3
        } else {
            4
        };
        level * difference.signum()
    }

    /// The context of a sample with neighbours a (left), b (above), c (above left), d (above right):
    /// 0 for a run, negative for the mirrored one.
    fn context(&self, [a, b, c, d]: [i32; 4]) -> i32 {
        81 * self.quantize(d - b) + 9 * self.quantize(b - c) + self.quantize(c - a)
    }

    /// The sample that an error makes of a prediction.
    fn sample(&self, prediction: i32, error: i32) -> u16 {
        let step = 2 * self.near + 1;
        let mut value = prediction + error * step;
        if value < -self.near {
            value += self.range * step;
        } else if value > self.most + self.near {
            value -= self.range * step;
        }
        value.clamp(0, self.most) as u16
    }

    /// A sample that is not in a run (sections A.4 to A.6).
    fn regular(&mut self, bits: &mut Bits<'_>, context: i32, near: [i32; 4]) -> Result<u16, DecodeError> {
        let [a, b, c, _] = near;
        // A context of nothing but zeros occurs where another component of the pixel has one.
        let sign = if context < 0 { -1 } else { 1 };
        let (limit, wide, reset) = (self.limit, self.bits, self.reset);
        let state = &mut self.contexts[context.unsigned_abs() as usize];
        let prediction = if c >= a.max(b) {
            a.min(b)
        } else if c <= a.min(b) {
            a.max(b)
        } else {
            a + b - c
        };
        let prediction = (prediction + sign * state.correction).clamp(0, self.most);
        let mut k = 0;
        while k < 16 && state.count << k < state.size {
            k += 1;
        }
        let code = bits.golomb(k, limit, wide)?;
        let mut error = if code & 1 == 0 { code / 2 } else { -(code / 2) - 1 };
        if self.near == 0 && k == 0 && 2 * state.bias <= -state.count {
            error = -error - 1;
        }
        state.bias += error * (2 * self.near + 1);
        state.size += error.abs();
        if state.count == reset {
            state.size >>= 1;
            state.bias >>= 1;
            state.count >>= 1;
        }
        state.count += 1;
        if state.bias <= -state.count {
            state.bias = (state.bias + state.count).max(1 - state.count);
            state.correction = (state.correction - 1).max(-128);
        } else if state.bias > 0 {
            state.bias = (state.bias - state.count).min(0);
            state.correction = (state.correction + 1).min(127);
        }
        Ok(self.sample(prediction, sign * error))
    }

    /// The sample that ends a run (section A.7.2). With `joint` the components of a pixel end theirs
    /// together.
    fn interruption(
        &mut self,
        bits: &mut Bits<'_>,
        [a, b]: [i32; 2],
        run: u32,
        joint: bool,
    ) -> Result<u16, DecodeError> {
        let like = !joint && (a - b).abs() <= self.near;
        let sign = if !like && a > b { -1 } else { 1 };
        let (limit, wide, reset) = (self.limit, self.bits, self.reset);
        let state = &mut self.contexts[365 + usize::from(like)];
        let size = state.size + if like { state.count >> 1 } else { 0 };
        let mut k = 0;
        while k < 16 && state.count << k < size {
            k += 1;
        }
        let code = bits.golomb(k, limit.saturating_sub(run + 1), wide)?;
        let shifted = code + i32::from(like);
        let map = shifted & 1;
        let error = (shifted + map) / 2;
        let negative = (k != 0 || 2 * state.bias >= state.count) == (map == 1);
        let error = if negative { -error } else { error };
        state.bias += i32::from(error < 0);
        state.size += (code + 1 - i32::from(like)) >> 1;
        if state.count == reset {
            state.size >>= 1;
            state.bias >>= 1;
            state.count >>= 1;
        }
        state.count += 1;
        Ok(self.sample(if like { a } else { b }, sign * error))
    }
}

/// Decodes the components as stored, pixel by pixel.
pub(crate) fn decode_ls(bytes: &[u8], header: &Header) -> Result<Vec<u16>, DecodeError> {
    let (width, height) = (usize::from(header.width), usize::from(header.height));
    let components = usize::from(header.components);
    if !(2..=16).contains(&header.precision) {
        return Err(malformed("its samples have no number of bits that JPEG-LS knows"));
    }
    let mut values = vec![0u16; width * height * components];
    let mut seen = vec![false; components];
    let mut preset = Preset::default();
    let mut ids = Vec::new();
    let mut segments = Segments::new(bytes);
    while let Some((marker, body)) = segments.next()? {
        match marker {
            0xf7 => {
                let each = body.get(6..).unwrap_or_default().as_chunks::<3>().0;
                if each.len() != components || each.iter().any(|one| one[1] != 0x11) {
                    return Err(DecodeError::unsupported("a JPEG-LS frame with subsampled components"));
                }
                ids = each.iter().map(|one| one[0]).collect();
            }
            0xf8 => match body {
                &[1, m1, m0, a1, a0, b1, b0, c1, c0, r1, r0, ..] => {
                    let number = |high, low| i32::from(u16::from_be_bytes([high, low]));
                    let thresholds = [number(a1, a0), number(b1, b0), number(c1, c0)];
                    preset = Preset { most: number(m1, m0), thresholds, reset: number(r1, r0) };
                }
                _ => return Err(DecodeError::unsupported("a JPEG-LS frame with mapping tables")),
            },
            0xdd if super::restart_interval(body)? > 0 => {
                return Err(DecodeError::unsupported("a JPEG-LS frame with restart intervals"));
            }
            // A colour transformation that is no part of the standard.
            0xe8 if body.starts_with(b"mrfx") && body.get(4) != Some(&0) => {
                return Err(DecodeError::unsupported("a JPEG-LS frame with a colour transformation"));
            }
            0xda => {
                let scan = Scan::read(body, &ids)?;
                let members: Vec<usize> = scan.parts.iter().map(|part| part.component).collect();
                // A line of one run takes a bit: with scans again and again a small file would take hours.
                if members.iter().any(|&member| std::mem::replace(&mut seen[member], true)) {
                    return Err(malformed("a component has two scans"));
                }
                if scan.low != 0 {
                    return Err(DecodeError::unsupported("a JPEG-LS frame with a point transform"));
                }
                let mut coder = Coder::new(header.precision, i32::from(scan.first), preset)?;
                let mut bits = Bits { bytes, at: segments.at, byte: 0, left: 0 };
                let mut groups: Vec<Group> = match (scan.last, members.as_slice()) {
                    (0, [_]) | (1, _) => {
                        members.iter().map(|&member| Group::new(&[member], width, false)).collect()
                    }
                    (2, _) => vec![Group::new(&members, width, true)],
                    _ => return Err(malformed("its scan is interleaved in a way that is not known")),
                };
                for row in values.chunks_exact_mut(width * components) {
                    for group in &mut groups {
                        group.line(&mut bits, &mut coder, width)?;
                        group.put(row, components);
                    }
                }
                segments.at = bits.at;
            }
            _ => {}
        }
    }
    if seen.iter().all(|&seen| seen) {
        Ok(values)
    } else {
        Err(malformed("the scan of a component is missing"))
    }
}

/// The neighbours of the sample at `x` in a line that begins at index 1.
fn neighbours(above: &[u16], line: &[u16], x: usize) -> [i32; 4] {
    [line[x - 1], above[x], above[x - 1], above[x + 1]].map(i32::from)
}

/// Components whose samples are coded together: one of a scan line by line, all of one pixel by pixel.
struct Group {
    members: Vec<usize>,
    /// The line before and this one of each member, with a sample before and behind for the edges.
    above: Vec<Vec<u16>>,
    current: Vec<Vec<u16>>,
    /// How long runs are by now, an index of [`RUNS`].
    run: usize,
    /// Members begin and end runs together.
    joint: bool,
}

impl Group {
    fn new(members: &[usize], width: usize, joint: bool) -> Group {
        let lines = vec![vec![0u16; width + 2]; members.len()];
        Group { members: members.to_vec(), above: lines.clone(), current: lines, run: 0, joint }
    }

    /// Decodes a line of every member.
    fn line(&mut self, bits: &mut Bits<'_>, coder: &mut Coder, width: usize) -> Result<(), DecodeError> {
        for (above, line) in self.above.iter_mut().zip(&mut self.current) {
            above[width + 1] = above[width];
            line[0] = above[1];
        }
        let mut x = 1;
        while x <= width {
            // A scan has four components at most.
            let (mut near, mut contexts) = ([[0; 4]; 4], [0; 4]);
            for (index, (above, line)) in self.above.iter().zip(&self.current).enumerate() {
                near[index] = neighbours(above, line, x);
                contexts[index] = coder.context(near[index]);
            }
            if contexts != [0; 4] {
                for (line, (near, context)) in self.current.iter_mut().zip(near.into_iter().zip(contexts)) {
                    line[x] = coder.regular(bits, context, near)?;
                }
                x += 1;
                continue;
            }
            let length = run(bits, &mut self.run, width + 1 - x)?;
            for line in &mut self.current {
                let value = line[x - 1];
                line[x..x + length].fill(value);
            }
            x += length;
            if x <= width {
                for (above, line) in self.above.iter().zip(&mut self.current) {
                    let near = [line[x - 1], above[x]].map(i32::from);
                    line[x] = coder.interruption(bits, near, RUNS[self.run], self.joint)?;
                }
                self.run = self.run.saturating_sub(1);
                x += 1;
            }
        }
        Ok(())
    }

    /// Puts the line into a row of pixels, and makes it the one before.
    fn put(&mut self, row: &mut [u16], components: usize) {
        for (&member, line) in self.members.iter().zip(&self.current) {
            for (value, &sample) in row.iter_mut().skip(member).step_by(components).zip(&line[1..]) {
                *value = sample;
            }
        }
        std::mem::swap(&mut self.above, &mut self.current);
    }
}

/// The length of a run, at most `left` (section A.7.1).
fn run(bits: &mut Bits<'_>, index: &mut usize, left: usize) -> Result<usize, DecodeError> {
    let mut length = 0;
    while bits.bit()? == 1 {
        let step = 1 << RUNS[*index];
        if length + step <= left {
            *index = (*index + 1).min(31);
        }
        length = (length + step).min(left);
        if length == left {
            return Ok(length);
        }
    }
    let more = bits.take(RUNS[*index])? as usize;
    if length + more < left { Ok(length + more) } else { Err(malformed("a run is longer than its line")) }
}
