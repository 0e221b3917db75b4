//! Word vectors learnt by CBOW with negative samples, at finite widths and in the limit of infinite width, from one stream of samples.
//!
//! The rows of `U` begin as normal values with a variance of one over the width, `W` as zeros. As the width grows the rows become orthonormal, so
//! that the limit is exact with the unit matrix as `U`: a vector by its coefficients over the rows that it began with.

use kokeshi_core::Seed;
use kokeshi_core::distance::dot;

use crate::training::arxiv::Arxiv;

const WORDS: usize = 60;
const WIDTHS: [usize; 4] = [64, 256, 1024, 4096];
/// Draws of `U` whose mean square counts: with one draw the farthest ratio was 0.135 from a half, with eight 0.040.
const DRAWS: u64 = 8;
const UPDATES: usize = 4_000;
/// As in the paper's runs.
const WINDOW: usize = 8;
const NEGATIVES: usize = 25;
const RATE: f32 = 0.05;
/// What negatives are drawn by: counts to this power (word2vec).
const POWER: f64 = 0.75;

/// The words around one, and what should be told apart: that word and negatives.
struct Sample {
    around: Vec<usize>,
    word: usize,
    negatives: Vec<usize>,
}

/// How far from a half the ratio of two widths' differences from the limit is, the second four times the first; the farthest.
pub(super) fn farthest_from_a_half(arxiv: &Arxiv, mut seed: Seed) -> f64 {
    let samples = samples(arxiv, seed.fork(11));
    let mut unit = vec![0.0; WORDS * WORDS];
    (0..WORDS).for_each(|word| unit[word * WORDS + word] = 1.0);
    let limit = learn(unit, &samples);
    let all: f64 = limit.iter().map(|value| f64::from(*value).powi(2)).sum();
    let apart = WIDTHS.map(|width| {
        let mut draw = seed.fork(width as u64);
        let squares = (0..DRAWS).map(|_| {
            let begin = (0..WORDS * width).map(|_| (draw.normal() / (width as f64).sqrt()) as f32);
            let found = learn(begin.collect(), &samples);
            let squares = found.iter().zip(&limit).map(|(a, b)| f64::from(a - b).powi(2));
            squares.sum::<f64>() / all
        });
        (squares.sum::<f64>() / DRAWS as f64).sqrt()
    });
    eprintln!("words at widths {WIDTHS:?}: {apart:.4?} from the limit");
    let ratios = apart.windows(2).map(|pair| pair[1] / pair[0]);
    ratios.map(|ratio| (ratio - 0.5).abs()).fold(0.0, f64::max)
}

/// Samples from abstracts, of which only the most frequent words are read.
fn samples(arxiv: &Arxiv, mut draw: Seed) -> Vec<Sample> {
    // Numbers of words go by how frequent they are, from 1.
    let frequent = |id: &u32| (1..=WORDS as u32).contains(id).then(|| *id as usize - 1);
    let texts = arxiv
        .train
        .iter()
        .map(|paper| paper.whole.iter().filter_map(frequent));
    let texts: Vec<Vec<usize>> = texts.map(Iterator::collect).collect();
    let mut counts = [0_usize; WORDS];
    texts.iter().flatten().for_each(|word| counts[*word] += 1);
    let shares: Vec<f64> = counts
        .iter()
        .scan(0.0, |sum, count| {
            *sum += (*count as f64).powf(POWER);
            Some(*sum)
        })
        .collect();
    let mut samples = Vec::with_capacity(UPDATES);
    for (text, at) in texts
        .iter()
        .flat_map(|text| (0..text.len()).map(move |at| (text, at)))
    {
        if samples.len() == UPDATES {
            break;
        }
        let word = text[at];
        let reach = 1 + draw.below(WINDOW);
        let (from, to) = (at.saturating_sub(reach), (at + reach + 1).min(text.len()));
        let around: Vec<usize> = (from..to)
            .filter(|other| *other != at)
            .map(|other| text[other])
            .collect();
        let drawn = (0..NEGATIVES).map(|_| {
            let place = draw.uniform() * shares[WORDS - 1];
            shares.partition_point(|share| *share <= place).min(WORDS - 1)
        });
        // As in word2vec.c, a negative that is the word itself is left out.
        let negatives: Vec<usize> = drawn.filter(|other| *other != word).collect();
        if !around.is_empty() {
            samples.push(Sample {
                around,
                word,
                negatives,
            });
        }
    }
    samples
}

/// `U W^T` after all samples: `[words, words]`.
fn learn(mut inputs: Vec<f32>, samples: &[Sample]) -> Vec<f32> {
    let width = inputs.len() / WORDS;
    let mut outputs = vec![0.0_f32; inputs.len()];
    let (mut mean, mut change) = (vec![0.0_f32; width], vec![0.0_f32; width]);
    for (step, sample) in samples.iter().enumerate() {
        let rate = RATE * (1.0 - step as f32 / samples.len() as f32).max(1e-4);
        let count = sample.around.len() as f32;
        mean.fill(0.0);
        change.fill(0.0);
        for word in &sample.around {
            add(&mut mean, &inputs[word * width..][..width], 1.0 / count);
        }
        let right = std::iter::once((sample.word, 1.0));
        for (word, label) in right.chain(sample.negatives.iter().map(|word| (*word, 0.0))) {
            let output = &mut outputs[word * width..][..width];
            let gradient = rate * (label - 1.0 / (1.0 + (-dot(&mean, output)).exp()));
            add(&mut change, output, gradient);
            add(output, &mean, gradient);
        }
        for word in &sample.around {
            add(&mut inputs[word * width..][..width], &change, 1.0 / count);
        }
    }
    let rows = |values: &[f32], at: usize| values[at * width..][..width].to_vec();
    let pairs = (0..WORDS * WORDS).map(|at| (rows(&inputs, at / WORDS), rows(&outputs, at % WORDS)));
    pairs.map(|(input, output)| dot(&input, &output)).collect()
}

fn add(to: &mut [f32], values: &[f32], factor: f32) {
    to.iter_mut()
        .zip(values)
        .for_each(|(to, value)| *to += factor * value);
}
