//! Rows by their numbers, and the largest values of neighbouring rows.

use std::ops::Range;

use super::{Gradients, Matrix, Op, Tape, Var};

/// Rows of a matrix, some perhaps more than once.
struct Gather {
    x: Var,
    rows: Vec<usize>,
}

impl Op for Gather {
    fn backward(&self, tape: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let x = tape.value(self.x);
        let mut out = Matrix::zeros(x.rows, x.cols);
        for (at, row) in self.rows.iter().enumerate() {
            let pairs = out.row_mut(*row).iter_mut().zip(gradient.row(at));
            pairs.for_each(|(sum, value)| *sum += value);
        }
        sink.add(self.x, out);
    }
}

/// The largest value of each column of groups of rows.
struct Largest {
    x: Var,
    /// The row that each value came from.
    from: Vec<Option<usize>>,
}

impl Op for Largest {
    fn backward(&self, tape: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let x = tape.value(self.x);
        let mut out = Matrix::zeros(x.rows, x.cols);
        for (at, (row, value)) in self.from.iter().zip(&gradient.data).enumerate() {
            if let Some(row) = row {
                out.row_mut(*row)[at % x.cols] += value;
            }
        }
        sink.add(self.x, out);
    }
}

impl Tape {
    /// The rows of `x` with these numbers, in their order.
    pub fn rows(&mut self, x: Var, rows: Vec<usize>) -> Var {
        let from = self.value(x);
        let data = rows.iter().flat_map(|row| from.row(*row)).copied().collect();
        let out = Matrix::new(rows.len(), from.cols, data);
        self.push(out, &[x], Gather { x, rows })
    }

    /// The largest value of each column in each group of rows: `[groups, cols]`; zeros for a group without rows.
    pub fn largest(&mut self, x: Var, groups: &[Range<usize>]) -> Var {
        let value = self.value(x);
        let mut from = Vec::with_capacity(groups.len() * value.cols);
        for group in groups {
            from.extend((0..value.cols).map(|col| {
                let rows = group.clone();
                rows.max_by(|a, b| value.row(*a)[col].total_cmp(&value.row(*b)[col]))
            }));
        }
        let found = from.iter().enumerate();
        let data = found.map(|(at, row)| row.map_or(0.0, |row| value.row(row)[at % value.cols]));
        let out = Matrix::new(groups.len(), value.cols, data.collect());
        self.push(out, &[x], Largest { x, from })
    }
}

#[cfg(test)]
mod tests {
    use crate::tape::check::{g, gradients};

    #[test]
    fn gathered_rows_and_largest_values_differentiate() {
        gradients(&[g(1.0, 4, 3), g(2.0, 5, 3)], |tape, v| {
            let rows = tape.rows(v[0], vec![2, 0, 2]);
            let most = tape.largest(v[0], &[0..3, 4..4]);
            let both = tape.below(&[rows, most]);
            let out = tape.multiply(both, v[1]);
            tape.total(&[(out, 1.0)])
        });
    }
}
