//! f32 values as sums of two bf16 values, high and low: `high` is the value rounded, `low` what is missing, rounded.

use std::arch::x86_64::*;

/// What is after `high`.
#[derive(Clone, Copy)]
pub(crate) struct Halves {
    pub(crate) high: __m256i,
    pub(crate) low: __m256i,
}

/// Sixteen values as sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(crate) fn split(value: __m512) -> Halves {
    let high = round(value);
    Halves {
        high,
        low: round(_mm512_sub_ps(value, widen(high))),
    }
}

/// Sixteen values as bf16, ties to even; what is smaller than the least normal number becomes zero.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(crate) fn round(value: __m512) -> __m256i {
    // SAFETY: both types are 256 bits.
    unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(value)) }
}

/// Sixteen bf16 values as f32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(crate) fn widen(value: __m256i) -> __m512 {
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(value)))
}

/// The same for one weight, in plain Rust.
pub(crate) fn split_scalar(value: f32) -> [u16; 2] {
    let high = round_scalar(value);
    let rest = value - f32::from_bits(u32::from(high) << 16);
    [high, round_scalar(rest)]
}

/// Ties to even. Weights that are not finite are refused before they come here.
fn round_scalar(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}
