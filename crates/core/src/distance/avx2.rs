//! AVX2 with FMA, F16C and POPCNT: Haswell (2013), Zen 1 and later.

use std::arch::x86_64::*;

use half::f16;

use super::dispatch::Kernels;
use super::loops::{Lanes, Load, float_kernels};

/// 8 f32 values.
#[derive(Clone, Copy)]
struct Ymm(__m256);

// SAFETY of every block below: the trait's contract is that AVX2, FMA and F16C are enabled where its methods are called, and that
// `at` points to as many values as are loaded.
impl Lanes for Ymm {
    const COUNT: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm256_setzero_ps()) }
    }

    #[inline(always)]
    unsafe fn fused(self, a: Self, b: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm256_fmadd_ps(a.0, b.0, self.0)) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm256_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm256_sub_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see above.
        unsafe {
            let half = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)))
        }
    }

    #[inline(always)]
    unsafe fn prefetch(at: *const u8) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}

/// Eight set and eight clear lanes: a window into it is the mask of the first lanes.
static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

impl Load<f32> for Ymm {
    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm256_loadu_ps(at)) }
    }

    #[inline(always)]
    unsafe fn load_part(at: *const f32, count: usize) -> Self {
        // SAFETY: see above; `count < 8`, so that the window is inside MASKS, and masked-out lanes are not read.
        unsafe {
            let mask = _mm256_loadu_si256(MASKS.as_ptr().add(8 - count).cast());
            Self(_mm256_maskload_ps(at, mask))
        }
    }
}

impl Load<f16> for Ymm {
    #[inline(always)]
    unsafe fn load(at: *const f16) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm256_cvtph_ps(_mm_loadu_si128(at.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_part(at: *const f16, count: usize) -> Self {
        let mut values = [f16::ZERO; 8];
        // SAFETY: see above; `count < 8` fits the array.
        unsafe {
            std::ptr::copy_nonoverlapping(at, values.as_mut_ptr(), count);
            <Self as Load<f16>>::load(values.as_ptr())
        }
    }
}

// 2 rows x 4 chains: 8 of the 16 registers.
float_kernels!("avx2,fma,f16c", Ymm, 2);

pub(super) const KERNELS: Kernels = Kernels {
    name: "avx2",
    f32: float_kernels::table(),
    f16: float_kernels::table(),
    mixed: float_kernels::table(),
    dot_i8,
    l2_squared_i8,
    hamming,
    bit_sums_gather,
};

#[target_feature(enable = "avx2")]
fn sum_i32(sums: __m256i) -> i32 {
    let half = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    let quarter = _mm_add_epi32(half, _mm_unpackhi_epi64(half, half));
    _mm_cvtsi128_si32(_mm_add_epi32(quarter, _mm_shuffle_epi32::<1>(quarter)))
}

/// 16 bytes from `at`, widened to 16 bits each.
///
/// # Safety
/// 16 bytes are there.
#[target_feature(enable = "avx2")]
unsafe fn widened(at: *const i8) -> __m256i {
    // SAFETY: the caller's promise.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(at.cast()) })
}

#[target_feature(enable = "avx2")]
fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    let (a_parts, a_rest) = a[..a.len().min(b.len())].as_chunks::<32>();
    let (b_parts, b_rest) = b[..a.len().min(b.len())].as_chunks::<32>();
    let mut sums = [_mm256_setzero_si256(); 2];
    for (a, b) in a_parts.iter().zip(b_parts) {
        for (chain, sum) in sums.iter_mut().enumerate() {
            // SAFETY: 16 bytes from 0 or 16 of 32.
            let (a, b) = unsafe {
                (
                    widened(a.as_ptr().add(16 * chain)),
                    widened(b.as_ptr().add(16 * chain)),
                )
            };
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(a, b));
        }
    }
    let rest = super::scalar::dot_i8(a_rest, b_rest);
    sum_i32(_mm256_add_epi32(sums[0], sums[1])).wrapping_add(rest)
}

#[target_feature(enable = "avx2")]
fn l2_squared_i8(a: &[i8], b: &[i8]) -> i32 {
    let (a_parts, a_rest) = a[..a.len().min(b.len())].as_chunks::<32>();
    let (b_parts, b_rest) = b[..a.len().min(b.len())].as_chunks::<32>();
    let mut sums = [_mm256_setzero_si256(); 2];
    for (a, b) in a_parts.iter().zip(b_parts) {
        for (chain, sum) in sums.iter_mut().enumerate() {
            // SAFETY: 16 bytes from 0 or 16 of 32.
            let (a, b) = unsafe {
                (
                    widened(a.as_ptr().add(16 * chain)),
                    widened(b.as_ptr().add(16 * chain)),
                )
            };
            let difference = _mm256_sub_epi16(a, b);
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(difference, difference));
        }
    }
    let rest = super::scalar::l2_squared_i8(a_rest, b_rest);
    sum_i32(_mm256_add_epi32(sums[0], sums[1])).wrapping_add(rest)
}

/// Four words at a time through POPCNT, which runs at one word a cycle or better on every machine that has AVX2.
#[target_feature(enable = "popcnt")]
fn hamming(a: &[u8], b: &[u8]) -> u32 {
    let (a_words, a_rest) = a[..a.len().min(b.len())].as_chunks::<8>();
    let (b_words, b_rest) = b[..a.len().min(b.len())].as_chunks::<8>();
    let mut sum = 0;
    for (a, b) in a_words.iter().zip(b_words) {
        sum += (u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b)).count_ones();
    }
    sum + super::scalar::hamming(a_rest, b_rest)
}

/// How many rows ahead of the one being summed are called for.
const AHEAD: usize = 6;

/// 32 bits at a time become 32 masks of a byte; the bytes they leave, shifted to be without sign, are added up by `sad`.
#[target_feature(enable = "avx2,popcnt")]
unsafe fn bit_sums_gather(query: &[i8], rows: &[u64], stride: usize, ids: &[u32], out: &mut [i32]) {
    let words = query.len() / 64;
    let flip = _mm256_set1_epi8(i8::MIN);
    let each = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
    let (low, high) = (0x0000_0000_0000_0000, 0x0101_0101_0101_0101);
    let spread = _mm256_setr_epi64x(low, high, 2 * high, 3 * high);
    // SAFETY: the caller promises that all rows are inside `rows`; prefetches may point anywhere.
    unsafe {
        let row = |id: u32| rows.as_ptr().wrapping_add(id as usize * stride);
        for (at, (id, out)) in ids.iter().zip(out).enumerate() {
            if let Some(later) = ids.get(at + AHEAD) {
                _mm_prefetch::<_MM_HINT_T0>(row(*later).cast());
            }
            let (mut sums, mut ones) = (_mm256_setzero_si256(), 0);
            for word in 0..words {
                let bits = *row(*id).add(word);
                ones += bits.count_ones();
                for half in 0..2 {
                    let here = _mm256_set1_epi32((bits >> (32 * half)) as i32);
                    let own = _mm256_and_si256(_mm256_shuffle_epi8(here, spread), each);
                    let mask = _mm256_cmpeq_epi8(own, each);
                    let values = _mm256_loadu_si256(query.as_ptr().add(64 * word + 32 * half).cast());
                    let picked = _mm256_and_si256(_mm256_xor_si256(values, flip), mask);
                    sums = _mm256_add_epi64(sums, _mm256_sad_epu8(picked, _mm256_setzero_si256()));
                }
            }
            // Sums of bytes are far below 2^31, so that the upper halves of the four sums are zero.
            *out = sum_i32(sums) - 128 * ones as i32;
        }
    }
}
