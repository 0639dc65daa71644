//! DICOM's run length encoding (PS3.5 annex G).

use super::codec::Stored;
use super::malformed;
use super::pixels::Layout;
use crate::decode::DecodeError;

/// Unpacks a frame: a header of 16 numbers, then one segment a
/// byte plane, the most significant byte of a sample first.
pub(super) fn rle(bytes: &[u8], layout: &Layout) -> Result<Stored, DecodeError> {
    let (header, _) =
        bytes.split_first_chunk::<64>().ok_or_else(|| malformed("the RLE header is truncated"))?;
    let number = |at: usize| {
        let four = [header[4 * at], header[4 * at + 1], header[4 * at + 2], header[4 * at + 3]];
        u32::from_le_bytes(four) as usize
    };
    let planes_a_sample = usize::from(layout.allocated / 8);
    let segments = usize::from(layout.samples) * planes_a_sample;
    if number(0) != segments {
        return Err(malformed(format!(
            "{} RLE segments where the image has {segments} byte planes",
            number(0)
        )));
    }
    // A run of two bytes gives at most 128.
    let pixels = layout.pixels();
    if pixels / 64 > bytes.len() {
        return Err(malformed("the RLE data are too short for the image"));
    }
    let samples = usize::from(layout.samples);
    let mut words = vec![0u16; layout.frame_samples()];
    let mut plane = Vec::with_capacity(pixels);
    for segment in 0..segments {
        let start = number(segment + 1);
        let end = if segment + 1 < segments { number(segment + 2) } else { bytes.len() };
        let packed =
            bytes.get(start..end).ok_or_else(|| malformed("an RLE segment lies outside the frame"))?;
        plane.clear();
        unpack(packed, pixels, &mut plane)?;
        let sample = segment / planes_a_sample;
        let shift = 8 * (planes_a_sample - 1 - segment % planes_a_sample);
        for (word, &byte) in words.iter_mut().skip(sample).step_by(samples).zip(&plane) {
            *word |= u16::from(byte) << shift;
        }
    }
    for word in &mut words {
        *word = layout.code(*word);
    }
    Ok(Stored { codes: words, rgb8: false })
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
