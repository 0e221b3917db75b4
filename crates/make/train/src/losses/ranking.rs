//! In-batch ranking: each anchor should find its positive among all candidates.

use kokeshi_core::Seed;

use super::{Aux, Loss, Reps, contrast, row_products, units};
use crate::tape::{Matrix, Tape, Targets, Var};

/// How two vectors are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Similarity {
    /// The cosine.
    #[default]
    Cosine,
    /// The dot product.
    Dot,
}

/// Cross-entropy of each anchor's similarities with all positives and all negatives of the batch, times `scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranking {
    /// What similarities are multiplied by: one over the temperature.
    pub scale: f32,
    /// How vectors are compared.
    pub similarity: Similarity,
    /// Rows whose positive has the share p count (1 - p) to this power (KaLM's focal weights; they are not differentiated); 0: all alike.
    pub focal: f32,
    /// Whether other rows' positives and negatives are candidates; without them each anchor has its own negatives only (NV-Embed's
    /// second stage, arXiv 2405.17428).
    pub in_batch: bool,
    /// How many negatives are mixed from two of each anchor's own, `h = l a + (1 - l) b` of length one with `l` from Beta(2, 2); only their
    /// own anchor is compared with them (KaLM's online mixing). Takes at least two negatives; 0: none.
    pub mix: usize,
}

impl Default for Ranking {
    fn default() -> Self {
        Self {
            scale: 20.0,
            similarity: Similarity::Cosine,
            focal: 0.0,
            in_batch: true,
            mix: 0,
        }
    }
}

impl Loss for Ranking {
    fn loss(&self, tape: &mut Tape, reps: &Reps, aux: &Aux) -> Var {
        let columns = match self.similarity {
            Similarity::Cosine => units(tape, &reps.last().columns),
            Similarity::Dot => reps.last().columns.clone(),
        };
        let mut blocks: Vec<Var> = columns[1..]
            .iter()
            .map(|candidates| tape.similarities(columns[0], *candidates))
            .collect();
        let shared = blocks.len();
        if columns.len() > 3 {
            let mut draw = aux.draw();
            for _ in 0..self.mix {
                let mixed = mix(tape, &columns[2..], &mut draw);
                blocks.push(row_products(tape, columns[0], mixed));
            }
        }
        let (logits, mut targets) = contrast(tape, &blocks, self.scale, |_, block, row, column| {
            !self.in_batch && block < shared && row != column
        });
        if self.focal != 0.0 {
            targets.weights = focal_weights(tape, logits, &targets, self.focal);
        }
        tape.cross_entropy(logits, targets)
    }
}

/// For each row a point of length one between two of its negatives, drawn anew.
fn mix(tape: &mut Tape, negatives: &[Var], draw: &mut Seed) -> Var {
    let (rows, cols) = (tape.value(negatives[0]).rows, tape.value(negatives[0]).cols);
    // What each row takes of two columns of negatives.
    let mut draws = |_| {
        let first = draw.below(negatives.len());
        let second = (first + 1 + draw.below(negatives.len() - 1)) % negatives.len();
        // The median of three uniform numbers is distributed as Beta(2, 2).
        let mut three = [(); 3].map(|()| draw.uniform());
        three.sort_by(f64::total_cmp);
        [(first, three[1] as f32), (second, 1.0 - three[1] as f32)]
    };
    let taken: Vec<[(usize, f32); 2]> = (0..rows).map(&mut draws).collect();
    let share = |column: usize, taken: &[(usize, f32); 2]| {
        let found = taken.iter().find(|(of, _)| *of == column);
        found.map_or(0.0, |(_, share)| *share)
    };
    let parts: Vec<Var> = negatives
        .iter()
        .enumerate()
        .map(|(number, column)| {
            let wide = taken
                .iter()
                .flat_map(|taken| std::iter::repeat_n(share(number, taken), cols));
            let share = tape.constant(Matrix::new(rows, cols, wide.collect()));
            tape.multiply(*column, share)
        })
        .collect();
    let sum = parts[1..].iter().fold(parts[0], |sum, part| tape.add(sum, *part));
    tape.unit(sum)
}

/// One minus the share of each row's target, to the power of `gamma`.
fn focal_weights(tape: &Tape, logits: Var, targets: &Targets, gamma: f32) -> Vec<f32> {
    let logits = tape.value(logits);
    let weight = |row: usize| {
        let seen = |at: &usize| {
            !targets
                .hidden
                .get(row * logits.cols + at)
                .copied()
                .unwrap_or(false)
        };
        let values = logits.row(row);
        let right = f64::from(values[targets.columns[row]]);
        let sum: f64 = (0..values.len())
            .filter(seen)
            .map(|at| (f64::from(values[at]) - right).exp())
            .sum();
        (1.0 - 1.0 / sum).max(0.0).powf(f64::from(gamma)) as f32
    };
    (0..logits.rows).map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::fixture::{assert_golden, columns, confusable, hard, value};
    use crate::tape::check::gradients;

    #[test]
    fn ranking_has_its_golden_values() {
        let loss = Ranking::default();
        assert_golden(value(&loss, &columns()[..2], &Aux::default()), 0.012_014_2);
        assert_golden(value(&loss, &columns(), &Aux::default()), 0.012_112_3);
    }

    #[test]
    fn focal_weights_have_their_golden_value() {
        let mut batch = confusable()[..2].to_vec();
        batch.extend(hard());
        let focal = |focal| Ranking {
            focal,
            ..Ranking::default()
        };
        assert_golden(value(&focal(0.0), &batch, &Aux::default()), 0.503_628);
        assert_golden(value(&focal(0.5), &batch, &Aux::default()), 0.384_041);
    }

    #[test]
    fn own_negatives_alone_leave_one_column_a_kind() {
        let loss = Ranking {
            in_batch: false,
            ..Ranking::default()
        };
        // Only the first row's candidates decide its loss: another row's positive may be anything.
        let mut other = columns();
        other[1].row_mut(2).copy_from_slice(columns()[0].row(0));
        let first = |columns: &[crate::tape::Matrix]| {
            let cut: Vec<_> = columns
                .iter()
                .map(|column| crate::tape::Matrix::new(1, 8, column.row(0).to_vec()))
                .collect();
            value(&loss, &cut, &Aux::default())
        };
        assert_eq!(first(&columns()), first(&other));
        assert!(
            value(&loss, &columns(), &Aux::default())
                < value(&Ranking::default(), &columns(), &Aux::default())
        );
    }

    #[test]
    fn mixed_negatives_lie_between_two_own_ones() {
        let mut batch = confusable()[..2].to_vec();
        batch.extend(hard());
        let with = |mix| Ranking {
            mix,
            ..Ranking::default()
        };
        let plain = value(&with(0), &batch, &Aux::default());
        // Another candidate can only add to the sum below the line.
        let mixed = value(&with(4), &batch, &Aux::default());
        assert!(mixed > plain, "{mixed} {plain}");
        // Between a negative and itself there is only that negative: the same as a third column of it, for the own anchor alone.
        let twice = [
            batch[0].clone(),
            batch[1].clone(),
            batch[2].clone(),
            batch[2].clone(),
        ];
        let three = [&twice[..], &twice[2..3]].concat();
        let own = |mix| Ranking {
            in_batch: false,
            ..with(mix)
        };
        assert_golden(
            value(&own(1), &twice, &Aux::default()),
            value(&own(0), &three, &Aux::default()),
        );
        gradients(&batch, |tape, v| {
            let loss = Ranking {
                scale: 3.0,
                ..with(2)
            };
            loss.loss(tape, &Reps::single(v.to_vec()), &Aux::default())
        });
    }

    #[test]
    fn ranking_differentiates() {
        let loss = Ranking {
            scale: 3.0,
            ..Ranking::default()
        };
        gradients(&columns(), |tape, v| {
            loss.loss(tape, &Reps::single(v.to_vec()), &Aux::default())
        });
    }
}
