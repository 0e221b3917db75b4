//! NEON of 64-bit ARM: two registers of four values work as one vector of eight; and dot products of bytes where the processor has them.

// SAFETY of every block here: the traits' caller runs on a processor with the instruction set and promises the values behind pointers.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason, given above, holds for every one-instruction block of this file"
)]

use std::arch::aarch64::*;
use std::arch::asm;

use super::Simd;
use super::codes::Codes;
use super::int8::Dot;

/// NEON, which every 64-bit ARM has.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

type V = [float32x4_t; 2];

#[inline(always)]
unsafe fn both(a: V, b: V, apply: unsafe fn(float32x4_t, float32x4_t) -> float32x4_t) -> V {
    unsafe { [apply(a[0], b[0]), apply(a[1], b[1])] }
}

impl Simd for Neon {
    type V = V;
    const W: usize = 8;
    // 6 rows of 2 vectors of 2 registers leave 8 of the 32 for what is multiplied.
    const TILE_ROWS: usize = 6;

    #[inline(always)]
    unsafe fn splat(value: f32) -> V {
        unsafe { [vdupq_n_f32(value); 2] }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> V {
        unsafe { [vld1q_f32(from), vld1q_f32(from.add(4))] }
    }
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> V {
        let mut out = [0.0; 8];
        unsafe {
            std::ptr::copy_nonoverlapping(from, out.as_mut_ptr(), count);
            Self::load(out.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: V) {
        unsafe {
            vst1q_f32(to, v[0]);
            vst1q_f32(to.add(4), v[1]);
        }
    }
    #[inline(always)]
    unsafe fn store_part(to: *mut f32, v: V, count: usize) {
        let mut values = [0.0; 8];
        unsafe {
            Self::store(values.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(values.as_ptr(), to, count);
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(to: *mut u8, v: V) {
        unsafe {
            let halves = v.map(|half| vqmovun_s32(vcvtnq_s32_f32(half)));
            vst1_u8(to, vqmovn_u16(vcombine_u16(halves[0], halves[1])));
        }
    }
    #[inline(always)]
    unsafe fn add(a: V, b: V) -> V {
        unsafe { both(a, b, vaddq_f32) }
    }
    #[inline(always)]
    unsafe fn sub(a: V, b: V) -> V {
        unsafe { both(a, b, vsubq_f32) }
    }
    #[inline(always)]
    unsafe fn mul(a: V, b: V) -> V {
        unsafe { both(a, b, vmulq_f32) }
    }
    #[inline(always)]
    unsafe fn div(a: V, b: V) -> V {
        unsafe { both(a, b, vdivq_f32) }
    }
    #[inline(always)]
    unsafe fn min(a: V, b: V) -> V {
        unsafe { both(a, b, vminq_f32) }
    }
    #[inline(always)]
    unsafe fn max(a: V, b: V) -> V {
        unsafe { both(a, b, vmaxq_f32) }
    }
    #[inline(always)]
    unsafe fn fma(a: V, b: V, c: V) -> V {
        unsafe { [vfmaq_f32(c[0], a[0], b[0]), vfmaq_f32(c[1], a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn round(a: V) -> V {
        unsafe { a.map(|half| vrndnq_f32(half)) }
    }
    #[inline(always)]
    unsafe fn exp2(whole: V) -> V {
        unsafe {
            whole.map(|half| {
                let exponent = vaddq_s32(vcvtnq_s32_f32(half), vdupq_n_s32(127));
                vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
            })
        }
    }
    #[inline(always)]
    unsafe fn fraction(x: V) -> V {
        unsafe {
            x.map(|half| {
                let half = vmaxq_f32(half, vdupq_n_f32(-126.0));
                vsubq_f32(half, vrndmq_f32(half))
            })
        }
    }
    #[inline(always)]
    unsafe fn times_exp2(a: V, x: V) -> V {
        unsafe {
            let whole = x.map(|half| vrndmq_f32(vmaxq_f32(half, vdupq_n_f32(-126.0))));
            Self::mul(a, Self::exp2(whole))
        }
    }
    #[inline(always)]
    unsafe fn sum(a: V) -> f32 {
        unsafe { vaddvq_f32(vaddq_f32(a[0], a[1])) }
    }
    #[inline(always)]
    unsafe fn largest(a: V) -> f32 {
        unsafe { vmaxvq_f32(vmaxq_f32(a[0], a[1])) }
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
            let mut loaded = [Self::splat(0.0); 8];
            for (row, loaded) in loaded.iter_mut().enumerate().take(rows) {
                *loaded = match count {
                    8 => Self::load(from.add(row * from_stride)),
                    _ => Self::load_part(from.add(row * from_stride), count),
                };
            }
            // Blocks of 4 x 4.
            for down in [0, 4] {
                for across in [0, 1] {
                    let rows = [0, 1, 2, 3].map(|row| loaded[down + row][across]);
                    let (low, high) = (vtrnq_f32(rows[0], rows[1]), vtrnq_f32(rows[2], rows[3]));
                    let pair = |one, other, second: bool| {
                        let (one, other) = (vreinterpretq_f64_f32(one), vreinterpretq_f64_f32(other));
                        vreinterpretq_f32_f64(match second {
                            false => vtrn1q_f64(one, other),
                            true => vtrn2q_f64(one, other),
                        })
                    };
                    let columns = [
                        pair(low.0, high.0, false),
                        pair(low.1, high.1, false),
                        pair(low.0, high.0, true),
                        pair(low.1, high.1, true),
                    ];
                    for (column, values) in columns.into_iter().enumerate() {
                        vst1q_f32(to.add((4 * across + column) * to_stride + down), values);
                    }
                }
            }
        }
    }
}

impl Codes for Neon {
    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> V {
        unsafe { widened(vld1_u8(from)) }
    }
    #[inline(always)]
    unsafe fn nibbles(from: *const u8) -> [V; 2] {
        unsafe {
            let both = vld1_u8(from);
            [
                widened(vand_u8(both, vdup_n_u8(15))),
                widened(vshr_n_u8::<4>(both)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn bfloats(from: *const u16) -> V {
        unsafe {
            let all = vld1q_u16(from);
            [
                vreinterpretq_f32_u32(vshll_n_u16::<16>(vget_low_u16(all))),
                vreinterpretq_f32_u32(vshll_high_n_u16::<16>(all)),
            ]
        }
    }
}

/// Eight bytes as floats.
#[inline(always)]
unsafe fn widened(bytes: uint8x8_t) -> V {
    unsafe {
        let words = vmovl_u8(bytes);
        [
            vcvtq_f32_u32(vmovl_u16(vget_low_u16(words))),
            vcvtq_f32_u32(vmovl_high_u16(words)),
        ]
    }
}

/// `sums + a * b` of four bytes a lane by the instruction `$name`: the compiler's own functions for these are not stable yet. Not in
/// a closure, which would be compiled without the instruction set.
macro_rules! dot_by {
    ($name:literal, $sums:expr, $a:expr, $b:expr) => {{
        let mut sums: int32x4_t = $sums;
        asm!(
            concat!($name, " {sums:v}.4s, {a:v}.16b, {b:v}.16b"),
            sums = inout(vreg) sums,
            a = in(vreg) $a,
            b = in(vreg) $b,
            options(pure, nomem, nostack, preserves_flags),
        );
        sums
    }};
}

/// Everything of a [`Dot`] of NEON but the product.
macro_rules! neon_dot {
    ($name:ident, $($dot:item)*) => {
        impl Dot for $name {
            type F = Neon;
            type Sums = [int32x4_t; 2];
            type Weights = [int8x16_t; 2];
            type Codes = uint8x16_t;
            const GROUP: usize = 4;

            #[inline(always)]
            unsafe fn start(zero: i32, from: *const i32) -> [int32x4_t; 2] {
                unsafe { [vmulq_n_s32(vld1q_s32(from), -zero), vmulq_n_s32(vld1q_s32(from.add(4)), -zero)] }
            }
            #[inline(always)]
            unsafe fn store(to: *mut i32, sums: [int32x4_t; 2]) {
                unsafe {
                    vst1q_s32(to, sums[0]);
                    vst1q_s32(to.add(4), sums[1]);
                }
            }
            #[inline(always)]
            unsafe fn none() -> [int32x4_t; 2] {
                unsafe { [vdupq_n_s32(0); 2] }
            }
            #[inline(always)]
            unsafe fn weights(from: *const i8) -> [int8x16_t; 2] {
                unsafe { [vld1q_s8(from), vld1q_s8(from.add(16))] }
            }
            #[inline(always)]
            unsafe fn codes(from: *const u8) -> uint8x16_t {
                unsafe { vreinterpretq_u8_u32(vdupq_n_u32(from.cast::<u32>().read_unaligned())) }
            }
            #[inline(always)]
            unsafe fn to_f32(sums: [int32x4_t; 2]) -> V {
                unsafe { sums.map(|half| vcvtq_f32_s32(half)) }
            }
            $($dot)*
        }
    };
}

/// NEON with the dot product of signed bytes (FEAT_DotProd).
#[derive(Clone, Copy)]
pub(crate) struct DotProd;

neon_dot!(
    DotProd,
    #[inline(always)]
    unsafe fn dot(sums: [int32x4_t; 2], codes: uint8x16_t, weights: [int8x16_t; 2]) -> [int32x4_t; 2] {
        unsafe {
            // A code less 128 is a signed byte; what that lacks is the same for every row, and a compiler makes it once.
            let codes = vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(128)));
            let (none, least) = (vdupq_n_s32(0), vdupq_n_s8(-128));
            let lacking = [
                dot_by!("sdot", none, least, weights[0]),
                dot_by!("sdot", none, least, weights[1]),
            ];
            [
                vsubq_s32(dot_by!("sdot", sums[0], codes, weights[0]), lacking[0]),
                vsubq_s32(dot_by!("sdot", sums[1], codes, weights[1]), lacking[1]),
            ]
        }
    }
);

/// NEON with the dot product of unsigned and signed bytes (FEAT_I8MM).
#[derive(Clone, Copy)]
pub(crate) struct MixedDot;

neon_dot!(
    MixedDot,
    #[inline(always)]
    unsafe fn dot(sums: [int32x4_t; 2], codes: uint8x16_t, weights: [int8x16_t; 2]) -> [int32x4_t; 2] {
        unsafe {
            [
                dot_by!("usdot", sums[0], codes, weights[0]),
                dot_by!("usdot", sums[1], codes, weights[1]),
            ]
        }
    }
);
