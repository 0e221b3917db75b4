//! KaLM-Embedding-V2 (arXiv 2506.20923) on the static bench: focal weights, mixed hard negatives, and the mean of several tunings.

use kokeshi_core::Seed;
use kokeshi_train::losses::{Aux, Ranking};

use super::gistembed::judge;
use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result};
use crate::training::arxiv::{Arxiv, WORDS};
use crate::training::bag::Bag;
use crate::training::tfidf::{Sparse, TfIdf, dot};

const ID: &str = "kalm-v2";

const DIMS: usize = 64;
const BATCH: usize = 64;
const STEPS: usize = 300;
const RATE: f32 = 5e-3;
/// Hard negatives of each title: abstracts of these ranks by words, out of a part of the set.
const NEGATIVES: usize = 2;
const RANKS: std::ops::Range<usize> = 20..60;
const POOL: usize = 3_000;
/// Exponents whose weights are compared.
const GAMMAS: [f32; 4] = [0.0, 0.5, 1.0, 2.0];

const CLAIMS: &[Claim] = &[
    Claim {
        name: "focal",
        claim: "focal weights (0.5) cost at most 5 % at this scale (they don't help here): ratio of MRR@10 to the plain loss",
        bar: Bar::AtLeast(0.95),
    },
    Claim {
        name: "mixed",
        claim: "four negatives mixed from each anchor's own cost at most 5 %: ratio of MRR@10 to the plain loss",
        bar: Bar::AtLeast(0.95),
    },
    Claim {
        name: "hardest",
        claim: "the hardest fifth of rows has a larger share of the weight with every larger exponent (0, 0.5, 1, 2): smallest rise",
        bar: Bar::AtLeast(0.01),
    },
    Claim {
        name: "soup",
        claim: "the mean of three tunings on thirds of the data from one start against the best of them: ratio of MRR@10",
        bar: Bar::AtLeast(1.0),
    },
    Claim {
        name: "other starts",
        claim: "a mean of tunings from different starts against that: ratio of MRR@10",
        bar: Bar::AtMost(0.97),
    },
];

/// The reproduction.
pub(crate) struct Kalm;

impl Reproduction for Kalm {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let arxiv = Arxiv::read(context, ID)?;
        let bench = Bench::new(&arxiv, Seed(context.seed));
        let with = |name: &str, loss: Ranking| {
            let mut bag = bench.start(0);
            bench.tune(&mut bag, &loss, 0..POOL, 1);
            let found = judge(&arxiv, &bag);
            eprintln!("{name}: MRR@10 {found:.3}");
            (found, bag)
        };
        let (plain, trained) = with("plain", Ranking::default());
        let focal = Ranking {
            focal: 0.5,
            ..Ranking::default()
        };
        let (focal, _) = with("focal 0.5", focal);
        let mixing = Ranking {
            mix: 4,
            ..Ranking::default()
        };
        let (mixed, _) = with("mixed", mixing);
        let shares = GAMMAS.map(|gamma| bench.hardest(&trained, gamma));
        eprintln!("weight of the hardest fifth by exponent {GAMMAS:?}: {shares:.3?}");
        let rise = shares
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .fold(f64::INFINITY, f64::min);

        // One start for all, tuned a little already, as a pre-trained model is.
        let mut start = bench.start(0);
        bench.tune(&mut start, &Ranking::default(), 0..POOL, 2);
        let third = |start: &Bag, part: usize| {
            let mut bag = Bag::from_table(start.table.clone(), DIMS);
            let (from, to) = (part * POOL / 3, (part + 1) * POOL / 3);
            bench.tune(&mut bag, &Ranking::default(), from..to, 3 + part as u64);
            bag
        };
        let parts: Vec<Bag> = (0..3).map(|part| third(&start, part)).collect();
        let scores: Vec<f64> = parts.iter().map(|bag| judge(&arxiv, bag)).collect();
        let soup = judge(&arxiv, &mean(&parts));
        let others: Vec<Bag> = (0..3)
            .map(|part| third(&bench.start(part as u64), part))
            .collect();
        let other = judge(&arxiv, &mean(&others));
        eprintln!("thirds {scores:.3?}, their mean {soup:.3}, of different starts {other:.3}");
        let best = scores.iter().copied().fold(0.0, f64::max);
        Ok(measured(
            CLAIMS,
            [focal / plain, mixed / plain, rise, soup / best, other / soup],
        ))
    }
}

struct Bench<'a> {
    arxiv: &'a Arxiv,
    /// For each paper of the pool some that are near by their words.
    negatives: Vec<[usize; NEGATIVES]>,
    seed: Seed,
}

impl<'a> Bench<'a> {
    fn new(arxiv: &'a Arxiv, seed: Seed) -> Self {
        use rayon::prelude::*;

        let pool = &arxiv.train[..POOL];
        let words = TfIdf::new(arxiv.train.iter().map(|paper| paper.summary()));
        let titles: Vec<Sparse> = pool.iter().map(|paper| words.sparse(&paper.title)).collect();
        let summaries: Vec<Sparse> = pool.iter().map(|paper| words.sparse(paper.summary())).collect();
        let near = |(own, title): (usize, &Sparse)| {
            let mut draw = seed;
            let mut draw = draw.fork(own as u64);
            let mut ranked: Vec<(f32, usize)> = (0..POOL)
                .filter(|other| *other != own)
                .map(|other| (dot(title, &summaries[other]), other))
                .collect();
            ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            let mut fitting: Vec<usize> = ranked[RANKS].iter().map(|(_, other)| *other).collect();
            draw.shuffle(&mut fitting);
            [fitting[0], fitting[1]]
        };
        Self {
            arxiv,
            negatives: titles.par_iter().enumerate().map(near).collect(),
            seed,
        }
    }

    fn start(&self, number: u64) -> Bag {
        let mut seed = self.seed;
        Bag::new(WORDS, DIMS, seed.fork(100 + number))
    }

    /// Titles, abstracts and hard negatives of papers of the pool.
    fn columns(&self, rows: &[usize]) -> Vec<Vec<&'a [u32]>> {
        let paper = |row: usize| &self.arxiv.train[row];
        let mut columns = vec![
            rows.iter().map(|row| paper(*row).title.as_slice()).collect(),
            rows.iter().map(|row| paper(*row).summary()).collect(),
        ];
        columns.extend((0..NEGATIVES).map(|which| {
            let column = rows
                .iter()
                .map(|row| paper(self.negatives[*row][which]).summary());
            column.collect::<Vec<_>>()
        }));
        columns
    }

    fn tune(&self, bag: &mut Bag, loss: &Ranking, part: std::ops::Range<usize>, number: u64) {
        let mut draw = self.seed;
        let mut draw = draw.fork(number);
        let mut order: Vec<usize> = part.collect();
        for step in 0..STEPS {
            let at = step * BATCH % (order.len() - BATCH);
            if at < BATCH {
                draw.shuffle(&mut order);
            }
            let aux = Aux {
                seed: draw.next_u64(),
                ..Aux::default()
            };
            bag.step(&self.columns(&order[at..at + BATCH]), loss, &aux, RATE);
        }
    }

    /// The share of the focal weights that the fifth of rows with the largest losses has, over ten batches.
    fn hardest(&self, bag: &Bag, gamma: f32) -> f64 {
        let mut sum = 0.0;
        for batch in 0..10 {
            let rows: Vec<usize> = (batch * BATCH..(batch + 1) * BATCH).collect();
            let columns = self.columns(&rows);
            let mut vectors: Vec<Vec<f32>> = columns
                .iter()
                .map(|column| bag.vectors(column.iter().copied()))
                .collect();
            for column in &mut vectors {
                column
                    .chunks_exact_mut(DIMS)
                    .for_each(kokeshi_core::distance::normalize);
            }
            let mut weights: Vec<f64> = (0..BATCH)
                .map(|row| {
                    let anchor = &vectors[0][row * DIMS..][..DIMS];
                    let logit = |text: &[f32]| 20.0 * f64::from(kokeshi_core::distance::dot(anchor, text));
                    let own = logit(&vectors[1][row * DIMS..][..DIMS]);
                    let all = vectors[1..].iter().flat_map(|column| column.chunks_exact(DIMS));
                    let p = 1.0 / all.map(|text| (logit(text) - own).exp()).sum::<f64>();
                    (1.0 - p).max(0.0).powf(f64::from(gamma))
                })
                .collect();
            weights.sort_by(|a, b| b.total_cmp(a));
            let total: f64 = weights.iter().sum();
            sum += weights[..BATCH / 5].iter().sum::<f64>() / total / 10.0;
        }
        sum
    }
}

fn mean(bags: &[Bag]) -> Bag {
    let share = 1.0 / bags.len() as f32;
    let value = |at: usize| bags.iter().map(|bag| share * bag.table[at]).sum();
    Bag::from_table((0..bags[0].table.len()).map(value).collect(), DIMS)
}
