//! Moving rows and columns: parts and joins.

use std::ops::Range;

use super::{Gradients, Matrix, Op, Tape, Var};

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

impl Tape {
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
}

#[cfg(test)]
mod tests {
    use crate::tape::check::{g, gradients};

    #[test]
    fn moved_rows_and_columns_differentiate() {
        gradients(&[g(1.0, 2, 3), g(2.0, 2, 3), g(3.0, 2, 6)], |tape, v| {
            let both = tape.beside(&[v[0], v[1]]);
            let both = tape.multiply(both, v[2]);
            let tall = tape.below(&[both, v[2]]);
            let part = tape.part(tall, 1..3, 4);
            let part = tape.multiply(part, part);
            tape.total(&[(part, 1.0)])
        });
    }
}
