//! BASIC (arXiv 2111.10050): the gradient of a large batch in the memory of a small one (GradCache, arXiv 2101.06983), and what large batches
//! are good for.

use std::sync::Arc;

use kokeshi_core::Seed;
use kokeshi_train::losses::{Aux, Loss, Ranking, Reps};
use kokeshi_train::tape::{Matrix, Tape, Var, Way};

use super::gistembed::judge;
use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result};
use crate::training::arxiv::{Arxiv, WORDS};
use crate::training::bag::Bag;

const ID: &str = "basic";

const DIMS: usize = 64;
/// Pairs that every batch size sees in all, and the rate of a batch of 64.
const SEEN: usize = 25_600;
const RATE: f64 = 5e-3;
const BATCHES: [usize; 4] = [8, 32, 128, 512];

const CLAIMS: &[Claim] = &[
    Claim {
        name: "loss",
        claim: "the fixture's ranking loss of a linear encoder is 0.300333: difference",
        bar: Bar::AtMost(2e-5),
    },
    Claim {
        name: "length",
        claim: "its gradient's length is 1.493614 in chunks of 1 to 6 rows: largest difference",
        bar: Bar::AtMost(2e-5),
    },
    Claim {
        name: "chunks",
        claim: "chunked gradients are that of the whole batch: largest difference of a value",
        bar: Bar::AtMost(2e-5),
    },
    Claim {
        name: "accumulation",
        claim: "plain accumulation over chunks of 2 is something else, of length 0.034097: difference",
        bar: Bar::AtMost(2e-5),
    },
    Claim {
        name: "monotone",
        claim: "with as many pairs seen, larger batches (8, 32, 128, 512) rank better: smallest step of MRR@10",
        bar: Bar::AtLeast(0.0),
    },
    Claim {
        name: "batch",
        claim: "a batch of 512 against one of 8: ratio of MRR@10",
        bar: Bar::AtLeast(1.1),
    },
];

/// The reproduction.
pub(crate) struct Basic;

impl Reproduction for Basic {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let fixture = Fixture::new();
        let (loss, whole) = fixture.gradient(6);
        let (mut length, mut value) = (0.0_f64, 0.0_f64);
        for chunk in 1..=6 {
            let (_, found) = fixture.gradient(chunk);
            length = length.max((norm(&found) - 1.493_614).abs());
            for (found, expected) in found.data.iter().zip(&whole.data) {
                value = value.max(f64::from((found - expected).abs()));
            }
        }
        let accumulated = (norm(&fixture.accumulated(2)) - 0.034_097).abs();
        let arxiv = Arxiv::read(context, ID)?;
        let found = BATCHES.map(|batch| of_batch(&arxiv, batch, Seed(context.seed)));
        eprintln!("MRR@10 of batches {BATCHES:?}: {found:.3?}");
        let step = found
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .fold(f64::INFINITY, f64::min);
        Ok(measured(
            CLAIMS,
            [
                (f64::from(loss) - 0.300_333).abs(),
                length,
                value,
                accumulated,
                step,
                found[3] / found[0],
            ],
        ))
    }
}

/// A linear encoder and six pairs.
struct Fixture {
    weight: Matrix,
    columns: [Matrix; 2],
}

/// The values of the shared fixture.
fn g(tag: f64, rows: usize, cols: usize) -> Matrix {
    let values = (1..=rows * cols).map(|k| (0.31 * (k * k) as f64 + 1.3 * tag).sin() as f32);
    Matrix::new(rows, cols, values.collect())
}

impl Fixture {
    fn new() -> Self {
        let x = g(61.0, 6, 8);
        let mut y = x.clone();
        y.add(&g(62.0, 6, 8).scaled(0.5));
        Self {
            weight: g(60.0, 8, 5),
            columns: [x, y],
        }
    }

    /// Rows `from..from + count` of a column, encoded.
    fn encode(&self, column: usize, from: usize, count: usize) -> (Matrix, Matrix) {
        let cols = self.columns[column].cols;
        let rows = self.columns[column].data[from * cols..(from + count) * cols].to_vec();
        let rows = Matrix::new(count, cols, rows);
        let out = Matrix::product(&rows, Way::Plain, &self.weight, Way::Plain);
        (rows, out)
    }

    /// The loss of encoded columns and its gradients by them.
    fn loss(columns: [Matrix; 2]) -> (f32, [Matrix; 2]) {
        let mut tape = Tape::default();
        let vars: [Var; 2] = columns.map(|column| tape.leaf(Arc::new(column), true));
        let found = Ranking::default().loss(&mut tape, &Reps::single(vars.to_vec()), &Aux::default());
        let value = tape.value(found).data[0];
        let mut gradients = tape.backward([(found, Matrix::scalar(1.0))]);
        let empty = || Matrix::zeros(0, 0);
        (value, vars.map(|var| gradients.take(var).unwrap_or_else(empty)))
    }

    /// Loss and gradient of the whole batch, with the encoder run on `chunk` rows at a time: once for the vectors, once for the way back.
    fn gradient(&self, chunk: usize) -> (f32, Matrix) {
        let starts = (0..6).step_by(chunk);
        let vectors = [0, 1].map(|column| {
            let parts = starts
                .clone()
                .map(|from| self.encode(column, from, chunk.min(6 - from)).1.data);
            Matrix::new(6, 5, parts.flatten().collect())
        });
        let (value, given) = Self::loss(vectors);
        let mut sum = Matrix::zeros(8, 5);
        for column in 0..2 {
            for from in starts.clone() {
                let count = chunk.min(6 - from);
                let (rows, _) = self.encode(column, from, count);
                let given = Matrix::new(
                    count,
                    5,
                    given[column].data[from * 5..(from + count) * 5].to_vec(),
                );
                sum.add_product(&rows, Way::Transposed, &given, Way::Plain);
            }
        }
        (value, sum)
    }

    /// What adding up the gradients of small batches gives, each weighted by its rows.
    fn accumulated(&self, chunk: usize) -> Matrix {
        let mut sum = Matrix::zeros(8, 5);
        for from in (0..6).step_by(chunk) {
            let parts = [0, 1].map(|column| self.encode(column, from, chunk));
            let (_, given) = Self::loss([parts[0].1.clone(), parts[1].1.clone()]);
            for ((rows, _), given) in parts.iter().zip(given) {
                let share = given.scaled(chunk as f32 / 6.0);
                sum.add_product(rows, Way::Transposed, &share, Way::Plain);
            }
        }
        sum
    }
}

fn norm(matrix: &Matrix) -> f64 {
    let squares = matrix.data.iter().map(|value| f64::from(*value).powi(2));
    squares.sum::<f64>().sqrt()
}

/// MRR@10 after as many pairs as for every batch size; the rate goes with the root of the batch.
fn of_batch(arxiv: &Arxiv, batch: usize, mut seed: Seed) -> f64 {
    let mut bag = Bag::new(WORDS, DIMS, seed.fork(1));
    let mut order: Vec<usize> = (0..arxiv.train.len()).collect();
    seed.shuffle(&mut order);
    let rate = (RATE * (batch as f64 / 64.0).sqrt()) as f32;
    for rows in order[..SEEN].chunks_exact(batch) {
        let columns = [
            rows.iter()
                .map(|row| arxiv.train[*row].title.as_slice())
                .collect(),
            rows.iter().map(|row| arxiv.train[*row].summary()).collect(),
        ];
        bag.step(&columns, &Ranking::default(), &Aux::default(), rate);
    }
    judge(arxiv, &bag)
}
