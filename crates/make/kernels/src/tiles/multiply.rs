//! Two tiles of rows times two tiles of columns: 32 by 32 sums of products.

use std::arch::asm;

use super::{ROW_BYTES, ROWS};

/// The sum of `steps` products of two tiles of rows (`a`, `[steps][PARTS][32][32]` bf16 values) and two of columns (`b`, `[steps][PARTS][2 tiles]`),
/// as 32 rows of 32 values, `stride` values apart. `both`: whether more than 16 rows count.
#[inline(always)]
pub(crate) unsafe fn multiply<const PARTS: usize>(
    a: *const u16,
    b: *const u16,
    steps: usize,
    both: bool,
    out: *mut f32,
    stride: usize,
) {
    const { assert!(PARTS == 1 || PARTS == 3, "there is a loop for these") };
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match PARTS {
            1 => single(a, b, steps, both, out, stride),
            _ => triple(a, b, steps, both, out, stride),
        }
    }
}

/// bf16 values as they are.
#[inline(always)]
unsafe fn single(a: *const u16, b: *const u16, steps: usize, both: bool, out: *mut f32, stride: usize) {
    // SAFETY: the caller promises whole tiles, and that tiles are configured.
    unsafe {
        if both {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{a} + {line}]",
                "tileloadd tmm6, [{b} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a} + {line} + 1024]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, 2048",
                "add {b}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {stride}], tmm0",
                "tilestored [{out} + {stride} + 64], tmm1",
                "tilestored [{below} + {stride}], tmm2",
                "tilestored [{below} + {stride} + 64], tmm3",
                a = inout(reg) a => _,
                b = inout(reg) b => _,
                line = in(reg) ROW_BYTES,
                stride = in(reg) 4 * stride,
                out = in(reg) out,
                below = in(reg) out.add(ROWS * stride),
                steps = inout(reg) steps => _,
                options(nostack),
            );
        } else {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "2:",
                "tileloadd tmm4, [{a} + {line}]",
                "tileloadd tmm6, [{b} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "add {a}, 2048",
                "add {b}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {stride}], tmm0",
                "tilestored [{out} + {stride} + 64], tmm1",
                a = inout(reg) a => _,
                b = inout(reg) b => _,
                line = in(reg) ROW_BYTES,
                stride = in(reg) 4 * stride,
                out = in(reg) out,
                steps = inout(reg) steps => _,
                options(nostack),
            );
        }
    }
}

/// Sums of three bf16 values, high, middle and low: the six products that are not smaller than what rounding to f32 loses. In an order in which
/// each needs one more load.
#[inline(always)]
unsafe fn triple(a: *const u16, b: *const u16, steps: usize, both: bool, out: *mut f32, stride: usize) {
    // SAFETY: the caller promises whole tiles, and that tiles are configured.
    unsafe {
        if both {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{a} + {line}]",
                "tileloadd tmm6, [{b} + {line} + 4096]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 5120]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a} + {line} + 1024]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm6, [{b} + {line} + 2048]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 3072]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm4, [{a} + {line} + 2048]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a} + {line} + 3072]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm6, [{b} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm4, [{a} + {line} + 4096]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a} + {line} + 5120]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm4, [{a} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a} + {line} + 1024]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, 6144",
                "add {b}, 6144",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {stride}], tmm0",
                "tilestored [{out} + {stride} + 64], tmm1",
                "tilestored [{below} + {stride}], tmm2",
                "tilestored [{below} + {stride} + 64], tmm3",
                a = inout(reg) a => _,
                b = inout(reg) b => _,
                line = in(reg) ROW_BYTES,
                stride = in(reg) 4 * stride,
                out = in(reg) out,
                below = in(reg) out.add(ROWS * stride),
                steps = inout(reg) steps => _,
                options(nostack),
            );
        } else {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "2:",
                "tileloadd tmm4, [{a} + {line}]",
                "tileloadd tmm6, [{b} + {line} + 4096]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 5120]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm6, [{b} + {line} + 2048]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 3072]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm4, [{a} + {line} + 2048]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm6, [{b} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm4, [{a} + {line} + 4096]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm4, [{a} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "add {a}, 6144",
                "add {b}, 6144",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {stride}], tmm0",
                "tilestored [{out} + {stride} + 64], tmm1",
                a = inout(reg) a => _,
                b = inout(reg) b => _,
                line = in(reg) ROW_BYTES,
                stride = in(reg) 4 * stride,
                out = in(reg) out,
                steps = inout(reg) steps => _,
                options(nostack),
            );
        }
    }
}

/// The same for codes (`a`, `[steps][32][64]` unsigned bytes) and weights (`b`, `[steps][2 tiles]` of signed bytes), summed as i32.
#[inline(always)]
pub(crate) unsafe fn multiply_bytes(
    a: *const u8,
    b: *const i8,
    steps: usize,
    both: bool,
    out: *mut i32,
    stride: usize,
) {
    // SAFETY: the caller promises whole tiles, and that tiles are configured.
    unsafe {
        if both {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{a} + {line}]",
                "tileloadd tmm6, [{b} + {line}]",
                "tdpbusd tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 1024]",
                "tdpbusd tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a} + {line} + 1024]",
                "tdpbusd tmm2, tmm5, tmm6",
                "tdpbusd tmm3, tmm5, tmm7",
                "add {a}, 2048",
                "add {b}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {stride}], tmm0",
                "tilestored [{out} + {stride} + 64], tmm1",
                "tilestored [{below} + {stride}], tmm2",
                "tilestored [{below} + {stride} + 64], tmm3",
                a = inout(reg) a => _,
                b = inout(reg) b => _,
                line = in(reg) ROW_BYTES,
                stride = in(reg) 4 * stride,
                out = in(reg) out,
                below = in(reg) out.add(ROWS * stride),
                steps = inout(reg) steps => _,
                options(nostack),
            );
        } else {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "2:",
                "tileloadd tmm4, [{a} + {line}]",
                "tileloadd tmm6, [{b} + {line}]",
                "tdpbusd tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 1024]",
                "tdpbusd tmm1, tmm4, tmm7",
                "add {a}, 2048",
                "add {b}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {stride}], tmm0",
                "tilestored [{out} + {stride} + 64], tmm1",
                a = inout(reg) a => _,
                b = inout(reg) b => _,
                line = in(reg) ROW_BYTES,
                stride = in(reg) 4 * stride,
                out = in(reg) out,
                steps = inout(reg) steps => _,
                options(nostack),
            );
        }
    }
}
