//! Products of two matrices that change from call to call: what training is made of.
//!
//! [`Linear`](crate::Linear) is for weights that stay: it packs them once. Here both factors are packed by the call, block by block, so that
//! either may be read as it is or with its rows as columns, and the innermost loop reads both in order (Goto and van de Geijn, "Anatomy of
//! high-performance matrix multiplication", 2008).

#![allow(
    clippy::needless_range_loop,
    reason = "index loops over fixed-size arrays become registers; iterators over two of them at once do not always"
)]

use crate::buffer::Buffer;
use crate::simd::{Level, Simd, at_level};
#[cfg(target_arch = "x86_64")]
use crate::{
    simd::Set,
    tiles::matmul::{self as tiles, Packed},
};

/// The most inputs of a block: a panel of the right factor, 256 rows of 48 values, and a tile of the left one stay in the first- and
/// second-level cache.
const DEEPEST: usize = 256;
/// The most rows of the left factor that are packed together: 128 x 256 values, an eighth of a second-level cache of 1 MiB.
const TALLEST: usize = 128;
/// The most columns of the right factor that are packed together: 768 x 256 values stay in the second-level cache of most processors.
const WIDEST: usize = 768;

/// A factor of a product: rows of values `stride` apart.
#[derive(Debug, Clone, Copy)]
pub struct Factor<'a> {
    /// Row after row.
    pub values: &'a [f32],
    /// From one stored row to the next.
    pub stride: usize,
    /// Whether the stored rows are the factor's columns.
    pub transposed: bool,
}

impl<'a> Factor<'a> {
    /// Stored as it is read.
    pub fn plain(values: &'a [f32], stride: usize) -> Self {
        Self {
            values,
            stride,
            transposed: false,
        }
    }

    /// Stored with its columns as rows.
    pub fn transposed(values: &'a [f32], stride: usize) -> Self {
        Self {
            transposed: true,
            ..Self::plain(values, stride)
        }
    }

    /// Whether `rows` x `cols` values are there.
    fn holds(&self, rows: usize, cols: usize) -> bool {
        let (rows, cols) = match self.transposed {
            false => (rows, cols),
            true => (cols, rows),
        };
        rows == 0
            || cols == 0
            || (self.stride >= cols && self.values.len() >= (rows - 1) * self.stride + cols)
    }
}

/// What becomes of the values that were in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The product takes their place.
    Replace,
    /// The product is added to them.
    Add,
}

/// Memory of [`matmul`] that is used again from call to call; one for each thread.
#[derive(Clone, Default)]
pub struct MatmulScratch {
    left: Buffer,
    right: Buffer,
    #[cfg(target_arch = "x86_64")]
    tiles: Packed,
}

/// Writes `left * right` to `out`, or adds it: `left` is `[rows, inner]`, `right` is `[inner, cols]`, and rows of `out` are `out_stride`
/// apart. It works on the calling thread alone. Sums run over blocks of the inner size in order, so that the same call gives the same bits.
///
/// # Panics
/// If the values of a factor or the output are fewer than the shape `[rows, inner, cols]` says.
#[allow(
    clippy::too_many_arguments,
    reason = "a product has two factors, an output and a shape"
)]
pub fn matmul(
    level: Level,
    [rows, inner, cols]: [usize; 3],
    left: Factor<'_>,
    right: Factor<'_>,
    store: Store,
    out: &mut [f32],
    out_stride: usize,
    scratch: &mut MatmulScratch,
) {
    if rows == 0 || cols == 0 {
        return;
    }
    assert!(left.holds(rows, inner), "the left factor is [rows, inner]");
    assert!(right.holds(inner, cols), "the right factor is [inner, cols]");
    assert!(
        out_stride >= cols && out.len() >= (rows - 1) * out_stride + cols,
        "the output is [rows, cols]"
    );
    if inner == 0 {
        if store == Store::Replace {
            for row in out.chunks_mut(out_stride) {
                row[..cols].fill(0.0);
            }
        }
        return;
    }
    let shape = Shape {
        rows,
        inner,
        cols,
        out_stride,
        replace: store == Store::Replace,
    };
    #[cfg(target_arch = "x86_64")]
    if level.0 == Set::Amx {
        // SAFETY: levels come from `Level::available`; the lengths are checked above.
        return unsafe { tiles::matmul(shape, left, right, out, &mut scratch.tiles) };
    }
    // SAFETY: levels come from `Level::available`; the lengths are checked above.
    unsafe {
        at_level!(
            level,
            blocks(shape: Shape, left: Factor<'_>, right: Factor<'_>, out: &mut [f32], scratch: &mut MatmulScratch)
        )
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) inner: usize,
    pub(crate) cols: usize,
    pub(crate) out_stride: usize,
    pub(crate) replace: bool,
}

#[inline(always)]
unsafe fn blocks<S: Simd>(
    shape: Shape,
    left: Factor<'_>,
    right: Factor<'_>,
    out: &mut [f32],
    scratch: &mut MatmulScratch,
) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match S::TILE_ROWS {
            8 => tiled::<S, 8, 3>(shape, left, right, out, scratch),
            6 => tiled::<S, 6, 2>(shape, left, right, out, scratch),
            _ => tiled::<S, 3, 2>(shape, left, right, out, scratch),
        }
    }
}

/// Parts of about equal size, none larger than `most`, each a multiple of `unit`.
fn part(size: usize, most: usize, unit: usize) -> usize {
    let count = size.div_ceil(most);
    size.div_ceil(count).next_multiple_of(unit).max(unit)
}

#[inline(always)]
unsafe fn tiled<S: Simd, const ROWS: usize, const VECTORS: usize>(
    shape: Shape,
    left: Factor<'_>,
    right: Factor<'_>,
    out: &mut [f32],
    scratch: &mut MatmulScratch,
) {
    let width = VECTORS * S::W;
    let deep = part(shape.inner, DEEPEST, 1);
    let tall = part(shape.rows, TALLEST, ROWS);
    let wide = part(shape.cols, WIDEST / width * width, width);
    scratch.left.resize(tall * deep);
    scratch.right.resize(wide * deep);
    let (packed_left, packed_right) = (scratch.left.as_mut_ptr(), scratch.right.as_mut_ptr());
    for column in (0..shape.cols).step_by(wide) {
        let columns = wide.min(shape.cols - column);
        for start in (0..shape.inner).step_by(deep) {
            let depth = deep.min(shape.inner - start);
            let replace = shape.replace && start == 0;
            // SAFETY: blocks are inside the factors, whose lengths `matmul` checked; the scratch has room for whole panels of a block.
            unsafe {
                pack::<S>(
                    right,
                    false,
                    width,
                    (column, columns),
                    (start, depth),
                    packed_right,
                )
            };
            for row in (0..shape.rows).step_by(tall) {
                let rows = tall.min(shape.rows - row);
                // SAFETY: as above.
                unsafe { pack::<S>(left, true, ROWS, (row, rows), (start, depth), packed_left) };
                for panel in (0..columns).step_by(width) {
                    for tile in (0..rows).step_by(ROWS) {
                        let place = Place {
                            rows: ROWS.min(rows - tile),
                            columns: width.min(columns - panel),
                            stride: shape.out_stride,
                            replace,
                        };
                        // SAFETY: panels and tiles were packed whole; the place is inside the output.
                        unsafe {
                            let at = (row + tile) * shape.out_stride + column + panel;
                            product::<S, ROWS, VECTORS>(
                                depth,
                                packed_left.add(tile * depth),
                                packed_right.add(panel * depth),
                                out.as_mut_ptr().add(at),
                                place,
                            );
                        }
                    }
                }
            }
        }
    }
}

/// Where a tile goes.
#[derive(Clone, Copy)]
struct Place {
    rows: usize,
    columns: usize,
    stride: usize,
    replace: bool,
}

/// One tile of the output: `ROWS` rows of `VECTORS` vectors.
#[inline(always)]
unsafe fn product<S: Simd, const ROWS: usize, const VECTORS: usize>(
    depth: usize,
    left: *const f32,
    right: *const f32,
    out: *mut f32,
    place: Place,
) {
    // SAFETY: the caller promises `depth` times a tile's rows and a panel's columns, and the place in the output.
    unsafe {
        let mut sums = [[S::splat(0.0); VECTORS]; ROWS];
        let (mut left, mut right) = (left, right);
        for _ in 0..depth {
            let mut values = [S::splat(0.0); VECTORS];
            for vector in 0..VECTORS {
                values[vector] = S::load(right.add(vector * S::W));
            }
            for row in 0..ROWS {
                let value = S::splat(*left.add(row));
                for vector in 0..VECTORS {
                    sums[row][vector] = S::fma(value, values[vector], sums[row][vector]);
                }
            }
            left = left.add(ROWS);
            right = right.add(VECTORS * S::W);
        }
        if place.rows == ROWS && place.columns == VECTORS * S::W {
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    let at = out.add(row * place.stride + vector * S::W);
                    let sum = sums[row][vector];
                    S::store(
                        at,
                        if place.replace {
                            sum
                        } else {
                            S::add(S::load(at), sum)
                        },
                    );
                }
            }
            return;
        }
        // The edge goes through memory: a variable index into `sums` would keep it there during the product too.
        let mut spilled = Spill([0.0; 8 * 48]);
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                let at = (row * VECTORS + vector) * S::W;
                S::store(spilled.0.as_mut_ptr().add(at), sums[row][vector]);
            }
        }
        edge(&spilled, VECTORS * S::W, out, place);
    }
}

#[repr(C, align(64))]
struct Spill([f32; 8 * 48]);

/// Stores the part of a tile that is inside the output.
#[inline(never)]
unsafe fn edge(sums: &Spill, width: usize, out: *mut f32, place: Place) {
    for row in 0..place.rows {
        let sums = &sums.0[row * width..][..place.columns];
        // SAFETY: the caller promises the place in the output.
        let out = unsafe { std::slice::from_raw_parts_mut(out.add(row * place.stride), place.columns) };
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = if place.replace { *sum } else { *out + sum };
        }
    }
}

/// Packs a block into panels of `width` lines: a line is a row of the left factor (`rows_are_lines`) or a column of the right one. A panel has
/// the lines' first values, then their second ones, and so on; lines that are not there are zeros.
#[inline(always)]
unsafe fn pack<S: Simd>(
    factor: Factor<'_>,
    rows_are_lines: bool,
    width: usize,
    (first, lines): (usize, usize),
    (start, depth): (usize, usize),
    to: *mut f32,
) {
    // Whether a line's neighbours stand beside it in memory.
    let beside = factor.transposed == rows_are_lines;
    let (stride, values) = (factor.stride, factor.values.as_ptr());
    for panel in (0..lines).step_by(width) {
        let count = width.min(lines - panel);
        // SAFETY: lines and depth are inside the factor; the caller has room for whole panels.
        unsafe {
            let to = to.add(panel * depth);
            if beside {
                let from = values.add(start * stride + first + panel);
                for at in 0..depth {
                    let (from, to) = (from.add(at * stride), to.add(at * width));
                    copy::<S>(from, count, to, width);
                }
            } else {
                let from = values.add((first + panel) * stride + start);
                turn::<S>(from, stride, count, depth, to, width);
            }
        }
    }
}

/// Copies `count` values and fills up with zeros to `width`.
#[inline(always)]
unsafe fn copy<S: Simd>(from: *const f32, count: usize, to: *mut f32, width: usize) {
    // SAFETY: the caller promises `count` values and room for `width`.
    unsafe {
        let mut at = 0;
        while at + S::W <= count {
            S::store(to.add(at), S::load(from.add(at)));
            at += S::W;
        }
        while at < count {
            *to.add(at) = *from.add(at);
            at += 1;
        }
        while at < width {
            *to.add(at) = 0.0;
            at += 1;
        }
    }
}

/// Makes `lines` lines of `depth` values, `stride` apart, the columns of a panel `width` wide.
#[inline(always)]
unsafe fn turn<S: Simd>(
    from: *const f32,
    stride: usize,
    lines: usize,
    depth: usize,
    to: *mut f32,
    width: usize,
) {
    // SAFETY: the caller promises the values and the room.
    unsafe {
        if width.is_multiple_of(S::W) {
            for line in (0..width).step_by(S::W) {
                let rows = lines.saturating_sub(line).min(S::W);
                let mut at = 0;
                while at + S::W <= depth {
                    let from = from.add(line.min(lines - 1) * stride + at);
                    S::transpose(from, stride, rows, S::W, to.add(at * width + line), width);
                    at += S::W;
                }
                for at in at..depth {
                    for lane in 0..S::W {
                        *to.add(at * width + line + lane) = match lane < rows {
                            true => *from.add((line + lane) * stride + at),
                            false => 0.0,
                        };
                    }
                }
            }
            return;
        }
        // A tile's rows are fewer than a vector's lanes: turned in a small square first.
        let mut square = Spill([0.0; 8 * 48]);
        let mut at = 0;
        while at + S::W <= depth {
            S::transpose(from.add(at), stride, lines, S::W, square.0.as_mut_ptr(), S::W);
            for step in 0..S::W {
                for line in 0..width {
                    *to.add((at + step) * width + line) = square.0[step * S::W + line];
                }
            }
            at += S::W;
        }
        for at in at..depth {
            for line in 0..width {
                *to.add(at * width + line) = match line < lines {
                    true => *from.add(line * stride + at),
                    false => 0.0,
                };
            }
        }
    }
}
