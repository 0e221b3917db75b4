//! Kullback-Leibler divergence between the softmaxes of two matrices' rows.

use super::softmax::softmax;
use super::{Gradients, Matrix, Op, Tape, Var};

struct Divergence {
    teacher: Var,
    student: Var,
    temperature: f32,
    /// Softmaxes of both.
    shares: [Matrix; 2],
}

impl Op for Divergence {
    fn backward(&self, _: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let [teacher, student] = &self.shares;
        let factor = gradient.data[0] / (self.temperature * teacher.rows as f32);
        let (mut to_teacher, mut to_student) = (teacher.clone(), student.clone());
        for row in 0..teacher.rows {
            let (p, q) = (teacher.row(row), student.row(row));
            let terms: Vec<f32> = p.iter().zip(q).map(|(p, q)| (p / q).ln()).collect();
            let mean: f32 = p.iter().zip(&terms).map(|(p, term)| p * term).sum();
            for ((out, p), term) in to_teacher.row_mut(row).iter_mut().zip(p).zip(&terms) {
                *out = factor * p * (term - mean);
            }
            for ((out, p), q) in to_student.row_mut(row).iter_mut().zip(p).zip(q) {
                *out = factor * (q - p);
            }
        }
        sink.add(self.teacher, to_teacher);
        sink.add(self.student, to_student);
    }
}

impl Tape {
    /// The mean over rows of `KL(softmax(teacher / t) || softmax(student / t))`. Gradients flow to both; see [`Tape::detach`].
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn divergence(&mut self, teacher: Var, student: Var, temperature: f32) -> Var {
        let shares = [teacher, student].map(|var| {
            let mut shares = self.value(var).clone().scaled(1.0 / temperature);
            for row in 0..shares.rows {
                softmax(shares.row_mut(row));
            }
            // So that its logarithm is finite.
            shares
                .data
                .iter_mut()
                .for_each(|share| *share = share.max(f32::MIN_POSITIVE));
            shares
        });
        let [p, q] = &shares;
        assert_eq!((p.rows, p.cols), (q.rows, q.cols), "same shape");
        let sum: f64 = p
            .data
            .iter()
            .zip(&q.data)
            .map(|(p, q)| f64::from(*p) * f64::from(p / q).ln())
            .sum();
        let value = Matrix::scalar((sum / p.rows.max(1) as f64) as f32);
        let op = Divergence {
            teacher,
            student,
            temperature,
            shares,
        };
        self.push(value, &[teacher, student], op)
    }
}

#[cfg(test)]
mod tests {
    use crate::tape::check::{g, gradients};

    #[test]
    fn divergence_differentiates_by_both_sides() {
        gradients(&[g(1.0, 3, 4), g(2.0, 3, 4)], |tape, v| {
            tape.divergence(v[0], v[1], 0.7)
        });
    }
}
