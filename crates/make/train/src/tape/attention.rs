//! Attention of each text over itself (arXiv 1706.03762, equation 1).

use std::sync::Arc;

use super::matrix::add_product;
use super::{Gradients, Matrix, Op, Tape, Var};

struct Attention {
    queries: Var,
    keys: Var,
    values: Var,
    lens: Arc<Vec<usize>>,
    heads: usize,
    scale: f32,
    /// The weights of every text and head: `[len, len]` after `[len, len]`.
    weights: Vec<Matrix>,
}

impl Op for Attention {
    fn backward(&self, tape: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let [queries, keys, values] = [self.queries, self.keys, self.values].map(|var| tape.value(var));
        let (cols, dims) = (gradient.cols, gradient.cols / self.heads);
        let mut to = [(); 3].map(|()| Matrix::zeros(gradient.rows, cols));
        let [to_queries, to_keys, to_values] = &mut to;
        let (mut start, mut weights) = (0, self.weights.iter());
        for len in self.lens.iter().copied() {
            for (first, weights) in (0..cols).step_by(dims).zip(&mut weights) {
                let at = start * cols + first;
                let mine = gradient.part(start, len, first, dims);
                let whole = weights.part(0, len, 0, len);
                add_product(&mut to_values.data[at..], cols, 1.0, whole.transposed(), mine);
                let mut to_scores = Matrix::zeros(len, len);
                let value = values.part(start, len, first, dims);
                add_product(&mut to_scores.data, len, 1.0, mine, value.transposed());
                for row in 0..len {
                    let along = kokeshi_core::distance::dot(to_scores.row(row), weights.row(row));
                    for (value, weight) in to_scores.row_mut(row).iter_mut().zip(weights.row(row)) {
                        *value = weight * (*value - along);
                    }
                }
                let scores = to_scores.part(0, len, 0, len);
                let key = keys.part(start, len, first, dims);
                add_product(&mut to_queries.data[at..], cols, self.scale, scores, key);
                let query = queries.part(start, len, first, dims);
                add_product(
                    &mut to_keys.data[at..],
                    cols,
                    self.scale,
                    scores.transposed(),
                    query,
                );
            }
            start += len;
        }
        for (var, gradient) in [self.queries, self.keys, self.values].into_iter().zip(to) {
            sink.add(var, gradient);
        }
    }
}

impl Tape {
    /// `softmax(scale * Q K^T) V` of each text and head; `lens` says how many rows each text has, heads lie side by side.
    pub fn attention(
        &mut self,
        [queries, keys, values]: [Var; 3],
        lens: Arc<Vec<usize>>,
        heads: usize,
        scale: f32,
    ) -> Var {
        let [query, key, value] = [queries, keys, values].map(|var| self.value(var));
        let (cols, dims) = (query.cols, query.cols / heads);
        let mut out = Matrix::zeros(query.rows, cols);
        let mut weights = Vec::with_capacity(lens.len() * heads);
        let mut start = 0;
        for len in lens.iter().copied() {
            for first in (0..cols).step_by(dims) {
                let mut scores = Matrix::zeros(len, len);
                let keys = key.part(start, len, first, dims).transposed();
                add_product(
                    &mut scores.data,
                    len,
                    scale,
                    query.part(start, len, first, dims),
                    keys,
                );
                for row in 0..len {
                    softmax(scores.row_mut(row));
                }
                let place = &mut out.data[start * cols + first..];
                let whole = scores.part(0, len, 0, len);
                add_product(place, cols, 1.0, whole, value.part(start, len, first, dims));
                weights.push(scores);
            }
            start += len;
        }
        let op = Attention {
            queries,
            keys,
            values,
            lens,
            heads,
            scale,
            weights,
        };
        self.push(out, &[queries, keys, values], op)
    }
}

/// Turns scores into weights that sum to one.
pub(super) fn softmax(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in row.iter_mut() {
        *value = (*value - most).exp();
        sum += *value;
    }
    row.iter_mut().for_each(|value| *value /= sum);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::tape::check::{g, gradients};

    #[test]
    fn attention_differentiates() {
        gradients(
            &[g(1.0, 5, 4), g(2.0, 5, 4), g(3.0, 5, 4), g(4.0, 5, 4)],
            |tape, v| {
                let out = tape.attention([v[0], v[1], v[2]], Arc::new(vec![2, 3]), 2, 0.7);
                let out = tape.multiply(out, v[3]);
                tape.total(&[(out, 1.0)])
            },
        );
    }
}
