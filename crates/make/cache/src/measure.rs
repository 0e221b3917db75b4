//! What a cache or a plan costs: losses by position, generated text, and how well codes estimate attention scores.

use kokeshi_core::{Seed, TopK, distance};

use crate::a2ats::HeadSample;
use crate::codebook::Codebook;
use crate::decoder::Decoder;
use crate::error::{Error, Result};
use crate::forward::Plan;
use crate::policy::{KvPolicy, Phase};
use crate::rotary::Rotary;
use crate::session::{Session, softmax};

/// The loss of a token in nats under the logits before it.
pub fn loss(logits: &[f32], token: u32) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    sum.ln() + f64::from(largest - logits[token as usize])
}

/// The losses of a text read at once: entry `i` is that of token `i + 1` after the first `i + 1` tokens.
///
/// # Errors
/// A token that the decoder does not know.
pub fn losses(decoder: &Decoder, text: &[u32], plan: &Plan) -> Result<Vec<f64>> {
    let Some((_, read)) = text.split_last() else {
        return Ok(Vec::new());
    };
    known(decoder, text)?;
    let logits = decoder.forward(read, plan)?;
    let rows = logits.chunks_exact(decoder.config().vocabulary);
    Ok(rows
        .zip(&text[1..])
        .map(|(row, token)| loss(row, *token))
        .collect())
}

/// The losses of a text that goes token by token through a cache.
///
/// # Errors
/// A token that the decoder does not know.
pub fn streamed_losses<P: KvPolicy>(decoder: &Decoder, policy: P, text: &[u32]) -> Result<Vec<f64>> {
    known(decoder, text)?;
    let mut session = Session::new(decoder, policy);
    let steps = text.windows(2);
    steps
        .map(|pair| Ok(loss(session.step(pair[0], Phase::Decode)?, pair[1])))
        .collect()
}

fn known(decoder: &Decoder, text: &[u32]) -> Result<()> {
    let vocabulary = decoder.config().vocabulary;
    match text.iter().find(|&&token| token as usize >= vocabulary) {
        Some(token) => Err(Error::Request(format!(
            "expected tokens below {vocabulary}, found {token}"
        ))),
        None => Ok(()),
    }
}

/// Reads a prompt and makes `count` tokens; the likeliest ones at a temperature of 0, else by chance.
///
/// # Errors
/// An empty prompt, or a token that the decoder does not know.
pub fn generate<P: KvPolicy>(
    session: &mut Session<'_, P>,
    prompt: &[u32],
    count: usize,
    temperature: f32,
    mut seed: Seed,
) -> Result<Vec<u32>> {
    let Some((last, before)) = prompt.split_last() else {
        return Err(Error::Request("expected a prompt of at least one token".into()));
    };
    for token in before {
        session.step(*token, Phase::Prefill)?;
    }
    let (mut token, mut phase) = (*last, Phase::Prefill);
    let mut made = Vec::new();
    for _ in 0..count {
        let mut scores = session.step(token, phase)?.to_vec();
        phase = Phase::Decode;
        let chosen = if temperature > 0.0 {
            scores.iter_mut().for_each(|score| *score /= temperature);
            softmax(&mut scores);
            let mut left = seed.uniform() as f32;
            scores.iter().position(|probability| {
                left -= probability;
                left < 0.0
            })
        } else {
            None
        };
        let likeliest = || (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
        token = chosen.or_else(likeliest).unwrap_or_default() as u32;
        made.push(token);
    }
    Ok(made)
}

/// How well a codebook estimates the scores of far keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreError {
    /// The mean squared difference of estimated and true scores, both at the constant distance, scaled as in attention.
    pub squared: f64,
    /// The share of the keys with the truly largest scores, at their true distances, that are among as many of the largest estimates.
    pub recall: f64,
    /// That share for keys that are chosen by chance.
    pub chance: f64,
}

/// Compares estimates with scores over texts: one sample a text, of one key-value head. Keys at least `window` before a query count; the
/// recall is that of the `top` best, for the last `queries` tokens of each text.
pub fn score_error(
    rotary: &Rotary,
    codebook: &Codebook,
    texts: &[HeadSample],
    (distance, window): (f32, usize),
    (top, queries): (usize, usize),
) -> ScoreError {
    let dims = codebook.centroid(0).len();
    let scale = 1.0 / (dims as f64).sqrt();
    let (mut squared, mut pairs) = (0.0, 0usize);
    let (mut recall, mut chance, mut asked) = (0.0, 0.0, 0usize);
    for text in texts {
        let tokens = text.keys.len() / dims;
        let group = text.queries.len() / text.keys.len().max(1);
        let key = |at: usize| &text.keys[at * dims..][..dims];
        let codes: Vec<u16> = (0..tokens).map(|at| codebook.encode(key(at))).collect();
        for token in window..tokens {
            for head in 0..group {
                let query = &text.queries[(token * group + head) * dims..][..dims];
                let turned = |position: f32| {
                    let mut query = query.to_vec();
                    rotary.turn(position, &mut query);
                    query
                };
                let far = turned(distance);
                let estimates: Vec<f32> = (0..=token - window)
                    .map(|at| distance::dot(&far, codebook.centroid(codes[at])))
                    .collect();
                for (at, estimate) in estimates.iter().enumerate() {
                    squared += (f64::from(distance::dot(&far, key(at)) - estimate) * scale).powi(2);
                }
                pairs += estimates.len();
                if token + queries < tokens || estimates.len() < top {
                    continue;
                }
                let best = |score: &dyn Fn(usize) -> f32| {
                    let mut best = TopK::new(top);
                    (0..estimates.len()).for_each(|at| best.push(at as u32, score(at)));
                    best.into_sorted()
                        .into_iter()
                        .map(|hit| hit.id)
                        .collect::<Vec<_>>()
                };
                // A query turned back by the key's position: the same product as turning both.
                let true_best = best(&|at| distance::dot(&turned((token - at) as f32), key(at)));
                let found = best(&|at| estimates[at]);
                let hits = true_best.iter().filter(|id| found.contains(id)).count();
                recall += hits as f64 / top as f64;
                chance += top as f64 / estimates.len() as f64;
                asked += 1;
            }
        }
    }
    ScoreError {
        squared: squared / pairs as f64,
        recall: recall / asked as f64,
        chance: chance / asked as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Full};

    #[test]
    fn losses_are_the_same_streamed_and_at_once() {
        let decoder = Decoder::random(Config::default(), 0.2, Seed(1)).unwrap();
        let text: Vec<u32> = (0..40).map(|at| at * 31 % 128).collect();
        let at_once = losses(&decoder, &text, &Plan::trained(&decoder)).unwrap();
        let streamed = streamed_losses(&decoder, Full::new(decoder.config().shape), &text).unwrap();
        assert_eq!((at_once.len(), streamed.len()), (39, 39));
        assert!(at_once.iter().zip(&streamed).all(|(a, b)| (a - b).abs() < 1e-4));
        assert!(
            losses(&decoder, &[], &Plan::trained(&decoder))
                .unwrap()
                .is_empty()
        );
        assert!(losses(&decoder, &[1, 500], &Plan::trained(&decoder)).is_err());
    }

    #[test]
    fn a_loss_is_the_negative_logarithm_of_the_probability() {
        let mut probabilities = vec![1.0, 3.0, -2.0];
        softmax(&mut probabilities);
        for (token, probability) in probabilities.iter().enumerate() {
            let found = loss(&[1.0, 3.0, -2.0], token as u32);
            assert!((found + f64::from(*probability).ln()).abs() < 1e-6);
        }
    }

    #[test]
    fn generation_repeats_itself_by_seed() {
        let decoder = Decoder::random(Config::default(), 0.3, Seed(1)).unwrap();
        let run = |temperature: f32, seed: u64| {
            let mut session = Session::new(&decoder, Full::new(decoder.config().shape));
            generate(&mut session, &[7, 8, 9], 20, temperature, Seed(seed)).unwrap()
        };
        assert_eq!(run(0.0, 1), run(0.0, 2));
        assert_eq!(run(1.0, 1), run(1.0, 1));
        assert_ne!(run(1.0, 1), run(1.0, 2));
        let mut session = Session::new(&decoder, Full::new(decoder.config().shape));
        assert!(generate(&mut session, &[], 1, 0.0, Seed(1)).is_err());
    }

    #[test]
    fn codes_of_their_own_estimate_without_error() {
        let mut seed = Seed(2);
        let mut random = || (0..40 * 8).map(|_| seed.normal() as f32).collect::<Vec<_>>();
        let text = HeadSample {
            keys: random(),
            queries: random(),
        };
        // No turning: the estimate is the true score.
        let still = Rotary {
            frequencies: Vec::new(),
        };
        let exact = Codebook::plain(8, &text.keys, 64, Seed(3)).unwrap();
        let coarse = Codebook::plain(8, &text.keys, 4, Seed(3)).unwrap();
        let texts = [text];
        let error = |codebook| score_error(&still, codebook, &texts, (1.0, 4), (5, 10));
        assert!(error(&exact).squared < 1e-10 && error(&exact).recall == 1.0);
        assert!(error(&coarse).squared > 0.1 && error(&coarse).recall < 1.0);
        assert!(error(&coarse).chance > 0.13 && error(&coarse).chance < 0.2);
    }
}
