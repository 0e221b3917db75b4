//! Starbucks (arXiv 2410.13230): every step trains a fixed list of sizes, small to large, and pulls the small ones to the full one.

use super::{Aux, Loss, Reps, units};
use crate::tape::{Tape, Var};

/// What is pulled to the full size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Alignment {
    /// The distribution of an anchor's scores over all documents of the batch; the full size's is fixed.
    Scores {
        /// What scores are divided by.
        temperature: f32,
        /// Whether scores are cosines.
        cosine: bool,
    },
    /// The distribution over the values of a vector, as in the released code for sentence similarity; the full size's is not fixed.
    Values,
    /// Nothing.
    Off,
}

/// Another loss at a list of sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct Starbucks<L> {
    /// What is called.
    pub loss: L,
    /// Layers and dims, small to large; the last is the full size.
    pub sizes: Vec<(usize, usize)>,
    /// What is pulled.
    pub alignment: Alignment,
    /// What the pull counts.
    pub weight: f32,
}

impl<L: Loss> Loss for Starbucks<L> {
    /// # Panics
    /// If a layer of the list was not pooled.
    fn loss(&self, tape: &mut Tape, reps: &Reps, aux: &Aux) -> Var {
        let mut parts = Vec::new();
        let full = reps.last().clone();
        let full_scores = match self.alignment {
            Alignment::Scores { temperature, cosine } => {
                Some(scores(tape, &full.columns, temperature, cosine))
            }
            _ => None,
        };
        let full_scores = full_scores.map(|scores| tape.detach(scores));
        for (at, (number, dims)) in self.sizes.iter().enumerate() {
            let layer = reps.layer(*number).expect("layers of the list are pooled");
            let cut = layer.prefix(tape, *dims);
            parts.push((self.loss.loss(tape, &cut.clone().alone(), aux), 1.0));
            if at + 1 == self.sizes.len() {
                break;
            }
            match (self.alignment, full_scores) {
                (Alignment::Scores { temperature, cosine }, Some(teacher)) => {
                    let mine = scores(tape, &cut.columns, temperature, cosine);
                    parts.push((tape.divergence(teacher, mine, 1.0), self.weight));
                }
                (Alignment::Values, _) => {
                    let teacher = full.prefix(tape, *dims);
                    let (teacher, mine) = (tape.below(&teacher.columns), tape.below(&cut.columns));
                    parts.push((tape.divergence(teacher, mine, 1.0), self.weight));
                }
                _ => {}
            }
        }
        tape.total(&parts)
    }
}

/// Each anchor's scores with all documents.
fn scores(tape: &mut Tape, columns: &[Var], temperature: f32, cosine: bool) -> Var {
    let columns = if cosine {
        units(tape, columns)
    } else {
        columns.to_vec()
    };
    let documents = tape.below(&columns[1..]);
    let found = tape.similarities(columns[0], documents);
    tape.scale(found, 1.0 / temperature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::fixture::{assert_golden, layers, value_of_layers};
    use crate::losses::{Ranking, Similarity};

    const SIZES: [(usize, usize); 3] = [(1, 2), (2, 4), (3, 8)];

    #[test]
    fn the_retrieval_form_has_its_golden_value() {
        let loss = Starbucks {
            loss: Ranking {
                scale: 1.0,
                similarity: Similarity::Dot,
                ..Ranking::default()
            },
            sizes: SIZES.to_vec(),
            alignment: Alignment::Scores {
                temperature: 1.0,
                cosine: false,
            },
            weight: 1.0,
        };
        assert_golden(value_of_layers(&loss, &layers(), &Aux::default()), 2.223_719);
    }

    #[test]
    fn the_similarity_form_has_its_golden_value() {
        let loss = Starbucks {
            loss: Ranking::default(),
            sizes: SIZES.to_vec(),
            alignment: Alignment::Values,
            weight: 0.3,
        };
        assert_golden(value_of_layers(&loss, &layers(), &Aux::default()), 0.627_973);
    }
}
