//! NEON of 64-bit ARM: 16 codes a register; what is left over at the end of a row is done one by one.

use std::arch::aarch64::*;

use super::{BLOCK, Kernels, Layout, Tables, read_section, scalar};

pub(super) const KERNELS: Kernels = Kernels {
    name: "neon",
    scans: [scan::<1>, scan::<2>, scan::<4>, scan::<8>],
    lookups: [lookup::<1>, lookup::<2>, lookup::<3>, lookup::<4>],
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

/// Words of codes whose sums fit 16 bits.
const WORDS: usize = 32;

/// # Safety
/// There are `Q` tables, as wide as `packed` is; the instructions are there.
#[target_feature(enable = "neon")]
unsafe fn lookup<const Q: usize>(tables: &[&Tables], packed: &[u8], out: &mut [i32]) {
    let low = vdupq_n_u8(15);
    let words = tables[0].words();
    let sides = Tables::all_sides::<Q>(tables);
    let rows = out.len() / Q;
    out.fill(0);
    for (block, codes) in packed.chunks_exact((BLOCK * 4 * words).max(1)).enumerate() {
        for half in 0..2 {
            for from in (0..words).step_by(WORDS) {
                // Of rows 0 to 7, and of 8 to 15.
                let mut sums = [[vdupq_n_u16(0); 2]; Q];
                for word in from..words.min(from + WORDS) {
                    // SAFETY: a word of a block is two lines, and one of each side of every table.
                    unsafe {
                        let four = vld4q_u8(codes.as_ptr().add(64 * (2 * word + half)));
                        for (at, codes) in [four.0, four.1, four.2, four.3].into_iter().enumerate() {
                            let numbers = [vandq_u8(codes, low), vshrq_n_u8::<4>(codes)];
                            for (sums, sides) in sums.iter_mut().zip(&sides) {
                                for (side, numbers) in sides.iter().zip(numbers) {
                                    let found = vqtbl1q_u8(vld1q_u8(side.add(64 * word + 16 * at)), numbers);
                                    sums[0] = vaddw_u8(sums[0], vget_low_u8(found));
                                    sums[1] = vaddw_high_u8(sums[1], found);
                                }
                            }
                        }
                    }
                }
                for (query, sums) in sums.into_iter().enumerate() {
                    let out = &mut out[query * rows + block * BLOCK + 16 * half..][..16];
                    for (out, sum) in out.as_chunks_mut::<8>().0.iter_mut().zip(sums) {
                        for (out, sum) in out
                            .as_chunks_mut::<4>()
                            .0
                            .iter_mut()
                            .zip([vget_low_u16(sum), vget_high_u16(sum)])
                        {
                            // SAFETY: four values.
                            unsafe {
                                let wide = vreinterpretq_s32_u32(vmovl_u16(sum));
                                vst1q_s32(out.as_mut_ptr(), vaddq_s32(vld1q_s32(out.as_ptr()), wide));
                            }
                        }
                    }
                }
            }
        }
    }
}
