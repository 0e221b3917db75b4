//! AVX-512 and AVX2 with FMA.

// SAFETY of every block here: the trait's caller runs on a processor with the instruction set and promises the values behind pointers.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason, given above, holds for every one-instruction block of this file"
)]

use std::arch::x86_64::*;

use super::Simd;

/// AVX-512.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

/// AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// The mask of the first `count` lanes.
#[inline(always)]
fn lanes(count: usize) -> __mmask16 {
    ((1_u32 << count) - 1) as __mmask16
}

impl Simd for Avx512 {
    type V = __m512;
    const W: usize = 16;
    const TILE_ROWS: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(lanes(count), from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: __m512) {
        unsafe { _mm512_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn store_part(to: *mut f32, v: __m512, count: usize) {
        unsafe { _mm512_mask_storeu_ps(to, lanes(count), v) }
    }
    #[inline(always)]
    unsafe fn store_bytes(to: *mut u8, v: __m512) {
        unsafe {
            let whole = _mm512_max_epi32(_mm512_cvtps_epi32(v), _mm512_setzero_si512());
            _mm_storeu_si128(to.cast(), _mm512_cvtusepi32_epi8(whole));
        }
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn round(a: __m512) -> __m512 {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    unsafe fn exp2(whole: __m512) -> __m512 {
        unsafe { _mm512_scalef_ps(_mm512_set1_ps(1.0), whole) }
    }
    #[inline(always)]
    unsafe fn fraction(x: __m512) -> __m512 {
        unsafe { _mm512_reduce_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(x) }
    }
    #[inline(always)]
    unsafe fn times_exp2(a: __m512, x: __m512) -> __m512 {
        unsafe { _mm512_scalef_ps(a, x) }
    }
    #[inline(always)]
    unsafe fn sum(a: __m512) -> f32 {
        unsafe { _mm512_reduce_add_ps(a) }
    }
    #[inline(always)]
    unsafe fn largest(a: __m512) -> f32 {
        unsafe { _mm512_reduce_max_ps(a) }
    }
    #[inline(always)]
    unsafe fn transpose(
        from: *const f32,
        from_stride: usize,
        rows: usize,
        count: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        unsafe {
            let mask = lanes(count);
            let mut a = [_mm512_setzero_ps(); 16];
            for (row, a) in a.iter_mut().enumerate() {
                if row < rows {
                    *a = _mm512_maskz_loadu_ps(mask, from.add(row * from_stride));
                }
            }
            // Blocks of 2 x 2, then of 4 x 4 inside each quarter of a vector.
            let mut b = a;
            for at in (0..16).step_by(2) {
                b[at] = _mm512_unpacklo_ps(a[at], a[at + 1]);
                b[at + 1] = _mm512_unpackhi_ps(a[at], a[at + 1]);
            }
            let pairs = |x, y| {
                let (x, y) = (_mm512_castps_pd(x), _mm512_castps_pd(y));
                let (low, high) = (_mm512_unpacklo_pd(x, y), _mm512_unpackhi_pd(x, y));
                (_mm512_castpd_ps(low), _mm512_castpd_ps(high))
            };
            for at in (0..16).step_by(4) {
                (a[at], a[at + 1]) = pairs(b[at], b[at + 2]);
                (a[at + 2], a[at + 3]) = pairs(b[at + 1], b[at + 3]);
            }
            // Quarters between vectors that are four, then eight apart.
            for at in 0..4 {
                b[at] = _mm512_shuffle_f32x4::<0x88>(a[at], a[at + 4]);
                b[at + 4] = _mm512_shuffle_f32x4::<0xdd>(a[at], a[at + 4]);
                b[at + 8] = _mm512_shuffle_f32x4::<0x88>(a[at + 8], a[at + 12]);
                b[at + 12] = _mm512_shuffle_f32x4::<0xdd>(a[at + 8], a[at + 12]);
            }
            for at in 0..8 {
                let (low, high) = (b[at], b[at + 8]);
                _mm512_storeu_ps(to.add(at * to_stride), _mm512_shuffle_f32x4::<0x88>(low, high));
                _mm512_storeu_ps(
                    to.add((at + 8) * to_stride),
                    _mm512_shuffle_f32x4::<0xdd>(low, high),
                );
            }
        }
    }
}

/// Eight words of all ones, then eight of zeros: a window into it masks the first `count` lanes.
static WINDOW: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// The mask of the first `count` lanes, `count <= 8`.
#[inline(always)]
unsafe fn lanes8(count: usize) -> __m256i {
    unsafe { _mm256_loadu_si256(WINDOW.as_ptr().add(8 - count).cast()) }
}

impl Simd for Avx2 {
    type V = __m256;
    const W: usize = 8;
    const TILE_ROWS: usize = 6;

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> __m256 {
        unsafe { _mm256_maskload_ps(from, lanes8(count)) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: __m256) {
        unsafe { _mm256_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn store_part(to: *mut f32, v: __m256, count: usize) {
        unsafe { _mm256_maskstore_ps(to, lanes8(count), v) }
    }
    #[inline(always)]
    unsafe fn store_bytes(to: *mut u8, v: __m256) {
        unsafe {
            let whole = _mm256_cvtps_epi32(v);
            let words = _mm_packs_epi32(
                _mm256_castsi256_si128(whole),
                _mm256_extracti128_si256::<1>(whole),
            );
            _mm_storel_epi64(to.cast(), _mm_packus_epi16(words, words));
        }
    }
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn round(a: __m256) -> __m256 {
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    unsafe fn exp2(whole: __m256) -> __m256 {
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        }
    }
    #[inline(always)]
    unsafe fn fraction(x: __m256) -> __m256 {
        unsafe {
            let x = _mm256_max_ps(x, _mm256_set1_ps(-126.0));
            _mm256_sub_ps(x, _mm256_floor_ps(x))
        }
    }
    #[inline(always)]
    unsafe fn times_exp2(a: __m256, x: __m256) -> __m256 {
        unsafe {
            let x = _mm256_max_ps(x, _mm256_set1_ps(-126.0));
            _mm256_mul_ps(a, Self::exp2(_mm256_floor_ps(x)))
        }
    }
    #[inline(always)]
    unsafe fn sum(a: __m256) -> f32 {
        unsafe {
            let half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)))
        }
    }
    #[inline(always)]
    unsafe fn largest(a: __m256) -> f32 {
        unsafe {
            let half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let quarter = _mm_max_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_max_ss(quarter, _mm_movehdup_ps(quarter)))
        }
    }
    #[inline(always)]
    unsafe fn transpose(
        from: *const f32,
        from_stride: usize,
        rows: usize,
        count: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        unsafe {
            let mut a = [_mm256_setzero_ps(); 8];
            for (row, a) in a.iter_mut().enumerate() {
                if row < rows {
                    *a = Self::load_part(from.add(row * from_stride), count);
                }
            }
            let mut b = a;
            for at in (0..8).step_by(2) {
                b[at] = _mm256_unpacklo_ps(a[at], a[at + 1]);
                b[at + 1] = _mm256_unpackhi_ps(a[at], a[at + 1]);
            }
            for at in (0..8).step_by(4) {
                a[at] = _mm256_shuffle_ps::<0x44>(b[at], b[at + 2]);
                a[at + 1] = _mm256_shuffle_ps::<0xee>(b[at], b[at + 2]);
                a[at + 2] = _mm256_shuffle_ps::<0x44>(b[at + 1], b[at + 3]);
                a[at + 3] = _mm256_shuffle_ps::<0xee>(b[at + 1], b[at + 3]);
            }
            for at in 0..4 {
                let (low, high) = (a[at], a[at + 4]);
                _mm256_storeu_ps(to.add(at * to_stride), _mm256_permute2f128_ps::<0x20>(low, high));
                _mm256_storeu_ps(
                    to.add((at + 4) * to_stride),
                    _mm256_permute2f128_ps::<0x31>(low, high),
                );
            }
        }
    }
}
