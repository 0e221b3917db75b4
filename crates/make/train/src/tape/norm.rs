//! LayerNorm (arXiv 1607.06450).

use kokeshi_kernels::Level;
use kokeshi_kernels::backward::{layer_norm_backward, layer_norm_keeping};

use super::{Gradients, Matrix, Op, Tape, Var};

struct Norm {
    x: Var,
    weight: Var,
    bias: Var,
    /// The rows before weight and bias, and one over their deviations.
    normed: Matrix,
    inverse: Vec<f32>,
}

impl Op for Norm {
    fn backward(&self, tape: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let mut out = gradient.clone();
        let weight = tape.value(self.weight);
        let mut sums = [(); 2].map(|()| Matrix::zeros(1, weight.cols));
        let [to_weight, to_bias] = &mut sums;
        layer_norm_backward(
            Level::best(),
            &self.normed.data,
            &self.inverse,
            &weight.data,
            &mut out.data,
            [&mut to_weight.data, &mut to_bias.data],
        );
        let [to_weight, to_bias] = sums;
        sink.add(self.x, out);
        sink.add(self.weight, to_weight);
        sink.add(self.bias, to_bias);
    }
}

impl Tape {
    /// Every row becomes `(x - mean) / sqrt(variance + epsilon) * weight + bias`; weight and bias are `[1, cols]`.
    pub fn norm(&mut self, x: Var, weight: Var, bias: Var, epsilon: f32) -> Var {
        let mut normed = self.value(x).clone();
        let mut out = Matrix::zeros(normed.rows, normed.cols);
        let mut inverse = vec![0.0; normed.rows];
        let both = [&self.value(weight).data[..], &self.value(bias).data[..]];
        layer_norm_keeping(
            Level::best(),
            &mut normed.data,
            both,
            epsilon,
            &mut inverse,
            &mut out.data,
        );
        let op = Norm {
            x,
            weight,
            bias,
            normed,
            inverse,
        };
        self.push(out, &[x, weight, bias], op)
    }
}

#[cfg(test)]
mod tests {
    use crate::tape::check::{g, gradients};

    #[test]
    fn norms_differentiate() {
        gradients(
            &[g(1.0, 3, 5), g(2.0, 1, 5), g(3.0, 1, 5), g(4.0, 3, 5)],
            |tape, v| {
                let out = tape.norm(v[0], v[1], v[2], 1e-5);
                let out = tape.multiply(out, v[3]);
                tape.total(&[(out, 1.0)])
            },
        );
    }
}
