//! GISTEmbed (arXiv 2402.16829): a guide model removes candidates that it finds closer to the anchor than the positive.

use super::{Aux, Loss, Reps, contrast, units};
use crate::tape::{Tape, Var};

/// How much closer than the positive a candidate may be to the anchor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Margins {
    /// The positive's similarity less this.
    Absolute(f32),
    /// The positive's similarity less this share of it.
    Relative(f32),
}

/// Ranking over anchor-positive, anchor-anchor, positive-positive and anchor-negative blocks, masked by the guide's similarities
/// (`Aux::guide`, a matrix for each column).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gist {
    /// What cosines are divided by.
    pub temperature: f32,
    /// From where a candidate is masked.
    pub margin: Margins,
    /// Whether other anchors are candidates.
    pub anchors: bool,
    /// Whether positives are compared with each other.
    pub positives: bool,
}

impl Default for Gist {
    fn default() -> Self {
        Self {
            temperature: 0.01,
            margin: Margins::Absolute(0.0),
            anchors: true,
            positives: true,
        }
    }
}

impl Loss for Gist {
    fn loss(&self, tape: &mut Tape, reps: &Reps, aux: &Aux) -> Var {
        let student = units(tape, &reps.last().columns);
        let guide: Vec<Var> = aux
            .guide
            .iter()
            .map(|column| tape.constant(column.clone()))
            .collect();
        let guide = units(tape, &guide);
        assert_eq!(guide.len(), student.len(), "the guide has as many columns");
        // Pairs of columns that are compared, and whether a row is never compared with itself.
        let mut pairs = vec![(0, 1, false)];
        if self.anchors {
            pairs.push((0, 0, true));
        }
        if self.positives {
            pairs.push((1, 1, true));
        }
        pairs.extend((2..student.len()).map(|negative| (0, negative, false)));
        let blocks: Vec<Var> = pairs
            .iter()
            .map(|(a, b, _)| tape.similarities(student[*a], student[*b]))
            .collect();
        let judged: Vec<Var> = pairs
            .iter()
            .map(|(a, b, _)| tape.similarities(guide[*a], guide[*b]))
            .collect();
        let threshold: Vec<f32> = (0..tape.value(judged[0]).rows)
            .map(|row| match (tape.value(judged[0]).row(row)[row], self.margin) {
                (found, Margins::Absolute(margin)) => found - margin,
                (found, Margins::Relative(margin)) => found * (1.0 - margin),
            })
            .collect();
        let hidden = |tape: &Tape, block: usize, row: usize, column: usize| {
            let (own, same) = (row == column, pairs[block].2);
            let target = own && block == 0;
            !target && (tape.value(judged[block]).row(row)[column] > threshold[row] || (own && same))
        };
        let (logits, targets) = contrast(tape, &blocks, 1.0 / self.temperature, hidden);
        tape.cross_entropy(logits, targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::fixture::{assert_golden, confusable, guides, value};

    fn aux(columns: usize) -> Aux {
        Aux {
            guide: guides()[..columns].to_vec(),
            ..Aux::default()
        }
    }

    #[test]
    fn gist_has_its_golden_values() {
        let loss = Gist {
            temperature: 0.05,
            ..Gist::default()
        };
        assert_golden(value(&loss, &confusable()[..2], &aux(2)), 0.116_935);
        assert_golden(value(&loss, &confusable(), &aux(3)), 0.117_048);
        let relative = Gist {
            margin: Margins::Relative(0.05),
            ..loss
        };
        assert_golden(value(&relative, &confusable(), &aux(3)), 0.014_977_3);
        let plain = Gist {
            anchors: false,
            positives: false,
            ..loss
        };
        assert_golden(value(&plain, &confusable(), &aux(3)), 0.114_202);
    }
}
