//! Attention of some rows to others (arXiv 1706.03762, equation 1), in heads.

use std::ops::Range;

use kokeshi_kernels::backward::{softmax_backward, softmax_rows};
use kokeshi_kernels::{Factor, Level, Store};

use super::matrix::multiply;
use super::{Gradients, Matrix, Op, Tape, Var};

/// Rows that ask and rows that are asked.
pub type Span = (Range<usize>, Range<usize>);

struct Attend {
    queries: Var,
    /// Keys, then values: `[rows, 2 width]`.
    keys: Var,
    heads: usize,
    spans: Vec<Span>,
    /// Weights by span and head.
    weights: Vec<Vec<f32>>,
}

/// Where a head's keys and values begin in a row of both.
fn places(head: usize, dims: usize, width: usize) -> [usize; 2] {
    [head * dims, width + head * dims]
}

impl Attend {
    /// Runs `each` for every span and head: its number, the span, the first row of what comes out, the head.
    fn each(spans: &[Span], heads: usize, mut each: impl FnMut(usize, &Span, usize, usize)) {
        let (mut number, mut first) = (0, 0);
        for span in spans {
            for head in 0..heads {
                each(number, span, first, head);
                number += 1;
            }
            first += span.0.len();
        }
    }
}

impl Op for Attend {
    fn backward(&self, tape: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let (queries, both) = (tape.value(self.queries), tape.value(self.keys));
        let (width, stride) = (queries.cols, both.cols);
        let dims = width / self.heads;
        let scale = 1.0 / (dims as f32).sqrt();
        let mut to_queries = Matrix::zeros(queries.rows, width);
        let mut to_both = Matrix::zeros(both.rows, stride);
        Self::each(&self.spans, self.heads, |number, (asking, asked), first, head| {
            let [key, value] = places(head, dims, width);
            let (rows, cols) = (asking.len(), asked.len());
            let weights = &self.weights[number];
            let given = &gradient.data[first * width + key..];
            let (key, value) = (asked.start * stride + key, asked.start * stride + value);
            let query = asking.start * width + head * dims;
            let out = &mut to_both.data[value..];
            let given = |transposed| match transposed {
                true => Factor::transposed(given, width),
                false => Factor::plain(given, width),
            };
            let by_weights = Factor::transposed(weights, cols);
            multiply(
                [cols, rows, dims],
                by_weights,
                given(false),
                Store::Add,
                out,
                stride,
            );
            let mut scores = vec![0.0; rows * cols];
            let values = Factor::transposed(&both.data[value..], stride);
            multiply(
                [rows, dims, cols],
                given(false),
                values,
                Store::Replace,
                &mut scores,
                cols,
            );
            softmax_backward(Level::best(), weights, &mut scores, cols, scale);
            let keys = Factor::plain(&both.data[key..], stride);
            let out = &mut to_queries.data[query..];
            multiply(
                [rows, cols, dims],
                Factor::plain(&scores, cols),
                keys,
                Store::Add,
                out,
                width,
            );
            let queries = Factor::plain(&queries.data[query..], width);
            let out = &mut to_both.data[key..];
            multiply(
                [cols, rows, dims],
                Factor::transposed(&scores, cols),
                queries,
                Store::Add,
                out,
                stride,
            );
        });
        sink.add(self.queries, to_queries);
        sink.add(self.keys, to_both);
    }
}

impl Tape {
    /// `softmax(Q K^T / sqrt(head dims)) V` in `heads` for every span, one below the other: `queries` is `[rows, width]`, `keys` (keys, then
    /// values) `[rows, 2 width]`. A row may be in several spans.
    ///
    /// # Panics
    /// If a span is empty or past the end.
    pub fn attend(&mut self, queries: Var, keys: Var, heads: usize, spans: Vec<Span>) -> Var {
        let (asking, both) = (self.value(queries), self.value(keys));
        let (width, stride) = (asking.cols, both.cols);
        assert!(
            stride == 2 * width && width.is_multiple_of(heads),
            "keys and values in heads"
        );
        let dims = width / heads;
        let scale = 1.0 / (dims as f32).sqrt();
        let mut out = Matrix::zeros(spans.iter().map(|(rows, _)| rows.len()).sum(), width);
        let mut weights = Vec::with_capacity(spans.len() * heads);
        Attend::each(&spans, heads, |_, (rows, cols), first, head| {
            let [key, value] = places(head, dims, width);
            let (count, among) = (rows.len(), cols.len());
            let mut scores = vec![0.0; count * among];
            let asking = Factor::plain(&asking.data[rows.start * width + key..], width);
            let keys = Factor::transposed(&both.data[cols.start * stride + key..], stride);
            multiply(
                [count, dims, among],
                asking,
                keys,
                Store::Replace,
                &mut scores,
                among,
            );
            softmax_rows(Level::best(), &mut scores, among, scale);
            let values = Factor::plain(&both.data[cols.start * stride + value..], stride);
            let out = &mut out.data[first * width + key..];
            let by = Factor::plain(&scores, among);
            multiply([count, among, dims], by, values, Store::Replace, out, width);
            weights.push(scores);
        });
        let op = Attend {
            queries,
            keys,
            heads,
            spans,
            weights,
        };
        self.push(out, &[queries, keys], op)
    }
}

#[cfg(test)]
mod tests {
    use crate::tape::check::{g, gradients};

    #[test]
    fn attention_differentiates_also_where_rows_ask_twice() {
        gradients(&[g(1.0, 3, 4), g(2.0, 5, 8), g(3.0, 5, 4)], |tape, v| {
            let out = tape.attend(v[0], v[1], 2, vec![(0..3, 0..2), (1..3, 2..5)]);
            let out = tape.multiply(out, v[2]);
            tape.total(&[(out, 1.0)])
        });
    }
}
