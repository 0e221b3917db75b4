//! LongEmbed (arXiv 2404.12096): passkeys in texts of 2,048 tokens with all-MiniLM-L6-v2, which was trained on 512 positions, and rotary
//! positions on the byte-level decoder that was trained at 32.
//!
//! The bars of accuracy are those of one draw of 20 documents on another generator; here twenty draws are averaged.

use kokeshi_cache::{Decoder, Distance, Plan, Rotary, measure};
use kokeshi_core::Seed;
use kokeshi_encode::{LoadOptions, Model, Options, Position};
use kokeshi_eval::{LongTask, Measure};

use crate::byte_decoder::{ByteDecoder, mean};
use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result, failed};

const ID: &str = "longembed";

/// How many sets of documents are drawn.
const DRAWS: u64 = 20;

/// Documents of a draw, all of them asked for.
const DOCUMENTS: usize = 20;

/// Tokens of a document.
const LENGTH: usize = 2048;

/// Tokens that the encoder was trained on.
const TRAINED: usize = 512;

/// The length that the decoder was trained at.
const DECODER_TRAINED: usize = 32;

const CLAIMS: &[Claim] = &[
    Claim {
        name: "cut",
        claim: "a text cut at 512 of 2,048 tokens loses most passkeys: Acc@1",
        bar: Bar::Between(0.25, 0.35),
    },
    Claim {
        name: "rp",
        claim: "positions that start over find them: Acc@1",
        bar: Bar::Between(0.75, 0.85),
    },
    Claim {
        name: "pi",
        claim: "positions between the trained ones find them: Acc@1",
        bar: Bar::Between(0.80, 0.90),
    },
    Claim {
        name: "gp-gain",
        claim: "grouped positions gain on the cut text: Acc@1",
        bar: Bar::AtLeast(0.25),
    },
    Claim {
        name: "rp-gain",
        claim: "positions that start over gain on the cut text: Acc@1",
        bar: Bar::AtLeast(0.25),
    },
    Claim {
        name: "pi-gain",
        claim: "positions between gain on the cut text: Acc@1",
        bar: Bar::AtLeast(0.25),
    },
    Claim {
        name: "gp-pcw",
        claim: "one pass over the whole text beats the mean of its pieces: Acc@1 of GP above PCW's",
        bar: Bar::AtLeast(0.05),
    },
    Claim {
        name: "short",
        claim: "texts within the trained length keep their vectors under GP, RP, PI and PCW: largest difference",
        bar: Bar::AtMost(0.0),
    },
    Claim {
        name: "ntk-frequency",
        claim: "lambda 10 makes the second of 32 frequencies 0.69783058: relative difference",
        bar: Bar::AtMost(1e-6),
    },
    Claim {
        name: "rotary-identity",
        claim: "NTK with lambda 1, PI by 1, SelfExtend with groups of 1 or a window as long as the text are the plain model: largest \
                difference of a logit, relative to the largest logit",
        bar: Bar::AtMost(1e-6),
    },
    Claim {
        name: "self-extend",
        claim: "SelfExtend (groups of 16 from distance 16 on) keeps losses at eight times the trained length: nats at 128-255 above \
                those at 16-31",
        bar: Bar::AtMost(0.4),
    },
    Claim {
        name: "self-extend-ntk",
        claim: "SelfExtend is ahead of NTK (lambda 40) on an untuned rotary model: nats that NTK loses more at 128-255",
        bar: Bar::AtLeast(0.5),
    },
];

/// The reproduction.
pub(crate) struct LongEmbed;

impl Reproduction for LongEmbed {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let given = ByteDecoder::load(context, ID, DECODER_TRAINED)?;
        let [cut, pcw, gp, rp, pi] = passkeys(context)?;
        let short = short(context)?;
        let texts = given.held_out(128, 257)?;
        let [identity, kept, ahead] = rotary(&given.decoder, &texts).map_err(|error| failed(ID, error))?;
        let frequency = f64::from(Rotary::ntk(64, 1e4, 10.0).frequencies[1]);
        let figures = [
            cut,
            rp,
            pi,
            gp - cut,
            rp - cut,
            pi - cut,
            gp - pcw,
            short,
            (frequency / 0.697_830_58 - 1.0).abs(),
            identity,
            kept,
            ahead,
        ];
        Ok(measured(CLAIMS, figures))
    }
}

/// MiniLM, which reads `tokens` tokens with this method.
fn minilm(context: &Context, tokens: usize, position: Option<Position>) -> Result<Model> {
    let folder = context.models.join("all-MiniLM-L6-v2");
    let options = LoadOptions {
        context: Some(tokens),
        position,
        ..LoadOptions::default()
    };
    if !folder.is_dir() {
        return Err(failed(
            ID,
            format!(
                "expected a model in {}, found none; get it with scripts/fetch-model.sh",
                folder.display()
            ),
        ));
    }
    Model::load_with(&folder.display().to_string(), &options).map_err(|error| failed(ID, error))
}

/// Acc@1 of texts that are cut, and with PCW, GP, RP and PI.
fn passkeys(context: &Context) -> Result<[f64; 5]> {
    let accuracy = "P@1";
    let accuracy: Measure = accuracy
        .parse()
        .map_err(|error: kokeshi_eval::Error| failed(ID, error))?;
    let mut seed = Seed(context.seed);
    let tasks: Vec<LongTask> = (0..DRAWS)
        .map(|draw| LongTask::passkey(LENGTH, DOCUMENTS, DOCUMENTS, seed.fork(draw)))
        .collect();
    let mut means = [0.0; 5];
    let methods = [
        None,
        Some(Position::Pcw),
        Some(Position::Gp),
        Some(Position::Rp),
        Some(Position::Pi),
    ];
    for (mean, method) in means.iter_mut().zip(methods) {
        let model = minilm(context, if method.is_some() { LENGTH } else { TRAINED }, method)?;
        for task in &tasks {
            let found = task
                .judge(accuracy, |texts, _| model.encode(texts, &Options::default()))
                .map_err(|error| failed(ID, error))?;
            *mean += found / DRAWS as f64;
        }
    }
    Ok(means)
}

/// The largest difference between the vectors of short texts with and without a method.
fn short(context: &Context) -> Result<f64> {
    let texts: Vec<String> = [16, 128, 512]
        .into_iter()
        .flat_map(|tokens| LongTask::passkey(tokens, 4, 0, Seed(context.seed)).documents)
        .map(|document| document.text)
        .collect();
    let vectors = |model: &Model| {
        let vectors = model.encode(&texts, &Options::default());
        vectors.map_err(|error| failed(ID, error))
    };
    let plain = vectors(&minilm(context, TRAINED, None)?)?;
    let mut largest = 0.0_f32;
    for method in [Position::Gp, Position::Rp, Position::Pi, Position::Pcw] {
        let found = vectors(&minilm(context, LENGTH, Some(method))?)?;
        let differences = found
            .as_slice()
            .iter()
            .zip(plain.as_slice())
            .map(|(a, b)| (a - b).abs());
        largest = differences.fold(largest, f32::max);
    }
    Ok(largest.into())
}

/// What changes nothing, what SelfExtend loses far beyond the trained length, and how far NTK is behind it.
fn rotary(decoder: &Decoder, texts: &[Vec<u32>]) -> kokeshi_cache::Result<[f64; 3]> {
    let plain = Plan::trained(decoder);
    let config = decoder.config();
    let ntk = |lambda: f64| Plan {
        rotary: Rotary::ntk(config.shape.head_dims, config.base, lambda),
        ..plain.clone()
    };
    let self_extend = |group: usize, window: usize| Plan {
        far: Some((window, Distance::Grouped(group))),
        ..plain.clone()
    };
    let interpolated = Plan {
        rotary: plain.rotary.interpolated(1.0),
        ..plain.clone()
    };
    let mut difference = 0.0_f32;
    for text in &texts[..8] {
        let expected = decoder.forward(text, &plain)?;
        let largest = expected.iter().map(|logit| logit.abs()).fold(0.0, f32::max);
        for plan in [
            &ntk(1.0),
            &interpolated,
            &self_extend(1, 16),
            &self_extend(16, text.len()),
        ] {
            let found = decoder.forward(text, plan)?;
            let differences = found.iter().zip(&expected).map(|(a, b)| (a - b).abs() / largest);
            difference = differences.fold(difference, f32::max);
        }
    }
    let run = |plan: &Plan| -> kokeshi_cache::Result<(f64, f64)> {
        let rows: Vec<Vec<f64>> = texts
            .iter()
            .map(|text| measure::losses(decoder, text, plan))
            .collect::<kokeshi_cache::Result<_>>()?;
        Ok((mean(&rows, 16, 32), mean(&rows, 128, 256)))
    };
    let (inside, kept) = run(&self_extend(16, 16))?;
    let (_, lost) = run(&ntk(40.0))?;
    Ok([difference.into(), kept - inside, lost - kept])
}
