//! A2ATS (arXiv 2502.12665) on a byte-level decoder that was trained at 128 tokens: codebooks of 64 codes from 4,096 keys a head, asked about 24
//! texts that it never saw.

use std::sync::Arc;

use kokeshi_cache::a2ats::{HeadSample, calibrate, sample};
use kokeshi_cache::{A2ats as Cache, A2atsConfig, Codebook, Decoder, Full, Phase, Session, measure};
use kokeshi_core::{Seed, distance};

use crate::byte_decoder::ByteDecoder;
use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result, failed};

const ID: &str = "a2ats";

/// The length that the decoder was trained at.
const TRAINED: usize = 128;

/// The distance at which scores of far keys are estimated.
const DISTANCE: f32 = 64.0;

/// From which distance on a key is far.
const WINDOW: usize = 16;

const CODES: usize = 64;

const CLAIMS: &[Claim] = &[
    Claim {
        name: "score error, worst head",
        claim: "query-aware codes estimate scores better: squared error over plain k-means', the largest of the heads",
        bar: Bar::AtMost(0.85),
    },
    Claim {
        name: "score error",
        claim: "the same, the mean of the heads",
        bar: Bar::AtMost(0.7),
    },
    Claim {
        name: "recall over plain",
        claim: "they find more of the true best 8 far keys in the last layer: recall above plain k-means', the smallest of the heads",
        bar: Bar::AtLeast(0.01),
    },
    Claim {
        name: "recall over chance",
        claim: "recall in the last layer as a multiple of chance's, the smallest of the heads",
        bar: Bar::AtLeast(2.0),
    },
    Claim {
        name: "everything chosen",
        claim: "choosing all tokens is full attention: largest difference of a logit, relative to the largest logit",
        bar: Bar::AtMost(1e-6),
    },
    Claim {
        name: "a code a key",
        claim: "with a code for every key the estimate is the windowed rotary score: largest difference, relative to the largest score",
        bar: Bar::AtMost(1e-4),
    },
];

/// The reproduction.
pub(crate) struct A2ats;

impl Reproduction for A2ats {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let given = ByteDecoder::load(context, ID, TRAINED)?;
        let (training, texts) = (given.calibration(32, TRAINED)?, given.held_out(24, TRAINED)?);
        let figures = measure(&given.decoder, &training, &texts, Seed(context.seed))
            .map_err(|error| failed(ID, error))?;
        Ok(measured(CLAIMS, figures))
    }
}

fn measure(
    decoder: &Decoder,
    training: &[Vec<u32>],
    texts: &[Vec<u32>],
    seed: Seed,
) -> kokeshi_cache::Result<[f64; 6]> {
    let (shape, rotary) = (decoder.config().shape, decoder.rotary());
    let training: Vec<&[u32]> = training.iter().map(Vec::as_slice).collect();
    let samples = sample(decoder, &training)?;
    let aware = Arc::new(calibrate(decoder, &samples, CODES, DISTANCE, seed)?);
    // For each head, a sample of each text.
    let by_text: Vec<Vec<HeadSample>> = texts
        .iter()
        .map(|text| sample(decoder, &[text.as_slice()]))
        .collect::<Result<_, _>>()?;
    let (mut ratios, mut gains, mut over_chance) = (Vec::new(), f64::INFINITY, f64::INFINITY);
    for layer in 0..shape.layers {
        for head in 0..shape.key_heads {
            let at = layer * shape.key_heads + head;
            let plain = Codebook::plain(shape.head_dims, &samples[at].keys, CODES, seed)?;
            let of_head: Vec<HeadSample> = by_text.iter().map(|samples| samples[at].clone()).collect();
            let error = |codebook: &Codebook| {
                measure::score_error(&rotary, codebook, &of_head, (DISTANCE, WINDOW), (8, 8))
            };
            let (plain, found) = (error(&plain), error(aware.get(layer, head)));
            ratios.push(found.squared / plain.squared);
            if layer + 1 == shape.layers {
                gains = gains.min(found.recall - plain.recall);
                over_chance = over_chance.min(found.recall / found.chance);
            }
        }
    }

    let everything = A2atsConfig {
        window: WINDOW,
        sinks: 8,
        ratio: 1.0,
        distance: DISTANCE,
    };
    let mut difference = 0.0_f32;
    for text in &texts[..4] {
        let mut full = Session::new(decoder, Full::new(shape));
        let mut chosen = Session::new(decoder, Cache::new(rotary.clone(), aware.clone(), everything)?);
        for &token in text {
            let expected = full.step(token, Phase::Decode)?;
            let found = chosen.step(token, Phase::Decode)?;
            let largest = expected.iter().map(|logit| logit.abs()).fold(0.0, f32::max);
            let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs() / largest);
            difference = differences.fold(difference, f32::max);
        }
    }
    Ok([
        ratios.iter().copied().fold(0.0, f64::max),
        ratios.iter().sum::<f64>() / ratios.len() as f64,
        gains,
        over_chance,
        difference.into(),
        exact(&by_text[0][0], &rotary, shape.head_dims, seed)?,
    ])
}

/// How far the estimates are from the scores when every key of a text has a code of its own.
fn exact(
    text: &HeadSample,
    rotary: &kokeshi_cache::Rotary,
    dims: usize,
    seed: Seed,
) -> kokeshi_cache::Result<f64> {
    let mut queries = text.queries.clone();
    for query in queries.chunks_exact_mut(dims) {
        rotary.turn(DISTANCE, query);
    }
    let codebook = Codebook::query_aware(dims, &text.keys, &queries, text.keys.len() / dims, seed)?;
    let (mut difference, mut largest) = (0.0_f32, 0.0_f32);
    for key in text.keys.chunks_exact(dims) {
        let centroid = codebook.centroid(codebook.encode(key));
        for query in queries.chunks_exact(dims) {
            let score = distance::dot(query, key);
            difference = difference.max((score - distance::dot(query, centroid)).abs());
            largest = largest.max(score.abs());
        }
    }
    Ok(f64::from(difference / largest))
}
