//! CLEX (arXiv 2310.16450): the solver against the closed form that holds before training, and the untrained frequencies on the byte-level
//! decoder that was trained at 32 tokens and reads 256.

use kokeshi_cache::{Clex, Decoder, Plan, measure};
use kokeshi_core::Seed;

use crate::byte_decoder::{ByteDecoder, failed, mean};
use crate::check::{Bar, Check, Claim};
use crate::reproduction::{Context, Reproduction, Result};

const ID: &str = "clex";

/// The length that the decoder was trained at.
const TRAINED: usize = 32;

/// How many times longer the texts are.
const FACTOR: f64 = 8.0;

const CLAIMS: &[Claim] = &[
    Claim {
        name: "solver-coarse",
        claim: "before training the solution is NTK's: largest difference of a logarithm for 64 dims and factors 2 to 16, step 0.1",
        bar: Bar::AtMost(4e-6),
    },
    Claim {
        name: "solver-fine",
        claim: "the same with step 0.01: the error falls with the fourth power",
        bar: Bar::AtMost(4e-10),
    },
    Claim {
        name: "frequency",
        claim: "the slowest of 32 frequencies at factor 4 is 1.9050306e-5: relative difference",
        bar: Bar::AtMost(1e-6),
    },
    Claim {
        name: "untrained",
        claim: "even untrained it helps beyond the trained length: nats that the plain frequencies lose more at 128-255",
        bar: Bar::AtLeast(0.1),
    },
];

/// The reproduction.
pub(crate) struct ClexPaper;

impl Reproduction for ClexPaper {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let given = ByteDecoder::load(context, ID, TRAINED)?;
        let texts = given.held_out(128, 257)?;
        let figures = figures(&given.decoder, &texts, Seed(context.seed))
            .map_err(|error| failed(ID, error.to_string()))?;
        Ok(CLAIMS
            .iter()
            .zip(figures)
            .map(|(claim, figure)| claim.measured(figure))
            .collect())
    }
}

fn figures(decoder: &Decoder, texts: &[Vec<u32>], seed: Seed) -> kokeshi_cache::Result<[f64; 4]> {
    let (dims, base) = (64, 1e4);
    let clex = Clex::untrained(dims, base, 1, seed)?;
    // ln of b^(-i/D) * (2t - 1)^(-i/(D-2)), for i = 0, 2, ...
    let closed = |at: usize, factor: f64| {
        let (i, dims) = (2.0 * at as f64, dims as f64);
        -i / dims * base.ln() - i / (dims - 2.0) * (2.0 * factor - 1.0).ln()
    };
    let worst = |step: f64| {
        let factors = (2..=16).map(f64::from);
        factors
            .flat_map(|factor| {
                let found = clex.logarithms(factor, step).into_iter().enumerate();
                found.map(move |(at, z)| (z - closed(at, factor)).abs())
            })
            .fold(0.0, f64::max)
    };
    let slowest = f64::from(clex.rotary(4.0, 0.01).frequencies[31]);

    let config = decoder.config();
    let plain = Plan::trained(decoder);
    let untrained = Plan {
        rotary: Clex::untrained(config.shape.head_dims, config.base, 1, seed)?.rotary(FACTOR, 0.1),
        ..plain.clone()
    };
    let far = |plan: &Plan| -> kokeshi_cache::Result<f64> {
        let rows: Vec<Vec<f64>> = texts
            .iter()
            .map(|text| measure::losses(decoder, text, plan))
            .collect::<kokeshi_cache::Result<_>>()?;
        Ok(mean(&rows, 128, 256))
    };
    Ok([
        worst(0.1),
        worst(0.01),
        (slowest / 1.905_030_6e-5 - 1.0).abs(),
        far(&plain)? - far(&untrained)?,
    ])
}
