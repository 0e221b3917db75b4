//! Losses that compose: a base loss compares the columns of a batch, a wrapper calls another loss at several sizes.
//!
//! | loss | compares | source |
//! |---|---|---|
//! | [`Ranking`] | each anchor with all candidates of the batch | MultipleNegativesRankingLoss; focal weights of KaLM (arXiv 2506.20923) |
//! | [`Gist`] | the same without what a guide model finds too close | arXiv 2402.16829 |
//! | [`Qwen3`] | the same without what the student finds too close | arXiv 2506.05176, equation 1 |
//! | [`Cosent`], [`Cosine`], [`Contrastive`] | two columns with a score or a label | sentence-transformers |
//! | [`Embedding`], [`Margin`] | a student with a teacher's vectors, or with the margins of its scores | sentence-transformers |
//! | [`Matryoshka`] | prefixes of the last layer | arXiv 2205.13147 |
//! | [`AdaptiveLayer`], [`matryoshka_2d`] | earlier layers, and both | arXiv 2402.14776, as in sentence-transformers |
//! | [`Ese`] | a random layer and a random prefix | arXiv 2402.14776, as published |
//! | [`Starbucks`] | a list of layers and prefixes | arXiv 2410.13230 |

mod gist;
mod qwen3;
mod ranking;
mod scored;
mod sized;
mod starbucks;
mod teacher;

pub use gist::{Gist, Margins};
pub use qwen3::Qwen3;
pub use ranking::{Ranking, Similarity};
pub use scored::{Contrastive, Cosent, Cosine};
pub use sized::{AdaptiveLayer, Ese, Matryoshka, matryoshka_2d};
pub use starbucks::{Alignment, Starbucks};
pub use teacher::{Embedding, Margin};

use kokeshi_core::Seed;

use crate::tape::{Matrix, Tape, Targets, Var};

/// Pooled vectors of a batch, by layer and column.
#[derive(Debug, Clone)]
pub struct Reps {
    /// The layers that were pooled, the last one last.
    pub layers: Vec<Layer>,
}

/// One layer's pooled vectors.
#[derive(Debug, Clone)]
pub struct Layer {
    /// After how many blocks; 0 is the embeddings.
    pub number: usize,
    /// Anchors, positives, negatives, ...: `[batch, dims]` each.
    pub columns: Vec<Var>,
}

impl Reps {
    /// Only a last layer.
    pub fn single(columns: Vec<Var>) -> Self {
        Self {
            layers: vec![Layer { number: 1, columns }],
        }
    }

    /// The last layer.
    ///
    /// # Panics
    /// If there is no layer.
    pub fn last(&self) -> &Layer {
        self.layers.last().expect("a batch has at least one layer")
    }

    /// The layer after `number` blocks.
    pub fn layer(&self, number: usize) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.number == number)
    }
}

impl Layer {
    /// The first `dims` values of every vector.
    pub fn prefix(&self, tape: &mut Tape, dims: usize) -> Self {
        Self {
            number: self.number,
            columns: self
                .columns
                .iter()
                .map(|column| tape.prefix(*column, dims))
                .collect(),
        }
    }

    /// It alone.
    pub fn alone(self) -> Reps {
        Reps { layers: vec![self] }
    }

    /// The width of a vector.
    pub fn dims(&self, tape: &Tape) -> usize {
        self.columns.first().map_or(0, |column| tape.value(*column).cols)
    }
}

/// What comes with a batch besides its vectors.
#[derive(Debug, Clone, Default)]
pub struct Aux {
    /// A score or label for each row.
    pub labels: Vec<f32>,
    /// A guide's or teacher's vectors, by column: `[batch, dims]`.
    pub guide: Vec<Matrix>,
    /// Numbers of the documents by row, equal for equal texts; empty: all differ.
    pub documents: Vec<u64>,
    /// Chooses what a loss draws at random.
    pub seed: u64,
}

impl Aux {
    fn draw(&self) -> Seed {
        Seed(self.seed)
    }
}

/// A loss over the vectors of a batch.
pub trait Loss: Send + Sync {
    /// One value.
    fn loss(&self, tape: &mut Tape, reps: &Reps, aux: &Aux) -> Var;
}

impl<L: Loss + ?Sized> Loss for Box<L> {
    fn loss(&self, tape: &mut Tape, reps: &Reps, aux: &Aux) -> Var {
        (**self).loss(tape, reps, aux)
    }
}

/// What every contrastive loss is the cross-entropy of: blocks of similarities side by side, times `scale`, each row pointing at its own
/// column of the first block. `hidden(tape, block, row, column)`: what is no candidate.
fn contrast(
    tape: &mut Tape,
    blocks: &[Var],
    scale: f32,
    hidden: impl Fn(&Tape, usize, usize, usize) -> bool,
) -> (Var, Targets) {
    let logits = tape.beside(blocks);
    let logits = tape.scale(logits, scale);
    let rows = tape.value(logits).rows;
    let mut targets = Targets::diagonal(rows);
    for row in 0..rows {
        for (number, block) in blocks.iter().enumerate() {
            let columns = 0..tape.value(*block).cols;
            targets
                .hidden
                .extend(columns.map(|column| hidden(tape, number, row, column)));
        }
    }
    (logits, targets)
}

/// Rows of length one, for each column.
fn units(tape: &mut Tape, columns: &[Var]) -> Vec<Var> {
    columns.iter().map(|column| tape.unit(*column)).collect()
}

/// Dot products of rows with the same number: `[rows, 1]`.
fn row_products(tape: &mut Tape, a: Var, b: Var) -> Var {
    let product = tape.multiply(a, b);
    let ones = tape.constant(Matrix::new(1, tape.value(a).cols, vec![1.0; tape.value(a).cols]));
    tape.linear(product, ones, None)
}

#[cfg(test)]
mod fixture {
    //! The numeric fixture that all golden values are of.

    use super::*;
    pub(super) use crate::tape::check::g;

    fn plus(mut a: Matrix, b: Matrix, factor: f32) -> Matrix {
        a.add(&b.scaled(factor));
        a
    }

    /// Anchors, positives, negatives: `[4, 8]` each.
    pub(super) fn columns() -> [Matrix; 3] {
        let a = g(1.0, 4, 8);
        [
            a.clone(),
            plus(a.clone(), g(2.0, 4, 8), 1.0),
            plus(a, g(3.0, 4, 8), 1.5),
        ]
    }

    /// The fourth row is nearly the first.
    fn confuse(columns: &mut [Matrix; 3]) {
        for (column, tag) in columns.iter_mut().zip([8.0, 9.0]) {
            let first = Matrix::new(1, 8, column.row(0).to_vec());
            let row = plus(first, g(tag, 1, 8), 0.2);
            column.row_mut(3).copy_from_slice(&row.data);
        }
    }

    pub(super) fn confusable() -> [Matrix; 3] {
        let mut found = columns();
        confuse(&mut found);
        found
    }

    pub(super) fn guides() -> [Matrix; 3] {
        let a = g(4.0, 4, 8);
        let mut found = [
            a.clone(),
            plus(a.clone(), g(5.0, 4, 8), 1.0),
            plus(a, g(6.0, 4, 8), 1.5),
        ];
        confuse(&mut found);
        found
    }

    /// Two hard negatives for each anchor of the confusable batch, as two columns.
    pub(super) fn hard() -> [Matrix; 2] {
        let anchors = &confusable()[0];
        let noise = g(7.0, 8, 8);
        [0, 1].map(|which| {
            let mut out = anchors.clone();
            for row in 0..4 {
                for (value, noise) in out.row_mut(row).iter_mut().zip(noise.row(2 * row + which)) {
                    *value += 1.5 * noise;
                }
            }
            out
        })
    }

    /// Three layers of anchors and positives.
    pub(super) fn layers() -> Vec<[Matrix; 2]> {
        (0..3)
            .map(|layer| {
                let a = g(10.0 + f64::from(layer), 4, 8);
                let b = g(20.0 + f64::from(layer), 4, 8);
                [a.clone(), plus(a, b, 1.2 - 0.3 * layer as f32)]
            })
            .collect()
    }

    pub(super) fn value(loss: &dyn Loss, columns: &[Matrix], aux: &Aux) -> f32 {
        let mut tape = Tape::default();
        let columns = columns
            .iter()
            .map(|column| tape.constant(column.clone()))
            .collect();
        let loss = loss.loss(&mut tape, &Reps::single(columns), aux);
        tape.value(loss).data[0]
    }

    pub(super) fn value_of_layers(loss: &dyn Loss, layers: &[[Matrix; 2]], aux: &Aux) -> f32 {
        let mut tape = Tape::default();
        let layers = layers
            .iter()
            .enumerate()
            .map(|(at, columns)| Layer {
                number: at + 1,
                columns: columns
                    .iter()
                    .map(|column| tape.constant(column.clone()))
                    .collect(),
            })
            .collect();
        let loss = loss.loss(&mut tape, &Reps { layers }, aux);
        tape.value(loss).data[0]
    }

    #[track_caller]
    pub(super) fn assert_golden(found: f32, expected: f32) {
        assert!(
            (found - expected).abs() <= 1e-4 * expected.abs(),
            "found {found}, expected {expected}"
        );
    }
}
