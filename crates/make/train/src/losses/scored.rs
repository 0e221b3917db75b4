//! Losses of two columns with a score or a label for each row.

use super::{Aux, Loss, Reps, row_products, units};
use crate::tape::{Matrix, Tape, Var};

/// CoSENT: rows with a higher label should have a higher cosine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cosent {
    /// What cosines are multiplied by.
    pub scale: f32,
}

impl Default for Cosent {
    fn default() -> Self {
        Self { scale: 20.0 }
    }
}

/// The mean squared difference between cosine and label.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cosine;

/// Pulls rows with label 1 together and pushes those with label 0 to at least `margin` apart (cosine distance).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contrastive {
    /// From where a pair is far enough.
    pub margin: f32,
}

impl Default for Contrastive {
    fn default() -> Self {
        Self { margin: 0.5 }
    }
}

/// The cosines of rows with the same number: `[rows, 1]`.
fn cosines(tape: &mut Tape, reps: &Reps) -> Var {
    let columns = units(tape, &reps.last().columns[..2]);
    row_products(tape, columns[0], columns[1])
}

impl Loss for Cosent {
    fn loss(&self, tape: &mut Tape, reps: &Reps, aux: &Aux) -> Var {
        let scores = cosines(tape, reps);
        let scores = tape.scale(scores, self.scale);
        tape.cosent(scores, &aux.labels)
    }
}

impl Loss for Cosine {
    fn loss(&self, tape: &mut Tape, reps: &Reps, aux: &Aux) -> Var {
        let found = cosines(tape, reps);
        let labels = aux.labels.iter().map(|label| -label).collect();
        let labels = tape.constant(Matrix::new(aux.labels.len(), 1, labels));
        let difference = tape.add(found, labels);
        let square = tape.multiply(difference, difference);
        tape.total(&[(square, 1.0 / aux.labels.len().max(1) as f32)])
    }
}

impl Loss for Contrastive {
    fn loss(&self, tape: &mut Tape, reps: &Reps, aux: &Aux) -> Var {
        let found = cosines(tape, reps);
        let rows = aux.labels.len();
        // What pulls on a row is its distance, or what is missing to the margin; which of them is known beforehand.
        let apart = |row: usize| self.margin - (1.0 - tape.value(found).data[row]);
        let (factors, shifts): (Vec<f32>, Vec<f32>) = (0..rows)
            .map(|row| match aux.labels[row] > 0.5 {
                true => (-1.0, 1.0),
                false if apart(row) > 0.0 => (1.0, self.margin - 1.0),
                false => (0.0, 0.0),
            })
            .unzip();
        let factors = tape.constant(Matrix::new(rows, 1, factors));
        let shifts = tape.constant(Matrix::new(rows, 1, shifts));
        let length = tape.multiply(found, factors);
        let length = tape.add(length, shifts);
        let square = tape.multiply(length, length);
        tape.total(&[(square, 0.5 / rows.max(1) as f32)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::fixture::columns;
    use crate::tape::check::gradients;

    #[test]
    fn scored_losses_differentiate() {
        let aux = Aux {
            labels: vec![0.9, 0.1, 0.6, 0.2],
            ..Aux::default()
        };
        let losses: [Box<dyn Loss>; 3] = [
            Box::new(Cosent { scale: 3.0 }),
            Box::new(Cosine),
            Box::new(Contrastive { margin: 0.9 }),
        ];
        for loss in losses {
            gradients(&columns()[..2], |tape, v| {
                loss.loss(tape, &Reps::single(v.to_vec()), &aux)
            });
        }
    }

    #[test]
    fn scores_in_the_order_of_their_labels_cost_little() {
        let rows = |values: [f32; 4]| Matrix::new(2, 2, values.to_vec());
        let cost = |labels: [f32; 2]| {
            let aux = Aux {
                labels: labels.to_vec(),
                ..Aux::default()
            };
            let batch = [rows([1.0, 0.0, 1.0, 0.0]), rows([1.0, 0.0, 0.0, 1.0])];
            crate::losses::fixture::value(&Cosent::default(), &batch, &aux)
        };
        assert!(cost([1.0, 0.0]) < 1e-6);
        assert!((cost([0.0, 1.0]) - 20.0).abs() < 1e-4);
    }
}
