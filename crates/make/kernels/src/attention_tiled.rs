//! Attention a block of queries at a time, with everything that [`Masked`] may ask for: memory grows with the sequence's length, not with its
//! square, and keys that no query of a block sees are not computed.

#![allow(
    clippy::needless_range_loop,
    reason = "index loops over fixed-size arrays become registers; iterators over two of them at once do not always"
)]

use crate::activation::exp2;
use crate::attention::{Attention, Masked};
use crate::buffer::Buffer;
use crate::mask::Mask;
use crate::simd::Simd;

/// Memory that is used again from call to call.
#[derive(Clone, Default)]
pub(crate) struct TiledScratch {
    /// Keys of a head, transposed: `[head_dims][padded len]`.
    keys: Buffer,
    /// The far keys likewise.
    far: Buffer,
    /// Values of a head: `[len][padded head_dims]`.
    values: Buffer,
    /// Scores of a block of queries: `[rows][padded len]`.
    scores: Buffer,
    /// Far scores likewise.
    others: Buffer,
}

#[inline(always)]
pub(crate) unsafe fn all_heads<S: Simd>(input: Masked<'_>, scratch: &mut TiledScratch, out: &mut [f32]) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match S::TILE_ROWS {
            8 => tiled::<S, 8, 4, 3>(input, scratch, out),
            6 => tiled::<S, 6, 3, 2>(input, scratch, out),
            _ => tiled::<S, 3, 1, 2>(input, scratch, out),
        }
    }
}

/// Copies a head of `[len, stride]` rows into columns that are `padded` apart.
#[inline(always)]
unsafe fn transpose<S: Simd>(
    from: &[f32],
    stride: usize,
    len: usize,
    dims: usize,
    padded: usize,
    to: &mut Buffer,
) {
    to.resize(dims.next_multiple_of(S::W) * padded);
    for token in (0..len).step_by(S::W) {
        for dim in (0..dims).step_by(S::W) {
            // SAFETY: rows and columns are those that are there, as the caller promises; there is room for whole vectors.
            unsafe {
                S::transpose(
                    from.as_ptr().add(token * stride + dim),
                    stride,
                    (len - token).min(S::W),
                    (dims - dim).min(S::W),
                    to.as_mut_ptr().add(dim * padded + token),
                    padded,
                );
            }
        }
    }
}

#[inline(always)]
unsafe fn tiled<S: Simd, const ROWS: usize, const HALF: usize, const VECTORS: usize>(
    input: Masked<'_>,
    scratch: &mut TiledScratch,
    out: &mut [f32],
) {
    let Attention {
        queries,
        keys,
        values,
        stride,
        len,
        heads,
        head_dims,
        scale,
    } = input.attention;
    let padded_len = len.next_multiple_of(S::W);
    let padded_dims = head_dims.next_multiple_of(S::W);
    scratch.values.resize(len * padded_dims);
    scratch.scores.resize(ROWS * padded_len);
    if input.far.is_some() {
        scratch.others.resize(ROWS * padded_len);
    }
    for head in 0..heads {
        let group = heads / input.key_heads;
        if head % group == 0 {
            let first = head / group * head_dims;
            // SAFETY: the caller's promise is passed on.
            unsafe {
                transpose::<S>(
                    &keys[first..],
                    stride,
                    len,
                    head_dims,
                    padded_len,
                    &mut scratch.keys,
                );
                if let Some(far) = input.far {
                    let (keys, stride) = (&far.keys[first..], input.key_heads * head_dims);
                    transpose::<S>(keys, stride, len, head_dims, padded_len, &mut scratch.far);
                }
            }
            for token in 0..len {
                let row = &values[token * stride + first..][..head_dims];
                scratch.values[token * padded_dims..][..head_dims].copy_from_slice(row);
            }
        }
        let mut token = 0;
        while token < len {
            let left = len - token;
            let step = if left > HALF { ROWS } else { HALF };
            let rows = left.min(step);
            let first = head * head_dims;
            let at = (token * heads + head) * head_dims;
            let block = Block {
                token,
                rows,
                len,
                padded_len,
                head_dims,
                padded_dims,
                scale,
                mask: input.mask,
                queries: queries[token * stride + first..].as_ptr(),
                stride,
                keys: &scratch.keys,
                values: &scratch.values,
                bias: input
                    .bias
                    .map(|bias| (&bias.values[head * bias.width()..][..bias.width()], bias.reach)),
                far: input.far.map(|far| FarBlock {
                    window: far.window,
                    before: far.before[at..].as_ptr(),
                    after: far.after[at..].as_ptr(),
                    stride: heads * head_dims,
                    keys: &scratch.far,
                }),
                out: out[at..].as_mut_ptr(),
                out_stride: heads * head_dims,
            };
            // SAFETY: the caller's promise is passed on; the scratch was made big enough above.
            unsafe {
                if left > HALF {
                    run::<S, ROWS, VECTORS>(&block, &mut scratch.scores, &mut scratch.others);
                } else {
                    run::<S, HALF, VECTORS>(&block, &mut scratch.scores, &mut scratch.others);
                }
            }
            token += step;
        }
    }
}

/// A block of queries of one head.
struct Block<'a> {
    /// Its first query.
    token: usize,
    /// How many queries are left; a block that has fewer than `ROWS` computes its last one again.
    rows: usize,
    len: usize,
    padded_len: usize,
    head_dims: usize,
    padded_dims: usize,
    scale: f32,
    mask: Mask,
    queries: *const f32,
    stride: usize,
    keys: &'a [f32],
    values: &'a [f32],
    /// The head's biases, and where the one of distance 0 stands.
    bias: Option<(&'a [f32], usize)>,
    far: Option<FarBlock<'a>>,
    out: *mut f32,
    out_stride: usize,
}

/// [`Far`] of one head, from the block's first query on.
struct FarBlock<'a> {
    window: usize,
    before: *const f32,
    after: *const f32,
    stride: usize,
    keys: &'a [f32],
}

/// Columns of the scores that are computed, whole vectors; `place` is where they stand in the scratch.
#[derive(Clone, Copy)]
struct Columns {
    start: usize,
    end: usize,
    place: usize,
}

impl Columns {
    /// The part of them that lies in `from..to`, in whole vectors.
    fn within(self, from: usize, to: usize, lanes: usize) -> Self {
        let start = self.start.max(from / lanes * lanes).min(self.end);
        let end = self.end.min(to.next_multiple_of(lanes)).max(start);
        Self {
            start,
            end,
            place: self.place + start - self.start,
        }
    }

    /// Where a column stands in the scratch, for columns in `start..=end`.
    fn at(self, column: usize) -> usize {
        self.place + column - self.start
    }
}

impl Block<'_> {
    /// The columns that one of the block's queries sees: the first tokens, and those round the queries.
    fn columns(&self, lanes: usize) -> [Columns; 2] {
        let last = self.token + self.rows - 1;
        let low = self.token.saturating_sub(self.mask.before) / lanes * lanes;
        let high = last
            .saturating_add(self.mask.after)
            .saturating_add(1)
            .min(self.len);
        let first = self.mask.first.next_multiple_of(lanes).min(low);
        [
            Columns {
                start: 0,
                end: first,
                place: 0,
            },
            Columns {
                start: low,
                end: high.next_multiple_of(lanes),
                place: first,
            },
        ]
    }

    /// The place of a row's query; rows past the last are the last one again.
    fn query(&self, row: usize) -> usize {
        self.token + row.min(self.rows - 1)
    }
}

#[inline(always)]
unsafe fn run<S: Simd, const ROWS: usize, const VECTORS: usize>(
    block: &Block<'_>,
    scores: &mut [f32],
    others: &mut [f32],
) {
    let columns = block.columns(S::W);
    let used = columns[1].at(columns[1].end);
    // SAFETY: `tiled` made the block so that all addresses are inside its slices.
    unsafe {
        for columns in columns {
            match &block.far {
                None => product::<S, ROWS, VECTORS>(
                    block,
                    block.queries,
                    block.stride,
                    block.keys,
                    columns,
                    scores,
                ),
                Some(far) => near_and_far::<S, ROWS, VECTORS>(block, far, columns, scores, others),
            }
            for row in 0..ROWS {
                hide::<S>(block, columns, row, &mut scores[row * block.padded_len..]);
            }
        }
        let mut factors = [0.0; ROWS];
        for (row, factor) in factors.iter_mut().enumerate() {
            let scale = if block.bias.is_some() { 1.0 } else { block.scale };
            *factor = softmax::<S>(scale, &mut scores[row * block.padded_len..][..used]);
        }
        let mut column = 0;
        while column < block.padded_dims {
            match (block.padded_dims - column) / S::W {
                1 => answer::<S, ROWS, 1>(block, &columns, scores, &factors, column),
                2 => answer::<S, ROWS, 2>(block, &columns, scores, &factors, column),
                _ => answer::<S, ROWS, VECTORS>(block, &columns, scores, &factors, column),
            }
            column += ((block.padded_dims - column) / S::W).min(VECTORS) * S::W;
        }
    }
}

/// Scores whose far part comes from other queries and keys.
#[inline(always)]
unsafe fn near_and_far<S: Simd, const ROWS: usize, const VECTORS: usize>(
    block: &Block<'_>,
    far: &FarBlock<'_>,
    columns: Columns,
    scores: &mut [f32],
    others: &mut [f32],
) {
    let (first, last) = (block.token, block.token + block.rows - 1);
    let near = columns.within(
        (first + 1).saturating_sub(far.window),
        last.saturating_add(far.window),
        S::W,
    );
    let before = columns.within(0, (last + 1).saturating_sub(far.window), S::W);
    let after = columns.within(first.saturating_add(far.window).min(block.len), block.len, S::W);
    // SAFETY: parts of the caller's columns.
    unsafe {
        product::<S, ROWS, VECTORS>(block, block.queries, block.stride, block.keys, near, scores);
        product::<S, ROWS, VECTORS>(block, far.before, far.stride, far.keys, before, others);
    }
    let mut take = |others: &[f32], row: usize, from: usize, to: usize| {
        let clamp =
            |column: usize| row * block.padded_len + columns.at(column.clamp(columns.start, columns.end));
        let range = clamp(from)..clamp(to).max(clamp(from));
        scores[range.clone()].copy_from_slice(&others[range]);
    };
    for row in 0..ROWS {
        take(others, row, 0, (block.query(row) + 1).saturating_sub(far.window));
    }
    // SAFETY: as above.
    unsafe { product::<S, ROWS, VECTORS>(block, far.after, far.stride, far.keys, after, others) };
    for row in 0..ROWS {
        take(
            others,
            row,
            block.query(row).saturating_add(far.window),
            block.len,
        );
    }
}

/// The dot products of the block's queries with the keys of `columns`.
#[inline(always)]
unsafe fn product<S: Simd, const ROWS: usize, const VECTORS: usize>(
    block: &Block<'_>,
    queries: *const f32,
    stride: usize,
    keys: &[f32],
    columns: Columns,
    scores: &mut [f32],
) {
    let mut column = columns.start;
    while column < columns.end {
        // SAFETY: columns are inside the padded length.
        unsafe {
            let place = columns.at(column);
            match (columns.end - column) / S::W {
                1 => tile::<S, ROWS, 1>(block, queries, stride, keys, column, place, scores),
                2 => tile::<S, ROWS, 2>(block, queries, stride, keys, column, place, scores),
                _ => tile::<S, ROWS, VECTORS>(block, queries, stride, keys, column, place, scores),
            }
        }
        column += ((columns.end - column) / S::W).min(VECTORS) * S::W;
    }
}

#[inline(always)]
unsafe fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(
    block: &Block<'_>,
    queries: *const f32,
    stride: usize,
    keys: &[f32],
    column: usize,
    place: usize,
    scores: &mut [f32],
) {
    // SAFETY: `column` and the vectors after it are inside the padded length; rows are clamped to those that are there.
    unsafe {
        let mut rows = [queries; ROWS];
        for (row, at) in rows.iter_mut().enumerate() {
            *at = at.add(row.min(block.rows - 1) * stride);
        }
        let mut sums = [[S::splat(0.0); VECTORS]; ROWS];
        for dim in 0..block.head_dims {
            let keys = keys.as_ptr().add(dim * block.padded_len + column);
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
                let at = row * block.padded_len + place + vector * S::W;
                S::store(scores.as_mut_ptr().add(at), *sum);
            }
        }
    }
}

/// Scales a row and adds the bias, if there is one, and makes what its query does not see so small that it counts for nothing.
#[inline(always)]
unsafe fn hide<S: Simd>(block: &Block<'_>, columns: Columns, row: usize, scores: &mut [f32]) {
    let query = block.query(row);
    if let Some((bias, zero)) = block.bias {
        let scale = block.scale;
        // SAFETY: `Bias` has room for whole vectors past the largest distance; rows of scores are whole vectors.
        unsafe {
            let from = bias.as_ptr().add(zero - query);
            let mut column = columns.start;
            while column < columns.end {
                let at = scores.as_mut_ptr().add(columns.at(column));
                let value = S::fma(S::load(at), S::splat(scale), S::load(from.add(column)));
                S::store(at, value);
                column += S::W;
            }
        }
    }
    let mut fill = |from: usize, to: usize| {
        let (from, to) = (
            from.clamp(columns.start, columns.end),
            to.clamp(columns.start, columns.end),
        );
        if from < to {
            scores[columns.at(from)..columns.at(to)].fill(f32::MIN / 4.0);
        }
    };
    fill(
        block.mask.first.min(query),
        query.saturating_sub(block.mask.before),
    );
    fill(
        query
            .saturating_add(block.mask.after)
            .saturating_add(1)
            .min(block.len),
        columns.end,
    );
}

/// Turns scores into `exp(scale * (score - largest))`; returns one over their sum.
#[inline(always)]
unsafe fn softmax<S: Simd>(scale: f32, scores: &mut [f32]) -> f32 {
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
    columns: &[Columns; 2],
    scores: &[f32],
    factors: &[f32; ROWS],
    column: usize,
) {
    // SAFETY: `column` and the vectors after it are inside the padded width of a value; rows that are stored are inside `out`.
    unsafe {
        let mut sums = [[S::splat(0.0); VECTORS]; ROWS];
        for columns in columns {
            let weights = scores.as_ptr().add(columns.place);
            for token in columns.start..columns.end.min(block.len) {
                let values = block.values.as_ptr().add(token * block.padded_dims + column);
                let mut loaded = [S::splat(0.0); VECTORS];
                for vector in 0..VECTORS {
                    loaded[vector] = S::load(values.add(vector * S::W));
                }
                for row in 0..ROWS {
                    let weight = S::splat(*weights.add(row * block.padded_len + token - columns.start));
                    for vector in 0..VECTORS {
                        sums[row][vector] = S::fma(weight, loaded[vector], sums[row][vector]);
                    }
                }
            }
        }
        let out = block.out.add(column);
        store::<S, ROWS, VECTORS>(
            &sums,
            factors,
            block.rows,
            out,
            block.out_stride,
            block.head_dims - column,
        );
    }
}

/// Writes the first `rows` rows of `sums`, each times its factor, `stride` apart; of a row there are `left` values.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd, const ROWS: usize, const VECTORS: usize>(
    sums: &[[S::V; VECTORS]; ROWS],
    factors: &[f32; ROWS],
    rows: usize,
    out: *mut f32,
    stride: usize,
    left: usize,
) {
    // SAFETY: the caller promises room for the rows, and and that every vector has at least one value of the `left` ones.
    unsafe {
        // Up to the constant and not to `rows`, so that it is unrolled and the sums can stay in registers.
        for row in 0..ROWS {
            if row >= rows {
                break;
            }
            let factor = S::splat(factors[row]);
            for vector in 0..VECTORS {
                let out = out.add(row * stride + vector * S::W);
                let value = S::mul(sums[row][vector], factor);
                match left - vector * S::W {
                    count if count >= S::W => S::store(out, value),
                    count => S::store_part(out, value, count),
                }
            }
        }
    }
}
