//! Products of two matrices that change from call to call, by tiles: the twin of what [`crate::matmul()`] does by vectors. Both factors are
//! packed block by block, as sums of three bf16 values.

use std::arch::x86_64::*;

use super::multiply::{Bf16, Factors, multiply};
use super::split::split;
use super::{BF16_STEP, BLOCK, BYTES, ROWS, Tiles};
use crate::buffer::Buffer;
use crate::matmul::{Factor, Shape};
use crate::simd::Simd;
use crate::simd::x86::Avx512;

/// Values of an f32 factor are sums of so many bf16 values.
const PARTS: usize = 3;
/// The most inputs of a block: 32 rows and 32 columns of them, 24 KiB each, stay in the first-level cache, or nearly.
const DEEPEST: usize = 128;
/// The most columns of the right factor that are packed together: 576 KiB.
const WIDEST: usize = 768;

/// Memory that is used again from call to call.
#[derive(Clone, Default)]
pub(crate) struct Packed {
    /// Of the left factor, 32 rows: `[steps][parts][32][32]`.
    left: Buffer<u16>,
    /// Of the right factor: `[panels of 32 columns][steps][parts][2 tiles][16 pairs of inputs][16 columns][2]`.
    right: Buffer<u16>,
}

/// As `matmul`, which checked the lengths.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")]
pub(crate) unsafe fn matmul(
    shape: Shape,
    left: Factor<'_>,
    right: Factor<'_>,
    out: &mut [f32],
    packed: &mut Packed,
) {
    // SAFETY: the caller runs on a processor with tiles.
    let _tiles = unsafe { Tiles::configure() };
    let deep = DEEPEST.min(shape.inner);
    let size = deep.next_multiple_of(BF16_STEP) * PARTS * BLOCK;
    packed.left.resize(size);
    packed
        .right
        .resize(WIDEST.min(shape.cols.next_multiple_of(BLOCK)) / BLOCK * size);
    for column in (0..shape.cols).step_by(WIDEST) {
        let columns = WIDEST.min(shape.cols - column);
        for start in (0..shape.inner).step_by(deep) {
            let depth = deep.min(shape.inner - start);
            let replace = shape.replace && start == 0;
            for panel in (0..columns).step_by(BLOCK) {
                let count = BLOCK.min(columns - panel);
                // SAFETY: the block is inside the factor; there is room for whole panels.
                unsafe {
                    let to = packed.right.as_mut_ptr().add(panel / BLOCK * size);
                    pack_right::<PARTS>(right, (column + panel, count), (start, depth), to);
                }
            }
            for row in (0..shape.rows).step_by(BLOCK) {
                let rows = BLOCK.min(shape.rows - row);
                // SAFETY: as above; the block of the output is inside of it.
                unsafe {
                    pack_left(left, (row, rows), (start, depth), packed.left.as_mut_ptr());
                    for panel in (0..columns).step_by(BLOCK) {
                        let count = BLOCK.min(columns - panel);
                        let panels = packed.right.as_ptr().add(panel / BLOCK * size);
                        let mut sums = Sums([0.0; BLOCK * BLOCK]);
                        let steps = depth.div_ceil(BF16_STEP);
                        let (a, to) = (packed.left.as_ptr(), sums.0.as_mut_ptr());
                        multiply::<Bf16<PARTS>>(Factors::of(a, panels), steps, rows > ROWS, to, BLOCK);
                        let to = out.as_mut_ptr().add(row * shape.out_stride + column + panel);
                        store(&sums, rows, count, replace, to, shape.out_stride);
                    }
                }
            }
        }
    }
}

#[repr(C, align(64))]
struct Sums([f32; BLOCK * BLOCK]);

/// Stores the part of a block that is inside the output, or adds it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn store(sums: &Sums, rows: usize, columns: usize, replace: bool, out: *mut f32, stride: usize) {
    for row in 0..rows {
        for at in (0..columns).step_by(ROWS) {
            let count = ROWS.min(columns - at);
            // SAFETY: the caller promises the place; what is outside of it is left alone.
            unsafe {
                let to = out.add(row * stride + at);
                let mut sum = _mm512_load_ps(sums.0.as_ptr().add(row * BLOCK + at));
                if !replace {
                    sum = _mm512_add_ps(sum, Avx512::load_part(to, count));
                }
                Avx512::store_part(to, sum, count);
            }
        }
    }
}

/// Rows of the left factor from `first` on, inputs from `start` on; what is not there is zeros.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn pack_left(
    factor: Factor<'_>,
    (first, rows): (usize, usize),
    (start, depth): (usize, usize),
    to: *mut u16,
) {
    let mut square = Square([0.0; ROWS * ROWS]);
    for half in (0..rows).step_by(ROWS) {
        let count = ROWS.min(rows - half);
        for at in (0..depth.next_multiple_of(BF16_STEP)).step_by(ROWS) {
            // SAFETY: rows and inputs are inside the factor; the caller has room for whole steps.
            unsafe {
                let (rows, inputs) = (
                    (first + half, count),
                    (start + at, depth.saturating_sub(at).min(ROWS)),
                );
                match factor.transposed {
                    true => fetch(factor, true, inputs, rows, &mut square),
                    false => fetch(factor, false, rows, inputs, &mut square),
                }
                let to = to.add(at / BF16_STEP * PARTS * BYTES + half * BF16_STEP + at % BF16_STEP);
                for row in 0..count {
                    let parts = split::<PARTS>(_mm512_load_ps(square.0.as_ptr().add(row * ROWS)));
                    for (part, value) in parts.into_iter().enumerate() {
                        _mm256_storeu_si256(to.add(part * BYTES + row * BF16_STEP).cast(), value);
                    }
                }
            }
        }
    }
}

/// A panel of columns of the right factor, those from `first` on, with inputs from `start` on: `[steps][PARTS][2 tiles][16 pairs of inputs][16
/// columns][2]`. What is not there is zeros.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
pub(crate) unsafe fn pack_right<const PARTS: usize>(
    factor: Factor<'_>,
    (first, columns): (usize, usize),
    (start, depth): (usize, usize),
    to: *mut u16,
) {
    let mut square = Square([0.0; ROWS * ROWS]);
    for half in (0..BLOCK).step_by(ROWS) {
        let count = columns.saturating_sub(half).min(ROWS);
        for at in (0..depth.next_multiple_of(BF16_STEP)).step_by(ROWS) {
            // SAFETY: as in `pack_left`; here rows of the square are inputs.
            unsafe {
                let (columns, inputs) = (
                    (first + half, count),
                    (start + at, depth.saturating_sub(at).min(ROWS)),
                );
                match factor.transposed {
                    true => fetch(factor, true, columns, inputs, &mut square),
                    false => fetch(factor, false, inputs, columns, &mut square),
                }
                let to =
                    to.add(at / BF16_STEP * PARTS * BYTES + half / ROWS * BYTES / 2 + at % BF16_STEP * ROWS);
                for pair in 0..ROWS / 2 {
                    let row = |row: usize| split::<PARTS>(_mm512_load_ps(square.0.as_ptr().add(row * ROWS)));
                    let (even, odd) = (row(2 * pair), row(2 * pair + 1));
                    for part in 0..PARTS {
                        let low = _mm512_cvtepu16_epi32(even[part]);
                        let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(odd[part]));
                        let to = to.add(part * BYTES + pair * BF16_STEP);
                        _mm512_storeu_si512(to.cast(), _mm512_or_si512(low, high));
                    }
                }
            }
        }
    }
}

/// Sixteen rows of sixteen values.
#[repr(C, align(64))]
struct Square([f32; ROWS * ROWS]);

/// A square of the factor as it is stored or with its columns as rows (`turned`): what is stored from row `row` and column `column` on, so many
/// `rows` and `columns` of it, zeros around it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn fetch(
    factor: Factor<'_>,
    turned: bool,
    (row, rows): (usize, usize),
    (column, columns): (usize, usize),
    square: &mut Square,
) {
    if rows == 0 || columns == 0 {
        return square.0.fill(0.0);
    }
    // SAFETY: the caller promises the values.
    unsafe {
        let from = factor.values.as_ptr().add(row * factor.stride + column);
        match turned {
            true => Avx512::transpose(from, factor.stride, rows, columns, square.0.as_mut_ptr(), ROWS),
            false => copy(from, factor.stride, rows, columns, square),
        }
    }
}

/// `rows` rows of `count` values, `stride` apart; the rest of the square is zeros.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn copy(from: *const f32, stride: usize, rows: usize, count: usize, square: &mut Square) {
    for row in 0..ROWS {
        // SAFETY: the caller promises the values; a row of the square is as wide as a vector.
        unsafe {
            let value = match row < rows {
                true => Avx512::load_part(from.add(row * stride), count),
                false => _mm512_setzero_ps(),
            };
            _mm512_store_ps(square.0.as_mut_ptr().add(row * ROWS), value);
        }
    }
}
