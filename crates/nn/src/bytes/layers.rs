//! Layers over maps of bytes that are no products.

use super::lanes::to_half;
use super::levels::Levels;
use crate::map::Map;
use crate::window::Window;

/// The bytes of the values of one map, which lie in the same places.
#[inline(always)]
pub(crate) fn quantise(map: &Map, levels: Levels, x: &[f32], out: &mut [u8]) {
    let (by, zero) = (1.0 / levels.scale, f32::from(levels.zero));
    let length = map.width * map.depth;
    for y in 0..map.height {
        let start = map.place(y, 0);
        let (x, out) = (&x[start..start + length], &mut out[start..start + length]);
        for (out, x) in out.iter_mut().zip(x) {
            *out = x.mul_add(by, zero).round_ties_even().clamp(0.0, 255.0) as u8;
        }
    }
}

/// The values of one map rounded to half their length, in the same places.
#[inline(always)]
pub(crate) fn halve(map: &Map, x: &[f32], out: &mut [u16]) {
    let length = map.width * map.depth;
    for y in 0..map.height {
        let start = map.place(y, 0);
        let (x, out) = (&x[start..start + length], &mut out[start..start + length]);
        out.iter_mut().zip(x).for_each(|(out, x)| *out = to_half(*x));
    }
}

/// The maximum under a window, of bytes of the same levels; padding is never the maximum.
#[inline(always)]
pub(crate) fn max_pool(window: &Window, from: &Map, x: &[u8], to: &Map, out: &mut [u8]) {
    for (row, column) in to.places() {
        let out = &mut out[to.place(row, column)..][..to.depth];
        // A vector's worth of channels at a time, so that the maximum stays in a register.
        let (wide, narrow) = out.as_chunks_mut::<64>();
        for (part, out) in wide.iter_mut().enumerate() {
            *out = most(window, from, x, (row, column), part * 64);
        }
        for (part, out) in narrow.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            *out = most(window, from, x, (row, column), wide.len() * 64 + part * 16);
        }
    }
}

/// The maximum of the `N` channels from `first` on.
#[inline(always)]
fn most<const N: usize>(
    window: &Window,
    from: &Map,
    x: &[u8],
    place: (usize, usize),
    first: usize,
) -> [u8; N] {
    let mut most = [0; N];
    // Loops and no closure: a closure that is not inlined is not compiled for the vectors of this machine.
    for i in 0..window.kernel.0 {
        let Some(row) = window.reads(place.0, i, window.padding.0, from.height) else { continue };
        for j in 0..window.kernel.1 {
            let Some(column) = window.reads(place.1, j, window.padding.1, from.width) else { continue };
            let x = &x[from.place(row, column) + first..][..N];
            for k in 0..N {
                most[k] = most[k].max(x[k]);
            }
        }
    }
    most
}

/// The mean of every channel, as numbers.
#[inline(always)]
pub(crate) fn global_average(from: &Map, levels: Levels, x: &[u8], out: &mut [f32]) {
    let mut sums = [0u32; 64];
    let by = levels.scale / (from.height * from.width) as f32;
    let zeros = f32::from(levels.zero) * levels.scale;
    for first in (0..from.depth).step_by(sums.len()) {
        let count = sums.len().min(from.depth - first);
        sums.fill(0);
        for (row, column) in from.places() {
            let x = &x[from.place(row, column) + first..][..count];
            sums.iter_mut().zip(x).for_each(|(sum, value)| *sum += u32::from(*value));
        }
        for (out, sum) in out[first..first + count].iter_mut().zip(&sums) {
            *out = *sum as f32 * by - zeros;
        }
    }
}
