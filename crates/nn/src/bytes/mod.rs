//! Convolutions, and dense layers over rows, over values shorter than single precision: bytes, whose products are summed in whole numbers,
//! and numbers of half the length (bfloat16), whose products are summed in single precision.
//!
//! A value x is kept as the byte q of x = scale * (q - zero), one scale a map; weights are signed
//! bytes with a scale for each output (Jacob et al. 2018, "Quantization and training of neural networks
//! for efficient integer-arithmetic-only inference"). The sums are exact, and what follows them is
//! the same few operations in single precision everywhere, so every processor gives the same bytes:
//! those with the instructions for it (AVX-512 VNNI, AVX-VNNI) fast, others more slowly than single
//! precision, which is enough for calibration and tests.

mod filter;
mod kernel;
mod lanes;
mod layers;
mod levels;
mod pack;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use filter::{Added, ByteArgs, ByteFilter, Output};
pub(crate) use layers::{global_average, halve, max_pool, quantise};
pub use levels::Levels;
pub(crate) use rows::{RowBytes, RowLayer};

/// The instructions that sums over bytes are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instructions {
    /// `vpdpbusd` over vectors of 64 bytes.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// `vpdpbusd` over vectors of 32 bytes.
    #[cfg(target_arch = "x86_64")]
    Avx,
    /// Products of 16-bit numbers over vectors of 32 bytes.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// None in particular.
    Plain,
    /// `vdpbf16ps` over vectors of 32 numbers of half the length.
    #[cfg(target_arch = "x86_64")]
    Avx512Halves,
    /// None in particular, over numbers of half the length.
    PlainHalves,
}

impl Instructions {
    /// Every kind that this processor has, the fastest first.
    pub(crate) fn available() -> Vec<Instructions> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let wide = std::is_x86_feature_detected!("avx512f")
                && std::is_x86_feature_detected!("avx512bw")
                && std::is_x86_feature_detected!("avx512vl")
                && std::is_x86_feature_detected!("avx512vnni");
            if wide {
                found.push(Instructions::Avx512);
            }
            if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                if std::is_x86_feature_detected!("avxvnni") {
                    found.push(Instructions::Avx);
                }
                found.push(Instructions::Avx2);
            }
        }
        found.push(Instructions::Plain);
        found
    }

    /// Every kind for numbers of half the length that this processor has, the fastest first.
    pub(crate) fn halves() -> Vec<Instructions> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let wide = std::is_x86_feature_detected!("avx512f")
                && std::is_x86_feature_detected!("avx512bw")
                && std::is_x86_feature_detected!("avx512vl")
                && std::is_x86_feature_detected!("avx512bf16");
            if wide {
                found.push(Instructions::Avx512Halves);
            }
        }
        found.push(Instructions::PlainHalves);
        found
    }

    /// The fastest for bytes.
    pub(crate) fn best() -> Instructions {
        static BEST: std::sync::LazyLock<Instructions> =
            std::sync::LazyLock::new(|| Instructions::available()[0]);
        *BEST
    }
}

/// Whether this processor has instructions for sums over bytes; without them a plan of bytes is slower
/// than one of single precision.
pub fn is_native() -> bool {
    match Instructions::best() {
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 | Instructions::Avx => true,
        _ => false,
    }
}

/// Whether sums over numbers of half the length are faster on this processor than those of single precision.
///
/// `vdpbf16ps` makes twice the products of a fused multiplication. AMD's processors begin as many of either at a time; Intel's
/// begin two of the latter for one of the former, so that packing is all that is added. SSE4a is what AMD alone has.
pub fn has_fast_halves() -> bool {
    #[cfg(target_arch = "x86_64")]
    let begins_two = std::is_x86_feature_detected!("sse4a");
    #[cfg(not(target_arch = "x86_64"))]
    let begins_two = true;
    begins_two && Instructions::halves()[0] != Instructions::PlainHalves
}
