//! Two tiles of rows times two tiles of columns: 32 by 32 sums of products.

use std::arch::asm;

use super::{ROW_BYTES, ROWS};

/// Bytes that are fetched ahead in a step of so many parts.
pub(crate) const fn ahead(parts: usize) -> usize {
    if parts == 1 { 256 } else { 768 }
}

/// Loads a tile: from the rows (`a`) or the columns (`b`) of this step, so many bytes behind its first tile.
macro_rules! load {
    ($tile:literal, $from:literal, $offset:literal) => {
        concat!(
            "tileloadd ",
            $tile,
            ", [{",
            $from,
            "} + {line} + ",
            $offset,
            "]\n"
        )
    };
    ($tile:literal, $from:literal, $offset:literal, second) => {
        concat!(
            "tileloadd ",
            $tile,
            ", [{",
            $from,
            "} + {line} + ",
            $offset,
            " + 1024]\n"
        )
    };
}

/// Multiplies two tiles onto a third by the instruction `$dot`.
macro_rules! dot {
    ($dot:literal, $sums:literal, $rows:literal, $columns:literal) => {
        concat!($dot, " ", $sums, ", ", $rows, ", ", $columns, "\n")
    };
}

/// Rows times columns, of which those with an offset are loaded first: tmm4 and tmm5 (if there are more than 16 rows, `both`) hold rows, tmm6
/// and tmm7 columns, tmm0 to tmm3 sums.
macro_rules! product {
    (both, $dot:literal $(, rows $a:literal)? $(, columns $b:literal)?) => {
        concat!(
            product!(one, $dot $(, rows $a)? $(, columns $b)?),
            $(load!("tmm5", "a", $a, second),)?
            dot!($dot, "tmm2", "tmm5", "tmm6"),
            dot!($dot, "tmm3", "tmm5", "tmm7"),
        )
    };
    (one, $dot:literal $(, rows $a:literal)? $(, columns $b:literal)?) => {
        concat!(
            $(load!("tmm4", "a", $a),)?
            $(load!("tmm6", "b", $b),)?
            dot!($dot, "tmm0", "tmm4", "tmm6"),
            $(load!("tmm7", "b", $b, second),)?
            dot!($dot, "tmm1", "tmm4", "tmm7"),
        )
    };
}

/// Fetches columns of another multiplication into the second-level cache: lines of 64 bytes, with these offsets.
macro_rules! fetch {
    ($($line:literal)*) => {
        concat!($("prefetcht1 [{ahead} + ", $line, "]\n",)* "add {ahead}, 64 * (0 ", $(" + 1 + 0 * ", $line,)* ")")
    };
}

/// `steps` steps, each of these products and `$bytes` long in rows and in columns, and these lines ahead.
macro_rules! steps {
    ($a:ident, $b:ident, $ahead:ident, $steps:ident, $both:ident, $out:ident, $stride:ident, $bytes:literal, $lines:tt, $dot:literal: $(($($part:tt)*)),*) => {
        if $both {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                fetch! $lines,
                $(product!(both, $dot, $($part)*),)*
                concat!("add {a}, ", $bytes),
                concat!("add {b}, ", $bytes),
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {stride}], tmm0",
                "tilestored [{out} + {stride} + 64], tmm1",
                "tilestored [{below} + {stride}], tmm2",
                "tilestored [{below} + {stride} + 64], tmm3",
                a = inout(reg) $a => _,
                b = inout(reg) $b => _,
                ahead = inout(reg) $ahead => _,
                line = in(reg) ROW_BYTES,
                stride = in(reg) 4 * $stride,
                out = in(reg) $out,
                below = in(reg) $out.add(ROWS * $stride),
                steps = inout(reg) $steps => _,
                options(nostack),
            );
        } else {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "2:",
                fetch! $lines,
                $(product!(one, $dot, $($part)*),)*
                concat!("add {a}, ", $bytes),
                concat!("add {b}, ", $bytes),
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {stride}], tmm0",
                "tilestored [{out} + {stride} + 64], tmm1",
                a = inout(reg) $a => _,
                b = inout(reg) $b => _,
                ahead = inout(reg) $ahead => _,
                line = in(reg) ROW_BYTES,
                stride = in(reg) 4 * $stride,
                out = in(reg) $out,
                steps = inout(reg) $steps => _,
                options(nostack),
            );
        }
    };
}

/// The sum of `steps` products of two tiles of rows (`a`, `[steps][PARTS][32][32]` bf16 values) and two of columns (`b`, `[steps][PARTS][2 tiles]`),
/// as 32 rows of 32 values, `stride` values apart. `both`: whether more than 16 rows count. `ahead`: columns that are wanted soon, [`ahead`] bytes a step
/// are fetched; any address will do.
#[inline(always)]
pub(crate) unsafe fn multiply<const PARTS: usize>(
    a: *const u16,
    b: *const u16,
    ahead: *const u16,
    steps: usize,
    both: bool,
    out: *mut f32,
    stride: usize,
) {
    const { assert!(PARTS == 1 || PARTS == 3, "there is a loop for these") };
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match PARTS {
            1 => single(a, b, ahead, steps, both, out, stride),
            _ => triple(a, b, ahead, steps, both, out, stride),
        }
    }
}

/// bf16 values as they are.
#[inline(always)]
unsafe fn single(
    a: *const u16,
    b: *const u16,
    ahead: *const u16,
    steps: usize,
    both: bool,
    out: *mut f32,
    stride: usize,
) {
    // SAFETY: the caller promises whole tiles, and that tiles are configured.
    unsafe {
        steps!(a, b, ahead, steps, both, out, stride, 2048, (0 64 128 192), "tdpbf16ps": (rows 0, columns 0))
    }
}

/// Sums of three bf16 values, high, middle and low: the six products that are not smaller than what rounding to f32 loses. In an order in which
/// each needs one more load.
#[inline(always)]
unsafe fn triple(
    a: *const u16,
    b: *const u16,
    ahead: *const u16,
    steps: usize,
    both: bool,
    out: *mut f32,
    stride: usize,
) {
    // SAFETY: the caller promises whole tiles, and that tiles are configured.
    unsafe {
        steps!(a, b, ahead, steps, both, out, stride, 6144, (0 64 128 192 256 320 384 448 512 576 640 704), "tdpbf16ps":
            (rows 0, columns 4096), (columns 2048), (rows 2048), (columns 0), (rows 4096), (rows 0))
    }
}

/// The same for codes (`a`, `[steps][32][64]` unsigned bytes) and weights (`b`, `[steps][2 tiles]` of signed bytes), summed as i32.
#[inline(always)]
pub(crate) unsafe fn multiply_bytes(
    a: *const u8,
    b: *const i8,
    ahead: *const i8,
    steps: usize,
    both: bool,
    out: *mut i32,
    stride: usize,
) {
    // SAFETY: the caller promises whole tiles, and that tiles are configured.
    unsafe {
        steps!(a, b, ahead, steps, both, out, stride, 2048, (0 64 128 192), "tdpbusd": (rows 0, columns 0))
    }
}
