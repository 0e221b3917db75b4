//! The same two inputs before the blocks of the tiny arXiv bench: titles find their abstracts, spelt as they are and misspelt.

use kokeshi_core::Seed;
use kokeshi_encode::{ByteWordsShape, WordIds};
use kokeshi_train::encoder::Encoder;
use kokeshi_train::losses::Ranking;

use super::{HEADS, ID, NOISE, misspell};
use crate::reproduction::{Context, Result, failed};
use crate::training::arxiv::{Arxiv, TEST, TITLE, TRAIN, Text, Vocabulary, WORDS, words};
use crate::training::tiny;

/// Trainings of each kind that figures are the means of.
const RUNS: u64 = 2;

/// What was found with one input.
#[derive(Clone, Copy, Default)]
pub(super) struct Found {
    /// Parameters in the place of the token table.
    pub parameters: usize,
    /// MRR@10 at each share of [`NOISE`].
    pub mrr: [f64; NOISE.len()],
}

/// Deviations that tables and weights begin with: the bench's own, and BERT's.
const SCALES: [Option<f64>; 2] = [None, Some(0.02)];

/// With a table of words, and with words made of bytes, for each of [`SCALES`].
pub(super) fn run(context: &Context) -> Result<[[Found; 2]; SCALES.len()]> {
    let mut texts = Text::read(context, ID)?;
    texts.truncate(TRAIN + TEST);
    let mut found = [[Found::default(); 2]; SCALES.len()];
    for run in 0..RUNS {
        let mut noise = Seed(context.seed).fork(200 + run);
        let titles = NOISE.map(|share| {
            let test = texts[TRAIN..].iter();
            let titles = test.map(|text| misspell(&text.title, share, &mut noise));
            titles.collect::<Vec<String>>()
        });
        let seed = Seed(context.seed).fork(300 + run);
        for which in 0..2 {
            let both = texts[..TRAIN]
                .iter()
                .flat_map(|text| [text.title.as_str(), text.summary.as_str()]);
            let mut numbers = match which {
                0 => Numbers::Table(Vocabulary::of(both)),
                _ => Numbers::Bytes(WordIds::default()),
            };
            let mut arxiv = Arxiv::of(&texts, |text, most| numbers.ids(text, most));
            let titles = titles
                .each_ref()
                .map(|titles| titles.iter().map(|title| numbers.ids(title, TITLE)).collect());
            for (scale, found) in SCALES.into_iter().zip(&mut found) {
                let mrr = train(&mut arxiv, &titles, numbers.encoder(scale, seed), seed)?;
                let name = ["table", "bytes"][which];
                eprintln!("run {run}, {name}, deviation {scale:?}: MRR@10 at {NOISE:?} {mrr:.4?}");
                let found = &mut found[which];
                found.parameters = numbers.parameters();
                let sums = found.mrr.iter_mut().zip(mrr);
                sums.for_each(|(sum, mrr)| *sum += mrr / RUNS as f64);
            }
        }
    }
    Ok(found)
}

/// Trains on titles and abstracts as they are spelt, and lets each of `titles` look for its abstract: MRR@10.
fn train(
    arxiv: &mut Arxiv,
    titles: &[Vec<Vec<u32>>; NOISE.len()],
    encoder: Encoder,
    seed: Seed,
) -> Result<[f64; NOISE.len()]> {
    let exits = [tiny::LAYERS];
    let loss = Ranking::default();
    let mut learner = tiny::train_encoder(encoder, arxiv, &loss, &exits, tiny::STEPS, seed)
        .map_err(|error| failed(ID, error.to_string()))?;
    Ok(titles.each_ref().map(|titles| {
        for (paper, title) in arxiv.test.iter_mut().zip(titles) {
            paper.title.clone_from(title);
        }
        tiny::judge(arxiv, &mut learner, &[(tiny::LAYERS, tiny::DIMS)])[0]
    }))
}

/// How words become ids.
enum Numbers {
    Table(Vocabulary),
    Bytes(WordIds),
}

const BYTES: ByteWordsShape = ByteWordsShape {
    dims: tiny::DIMS,
    heads: HEADS,
};

impl Numbers {
    /// The first `most` words of a text, at least one token.
    fn ids(&mut self, text: &str, most: usize) -> Vec<u32> {
        match self {
            Self::Table(vocabulary) => vocabulary.ids(text, most),
            Self::Bytes(known) => {
                let words = words(text).take(most);
                let mut ids: Vec<u32> = words.map(|word| known.id(word.as_bytes())).collect();
                if ids.is_empty() {
                    ids.push(WordIds::ENDS[0]);
                }
                ids
            }
        }
    }

    /// An encoder that has learnt nothing.
    fn encoder(&self, scale: Option<f64>, seed: Seed) -> Encoder {
        match self {
            Self::Table(_) => Encoder::new(&match scale {
                None => tiny::begin(seed),
                Some(scale) => tiny::random(tiny::LAYERS, tiny::LONGEST, scale, seed),
            }),
            Self::Bytes(words) => Encoder::new(&tiny::begin_with_bytes(BYTES, scale, seed)).reading(words),
        }
    }

    /// Parameters of what makes vectors of words.
    fn parameters(&self) -> usize {
        match self {
            Self::Table(_) => WORDS * tiny::DIMS,
            Self::Bytes(_) => {
                let layer = BYTES.tensors().into_iter();
                let layer: usize = layer.map(|(_, shape)| shape.iter().product::<usize>()).sum();
                layer + WordIds::SPECIAL * tiny::DIMS
            }
        }
    }
}
