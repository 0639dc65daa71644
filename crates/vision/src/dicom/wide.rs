//! Pixels that do not fit 16 bits: whole numbers of 32 (radiotherapy doses, some secondary captures)
//! and floating point (parametric maps, PS3.3 section C.7.6.24).
//!
//! Such values have no table that all of them could be looked up in. Each is a number of its own,
//! which goes through the same transformations as the stored values of other files do.

use super::cursor::Encoding;
use super::malformed;
use super::pixels::{Layout, Numbers};
use super::rle;
use crate::decode::DecodeError;

/// Bytes that decoding takes for each sample: its number, and a second copy of it.
pub(super) const BYTES_A_SAMPLE: u64 = 16;

/// The numbers of a frame, pixel by pixel, from exactly its bytes.
pub(super) fn numbers(encoding: Encoding, bytes: &[u8], layout: &Layout) -> Vec<f64> {
    let words = bytes.as_chunks::<4>().0.iter();
    let values: Vec<f64> = match layout.numbers {
        Numbers::Double => {
            let words = bytes.as_chunks::<8>().0.iter();
            words.map(|&eight| f64::from_bits(encoding.u64(eight))).collect()
        }
        Numbers::Float => words.map(|&four| f32::from_bits(encoding.u32(four)).into()).collect(),
        Numbers::Whole | Numbers::Words => words.map(|&four| whole(layout, encoding.u32(four))).collect(),
    };
    interleaved(values, layout)
}

/// The numbers of a frame whose byte planes are coded in run lengths.
pub(super) fn run_lengths(bytes: &[u8], layout: &Layout) -> Result<Vec<f64>, DecodeError> {
    if layout.numbers != Numbers::Whole {
        return Err(malformed("floating-point pixel data cannot be run lengths"));
    }
    let mut words = vec![0u32; layout.frame_samples()];
    rle::planes(bytes, layout, |sample, shift, byte| words[sample] |= u32::from(byte) << shift)?;
    Ok(words.into_iter().map(|word| whole(layout, word)).collect())
}

/// The stored bits of a word, with their sign.
fn whole(layout: &Layout, word: u32) -> f64 {
    let unused = 32 - u32::from(layout.stored);
    let bits = (word >> layout.shift) << unused;
    if layout.signed { f64::from((bits as i32) >> unused) } else { f64::from(bits >> unused) }
}

/// Colour planes become triples.
fn interleaved(values: Vec<f64>, layout: &Layout) -> Vec<f64> {
    if !layout.planar {
        return values;
    }
    let (pixels, samples) = (layout.pixels(), usize::from(layout.samples));
    (0..values.len()).map(|at| values[at % samples * pixels + at / samples]).collect()
}
