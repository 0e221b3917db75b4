//! Operations on one value at a time, and sums of them.

use super::{Gradients, Matrix, Op, Tape, Var};

/// `a + b`
struct Add(Var, Var);

impl Op for Add {
    fn backward(&self, _: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        sink.add(self.0, gradient.clone());
        sink.add(self.1, gradient.clone());
    }
}

/// `a * b`, value by value.
struct Multiply(Var, Var);

impl Op for Multiply {
    fn backward(&self, tape: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        for (to, other) in [(self.0, self.1), (self.1, self.0)] {
            let values = gradient.data.iter().zip(&tape.value(other).data);
            let data = values.map(|(gradient, value)| gradient * value).collect();
            sink.add(to, Matrix::new(gradient.rows, gradient.cols, data));
        }
    }
}

/// `factor * x`
struct Scale(Var, f32);

impl Op for Scale {
    fn backward(&self, _: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        sink.add(self.0, gradient.clone().scaled(self.1));
    }
}

/// `tanh(x)`, with its values.
struct Tanh(Var, Matrix);

impl Op for Tanh {
    fn backward(&self, _: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let values = gradient.data.iter().zip(&self.1.data);
        let data = values
            .map(|(gradient, value)| gradient * (1.0 - value * value))
            .collect();
        sink.add(self.0, Matrix::new(gradient.rows, gradient.cols, data));
    }
}

/// A weighted sum of all values of several matrices.
struct Total(Vec<(Var, f32)>);

impl Op for Total {
    fn backward(&self, tape: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        for (part, weight) in &self.0 {
            let shape = tape.value(*part);
            let data = vec![gradient.data[0] * weight; shape.data.len()];
            sink.add(*part, Matrix::new(shape.rows, shape.cols, data));
        }
    }
}

impl Tape {
    /// `a + b`, of one shape.
    pub fn add(&mut self, a: Var, b: Var) -> Var {
        let mut out = self.value(a).clone();
        out.add(self.value(b));
        self.push(out, &[a, b], Add(a, b))
    }

    /// `a * b`, value by value.
    pub fn multiply(&mut self, a: Var, b: Var) -> Var {
        let (left, right) = (self.value(a), self.value(b));
        assert_eq!((left.rows, left.cols), (right.rows, right.cols), "same shape");
        let data = left.data.iter().zip(&right.data).map(|(a, b)| a * b).collect();
        let out = Matrix::new(left.rows, left.cols, data);
        self.push(out, &[a, b], Multiply(a, b))
    }

    /// `factor * x`
    pub fn scale(&mut self, x: Var, factor: f32) -> Var {
        let out = self.value(x).clone().scaled(factor);
        self.push(out, &[x], Scale(x, factor))
    }

    /// `tanh(x)`, value by value.
    pub fn tanh(&mut self, x: Var) -> Var {
        let mut out = self.value(x).clone();
        out.data.iter_mut().for_each(|value| *value = value.tanh());
        self.push(out.clone(), &[x], Tanh(x, out))
    }

    /// The sum of all values, each part's times its weight: `[1, 1]`.
    pub fn total(&mut self, parts: &[(Var, f32)]) -> Var {
        let sum = parts
            .iter()
            .map(|(part, weight)| {
                f64::from(*weight) * self.value(*part).data.iter().map(|x| f64::from(*x)).sum::<f64>()
            })
            .sum::<f64>();
        let inputs: Vec<Var> = parts.iter().map(|(part, _)| *part).collect();
        self.push(Matrix::scalar(sum as f32), &inputs, Total(parts.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use crate::tape::check::{g, gradients};

    #[test]
    fn sums_and_products_differentiate() {
        gradients(&[g(1.0, 3, 4), g(2.0, 3, 4)], |tape, v| {
            let sum = tape.add(v[0], v[1]);
            let bent = tape.multiply(sum, v[1]);
            let bent = tape.scale(bent, 0.7);
            let bent = tape.tanh(bent);
            tape.total(&[(bent, 2.0), (v[0], -0.5)])
        });
    }
}
