//! Attention of short sequences: a block of queries keeps its scores with all keys in registers, from their dot products to their softmax.

#![allow(
    clippy::needless_range_loop,
    reason = "index loops over fixed-size arrays become registers; iterators over two of them at once do not always"
)]

use std::mem::MaybeUninit;

use crate::activation::exp2;
use crate::attention::Attention;
use crate::attention_tiled::store;
use crate::buffer::Buffer;
use crate::simd::Simd;

/// The most values that the scores of a block have.
const SCORES: usize = 8 * 48;

/// Scores of a block that become weights: `[rows][VECTORS * W]`.
#[repr(C, align(64))]
struct Weights([MaybeUninit<f32>; SCORES]);

/// The score of a key that is not there: so small that it counts for nothing.
const NOTHING: f32 = f32::MIN / 4.0;

/// The most tokens whose scores fit the registers beside a block of queries.
pub(crate) const fn most<S: Simd>() -> usize {
    match S::TILE_ROWS {
        8 => 3 * S::W,
        _ => 2 * S::W,
    }
}

/// As [`crate::attention()`], for at most [`most`] tokens; `keys` is scratch.
#[inline(always)]
pub(crate) unsafe fn all_heads<S: Simd>(input: Attention<'_>, keys: &mut Buffer, out: &mut [f32]) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match S::TILE_ROWS {
            8 => sized::<S, 8, 3>(input, keys, out),
            6 => sized::<S, 6, 2>(input, keys, out),
            _ => sized::<S, 3, 2>(input, keys, out),
        }
    }
}

#[inline(always)]
unsafe fn sized<S: Simd, const ROWS: usize, const VECTORS: usize>(
    input: Attention<'_>,
    keys: &mut Buffer,
    out: &mut [f32],
) {
    // SAFETY: as above.
    unsafe {
        match input.len.div_ceil(S::W) {
            1 => heads::<S, ROWS, 1>(input, keys, out),
            2 => heads::<S, ROWS, 2>(input, keys, out),
            _ => heads::<S, ROWS, VECTORS>(input, keys, out),
        }
    }
}

#[inline(always)]
unsafe fn heads<S: Simd, const ROWS: usize, const VECTORS: usize>(
    input: Attention<'_>,
    keys: &mut Buffer,
    out: &mut [f32],
) {
    let width = input.heads * input.head_dims;
    keys.resize(input.head_dims.next_multiple_of(S::W) * VECTORS * S::W);
    // What a score starts from.
    let mut start = [0.0; 48];
    start[input.len..].fill(NOTHING);
    for head in 0..input.heads {
        let first = head * input.head_dims;
        // SAFETY: tokens and dimensions stay inside the slices, whose lengths were checked; keys have room for whole vectors.
        unsafe {
            let from = input.keys.as_ptr().add(first);
            for dim in (0..input.head_dims).step_by(S::W) {
                for vector in 0..VECTORS {
                    let token = vector * S::W;
                    S::transpose(
                        from.add(token * input.stride + dim),
                        input.stride,
                        (input.len - token).min(S::W),
                        (input.head_dims - dim).min(S::W),
                        keys.as_mut_ptr().add(dim * VECTORS * S::W + token),
                        VECTORS * S::W,
                    );
                }
            }
            let mut token = 0;
            while token < input.len {
                let left = input.len - token;
                let block = Block {
                    input: &input,
                    first,
                    token,
                    rows: left.min(ROWS),
                    keys: keys.as_ptr(),
                    start: start.as_ptr(),
                    out: out.as_mut_ptr().add(token * width + first),
                };
                token += match left {
                    left if left + 2 > ROWS => run::<S, ROWS, VECTORS>(&block),
                    5.. => run::<S, 6, VECTORS>(&block),
                    3.. => run::<S, 4, VECTORS>(&block),
                    _ => run::<S, 2, VECTORS>(&block),
                };
            }
        }
    }
}

/// A block of queries of one head.
struct Block<'a> {
    input: &'a Attention<'a>,
    /// The head's first dimension.
    first: usize,
    /// The first query.
    token: usize,
    /// How many queries are left; a block that has fewer than `ROWS` computes its last one again.
    rows: usize,
    /// `[dims][VECTORS * W]`
    keys: *const f32,
    /// `[VECTORS * W]`
    start: *const f32,
    out: *mut f32,
}

/// Returns how many queries it did.
#[inline(always)]
unsafe fn run<S: Simd, const ROWS: usize, const VECTORS: usize>(block: &Block<'_>) -> usize {
    let input = block.input;
    let mut weights = Weights([const { MaybeUninit::uninit() }; SCORES]);
    // SAFETY: `heads` made the block so that all addresses are inside its slices; rows are clamped to those that are there.
    unsafe {
        let queries = input
            .queries
            .as_ptr()
            .add(block.token * input.stride + block.first);
        let mut rows = [queries; ROWS];
        for row in 0..ROWS {
            rows[row] = queries.add(row.min(block.rows - 1) * input.stride);
        }
        let mut sums = [[S::splat(0.0); VECTORS]; ROWS];
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                sums[row][vector] = S::load(block.start.add(vector * S::W));
            }
        }
        for dim in 0..input.head_dims {
            let keys = block.keys.add(dim * VECTORS * S::W);
            let mut loaded = [S::splat(0.0); VECTORS];
            for vector in 0..VECTORS {
                loaded[vector] = S::load(keys.add(vector * S::W));
            }
            for row in 0..ROWS {
                let value = S::splat(*rows[row].add(dim));
                for vector in 0..VECTORS {
                    sums[row][vector] = S::fma(value, loaded[vector], sums[row][vector]);
                }
            }
        }
        let scale = input.scale * std::f32::consts::LOG2_E;
        let factor = S::splat(scale);
        let mut totals = [S::splat(0.0); ROWS];
        for row in 0..ROWS {
            let mut most = sums[row][0];
            for vector in 1..VECTORS {
                most = S::max(most, sums[row][vector]);
            }
            let shift = S::splat(-S::largest(most) * scale);
            for vector in 0..VECTORS {
                let value = exp2::<S>(S::fma(sums[row][vector], factor, shift));
                let to = weights.0.as_mut_ptr().cast::<f32>();
                S::store(to.add((row * VECTORS + vector) * S::W), value);
                totals[row] = S::add(totals[row], value);
            }
        }
        let mut factors = [0.0; ROWS];
        for row in 0..ROWS {
            factors[row] = 1.0 / S::sum(totals[row]);
        }
        let mut dim = 0;
        while dim < input.head_dims {
            let vectors = (input.head_dims - dim).div_ceil(S::W).min(2);
            if vectors == 1 {
                answer::<S, ROWS, VECTORS, 1>(block, &weights, &factors, dim);
            } else {
                answer::<S, ROWS, VECTORS, 2>(block, &weights, &factors, dim);
            }
            dim += vectors * S::W;
        }
    }
    ROWS
}

/// The weighted sum of the values, dimensions from `dim` on.
#[inline(always)]
unsafe fn answer<S: Simd, const ROWS: usize, const VECTORS: usize, const WIDTH: usize>(
    block: &Block<'_>,
    weights: &Weights,
    factors: &[f32; ROWS],
    dim: usize,
) {
    let input = block.input;
    let weights = weights.0.as_ptr().cast::<f32>();
    let last = (input.head_dims - dim - (WIDTH - 1) * S::W).min(S::W);
    // SAFETY: as in `run`; the last vector of a value may be a part of one.
    unsafe {
        let mut sums = [[S::splat(0.0); WIDTH]; ROWS];
        let values = input.values.as_ptr().add(block.first + dim);
        for token in 0..input.len {
            let values = values.add(token * input.stride);
            let mut loaded = [S::splat(0.0); WIDTH];
            for vector in 0..WIDTH {
                loaded[vector] = match vector + 1 == WIDTH && last < S::W {
                    true => S::load_part(values.add(vector * S::W), last),
                    false => S::load(values.add(vector * S::W)),
                };
            }
            for row in 0..ROWS {
                let weight = S::splat(*weights.add(row * VECTORS * S::W + token));
                for vector in 0..WIDTH {
                    sums[row][vector] = S::fma(weight, loaded[vector], sums[row][vector]);
                }
            }
        }
        let (out, stride) = (block.out.add(dim), input.heads * input.head_dims);
        store::<S, ROWS, WIDTH>(&sums, factors, block.rows, out, stride, input.head_dims - dim);
    }
}
