//! Cross-entropy over rows of logits, with masked cells and row weights: what every contrastive loss ends in.

use super::softmax::softmax;
use super::{Gradients, Matrix, Op, Tape, Var};

/// What the rows of logits should point at.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// The right column of each row.
    pub columns: Vec<usize>,
    /// Cells that count as minus infinity: `[rows, cols]`; empty: none.
    pub hidden: Vec<bool>,
    /// What each row's loss is multiplied by; empty: 1.
    pub weights: Vec<f32>,
}

impl Targets {
    /// Row `i` should point at column `i`.
    pub fn diagonal(rows: usize) -> Self {
        Self {
            columns: (0..rows).collect(),
            ..Self::default()
        }
    }

    fn weight(&self, row: usize) -> f32 {
        self.weights.get(row).copied().unwrap_or(1.0)
    }
}

struct CrossEntropy {
    logits: Var,
    targets: Targets,
    /// Softmax of the logits.
    shares: Matrix,
}

impl Op for CrossEntropy {
    fn backward(&self, _: &Tape, gradient: &Matrix, sink: &mut Gradients) {
        let mut out = self.shares.clone();
        let factor = gradient.data[0] / out.rows as f32;
        for (row, column) in self.targets.columns.iter().enumerate() {
            let weight = factor * self.targets.weight(row);
            let values = out.row_mut(row);
            values[*column] -= 1.0;
            values.iter_mut().for_each(|value| *value *= weight);
        }
        sink.add(self.logits, out);
    }
}

impl Tape {
    /// The mean over rows of `-log softmax(logits)[target]`, each times its weight.
    ///
    /// # Panics
    /// If targets don't fit the logits, or a target is hidden.
    pub fn cross_entropy(&mut self, logits: Var, targets: Targets) -> Var {
        let mut shares = self.value(logits).clone();
        let (rows, cols) = (shares.rows, shares.cols);
        assert_eq!(targets.columns.len(), rows, "a target for each row");
        if !targets.hidden.is_empty() {
            assert_eq!(targets.hidden.len(), rows * cols, "a mask for each cell");
            for (value, hidden) in shares.data.iter_mut().zip(&targets.hidden) {
                if *hidden {
                    *value = f32::NEG_INFINITY;
                }
            }
        }
        let mut sum = 0.0_f64;
        for (row, column) in targets.columns.iter().enumerate() {
            let values = shares.row_mut(row);
            let right = values[*column];
            assert!(
                right > f32::NEG_INFINITY || right.is_nan(),
                "the target of row {row} is not hidden"
            );
            let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let total: f64 = values.iter().map(|value| f64::from(value - most).exp()).sum();
            sum += f64::from(targets.weight(row)) * (total.ln() - f64::from(right - most));
            softmax(values);
        }
        let loss = Matrix::scalar((sum / rows.max(1) as f64) as f32);
        let op = CrossEntropy {
            logits,
            targets,
            shares,
        };
        self.push(loss, &[logits], op)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::check::{g, gradients};

    #[test]
    fn cross_entropy_differentiates_with_masks_and_weights() {
        let mut hidden = vec![false; 12];
        hidden[1] = true;
        hidden[7] = true;
        let targets = Targets {
            columns: vec![0, 2, 1],
            hidden,
            weights: vec![1.0, 0.5, 2.0],
        };
        gradients(&[g(1.0, 3, 4)], |tape, v| {
            tape.cross_entropy(v[0], targets.clone())
        });
    }

    #[test]
    fn equal_logits_cost_the_logarithm_of_their_number() {
        let mut tape = Tape::default();
        let logits = tape.constant(Matrix::zeros(2, 8));
        let loss = tape.cross_entropy(logits, Targets::diagonal(2));
        assert!((tape.value(loss).data[0] - 8.0_f32.ln()).abs() < 1e-6);
    }
}
