//! LM-Infinite (arXiv 2308.16137) on a byte-level decoder that was trained at 32 tokens and reads 256.
//!
//! The bars are those of a first run on another English text (in-window loss 1.354 nats, then 3.112 without help, 1.601 with LM-Infinite,
//! 2.449 with the ceiling alone, 1.768 with the mask alone), taken relative to the in-window loss, since that depends on the text.
//! That it beat a plain window is no claim: attention sinks don't form in a decoder this small.

use kokeshi_cache::{Decoder, Distance, Lambda, LambdaConfig, Phase, Plan, Session, measure};
use kokeshi_kernels::Mask;

use crate::byte_decoder::{ByteDecoder, mean};
use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result, failed};

const ID: &str = "lm-infinite";

/// The length that the decoder was trained at.
const TRAINED: usize = 32;

/// How many of the first tokens stay.
const FIRST: usize = 1;

const CLAIMS: &[Claim] = &[
    Claim {
        name: "vanilla",
        claim: "without help, losses explode past the trained length: nats at 128-255 above those at 16-31",
        bar: Bar::AtLeast(1.15),
    },
    Claim {
        name: "lm-infinite",
        claim: "with it they stay: nats at 128-255 above those at 16-31",
        bar: Bar::AtMost(0.4),
    },
    Claim {
        name: "mask",
        claim: "the mask is needed: nats that the ceiling alone loses more at 128-255",
        bar: Bar::AtLeast(0.5),
    },
    Claim {
        name: "ceiling",
        claim: "the ceiling is needed: nats that the mask alone loses more at 128-255",
        bar: Bar::AtLeast(0.05),
    },
    Claim {
        name: "short",
        claim: "up to the trained length nothing changes: largest difference of a logit",
        bar: Bar::AtMost(1e-6),
    },
    Claim {
        name: "streaming",
        claim: "a cache of 33 tokens gives what the masked pass gives: largest difference of a logit over 255 steps, relative to the \
                largest logit",
        bar: Bar::AtMost(1e-5),
    },
];

/// The reproduction.
pub(crate) struct LmInfinite;

impl Reproduction for LmInfinite {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let given = ByteDecoder::load(context, ID, TRAINED)?;
        let texts = given.held_out(128, 257)?;
        let figures = measure(&given.decoder, &texts).map_err(|error| failed(ID, error))?;
        Ok(measured(CLAIMS, figures))
    }
}

fn measure(decoder: &Decoder, texts: &[Vec<u32>]) -> kokeshi_cache::Result<[f64; 6]> {
    let vanilla = Plan::trained(decoder);
    let whole = Plan::lm_infinite(decoder, FIRST, TRAINED);
    let ceiling_only = Plan {
        mask: Mask::CAUSAL,
        far: Some((TRAINED, Distance::Constant(TRAINED as f32))),
        ..vanilla.clone()
    };
    let mask_only = Plan {
        far: None,
        ..whole.clone()
    };
    // Losses inside the trained length and far beyond it.
    let run = |plan: &Plan| -> kokeshi_cache::Result<(f64, f64)> {
        let rows: Vec<Vec<f64>> = texts
            .iter()
            .map(|text| measure::losses(decoder, text, plan))
            .collect::<Result<_, _>>()?;
        Ok((mean(&rows, 16, 32), mean(&rows, 128, 256)))
    };
    let (inside, lost) = run(&vanilla)?;
    let (inside_whole, kept) = run(&whole)?;
    let (_, without_mask) = run(&ceiling_only)?;
    let (_, without_ceiling) = run(&mask_only)?;

    let mut short = 0.0_f32;
    for text in &texts[..16] {
        let a = decoder.forward(&text[..TRAINED], &vanilla)?;
        let b = decoder.forward(&text[..TRAINED], &whole)?;
        short = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(short, f32::max);
    }
    let mut streaming = 0.0_f32;
    let config = LambdaConfig {
        first: FIRST,
        window: TRAINED,
        ceiling: true,
    };
    for text in &texts[..8] {
        let at_once = decoder.forward(&text[..255], &whole)?;
        let largest = at_once.iter().map(|logit| logit.abs()).fold(0.0, f32::max);
        let mut session = Session::new(decoder, Lambda::new(decoder.config().shape, config)?);
        for (token, row) in text.iter().zip(at_once.chunks_exact(decoder.config().vocabulary)) {
            let logits = session.step(*token, Phase::Decode)?;
            let differences = logits.iter().zip(row).map(|(a, b)| (a - b).abs() / largest);
            streaming = differences.fold(streaming, f32::max);
        }
    }
    Ok([
        lost - inside,
        kept - inside_whole,
        without_mask - kept,
        without_ceiling - kept,
        short.into(),
        streaming.into(),
    ])
}
