//! Sums of products of unsigned bytes (activations) with signed bytes (weights), exact at every instruction set.

// SAFETY of every block here: the traits' caller runs on a processor with the instruction set and promises the values behind pointers.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason, given above, holds for every one-instruction block of this file"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use super::Simd;
use super::portable::Portable;
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};

/// Vectors of `F::W` sums of 32 bits.
///
/// # Safety
/// As for [`Simd`].
pub(crate) trait Dot: Copy {
    /// The instruction set that finishes the sums.
    type F: Simd;
    /// `W` sums.
    type Sums: Copy;
    /// `W * GROUP` weights: `GROUP` inputs of each of `W` outputs.
    type Weights: Copy;
    /// The codes of `GROUP` inputs, for every output.
    type Codes: Copy;
    /// How many inputs one step takes in.
    const GROUP: usize;

    /// `W` sums that are `-zero` times the `W` values at `from`: what is too much in sums of codes whose zero is `zero`.
    unsafe fn start(zero: i32, from: *const i32) -> Self::Sums;
    /// Writes `W` sums.
    unsafe fn store(to: *mut i32, sums: Self::Sums);
    /// `W` zeros.
    unsafe fn none() -> Self::Sums;
    unsafe fn weights(from: *const i8) -> Self::Weights;
    unsafe fn codes(from: *const u8) -> Self::Codes;
    unsafe fn dot(sums: Self::Sums, codes: Self::Codes, weights: Self::Weights) -> Self::Sums;
    unsafe fn to_f32(sums: Self::Sums) -> <Self::F as Simd>::V;
}

/// AVX-512 with VNNI: four products a lane in one instruction.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Vnni512;

#[cfg(target_arch = "x86_64")]
impl Dot for Vnni512 {
    type F = Avx512;
    type Sums = __m512i;
    type Weights = __m512i;
    type Codes = __m512i;
    const GROUP: usize = 4;

    #[inline(always)]
    unsafe fn start(zero: i32, from: *const i32) -> __m512i {
        unsafe { _mm512_mullo_epi32(_mm512_set1_epi32(-zero), _mm512_loadu_si512(from.cast())) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut i32, sums: __m512i) {
        unsafe { _mm512_storeu_si512(to.cast(), sums) }
    }
    #[inline(always)]
    unsafe fn none() -> __m512i {
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    unsafe fn weights(from: *const i8) -> __m512i {
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn codes(from: *const u8) -> __m512i {
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn dot(sums: __m512i, codes: __m512i, weights: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sums, codes, weights) }
    }
    #[inline(always)]
    unsafe fn to_f32(sums: __m512i) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(sums) }
    }
}

/// AVX-VNNI, without AVX-512.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct AvxVnni;

#[cfg(target_arch = "x86_64")]
impl Dot for AvxVnni {
    type F = Avx2;
    type Sums = __m256i;
    type Weights = __m256i;
    type Codes = __m256i;
    const GROUP: usize = 4;

    #[inline(always)]
    unsafe fn start(zero: i32, from: *const i32) -> __m256i {
        unsafe { _mm256_mullo_epi32(_mm256_set1_epi32(-zero), _mm256_loadu_si256(from.cast())) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut i32, sums: __m256i) {
        unsafe { _mm256_storeu_si256(to.cast(), sums) }
    }
    #[inline(always)]
    unsafe fn none() -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    unsafe fn weights(from: *const i8) -> __m256i {
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    unsafe fn codes(from: *const u8) -> __m256i {
        unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn dot(sums: __m256i, codes: __m256i, weights: __m256i) -> __m256i {
        unsafe { _mm256_dpbusd_avx_epi32(sums, codes, weights) }
    }
    #[inline(always)]
    unsafe fn to_f32(sums: __m256i) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(sums) }
    }
}

/// AVX-512 without VNNI. Bytes are widened to 16 bits first: `vpmaddubsw` would saturate.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Wide512;

#[cfg(target_arch = "x86_64")]
impl Dot for Wide512 {
    type F = Avx512;
    type Sums = __m512i;
    type Weights = __m512i;
    type Codes = __m512i;
    const GROUP: usize = 2;

    #[inline(always)]
    unsafe fn start(zero: i32, from: *const i32) -> __m512i {
        unsafe { Vnni512::start(zero, from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut i32, sums: __m512i) {
        unsafe { _mm512_storeu_si512(to.cast(), sums) }
    }
    #[inline(always)]
    unsafe fn none() -> __m512i {
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    unsafe fn weights(from: *const i8) -> __m512i {
        unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.cast())) }
    }
    #[inline(always)]
    unsafe fn codes(from: *const u8) -> __m512i {
        unsafe { _mm512_set1_epi32(i32::from(*from) | i32::from(*from.add(1)) << 16) }
    }
    #[inline(always)]
    unsafe fn dot(sums: __m512i, codes: __m512i, weights: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(sums, _mm512_madd_epi16(codes, weights)) }
    }
    #[inline(always)]
    unsafe fn to_f32(sums: __m512i) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(sums) }
    }
}

/// AVX2 without VNNI, likewise.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Wide256;

#[cfg(target_arch = "x86_64")]
impl Dot for Wide256 {
    type F = Avx2;
    type Sums = __m256i;
    type Weights = __m256i;
    type Codes = __m256i;
    const GROUP: usize = 2;

    #[inline(always)]
    unsafe fn start(zero: i32, from: *const i32) -> __m256i {
        unsafe { AvxVnni::start(zero, from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut i32, sums: __m256i) {
        unsafe { _mm256_storeu_si256(to.cast(), sums) }
    }
    #[inline(always)]
    unsafe fn none() -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    unsafe fn weights(from: *const i8) -> __m256i {
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast())) }
    }
    #[inline(always)]
    unsafe fn codes(from: *const u8) -> __m256i {
        unsafe { _mm256_set1_epi32(i32::from(*from) | i32::from(*from.add(1)) << 16) }
    }
    #[inline(always)]
    unsafe fn dot(sums: __m256i, codes: __m256i, weights: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(codes, weights)) }
    }
    #[inline(always)]
    unsafe fn to_f32(sums: __m256i) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(sums) }
    }
}

impl Dot for Portable {
    type F = Portable;
    type Sums = [i32; 8];
    type Weights = [[i8; 4]; 8];
    type Codes = [u8; 4];
    const GROUP: usize = 4;

    #[inline(always)]
    unsafe fn start(zero: i32, from: *const i32) -> [i32; 8] {
        unsafe {
            from.cast::<[i32; 8]>()
                .read_unaligned()
                .map(|value| -zero * value)
        }
    }
    #[inline(always)]
    unsafe fn store(to: *mut i32, sums: [i32; 8]) {
        unsafe { to.cast::<[i32; 8]>().write_unaligned(sums) }
    }
    #[inline(always)]
    unsafe fn none() -> [i32; 8] {
        [0; 8]
    }
    #[inline(always)]
    unsafe fn weights(from: *const i8) -> [[i8; 4]; 8] {
        unsafe { from.cast::<[[i8; 4]; 8]>().read() }
    }
    #[inline(always)]
    unsafe fn codes(from: *const u8) -> [u8; 4] {
        unsafe { from.cast::<[u8; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn dot(mut sums: [i32; 8], codes: [u8; 4], weights: [[i8; 4]; 8]) -> [i32; 8] {
        for (sum, weights) in sums.iter_mut().zip(weights) {
            for (code, weight) in codes.iter().zip(weights) {
                *sum += i32::from(*code) * i32::from(weight);
            }
        }
        sums
    }
    #[inline(always)]
    unsafe fn to_f32(sums: [i32; 8]) -> [f32; 8] {
        sums.map(|sum| sum as f32)
    }
}
