//! The vector instructions that the kernel is written over, one implementation a kind of processor.
//!
//! `pulp`, over which the kernels of single precision are written, has no sums of products of bytes.

/// Vectors of 32-bit sums and of single precision, [`Lanes::COUNT`] of either.
///
/// # Safety
/// Every function needs a processor with the instructions of its implementation, and pointers to as
/// many values as it reads or writes.
pub(super) unsafe trait Lanes: Copy {
    /// Whole numbers; also four bytes in each place.
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
    /// At each place the sum and four products of unsigned `x` and signed `w`.
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
    /// a * b + c, rounded once.
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// Within `low` and `high`.
    unsafe fn clamp(x: Self::Floats, low: Self::Floats, high: Self::Floats) -> Self::Floats;
    /// Numbers to memory.
    unsafe fn store(x: Self::Floats, to: *mut f32);
    /// Numbers from 0 to 255, rounded to the nearest, to even ones between two, to memory as bytes.
    unsafe fn store_bytes(x: Self::Floats, to: *mut u8);
}

/// Code without vector instructions of its own.
#[derive(Clone, Copy)]
pub(super) struct Plain;

// SAFETY: these run anywhere; pointers are the callers' matter.
unsafe impl Lanes for Plain {
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
            for (x, w) in x.to_ne_bytes().into_iter().zip(w.to_ne_bytes()) {
                *sum += i32::from(x) * i32::from(w as i8);
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn add(mut a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    }

    #[inline(always)]
    unsafe fn floats(sums: [i32; 16]) -> [f32; 16] {
        sums.map(|sum| sum as f32)
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
    unsafe fn mul_add(mut a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        for (a, (b, c)) in a.iter_mut().zip(b.into_iter().zip(c)) {
            *a = a.mul_add(b, c);
        }
        a
    }

    #[inline(always)]
    unsafe fn clamp(mut x: [f32; 16], low: [f32; 16], high: [f32; 16]) -> [f32; 16] {
        for (x, (low, high)) in x.iter_mut().zip(low.into_iter().zip(high)) {
            *x = x.max(low).min(high);
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
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    /// AVX-512 F, BW, VL and VNNI.
    #[derive(Clone, Copy)]
    pub struct Avx512;

    // SAFETY: each function is the one instruction that its name says, over 16 places.
    unsafe impl Lanes for Avx512 {
        type Sums = __m512i;
        type Floats = __m512;
        const COUNT: usize = 16;

        #[inline(always)]
        unsafe fn zeros() -> __m512i {
            // SAFETY: the caller has these instructions.
            unsafe { _mm512_setzero_si512() }
        }

        #[inline(always)]
        unsafe fn splat_bytes(x: *const u8) -> __m512i {
            // SAFETY: the caller has these instructions and gives four bytes.
            unsafe { _mm512_set1_epi32(x.cast::<i32>().read_unaligned()) }
        }

        #[inline(always)]
        unsafe fn weights(w: *const i8) -> __m512i {
            // SAFETY: the caller has these instructions and gives 64 weights.
            unsafe { _mm512_loadu_si512(w.cast()) }
        }

        #[inline(always)]
        unsafe fn dot(sums: __m512i, x: __m512i, w: __m512i) -> __m512i {
            // SAFETY: the caller has these instructions.
            unsafe { _mm512_dpbusd_epi32(sums, x, w) }
        }

        #[inline(always)]
        unsafe fn add(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: the caller has these instructions.
            unsafe { _mm512_add_epi32(a, b) }
        }

        #[inline(always)]
        unsafe fn floats(sums: __m512i) -> __m512 {
            // SAFETY: the caller has these instructions.
            unsafe { _mm512_cvtepi32_ps(sums) }
        }

        #[inline(always)]
        unsafe fn splat(x: f32) -> __m512 {
            // SAFETY: the caller has these instructions.
            unsafe { _mm512_set1_ps(x) }
        }

        #[inline(always)]
        unsafe fn load(x: *const f32) -> __m512 {
            // SAFETY: the caller has these instructions and gives 16 numbers.
            unsafe { _mm512_loadu_ps(x) }
        }

        #[inline(always)]
        unsafe fn load_bytes(x: *const u8) -> __m512 {
            // SAFETY: the caller has these instructions and gives 16 bytes.
            unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(x.cast()))) }
        }

        #[inline(always)]
        unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: the caller has these instructions.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        unsafe fn clamp(x: __m512, low: __m512, high: __m512) -> __m512 {
            // SAFETY: the caller has these instructions.
            unsafe { _mm512_min_ps(_mm512_max_ps(x, low), high) }
        }

        #[inline(always)]
        unsafe fn store(x: __m512, to: *mut f32) {
            // SAFETY: the caller has these instructions and gives room for 16 numbers.
            unsafe { _mm512_storeu_ps(to, x) }
        }

        #[inline(always)]
        unsafe fn store_bytes(x: __m512, to: *mut u8) {
            // SAFETY: the caller has these instructions and gives room for 16 bytes.
            unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(x))) }
        }
    }

    /// AVX2 and FMA; with `VNNI` AVX-VNNI besides.
    #[derive(Clone, Copy)]
    pub struct Avx<const VNNI: bool>;

    // SAFETY: each function is what its name says, over 8 places.
    unsafe impl<const VNNI: bool> Lanes for Avx<VNNI> {
        type Sums = __m256i;
        type Floats = __m256;
        const COUNT: usize = 8;

        #[inline(always)]
        unsafe fn zeros() -> __m256i {
            // SAFETY: the caller has these instructions.
            unsafe { _mm256_setzero_si256() }
        }

        #[inline(always)]
        unsafe fn splat_bytes(x: *const u8) -> __m256i {
            // SAFETY: the caller has these instructions and gives four bytes.
            unsafe { _mm256_set1_epi32(x.cast::<i32>().read_unaligned()) }
        }

        #[inline(always)]
        unsafe fn weights(w: *const i8) -> __m256i {
            // SAFETY: the caller has these instructions and gives 32 weights.
            unsafe { _mm256_loadu_si256(w.cast()) }
        }

        #[inline(always)]
        unsafe fn dot(sums: __m256i, x: __m256i, w: __m256i) -> __m256i {
            // SAFETY: the caller has these instructions.
            unsafe {
                if VNNI {
                    return _mm256_dpbusd_avx_epi32(sums, x, w);
                }
                // `vpmaddubsw` would cut off what is more than 15 bits: even and odd bytes by themselves.
                let (even_x, odd_x) =
                    (_mm256_and_si256(x, _mm256_set1_epi16(255)), _mm256_srli_epi16::<8>(x));
                let (even_w, odd_w) =
                    (_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w)), _mm256_srai_epi16::<8>(w));
                let (even, odd) = (_mm256_madd_epi16(even_x, even_w), _mm256_madd_epi16(odd_x, odd_w));
                _mm256_add_epi32(sums, _mm256_add_epi32(even, odd))
            }
        }

        #[inline(always)]
        unsafe fn add(a: __m256i, b: __m256i) -> __m256i {
            // SAFETY: the caller has these instructions.
            unsafe { _mm256_add_epi32(a, b) }
        }

        #[inline(always)]
        unsafe fn floats(sums: __m256i) -> __m256 {
            // SAFETY: the caller has these instructions.
            unsafe { _mm256_cvtepi32_ps(sums) }
        }

        #[inline(always)]
        unsafe fn splat(x: f32) -> __m256 {
            // SAFETY: the caller has these instructions.
            unsafe { _mm256_set1_ps(x) }
        }

        #[inline(always)]
        unsafe fn load(x: *const f32) -> __m256 {
            // SAFETY: the caller has these instructions and gives 8 numbers.
            unsafe { _mm256_loadu_ps(x) }
        }

        #[inline(always)]
        unsafe fn load_bytes(x: *const u8) -> __m256 {
            // SAFETY: the caller has these instructions and gives 8 bytes.
            unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(x.cast()))) }
        }

        #[inline(always)]
        unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
            // SAFETY: the caller has these instructions.
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        unsafe fn clamp(x: __m256, low: __m256, high: __m256) -> __m256 {
            // SAFETY: the caller has these instructions.
            unsafe { _mm256_min_ps(_mm256_max_ps(x, low), high) }
        }

        #[inline(always)]
        unsafe fn store(x: __m256, to: *mut f32) {
            // SAFETY: the caller has these instructions and gives room for 8 numbers.
            unsafe { _mm256_storeu_ps(to, x) }
        }

        #[inline(always)]
        unsafe fn store_bytes(x: __m256, to: *mut u8) {
            // SAFETY: the caller has these instructions and gives room for 8 bytes.
            unsafe {
                let whole = _mm256_cvtps_epi32(x);
                let (low, high) = (_mm256_castsi256_si128(whole), _mm256_extracti128_si256::<1>(whole));
                let words = _mm_packus_epi32(low, high);
                _mm_storel_epi64(to.cast(), _mm_packus_epi16(words, words));
            }
        }
    }
}
