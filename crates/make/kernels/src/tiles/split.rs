//! f32 values as sums of bf16 values, the largest part first: each part is what the ones before it leave, rounded. One part is the value to 8
//! bits, three parts are all of its 24.

use std::arch::x86_64::*;

/// Sixteen values in `PARTS` parts.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(crate) fn split<const PARTS: usize>(value: __m512) -> [__m256i; PARTS] {
    let mut rest = value;
    let mut parts = [_mm256_setzero_si256(); PARTS];
    for (at, part) in parts.iter_mut().enumerate() {
        *part = round(rest);
        if at + 1 < PARTS {
            rest = _mm512_sub_ps(rest, widen(*part));
        }
    }
    parts
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
