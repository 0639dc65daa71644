//! Weights as signed bytes, packed for the kernel: four that are multiplied with neighboring bytes lie
//! together, those of a panel's columns side by side.

use super::Instructions;
use crate::simd::AlignedVec;

/// The widest panel, in columns.
#[cfg(target_arch = "x86_64")]
const WIDEST: usize = 64;

/// A matrix (taps * length, columns) of signed bytes. Rows of a tap are filled up to whole groups of
/// four with zeros, columns to whole vectors.
#[derive(Debug, Clone)]
pub(super) struct PackedBytes {
    bytes: AlignedVec,
    /// Groups of four rows, of all taps.
    groups: usize,
    columns: usize,
    /// Columns of the widest panel for these instructions.
    widest: usize,
}

impl PackedBytes {
    /// Packs the matrix whose weight in row `k` of `tap` and column `j` is `at(tap, k, j)`.
    pub fn new(
        (taps, length): (usize, usize),
        columns: usize,
        instructions: Instructions,
        at: impl Fn(usize, usize, usize) -> i8,
    ) -> PackedBytes {
        let widest = match instructions {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 | Instructions::Avx512Halves => WIDEST,
            _ => 16,
        };
        let (each, columns_up) = (length.div_ceil(4), columns.next_multiple_of(16));
        let groups = taps * each;
        let mut packed = PackedBytes {
            bytes: AlignedVec::zeros(groups * columns_up),
            groups,
            columns: columns_up,
            widest,
        };
        let panels: Vec<(usize, usize)> = packed.panels().collect();
        let bytes: &mut [i8] = bytemuck::cast_slice_mut(&mut packed.bytes);
        for (first, width) in panels {
            for group in 0..groups {
                let start = (first * groups + group * width) * 4;
                for j in 0..width.min(columns.saturating_sub(first)) {
                    for part in 0..4 {
                        let (tap, k) = (group / each, group % each * 4 + part);
                        if k < length {
                            bytes[start + j * 4 + part] = at(tap, k, first + j);
                        }
                    }
                }
            }
        }
        packed
    }

    /// First column and number of columns of every panel.
    pub fn panels(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (columns, widest) = (self.columns, self.widest);
        let mut first = 0;
        std::iter::from_fn(move || {
            let left = columns - first;
            let width = [64, 32, 16].into_iter().find(|width| *width <= left && *width <= widest)?;
            first += width;
            Some((first - width, width))
        })
    }

    /// The weights of a panel.
    pub fn panel(&self, (first, width): (usize, usize)) -> &[i8] {
        let bytes: &[i8] = bytemuck::cast_slice(&self.bytes);
        &bytes[first * self.groups * 4..][..width * self.groups * 4]
    }

    /// Columns, filled up to whole vectors.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Groups of four rows.
    pub fn groups(&self) -> usize {
        self.groups
    }
}
