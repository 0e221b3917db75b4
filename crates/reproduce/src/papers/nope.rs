//! The study of positions (The Impact of Positional Encoding on Length Generalization, arXiv 2305.19466): decoders trained from scratch by
//! `scripts/train_nope.py` to copy 1 to 8 symbols are asked for more.
//!
//! One of the paper's ten tasks, decoders 700 times smaller. No order among ALiBi, T5's buckets and rotary is claimed: it flips from task to task
//! and from seed to seed.

use std::path::Path;

use kokeshi_core::{Embeddings, Seed, safetensors};
use kokeshi_encode::{Model, Options};
use kokeshi_kernels::{Attention, Level, Mask, Masked, Precision, Scratch, masked_attention};

use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result, failed};

const ID: &str = "nope";

/// Decoders of each scheme.
const SEEDS: usize = 3;

/// Ids as `scripts/train_nope.py` has them: the symbols come first.
const SYMBOLS: u32 = 16;
const BEGIN: u32 = SYMBOLS;
const SEPARATOR: u32 = SYMBOLS + 1;
const END: u32 = SYMBOLS + 2;

/// Texts of each length.
const TEXTS: usize = 100;

const CLAIMS: &[Claim] = &[
    Claim {
        name: "recoverable",
        claim: "a causal head that looks everywhere alike tells the position: 1 / (i + 1) at position i of 200, largest difference",
        bar: Bar::AtMost(1e-6),
    },
    Claim {
        name: "trained-lengths",
        claim: "without positions and with sinusoids, texts of 4 and of 8 symbols are copied: least share of texts without a mistake",
        bar: Bar::AtLeast(0.95),
    },
    Claim {
        name: "one-more",
        claim: "without positions 9 symbols are copied better than with sinusoids, by 0.3 of the texts: in how many of 3 seeds",
        bar: Bar::AtLeast(2.0),
    },
    Claim {
        name: "far",
        claim: "at twice the trained length neither copies: largest share of texts of 16 symbols without a mistake",
        bar: Bar::AtMost(0.05),
    },
];

/// The reproduction.
pub(crate) struct Nope;

impl Reproduction for Nope {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let (mut inside, mut ahead, mut far) = (1.0_f64, 0.0, 0.0_f64);
        for seed in 1..=SEEDS {
            let mut nines = [0.0; 2];
            for (scheme, nine) in ["none", "ape"].into_iter().zip(&mut nines) {
                let decoder = Copier::load(context, scheme, seed)?;
                let mut texts = Seed(context.seed).fork(seed as u64);
                let mut share = |symbols| decoder.share(symbols, &mut texts);
                inside = inside.min(share(4)?).min(share(8)?);
                *nine = share(9)?;
                far = far.max(share(16)?);
            }
            ahead += f64::from(u8::from(nines[0] - nines[1] >= 0.3));
        }
        let figures = [recoverable(), inside, ahead, far];
        Ok(measured(CLAIMS, figures))
    }
}

/// How far a causal head is from 1 / (i + 1) whose queries are zero and whose value is 1 for the first token alone.
fn recoverable() -> f64 {
    const LEN: usize = 200;
    let (zeros, mut values) = ([0.0; LEN], [0.0; LEN]);
    values[0] = 1.0;
    let input = Masked {
        attention: Attention {
            queries: &zeros,
            keys: &zeros,
            values: &values,
            stride: 1,
            len: LEN,
            heads: 1,
            head_dims: 1,
            scale: 1.0,
        },
        key_heads: 1,
        mask: Mask::CAUSAL,
        bias: None,
        far: None,
    };
    let mut out = [0.0; LEN];
    masked_attention(
        Level::best(),
        Precision::F32,
        input,
        &mut Scratch::default(),
        &mut out,
    );
    let differences = out
        .iter()
        .enumerate()
        .map(|(at, value)| (f64::from(*value) - 1.0 / (at + 1) as f64).abs());
    differences.fold(0.0, f64::max)
}

/// A decoder that was trained to copy.
struct Copier {
    model: Model,
    /// What its last state is multiplied with: `[ids, dims]`.
    output: Embeddings,
}

impl Copier {
    fn load(context: &Context, scheme: &str, seed: usize) -> Result<Self> {
        let folder = context.models.join(format!("copy-decoder/{scheme}-{seed}"));
        let weights = folder.join("model.safetensors");
        if !weights.is_file() {
            let problem = format!(
                "expected a trained decoder in {}, found none; make it with: python scripts/train_nope.py --only none,ape",
                folder.display()
            );
            return Err(failed(ID, problem));
        }
        Ok(Self {
            model: Model::load(&folder.display().to_string()).map_err(|error| failed(ID, error))?,
            output: head(&weights)?,
        })
    }

    /// The share of texts of so many symbols that it copies without a mistake: what it would write is what it is told to have written.
    fn share(&self, symbols: usize, seed: &mut Seed) -> Result<f64> {
        let (mut starts, mut wanted) = (Vec::new(), Vec::new());
        for _ in 0..TEXTS {
            let copied: Vec<u32> = (0..symbols)
                .map(|_| seed.below(SYMBOLS as usize) as u32)
                .collect();
            let mut text = vec![BEGIN];
            text.extend(&copied);
            text.push(SEPARATOR);
            for next in copied.into_iter().chain([END]) {
                starts.push(text.clone());
                wanted.push(next);
                text.push(next);
            }
        }
        let states = self.model.encode_ids(&starts, &Options::default());
        let states = states.map_err(|error| failed(ID, error))?;
        let right: Vec<bool> = states
            .iter()
            .zip(&wanted)
            .map(|(state, wanted)| self.next(state) == Some(*wanted as usize))
            .collect();
        let whole = right
            .chunks_exact(symbols + 1)
            .filter(|text| text.iter().all(|right| *right));
        Ok(whole.count() as f64 / TEXTS as f64)
    }

    /// The likeliest id behind a text with this last state.
    fn next(&self, state: &[f32]) -> Option<usize> {
        let logit = |row: &[f32]| -> f32 { row.iter().zip(state).map(|(a, b)| a * b).sum() };
        let logits = self.output.iter().map(logit).enumerate();
        logits.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(id, _)| id)
    }
}

/// The output layer of the decoder in a file.
fn head(weights: &Path) -> Result<Embeddings> {
    safetensors::open(weights, Some("lm_head.weight")).map_err(|error| failed(ID, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_can_be_told_without_positions() {
        assert!(recoverable() < 1e-6);
    }

    #[test]
    fn a_missing_decoder_is_an_error_that_says_how_to_make_it() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context {
            data: folder.path().into(),
            models: folder.path().into(),
            seed: 1,
        };
        let error = crate::reproduce(ID, &context).unwrap_err().to_string();
        assert!(error.contains("scripts/train_nope.py"), "{error}");
    }
}
