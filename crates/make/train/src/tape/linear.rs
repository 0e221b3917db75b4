//! Products of matrices: linear layers and similarities.

use super::{Gradients, Matrix, Op, Tape, Var, Way};

/// `x w^T + b`, `w` being `[outputs, inputs]` as PyTorch stores it.
struct Linear {
    x: Var,
    weight: Var,
    bias: Option<Var>,
}

impl Op for Linear {
    fn backward(&self, tape: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let (x, weight) = (tape.value(self.x), tape.value(self.weight));
        sink.add_product(self.x, (gradient, Way::Plain), (weight, Way::Plain));
        sink.add_product(self.weight, (gradient, Way::Transposed), (x, Way::Plain));
        if let Some(bias) = self.bias {
            let mut sums = Matrix::zeros(1, gradient.cols);
            for row in gradient.data.chunks_exact(gradient.cols) {
                for (sum, value) in sums.data.iter_mut().zip(row) {
                    *sum += value;
                }
            }
            sink.add(bias, sums);
        }
    }
}

impl Tape {
    /// `x w^T + b`: `x` `[rows, inputs]`, `w` `[outputs, inputs]`, `b` `[1, outputs]`.
    pub fn linear(&mut self, x: Var, weight: Var, bias: Option<Var>) -> Var {
        let mut out = Matrix::product(self.value(x), Way::Plain, self.value(weight), Way::Transposed);
        if let Some(bias) = bias {
            let cols = out.cols;
            for row in out.data.chunks_exact_mut(cols) {
                for (sum, value) in row.iter_mut().zip(&self.value(bias).data) {
                    *sum += value;
                }
            }
        }
        let inputs = [x, weight, bias.unwrap_or(weight)];
        self.push(out, &inputs, Linear { x, weight, bias })
    }

    /// All dot products of the rows of `a` with those of `b`: `[rows of a, rows of b]`.
    pub fn similarities(&mut self, a: Var, b: Var) -> Var {
        self.linear(a, b, None)
    }
}

#[cfg(test)]
mod tests {
    use crate::tape::check::{g, gradients};

    #[test]
    fn linear_layers_differentiate() {
        gradients(
            &[g(1.0, 3, 4), g(2.0, 2, 4), g(3.0, 1, 2), g(4.0, 3, 2)],
            |tape, v| {
                let out = tape.linear(v[0], v[1], Some(v[2]));
                let out = tape.multiply(out, v[3]);
                tape.total(&[(out, 1.0)])
            },
        );
    }
}
