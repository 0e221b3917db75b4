//! NEON: every aarch64 machine. f16 is widened with integer instructions, since the intrinsics for it are not stable in Rust 1.90.

#![allow(
    unused_unsafe,
    reason = "where a target has NEON by default, its intrinsics are safe to call"
)]

use std::arch::aarch64::*;

use half::f16;

use super::dispatch::Kernels;
use super::loops::{Lanes, Load, float_kernels};
use super::panels::{GROUP, Line, PANEL};

/// 4 f32 values.
#[derive(Clone, Copy)]
struct Quad(float32x4_t);

// SAFETY of every block below: the trait's contract is that NEON is enabled where its methods are called, and that `at` points to
// as many values as are loaded.
impl Lanes for Quad {
    const COUNT: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: see above.
        unsafe { Self(vdupq_n_f32(0.0)) }
    }

    #[inline(always)]
    unsafe fn fused(self, a: Self, b: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(vfmaq_f32(self.0, a.0, b.0)) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(vaddq_f32(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(vsubq_f32(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see above.
        unsafe { vaddvq_f32(self.0) }
    }

    #[inline(always)]
    unsafe fn prefetch(at: *const u8) {
        // SAFETY: a prefetch never faults.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly));
        }
    }
}

impl Load<f32> for Quad {
    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self {
        // SAFETY: see above.
        unsafe { Self(vld1q_f32(at)) }
    }

    #[inline(always)]
    unsafe fn load_part(at: *const f32, count: usize) -> Self {
        let mut values = [0.0; 4];
        // SAFETY: see above; `count < 4` fits the array.
        unsafe {
            std::ptr::copy_nonoverlapping(at, values.as_mut_ptr(), count);
            <Self as Load<f32>>::load(values.as_ptr())
        }
    }
}

impl Load<f16> for Quad {
    /// Exponent and fraction are moved into place and multiplied by 2^112, which mends the exponent's bias and normalises
    /// subnormals exactly; what was all ones in the exponent (infinity, NaN) comes out as 65536 or more and gets them back.
    #[inline(always)]
    unsafe fn load(at: *const f16) -> Self {
        const BIAS: f32 = f32::from_bits((127 + 112) << 23);
        // SAFETY: see above.
        unsafe {
            let bits = vmovl_u16(vld1_u16(at.cast()));
            let magnitude = vshlq_n_u32::<13>(vandq_u32(bits, vdupq_n_u32(0x7fff)));
            let scaled = vmulq_f32(vreinterpretq_f32_u32(magnitude), vdupq_n_f32(BIAS));
            let special = vandq_u32(vcgeq_f32(scaled, vdupq_n_f32(65536.0)), vdupq_n_u32(0x7f80_0000));
            let sign = vshlq_n_u32::<16>(vandq_u32(bits, vdupq_n_u32(0x8000)));
            let value = vorrq_u32(vreinterpretq_u32_f32(scaled), vorrq_u32(special, sign));
            Self(vreinterpretq_f32_u32(value))
        }
    }

    #[inline(always)]
    unsafe fn load_part(at: *const f16, count: usize) -> Self {
        let mut values = [f16::ZERO; 4];
        // SAFETY: see above; `count < 4` fits the array.
        unsafe {
            std::ptr::copy_nonoverlapping(at, values.as_mut_ptr(), count);
            <Self as Load<f16>>::load(values.as_ptr())
        }
    }
}

// 4 rows x 4 chains: 16 of the 32 registers.
float_kernels!("neon", Quad, 4);

pub(super) const KERNELS: Kernels = Kernels {
    name: "neon",
    f32: float_kernels::table(),
    f16: float_kernels::table(),
    mixed: float_kernels::table(),
    dot_i8,
    dot_panels,
    l2_squared_i8,
    hamming,
    nibble_sums_gather: crate::distance::scalar::nibble_sums_gather,
};

#[target_feature(enable = "neon")]
fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    let (a_parts, a_rest) = a[..a.len().min(b.len())].as_chunks::<16>();
    let (b_parts, b_rest) = b[..a.len().min(b.len())].as_chunks::<16>();
    let mut sums = [vdupq_n_s32(0); 2];
    for (a, b) in a_parts.iter().zip(b_parts) {
        // SAFETY: 16 bytes are there.
        let (a, b) = unsafe { (vld1q_s8(a.as_ptr()), vld1q_s8(b.as_ptr())) };
        // A product is at most 2^14, so that 16 bits hold it.
        sums[0] = vpadalq_s16(sums[0], vmull_s8(vget_low_s8(a), vget_low_s8(b)));
        sums[1] = vpadalq_s16(sums[1], vmull_high_s8(a, b));
    }
    let rest = super::scalar::dot_i8(a_rest, b_rest);
    vaddvq_s32(vaddq_s32(sums[0], sums[1])).wrapping_add(rest)
}

/// Four values each of four rows, and of the query four times, give two sums a row.
#[target_feature(enable = "neon")]
unsafe fn dot_panels(query: &[[i8; GROUP]], panels: &[Line], out: &mut [[i32; PANEL]]) {
    let panels = panels.chunks_exact(query.len().max(1));
    let flip = vdupq_n_u8(128);
    for (out, panel) in out.iter_mut().zip(panels) {
        let mut sums = [[vdupq_n_s32(0); 2]; 4];
        for (values, rows) in query.iter().zip(panel) {
            let values = vreinterpretq_s8_s32(vdupq_n_s32(i32::from_ne_bytes(values.map(i8::cast_unsigned))));
            for (sums, four) in sums.iter_mut().zip(rows.0.as_flattened().as_chunks::<16>().0) {
                // SAFETY: 16 bytes are there.
                let four = vreinterpretq_s8_u8(veorq_u8(unsafe { vld1q_u8(four.as_ptr()) }, flip));
                sums[0] = vpadalq_s16(sums[0], vmull_s8(vget_low_s8(four), vget_low_s8(values)));
                sums[1] = vpadalq_s16(sums[1], vmull_high_s8(four, values));
            }
        }
        for (out, pair) in out.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
            // SAFETY: there is room for four sums.
            unsafe { vst1q_s32(out.as_mut_ptr(), vpaddq_s32(pair[0], pair[1])) };
        }
    }
}

#[target_feature(enable = "neon")]
fn l2_squared_i8(a: &[i8], b: &[i8]) -> i32 {
    let (a_parts, a_rest) = a[..a.len().min(b.len())].as_chunks::<16>();
    let (b_parts, b_rest) = b[..a.len().min(b.len())].as_chunks::<16>();
    let mut sums = [vdupq_n_s32(0); 2];
    for (a, b) in a_parts.iter().zip(b_parts) {
        // SAFETY: 16 bytes are there.
        let (a, b) = unsafe { (vld1q_s8(a.as_ptr()), vld1q_s8(b.as_ptr())) };
        for difference in [vsubl_s8(vget_low_s8(a), vget_low_s8(b)), vsubl_high_s8(a, b)] {
            sums[0] = vmlal_s16(sums[0], vget_low_s16(difference), vget_low_s16(difference));
            sums[1] = vmlal_high_s16(sums[1], difference, difference);
        }
    }
    let rest = super::scalar::l2_squared_i8(a_rest, b_rest);
    vaddvq_s32(vaddq_s32(sums[0], sums[1])).wrapping_add(rest)
}

#[target_feature(enable = "neon")]
fn hamming(a: &[u8], b: &[u8]) -> u32 {
    let (a_parts, a_rest) = a[..a.len().min(b.len())].as_chunks::<16>();
    let (b_parts, b_rest) = b[..a.len().min(b.len())].as_chunks::<16>();
    let mut sum = vdupq_n_u32(0);
    for (a, b) in a_parts.iter().zip(b_parts) {
        // SAFETY: 16 bytes are there.
        let difference = unsafe { veorq_u8(vld1q_u8(a.as_ptr()), vld1q_u8(b.as_ptr())) };
        sum = vpadalq_u16(sum, vpaddlq_u8(vcntq_u8(difference)));
    }
    vaddvq_u32(sum) + super::scalar::hamming(a_rest, b_rest)
}
