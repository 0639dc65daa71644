//! The vectors of x86 processors: AVX-512 with VNNI or BF16, and AVX2 with or without VNNI.

use std::arch::x86_64::*;

use super::Lanes;

/// AVX-512 F, BW and VL; VNNI or, with `HALF`, BF16.
#[derive(Clone, Copy)]
pub struct Avx512<const HALF: bool>;

// SAFETY: each function is the one instruction that its name says, over 16 places.
unsafe impl<const HALF: bool> Lanes for Avx512<HALF> {
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
        unsafe {
            if HALF {
                let (x, w) = (
                    std::mem::transmute::<__m512i, __m512bh>(x),
                    std::mem::transmute::<__m512i, __m512bh>(w),
                );
                return _mm512_castps_si512(_mm512_dpbf16_ps(_mm512_castsi512_ps(sums), x, w));
            }
            _mm512_dpbusd_epi32(sums, x, w)
        }
    }

    #[inline(always)]
    unsafe fn add(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the caller has these instructions.
        unsafe {
            if HALF {
                return _mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
            }
            _mm512_add_epi32(a, b)
        }
    }

    #[inline(always)]
    unsafe fn floats(sums: __m512i) -> __m512 {
        // SAFETY: the caller has these instructions.
        unsafe { if HALF { _mm512_castsi512_ps(sums) } else { _mm512_cvtepi32_ps(sums) } }
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
    unsafe fn load_halves(x: *const u16) -> __m512 {
        // SAFETY: the caller has these instructions and gives 16 halves.
        unsafe {
            let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(x.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
        }
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the caller has these instructions.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn clamp(x: __m512, low: __m512, high: __m512) -> __m512 {
        // SAFETY: the caller has these instructions.
        unsafe { _mm512_min_ps(high, _mm512_max_ps(low, x)) }
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

    #[inline(always)]
    unsafe fn store_halves(x: __m512, to: *mut u16) {
        assert!(HALF, "bytes do not become halves");
        // SAFETY: the caller has these instructions and gives room for 16 halves.
        unsafe {
            let halves = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x));
            _mm256_storeu_si256(to.cast(), halves);
        }
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
            let (even_x, odd_x) = (_mm256_and_si256(x, _mm256_set1_epi16(255)), _mm256_srli_epi16::<8>(x));
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
    unsafe fn load_halves(_: *const u16) -> __m256 {
        unreachable!("these are for bytes")
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the caller has these instructions.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn clamp(x: __m256, low: __m256, high: __m256) -> __m256 {
        // SAFETY: the caller has these instructions.
        unsafe { _mm256_min_ps(high, _mm256_max_ps(low, x)) }
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

    #[inline(always)]
    unsafe fn store_halves(_: __m256, _: *mut u16) {
        unreachable!("these are for bytes")
    }
}
