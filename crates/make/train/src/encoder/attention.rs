//! Attention of each text over itself (arXiv 1706.03762, equation 1), and its backward half.
//!
//! Nothing of the size of a text squared is kept: the backward half makes a head's weights again.

use kokeshi_kernels::backward::{softmax_backward, softmax_rows};
use kokeshi_kernels::{Attention, Factor, Level, Store, matmul};

use super::dropout::{Dropout, Site};
use super::workspace::Scratch;
use super::{Encoder, Text};

/// One text's part of a block.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub block: usize,
    pub text: Text<'a>,
    pub dropout: Dropout,
}

impl Encoder {
    fn scale(&self) -> f32 {
        1.0 / ((self.shape.hidden / self.shape.heads) as f32).sqrt()
    }

    /// `softmax(scale * Q K^T + bias) V` of one text: `joint` is `[len, 3 hidden]`, `out` is `[len, hidden]`.
    pub(super) fn attend(&self, place: Place<'_>, joint: &[f32], scratch: &mut Scratch, out: &mut [f32]) {
        let (hidden, heads) = (self.shape.hidden, self.shape.heads);
        let (len, dims) = (place.text.ids.len(), hidden / heads);
        if !place.dropout.is_on() && self.shape.buckets.is_none() {
            let input = Attention {
                queries: joint,
                keys: &joint[hidden..],
                values: &joint[2 * hidden..],
                stride: 3 * hidden,
                len,
                heads,
                head_dims: dims,
                scale: self.scale(),
            };
            let precision = kokeshi_kernels::Precision::F32;
            return kokeshi_kernels::attention(self.level, precision, input, &mut scratch.attention, out);
        }
        for head in 0..heads {
            self.weights(place, head, joint, scratch);
            let values = Factor::plain(&joint[2 * hidden + head * dims..], 3 * hidden);
            let weights = match place.dropout.is_on() {
                true => &scratch.dropped,
                false => &scratch.weights,
            };
            let out = &mut out[head * dims..];
            matmul(
                self.level,
                [len, len, dims],
                Factor::plain(weights, len),
                values,
                Store::Replace,
                out,
                hidden,
                &mut scratch.matmul,
            );
        }
    }

    /// A head's weights, whole in `scratch.weights` and after dropout in `scratch.dropped`.
    fn weights(&self, place: Place<'_>, head: usize, joint: &[f32], scratch: &mut Scratch) {
        let (hidden, len) = (self.shape.hidden, place.text.ids.len());
        let dims = hidden / self.shape.heads;
        scratch.weights.resize(len * len);
        matmul(
            self.level,
            [len, dims, len],
            Factor::plain(&joint[head * dims..], 3 * hidden),
            Factor::transposed(&joint[hidden + head * dims..], 3 * hidden),
            Store::Replace,
            &mut scratch.weights,
            len,
            &mut scratch.matmul,
        );
        match self.shape.buckets {
            None => softmax_rows(self.level, &mut scratch.weights, len, self.scale()),
            Some(buckets) => {
                let (table, heads) = (&self.values[self.layout.buckets.clone()], self.shape.heads);
                let of = |distance: isize| table[buckets.row(distance) * heads + head];
                scratch.bias.clear();
                scratch
                    .bias
                    .extend((0..2 * len - 1).map(|at| of(at as isize - len as isize + 1)));
                let scale = self.scale();
                for (query, row) in scratch.weights.chunks_exact_mut(len).enumerate() {
                    let bias = &scratch.bias[len - 1 - query..][..len];
                    row.iter_mut()
                        .zip(bias)
                        .for_each(|(score, bias)| *score = *score * scale + bias);
                }
                softmax_rows(self.level, &mut scratch.weights, len, 1.0);
            }
        }
        if place.dropout.is_on() {
            scratch.dropped.resize(len * len);
            scratch.dropped.copy_from_slice(&scratch.weights);
            drop_rows(place, head, len, &mut scratch.dropped);
        }
    }

    /// Adds to nothing, writes the gradient of `joint` to `to_joint`, given that of what [`Encoder::attend`] wrote; gradients of biases by
    /// distance are added to `to_buckets` (`[rows, heads]`).
    pub(super) fn attend_backward(
        &self,
        place: Place<'_>,
        joint: &[f32],
        gradient: &[f32],
        scratch: &mut Scratch,
        (to_joint, to_buckets): (&mut [f32], &mut [f32]),
    ) {
        let (hidden, heads) = (self.shape.hidden, self.shape.heads);
        let (len, dims) = (place.text.ids.len(), hidden / heads);
        let stride = 3 * hidden;
        for head in 0..heads {
            self.weights(place, head, joint, scratch);
            let first = head * dims;
            let [query, key, value] = [0, hidden, 2 * hidden].map(|part| part + first);
            let given = &gradient[first..];
            let Scratch {
                matmul: packed,
                weights,
                dropped,
                to_weights,
                ..
            } = scratch;
            let used: &[f32] = if place.dropout.is_on() { dropped } else { weights };
            let mut product = |shape, left, right, out: &mut [f32], out_stride| {
                matmul(
                    self.level,
                    shape,
                    left,
                    right,
                    Store::Replace,
                    out,
                    out_stride,
                    packed,
                );
            };
            let by_key = [len, len, dims];
            product(
                by_key,
                Factor::transposed(used, len),
                Factor::plain(given, hidden),
                &mut to_joint[value..],
                stride,
            );
            to_weights.resize(len * len);
            product(
                [len, dims, len],
                Factor::plain(given, hidden),
                Factor::transposed(&joint[value..], stride),
                to_weights,
                len,
            );
            if place.dropout.is_on() {
                drop_rows(place, head, len, to_weights);
            }
            let scores = self.scores_backward(weights, to_weights, len, (head, &mut *to_buckets));
            product(
                by_key,
                Factor::plain(scores, len),
                Factor::plain(&joint[key..], stride),
                &mut to_joint[query..],
                stride,
            );
            product(
                by_key,
                Factor::transposed(scores, len),
                Factor::plain(&joint[query..], stride),
                &mut to_joint[key..],
                stride,
            );
        }
    }

    /// The gradient of the products of queries and keys, in place of that of the weights.
    fn scores_backward<'a>(
        &self,
        weights: &[f32],
        to_weights: &'a mut [f32],
        len: usize,
        (head, to_buckets): (usize, &mut [f32]),
    ) -> &'a [f32] {
        let level: Level = self.level;
        let Some(buckets) = self.shape.buckets else {
            softmax_backward(level, weights, to_weights, len, self.scale());
            return to_weights;
        };
        softmax_backward(level, weights, to_weights, len, 1.0);
        for (query, row) in to_weights.chunks_exact_mut(len).enumerate() {
            for (key, value) in row.iter_mut().enumerate() {
                let row = buckets.row(key as isize - query as isize);
                to_buckets[row * self.shape.heads + head] += *value;
                *value *= self.scale();
            }
        }
        to_weights
    }
}

fn drop_rows(place: Place<'_>, head: usize, len: usize, weights: &mut [f32]) {
    let site = Site::Weights {
        block: place.block,
        head,
    };
    for (query, row) in weights.chunks_exact_mut(len).enumerate() {
        place.dropout.apply(site, place.text.number, query, row);
    }
}
