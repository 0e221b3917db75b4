//! Moving rows and columns: look-ups, parts, joins and pooling.

use std::ops::Range;
use std::sync::Arc;

use super::{Gradients, Matrix, Op, Tape, Var};

/// Rows of a table.
struct Gather {
    table: Var,
    ids: Arc<Vec<u32>>,
}

impl Op for Gather {
    fn backward(&self, _: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        sink.add_rows(self.table, Arc::clone(&self.ids), gradient.clone());
    }
}

/// Some columns and rows of a matrix.
struct Part {
    x: Var,
    rows: Range<usize>,
    cols: usize,
}

impl Op for Part {
    fn backward(&self, tape: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let x = tape.value(self.x);
        let mut out = Matrix::zeros(x.rows, x.cols);
        for (at, row) in self.rows.clone().enumerate() {
            out.row_mut(row)[..self.cols].copy_from_slice(gradient.row(at));
        }
        sink.add(self.x, out);
    }
}

/// Matrices side by side.
struct Beside(Vec<Var>);

impl Op for Beside {
    fn backward(&self, tape: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let mut first = 0;
        for part in &self.0 {
            let cols = tape.value(*part).cols;
            let rows = (0..gradient.rows).flat_map(|row| &gradient.row(row)[first..first + cols]);
            sink.add(*part, Matrix::new(gradient.rows, cols, rows.copied().collect()));
            first += cols;
        }
    }
}

/// Matrices one below the other.
struct Below(Vec<Var>);

impl Op for Below {
    fn backward(&self, tape: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let mut rest = gradient.data.as_slice();
        for part in &self.0 {
            let shape = tape.value(*part);
            let (mine, others) = rest.split_at(shape.data.len());
            sink.add(*part, Matrix::new(shape.rows, shape.cols, mine.to_vec()));
            rest = others;
        }
    }
}

/// Weighted sums of rows that follow each other.
struct Pool {
    x: Var,
    lens: Arc<Vec<usize>>,
    /// What each row counts.
    weights: Vec<f32>,
}

impl Op for Pool {
    fn backward(&self, _: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let mut out = Matrix::zeros(self.weights.len(), gradient.cols);
        let owners = self
            .lens
            .iter()
            .enumerate()
            .flat_map(|(text, len)| std::iter::repeat_n(text, *len));
        for ((row, text), weight) in owners.enumerate().zip(&self.weights) {
            for (out, value) in out.row_mut(row).iter_mut().zip(gradient.row(text)) {
                *out = weight * value;
            }
        }
        sink.add(self.x, out);
    }
}

impl Tape {
    /// The rows of `table` with the numbers `ids`.
    pub fn gather(&mut self, table: Var, ids: Arc<Vec<u32>>) -> Var {
        let from = self.value(table);
        let data = ids.iter().flat_map(|id| from.row(*id as usize)).copied();
        let out = Matrix::new(ids.len(), from.cols, data.collect());
        self.push(out, &[table], Gather { table, ids })
    }

    /// The first `cols` columns of the rows in `rows`.
    pub fn part(&mut self, x: Var, rows: Range<usize>, cols: usize) -> Var {
        let from = self.value(x);
        let data = rows.clone().flat_map(|row| &from.row(row)[..cols]).copied();
        let out = Matrix::new(rows.len(), cols, data.collect());
        self.push(out, &[x], Part { x, rows, cols })
    }

    /// The first `cols` columns.
    pub fn prefix(&mut self, x: Var, cols: usize) -> Var {
        match self.value(x) {
            value if value.cols == cols => x,
            value => self.part(x, 0..value.rows, cols),
        }
    }

    /// Matrices of as many rows, side by side.
    pub fn beside(&mut self, parts: &[Var]) -> Var {
        let rows = self.value(parts[0]).rows;
        let cols = parts.iter().map(|part| self.value(*part).cols).sum();
        let mut data = Vec::with_capacity(rows * cols);
        for row in 0..rows {
            for part in parts {
                data.extend_from_slice(self.value(*part).row(row));
            }
        }
        let out = Matrix::new(rows, cols, data);
        self.push(out, parts, Beside(parts.to_vec()))
    }

    /// Matrices of as many columns, one below the other.
    pub fn below(&mut self, parts: &[Var]) -> Var {
        let cols = self.value(parts[0]).cols;
        let data: Vec<f32> = parts
            .iter()
            .flat_map(|part| &self.value(*part).data)
            .copied()
            .collect();
        let out = Matrix::new(data.len() / cols.max(1), cols, data);
        self.push(out, parts, Below(parts.to_vec()))
    }

    /// The mean of each text's rows; `lens` says how many rows each text has.
    pub fn mean_pool(&mut self, x: Var, lens: Arc<Vec<usize>>) -> Var {
        let weights = lens
            .iter()
            .flat_map(|len| std::iter::repeat_n(1.0 / *len as f32, *len))
            .collect();
        self.pool(x, lens, weights)
    }

    /// The first row of each text.
    pub fn first_pool(&mut self, x: Var, lens: Arc<Vec<usize>>) -> Var {
        let weights = lens
            .iter()
            .flat_map(|len| (0..*len).map(|at| if at == 0 { 1.0 } else { 0.0 }))
            .collect();
        self.pool(x, lens, weights)
    }

    fn pool(&mut self, x: Var, lens: Arc<Vec<usize>>, weights: Vec<f32>) -> Var {
        let from = self.value(x);
        let mut out = Matrix::zeros(lens.len(), from.cols);
        let mut row = 0;
        for (text, len) in lens.iter().enumerate() {
            for _ in 0..*len {
                for (sum, value) in out.row_mut(text).iter_mut().zip(from.row(row)) {
                    *sum += weights[row] * value;
                }
                row += 1;
            }
        }
        self.push(out, &[x], Pool { x, lens, weights })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::tape::check::{g, gradients};

    #[test]
    fn moved_rows_and_columns_differentiate() {
        gradients(&[g(1.0, 4, 3), g(2.0, 5, 3), g(3.0, 2, 6)], |tape, v| {
            let rows = tape.gather(v[0], Arc::new(vec![3, 0, 3, 1, 2]));
            let sum = tape.multiply(rows, v[1]);
            let lens = Arc::new(vec![2, 3]);
            let mean = tape.mean_pool(sum, Arc::clone(&lens));
            let first = tape.first_pool(v[1], lens);
            let both = tape.beside(&[mean, first]);
            let both = tape.multiply(both, v[2]);
            let tall = tape.below(&[both, v[2]]);
            let part = tape.part(tall, 1..3, 4);
            let part = tape.gelu(part);
            tape.total(&[(part, 1.0)])
        });
    }
}
