//! The product of bytes: as that of single precision ([`crate::packed`]), a tile of the result stays in
//! registers while the packed weights are read from front to back, and the rows on the left are runs of
//! a map, where they lie.
//!
//! What follows a sum is one multiplication and addition a column (the scales of values, weights and
//! result, the bias and the zeros folded together), the way around a block, and the rectifier as the
//! least byte there may be.

// The indices are those of the formulas, often of several arrays at once.
#![allow(clippy::needless_range_loop)]

use super::Instructions;
#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx, Avx512};
use super::lanes::{Lanes, Plain};
use super::pack::PackedBytes;

/// Rows of a result that are worked on for all panels before the next ones are.
const BLOCK: usize = 96;

/// Values that are added to those of a product, times a factor.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Residual<'a> {
    /// None.
    None,
    /// Bytes at the places of the result; what their zero stands for is in the terms.
    Bytes(&'a [u8], f32),
    /// Numbers of half the length at the places of the result.
    Halves(&'a [u16], f32),
    /// Numbers at the places of the result.
    Floats(&'a [f32], f32),
    /// The numbers that the result is written over.
    Output,
}

/// What rows have that were brought to bytes each by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct ByRow<'a> {
    /// Scale and zero of every row: a sum is multiplied by the scale, once the zero's part of it is taken away.
    pub levels: &'a [(f32, f32)],
    /// What the zero is multiplied by, one a column.
    pub zeros: &'a [f32],
}

/// Where a result goes.
#[derive(Debug)]
pub(crate) enum Output<'a> {
    /// To bytes.
    Bytes(&'a mut [u8]),
    /// To numbers of half the length.
    Halves(&'a mut [u16]),
    /// To numbers in single precision.
    Floats(&'a mut [f32]),
}

/// What a sum is multiplied by, what is added, and between what the result is.
#[derive(Debug, Clone)]
pub(crate) struct Folded {
    /// One a column.
    pub factor: crate::simd::AlignedVec,
    /// One a column.
    pub term: crate::simd::AlignedVec,
    /// Least result.
    pub low: f32,
    /// Greatest result.
    pub high: f32,
}

/// A product, its rows on the left the runs of `length` bytes that begin at a place + tap.
pub(super) struct Product<'a> {
    pub x: &'a [u8],
    pub taps: &'a [usize],
    pub length: usize,
    /// Bytes of a value on the left: one or two.
    pub size: usize,
    /// Where each row begins: in the values on the left and in the result, moved by `from` and `to`, of which
    /// the latter may stand for less than 0, which wraps around.
    pub places: &'a [(u32, u32)],
    pub from: usize,
    pub to: usize,
    pub weights: &'a PackedBytes,
    pub folded: &'a Folded,
    pub by_row: Option<ByRow<'a>>,
    pub residual: Residual<'a>,
    pub out: Output<'a>,
}

impl Product<'_> {
    /// Computes it.
    ///
    /// # Panics
    /// Instructions that this processor lacks; places outside the slices.
    pub fn run(self, instructions: Instructions) {
        match instructions {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => {
                // SAFETY: `Instructions::available` alone names these, where it found them.
                unsafe { avx512(self) }
            }
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx => {
                // SAFETY: as above.
                unsafe { avx_vnni(self) }
            }
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => {
                // SAFETY: as above.
                unsafe { avx2(self) }
            }
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Halves => {
                // SAFETY: as above, `Instructions::halves`.
                unsafe { avx512_halves(self) }
            }
            Instructions::PlainHalves => {
                // SAFETY: these are instructions that every processor has.
                unsafe { narrow::<Plain<true>>(self) }
            }
            Instructions::Plain => {
                // SAFETY: these are instructions that every processor has.
                unsafe { narrow::<Plain<false>>(self) }
            }
        }
    }
}

/// # Safety
/// For processors with AVX-512 F, BW, VL and VNNI.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn avx512(mut product: Product) {
    // SAFETY: the caller has what this function is compiled for.
    unsafe { all::<Avx512<false>>(&mut product) }
}

/// # Safety
/// For processors with AVX-512 F, BW, VL and BF16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn avx512_halves(mut product: Product) {
    // SAFETY: the caller has what this function is compiled for.
    unsafe { all::<Avx512<true>>(&mut product) }
}

/// # Safety
/// For processors with AVX2, FMA and AVX-VNNI.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn avx_vnni(product: Product) {
    // SAFETY: the caller has what this function is compiled for.
    unsafe { narrow::<Avx<true>>(product) }
}

/// # Safety
/// For processors with AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(product: Product) {
    // SAFETY: the caller has what this function is compiled for.
    unsafe { narrow::<Avx<false>>(product) }
}

/// What a tile works with.
#[derive(Clone, Copy)]
struct Panel<'a> {
    weights: &'a [i8],
    first: usize,
    /// Bytes from the beginning of a row to the end of what is read of it.
    reach: usize,
}

/// A product in panels of up to four vectors.
///
/// # Safety
/// The processor has the instructions of `L`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn all<L: Lanes>(product: &mut Product) {
    let reach = check(product);
    let count = product.places.len();
    for start in (0..count).step_by(BLOCK) {
        let end = (start + BLOCK).min(count);
        let mut first = 0;
        for (column, width) in product.weights.panels() {
            debug_assert_eq!(first, column);
            first = column + width;
            let panel = Panel { weights: product.weights.panel((column, width)), first: column, reach };
            // SAFETY: the caller has the instructions.
            unsafe {
                match width / L::COUNT {
                    1 => rows::<L, 1, 2, 8>(product, panel, start, end),
                    2 => rows::<L, 2, 1, 8>(product, panel, start, end),
                    _ => rows::<L, 4, 1, 6>(product, panel, start, end),
                }
            }
        }
    }
}

/// A product in panels of sixteen columns.
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
unsafe fn narrow<L: Lanes>(mut product: Product) {
    let reach = check(&product);
    let count = product.places.len();
    for start in (0..count).step_by(BLOCK) {
        let end = (start + BLOCK).min(count);
        for (column, width) in product.weights.panels() {
            assert_eq!(width, 16);
            let panel = Panel { weights: product.weights.panel((column, width)), first: column, reach };
            // SAFETY: the caller has the instructions.
            unsafe {
                match L::COUNT {
                    16 => rows::<L, 1, 1, 4>(&mut product, panel, start, end),
                    _ => rows::<L, 2, 1, 6>(&mut product, panel, start, end),
                }
            }
        }
    }
}

/// Asserts what holds for all tiles; see [`Panel::reach`].
fn check(product: &Product) -> usize {
    let Product { taps, length, weights, folded, .. } = product;
    assert_eq!(taps.len() * length.div_ceil(4), weights.groups(), "bytes of a row");
    assert!(folded.factor.len() >= weights.columns() && folded.term.len() >= weights.columns());
    taps.iter().max().map_or(0, |tap| tap + length.next_multiple_of(4))
}

/// The rows from `start` to `end` of a panel of `V` vectors, in tiles of up to `most` rows of about the
/// same size; of narrow tiles a sum is made in `U` parts, so that none waits for itself.
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
unsafe fn rows<L: Lanes, const V: usize, const U: usize, const MOST: usize>(
    product: &mut Product,
    panel: Panel,
    start: usize,
    end: usize,
) {
    let tiles = (end - start).div_ceil(MOST);
    let (size, mut larger) = ((end - start) / tiles, (end - start) % tiles);
    let mut first = start;
    while first < end {
        let count = size + usize::from(larger > 0);
        larger = larger.saturating_sub(1);
        // SAFETY: the caller has the instructions.
        unsafe {
            match count {
                1 => tile::<L, 1, V, 4>(product, panel, first),
                2 => tile::<L, 2, V, 2>(product, panel, first),
                3 => tile::<L, 3, V, 2>(product, panel, first),
                4 => tile::<L, 4, V, U>(product, panel, first),
                5 => tile::<L, 5, V, U>(product, panel, first),
                6 => tile::<L, 6, V, U>(product, panel, first),
                7 if MOST > 6 => tile::<L, 7, V, U>(product, panel, first),
                _ if MOST > 6 => tile::<L, 8, V, U>(product, panel, first),
                _ => unreachable!("tiles are of {MOST} rows at most"),
            }
        }
        first += count;
    }
}

/// `R` rows by `V` vectors, each value summed in `U` parts.
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
unsafe fn tile<L: Lanes, const R: usize, const V: usize, const U: usize>(
    product: &mut Product,
    panel: Panel,
    first: usize,
) {
    let groups = product.length.div_ceil(4);
    let width = V * L::COUNT;
    assert!(panel.weights.len() == product.taps.len() * groups * width * 4);
    let places = &product.places[first..first + R];
    for place in places {
        let start = product.size * (product.from + place.0 as usize);
        assert!(start + panel.reach <= product.x.len(), "a row ends beyond the bytes");
    }
    // SAFETY: the bytes reach from every start to the end of the last group of the last tap, and the panel
    // has V vectors for each group of each tap; both were asserted. The caller has the instructions.
    let sums = unsafe {
        let mut parts = [[[L::zeros(); V]; R]; U];
        let mut right = panel.weights.as_ptr();
        for &tap in product.taps {
            let mut left = [product.x.as_ptr(); R];
            for r in 0..R {
                left[r] = left[r].add(product.size * (product.from + places[r].0 as usize) + tap);
            }
            let whole = groups - groups % U;
            let mut group = 0;
            while group < whole {
                for u in 0..U {
                    let mut w = [L::zeros(); V];
                    for v in 0..V {
                        w[v] = L::weights(right.add(v * L::COUNT * 4));
                    }
                    for r in 0..R {
                        let x = L::splat_bytes(left[r].add((group + u) * 4));
                        for v in 0..V {
                            parts[u][r][v] = L::dot(parts[u][r][v], x, w[v]);
                        }
                    }
                    right = right.add(width * 4);
                }
                group += U;
            }
            while group < groups {
                let mut w = [L::zeros(); V];
                for v in 0..V {
                    w[v] = L::weights(right.add(v * L::COUNT * 4));
                }
                for r in 0..R {
                    let x = L::splat_bytes(left[r].add(group * 4));
                    for v in 0..V {
                        parts[0][r][v] = L::dot(parts[0][r][v], x, w[v]);
                    }
                }
                right = right.add(width * 4);
                group += 1;
            }
        }
        let mut sums = parts[0];
        for u in 1..U {
            for r in 0..R {
                for v in 0..V {
                    sums[r][v] = L::add(sums[r][v], parts[u][r][v]);
                }
            }
        }
        sums
    };
    let Folded { factor, term, low, high } = product.folded;
    let (factor, term) = (&factor[panel.first..][..width], &term[panel.first..][..width]);
    for r in 0..R {
        let at = product.to.wrapping_add(places[r].1 as usize) + panel.first;
        // SAFETY: `factor` and `term` are as wide as the tile, and so are the parts of zeros, of the residual and of
        // the result that are sliced here. The caller has the instructions.
        unsafe {
            let mut values = [L::splat(0.0); V];
            for v in 0..V {
                let (factor, term) = (factor.as_ptr().add(v * L::COUNT), term.as_ptr().add(v * L::COUNT));
                let sum = L::floats(sums[r][v]);
                values[v] = match product.by_row {
                    None => L::mul_add(sum, L::load(factor), L::load(term)),
                    Some(ByRow { levels, zeros }) => {
                        let (scale, zero) = levels[first + r];
                        let zeros = &zeros[panel.first + v * L::COUNT..][..L::COUNT];
                        let zero = L::mul_add(L::load(zeros.as_ptr()), L::splat(-zero), L::splat(0.0));
                        let value = L::mul_add(sum, L::load(factor), zero);
                        L::mul_add(value, L::splat(scale), L::load(term))
                    }
                };
            }
            match product.residual {
                Residual::None => {}
                Residual::Bytes(bytes, by) => {
                    let (bytes, by) = (&bytes[at..at + width], L::splat(by));
                    for v in 0..V {
                        let other = L::load_bytes(bytes.as_ptr().add(v * L::COUNT));
                        values[v] = L::mul_add(other, by, values[v]);
                    }
                }
                Residual::Halves(halves, by) => {
                    let (halves, by) = (&halves[at..at + width], L::splat(by));
                    for v in 0..V {
                        let other = L::load_halves(halves.as_ptr().add(v * L::COUNT));
                        values[v] = L::mul_add(other, by, values[v]);
                    }
                }
                Residual::Floats(floats, by) => {
                    let (floats, by) = (&floats[at..at + width], L::splat(by));
                    for v in 0..V {
                        values[v] = L::mul_add(L::load(floats.as_ptr().add(v * L::COUNT)), by, values[v]);
                    }
                }
                Residual::Output => {
                    let Output::Floats(floats) = &product.out else { unreachable!("a result of numbers") };
                    let (floats, by) = (&floats[at..at + width], L::splat(1.0));
                    for v in 0..V {
                        values[v] = L::mul_add(L::load(floats.as_ptr().add(v * L::COUNT)), by, values[v]);
                    }
                }
            }
            let (low, high) = (L::splat(*low), L::splat(*high));
            match &mut product.out {
                Output::Bytes(out) => {
                    let out = &mut out[at..at + width];
                    for v in 0..V {
                        let value = L::clamp(values[v], low, high);
                        L::store_bytes(value, out.as_mut_ptr().add(v * L::COUNT));
                    }
                }
                Output::Halves(out) => {
                    let out = &mut out[at..at + width];
                    for v in 0..V {
                        let value = L::clamp(values[v], low, high);
                        L::store_halves(value, out.as_mut_ptr().add(v * L::COUNT));
                    }
                }
                Output::Floats(out) => {
                    let out = &mut out[at..at + width];
                    for v in 0..V {
                        L::store(L::clamp(values[v], low, high), out.as_mut_ptr().add(v * L::COUNT));
                    }
                }
            }
        }
    }
}
