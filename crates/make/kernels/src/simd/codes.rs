//! Reading small numbers as vectors of f32: bytes, halves of bytes, and the upper halves of floats (bfloat16).

// SAFETY of every block here: the trait's caller runs on a processor with the instruction set and promises the values behind pointers.
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

/// What weights in few bits are read with.
///
/// # Safety
/// As for [`Simd`]; each needs `W` values at the address, of any alignment.
pub(crate) trait Codes: Simd {
    /// `W` unsigned bytes.
    unsafe fn bytes(from: *const u8) -> Self::V;
    /// The lower halves of `W` bytes, and the upper ones.
    unsafe fn nibbles(from: *const u8) -> [Self::V; 2];
    /// `W` values of bfloat16.
    unsafe fn bfloats(from: *const u16) -> Self::V;
}

#[cfg(target_arch = "x86_64")]
impl Codes for Avx512 {
    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn nibbles(from: *const u8) -> [__m512; 2] {
        unsafe {
            let both = _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()));
            let low = _mm512_and_si512(both, _mm512_set1_epi32(15));
            [low, _mm512_srli_epi32::<4>(both)].map(|half| _mm512_cvtepi32_ps(half))
        }
    }
    #[inline(always)]
    unsafe fn bfloats(from: *const u16) -> __m512 {
        unsafe {
            let upper = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(upper))
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Codes for Avx2 {
    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn nibbles(from: *const u8) -> [__m256; 2] {
        unsafe {
            let both = _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()));
            let low = _mm256_and_si256(both, _mm256_set1_epi32(15));
            [low, _mm256_srli_epi32::<4>(both)].map(|half| _mm256_cvtepi32_ps(half))
        }
    }
    #[inline(always)]
    unsafe fn bfloats(from: *const u16) -> __m256 {
        unsafe {
            let upper = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(upper))
        }
    }
}

impl Codes for Portable {
    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> [f32; 8] {
        unsafe { from.cast::<[u8; 8]>().read().map(f32::from) }
    }
    #[inline(always)]
    unsafe fn nibbles(from: *const u8) -> [[f32; 8]; 2] {
        let both = unsafe { from.cast::<[u8; 8]>().read() };
        [
            both.map(|byte| f32::from(byte & 15)),
            both.map(|byte| f32::from(byte >> 4)),
        ]
    }
    #[inline(always)]
    unsafe fn bfloats(from: *const u16) -> [f32; 8] {
        let upper = unsafe { from.cast::<[u16; 8]>().read_unaligned() };
        upper.map(|upper| f32::from_bits(u32::from(upper) << 16))
    }
}
