//! Scissorhands (arXiv 2305.17118): planted keys that matter to every query, and a byte-level decoder that was trained at 128 tokens.
//!
//! That decoder knows no facts from far back, so that a plain window does as well; what tells the policies apart are the planted keys.

use kokeshi_cache::{
    Decoder, Full, KvPolicy, Lambda, LambdaConfig, Phase, Query, RandomEviction, Scissorhands as Cache,
    ScissorhandsConfig, Selection, Session, Shape, Threshold, measure,
};
use kokeshi_core::{Seed, distance};

use crate::byte_decoder::{ByteDecoder, mean};
use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result, failed};

const ID: &str = "scissorhands";

/// The length that the decoder was trained at.
const TRAINED: usize = 128;

/// Keys that matter, in each of the planted runs.
const PIVOTS: usize = 6;

const CLAIMS: &[Claim] = &[
    Claim {
        name: "pivots, one dropped at once",
        claim: "what mattered goes on mattering: planted pivots of 6 that stay in 32 of 256 tokens, the worst of 6 runs",
        bar: Bar::AtLeast(6.0),
    },
    Claim {
        name: "pivots, half dropped at once",
        claim: "the same when half of the budget is dropped at once",
        bar: Bar::AtLeast(6.0),
    },
    Claim {
        name: "pivots, window",
        claim: "a window of 32 keeps none of them, in the best of 6 runs",
        bar: Bar::AtMost(0.0),
    },
    Claim {
        name: "pivots, random",
        claim: "random eviction keeps none of them, in the best of 6 runs",
        bar: Bar::AtMost(0.0),
    },
    Claim {
        name: "random",
        claim: "with 16 of 128 tokens: nats that random eviction loses more at 64-127",
        bar: Bar::AtLeast(0.1),
    },
    Claim {
        name: "full",
        claim: "with 16 of 128 tokens: nats at 64-127 above the full cache's",
        bar: Bar::AtMost(0.05),
    },
    Claim {
        name: "whole budget",
        claim: "a budget of the whole text changes nothing: largest difference of a logit",
        bar: Bar::AtMost(0.0),
    },
    Claim {
        name: "budget",
        claim: "no head ever keeps more than its budget of 16: the most tokens after a step",
        bar: Bar::AtMost(16.0),
    },
];

/// The reproduction.
pub(crate) struct Scissorhands;

impl Reproduction for Scissorhands {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let given = ByteDecoder::load(context, ID, TRAINED)?;
        let texts = given.held_out(48, TRAINED + 1)?;
        let wrong = |error: kokeshi_cache::Error| failed(ID, error);
        let planted = planted(Seed(context.seed)).map_err(wrong)?;
        let decoded = decoded(&given.decoder, &texts, Seed(context.seed)).map_err(wrong)?;
        Ok(measured(CLAIMS, planted.into_iter().chain(decoded)))
    }
}

/// How many pivots stay: the worst of 6 runs for both ways of dropping, the best for a window and for random eviction.
fn planted(mut seed: Seed) -> kokeshi_cache::Result<[f64; 4]> {
    let shape = Shape {
        layers: 1,
        heads: 1,
        key_heads: 1,
        head_dims: 64,
    };
    let config = |drop| ScissorhandsConfig {
        budgets: vec![32],
        recent: 8,
        window: 64,
        drop,
        threshold: Threshold::Text,
    };
    let window = LambdaConfig {
        first: 0,
        window: 32,
        ceiling: true,
    };
    let mut figures = [PIVOTS as f64, PIVOTS as f64, 0.0, 0.0];
    for run in 0..6 {
        let seed = seed.fork(run);
        for (at, drop) in [0.0, 0.5].into_iter().enumerate() {
            figures[at] = f64::min(figures[at], stay(Cache::new(shape, config(drop))?, seed));
        }
        // What a window still stores beside its last 32 tokens is not seen.
        figures[2] = f64::max(figures[2], stay(Lambda::new(shape, window)?, seed));
        figures[3] = f64::max(figures[3], stay(RandomEviction::new(shape, 32, seed), seed));
    }
    Ok(figures)
}

/// Runs 256 steps of attention over random keys, 6 of the first 40 of which are aligned with every query, and counts those that are seen
/// in the last.
fn stay(mut cache: impl KvPolicy, mut seed: Seed) -> f64 {
    let mut random =
        |deviation: f64| -> Vec<f32> { (0..64).map(|_| (deviation * seed.normal()) as f32).collect() };
    let direction = random(1.0);
    // Spread over the first 40 positions.
    let pivots: Vec<u32> = (0..PIVOTS as u32).map(|at| 3 + 6 * at).collect();
    let mut selection = Selection::default();
    for position in 0..256 {
        let key = if pivots.contains(&position) {
            direction.iter().map(|value| 0.5 * value).collect()
        } else {
            random(1.0)
        };
        let noise = random(0.3);
        let query: Vec<f32> = direction.iter().zip(&noise).map(|(a, b)| a + b).collect();
        cache.append(0, &key, &key, position);
        let asked = Query {
            vectors: &query,
            position,
            phase: Phase::Decode,
        };
        cache.select(0, 0, asked, &mut selection);
        if cache.wants_probabilities() {
            let slab = cache.slab(0, 0);
            let weights = selection
                .near
                .iter()
                .map(|&slot| (distance::dot(&query, slab.key(slot as usize)) / 8.0).exp());
            let mut probabilities: Vec<f32> = weights.collect();
            let sum: f32 = probabilities.iter().sum();
            probabilities.iter_mut().for_each(|weight| *weight /= sum);
            cache.observe(0, 0, &selection, &probabilities);
        }
        cache.settle(0, position);
    }
    let asked = Query {
        vectors: &direction,
        position: 255,
        phase: Phase::Decode,
    };
    cache.select(0, 0, asked, &mut selection);
    let live = cache.live(0, 0);
    let seen = selection
        .near
        .iter()
        .filter(|&&slot| pivots.contains(&live[slot as usize]));
    seen.count() as f64
}

fn decoded(decoder: &Decoder, texts: &[Vec<u32>], mut seed: Seed) -> kokeshi_cache::Result<[f64; 4]> {
    let shape = decoder.config().shape;
    let config = |budget: usize| ScissorhandsConfig {
        budgets: vec![budget; shape.layers],
        recent: 10,
        window: 400,
        drop: 0.0,
        threshold: Threshold::Text,
    };
    let (mut full, mut random, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for (at, text) in texts.iter().enumerate() {
        full.push(measure::streamed_losses(decoder, Full::new(shape), text)?);
        let control = RandomEviction::new(shape, 16, seed.fork(at as u64));
        random.push(measure::streamed_losses(decoder, control, text)?);
        kept.push(measure::streamed_losses(
            decoder,
            Cache::new(shape, config(16))?,
            text,
        )?);
    }
    let [full, random, kept] = [full, random, kept].map(|rows| mean(&rows, 64, 128));

    let (mut difference, mut most) = (0.0_f32, 0);
    for text in &texts[..4] {
        let mut exact = Session::new(decoder, Full::new(shape));
        let mut whole = Session::new(decoder, Cache::new(shape, config(TRAINED))?);
        let mut small = Session::new(decoder, Cache::new(shape, config(16))?);
        for &token in &text[..TRAINED] {
            let logits = exact.step(token, Phase::Decode)?;
            let other = whole.step(token, Phase::Decode)?;
            let differences = logits.iter().zip(other).map(|(a, b)| (a - b).abs());
            difference = differences.fold(difference, f32::max);
            small.step(token, Phase::Decode)?;
            for layer in 0..shape.layers {
                for head in 0..shape.key_heads {
                    most = most.max(small.policy().live(layer, head).len());
                }
            }
        }
    }
    Ok([random - kept, kept - full, difference.into(), most as f64])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_keys_stay_and_a_window_or_chance_loses_them() {
        assert_eq!(planted(Seed(42)).unwrap(), [6.0, 6.0, 0.0, 0.0]);
    }
}
