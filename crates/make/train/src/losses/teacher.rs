//! Distillation: a student learns a teacher's vectors, or the margins between its scores.

use super::{Aux, Loss, Reps, row_products};
use crate::tape::{Matrix, Tape, Var};

/// The mean squared difference between the student's vectors and the teacher's (`Aux::guide`), cut to the student's width if it is smaller.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Embedding;

/// The mean squared difference between the margins `anchor . positive - anchor . negative` and `Aux::labels` (Margin-MSE, arXiv 2010.02666).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Margin;

impl Loss for Embedding {
    fn loss(&self, tape: &mut Tape, reps: &Reps, aux: &Aux) -> Var {
        let columns = &reps.last().columns;
        assert_eq!(columns.len(), aux.guide.len(), "the teacher has as many columns");
        let mut parts = Vec::new();
        for (student, teacher) in columns.iter().zip(&aux.guide) {
            let (rows, cols) = (tape.value(*student).rows, tape.value(*student).cols);
            let target = (0..rows)
                .flat_map(|row| &teacher.row(row)[..cols])
                .map(|value| -value)
                .collect();
            let target = tape.constant(Matrix::new(rows, cols, target));
            let difference = tape.add(*student, target);
            let square = tape.multiply(difference, difference);
            parts.push((square, 1.0 / (rows * cols * columns.len()).max(1) as f32));
        }
        tape.total(&parts)
    }
}

impl Loss for Margin {
    fn loss(&self, tape: &mut Tape, reps: &Reps, aux: &Aux) -> Var {
        let columns = reps.last().columns.clone();
        let good = row_products(tape, columns[0], columns[1]);
        let bad = row_products(tape, columns[0], columns[2]);
        let bad = tape.scale(bad, -1.0);
        let margin = tape.add(good, bad);
        let labels = aux.labels.iter().map(|label| -label).collect();
        let labels = tape.constant(Matrix::new(aux.labels.len(), 1, labels));
        let difference = tape.add(margin, labels);
        let square = tape.multiply(difference, difference);
        tape.total(&[(square, 1.0 / aux.labels.len().max(1) as f32)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::fixture::columns;
    use crate::tape::check::{g, gradients};

    #[test]
    fn distillation_differentiates() {
        let aux = Aux {
            labels: vec![0.9, 0.1, -0.6, 0.2],
            guide: vec![g(5.0, 4, 9), g(6.0, 4, 9), g(7.0, 4, 9)],
            ..Aux::default()
        };
        gradients(&columns(), |tape, v| {
            Embedding.loss(tape, &Reps::single(v.to_vec()), &aux)
        });
        gradients(&columns(), |tape, v| {
            Margin.loss(tape, &Reps::single(v.to_vec()), &aux)
        });
    }
}
