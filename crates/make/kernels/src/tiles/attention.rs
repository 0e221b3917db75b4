//! Attention by tiles: 32 queries by 32 keys at a time, both products of bf16 values, softmax in f32. This is for
//! bf16 and int8: one bf16 value is closer to f32 than a byte is. At f32 it would take six products of bf16 values for each, which measured no faster
//! than f32 multiply-adds: softmax and what surrounds it take their share.
//!
//! The scores of a block of queries with all keys are held at once: memory grows with the length of a sequence, not with its square.

use std::arch::x86_64::*;

use super::multiply::{Bf16, Factors, multiply};
use super::split::{round, widen};
use super::{BLOCK, BYTES, ROW_BYTES, ROWS, Tiles};
use crate::activation::exp2_rough;
use crate::attention::{Attention, Masked};
use crate::buffer::Buffer;
use crate::linear::Precision;
use crate::mask::Mask;
use crate::simd::x86::Avx512;
use crate::simd::{Level, Set, Simd};

/// A score that counts for nothing.
const NOTHING: f32 = f32::MIN / 4.0;

/// Memory that is used again from call to call.
#[derive(Clone, Default)]
pub(crate) struct TileScratch {
    /// Queries of a block: `[dimension steps][32 queries][32 dimensions]`.
    queries: Buffer<u16>,
    /// Keys of a head: `[blocks of 32 keys][dimension steps][2 tiles][16 pairs of dimensions][16 keys][2]`.
    keys: Buffer<u16>,
    /// Values of a head: `[blocks of 32 dimensions][steps of 32 keys][2 tiles][16 pairs of keys][16 dimensions][2]`.
    values: Buffer<u16>,
    /// Scores of a block: `[32][padded length]`.
    scores: Buffer,
    /// Their weights: `[steps of 32 keys][32 queries][32 keys]`.
    weights: Buffer<u16>,
    /// Weighted sums of a block: `[32][32]`.
    sums: Buffer,
}

/// The longest sequence for which a kernel without tiles is faster.
pub(crate) const SHORT: usize = 16;

/// Whether it is computed by tiles: where there are any, at a precision that is content with bf16.
pub(crate) fn serves(level: Level, precision: Precision) -> bool {
    level.0 == Set::Amx && matches!(precision, Precision::Bf16 | Precision::Int8)
}

/// The twin of [`crate::masked_attention`] on tiles; the lengths were checked there.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")]
pub(crate) unsafe fn all_heads(input: Masked<'_>, scratch: &mut TileScratch, out: &mut [f32]) {
    let Masked {
        attention,
        key_heads,
        mask,
        ..
    } = input;
    let len = attention.len.next_multiple_of(BLOCK);
    let dims = attention.head_dims.next_multiple_of(BLOCK);
    scratch.queries.resize(BLOCK * dims);
    scratch.keys.resize(len * dims);
    scratch.values.resize(len * dims);
    scratch.scores.resize(BLOCK * len);
    scratch.weights.resize(BLOCK * len);
    scratch.sums.resize(BLOCK * BLOCK);
    // SAFETY: the caller runs on a processor with tiles.
    let _tiles = unsafe { Tiles::configure() };
    let group = attention.heads / key_heads;
    for key_head in 0..key_heads {
        // SAFETY: heads are inside the rows of what was checked; the scratch was made big enough above.
        unsafe {
            pack_keys(&attention, key_head, scratch);
            pack_values(&attention, key_head, scratch);
            for head in key_head * group..(key_head + 1) * group {
                for first in (0..attention.len).step_by(BLOCK) {
                    block(&attention, mask, head, first, scratch, out);
                }
            }
        }
    }
}

/// Makes a tile of 16 rows' 32 values: two values of a column stand side by side, sixteen rows are a row of the tile.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn transpose(rows: &[__m512i; 16], to: *mut u16) {
    // SAFETY: the caller promises room for a tile.
    unsafe { Avx512::transpose(rows.as_ptr().cast(), 16, 16, 16, to.cast(), 16) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn pack_keys(input: &Attention<'_>, head: usize, scratch: &mut TileScratch) {
    let steps = input.head_dims.div_ceil(BLOCK);
    let mut rows = [_mm512_setzero_si512(); 16];
    for first in (0..input.len.next_multiple_of(ROWS)).step_by(ROWS) {
        for step in 0..steps {
            let dim = step * BLOCK;
            let count = input.head_dims - dim;
            for (row, values) in rows.iter_mut().enumerate() {
                let token = first + row;
                *values = if token < input.len {
                    // SAFETY: the token's head is inside the keys.
                    unsafe {
                        let from = input
                            .keys
                            .as_ptr()
                            .add(token * input.stride + head * input.head_dims + dim);
                        row_of(from, count, None)
                    }
                } else {
                    _mm512_setzero_si512()
                };
            }
            let tile = 2 * (first / BLOCK * steps + step) + first % BLOCK / ROWS;
            // SAFETY: the packed keys are whole blocks.
            unsafe { transpose(&rows, scratch.keys.as_mut_ptr().add(tile * BYTES / 2)) };
        }
    }
}

/// Up to 32 values of a row, times `factor` if there is one, as bf16.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn row_of(from: *const f32, count: usize, factor: Option<__m512>) -> __m512i {
    // SAFETY: the caller promises `count` values, or 32 if it is more.
    let (mut first, mut second) = unsafe {
        match count {
            BLOCK.. => (_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(ROWS))),
            ROWS.. => (
                _mm512_loadu_ps(from),
                Avx512::load_part(from.add(ROWS), count - ROWS),
            ),
            _ => (Avx512::load_part(from, count), _mm512_setzero_ps()),
        }
    };
    if let Some(factor) = factor {
        (first, second) = (_mm512_mul_ps(first, factor), _mm512_mul_ps(second, factor));
    }
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(round(first)), round(second))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn pack_values(input: &Attention<'_>, head: usize, scratch: &mut TileScratch) {
    let steps = input.len.div_ceil(BLOCK);
    // Puts two rows' values of a dimension side by side.
    let order: [u16; 32] = std::array::from_fn(|at| (at / 2 + at % 2 * 32) as u16);
    // SAFETY: as wide as a vector.
    let order = unsafe { _mm512_loadu_si512(order.as_ptr().cast()) };
    for pair in 0..steps * ROWS {
        let tokens = [2 * pair, 2 * pair + 1];
        for dim in (0..input.head_dims).step_by(BLOCK) {
            let [one, two] = tokens.map(|token| {
                if token >= input.len {
                    return _mm512_setzero_si512();
                }
                // SAFETY: the token's head is inside the values.
                unsafe {
                    let from = input
                        .values
                        .as_ptr()
                        .add(token * input.stride + head * input.head_dims + dim);
                    row_of(from, input.head_dims - dim, None)
                }
            });
            let block = dim / BLOCK * steps + pair / ROWS;
            let upper = |row| _mm512_castsi256_si512(_mm512_extracti64x4_epi64::<1>(row));
            // SAFETY: the packed values are whole blocks.
            unsafe {
                let to = scratch
                    .values
                    .as_mut_ptr()
                    .add(block * BYTES + pair % ROWS * ROW_BYTES / 2);
                _mm512_storeu_si512(to.cast(), _mm512_permutex2var_epi16(one, order, two));
                let second = _mm512_permutex2var_epi16(upper(one), order, upper(two));
                _mm512_storeu_si512(to.add(BYTES / 2).cast(), second);
            }
        }
    }
}

/// The keys that some query of a block sees, in whole blocks.
struct Span {
    first: usize,
    end: usize,
}

/// 32 queries from `first` on, of one head, over all keys that they see.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")]
unsafe fn block(
    input: &Attention<'_>,
    mask: Mask,
    head: usize,
    first: usize,
    scratch: &mut TileScratch,
    out: &mut [f32],
) {
    let rows = BLOCK.min(input.len - first);
    let both = rows > ROWS;
    let steps = input.head_dims.div_ceil(BLOCK);
    let width = input.len.next_multiple_of(BLOCK);
    let factor = _mm512_set1_ps(input.scale * std::f32::consts::LOG2_E);
    // What is in the rows behind them makes only scores that nobody reads.
    for row in 0..rows {
        for step in 0..steps {
            let dim = step * BLOCK;
            let token = first + row;
            // SAFETY: the token's head is inside the queries, and there is room for the block.
            unsafe {
                let from = input
                    .queries
                    .as_ptr()
                    .add(token * input.stride + head * input.head_dims + dim);
                let to = scratch.queries.as_mut_ptr().add(step * BYTES + row * BLOCK);
                _mm512_storeu_si512(to.cast(), row_of(from, input.head_dims - dim, Some(factor)));
            }
        }
    }
    let span = Span {
        first: match mask.first {
            0 => first.saturating_sub(mask.before) / BLOCK * BLOCK,
            _ => 0,
        },
        end: (first + rows)
            .saturating_add(mask.after)
            .min(input.len)
            .next_multiple_of(BLOCK),
    };
    let queries = scratch.queries.as_ptr();
    for key in (span.first..span.end).step_by(BLOCK) {
        // SAFETY: keys and scores are padded to whole blocks.
        unsafe {
            let keys = scratch.keys.as_ptr().add(key / BLOCK * steps * BYTES);
            let scores = scratch.scores.as_mut_ptr().add(key);
            multiply::<Bf16<1>>(Factors::of(queries, keys), steps, both, scores, width);
        }
    }
    let mut factors = [0.0; BLOCK];
    let to = scratch.weights.as_mut_ptr();
    for half in (0..rows).step_by(ROWS) {
        let (rows, factors) = (ROWS.min(rows - half), &mut factors[half..half + ROWS]);
        let scores = &mut scratch.scores[half * width..][..(rows - 1) * width + span.end];
        // SAFETY: there are so many rows of scores, and there is room for the weights of whole blocks.
        unsafe {
            let to = to.add(half * BLOCK);
            let done = mask.is_all(input.len) && weights(scores, width, rows, input.len, to, factors);
            if !done {
                for row in 0..rows {
                    let scores = &mut scores[row * width..][..span.end];
                    hide(mask, first + half + row, input.len, &span, scores);
                    factors[row] = safe_weights(&scores[span.first..], to.add(row * BLOCK));
                }
            }
        }
    }
    for dim in (0..input.head_dims).step_by(BLOCK) {
        // SAFETY: weights and values are padded to whole blocks; rows and dimensions that are stored are inside `out`.
        unsafe {
            let keys = width / BLOCK;
            let values = scratch
                .values
                .as_ptr()
                .add((dim / BLOCK * keys + span.first / BLOCK) * BYTES);
            let sums = scratch.sums.as_mut_ptr();
            let count = (span.end - span.first) / BLOCK;
            let product = Factors::of(scratch.weights.as_ptr(), values);
            multiply::<Bf16<1>>(product, count, both, sums, BLOCK);
            for (row, factor) in factors.iter().enumerate().take(rows) {
                let factor = _mm512_set1_ps(*factor);
                let to = out
                    .as_mut_ptr()
                    .add(((first + row) * input.heads + head) * input.head_dims + dim);
                for at in (0..BLOCK.min(input.head_dims - dim)).step_by(ROWS) {
                    let value = _mm512_mul_ps(_mm512_load_ps(sums.add(row * BLOCK + at)), factor);
                    match input.head_dims - dim - at {
                        ROWS.. => _mm512_storeu_ps(to.add(at), value),
                        count => Avx512::store_part(to.add(at), value, count),
                    }
                }
            }
        }
    }
}

/// Makes scores of keys that `query` doesn't see count for nothing.
fn hide(mask: Mask, query: usize, len: usize, span: &Span, scores: &mut [f32]) {
    let before = query.saturating_sub(mask.before);
    let after = query.saturating_add(mask.after).saturating_add(1).min(len);
    scores[after..].fill(NOTHING);
    let hidden = mask.first.min(query).max(span.first);
    if hidden < before {
        scores[hidden..before].fill(NOTHING);
    }
}

/// Scores (times log2 e) up to this are made weights as they are: neither they nor their sums leave the range of f32 or bf16, and weights
/// have the same relative error at any size. Others are made weights after the largest of a row is taken off.
const TAME: f32 = 60.0;

/// Turns up to 16 rows of `len` scores (times log2 e), `width` apart, into weights `exp(score)`, written to
/// `[steps of 32 keys][32 queries][32 keys]`, and gives one over the sum of each row; or `false`, if a score is too large for that.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn weights(
    scores: &[f32],
    width: usize,
    rows: usize,
    len: usize,
    to: *mut u16,
    factors: &mut [f32],
) -> bool {
    let (whole, rest) = (len / 16 * 16, len % 16);
    let mut largest = _mm512_setzero_ps();
    let mut sums = [_mm512_set1_ps(1.0 / 16.0); ROWS];
    for (row, sum) in sums.iter_mut().enumerate().take(rows) {
        // SAFETY: rows of scores and weights are padded to whole blocks.
        unsafe {
            let from = scores.as_ptr().add(row * width);
            let place = |at: usize| to.add(at / BLOCK * BYTES + row * BLOCK + at % BLOCK);
            let mut total = _mm512_setzero_ps();
            for at in (0..whole).step_by(16) {
                let score = _mm512_load_ps(from.add(at));
                largest = _mm512_range_ps::<0b1011>(largest, score);
                total = _mm512_add_ps(total, weigh(score, u16::MAX, place(at)));
            }
            if rest > 0 {
                let lanes = ((1_u32 << rest) - 1) as u16;
                let score = _mm512_maskz_load_ps(lanes, from.add(whole));
                largest = _mm512_range_ps::<0b1011>(largest, score);
                total = _mm512_add_ps(total, weigh(score, lanes, place(whole)));
            }
            if (1..=ROWS).contains(&(len % BLOCK)) {
                let to = place(len.next_multiple_of(16));
                _mm256_storeu_si256(to.cast(), _mm256_setzero_si256());
            }
            *sum = total;
        }
    }
    if _mm512_reduce_max_ps(largest) > TAME {
        return false;
    }
    let inverse = _mm512_div_ps(_mm512_set1_ps(1.0), sum_each(sums));
    // SAFETY: there is room for sixteen factors.
    unsafe { _mm512_storeu_ps(factors.as_mut_ptr(), inverse) };
    true
}

/// Stores the weights of sixteen scores, those outside of `lanes` as zeros, and gives what they add to the sum.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn weigh(score: __m512, lanes: u16, to: *mut u16) -> __m512 {
    // SAFETY: the caller promises room for them.
    unsafe {
        let weight = round(_mm512_maskz_mov_ps(lanes, exp2_rough::<Avx512>(score)));
        _mm256_storeu_si256(to.cast(), weight);
        // What is summed is what is multiplied.
        widen(weight)
    }
}

/// The sum of each vector.
#[inline]
#[target_feature(enable = "avx512f")]
fn sum_each(v: [__m512; ROWS]) -> __m512 {
    // Halves of two vectors become one, four times; which is whose is sorted out last.
    let two = |a, b| _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    let pair: [__m512; 8] = std::array::from_fn(|at| two(v[2 * at], v[2 * at + 1]));
    let four = |a, b| {
        let (a, b) = (_mm512_castps_pd(a), _mm512_castps_pd(b));
        _mm512_add_ps(
            _mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)),
        )
    };
    let quad: [__m512; 4] = std::array::from_fn(|at| four(pair[2 * at], pair[2 * at + 1]));
    // Each quarter of `quad[at]` holds a part of the sums of rows 4 at to 4 at + 3.
    let quarters = |a, b| {
        _mm512_add_ps(
            _mm512_shuffle_f32x4::<0x88>(a, b),
            _mm512_shuffle_f32x4::<0xdd>(a, b),
        )
    };
    quarters(quarters(quad[0], quad[1]), quarters(quad[2], quad[3]))
}

/// Turns a row of scores (times log2 e) into weights `exp(score - largest)`, written likewise; gives one over their sum.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn safe_weights(scores: &[f32], to: *mut u16) -> f32 {
    let from = scores.as_ptr();
    // SAFETY: scores are whole blocks; the caller promises room for the weights.
    unsafe {
        let mut most = _mm512_loadu_ps(from);
        for at in (16..scores.len()).step_by(16) {
            most = _mm512_max_ps(most, _mm512_loadu_ps(from.add(at)));
        }
        let most = _mm512_set1_ps(_mm512_reduce_max_ps(most));
        let mut sum = _mm512_setzero_ps();
        for at in (0..scores.len()).step_by(16) {
            let score = _mm512_sub_ps(_mm512_loadu_ps(from.add(at)), most);
            let to = to.add(at / BLOCK * BYTES + at % BLOCK);
            sum = _mm512_add_ps(sum, weigh(score, u16::MAX, to));
        }
        1.0 / _mm512_reduce_add_ps(sum)
    }
}
