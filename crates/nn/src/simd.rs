//! Memory and dispatch for vector code.
//!
//! A kernel is written once over [`pulp::Simd`] and compiled for every vector width a processor
//! of the target may have; [`pulp::Arch`] picks the widest one that this machine has when it
//! runs, so one program serves them all.

use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;

use pulp::{Arch, WithSimd};

/// Floats in the widest vector of any machine: what channels are rounded up to.
pub const WIDEST: usize = 16;

/// `count` rounded up to whole vectors.
pub fn round_up(count: usize) -> usize {
    count.next_multiple_of(WIDEST)
}

/// Runs a kernel with the widest vectors there are.
pub fn dispatch<K: WithSimd>(kernel: K) -> K::Output {
    static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);
    ARCH.dispatch(kernel)
}

/// Floats in a vector of this machine.
pub fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    dispatch(Lanes)
}

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; WIDEST]);

/// Floats that begin at a cache line, so that no vector of an aligned matrix lies across two.
#[derive(Debug, Clone, Default)]
pub struct AlignedVec {
    lines: Vec<Line>,
}

impl AlignedVec {
    /// At least `count` zeros.
    pub fn zeros(count: usize) -> AlignedVec {
        AlignedVec { lines: vec![Line([0.0; WIDEST]); count.div_ceil(WIDEST)] }
    }
}

impl Deref for AlignedVec {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: a line is sixteen floats without padding (64 bytes, aligned to 64), and the
        // slice covers the vector's lines, which live as long as the borrow.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * WIDEST) }
    }
}

impl DerefMut for AlignedVec {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * WIDEST) }
    }
}
