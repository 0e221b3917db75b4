//! AVX2 with FMA, F16C and POPCNT: Haswell (2013), Zen 1 and later.

use std::arch::x86_64::*;

use half::f16;

use super::dispatch::Kernels;
use super::loops::{Lanes, Load, float_kernels};
use super::panels::{GROUP, Line, PANEL};

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
    dot_panels,
    l2_squared_i8,
    hamming,
    nibble_sums_gather,
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

/// Four values each of four rows, and of the query four times, give two sums a row.
#[target_feature(enable = "avx2")]
unsafe fn dot_panels(query: &[[i8; GROUP]], panels: &[Line], out: &mut [[i32; PANEL]]) {
    let panels = panels.chunks_exact(query.len().max(1));
    let flip = _mm_set1_epi8(i8::MIN);
    for (out, panel) in out.iter_mut().zip(panels) {
        let mut sums = [_mm256_setzero_si256(); 4];
        for (values, rows) in query.iter().zip(panel) {
            let values =
                _mm256_cvtepi8_epi16(_mm_set1_epi32(i32::from_ne_bytes(values.map(i8::cast_unsigned))));
            for (sum, four) in sums.iter_mut().zip(rows.0.as_chunks::<4>().0) {
                // SAFETY: 16 bytes are there.
                let four = unsafe { _mm_loadu_si128(four.as_ptr().cast()) };
                let four = _mm256_cvtepi8_epi16(_mm_xor_si128(four, flip));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(four, values));
            }
        }
        for (out, pair) in out.as_chunks_mut::<8>().0.iter_mut().zip(sums.as_chunks::<2>().0) {
            // Of both, pairs of rows in turn.
            let sums = _mm256_hadd_epi32(pair[0], pair[1]);
            let sums = _mm256_permute4x64_epi64::<0b11_01_10_00>(sums);
            // SAFETY: there is room for eight sums.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), sums) };
        }
    }
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

/// Products of half bytes and bytes fit 16 bits, and so do sums of a few.
#[target_feature(enable = "avx2")]
unsafe fn nibble_sums_gather(query: &[i8], rows: &[u8], stride: usize, ids: &[u32], out: &mut [i32]) {
    let (nibble, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
    // SAFETY: the caller promises that all rows are inside `rows`, whole lines; prefetches may point anywhere.
    unsafe {
        let row = |id: u32| rows.as_ptr().wrapping_add(id as usize * stride);
        for (at, (id, out)) in ids.iter().zip(out).enumerate() {
            if let Some(later) = ids.get(at + AHEAD) {
                for line in (0..stride).step_by(64) {
                    _mm_prefetch::<_MM_HINT_T0>(row(*later).wrapping_add(line).cast());
                }
            }
            let mut sums = _mm256_setzero_si256();
            for half in (0..stride).step_by(32) {
                let bytes = _mm256_loadu_si256(row(*id).add(half).cast());
                let low = _mm256_and_si256(bytes, nibble);
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble);
                let first = _mm256_loadu_si256(query.as_ptr().add(half).cast());
                let second = _mm256_loadu_si256(query.as_ptr().add(stride + half).cast());
                let products = _mm256_add_epi16(
                    _mm256_maddubs_epi16(low, first),
                    _mm256_maddubs_epi16(high, second),
                );
                sums = _mm256_add_epi32(sums, _mm256_madd_epi16(products, ones));
            }
            *out = sum_i32(sums);
        }
    }
}
