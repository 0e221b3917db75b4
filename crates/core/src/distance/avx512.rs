//! AVX-512: f32 needs F, BW and VL; i8 needs VNNI and bits need VPOPCNTDQ besides (all there from Ice Lake and Zen 4 on).
//!
//! f16 stays with AVX2: widening into 512-bit registers took 1.2 times as long on Zen 4 (`bench/distances f16`).

use std::arch::x86_64::*;

use super::dispatch::Kernels;
use super::loops::{Lanes, Load, float_kernels};
use super::panels::{GROUP, Line, PANEL};

/// 16 f32 values.
#[derive(Clone, Copy)]
struct Zmm(__m512);

// SAFETY of every block below: the trait's contract is that AVX-512 F, BW and VL are enabled where its methods are called, and
// that `at` points to as many values as are loaded.
impl Lanes for Zmm {
    const COUNT: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm512_setzero_ps()) }
    }

    #[inline(always)]
    unsafe fn fused(self, a: Self, b: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm512_fmadd_ps(a.0, b.0, self.0)) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm512_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm512_sub_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_add_ps(self.0) }
    }

    #[inline(always)]
    unsafe fn prefetch(at: *const u8) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}

impl Load<f32> for Zmm {
    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm512_loadu_ps(at)) }
    }

    #[inline(always)]
    unsafe fn load_part(at: *const f32, count: usize) -> Self {
        // SAFETY: see above; masked-out lanes are not read.
        unsafe { Self(_mm512_maskz_loadu_ps((1 << count) - 1, at)) }
    }
}

// 4 rows x 4 chains: 16 of the 32 registers.
float_kernels!("avx512f,avx512bw,avx512vl", Zmm, 4);

/// The f32 kernels of this file, and those of `lesser` for the rest.
pub(super) const fn over(lesser: Kernels) -> Kernels {
    Kernels {
        name: "avx512",
        f32: float_kernels::table(),
        ..lesser
    }
}

/// The first `left` of 64 bytes, or all.
fn mask(left: usize) -> u64 {
    if left >= 64 { u64::MAX } else { (1 << left) - 1 }
}

/// VNNI multiplies unsigned by signed bytes, so that `(a + 128)·b - 128 Σb` is computed.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    let count = a.len().min(b.len());
    let (flip, ones) = (_mm512_set1_epi8(i8::MIN), _mm512_set1_epi8(1));
    let mut sums = [_mm512_setzero_si512(); 2];
    let mut offsets = [_mm512_setzero_si512(); 2];
    let mut add = |chain: usize, a: __m512i, b: __m512i| {
        sums[chain] = _mm512_dpbusd_epi32(sums[chain], _mm512_xor_si512(a, flip), b);
        offsets[chain] = _mm512_dpbusd_epi32(offsets[chain], ones, b);
    };
    let mut at = 0;
    // SAFETY: loads end at or before `count`; masked-out bytes are not read.
    unsafe {
        while at + 128 <= count {
            for chain in 0..2 {
                let from = at + 64 * chain;
                let b = _mm512_loadu_epi8(b.as_ptr().add(from));
                add(chain, _mm512_loadu_epi8(a.as_ptr().add(from)), b);
            }
            at += 128;
        }
        while at < count {
            let mask = mask(count - at);
            let b = _mm512_maskz_loadu_epi8(mask, b.as_ptr().add(at));
            // Where b is masked out it is zero, and so is the product.
            add(0, _mm512_maskz_loadu_epi8(mask, a.as_ptr().add(at)), b);
            at += 64;
        }
    }
    let sum = _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]));
    let offset = _mm512_reduce_add_epi32(_mm512_add_epi32(offsets[0], offsets[1]));
    sum.wrapping_sub(offset.wrapping_mul(128))
}

/// Panels whose sums grow together: as many as one instruction takes steps.
const TOGETHER: usize = 5;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn dot_panels(query: &[[i8; GROUP]], panels: &[Line], out: &mut [[i32; PANEL]]) {
    let excess = excess(query);
    let parts = panels.chunks((query.len() * TOGETHER).max(1));
    for (out, panels) in out.chunks_mut(TOGETHER).zip(parts) {
        if let Ok(out) = <&mut [_; TOGETHER]>::try_from(&mut *out) {
            // SAFETY: the caller promises a panel for each place of `out`.
            unsafe { dot_together(query, excess, panels, out) };
            continue;
        }
        for (out, panel) in out.iter_mut().zip(panels.chunks_exact(query.len().max(1))) {
            // SAFETY: the same.
            unsafe { dot_together(query, excess, panel, std::array::from_mut(out)) };
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn dot_together<const N: usize>(
    query: &[[i8; GROUP]],
    excess: i32,
    panels: &[Line],
    out: &mut [[i32; PANEL]; N],
) {
    let mut sums = [_mm512_setzero_si512(); N];
    for (at, values) in query.iter().enumerate() {
        let values = _mm512_set1_epi32(i32::from_ne_bytes(values.map(i8::cast_unsigned)));
        for (panel, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the caller promises that panels are as long as the query.
            let rows = unsafe { _mm512_load_si512(panels.as_ptr().add(panel * query.len() + at).cast()) };
            *sum = _mm512_dpbusd_epi32(*sum, rows, values);
        }
    }
    let excess = _mm512_set1_epi32(excess);
    for (out, sum) in out.iter_mut().zip(sums) {
        // SAFETY: there is room for 16 sums.
        unsafe { _mm512_storeu_epi32(out.as_mut_ptr(), _mm512_sub_epi32(sum, excess)) };
    }
}

/// What 128 more in each value of a row adds to its products with this query.
fn excess(query: &[[i8; GROUP]]) -> i32 {
    let values = query.as_flattened().iter();
    values
        .fold(0i32, |sum, value| sum.wrapping_add(i32::from(*value)))
        .wrapping_mul(128)
}

/// Differences fit 16 bits; pairs of their squares are added by VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn l2_squared_i8(a: &[i8], b: &[i8]) -> i32 {
    let count = a.len().min(b.len());
    let mut sums = [_mm512_setzero_si512(); 2];
    let mut add = |chain: usize, a: __m256i, b: __m256i| {
        let difference = _mm512_sub_epi16(_mm512_cvtepi8_epi16(a), _mm512_cvtepi8_epi16(b));
        sums[chain] = _mm512_dpwssd_epi32(sums[chain], difference, difference);
    };
    let mut at = 0;
    // SAFETY: loads end at or before `count`; masked-out bytes are not read.
    unsafe {
        while at + 64 <= count {
            for chain in 0..2 {
                let from = at + 32 * chain;
                let b = _mm256_loadu_epi8(b.as_ptr().add(from));
                add(chain, _mm256_loadu_epi8(a.as_ptr().add(from)), b);
            }
            at += 64;
        }
        while at < count {
            let mask = mask(count - at) as u32;
            let b = _mm256_maskz_loadu_epi8(mask, b.as_ptr().add(at));
            add(0, _mm256_maskz_loadu_epi8(mask, a.as_ptr().add(at)), b);
            at += 32;
        }
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq")]
pub(super) fn hamming(a: &[u8], b: &[u8]) -> u32 {
    let count = a.len().min(b.len());
    let mut sum = _mm512_setzero_si512();
    let mut at = 0;
    while at < count {
        let mask = mask(count - at);
        // SAFETY: masked-out bytes are not read.
        let difference = unsafe {
            let a = _mm512_maskz_loadu_epi8(mask, a.as_ptr().add(at).cast());
            _mm512_xor_si512(a, _mm512_maskz_loadu_epi8(mask, b.as_ptr().add(at).cast()))
        };
        sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(difference));
        at += 64;
    }
    _mm512_reduce_add_epi64(sum) as u32
}

/// How many rows ahead of the one being summed are called for.
const AHEAD: usize = 16;

/// Half bytes are the unsigned side of VNNI's products. Four rows share one reduction.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn nibble_sums_gather(
    query: &[i8],
    rows: &[u8],
    stride: usize,
    ids: &[u32],
    out: &mut [i32],
) {
    let nibble = _mm512_set1_epi8(15);
    // SAFETY: the caller promises that all rows are inside `rows`, whole lines; prefetches may point anywhere.
    unsafe {
        let row = |id: u32| rows.as_ptr().wrapping_add(id as usize * stride);
        let call = |id: u32| {
            for line in (0..stride).step_by(64) {
                _mm_prefetch::<_MM_HINT_T0>(row(id).wrapping_add(line).cast());
            }
        };
        let sum = |id: u32| {
            let mut sum = _mm512_setzero_si512();
            for line in (0..stride).step_by(64) {
                let bytes = _mm512_loadu_epi8(row(id).add(line).cast());
                let low = _mm512_and_si512(bytes, nibble);
                let high = _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), nibble);
                let (first, second) = (query.as_ptr().add(line), query.as_ptr().add(stride + line));
                sum = _mm512_dpbusd_epi32(sum, low, _mm512_loadu_epi8(first));
                sum = _mm512_dpbusd_epi32(sum, high, _mm512_loadu_epi8(second));
            }
            sum
        };
        ids.iter().take(AHEAD).for_each(|id| call(*id));
        let (fours, rest) = ids.as_chunks::<4>();
        let (out_fours, out_rest) = out.as_chunks_mut::<4>();
        for (at, (four, out)) in fours.iter().zip(out_fours).enumerate() {
            for id in ids[4 * at..].iter().skip(AHEAD).take(4) {
                call(*id);
            }
            let [a, b, c, d] = four.map(sum);
            // Lanes of two rows next to each other, then of all four.
            let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            let all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
            let half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64::<1>(all));
            let sums = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
            _mm_storeu_si128(out.as_mut_ptr().cast(), sums);
        }
        for (id, out) in rest.iter().zip(out_rest) {
            *out = _mm512_reduce_add_epi32(sum(*id));
        }
    }
}
