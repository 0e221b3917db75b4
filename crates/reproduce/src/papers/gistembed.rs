//! GISTEmbed (arXiv 2402.16829) on the static bench: batches with many false negatives, and a guide that finds them.

use kokeshi_core::Seed;
use kokeshi_train::losses::{Aux, Gist, Loss, Margins, Ranking};
use kokeshi_train::tape::Matrix;

use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result};
use crate::training::arxiv::{Arxiv, WORDS};
use crate::training::bag::Bag;
use crate::training::mrr_at_10;
use crate::training::tfidf::TfIdf;

const ID: &str = "gistembed";

const BATCH: usize = 64;
/// Papers that a noisy batch's pairs come from.
const PAPERS: usize = 24;
/// Words of a segment.
const SEGMENT: usize = 20;
const DIMS: usize = 64;
const STEPS: usize = 900;
const RATE: f32 = 5e-3;
const TEMPERATURE: f32 = 0.05;

const CLAIMS: &[Claim] = &[
    Claim {
        name: "noisy",
        claim: "64 pairs out of 24 papers: a tf-idf guide against the ranking loss, ratio of MRR@10",
        bar: Bar::AtLeast(1.2),
    },
    Claim {
        name: "of the oracle",
        claim: "the guide's share of what masking by the papers themselves gains, with a margin of 0.05",
        bar: Bar::AtLeast(0.6),
    },
    Claim {
        name: "blocks",
        claim: "it is not the additional blocks: those without a mask against the ranking loss, ratio of MRR@10",
        bar: Bar::AtMost(1.05),
    },
    Claim {
        name: "clean",
        claim: "batches without false negatives: the guide against the ranking loss, ratio of MRR@10",
        bar: Bar::AtLeast(0.95),
    },
];

/// The reproduction.
pub(crate) struct GistEmbed;

impl Reproduction for GistEmbed {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let arxiv = Arxiv::read(context, ID)?;
        let words = TfIdf::new(arxiv.train.iter().map(|paper| paper.whole.as_slice()));
        let bench = Bench {
            arxiv: &arxiv,
            words: &words,
            seed: Seed(context.seed),
        };
        let ranking = Ranking {
            scale: 1.0 / TEMPERATURE,
            ..Ranking::default()
        };
        let gist = |margin: f32| Gist {
            temperature: TEMPERATURE,
            margin: Margins::Absolute(margin),
            ..Gist::default()
        };
        let run = |name: &str, batches, loss: &dyn Loss, guide| {
            let found = bench.run(batches, loss, guide);
            eprintln!("{name}: MRR@10 {found:.3}");
            found
        };
        let plain = run("noisy, ranking", Batches::Noisy, &ranking, Guide::Nobody);
        // A guide whose cosines are all alike, and a margin below zero, hide nothing but a row from itself.
        let blocks = run("noisy, all blocks", Batches::Noisy, &gist(-1.0), Guide::Papers);
        let guided = run("noisy, tf-idf", Batches::Noisy, &gist(0.0), Guide::Words);
        let margin = run(
            "noisy, tf-idf, margin 0.05",
            Batches::Noisy,
            &gist(0.05),
            Guide::Words,
        );
        let oracle = run("noisy, oracle", Batches::Noisy, &gist(0.5), Guide::Papers);
        let clean = run("clean, ranking", Batches::Clean, &ranking, Guide::Nobody);
        let clean_guided = run("clean, tf-idf", Batches::Clean, &gist(0.0), Guide::Words);
        Ok(measured(
            CLAIMS,
            [
                guided / plain,
                (margin - plain) / (oracle - plain),
                blocks / plain,
                clean_guided / clean,
            ],
        ))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Batches {
    /// Pairs drawn with repetition from few papers: two segments of one abstract.
    Noisy,
    /// A segment pair of each of as many papers as there are rows.
    Clean,
}

#[derive(Clone, Copy, PartialEq)]
enum Guide {
    Nobody,
    /// Weights of words.
    Words,
    /// Which paper it is: cosine 1 for the same one, 0 for others.
    Papers,
}

struct Bench<'a> {
    arxiv: &'a Arxiv,
    words: &'a TfIdf,
    seed: Seed,
}

impl Bench<'_> {
    fn run(&self, batches: Batches, loss: &dyn Loss, guide: Guide) -> f64 {
        let mut draw = self.seed;
        let mut bag = Bag::new(WORDS, DIMS, draw.fork(1));
        for _ in 0..STEPS {
            let papers = match batches {
                Batches::Noisy => PAPERS,
                Batches::Clean => BATCH,
            };
            let mut chosen: Vec<usize> = Vec::with_capacity(papers);
            while chosen.len() < papers {
                let paper = draw.below(self.arxiv.train.len());
                if !chosen.contains(&paper) {
                    chosen.push(paper);
                }
            }
            let rows: Vec<usize> = match batches {
                Batches::Noisy => (0..BATCH).map(|_| draw.below(papers)).collect(),
                Batches::Clean => (0..BATCH).collect(),
            };
            let mut segment = |row: &usize| {
                let text = self.arxiv.train[chosen[*row]].whole.as_slice();
                let from = draw.below(text.len().saturating_sub(SEGMENT) + 1);
                &text[from..(from + SEGMENT).min(text.len())]
            };
            let columns: [Vec<&[u32]>; 2] = [(); 2].map(|()| rows.iter().map(&mut segment).collect());
            let aux = Aux {
                guide: match guide {
                    Guide::Nobody => Vec::new(),
                    Guide::Words => columns
                        .iter()
                        .map(|column| {
                            let values = column.iter().flat_map(|text| self.words.dense(text));
                            Matrix::new(BATCH, WORDS, values.collect())
                        })
                        .collect(),
                    Guide::Papers => {
                        let mut one = Matrix::zeros(BATCH, papers);
                        rows.iter()
                            .enumerate()
                            .for_each(|(row, paper)| one.row_mut(row)[*paper] = 1.0);
                        vec![one.clone(), one]
                    }
                },
                ..Aux::default()
            };
            bag.step(&columns, loss, &aux, RATE);
        }
        judge(self.arxiv, &bag)
    }
}

/// MRR@10 of finding test abstracts by their titles.
pub(crate) fn judge(arxiv: &Arxiv, bag: &Bag) -> f64 {
    let titles = bag.vectors(arxiv.test.iter().map(|paper| paper.title.as_slice()));
    let summaries = bag.vectors(arxiv.test.iter().map(|paper| paper.summary()));
    mrr_at_10(&titles, &summaries, bag.dims, bag.dims)
}
