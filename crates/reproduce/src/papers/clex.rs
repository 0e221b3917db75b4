//! CLEX (arXiv 2310.16450): the solver against the closed form that holds before training, and the frequencies, untrained and trained by
//! `scripts/train_clex.py`, on the byte-level decoder that was trained at 32 tokens and reads 256.

use serde::Deserialize;

use kokeshi_cache::{Clex, Decoder, Plan, measure};
use kokeshi_core::Seed;

use crate::byte_decoder::{ByteDecoder, mean};
use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result, failed};

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
    Claim {
        name: "trained",
        claim: "training at the trained length pays beyond it: nats that the untrained frequencies lose more at 64-255",
        bar: Bar::AtLeast(0.01),
    },
    Claim {
        name: "control",
        claim: "it is not the additional steps: nats that as many steps with plain positions lose more at 64-255",
        bar: Bar::AtLeast(0.01),
    },
    Claim {
        name: "inside",
        claim: "within the trained length little is lost: nats at 16-31 above the decoder before tuning",
        bar: Bar::AtMost(0.05),
    },
];

/// The frequencies' module, as `scripts/train_clex.py` writes it.
#[derive(Deserialize)]
struct Weights {
    dims: usize,
    base: f64,
    up: Vec<f64>,
    down: Vec<f64>,
}

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
        let figures = || -> kokeshi_cache::Result<Vec<f64>> {
            let solver = solver(Seed(context.seed))?;
            let trained = Trained::load(&given)?;
            Ok([
                &solver[..],
                &losses(&given.decoder, &trained, &texts, Seed(context.seed))?,
            ]
            .concat())
        };
        let figures = figures().map_err(|error| failed(ID, error))?;
        Ok(measured(CLAIMS, figures))
    }
}

/// The decoder tuned with CLEX, and the one that had as many steps without it.
struct Trained {
    clex: Clex,
    tuned: Decoder,
    control: Decoder,
}

impl Trained {
    fn load(given: &ByteDecoder) -> kokeshi_cache::Result<Self> {
        let folder = given.folder.join("clex");
        let path = folder.join("clex.json");
        let wrong = |problem: String| {
            kokeshi_cache::Error::Request(format!(
                "{}: {problem}; make it with: python scripts/train_clex.py",
                path.display()
            ))
        };
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        let weights: Weights = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            clex: Clex::new(weights.dims, weights.base, weights.up, weights.down)?,
            tuned: Decoder::load(&folder)?,
            control: Decoder::load(&given.folder.join("control"))?,
        })
    }
}

/// The solver's errors at two steps, and that of a frequency.
fn solver(seed: Seed) -> kokeshi_cache::Result<[f64; 3]> {
    let (dims, base) = (64, 1e4_f64);
    let clex = Clex::untrained(dims, base, 1, seed)?;
    // ln of b^(-i/D) * (2t - 1)^(-i/(D-2)), for i = 0, 2, ...
    let closed = |at: usize, factor: f64| {
        let (i, dims) = (2.0 * at as f64, dims as f64);
        -i / dims * base.ln() - i / (dims - 2.0) * (2.0 * factor - 1.0).ln()
    };
    let worst = |step: f64| {
        let mut worst = 0.0_f64;
        for factor in (2..=16).map(f64::from) {
            for (at, z) in clex.logarithms(factor, step).into_iter().enumerate() {
                worst = worst.max((z - closed(at, factor)).abs());
            }
        }
        worst
    };
    let slowest = f64::from(clex.rotary(4.0, 0.01).frequencies[31]);
    Ok([worst(0.1), worst(0.01), (slowest / 1.905_030_6e-5 - 1.0).abs()])
}

/// What is gained untrained, trained, over the control, and what is lost inside.
fn losses(
    decoder: &Decoder,
    trained: &Trained,
    texts: &[Vec<u32>],
    seed: Seed,
) -> kokeshi_cache::Result<[f64; 4]> {
    let config = decoder.config();
    let plain = Plan::trained(decoder);
    let with = |clex: &Clex| Plan {
        rotary: clex.rotary(FACTOR, 0.1),
        ..plain.clone()
    };
    let run = |decoder: &Decoder, plan: &Plan| -> kokeshi_cache::Result<Vec<Vec<f64>>> {
        texts
            .iter()
            .map(|text| measure::losses(decoder, text, plan))
            .collect()
    };
    let untrained = Clex::untrained(config.shape.head_dims, config.base, 1, seed)?;
    let before = run(decoder, &plain)?;
    let at_start = run(decoder, &with(&untrained))?;
    let tuned = run(&trained.tuned, &with(&trained.clex))?;
    let control = run(&trained.control, &plain)?;
    let inside = run(&trained.tuned, &plain)?;
    Ok([
        mean(&before, 128, 256) - mean(&at_start, 128, 256),
        mean(&at_start, 64, 256) - mean(&tuned, 64, 256),
        mean(&control, 64, 256) - mean(&tuned, 64, 256),
        mean(&inside, 16, 32) - mean(&before, 16, 32),
    ])
}
