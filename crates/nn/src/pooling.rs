//! Pools over one image, and their gradients, channels last: for the serving plan and for a step of
//! training alike.
//!
//! What is no number wins against every number, so that it is never hidden. The gradient of a maximum
//! goes to the value that won, the first of equals.

use super::map::{Image, ImageMut};
use super::window::Window;

/// Calls `f` with every tap of a window at an output position that lies in the input: its place, and
/// its row and column there.
#[inline(always)]
pub fn taps(
    window: &Window,
    (height, width): (usize, usize),
    (y, x): (usize, usize),
    mut f: impl FnMut(usize, usize, usize),
) {
    for i in 0..window.kernel.0 {
        let Some(row) = window.reads(y, i, window.padding.0, height) else { continue };
        for j in 0..window.kernel.1 {
            if let Some(column) = window.reads(x, j, window.padding.1, width) {
                f(i * window.kernel.1 + j, row, column);
            }
        }
    }
}

/// The maximum under a window.
#[inline(always)]
pub fn max(window: &Window, x: Image, mut out: ImageMut) {
    let size = (x.map.height, x.map.width);
    for (row, column) in out.map.places() {
        let out = out.at(row, column);
        out.fill(f32::NEG_INFINITY);
        taps(window, size, (row, column), |_, i, j| {
            for (most, value) in out.iter_mut().zip(x.at(i, j)) {
                *most = if *most > *value || most.is_nan() { *most } else { *value };
            }
        });
    }
}

/// Adds the gradient of the input `x` of [`max`] to `into`.
#[inline(always)]
pub fn max_gradient(window: &Window, x: Image, gradient: Image, mut into: ImageMut) {
    let size = (x.map.height, x.map.width);
    let mut most = vec![0f32; x.map.depth];
    let mut winner = vec![u32::MAX; x.map.depth];
    for (row, column) in gradient.map.places() {
        winner.fill(u32::MAX);
        taps(window, size, (row, column), |tap, i, j| {
            for ((most, winner), value) in most.iter_mut().zip(&mut winner).zip(x.at(i, j)) {
                if *winner == u32::MAX || *value > *most || (value.is_nan() && !most.is_nan()) {
                    (*most, *winner) = (*value, tap as u32);
                }
            }
        });
        taps(window, size, (row, column), |tap, i, j| {
            let gradient = gradient.at(row, column);
            for ((into, winner), gradient) in into.at(i, j).iter_mut().zip(&winner).zip(gradient) {
                *into += if *winner == tap as u32 { *gradient } else { 0.0 };
            }
        });
    }
}

/// The mean under a window, padding counted as zeros.
#[inline(always)]
pub fn average(window: &Window, x: Image, mut out: ImageMut) {
    let (size, share) = ((x.map.height, x.map.width), 1.0 / window.taps() as f32);
    for (row, column) in out.map.places() {
        let out = out.at(row, column);
        out.fill(0.0);
        taps(window, size, (row, column), |_, i, j| {
            out.iter_mut().zip(x.at(i, j)).for_each(|(sum, value)| *sum += value);
        });
        out.iter_mut().for_each(|sum| *sum *= share);
    }
}

/// Adds the gradient of the input of [`average`] to `into`.
#[inline(always)]
pub fn average_gradient(window: &Window, gradient: Image, mut into: ImageMut) {
    let (size, share) = ((into.map.height, into.map.width), 1.0 / window.taps() as f32);
    for (row, column) in gradient.map.places() {
        taps(window, size, (row, column), |_, i, j| {
            let values = into.at(i, j).iter_mut().zip(gradient.at(row, column));
            values.for_each(|(into, gradient)| *into += gradient * share);
        });
    }
}

/// The mean over rows and columns.
#[inline(always)]
pub fn global_average(x: Image, mut out: ImageMut) {
    let share = 1.0 / (x.map.height * x.map.width) as f32;
    let out = out.at(0, 0);
    out.fill(0.0);
    for (row, column) in x.map.places() {
        out.iter_mut().zip(x.at(row, column)).for_each(|(sum, value)| *sum += value);
    }
    out.iter_mut().for_each(|sum| *sum *= share);
}

/// Adds the gradient of the input of [`global_average`] to `into`.
#[inline(always)]
pub fn global_average_gradient(gradient: Image, mut into: ImageMut) {
    let share = 1.0 / (into.map.height * into.map.width) as f32;
    for (row, column) in into.map.places() {
        let values = into.at(row, column).iter_mut().zip(gradient.at(0, 0));
        values.for_each(|(into, gradient)| *into += gradient * share);
    }
}
