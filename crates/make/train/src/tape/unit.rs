//! Unit length.

use super::{Gradients, Matrix, Op, Tape, Var};

/// A row shorter than this is not made longer, as in PyTorch's `normalize`.
const LEAST_LENGTH: f32 = 1e-12;

struct Unit {
    x: Var,
    lengths: Vec<f32>,
}

impl Op for Unit {
    fn backward(&self, tape: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let x = tape.value(self.x);
        let mut out = gradient.clone();
        for (row, length) in self.lengths.iter().enumerate() {
            let along = if *length > LEAST_LENGTH {
                kokeshi_core::distance::dot(gradient.row(row), x.row(row)) / (length * length)
            } else {
                0.0
            };
            for (out, x) in out.row_mut(row).iter_mut().zip(x.row(row)) {
                *out = (*out - along * x) / length;
            }
        }
        sink.add(self.x, out);
    }
}

impl Tape {
    /// Rows of length one.
    pub fn unit(&mut self, x: Var) -> Var {
        let mut out = self.value(x).clone();
        let mut lengths = Vec::with_capacity(out.rows);
        for row in 0..out.rows {
            let values = out.row_mut(row);
            let length = kokeshi_core::distance::dot(values, values)
                .sqrt()
                .max(LEAST_LENGTH);
            values.iter_mut().for_each(|value| *value /= length);
            lengths.push(length);
        }
        self.push(out, &[x], Unit { x, lengths })
    }
}

#[cfg(test)]
mod tests {
    use crate::tape::check::{g, gradients};

    #[test]
    fn unit_length_differentiates() {
        gradients(&[g(1.0, 3, 5), g(2.0, 3, 5)], |tape, v| {
            let out = tape.unit(v[0]);
            let out = tape.multiply(out, v[1]);
            tape.total(&[(out, 1.0)])
        });
    }
}
