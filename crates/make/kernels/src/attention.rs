//! Attention of one sequence over itself (Attention Is All You Need, arXiv 1706.03762, equation 1), a block of queries at a time:
//! memory grows with the sequence's length, not with its square.

#![allow(
    clippy::needless_range_loop,
    reason = "index loops over fixed-size arrays become registers; iterators over two of them at once do not always"
)]

use crate::activation::exp2;
use crate::attention_int8::{self, Int8Scratch};
use crate::attention_short;
use crate::buffer::Buffer;
use crate::linear::Precision;
use crate::simd::{Level, Simd, at_level};

/// The queries, keys and values of one sequence.
///
/// Token `t`, head `h`, dimension `d` is at `t * stride + h * head_dims + d` of each slice, so that they may be parts of one joint product.
#[derive(Clone, Copy)]
pub struct Attention<'a> {
    /// What asks.
    pub queries: &'a [f32],
    /// What is asked.
    pub keys: &'a [f32],
    /// What answers.
    pub values: &'a [f32],
    /// From one token to the next.
    pub stride: usize,
    /// Tokens of the sequence.
    pub len: usize,
    /// Heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dims: usize,
    /// What dot products are multiplied by, usually `1 / sqrt(head_dims)`.
    pub scale: f32,
}

/// Memory that is used again from call to call.
#[derive(Clone, Default)]
pub struct Scratch {
    /// Keys of a head, transposed: `[head_dims][padded len]`.
    keys: Buffer,
    /// Values of a head: `[len][padded head_dims]`.
    values: Buffer,
    /// Scores of a block of queries: `[rows][padded len]`.
    scores: Buffer,
    int8: Int8Scratch,
}

/// Writes `softmax(scale * Q K^T) V` to `out` (`[len, heads * head_dims]`). At int8 both products are of bytes, unless a head is wider than
/// 256 dimensions, or a sequence so short (48 tokens) that f32 is no slower.
///
/// # Panics
/// If the lengths don't fit.
pub fn attention(
    level: Level,
    precision: Precision,
    input: Attention<'_>,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let width = input.heads * input.head_dims;
    assert_eq!(out.len(), input.len * width, "output is [len, heads * head_dims]");
    if out.is_empty() {
        return;
    }
    let needed = (input.len - 1) * input.stride + width;
    for slice in [input.queries, input.keys, input.values] {
        assert!(slice.len() >= needed, "input is [len, stride]");
    }
    if precision == Precision::Int8 && attention_int8::fits(&input) {
        return attention_int8::run(level, input, &mut scratch.int8, out);
    }
    // SAFETY: levels come from `Level::available`; the lengths are checked above.
    unsafe { at_level!(level, all_heads(input: Attention<'_>, scratch: &mut Scratch, out: &mut [f32])) }
}

#[inline(always)]
unsafe fn all_heads<S: Simd>(input: Attention<'_>, scratch: &mut Scratch, out: &mut [f32]) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        if input.len <= attention_short::most::<S>() {
            return attention_short::all_heads::<S>(input, &mut scratch.keys, out);
        }
        match S::TILE_ROWS {
            8 => tiled::<S, 8, 4, 3>(input, scratch, out),
            6 => tiled::<S, 6, 3, 2>(input, scratch, out),
            _ => tiled::<S, 3, 1, 2>(input, scratch, out),
        }
    }
}

#[inline(always)]
unsafe fn tiled<S: Simd, const ROWS: usize, const HALF: usize, const VECTORS: usize>(
    input: Attention<'_>,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let padded_len = input.len.next_multiple_of(S::W);
    let padded_dims = input.head_dims.next_multiple_of(S::W);
    scratch.keys.resize(padded_dims * padded_len);
    scratch.values.resize(input.len * padded_dims);
    scratch.scores.resize(ROWS * padded_len);
    for head in 0..input.heads {
        let first = head * input.head_dims;
        for token in (0..input.len).step_by(S::W) {
            for dim in (0..input.head_dims).step_by(S::W) {
                // SAFETY: rows and columns are those that are there; there is room for whole vectors.
                unsafe {
                    S::transpose(
                        input.keys.as_ptr().add(token * input.stride + first + dim),
                        input.stride,
                        (input.len - token).min(S::W),
                        (input.head_dims - dim).min(S::W),
                        scratch.keys.as_mut_ptr().add(dim * padded_len + token),
                        padded_len,
                    );
                }
            }
        }
        for token in 0..input.len {
            let row = &input.values[token * input.stride + first..][..input.head_dims];
            scratch.values[token * padded_dims..][..input.head_dims].copy_from_slice(row);
        }
        let mut token = 0;
        while token < input.len {
            let left = input.len - token;
            let block = Block {
                queries: &input.queries[token * input.stride + first..],
                stride: input.stride,
                scale: input.scale,
                len: input.len,
                padded_len,
                head_dims: input.head_dims,
                padded_dims,
                keys: &scratch.keys,
                values: &scratch.values,
                out: out[token * input.heads * input.head_dims + first..].as_mut_ptr(),
                out_stride: input.heads * input.head_dims,
                rows: left.min(ROWS),
            };
            // SAFETY: the caller's promise is passed on; the scratch was made big enough above.
            unsafe {
                if left > HALF {
                    run::<S, ROWS, VECTORS>(block, &mut scratch.scores);
                } else {
                    run::<S, HALF, VECTORS>(block, &mut scratch.scores);
                }
            }
            token += if left > HALF { ROWS } else { HALF };
        }
    }
}

/// A block of queries of one head.
struct Block<'a> {
    queries: &'a [f32],
    stride: usize,
    scale: f32,
    len: usize,
    padded_len: usize,
    head_dims: usize,
    padded_dims: usize,
    keys: &'a [f32],
    values: &'a [f32],
    out: *mut f32,
    out_stride: usize,
    /// How many queries are left; a block that has fewer than `ROWS` computes its last one again.
    rows: usize,
}

#[inline(always)]
unsafe fn run<S: Simd, const ROWS: usize, const VECTORS: usize>(block: Block<'_>, scores: &mut [f32]) {
    // SAFETY: `tiled` made the block so that all addresses are inside its slices.
    unsafe {
        let mut column = 0;
        while column < block.padded_len {
            match (block.padded_len - column) / S::W {
                1 => score::<S, ROWS, 1>(&block, scores, column),
                2 => score::<S, ROWS, 2>(&block, scores, column),
                _ => score::<S, ROWS, VECTORS>(&block, scores, column),
            }
            column += ((block.padded_len - column) / S::W).min(VECTORS) * S::W;
        }
        let mut factors = [0.0; ROWS];
        for (row, factor) in factors.iter_mut().enumerate() {
            let scores = &mut scores[row * block.padded_len..][..block.padded_len];
            // Scores of the padding: so small that they count for nothing.
            scores[block.len..].fill(f32::MIN / 4.0);
            *factor = softmax::<S>(block.scale, scores);
        }
        let mut column = 0;
        while column < block.padded_dims {
            match (block.padded_dims - column) / S::W {
                1 => answer::<S, ROWS, 1>(&block, scores, &factors, column),
                2 => answer::<S, ROWS, 2>(&block, scores, &factors, column),
                _ => answer::<S, ROWS, VECTORS>(&block, scores, &factors, column),
            }
            column += ((block.padded_dims - column) / S::W).min(VECTORS) * S::W;
        }
    }
}

/// The dot products of the block's queries with the keys from `column` on.
#[inline(always)]
unsafe fn score<S: Simd, const ROWS: usize, const VECTORS: usize>(
    block: &Block<'_>,
    scores: &mut [f32],
    column: usize,
) {
    // SAFETY: `column` and the vectors after it are inside the padded length; rows are clamped to those that are there.
    unsafe {
        let mut rows = [block.queries.as_ptr(); ROWS];
        for (row, at) in rows.iter_mut().enumerate() {
            *at = at.add(row.min(block.rows - 1) * block.stride);
        }
        let mut sums = [[S::splat(0.0); VECTORS]; ROWS];
        for dim in 0..block.head_dims {
            let keys = block.keys.as_ptr().add(dim * block.padded_len + column);
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
        for (row, sums) in sums.iter().enumerate() {
            for (vector, sum) in sums.iter().enumerate() {
                S::store(
                    scores
                        .as_mut_ptr()
                        .add(row * block.padded_len + column + vector * S::W),
                    *sum,
                );
            }
        }
    }
}

/// Turns scores into `exp(scale * (score - largest))`; returns one over their sum.
#[inline(always)]
pub(crate) unsafe fn softmax<S: Simd>(scale: f32, scores: &mut [f32]) -> f32 {
    let at = scores.as_mut_ptr();
    // SAFETY: the row is a whole number of vectors long.
    unsafe {
        let scale = scale * std::f32::consts::LOG2_E;
        let factor = S::splat(scale);
        let mut most = S::splat(f32::MIN);
        let mut column = 0;
        while column < scores.len() {
            most = S::max(most, S::load(at.add(column)));
            column += S::W;
        }
        let shift = S::splat(-S::largest(most) * scale);
        let mut sum = S::splat(0.0);
        let mut column = 0;
        while column < scores.len() {
            let value = exp2::<S>(S::fma(S::load(at.add(column)), factor, shift));
            S::store(at.add(column), value);
            sum = S::add(sum, value);
            column += S::W;
        }
        1.0 / S::sum(sum)
    }
}

/// The weighted sum of the values, dimensions from `column` on.
#[inline(always)]
unsafe fn answer<S: Simd, const ROWS: usize, const VECTORS: usize>(
    block: &Block<'_>,
    scores: &[f32],
    factors: &[f32; ROWS],
    column: usize,
) {
    // SAFETY: `column` and the vectors after it are inside the padded width of a value; rows that are stored are inside `out`.
    unsafe {
        let mut sums = [[S::splat(0.0); VECTORS]; ROWS];
        for token in 0..block.len {
            let values = block.values.as_ptr().add(token * block.padded_dims + column);
            let mut loaded = [S::splat(0.0); VECTORS];
            for vector in 0..VECTORS {
                loaded[vector] = S::load(values.add(vector * S::W));
            }
            for row in 0..ROWS {
                let weight = S::splat(*scores.as_ptr().add(row * block.padded_len + token));
                for vector in 0..VECTORS {
                    sums[row][vector] = S::fma(weight, loaded[vector], sums[row][vector]);
                }
            }
        }
        // Up to the constant and not to `block.rows`, so that it is unrolled and the sums can stay in registers.
        for row in 0..ROWS {
            if row >= block.rows {
                break;
            }
            let factor = S::splat(factors[row]);
            for vector in 0..VECTORS {
                let first = column + vector * S::W;
                let out = block.out.add(row * block.out_stride + first);
                let value = S::mul(sums[row][vector], factor);
                match block.head_dims - first {
                    count if count >= S::W => S::store(out, value),
                    count => S::store_part(out, value, count),
                }
            }
        }
    }
}
