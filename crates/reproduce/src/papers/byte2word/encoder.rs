//! The same two inputs before the blocks of the tiny arXiv bench: titles find their abstracts, spelt as they are and misspelt.

use kokeshi_core::Seed;
use kokeshi_encode::{BYTE_WORDS, ByteWordsShape, Trainable, WordIds};
use kokeshi_train::encoder::Encoder;
use kokeshi_train::losses::Ranking;

use super::{HEADS, ID, NOISE, misspell};
use crate::reproduction::{Context, Result, failed};
use crate::training::arxiv::{Arxiv, TEST, TITLE, TRAIN, Text, Vocabulary, words};
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

/// With a table of words, and with words made of bytes.
pub(super) fn run(context: &Context) -> Result<[Found; 2]> {
    let mut texts = Text::read(context, ID)?;
    texts.truncate(TRAIN + TEST);
    let mut found = [Found::default(); 2];
    for run in 0..RUNS {
        let mut noise = Seed(context.seed).fork(200 + run);
        let titles = NOISE.map(|share| {
            let test = texts[TRAIN..].iter();
            let titles = test.map(|text| misspell(&text.title, share, &mut noise));
            titles.collect::<Vec<String>>()
        });
        let seed = Seed(context.seed).fork(300 + run);
        for (which, found) in found.iter_mut().enumerate() {
            let both = texts[..TRAIN]
                .iter()
                .flat_map(|text| [text.title.as_str(), text.summary.as_str()]);
            let mut numbers = match which {
                0 => Numbers::Table(Vocabulary::of(both)),
                _ => Numbers::Bytes(WordIds::default()),
            };
            let mut arxiv = Arxiv::of(&texts, |text, most| numbers.ids(text, most));
            let titles = titles.each_ref().map(|titles| {
                titles
                    .iter()
                    .map(|title| numbers.ids(title, TITLE))
                    .collect::<Vec<_>>()
            });
            let base = numbers.base(seed);
            let encoder = match &numbers {
                Numbers::Table(_) => Encoder::new(&base),
                Numbers::Bytes(words) => Encoder::new(&base).reading(words),
            };
            let exits = [tiny::LAYERS];
            let mut learner =
                tiny::train_encoder(encoder, &arxiv, &Ranking::default(), &exits, tiny::STEPS, seed)
                    .map_err(|error| failed(ID, error.to_string()))?;
            for (titles, sum) in titles.into_iter().zip(&mut found.mrr) {
                for (paper, title) in arxiv.test.iter_mut().zip(titles) {
                    paper.title = title;
                }
                let mrr = tiny::judge(&arxiv, &mut learner, &[(tiny::LAYERS, tiny::DIMS)])[0];
                eprintln!("run {run}, {}: MRR@10 {mrr:.4}", ["table", "bytes"][which]);
                *sum += mrr / RUNS as f64;
            }
            found.parameters = base
                .tensors
                .iter()
                .enumerate()
                .filter(|(at, place)| *at == 0 || place.name.starts_with(BYTE_WORDS))
                .map(|(_, place)| place.len())
                .sum();
        }
    }
    Ok(found)
}

/// How words become ids.
enum Numbers {
    Table(Vocabulary),
    Bytes(WordIds),
}

impl Numbers {
    /// The first `most` words of a text, at least one token.
    fn ids(&mut self, text: &str, most: usize) -> Vec<u32> {
        match self {
            Self::Table(vocabulary) => vocabulary.ids(text, most),
            Self::Bytes(known) => {
                let mut ids: Vec<u32> = words(text)
                    .take(most)
                    .map(|word| known.id(word.as_bytes()))
                    .collect();
                if ids.is_empty() {
                    ids.push(WordIds::ENDS[0]);
                }
                ids
            }
        }
    }

    fn base(&self, seed: Seed) -> Trainable {
        match self {
            Self::Table(_) => tiny::begin(seed),
            Self::Bytes(_) => tiny::begin_with_bytes(
                ByteWordsShape {
                    dims: tiny::DIMS,
                    heads: HEADS,
                },
                seed,
            ),
        }
    }
}
