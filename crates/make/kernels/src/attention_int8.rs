//! Attention on bytes: queries, keys, weights and values are quantised on the way, sums are exact, softmax is computed as f32.
//!
//! | what | as | scale |
//! |---|---|---|
//! | query | unsigned, 128 is zero | one for each token and head |
//! | key | signed | one for each token and head |
//! | `exp(score - largest)` | unsigned, 255 is one | none; a row is divided by the sum of its bytes |
//! | value | signed | one for each dimension of a head, over the sequence |

#![allow(
    clippy::needless_range_loop,
    reason = "index loops over fixed-size arrays become registers; iterators over two of them at once do not always"
)]

use crate::activation::exp2_rough;
use crate::attention::Attention;
use crate::buffer::Buffer;
use crate::simd::int8::Dot;
use crate::simd::{Level, Simd, at_level_int8};

/// The code of a query's zero.
const ZERO: f32 = 128.0;
/// Rows of bytes are padded to this.
const ALIGN: usize = 64;
/// The widest head that is quantised; a wider one is computed as f32.
const WIDEST: usize = 256;
/// The longest sequence that is not: quantising its few keys and values takes longer than it saves.
const SHORT: usize = 48;

/// Whether bytes are used for it.
pub(crate) fn fits(input: &Attention<'_>) -> bool {
    input.head_dims <= WIDEST && input.len > SHORT
}

/// Memory that is used again from call to call.
#[derive(Clone, Default)]
pub(crate) struct Int8Scratch {
    /// Keys of a head: `[len / W][head_dims / GROUP][W][GROUP]`.
    keys: Buffer<i8>,
    /// `[padded len]`
    key_scales: Buffer,
    /// What is too much in a sum of codes whose zero is 128: `[padded len]`.
    key_sums: Buffer<i32>,
    /// Values of a head: `[head_dims / W][len / GROUP][W][GROUP]`.
    values: Buffer<i8>,
    /// `[padded head_dims]`
    value_scales: Buffer,
    /// Scores of a block of queries: `[rows][padded len]`.
    scores: Buffer,
    /// Their weights: `[rows][padded len]`.
    weights: Buffer<u8>,
}

/// The twin of [`crate::attention()`] on bytes; the lengths were checked there.
pub(crate) fn run(level: Level, input: Attention<'_>, scratch: &mut Int8Scratch, out: &mut [f32]) {
    // SAFETY: levels come from `Level::available`; the lengths were checked.
    unsafe {
        at_level_int8!(
            level,
            all_heads(input: Attention<'_>, scratch: &mut Int8Scratch, out: &mut [f32])
        )
    }
}

#[inline(always)]
unsafe fn all_heads<D: Dot>(input: Attention<'_>, scratch: &mut Int8Scratch, out: &mut [f32]) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match D::F::TILE_ROWS {
            8 => tiled::<D, 8, 3>(input, scratch, out),
            6 => tiled::<D, 6, 2>(input, scratch, out),
            _ => tiled::<D, 3, 2>(input, scratch, out),
        }
    }
}

/// One head of a sequence.
struct Head {
    first: usize,
    dims: usize,
    len: usize,
    /// To whole vectors and whole lines of bytes.
    padded_len: usize,
    /// To whole groups.
    key_dims: usize,
    /// To whole vectors.
    value_dims: usize,
    /// To whole groups.
    value_len: usize,
}

#[inline(always)]
unsafe fn tiled<D: Dot, const ROWS: usize, const VECTORS: usize>(
    input: Attention<'_>,
    scratch: &mut Int8Scratch,
    out: &mut [f32],
) {
    let mut head = Head {
        first: 0,
        dims: input.head_dims,
        len: input.len,
        padded_len: input.len.next_multiple_of(D::F::W),
        key_dims: input.head_dims.next_multiple_of(D::GROUP),
        value_dims: input.head_dims.next_multiple_of(D::F::W),
        value_len: input.len.next_multiple_of(D::GROUP),
    };
    let row_bytes = input.len.next_multiple_of(ALIGN);
    scratch.keys.resize(head.padded_len * head.key_dims);
    scratch.key_scales.resize(head.padded_len);
    scratch.key_sums.resize(head.padded_len);
    scratch.values.resize(head.value_dims * head.value_len);
    scratch.value_scales.resize(head.value_dims);
    scratch.scores.resize(ROWS * head.padded_len);
    scratch.weights.resize(ROWS * row_bytes);
    // What no token writes must be zeros: keys past a head's width, values past the sequence.
    if head.key_dims > head.dims {
        scratch.keys.fill(0);
    }
    let width = input.heads * input.head_dims;
    for number in 0..input.heads {
        head.first = number * input.head_dims;
        // SAFETY: the caller's promise is passed on; the scratch was made big enough above.
        unsafe {
            pack_keys::<D>(&input, &head, scratch);
            pack_values::<D>(&input, &head, scratch);
            let mut token = 0;
            while token < input.len {
                let left = (input.len - token).min(ROWS);
                let place = out.as_mut_ptr().add(token * width + head.first);
                match left {
                    left if left > ROWS / 2 => {
                        block::<D, ROWS, VECTORS>(&input, &head, scratch, token, left, place, row_bytes);
                    }
                    3.. => block::<D, 4, VECTORS>(&input, &head, scratch, token, left, place, row_bytes),
                    _ => block::<D, 2, VECTORS>(&input, &head, scratch, token, left, place, row_bytes),
                }
                token += left;
            }
        }
    }
}

/// Writes `values * inverse + 128` as bytes, up to whole vectors, and gives the scale: the largest value is 127 from zero.
#[inline(always)]
unsafe fn quantize<S: Simd>(from: *const f32, dims: usize, codes: &mut [u8; WIDEST]) -> f32 {
    // SAFETY: the caller promises `dims <= WIDEST` values, which is a whole number of vectors.
    unsafe {
        let mut most = S::splat(0.0);
        for at in (0..dims).step_by(S::W) {
            let value = load::<S>(from.add(at), dims - at);
            most = S::max(most, S::max(value, S::sub(S::splat(0.0), value)));
        }
        let most = S::largest(most).max(f32::MIN_POSITIVE * 127.0);
        let inverse = S::splat(127.0 / most);
        for at in (0..dims).step_by(S::W) {
            let value = load::<S>(from.add(at), dims - at);
            S::store_bytes(
                codes.as_mut_ptr().add(at),
                S::add(S::mul(value, inverse), S::splat(ZERO)),
            );
        }
        most / 127.0
    }
}

/// A vector of which at least one value is there.
#[inline(always)]
unsafe fn load<S: Simd>(from: *const f32, left: usize) -> S::V {
    // SAFETY: the caller promises `left` values.
    unsafe {
        if left >= S::W {
            S::load(from)
        } else {
            S::load_part(from, left)
        }
    }
}

#[inline(always)]
unsafe fn pack_keys<D: Dot>(input: &Attention<'_>, head: &Head, scratch: &mut Int8Scratch) {
    let width = D::F::W;
    let mut codes = [0_u8; WIDEST];
    for token in 0..head.len {
        // SAFETY: the token's head is inside the keys, and its vector inside the packed ones.
        unsafe {
            let from = input.keys.as_ptr().add(token * input.stride + head.first);
            scratch.key_scales[token] = quantize::<D::F>(from, head.dims, &mut codes);
            let to = scratch
                .keys
                .as_mut_ptr()
                .add(token / width * width * head.key_dims + token % width * D::GROUP);
            if D::GROUP == 4 && head.dims.is_multiple_of(4) {
                for step in 0..head.dims / 4 {
                    let group = codes.as_ptr().add(4 * step).cast::<u32>().read_unaligned();
                    // The top bit of each byte: from unsigned with 128 as zero to signed.
                    to.add(step * width * 4)
                        .cast::<u32>()
                        .write_unaligned(group ^ 0x8080_8080);
                }
            } else {
                for (step, group) in codes[..head.dims].chunks(D::GROUP).enumerate() {
                    for (at, code) in group.iter().enumerate() {
                        let code = code.wrapping_sub(ZERO as u8) as i8;
                        to.add(step * width * D::GROUP + at).write(code);
                    }
                }
            }
        }
    }
    let zero = [ZERO as u8; 4];
    for column in (0..head.padded_len).step_by(width) {
        // SAFETY: the packed keys are whole vectors.
        unsafe {
            let (mut sums, zero) = (D::none(), D::codes(zero.as_ptr()));
            let keys = scratch.keys.as_ptr().add(column * head.key_dims);
            for step in 0..head.key_dims / D::GROUP {
                sums = D::dot(sums, zero, D::weights(keys.add(step * width * D::GROUP)));
            }
            D::store(scratch.key_sums.as_mut_ptr().add(column), sums);
        }
    }
}

#[inline(always)]
unsafe fn pack_values<D: Dot>(input: &Attention<'_>, head: &Head, scratch: &mut Int8Scratch) {
    let width = D::F::W;
    for column in (0..head.dims).step_by(width) {
        let left = head.dims - column;
        // SAFETY: every token's head is inside the values; packed vectors are whole.
        unsafe {
            let from = input.values.as_ptr().add(head.first + column);
            let mut most = D::F::splat(f32::MIN_POSITIVE * 127.0);
            for token in 0..head.len {
                let value = load::<D::F>(from.add(token * input.stride), left);
                most = D::F::max(most, D::F::max(value, D::F::sub(D::F::splat(0.0), value)));
            }
            let inverse = D::F::div(D::F::splat(127.0), most);
            let scales = scratch.value_scales.as_mut_ptr().add(column);
            // A weight of one is 255, but weights are divided by the sum of their bytes.
            D::F::store(scales, D::F::mul(most, D::F::splat(1.0 / 127.0)));
            let to = scratch.values.as_mut_ptr().add(column * head.value_len);
            for first in (0..head.len).step_by(D::GROUP) {
                let mut codes = [[ZERO as u8; 16]; 4];
                for (at, codes) in codes.iter_mut().enumerate().take(D::GROUP.min(head.len - first)) {
                    let value = load::<D::F>(from.add((first + at) * input.stride), left);
                    let value = D::F::add(D::F::mul(value, inverse), D::F::splat(ZERO));
                    D::F::store_bytes(codes.as_mut_ptr(), value);
                }
                let to = to.add(first * width);
                if D::GROUP == 4 {
                    let to = to.cast::<u32>();
                    for lane in 0..width {
                        let group = u32::from(codes[0][lane])
                            | u32::from(codes[1][lane]) << 8
                            | u32::from(codes[2][lane]) << 16
                            | u32::from(codes[3][lane]) << 24;
                        to.add(lane).write_unaligned((group ^ 0x8080_8080).to_le());
                    }
                } else {
                    let to = to.cast::<u16>();
                    for lane in 0..width {
                        let group = u16::from(codes[0][lane]) | u16::from(codes[1][lane]) << 8;
                        to.add(lane).write_unaligned((group ^ 0x8080).to_le());
                    }
                }
            }
        }
    }
}

/// `ROWS` queries from `token` on, of which `rows` are there; the others compute the last one again.
#[inline(always)]
unsafe fn block<D: Dot, const ROWS: usize, const VECTORS: usize>(
    input: &Attention<'_>,
    head: &Head,
    scratch: &mut Int8Scratch,
    token: usize,
    rows: usize,
    out: *mut f32,
    row_bytes: usize,
) {
    let mut codes = [[0_u8; WIDEST]; ROWS];
    let mut scales = [0.0; ROWS];
    // SAFETY: rows are clamped to those that are there; the scratch has room for the block.
    unsafe {
        for row in 0..ROWS {
            let token = token + row.min(rows - 1);
            let from = input.queries.as_ptr().add(token * input.stride + head.first);
            scales[row] = quantize::<D::F>(from, head.dims, &mut codes[row]) * input.scale;
        }
        let mut column = 0;
        while column < head.padded_len {
            let vectors = ((head.padded_len - column) / D::F::W).min(VECTORS);
            match vectors {
                1 => score::<D, ROWS, 1>(head, scratch, &codes, column),
                2 => score::<D, ROWS, 2>(head, scratch, &codes, column),
                _ => score::<D, ROWS, VECTORS>(head, scratch, &codes, column),
            }
            column += vectors * D::F::W;
        }
        let mut factors = [0.0; ROWS];
        for row in 0..ROWS {
            let scores = &mut scratch.scores[row * head.padded_len..][..head.padded_len];
            let weights = &mut scratch.weights[row * row_bytes..][..row_bytes];
            factors[row] = softmax::<D::F>(head.len, scales[row], scores, weights);
        }
        let mut column = 0;
        while column < head.value_dims {
            let vectors = ((head.value_dims - column) / D::F::W).min(2);
            if vectors == 1 {
                answer::<D, ROWS, 1>(input, head, scratch, &factors, column, rows, out, row_bytes);
            } else {
                answer::<D, ROWS, 2>(input, head, scratch, &factors, column, rows, out, row_bytes);
            }
            column += vectors * D::F::W;
        }
    }
}

/// Dot products of the block's queries with the keys from `column` on, times the keys' scales.
#[inline(always)]
unsafe fn score<D: Dot, const ROWS: usize, const VECTORS: usize>(
    head: &Head,
    scratch: &mut Int8Scratch,
    codes: &[[u8; WIDEST]; ROWS],
    column: usize,
) {
    let width = D::F::W;
    // SAFETY: `column` and the vectors after it are inside the padded length.
    unsafe {
        let too_much = scratch.key_sums.as_ptr().add(column);
        let mut sums = [[D::start(1, too_much); VECTORS]; ROWS];
        for vector in 1..VECTORS {
            let start = D::start(1, too_much.add(vector * width));
            for row in 0..ROWS {
                sums[row][vector] = start;
            }
        }
        let keys = scratch.keys.as_ptr().add(column * head.key_dims);
        for step in 0..head.key_dims / D::GROUP {
            let mut loaded = [D::weights(keys.add(step * width * D::GROUP)); VECTORS];
            for vector in 1..VECTORS {
                let at = vector * width * head.key_dims + step * width * D::GROUP;
                loaded[vector] = D::weights(keys.add(at));
            }
            for row in 0..ROWS {
                let codes = D::codes(codes[row].as_ptr().add(step * D::GROUP));
                for vector in 0..VECTORS {
                    sums[row][vector] = D::dot(sums[row][vector], codes, loaded[vector]);
                }
            }
        }
        for vector in 0..VECTORS {
            let first = column + vector * width;
            let scale = D::F::load(scratch.key_scales.as_ptr().add(first));
            for row in 0..ROWS {
                let value = D::F::mul(D::to_f32(sums[row][vector]), scale);
                D::F::store(
                    scratch.scores.as_mut_ptr().add(row * head.padded_len + first),
                    value,
                );
            }
        }
    }
}

/// Turns scores into bytes `255 * exp(scale * (score - largest))`; returns one over their sum.
#[inline(always)]
unsafe fn softmax<S: Simd>(len: usize, scale: f32, scores: &mut [f32], weights: &mut [u8]) -> f32 {
    // Scores of the padding: so small that they count for nothing.
    scores[len..].fill(f32::MIN / 4.0);
    let (from, to) = (scores.as_ptr(), weights.as_mut_ptr());
    // SAFETY: rows are whole numbers of vectors long.
    unsafe {
        let mut most = S::splat(f32::MIN);
        for column in (0..scores.len()).step_by(S::W) {
            most = S::max(most, S::load(from.add(column)));
        }
        let factor = scale * std::f32::consts::LOG2_E;
        // The logarithm of 255 to base 2.
        let shift = S::splat(7.994_353_4 - S::largest(most) * factor);
        let factor = S::splat(factor);
        let mut sum = S::splat(0.0);
        for column in (0..scores.len()).step_by(S::W) {
            let value = S::round(exp2_rough::<S>(S::fma(S::load(from.add(column)), factor, shift)));
            S::store_bytes(to.add(column), value);
            sum = S::add(sum, value);
        }
        1.0 / S::sum(sum)
    }
}

/// The weighted sum of the values, dimensions from `column` on.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "one place calls it, twice")]
unsafe fn answer<D: Dot, const ROWS: usize, const VECTORS: usize>(
    input: &Attention<'_>,
    head: &Head,
    scratch: &Int8Scratch,
    factors: &[f32; ROWS],
    column: usize,
    rows: usize,
    out: *mut f32,
    row_bytes: usize,
) {
    let width = D::F::W;
    // SAFETY: `column` and the vectors after it are inside the padded width of a value; rows that are stored are inside `out`.
    unsafe {
        let mut sums = [[D::none(); VECTORS]; ROWS];
        let values = scratch.values.as_ptr().add(column * head.value_len);
        for first in (0..head.value_len).step_by(D::GROUP) {
            let mut loaded = [D::weights(values.add(first * width)); VECTORS];
            for vector in 1..VECTORS {
                loaded[vector] = D::weights(values.add((vector * head.value_len + first) * width));
            }
            for row in 0..ROWS {
                let weights = D::codes(scratch.weights.as_ptr().add(row * row_bytes + first));
                for vector in 0..VECTORS {
                    sums[row][vector] = D::dot(sums[row][vector], weights, loaded[vector]);
                }
            }
        }
        // Up to the constant and not to `rows`, so that it is unrolled and the sums can stay in registers.
        for row in 0..ROWS {
            if row >= rows {
                break;
            }
            let factor = D::F::splat(factors[row]);
            for vector in 0..VECTORS {
                let first = column + vector * width;
                let scale = D::F::mul(factor, D::F::load(scratch.value_scales.as_ptr().add(first)));
                let value = D::F::mul(D::to_f32(sums[row][vector]), scale);
                let out = out.add(row * input.heads * input.head_dims + first);
                match head.dims - first {
                    count if count >= width => D::F::store(out, value),
                    count => D::F::store_part(out, value, count),
                }
            }
        }
    }
}
