//! LayerNorm (arXiv 1607.06450) and unit length.

use super::{Gradients, Matrix, Op, Tape, Var};

/// A row shorter than this is not made longer, as in PyTorch's `normalize`.
const LEAST_LENGTH: f32 = 1e-12;

struct LayerNorm {
    x: Var,
    weight: Var,
    bias: Var,
    /// `(x - mean) / deviation`
    normed: Matrix,
    /// One over each row's deviation.
    inverse: Vec<f32>,
}

impl Op for LayerNorm {
    fn backward(&self, tape: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let cols = gradient.cols;
        let weight = &tape.value(self.weight).data;
        let mut to_x = Matrix::zeros(gradient.rows, cols);
        let (mut to_weight, mut to_bias) = (Matrix::zeros(1, cols), Matrix::zeros(1, cols));
        for row in 0..gradient.rows {
            let (gradient, normed) = (gradient.row(row), self.normed.row(row));
            let (mut mean, mut along) = (0.0, 0.0);
            for at in 0..cols {
                let inner = gradient[at] * weight[at];
                mean += inner;
                along += inner * normed[at];
                to_weight.data[at] += gradient[at] * normed[at];
                to_bias.data[at] += gradient[at];
            }
            let (mean, along) = (mean / cols as f32, along / cols as f32);
            for (at, out) in to_x.row_mut(row).iter_mut().enumerate() {
                *out = self.inverse[row] * (gradient[at] * weight[at] - mean - normed[at] * along);
            }
        }
        sink.add(self.x, to_x);
        sink.add(self.weight, to_weight);
        sink.add(self.bias, to_bias);
    }
}

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
    /// Every row becomes `(x - mean) / sqrt(variance + epsilon) * weight + bias`; weight and bias are `[1, cols]`.
    pub fn layer_norm(&mut self, x: Var, weight: Var, bias: Var, epsilon: f32) -> Var {
        let mut normed = self.value(x).clone();
        let cols = normed.cols;
        let mut inverse = Vec::with_capacity(normed.rows);
        let mut out = Matrix::zeros(normed.rows, cols);
        let (gain, shift) = (&self.value(weight).data, &self.value(bias).data);
        for row in 0..normed.rows {
            let values = normed.row_mut(row);
            let mean = values.iter().sum::<f32>() / cols as f32;
            values.iter_mut().for_each(|value| *value -= mean);
            let variance = values.iter().map(|value| value * value).sum::<f32>() / cols as f32;
            let scale = 1.0 / (variance + epsilon).sqrt();
            for (at, (out, value)) in out.row_mut(row).iter_mut().zip(values).enumerate() {
                *value *= scale;
                *out = *value * gain[at] + shift[at];
            }
            inverse.push(scale);
        }
        let op = LayerNorm {
            x,
            weight,
            bias,
            normed,
            inverse,
        };
        self.push(out, &[x, weight, bias], op)
    }

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
    fn norms_differentiate() {
        gradients(
            &[g(1.0, 3, 5), g(2.0, 1, 5), g(3.0, 1, 5), g(4.0, 3, 5)],
            |tape, v| {
                let out = tape.layer_norm(v[0], v[1], v[2], 1e-5);
                let out = tape.multiply(out, v[3]);
                let out = tape.unit(out);
                let out = tape.multiply(out, v[0]);
                tape.total(&[(out, 1.0)])
            },
        );
    }
}
