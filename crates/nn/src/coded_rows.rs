//! Rows of numbers kept for exact dot products with a question, in three quarters of the memory of floats.
//!
//! A scan over a million rows is bound by memory, so each number is kept in two parts: one byte that says
//! the number to a 254th of the row's largest, and two bytes that say the rest to 2^-16 of that. A question
//! is first answered from the bytes alone, a quarter of the memory of floats. What the bytes leave out is
//! known of each row (the length of its remainder), and with it a bound by the inequality of Cauchy and
//! Schwarz; only rows that could be among the best by that bound are read whole. The outcome is that of
//! dot products over all rows, each to about 1e-7 of the lengths' product, as with 32-bit floats.

use pulp::{Simd, WithSimd};

use super::simd::dispatch;

/// Bytes in the widest vector of any machine; a row's bytes are rounded up to whole ones.
const BLOCK: usize = 64;

/// Steps of the remainder in one step of the byte.
const FINE: f64 = 65_534.0;

/// Partial sums of a precise dot product: as many on every machine, so that the sum is the same too.
const SUMS: usize = 16;

/// The rows.
#[derive(Debug, Clone, Default)]
pub struct CodedRows {
    columns: usize,
    stride: usize,
    /// `stride` bytes a row: 128 more than the rounded number, 128 beyond the last column.
    coarse: Vec<u8>,
    /// `columns` numbers a row.
    fine: Vec<i16>,
    /// What one step of the byte stands for.
    steps: Vec<f32>,
    /// Length (Euclidean) of what the bytes leave out.
    remainders: Vec<f32>,
}

/// A question, prepared for a scan.
#[derive(Debug, Clone)]
pub struct CodedQuestion {
    values: Vec<f32>,
    /// The numbers in steps of `step`, and the rest in 128ths of that.
    high: Vec<i8>,
    low: Vec<i8>,
    step: f32,
    /// Sums of `high` and `low`, for the 128 that each byte of a row has too much.
    sums: [i32; 2],
    length: f32,
    /// Length of what `high` and `low` leave out.
    remainder: f32,
}

impl CodedRows {
    /// No rows yet, of so many columns.
    pub fn new(columns: usize) -> CodedRows {
        CodedRows { columns, stride: columns.next_multiple_of(BLOCK), ..CodedRows::default() }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// True where there are no rows.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Bytes of memory in use, without what is reserved.
    pub fn bytes(&self) -> usize {
        self.coarse.len() + 2 * self.fine.len() + 8 * self.steps.len()
    }

    /// Gives back what is reserved.
    pub fn shrink(&mut self) {
        self.coarse.shrink_to_fit();
        self.fine.shrink_to_fit();
        self.steps.shrink_to_fit();
        self.remainders.shrink_to_fit();
    }

    /// Adds rows of zeros up to this number of rows.
    pub fn grow(&mut self, rows: usize) {
        if rows > self.len() {
            self.coarse.resize(rows * self.stride, 128);
            self.fine.resize(rows * self.columns, 0);
            self.steps.resize(rows, 0.0);
            self.remainders.resize(rows, 0.0);
        }
    }

    /// Puts `values` in the place of a row.
    ///
    /// # Panics
    /// Another number of values than columns, a row that is not there, a value that is not finite.
    pub fn set(&mut self, row: usize, values: &[f32]) {
        assert_eq!(values.len(), self.columns, "columns");
        assert!(values.iter().all(|value| value.is_finite()), "a value is not finite");
        let largest = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let step = largest / 127.0;
        let coarse = &mut self.coarse[row * self.stride..][..self.columns];
        let fine = &mut self.fine[row * self.columns..][..self.columns];
        let mut remainder = 0.0f64;
        for ((value, coarse), fine) in values.iter().zip(coarse).zip(fine) {
            let scaled = if step > 0.0 { f64::from(*value) / f64::from(step) } else { 0.0 };
            let whole = scaled.round().clamp(-127.0, 127.0);
            *coarse = (whole + 128.0) as u8;
            *fine = ((scaled - whole) * FINE).round().clamp(-32_767.0, 32_767.0) as i16;
            remainder += (scaled - whole).powi(2);
        }
        self.steps[row] = step;
        self.remainders[row] = (remainder.sqrt() * f64::from(step)) as f32;
    }

    /// Puts a row of `other`, which has as many columns, in the place of a row, as it is kept.
    ///
    /// # Panics
    /// Another number of columns, a row that is not there.
    pub fn copy(&mut self, row: usize, other: &CodedRows, from: usize) {
        assert_eq!(self.columns, other.columns, "columns");
        let (stride, columns) = (self.stride, self.columns);
        self.coarse[row * stride..][..stride].copy_from_slice(&other.coarse[from * stride..][..stride]);
        self.fine[row * columns..][..columns].copy_from_slice(&other.fine[from * columns..][..columns]);
        self.steps[row] = other.steps[from];
        self.remainders[row] = other.remainders[from];
    }

    /// The row as it is kept.
    pub fn row(&self, row: usize) -> Vec<f32> {
        let step = f64::from(self.steps[row]);
        let parts = self.coarse[row * self.stride..].iter().zip(&self.fine[row * self.columns..]);
        let value = |(coarse, fine): (&u8, &i16)| {
            (step * (f64::from(*coarse) - 128.0 + f64::from(*fine) / FINE)) as f32
        };
        parts.take(self.columns).map(value).collect()
    }

    /// The dot product of a row with the question, in double precision, summed in the same order on every
    /// machine.
    pub fn dot(&self, row: usize, question: &CodedQuestion) -> f32 {
        let coarse = &self.coarse[row * self.stride..][..self.columns];
        let fine = &self.fine[row * self.columns..][..self.columns];
        dispatch(Precise { coarse, fine, values: &question.values, step: self.steps[row] })
    }

    /// What the bytes alone say of every row's dot product, into `out`, one value a row.
    ///
    /// # Panics
    /// A question of another number of columns.
    pub fn estimate(&self, question: &CodedQuestion, out: &mut Vec<f32>) {
        assert_eq!(question.values.len(), self.columns, "columns");
        let mut found = vec![[0, 0]; self.len()];
        products(&self.coarse, &question.high, &question.low, &mut found);
        let sums = question.sums.map(|sum| 128 * sum);
        let value = |([high, low], step): (&[i32; 2], &f32)| {
            let dot = (high - sums[0]) as f32 + (low - sums[1]) as f32 / 128.0;
            dot * step * question.step
        };
        out.clear();
        out.extend(found.iter().zip(&self.steps).map(value));
    }

    /// How far an estimate of this row may be from the truth.
    pub fn bound(&self, row: usize, question: &CodedQuestion) -> f32 {
        // The length of what the bytes say is at most that of the largest number in every column.
        let longest = 127.0 * self.steps[row] * (self.columns as f32).sqrt();
        let rounding = 1e-6 * (longest * question.length);
        self.remainders[row] * question.length + longest * question.remainder + rounding
    }
}

impl CodedQuestion {
    /// Prepares a question.
    ///
    /// # Panics
    /// A value that is not finite.
    pub fn new(values: &[f32]) -> CodedQuestion {
        assert!(values.iter().all(|value| value.is_finite()), "a value is not finite");
        let largest = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let step = largest / 127.0;
        let width = values.len().next_multiple_of(BLOCK);
        let (mut high, mut low) = (vec![0i8; width], vec![0i8; width]);
        let mut left = 0.0f64;
        for (at, value) in values.iter().enumerate() {
            let scaled = if step > 0.0 { f64::from(*value) / f64::from(step) } else { 0.0 };
            let whole = scaled.round().clamp(-127.0, 127.0);
            let part = ((scaled - whole) * 128.0).round().clamp(-64.0, 64.0);
            (high[at], low[at]) = (whole as i8, part as i8);
            left += (scaled - whole - part / 128.0).powi(2);
        }
        let sum = |numbers: &[i8]| numbers.iter().map(|number| i32::from(*number)).sum();
        let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt() as f32;
        CodedQuestion {
            sums: [sum(&high), sum(&low)],
            values: values.to_vec(),
            high,
            low,
            step,
            length,
            remainder: (left.sqrt() * f64::from(step)) as f32,
        }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.values.len()
    }

    /// Its length (Euclidean).
    pub fn length(&self) -> f32 {
        self.length
    }
}

/// Dot products of rows of bytes, one after another, with both parts of a question.
fn products(rows: &[u8], high: &[i8], low: &[i8], out: &mut [[i32; 2]]) {
    assert!(high.len() == low.len() && high.len().is_multiple_of(BLOCK));
    assert_eq!(rows.len(), out.len() * high.len());
    #[cfg(target_arch = "x86_64")]
    if has_vnni() {
        // SAFETY: the processor has these instructions. Both parts of the question are of one length, a
        // whole number of blocks of 64 bytes, and there are as many rows of that length as results.
        unsafe { products_vnni(rows, high, low, out) };
        return;
    }
    dispatch(Products { rows, high, low, out });
}

#[cfg(target_arch = "x86_64")]
fn has_vnni() -> bool {
    use std::sync::LazyLock;
    static HAS: LazyLock<bool> =
        LazyLock::new(|| is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni"));
    *HAS
}

/// As [`Products`], with the instruction that multiplies 64 bytes and adds up each four.
///
/// # Safety
/// The processor has AVX-512 F and VNNI; `high` and `low` are of one length, a multiple of 64, and `rows`
/// is that long for each element of `out`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn products_vnni(rows: &[u8], high: &[i8], low: &[i8], out: &mut [[i32; 2]]) {
    use std::arch::x86_64::{
        _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_reduce_add_epi32, _mm512_setzero_si512,
    };
    let width = high.len();
    for (row, out) in out.iter_mut().enumerate() {
        let (mut first, mut second) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for at in (0..width).step_by(BLOCK) {
            // SAFETY: `at + 64` is at most `width`, so the row's block ends within `rows` and the others'
            // within `high` and `low`; the loads need no alignment.
            let (bytes, high, low) = unsafe {
                (
                    _mm512_loadu_si512(rows.as_ptr().add(row * width + at).cast()),
                    _mm512_loadu_si512(high.as_ptr().add(at).cast()),
                    _mm512_loadu_si512(low.as_ptr().add(at).cast()),
                )
            };
            first = _mm512_dpbusd_epi32(first, bytes, high);
            second = _mm512_dpbusd_epi32(second, bytes, low);
        }
        *out = [_mm512_reduce_add_epi32(first), _mm512_reduce_add_epi32(second)];
    }
}

/// Dot products of rows of bytes with two rows of signed bytes, on any machine.
struct Products<'a> {
    rows: &'a [u8],
    high: &'a [i8],
    low: &'a [i8],
    out: &'a mut [[i32; 2]],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        // Without columns there is nothing to add up.
        for (bytes, out) in self.rows.chunks_exact(self.high.len().max(1)).zip(self.out) {
            let mut sums = [0, 0];
            for ((byte, high), low) in bytes.iter().zip(self.high).zip(self.low) {
                sums[0] += i32::from(*byte) * i32::from(*high);
                sums[1] += i32::from(*byte) * i32::from(*low);
            }
            *out = sums;
        }
    }
}

/// The dot product of a whole row with a question.
struct Precise<'a> {
    coarse: &'a [u8],
    fine: &'a [i16],
    values: &'a [f32],
    step: f32,
}

impl WithSimd for Precise<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        let one = |coarse: u8, fine: i16, value: f32| {
            f64::from(value) * (f64::from(coarse) - 128.0 + f64::from(fine) * (1.0 / FINE))
        };
        let mut sums = [0.0f64; SUMS];
        let whole = self.values.len() / SUMS * SUMS;
        let blocks = self.coarse[..whole].chunks_exact(SUMS).zip(self.fine[..whole].chunks_exact(SUMS));
        for ((coarse, fine), values) in blocks.zip(self.values[..whole].chunks_exact(SUMS)) {
            for at in 0..SUMS {
                sums[at] += one(coarse[at], fine[at], values[at]);
            }
        }
        for at in whole..self.values.len() {
            sums[at - whole] += one(self.coarse[at], self.fine[at], self.values[at]);
        }
        (sums.iter().sum::<f64>() * f64::from(self.step)) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use proptest::prelude::*;

    fn plain(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    }

    fn length(values: &[f32]) -> f64 {
        plain(values, values).sqrt()
    }

    proptest! {
        #[test]
        fn agrees_with_double_precision_and_estimates_within_the_bound(
            columns in 1usize..200,
            rows in 1usize..12,
            scale in prop::sample::select(vec![1e-6f32, 1.0, 1e6]),
            seed: u64,
        ) {
            let mut rng = random::stream(seed, "rows");
            let mut draw = |scale: f32| -> Vec<f32> { (0..columns).map(|_| scale * random::normal(&mut rng)).collect() };
            let question = draw(scale);
            let kept: Vec<Vec<f32>> = (0..rows).map(|row| draw(if row == 0 { 0.0 } else { scale })).collect();
            let mut coded = CodedRows::new(columns);
            coded.grow(rows);
            kept.iter().enumerate().for_each(|(row, values)| coded.set(row, values));
            let asked = CodedQuestion::new(&question);
            let mut estimates = Vec::new();
            coded.estimate(&asked, &mut estimates);
            for (row, values) in kept.iter().enumerate() {
                let truth = plain(values, &question);
                let size = length(values) * length(&question);
                let dot = f64::from(coded.dot(row, &asked));
                prop_assert!((dot - truth).abs() <= 2e-7 * size, "{dot} for {truth}");
                let off = (f64::from(estimates[row]) - truth).abs();
                prop_assert!(off <= f64::from(coded.bound(row, &asked)), "{off} off, {}", coded.bound(row, &asked));
                for (got, want) in coded.row(row).iter().zip(values) {
                    prop_assert!(f64::from((got - want).abs()) <= 2e-7 * length(values));
                }
            }
        }

        #[test]
        fn every_machine_computes_the_same(columns in 1usize..200, seed: u64) {
            let mut rng = random::stream(seed, "bytes");
            let mut draw = || -> Vec<f32> { (0..columns).map(|_| random::normal(&mut rng)).collect() };
            let mut coded = CodedRows::new(columns);
            coded.grow(3);
            (0..3).for_each(|row| coded.set(row, &draw()));
            let asked = CodedQuestion::new(&draw());
            let (mut general, mut own) = ([[0, 0]; 3], [[0, 0]; 3]);
            dispatch(Products { rows: &coded.coarse, high: &asked.high, low: &asked.low, out: &mut general });
            products(&coded.coarse, &asked.high, &asked.low, &mut own);
            prop_assert_eq!(own, general);
        }
    }

    #[test]
    fn it_takes_less_memory_than_floats() {
        for (columns, most) in [(384, 0.76), (128, 0.77), (100, 0.85), (300, 0.79)] {
            let mut coded = CodedRows::new(columns);
            coded.grow(1000);
            let share = coded.bytes() as f64 / (4000 * columns) as f64;
            assert!(share < most, "{share} of the floats' memory with {columns} columns");
        }
    }
}
