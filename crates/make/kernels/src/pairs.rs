//! The products behind [`Linear`] at bf16 on vectors (AVX-512 BF16, where there are no tiles): an instruction multiplies two bf16 values a lane and adds
//! both products to an f32 sum, twice as many as f32 multiply-adds do.

#![allow(
    clippy::needless_range_loop,
    reason = "index loops over fixed-size arrays become registers; iterators over two of them at once do not always"
)]

use std::arch::x86_64::*;

use crate::buffer::Buffer;
use crate::linear::{Epilogue, Linear};
use crate::product::{Place, Sums, finish};
use crate::quantize::{PARTS_STEP, QuantizedRows};
use crate::simd::Simd;
use crate::simd::x86::Avx512;
use crate::tiles::linear::load;
use crate::tiles::split::round;

/// Outputs of a panel: three vectors.
const WIDTH: usize = VECTORS * LANES;
const VECTORS: usize = 3;
const LANES: usize = 16;
/// Rows of a register tile: 24 sums.
const ROWS: usize = 8;
/// Inputs that one instruction takes in.
pub(crate) const GROUP: usize = 2;

/// Rounds all weights, in their order; there may be zeros behind the last.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
pub(crate) fn round_weights(weights: &[f32]) -> Buffer<u16> {
    let mut rounded = Buffer::zeros(weights.len().next_multiple_of(LANES));
    // SAFETY: there is room for whole vectors.
    unsafe { round_row(weights, rounded.as_mut_ptr()) };
    rounded
}

/// Rounds `x` (`[rows, width]`) to `[rows][width up to a multiple of 32]`. Padding is zeros.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
pub(crate) unsafe fn round_rows(width: usize, x: &[f32], to: &mut Buffer<u16>) {
    let stride = width.next_multiple_of(PARTS_STEP);
    for (row, x) in x.chunks_exact(width).enumerate() {
        // SAFETY: the caller promises room for the rows.
        unsafe { round_row(x, to.as_mut_ptr().add(row * stride)) };
    }
}

/// Rounds a row, up to a whole number of vectors.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn round_row(row: &[f32], to: *mut u16) {
    for at in (0..row.len()).step_by(LANES) {
        // SAFETY: the caller promises the room.
        unsafe { _mm256_storeu_si256(to.add(at).cast(), round(load(row, at))) };
    }
}

/// Panel after panel, so that a panel stays in the second-level cache while all rows pass by. A row's result does not depend on its neighbours.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
pub(crate) unsafe fn products(
    layer: &Linear,
    panels: &Buffer<u16>,
    x: &QuantizedRows,
    out: &mut [f32],
    epilogue: Epilogue,
) {
    let steps = layer.inputs.div_ceil(GROUP);
    let stride = layer.inputs.next_multiple_of(PARTS_STEP);
    let rows = x.rows();
    let mut sums = Sums::zeros();
    for panel in 0..layer.outputs.div_ceil(WIDTH) {
        let mut row = 0;
        while row < rows {
            // SAFETY: panel, row and column numbers stay below the counts that `apply` and `new` checked lengths for.
            unsafe {
                let weights = panels.as_ptr().add(panel * steps * GROUP * WIDTH);
                let x = x.parts.as_ptr().add(row * stride);
                let done = match rows - row {
                    left if left >= ROWS => tile::<ROWS>(steps, x, stride, weights, &mut sums),
                    4.. => tile::<4>(steps, x, stride, weights, &mut sums),
                    2.. => tile::<2>(steps, x, stride, weights, &mut sums),
                    _ => tile::<1>(steps, x, stride, weights, &mut sums),
                };
                let place = Place {
                    out: out.as_mut_ptr().add(row * layer.outputs + panel * WIDTH),
                    stride: layer.outputs,
                    rows: done,
                    columns: WIDTH.min(layer.outputs - panel * WIDTH),
                    width: WIDTH,
                    bias: layer.bias.as_ptr().add(panel * WIDTH),
                };
                finish::<Avx512, false>(&place, &sums, epilogue);
                row += done;
            }
        }
    }
}

/// `ROWS` rows of one panel; returns `ROWS`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn tile<const ROWS: usize>(
    steps: usize,
    x: *const u16,
    stride: usize,
    mut weights: *const u16,
    out: &mut Sums,
) -> usize {
    // SAFETY: the caller promises `ROWS` rows that are padded to whole pairs, and a whole panel; the types are 512 bits.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
        for step in 0..steps {
            let mut pairs = [_mm512_setzero_si512(); VECTORS];
            for vector in 0..VECTORS {
                pairs[vector] = _mm512_loadu_si512(weights.add(vector * LANES * GROUP).cast());
            }
            for row in 0..ROWS {
                let pair = x.add(row * stride + step * GROUP).cast::<i32>().read_unaligned();
                let pair = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(pair));
                for vector in 0..VECTORS {
                    let weights = std::mem::transmute::<__m512i, __m512bh>(pairs[vector]);
                    sums[row][vector] = _mm512_dpbf16_ps(sums[row][vector], pair, weights);
                }
            }
            weights = weights.add(WIDTH * GROUP);
        }
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                let at = (row * VECTORS + vector) * LANES;
                Avx512::store(out.0.as_mut_ptr().add(at), sums[row][vector]);
            }
        }
    }
    ROWS
}
