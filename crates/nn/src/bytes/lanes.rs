//! The vector instructions that the kernel is written over, one implementation a kind of processor.
//!
//! `pulp`, over which the kernels of single precision are written, has no sums of products of bytes, nor of
//! numbers of half the length (bfloat16). Where an implementation is for these, a sum is one of single
//! precision, kept by its bits.

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx, Avx512};

/// Vectors of 32-bit sums and of single precision, [`Lanes::COUNT`] of either.
///
/// # Safety
/// Every function needs a processor with the instructions of its implementation, and pointers to as
/// many values as it reads or writes.
pub(super) unsafe trait Lanes: Copy {
    /// Sums; also four bytes, or two numbers of half the length, in each place.
    type Sums: Copy;
    /// Numbers in single precision.
    type Floats: Copy;
    /// Numbers in a vector.
    const COUNT: usize;

    /// Zeros.
    unsafe fn zeros() -> Self::Sums;
    /// Four bytes at every place.
    unsafe fn splat_bytes(x: *const u8) -> Self::Sums;
    /// Four weights at each place.
    unsafe fn weights(w: *const i8) -> Self::Sums;
    /// At each place the sum and four products of unsigned `x` and signed `w`, or two of numbers of half the length.
    unsafe fn dot(sums: Self::Sums, x: Self::Sums, w: Self::Sums) -> Self::Sums;
    /// The sum of two.
    unsafe fn add(a: Self::Sums, b: Self::Sums) -> Self::Sums;

    /// As numbers in single precision.
    unsafe fn floats(sums: Self::Sums) -> Self::Floats;
    /// The same number at every place.
    unsafe fn splat(x: f32) -> Self::Floats;
    /// Numbers from memory.
    unsafe fn load(x: *const f32) -> Self::Floats;
    /// Bytes from memory as numbers.
    unsafe fn load_bytes(x: *const u8) -> Self::Floats;
    /// Numbers of half the length from memory.
    unsafe fn load_halves(x: *const u16) -> Self::Floats;
    /// a * b + c, rounded once.
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// Within `low` and `high`; what is no number stays none.
    unsafe fn clamp(x: Self::Floats, low: Self::Floats, high: Self::Floats) -> Self::Floats;
    /// Numbers to memory.
    unsafe fn store(x: Self::Floats, to: *mut f32);
    /// Numbers from 0 to 255, rounded to the nearest, to even ones between two, to memory as bytes.
    unsafe fn store_bytes(x: Self::Floats, to: *mut u8);
    /// Numbers to memory, rounded to half their length.
    unsafe fn store_halves(x: Self::Floats, to: *mut u16);
}

/// The upper half of a number's bits, rounded to the nearest, to even ones between two.
#[inline(always)]
pub(super) fn to_half(x: f32) -> u16 {
    let bits = x.to_bits();
    // What is no number stays none.
    if x.is_nan() { (bits >> 16) as u16 | 64 } else { ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16 }
}

/// The number whose bits end with `half`.
#[inline(always)]
pub(super) fn from_half(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

/// Code without vector instructions of its own, over bytes or, with `HALF`, over numbers of half the length.
#[derive(Clone, Copy)]
pub(super) struct Plain<const HALF: bool>;

// SAFETY: these run anywhere; pointers are the callers' matter.
unsafe impl<const HALF: bool> Lanes for Plain<HALF> {
    type Sums = [i32; 16];
    type Floats = [f32; 16];
    const COUNT: usize = 16;

    #[inline(always)]
    unsafe fn zeros() -> [i32; 16] {
        [0; 16]
    }

    #[inline(always)]
    unsafe fn splat_bytes(x: *const u8) -> [i32; 16] {
        // SAFETY: the caller gives four bytes.
        [unsafe { x.cast::<i32>().read_unaligned() }; 16]
    }

    #[inline(always)]
    unsafe fn weights(w: *const i8) -> [i32; 16] {
        // SAFETY: the caller gives 64 weights.
        unsafe { w.cast::<[i32; 16]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn dot(mut sums: [i32; 16], x: [i32; 16], w: [i32; 16]) -> [i32; 16] {
        for (sum, (x, w)) in sums.iter_mut().zip(x.into_iter().zip(w)) {
            if HALF {
                let half = |pair: i32, part: usize| from_half((pair as u32 >> (16 * part)) as u16);
                let products = half(x, 0) * half(w, 0) + half(x, 1) * half(w, 1);
                *sum = (f32::from_bits(*sum as u32) + products).to_bits() as i32;
                continue;
            }
            for (x, w) in x.to_ne_bytes().into_iter().zip(w.to_ne_bytes()) {
                *sum += i32::from(x) * i32::from(w as i8);
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn add(mut a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        for (a, b) in a.iter_mut().zip(b) {
            *a = match HALF {
                true => (f32::from_bits(*a as u32) + f32::from_bits(b as u32)).to_bits() as i32,
                false => *a + b,
            };
        }
        a
    }

    #[inline(always)]
    unsafe fn floats(sums: [i32; 16]) -> [f32; 16] {
        sums.map(|sum| if HALF { f32::from_bits(sum as u32) } else { sum as f32 })
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> [f32; 16] {
        [x; 16]
    }

    #[inline(always)]
    unsafe fn load(x: *const f32) -> [f32; 16] {
        // SAFETY: the caller gives 16 numbers.
        unsafe { x.cast::<[f32; 16]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_bytes(x: *const u8) -> [f32; 16] {
        // SAFETY: the caller gives 16 bytes.
        unsafe { x.cast::<[u8; 16]>().read_unaligned() }.map(f32::from)
    }

    #[inline(always)]
    unsafe fn load_halves(x: *const u16) -> [f32; 16] {
        // SAFETY: the caller gives 16 halves.
        unsafe { x.cast::<[u16; 16]>().read_unaligned() }.map(from_half)
    }

    #[inline(always)]
    unsafe fn mul_add(mut a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        for (a, (b, c)) in a.iter_mut().zip(b.into_iter().zip(c)) {
            *a = a.mul_add(b, c);
        }
        a
    }

    #[inline(always)]
    unsafe fn clamp(mut x: [f32; 16], low: [f32; 16], high: [f32; 16]) -> [f32; 16] {
        for (x, (low, high)) in x.iter_mut().zip(low.into_iter().zip(high)) {
            // Comparisons, because what is no number is neither.
            *x = if *x < low { low } else { *x };
            *x = if *x > high { high } else { *x };
        }
        x
    }

    #[inline(always)]
    unsafe fn store(x: [f32; 16], to: *mut f32) {
        // SAFETY: the caller gives room for 16 numbers.
        unsafe { to.cast::<[f32; 16]>().write_unaligned(x) }
    }

    #[inline(always)]
    unsafe fn store_bytes(x: [f32; 16], to: *mut u8) {
        // SAFETY: the caller gives room for 16 bytes.
        unsafe { to.cast::<[u8; 16]>().write_unaligned(x.map(|x| x.round_ties_even() as u8)) }
    }

    #[inline(always)]
    unsafe fn store_halves(x: [f32; 16], to: *mut u16) {
        // SAFETY: the caller gives room for 16 halves.
        unsafe { to.cast::<[u16; 16]>().write_unaligned(x.map(to_half)) }
    }
}
