//! DICOM's run length encoding (PS3.5 annex G).

use super::codec::{Stored, unpacked};
use super::malformed;
use super::pixels::Layout;
use crate::decode::DecodeError;

/// Unpacks a frame of at most 16 bits allocated. Samples that are not whole bytes are packed before
/// they are coded, in one segment.
pub(super) fn rle(bytes: &[u8], layout: &Layout) -> Result<Stored, DecodeError> {
    if layout.packed() {
        let mut packed = vec![0; layout.native_bytes()];
        segments(bytes, 1, packed.len(), |_, plane| packed.copy_from_slice(plane))?;
        return Ok(Stored { codes: unpacked(&packed, 0, layout), rgb8: false });
    }
    let mut codes = vec![0u16; layout.frame_samples()];
    planes(bytes, layout, |sample, shift, byte| codes[sample] |= u16::from(byte) << shift)?;
    codes.iter_mut().for_each(|code| *code = layout.code(*code));
    Ok(Stored { codes, rgb8: false })
}

/// Unpacks the byte planes of a frame, the most significant of a sample first. `put` is given the
/// sample that a byte belongs to, the bits below that byte, and the byte.
pub(super) fn planes(
    bytes: &[u8],
    layout: &Layout,
    mut put: impl FnMut(usize, u32, u8),
) -> Result<(), DecodeError> {
    let samples = usize::from(layout.samples);
    let planes_a_sample = usize::from(layout.allocated / 8);
    segments(bytes, samples * planes_a_sample, layout.pixels(), |segment, plane| {
        let shift = 8 * (planes_a_sample - 1 - segment % planes_a_sample) as u32;
        for (pixel, &byte) in plane.iter().enumerate() {
            put(pixel * samples + segment / planes_a_sample, shift, byte);
        }
    })
}

/// Whether a frame begins so: a number of segments, of which the first follows the header.
pub(super) fn begins(bytes: &[u8]) -> bool {
    matches!(bytes.as_chunks::<4>().0, [[1..=15, 0, 0, 0], [64, 0, 0, 0], ..]) && bytes.len() > 64
}

/// Unpacks a header of 16 numbers and as many segments of `length` bytes as it must announce.
fn segments(
    bytes: &[u8],
    count: usize,
    length: usize,
    mut put: impl FnMut(usize, &[u8]),
) -> Result<(), DecodeError> {
    let (header, _) =
        bytes.split_first_chunk::<64>().ok_or_else(|| malformed("the RLE header is truncated"))?;
    let number = |at: usize| {
        let four = [header[4 * at], header[4 * at + 1], header[4 * at + 2], header[4 * at + 3]];
        u32::from_le_bytes(four) as usize
    };
    if number(0) != count || count > 15 {
        return Err(malformed(format!("{} RLE segments where the image has {count} byte planes", number(0))));
    }
    // A run of two bytes gives at most 128.
    if length / 64 > bytes.len() {
        return Err(malformed("the RLE data are too short for the image"));
    }
    let mut plane = Vec::with_capacity(length);
    for segment in 0..count {
        let start = number(segment + 1);
        let end = if segment + 1 < count { number(segment + 2) } else { bytes.len() };
        let packed =
            bytes.get(start..end).ok_or_else(|| malformed("an RLE segment lies outside the frame"))?;
        plane.clear();
        unpack(packed, length, &mut plane)?;
        put(segment, &plane);
    }
    Ok(())
}

/// Unpacks one segment into exactly `length` bytes.
fn unpack(packed: &[u8], length: usize, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut at = 0;
    while out.len() < length {
        let Some(&control) = packed.get(at) else {
            return Err(malformed("an RLE segment is truncated"));
        };
        let left = length - out.len();
        at += 1;
        match control {
            0..=127 => {
                let run = usize::from(control) + 1;
                let literal =
                    packed.get(at..at + run).ok_or_else(|| malformed("an RLE segment is truncated"))?;
                out.extend_from_slice(&literal[..run.min(left)]);
                at += run;
            }
            128 => {}
            129.. => {
                let &byte = packed.get(at).ok_or_else(|| malformed("an RLE segment is truncated"))?;
                let run = 257 - usize::from(control);
                out.resize(out.len() + run.min(left), byte);
                at += 1;
            }
        }
    }
    Ok(())
}
