//! NV-Embed (arXiv 2405.17428): latent attention, and a second stage without in-batch negatives.

use kokeshi_core::{Seed, distance};
use kokeshi_encode::CrossKind;
use kokeshi_train::losses::{Aux, Ranking};
use kokeshi_train::tape::Matrix;

use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result};
use crate::training::arxiv::{Vocabulary, WORDS};
use crate::training::bag::Bag;
use crate::training::cross::{self, apart};
use crate::training::key_token::{Pooling, accuracy};
use crate::training::net::g;
use crate::training::trec::{self, Question};

const ID: &str = "nv-embed";

const DIMS: usize = 64;
const BATCH: usize = 64;
const STEPS: usize = 300;
const RATE: f32 = 5e-3;
/// Questions of other types that each one is compared with.
const NEGATIVES: usize = 7;
const NEIGHBOURS: usize = 10;
/// Words of a question that count.
const LONGEST: usize = 40;
/// Trainings that each figure is the mean of.
const RUNS: u64 = 2;

const CLAIMS: &[Claim] = &[
    Claim {
        name: "golden",
        claim: "latent attention gives the fixture's two vectors: largest difference",
        bar: Bar::AtMost(2e-5),
    },
    Claim {
        name: "key token",
        claim: "one marked token says the class (8 classes, up to 24 tokens, frozen states): accuracy of latent attention",
        bar: Bar::AtLeast(0.9),
    },
    Claim {
        name: "key token, mean",
        claim: "the mean of the tokens can't tell: its accuracy",
        bar: Bar::AtMost(0.4),
    },
    Claim {
        name: "stage 2",
        claim: "types of TREC questions (10 nearest neighbours): accuracy of a bag trained with seven own negatives alone, less that with in-batch negatives too",
        bar: Bar::AtLeast(0.03),
    },
    Claim {
        name: "instruction",
        claim: "tokens of the instruction that pooling leaves out change nothing under a bag: largest difference between two instructions",
        bar: Bar::AtMost(1e-6),
    },
    Claim {
        name: "instruction, pooled",
        claim: "they do if they are pooled: largest difference",
        bar: Bar::AtLeast(1e-2),
    },
];

/// The reproduction.
pub(crate) struct NvEmbed;

impl Reproduction for NvEmbed {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let fixture = cross::fixture(CrossKind::Latent);
        let expected = [
            [0.558_598, 0.742_319, 0.363_964, -0.066_797],
            [-0.716_588, 0.108_622, -0.371_411, -0.580_307],
        ];
        // The first and the last token of the second text don't count.
        let found = cross::pool(&fixture, &g(30, 10, cross::DIMS), &[0..5, 6..9]);
        let golden = apart(&found.data, expected.as_flattened());

        let seed = || Seed(context.seed);
        let latent = accuracy(Pooling::Cross(CrossKind::Latent), seed());
        let mean = accuracy(Pooling::Mean, seed());
        eprintln!("key token: latent attention {latent:.3}, mean {mean:.3}");

        let bench = Bench::new(context)?;
        let (mut with, mut without) = (0.0, 0.0);
        for run in 0..RUNS {
            let [shared, own] = [true, false].map(|in_batch| bench.accuracy(in_batch, seed().fork(run)));
            eprintln!("TREC, run {run}: in-batch negatives {shared:.3}, own alone {own:.3}");
            with += shared / RUNS as f64;
            without += own / RUNS as f64;
        }

        // An instruction of 2 tokens and one of 5 before the same text of 4.
        let text = g(30, 4, cross::DIMS);
        let prompted = |tag: u32, len: usize, skip: usize| {
            let rows = [g(tag, len, cross::DIMS).data, text.data.clone()].concat();
            let rows = Matrix::new(len + 4, cross::DIMS, rows);
            cross::pool(&fixture, &rows, std::slice::from_ref(&(skip..len + 4)))
        };
        let skipped = apart(&prompted(50, 2, 2).data, &prompted(51, 5, 5).data);
        let pooled = apart(&prompted(50, 2, 0).data, &prompted(51, 5, 0).data);
        Ok(measured(
            CLAIMS,
            [golden, latent, mean, without - with, skipped, pooled],
        ))
    }
}

/// TREC's questions as words.
struct Bench {
    train: Vec<(Vec<u32>, usize)>,
    test: Vec<(Vec<u32>, usize)>,
    /// Questions to learn from by type.
    by_type: Vec<Vec<usize>>,
}

impl Bench {
    fn new(context: &Context) -> Result<Self> {
        let (train, test) = (
            trec::read(context, ID, "train")?,
            trec::read(context, ID, "test")?,
        );
        let vocabulary = Vocabulary::of(train.iter().map(|question| question.text.as_str()));
        let kinds = trec::kinds(&train);
        let rows = |questions: &[Question]| -> Vec<(Vec<u32>, usize)> {
            let row = |question: &Question| {
                let kind = kinds.iter().position(|kind| *kind == question.kind);
                (vocabulary.ids(&question.text, LONGEST), kind.unwrap_or(0))
            };
            questions.iter().map(row).collect()
        };
        let (train, test) = (rows(&train), rows(&test));
        let of = |kind| (0..train.len()).filter(|row| train[*row].1 == kind).collect();
        Ok(Self {
            by_type: (0..kinds.len()).map(of).collect(),
            train,
            test,
        })
    }

    /// The share of test questions whose type most of the nearest questions have, after training with own negatives and perhaps in-batch ones.
    fn accuracy(&self, in_batch: bool, mut seed: Seed) -> f64 {
        let mut bag = Bag::new(WORDS, DIMS, seed.fork(1));
        let loss = Ranking {
            in_batch,
            ..Ranking::default()
        };
        let mut order: Vec<usize> = (0..self.train.len()).collect();
        seed.shuffle(&mut order);
        for rows in order.chunks_exact(BATCH).cycle().take(STEPS) {
            let mut columns: Vec<Vec<&[u32]>> = vec![Vec::new(); 2 + NEGATIVES];
            for row in rows {
                let (text, kind) = &self.train[*row];
                let others = &self.by_type[*kind];
                columns[0].push(text);
                columns[1].push(&self.train[others[seed.below(others.len())]].0);
                for column in &mut columns[2..] {
                    let other = loop {
                        let other = &self.train[seed.below(self.train.len())];
                        if other.1 != *kind {
                            break other;
                        }
                    };
                    column.push(&other.0);
                }
            }
            bag.step(&columns, &loss, &Aux::default(), RATE);
        }
        let vectors = |rows: &[(Vec<u32>, usize)]| {
            let mut vectors = bag.vectors(rows.iter().map(|(text, _)| text.as_slice()));
            vectors.chunks_exact_mut(DIMS).for_each(distance::normalize);
            vectors
        };
        let (known, asked) = (vectors(&self.train), vectors(&self.test));
        let right = asked
            .chunks_exact(DIMS)
            .zip(&self.test)
            .filter(|(row, (_, kind))| {
                let mut near: Vec<(f32, usize)> = known
                    .chunks_exact(DIMS)
                    .zip(&self.train)
                    .map(|(other, (_, kind))| (distance::dot(row, other), *kind))
                    .collect();
                near.select_nth_unstable_by(NEIGHBOURS, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                let mut votes = vec![0; self.by_type.len()];
                near[..NEIGHBOURS].iter().for_each(|(_, kind)| votes[*kind] += 1);
                (0..votes.len()).max_by_key(|kind| (votes[*kind], std::cmp::Reverse(*kind))) == Some(*kind)
            });
        right.count() as f64 / self.test.len() as f64
    }
}
