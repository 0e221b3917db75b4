//! Qwen3 Embedding's loss (arXiv 2506.05176, equation 1): candidates that the student itself finds closer than the positive are taken for
//! false negatives.

use super::{Aux, Loss, Reps, contrast, units};
use crate::tape::{Tape, Var};

/// Ranking over anchor-positive, anchor-anchor, positive-positive and own negatives, without candidates that score more than the positive
/// plus `margin`, and without documents equal to the positive (`Aux::documents`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Qwen3 {
    /// What cosines are divided by.
    pub temperature: f32,
    /// How much more than the positive a candidate may score.
    pub margin: f32,
    /// Whether the margin holds for positives compared with each other, too; the report leaves it open.
    pub mask_documents: bool,
}

impl Default for Qwen3 {
    fn default() -> Self {
        Self {
            temperature: 0.01,
            margin: 0.1,
            mask_documents: false,
        }
    }
}

impl Loss for Qwen3 {
    fn loss(&self, tape: &mut Tape, reps: &Reps, aux: &Aux) -> Var {
        let columns = units(tape, &reps.last().columns);
        let mut blocks = vec![
            tape.similarities(columns[0], columns[1]),
            tape.similarities(columns[0], columns[0]),
            tape.similarities(columns[1], columns[1]),
        ];
        for negatives in &columns[2..] {
            blocks.push(tape.similarities(columns[0], *negatives));
        }
        let rows = tape.value(blocks[0]).rows;
        let own: Vec<f32> = (0..rows).map(|row| tape.value(blocks[0]).row(row)[row]).collect();
        let equal = |a: usize, b: usize| matches!((aux.documents.get(a), aux.documents.get(b)), (Some(a), Some(b)) if a == b);
        let hidden = |tape: &Tape, block: usize, row: usize, column: usize| {
            let same = row == column;
            let too_close = tape.value(blocks[block]).row(row)[column] > own[row] + self.margin;
            match block {
                0 => !same && (too_close || equal(row, column)),
                1 => same || too_close,
                2 => same || equal(row, column) || (self.mask_documents && too_close),
                // A hard negative counts for its own anchor only.
                _ => !same || too_close,
            }
        };
        let (logits, targets) = contrast(tape, &blocks, 1.0 / self.temperature, hidden);
        tape.cross_entropy(logits, targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::fixture::{assert_golden, confusable, hard, value};

    #[test]
    fn qwen3_has_its_golden_values() {
        let mut batch = confusable()[..2].to_vec();
        batch.extend(hard());
        let loss = Qwen3 {
            temperature: 0.05,
            ..Qwen3::default()
        };
        assert_golden(value(&loss, &batch, &Aux::default()), 2.632_043);
        let documents = Qwen3 {
            mask_documents: true,
            ..loss
        };
        assert_golden(value(&documents, &batch, &Aux::default()), 0.478_389);
        let all = Qwen3 { margin: 10.0, ..loss };
        assert_golden(value(&all, &batch, &Aux::default()), 2.958_962);
    }
}
