//! A gated unit (GLU Variants Improve Transformer, arXiv 2002.05202): GeGLU.

use kokeshi_kernels::backward::{activate, activate_backward};
use kokeshi_kernels::{Activation, Level};

use super::{Gradients, Matrix, Op, Tape, Var};

/// Half of the columns times GELU of the other half.
struct Gated(Var);

/// Values, gates and their GELUs: `[rows, cols / 2]` each.
fn halves(both: &Matrix) -> [Matrix; 3] {
    let cols = both.cols / 2;
    let half = |from: usize| {
        let values = (0..both.rows).flat_map(|row| &both.row(row)[from..from + cols]);
        Matrix::new(both.rows, cols, values.copied().collect())
    };
    let (values, gates) = (half(0), half(cols));
    let mut active = Matrix::zeros(both.rows, cols);
    activate(Level::best(), Activation::Gelu, &gates.data, &mut active.data);
    [values, gates, active]
}

impl Op for Gated {
    fn backward(&self, tape: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let both = tape.value(self.0);
        let [values, gates, active] = halves(both);
        let times = |other: &Matrix| -> Vec<f32> {
            let pairs = gradient.data.iter().zip(&other.data);
            pairs.map(|(gradient, value)| gradient * value).collect()
        };
        let (to_values, mut to_gates) = (times(&active), times(&values));
        activate_backward(Level::best(), Activation::Gelu, &gates.data, &mut to_gates);
        let cols = gates.cols;
        let rows = to_values.chunks_exact(cols).zip(to_gates.chunks_exact(cols));
        let data = rows.flat_map(|(left, right)| left.iter().chain(right)).copied();
        sink.add(self.0, Matrix::new(both.rows, both.cols, data.collect()));
    }
}

impl Tape {
    /// `x * gelu(gate)`, both side by side in `both`: `[rows, 2 cols]` to `[rows, cols]`.
    pub fn gated(&mut self, both: Var) -> Var {
        let [mut values, _, active] = halves(self.value(both));
        let pairs = values.data.iter_mut().zip(&active.data);
        pairs.for_each(|(value, gate)| *value *= gate);
        self.push(values, &[both], Gated(both))
    }
}

#[cfg(test)]
mod tests {
    use crate::tape::check::{g, gradients};

    #[test]
    fn gated_units_differentiate() {
        gradients(&[g(1.0, 3, 6), g(2.0, 3, 3)], |tape, v| {
            let out = tape.gated(v[0]);
            let out = tape.multiply(out, v[1]);
            tape.total(&[(out, 1.0)])
        });
    }
}
