//! Two tiles of rows times two tiles of columns: 32 by 32 sums of products. The sums stay in tiles between steps, which no code that the compiler
//! makes touches, so that other work can be done while they are made.

use std::arch::asm;

use super::{BYTES, ROW_BYTES, ROWS};

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

/// Fetches columns into the second-level cache: lines of 64 bytes, with these offsets.
macro_rules! fetch {
    ($($line:literal)*) => {
        concat!($("prefetcht1 [{ahead} + ", $line, "]\n",)*)
    };
}

/// `$count` steps, each of these products, and these lines ahead.
macro_rules! steps {
    ($factors:ident, $count:ident, $both:ident, $lines:tt, $dot:literal: $(($($part:tt)*)),*) => {
        if $both {
            steps!(of both, $factors, $count, $lines, $dot: $(($($part)*)),*)
        } else {
            steps!(of one, $factors, $count, $lines, $dot: $(($($part)*)),*)
        }
    };
    (of $both:ident, $factors:ident, $count:ident, $lines:tt, $dot:literal: $(($($part:tt)*)),*) => {
        asm!(
            "2:",
            fetch! $lines,
            $(product!($both, $dot, $($part)*),)*
            "add {a}, {rows}",
            "add {b}, {columns}",
            "add {ahead}, {ahead_bytes}",
            "dec {steps}",
            "jnz 2b",
            a = inout(reg) $factors.rows => _,
            b = inout(reg) $factors.columns => _,
            ahead = inout(reg) $factors.ahead => _,
            rows = const Self::ROWS,
            columns = const Self::COLUMNS,
            ahead_bytes = const Self::AHEAD,
            line = in(reg) ROW_BYTES,
            steps = inout(reg) $count => _,
            options(nostack),
        )
    };
}

/// What is multiplied, a step after another; and columns that are wanted soon, which are fetched meanwhile, [`Dot::AHEAD`] bytes a step. Any
/// address will do there.
#[derive(Clone, Copy)]
pub(crate) struct Factors {
    rows: *const u8,
    columns: *const u8,
    ahead: *const u8,
}

impl Factors {
    /// Rows and columns; nothing is wanted soon.
    pub(crate) fn of<A, B>(rows: *const A, columns: *const B) -> Self {
        Self::before(rows, columns, columns)
    }

    /// Rows and columns, and what is wanted soon.
    pub(crate) fn before<A, B>(rows: *const A, columns: *const B, ahead: *const B) -> Self {
        Self {
            rows: rows.cast(),
            columns: columns.cast(),
            ahead: ahead.cast(),
        }
    }
}

/// How a step's tiles are multiplied.
pub(crate) trait Dot {
    /// Bytes of a step, of rows and of columns.
    const ROWS: usize;
    const COLUMNS: usize;
    /// Bytes that are fetched ahead in a step.
    const AHEAD: usize;

    /// Adds the products of `count` steps from the step `first` on to the sums. `both`: whether more than 16 rows count.
    ///
    /// # Safety
    /// Tiles are configured and cleared, and there are so many steps of whole tiles.
    unsafe fn steps(factors: Factors, first: usize, count: usize, both: bool);
}

impl Factors {
    #[inline(always)]
    unsafe fn from<D: Dot>(self, step: usize) -> Self {
        // SAFETY: the caller promises that there are more steps.
        unsafe {
            Self {
                rows: self.rows.add(step * D::ROWS),
                columns: self.columns.add(step * D::COLUMNS),
                ahead: self.ahead.wrapping_add(step * D::AHEAD),
            }
        }
    }
}

/// Values as sums of so many bf16 values: rows `[steps][PARTS][32][32]`, columns `[steps][PARTS][2 tiles]`, sums of f32.
pub(crate) struct Bf16<const PARTS: usize>;

impl<const PARTS: usize> Dot for Bf16<PARTS> {
    const ROWS: usize = PARTS * 2 * BYTES;
    const COLUMNS: usize = PARTS * 2 * BYTES;
    const AHEAD: usize = if PARTS == 1 { 256 } else { 768 };

    #[inline(always)]
    unsafe fn steps(factors: Factors, first: usize, count: usize, both: bool) {
        const { assert!(PARTS == 1 || PARTS == 3, "there is a loop for these") };
        if count == 0 {
            return;
        }
        // SAFETY: the caller's promise is passed on.
        unsafe {
            let factors = factors.from::<Self>(first);
            match PARTS {
                1 => {
                    steps!(factors, count, both, (0 64 128 192), "tdpbf16ps": (rows 0, columns 0))
                }
                // High, middle and low: the six products that are not smaller than what rounding to f32 loses. In an order in which each needs one
                // more load.
                _ => {
                    steps!(factors, count, both, (0 64 128 192 256 320 384 448 512 576 640 704), "tdpbf16ps":
                    (rows 0, columns 4096), (columns 2048), (rows 2048), (columns 0), (rows 4096), (rows 0))
                }
            }
        }
    }
}

/// Sums of three bf16 values as rows, `[steps][3][32][32]`, and single ones as columns, `[steps][2 tiles]`: what [`Bf16<3>`] makes of columns whose
/// other parts are zeros, to the bit.
pub(crate) struct Short;

impl Dot for Short {
    const ROWS: usize = Bf16::<3>::ROWS;
    const COLUMNS: usize = Bf16::<1>::COLUMNS;
    const AHEAD: usize = Bf16::<1>::AHEAD;

    #[inline(always)]
    unsafe fn steps(factors: Factors, first: usize, count: usize, both: bool) {
        if count == 0 {
            return;
        }
        // SAFETY: the caller's promise is passed on.
        unsafe {
            let factors = factors.from::<Self>(first);
            steps!(factors, count, both, (0 64 128 192), "tdpbf16ps": (rows 2048, columns 0), (rows 4096), (rows 0));
        }
    }
}

/// Codes (`[steps][32][64]` unsigned bytes) times weights (`[steps][2 tiles]` of signed bytes), summed as i32.
pub(crate) struct Codes;

impl Dot for Codes {
    const ROWS: usize = 2 * BYTES;
    const COLUMNS: usize = 2 * BYTES;
    const AHEAD: usize = 256;

    #[inline(always)]
    unsafe fn steps(factors: Factors, first: usize, count: usize, both: bool) {
        if count == 0 {
            return;
        }
        // SAFETY: the caller's promise is passed on.
        unsafe {
            let factors = factors.from::<Self>(first);
            steps!(factors, count, both, (0 64 128 192), "tdpbusd": (rows 0, columns 0));
        }
    }
}

/// Makes all sums zero.
///
/// # Safety
/// Tiles are configured.
#[inline(always)]
pub(crate) unsafe fn clear() {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            options(nostack)
        );
    }
}

/// Stores the sums as 32 rows of 32 values of four bytes, `stride` values apart; only the first 16 rows unless `both`.
///
/// # Safety
/// Tiles are configured, and there is room.
#[inline(always)]
pub(crate) unsafe fn store<T>(both: bool, out: *mut T, stride: usize) {
    const { assert!(size_of::<T>() == 4, "sums are f32, or 32-bit numbers") };
    // SAFETY: the caller's promise is passed on.
    unsafe {
        asm!(
            "tilestored [{out} + {stride}], tmm0",
            "tilestored [{out} + {stride} + 64], tmm1",
            out = in(reg) out,
            stride = in(reg) 4 * stride,
            options(nostack),
        );
        if both {
            asm!(
                "tilestored [{out} + {stride}], tmm2",
                "tilestored [{out} + {stride} + 64], tmm3",
                out = in(reg) out.add(ROWS * stride),
                stride = in(reg) 4 * stride,
                options(nostack),
            );
        }
    }
}

/// The sum of `steps` steps, stored.
///
/// # Safety
/// See [`Dot::steps`] and [`store`].
#[inline(always)]
pub(crate) unsafe fn multiply<D: Dot>(
    factors: Factors,
    steps: usize,
    both: bool,
    out: *mut f32,
    stride: usize,
) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        clear();
        D::steps(factors, 0, steps, both);
        store(both, out, stride);
    }
}
