//! NEON of 64-bit ARM: 16 codes a register; what is left over at the end of a row is done one by one.

use std::arch::aarch64::*;

use super::{BLOCK, Kernels, Layout, Tables, read_section, scalar};

pub(super) const KERNELS: Kernels = Kernels {
    name: "neon",
    scans: [scan::<1>, scan::<2>, scan::<4>, scan::<8>],
    lookups: [lookup::<false>, lookup::<true>],
    sums: scalar::sums,
};

/// # Safety
/// All rows are inside `codes`; the instructions are there.
#[target_feature(enable = "neon")]
unsafe fn scan<const BITS: u32>(
    query: &[i8],
    codes: &[u8],
    layout: Layout,
    ids: Option<&[u32]>,
    weight: i32,
    out: &mut [i32],
) {
    let bytes = super::section_bytes(query.len(), BITS);
    for (at, out) in out.iter_mut().enumerate() {
        let row = ids.map_or(at, |ids| ids[at] as usize);
        let code = &codes[row * layout.stride + layout.offset..][..bytes];
        // SAFETY: the code has the length that its reader needs.
        *out += weight
            * unsafe {
                match BITS {
                    8 => row_8(query, code),
                    1 => row_1(query, code),
                    _ => row_parts::<BITS>(query, code),
                }
            };
    }
}

/// The products of 16 signed bytes, added up: no product leaves 16 bits, and no pair 32.
#[inline]
#[target_feature(enable = "neon")]
fn add_products(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    vpadalq_s16(sum, vmull_high_s8(a, b))
}

/// # Safety
/// `code` is as long as `query`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn row_8(query: &[i8], code: &[u8]) -> i32 {
    let mut sum = vdupq_n_s32(0);
    // Codes are moved by 128 to become signed: so many times what the query adds up to is missing then.
    let mut moved = vdupq_n_s32(0);
    let mut at = 0;
    while at + 16 <= code.len() {
        // SAFETY: 16 values are left in both.
        let (code, values) = unsafe { (vld1q_u8(code.as_ptr().add(at)), vld1q_s8(query.as_ptr().add(at))) };
        sum = add_products(sum, vreinterpretq_s8_u8(veorq_u8(code, vdupq_n_u8(128))), values);
        moved = vpadalq_s16(moved, vpaddlq_s8(values));
        at += 16;
    }
    let rest = code[at..].iter().zip(&query[at..]);
    let rest: i32 = rest
        .map(|(&code, &value)| i32::from(code) * i32::from(value))
        .sum();
    vaddvq_s32(sum) + 128 * vaddvq_s32(moved) + rest
}

/// Two or four integers a byte.
///
/// # Safety
/// `code` holds the integers of `query.len()` values.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn row_parts<const BITS: u32>(query: &[i8], code: &[u8]) -> i32 {
    let low = vdupq_n_u8((1 << BITS) - 1);
    let width = code.len();
    let mut sums = vdupq_n_s32(0);
    let mut at = 0;
    while at + 16 <= width {
        // SAFETY: 16 bytes are left in the code, and 16 values in every part of the query.
        unsafe {
            let bytes = vld1q_u8(code.as_ptr().add(at));
            for part in 0..(8 / BITS) as usize {
                // A shift to the left by less than nothing is one to the right.
                let shift = vdupq_n_s8(-((part as u32 * BITS) as i8));
                let small = vreinterpretq_s8_u8(vandq_u8(vshlq_u8(bytes, shift), low));
                sums = add_products(sums, small, vld1q_s8(query.as_ptr().add(part * width + at)));
            }
        }
        at += 16;
    }
    let mut sum = vaddvq_s32(sums);
    for part in 0..(8 / BITS) as usize {
        for at in part * width + at..(part + 1) * width {
            sum += i32::from(read_section(code, query.len(), BITS, at)) * i32::from(query[at]);
        }
    }
    sum
}

/// # Safety
/// `code` holds one bit for each of `query`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn row_1(query: &[i8], code: &[u8]) -> i32 {
    const BITS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
    // SAFETY: 16 bytes.
    let bits = unsafe { vld1q_u8(BITS.as_ptr()) };
    let mut sums = vdupq_n_s32(0);
    let (pairs, _) = code.as_chunks::<2>();
    for (at, &[first, second]) in pairs.iter().enumerate() {
        let chosen = vtstq_u8(vcombine_u8(vdup_n_u8(first), vdup_n_u8(second)), bits);
        // SAFETY: two bytes of code stand for 16 values.
        let values = unsafe { vld1q_s8(query.as_ptr().add(16 * at)) };
        sums = vpadalq_s16(sums, vpaddlq_s8(vandq_s8(values, vreinterpretq_s8_u8(chosen))));
    }
    let done = 16 * pairs.len();
    let rest = query[done..].iter().enumerate();
    let rest =
        rest.map(|(at, &value)| i32::from(read_section(code, query.len(), 1, done + at)) * i32::from(value));
    vaddvq_s32(sums) + rest.sum::<i32>()
}

/// # Safety
/// `packed` is `32 * pairs` bytes for every 32 of `out`; the instructions are there.
#[target_feature(enable = "neon")]
unsafe fn lookup<const NARROW: bool>(tables: &Tables, packed: &[u8], out: &mut [u16]) {
    let low = vdupq_n_u8(15);
    let [even, odd] = tables.sides().map(|side| side.as_ptr().cast::<u8>());
    for (block, out) in packed
        .chunks_exact((BLOCK * tables.pairs).max(1))
        .zip(out.as_chunks_mut::<BLOCK>().0)
    {
        let mut sums = [vdupq_n_u16(0); 4];
        for pair in 0..tables.pairs {
            // SAFETY: every one of the three has 32 bytes for each pair; a table is there twice.
            let (first, second, codes) = unsafe {
                let codes = [0, 16].map(|half| vld1q_u8(block.as_ptr().add(32 * pair + half)));
                (vld1q_u8(even.add(32 * pair)), vld1q_u8(odd.add(32 * pair)), codes)
            };
            for (codes, sums) in codes.into_iter().zip(sums.as_chunks_mut::<2>().0) {
                let first = vqtbl1q_u8(first, vandq_u8(codes, low));
                let second = vqtbl1q_u8(second, vshrq_n_u8::<4>(codes));
                let mut add = |entries: uint8x16_t| {
                    sums[0] = vaddw_u8(sums[0], vget_low_u8(entries));
                    sums[1] = vaddw_high_u8(sums[1], entries);
                };
                if NARROW {
                    add(vaddq_u8(first, second));
                } else {
                    add(first);
                    add(second);
                }
            }
        }
        for (out, sum) in out.as_chunks_mut::<8>().0.iter_mut().zip(sums) {
            // SAFETY: eight values.
            unsafe { vst1q_u16(out.as_mut_ptr(), sum) };
        }
    }
}
