//! Loki (arXiv 2307.12226): labels that were never seen, by the Fréchet mean; similarity scores of STS-B, rounded to 0 to 5, from five features of
//! the words, with a softmax regression that only knows some of the scores.

use std::collections::HashSet;

use kokeshi_eval::{LabelMetric, StsPair, read_sts};

use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result, failed};

const ID: &str = "loki";

const LABELS: usize = 6;
/// Five, and a constant.
const FEATURES: usize = 6;
/// Full steps of descent, and their rate.
const STEPS: usize = 400;
const RATE: f64 = 1.0;

const CLAIMS: &[Claim] = &[
    Claim {
        name: "two known",
        claim: "only scores 0 and 5 are known: test error (mean squared) of the likeliest label that the Fréchet mean saves",
        bar: Bar::AtLeast(0.25),
    },
    Claim {
        name: "constant",
        claim: "its error against that of always saying the middle of all training scores: ratio",
        bar: Bar::AtMost(1.0),
    },
    Claim {
        name: "labels",
        claim: "how many of the six labels it predicts although four were never seen",
        bar: Bar::AtLeast(6.0),
    },
    Claim {
        name: "three known",
        claim: "scores 0, 2 and 5 are known: share of the error that is saved",
        bar: Bar::AtLeast(0.1),
    },
    Claim {
        name: "all known",
        claim: "all scores are known: share of the error that is saved",
        bar: Bar::AtLeast(0.0),
    },
];

/// The reproduction.
pub(crate) struct Loki;

impl Reproduction for Loki {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let read = |split: &str| -> Result<Vec<([f64; FEATURES], usize)>> {
            let path = context.data.join("stsb").join(format!("{split}.tsv"));
            let pairs = read_sts(&path).map_err(|error| failed(ID, error))?;
            let label = |pair: &StsPair| (pair.score.round() as usize).min(LABELS - 1);
            Ok(pairs.iter().map(|pair| (features(pair), label(pair))).collect())
        };
        let (train, test) = (read("train")?, read("test")?);
        let error = |label: usize, right: usize| (label as f64 - right as f64).powi(2);
        let mut all: Vec<usize> = train.iter().map(|(_, label)| *label).collect();
        all.sort_unstable();
        let middle = all[all.len() / 2];
        let constant = test.iter().map(|(_, label)| error(middle, *label)).sum::<f64>() / test.len() as f64;
        let mut saved = Vec::new();
        let (mut against, mut predicted) = (f64::NAN, 0);
        for known in [&[0, 5][..], &[0, 2, 5], &[0, 1, 2, 3, 4, 5]] {
            let metric = LabelMetric::new(LABELS, known, |a, b| a.abs_diff(b) as f64)
                .map_err(|error| failed(ID, error))?;
            let model = Softmax::fit(&train, known);
            let (mut likeliest, mut mean) = (0.0, 0.0);
            let mut seen = HashSet::new();
            for (features, right) in &test {
                let probabilities = model.probabilities(features);
                let best = (0..known.len()).fold(0, |best, at| {
                    if probabilities[at] > probabilities[best] {
                        at
                    } else {
                        best
                    }
                });
                likeliest += error(known[best], *right) / test.len() as f64;
                let label = metric.decide(&probabilities);
                seen.insert(label);
                mean += error(label, *right) / test.len() as f64;
            }
            eprintln!(
                "known {known:?}: likeliest {likeliest:.3}, Fréchet mean {mean:.3}, constant {constant:.3}, {} labels",
                seen.len()
            );
            saved.push(1.0 - mean / likeliest);
            if known.len() == 2 {
                (against, predicted) = (mean / constant, seen.len());
            }
        }
        Ok(measured(
            CLAIMS,
            [saved[0], against, predicted as f64, saved[1], saved[2]],
        ))
    }
}

/// A constant; the share of common words, and of words beyond the four-letter ones; of common letter triples; of the shorter text's words that
/// the longer one has; how alike the lengths are.
fn features(pair: &StsPair) -> [f64; FEATURES] {
    let words = |text: &str| -> HashSet<String> {
        let parts = text.split(|letter: char| !letter.is_alphanumeric());
        parts
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect()
    };
    let triples = |text: &str| -> HashSet<Vec<char>> {
        let letters: Vec<char> = text.to_lowercase().chars().collect();
        letters.windows(3).map(<[char]>::to_vec).collect()
    };
    let (one, two) = (words(&pair.first), words(&pair.second));
    let long = |words: &HashSet<String>| -> HashSet<String> {
        words
            .iter()
            .filter(|word| word.chars().count() > 4)
            .cloned()
            .collect()
    };
    let (shorter, longer) = (one.len().min(two.len()), one.len().max(two.len()));
    [
        1.0,
        common(&one, &two),
        common(&long(&one), &long(&two)),
        common(&triples(&pair.first), &triples(&pair.second)),
        one.intersection(&two).count() as f64 / shorter.max(1) as f64,
        shorter as f64 / longer.max(1) as f64,
    ]
}

fn common<T: std::hash::Hash + Eq>(one: &HashSet<T>, two: &HashSet<T>) -> f64 {
    one.intersection(two).count() as f64 / one.union(two).count().max(1) as f64
}

/// Softmax regression.
struct Softmax {
    /// `[known][features]`
    weights: Vec<[f64; FEATURES]>,
}

impl Softmax {
    /// Fits rows whose label is known; the others are not looked at.
    fn fit(rows: &[([f64; FEATURES], usize)], known: &[usize]) -> Self {
        let rows: Vec<(&[f64; FEATURES], usize)> = rows
            .iter()
            .filter_map(|(features, label)| Some((features, known.iter().position(|known| known == label)?)))
            .collect();
        let mut model = Self {
            weights: vec![[0.0; FEATURES]; known.len()],
        };
        for _ in 0..STEPS {
            let mut gradient = vec![[0.0; FEATURES]; known.len()];
            for (features, label) in &rows {
                for (at, p) in model.probabilities(features).into_iter().enumerate() {
                    let pull = (p - f64::from(u8::from(at == *label))) / rows.len() as f64;
                    gradient[at]
                        .iter_mut()
                        .zip(*features)
                        .for_each(|(sum, value)| *sum += pull * value);
                }
            }
            for (weights, gradient) in model.weights.iter_mut().flatten().zip(gradient.iter().flatten()) {
                *weights -= RATE * gradient;
            }
        }
        model
    }

    fn probabilities(&self, features: &[f64; FEATURES]) -> Vec<f64> {
        let logits: Vec<f64> = self
            .weights
            .iter()
            .map(|weights| weights.iter().zip(features).map(|(a, b)| a * b).sum())
            .collect();
        let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let parts: Vec<f64> = logits.iter().map(|logit| (logit - most).exp()).collect();
        let sum: f64 = parts.iter().sum();
        parts.into_iter().map(|part| part / sum).collect()
    }
}
