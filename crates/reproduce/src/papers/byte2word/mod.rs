//! Byte2Word (arXiv 2211.12677): a table of words against words made of their bytes, on clean and on misspelt texts. On TREC's question types as bags of
//! words, and on the tiny arXiv bench before the blocks of an encoder.

mod encoder;

use std::collections::HashMap;
use std::ops::Range;

use kokeshi_core::Seed;
use kokeshi_encode::{ByteWordsShape, words};
use kokeshi_train::ByteWords;
use kokeshi_train::tape::{Matrix, Tape, Targets, Var};

use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result};
use crate::training::net::{Net, normal};
use crate::training::trec::{self, Question};

const ID: &str = "byte2word";

const DIMS: usize = 64;
const HEADS: usize = 4;
const BATCH: usize = 32;
const EPOCHS: usize = 6;
const RATE: f32 = 2e-3;
/// Trainings of each kind that figures are the means of.
const RUNS: u64 = 2;
/// Shares of the words with at least four letters that are misspelt.
const NOISE: [f64; 4] = [0.0, 0.2, 0.4, 0.8];
const LEAST_LETTERS: usize = 4;
/// Questions that are judged at once.
const JUDGED: usize = 100;

const CLAIMS: &[Claim] = &[
    Claim {
        name: "parameters",
        claim: "parameters of the layer that makes words of bytes against those of a table of all words: ratio",
        bar: Bar::AtMost(0.12),
    },
    Claim {
        name: "clean",
        claim: "accuracy on TREC's test questions against the table's: ratio",
        bar: Bar::AtLeast(0.97),
    },
    Claim {
        name: "misspelt",
        claim: "the same with 80 % of the longer words misspelt: ratio",
        bar: Bar::AtLeast(1.3),
    },
    Claim {
        name: "encoder parameters",
        claim: "the same before the blocks of an encoder, the table with 8,000 words: ratio of parameters",
        bar: Bar::AtMost(0.12),
    },
    Claim {
        name: "encoder clean",
        claim: "MRR@10 of titles that look for their abstracts against that of the encoder with the table: ratio",
        bar: Bar::AtLeast(0.97),
    },
    Claim {
        name: "encoder misspelt",
        claim: "the same with 80 % of the longer words of titles misspelt: ratio",
        bar: Bar::AtLeast(1.3),
    },
    Claim {
        name: "encoder clean, BERT's deviations",
        claim: "titles as they are spelt, when weights of both encoders and the table begin with BERT's deviation of 0.02: ratio",
        bar: Bar::AtLeast(0.97),
    },
    Claim {
        name: "encoder misspelt, BERT's deviations",
        claim: "the same with 80 % of the longer words of titles misspelt: ratio",
        bar: Bar::AtLeast(1.3),
    },
];

/// The reproduction.
pub(crate) struct Byte2Word;

impl Reproduction for Byte2Word {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let train = trec::read(context, ID, "train")?;
        let test = trec::read(context, ID, "test")?;
        let mut found = [[0.0; NOISE.len()]; 2];
        let mut sizes = [0; 2];
        for run in 0..RUNS {
            for (which, input) in [Input::table(&train), Input::bytes()].into_iter().enumerate() {
                let model = Model::train(input, &train, Seed(context.seed).fork(run));
                sizes[which] = model.inputs;
                let mut noise = Seed(context.seed).fork(100 + run);
                let accuracies =
                    NOISE.map(|share| model.accuracy(&misspelt(&test, share, &mut noise), &train));
                let name = ["table", "bytes"][which];
                eprintln!(
                    "run {run}, {name} ({} parameters): accuracy at {NOISE:?} {accuracies:.3?}",
                    model.inputs
                );
                for (sum, accuracy) in found[which].iter_mut().zip(accuracies) {
                    *sum += accuracy / RUNS as f64;
                }
            }
        }
        let [table, bytes] = found;
        let encoders = encoder::run(context)?;
        let ratio = |which: usize, at: usize| {
            let [table, bytes] = &encoders[which];
            bytes.mrr[at] / table.mrr[at]
        };
        let [table_size, bytes_size] = encoders[0].map(|found| found.parameters as f64);
        Ok(measured(
            CLAIMS,
            [
                sizes[1] as f64 / sizes[0] as f64,
                bytes[0] / table[0],
                bytes[3] / table[3],
                bytes_size / table_size,
                ratio(0, 0),
                ratio(0, 3),
                ratio(1, 0),
                ratio(1, 3),
            ],
        ))
    }
}

/// A text with a share of its longer words misspelt: two letters swapped, one left out, or one replaced, inside the word.
fn misspell(text: &str, share: f64, seed: &mut Seed) -> String {
    let mut word = |word: &str| -> String {
        let mut letters: Vec<char> = word.chars().collect();
        if letters.len() < LEAST_LETTERS
            || !letters.iter().all(|letter| letter.is_alphabetic())
            || seed.uniform() >= share
        {
            return word.into();
        }
        let at = 1 + seed.below(letters.len() - 2);
        match seed.below(3) {
            0 if at + 2 < letters.len() => letters.swap(at, at + 1),
            0 | 1 => {
                letters.remove(at);
            }
            _ => letters[at] = char::from(b'a' + seed.below(26) as u8),
        }
        letters.into_iter().collect()
    };
    text.split(' ').map(&mut word).collect::<Vec<_>>().join(" ")
}

fn misspelt(questions: &[Question], share: f64, seed: &mut Seed) -> Vec<Question> {
    let misspelt = |question: &Question| Question {
        text: misspell(&question.text, share, seed),
        kind: question.kind.clone(),
    };
    questions.iter().map(misspelt).collect()
}

/// Where words' vectors come from: the first parts of the net.
enum Input {
    /// A row a word; row 0 is for all that are not known.
    Table(HashMap<String, usize>),
    Bytes(ByteWords),
}

impl Input {
    fn table(questions: &[Question]) -> Self {
        let mut known = HashMap::new();
        for question in questions {
            let text = question.text.to_lowercase();
            for word in words(&text) {
                let next = known.len() + 1;
                known.entry(text[word].to_string()).or_insert(next);
            }
        }
        Self::Table(known)
    }

    fn bytes() -> Self {
        let shape = ByteWordsShape {
            dims: DIMS,
            heads: HEADS,
        };
        Self::Bytes(ByteWords { shape })
    }

    fn parts(&self, seed: &mut Seed) -> Vec<Matrix> {
        match self {
            Self::Table(known) => vec![normal(known.len() + 1, DIMS, 1.0, seed)],
            Self::Bytes(layer) => layer.matrices(&layer.shape.fresh(seed.fork(1))),
        }
    }

    /// Vectors of all words of the texts, in order; distinct words are made once.
    fn vectors(&self, tape: &mut Tape, leaves: &[Var], texts: &[String], spans: &[Vec<Range<usize>>]) -> Var {
        let all = texts
            .iter()
            .zip(spans)
            .flat_map(|(text, spans)| spans.iter().map(|span| &text[span.clone()]));
        match self {
            Self::Table(known) => {
                let rows = all.map(|word| known.get(word).copied().unwrap_or(0)).collect();
                tape.rows(leaves[0], rows)
            }
            Self::Bytes(layer) => {
                let mut numbers: HashMap<&str, usize> = HashMap::new();
                let mut distinct: Vec<&[u8]> = Vec::new();
                let rows = all
                    .map(|word| {
                        *numbers.entry(word).or_insert_with(|| {
                            distinct.push(word.as_bytes());
                            distinct.len() - 1
                        })
                    })
                    .collect();
                let vectors = layer.vectors(tape, leaves, &distinct);
                tape.rows(vectors, rows)
            }
        }
    }
}

/// Mean and largest values of a question's words, a gated layer, and a layer to the types.
struct Model {
    input: Input,
    net: Net,
    /// Values and parts of the net that are the input's.
    inputs: usize,
    first: usize,
}

impl Model {
    fn train(input: Input, questions: &[Question], mut seed: Seed) -> Self {
        let kinds = trec::kinds(questions);
        let mut parts = input.parts(&mut seed);
        let first = parts.len();
        let inputs = parts.iter().map(|part| part.data.len()).sum();
        let scale = |inputs: usize| 1.0 / (inputs as f64).sqrt();
        parts.extend([
            normal(2 * DIMS, 2 * DIMS, scale(2 * DIMS), &mut seed),
            Matrix::zeros(1, 2 * DIMS),
            normal(kinds.len(), DIMS, scale(DIMS), &mut seed),
            Matrix::zeros(1, kinds.len()),
        ]);
        let mut model = Self {
            input,
            net: Net::new(parts),
            inputs,
            first,
        };
        let mut order: Vec<usize> = (0..questions.len()).collect();
        let steps = EPOCHS * questions.len().div_ceil(BATCH);
        let mut step = 0;
        for _ in 0..EPOCHS {
            seed.shuffle(&mut order);
            for rows in order.chunks(BATCH) {
                let batch: Vec<&Question> = rows.iter().map(|row| &questions[*row]).collect();
                let columns = batch
                    .iter()
                    .map(|question| kinds.iter().position(|kind| *kind == question.kind).unwrap_or(0));
                let targets = Targets {
                    columns: columns.collect(),
                    ..Targets::default()
                };
                let rate = RATE * (1.0 - step as f32 / steps as f32);
                let (input, first) = (&model.input, model.first);
                model.net.step(rate, |tape, leaves| {
                    let logits = logits(input, first, tape, leaves, &batch);
                    tape.cross_entropy(logits, targets)
                });
                step += 1;
            }
        }
        model
    }

    /// The share of questions whose type has the largest logit; `known` gives the types' order.
    fn accuracy(&self, questions: &[Question], known: &[Question]) -> f64 {
        let kinds = trec::kinds(known);
        let mut right = 0;
        for batch in questions.chunks(JUDGED) {
            let batch: Vec<&Question> = batch.iter().collect();
            let mut tape = Tape::default();
            let leaves = self.net.leaves(&mut tape);
            let found = logits(&self.input, self.first, &mut tape, &leaves, &batch);
            let found = tape.value(found);
            right += (0..batch.len())
                .filter(|row| {
                    let row_of = found.row(*row);
                    let best = (0..kinds.len()).max_by(|a, b| row_of[*a].total_cmp(&row_of[*b]));
                    best.is_some_and(|best| kinds[best] == batch[*row].kind)
                })
                .count();
        }
        right as f64 / questions.len() as f64
    }
}

fn logits(input: &Input, first: usize, tape: &mut Tape, leaves: &[Var], questions: &[&Question]) -> Var {
    let texts: Vec<String> = questions
        .iter()
        .map(|question| question.text.to_lowercase())
        .collect();
    let spans: Vec<Vec<Range<usize>>> = texts.iter().map(|text| words(text)).collect();
    let vectors = input.vectors(tape, &leaves[..first], &texts, &spans);
    let mut start = 0;
    let groups: Vec<Range<usize>> = spans
        .iter()
        .map(|spans| {
            start += spans.len();
            start - spans.len()..start
        })
        .collect();
    let largest = tape.largest(vectors, &groups);
    let mean = tape.means(vectors, groups);
    let both = tape.beside(&[mean, largest]);
    let hidden = tape.linear(both, leaves[first], Some(leaves[first + 1]));
    let hidden = tape.gated(hidden);
    tape.linear(hidden, leaves[first + 2], Some(leaves[first + 3]))
}
