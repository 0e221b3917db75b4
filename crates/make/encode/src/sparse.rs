//! Sparse vectors: how much each token of the vocabulary has to do with a text, from a masked-language-model head (SPLADE,
//! arXiv 2107.05720): `max over positions of ln(1 + relu(logit))`.

use std::cell::RefCell;
use std::sync::Arc;

use kokeshi_kernels::{Activation, Buffer, Epilogue, Level, Linear, Precision, QuantizedRows};
use kokeshi_tokens::{Encoding, Tokenizer};
use rayon::prelude::*;

use crate::directory::{self, Fields};
use crate::encoder::parts::{Norm, Parts};
use crate::encoder::plan::{LinearPlan, NormKind, NormPlan};
use crate::encoder::{Encoder, Keep, Scratch, Text};
use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::safetensors::Weights;
use crate::{family, hub};

/// Positions whose logits are held at once: a vocabulary of 30,000 takes 4 MB for them.
const ROWS: usize = 32;

/// A loaded sparse model. Cheap to clone, shared between threads.
#[derive(Clone)]
pub struct SparseModel {
    inner: Arc<Inner>,
}

struct Inner {
    id: String,
    tokenizer: Tokenizer,
    encoder: Encoder,
    dense: Linear,
    activation: Activation,
    norm: Norm,
    output: Linear,
    max_tokens: usize,
}

#[derive(Default)]
struct Space {
    scratch: Scratch,
    quantized: QuantizedRows,
    inner: Buffer,
    logits: Buffer,
}

thread_local! {
    static SPACE: RefCell<Space> = RefCell::default();
}

/// What a family's head is called: dense layer, norm, bias of the output; and its activation.
fn names(config: &Fields) -> Result<([&'static str; 3], Activation)> {
    Ok(match config.text("model_type")?.unwrap_or("") {
        "bert" => (
            [
                "cls.predictions.transform.dense",
                "cls.predictions.transform.LayerNorm",
                "cls.predictions.bias",
            ],
            family::activation(config, "hidden_act", "gelu")?,
        ),
        "distilbert" => (
            ["vocab_transform", "vocab_layer_norm", "vocab_projector.bias"],
            family::activation(config, "activation", "gelu")?,
        ),
        "roberta" | "xlm-roberta" | "camembert" | "mpnet" => (
            ["lm_head.dense", "lm_head.layer_norm", "lm_head.bias"],
            Activation::Gelu,
        ),
        other => {
            let known = "bert, distilbert, roberta, xlm-roberta, camembert, mpnet";
            return Err(config.wrong(
                "model_type",
                format!("no masked-language-model head is known for {other}; known are {known}"),
            ));
        }
    })
}

impl SparseModel {
    /// Loads a directory or a hub id, as [`crate::Model::load`] does, with the weights of a masked language model. The output table is the
    /// table of the tokens.
    ///
    /// # Errors
    /// [`Error::Model`] that names the file and what is wrong with it.
    pub fn load(path_or_id: &str) -> Result<Self> {
        Self::load_with(path_or_id, &LoadOptions::default())
    }

    /// The same with a choice of how it computes; the head computes in f32 in any case.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with(path_or_id: &str, options: &LoadOptions) -> Result<Self> {
        let root = hub::find(path_or_id)?;
        let config = Fields::read(&root.join("config.json"))?;
        let ([dense, norm, bias], activation) = names(&config)?;
        let plan = family::plan(&config)?;
        let weights = Weights::open_folder(&root)?;
        let (hidden, vocabulary) = (plan.hidden, plan.vocabulary);
        let level = Level::best();
        let words = Parts::new((level, Precision::F32), &weights, plan.prefix)
            .values(&plan.words, &[vocabulary, hidden])?;
        let parts = Parts::new((level, Precision::F32), &weights, "");
        let norm = NormPlan {
            name: norm.into(),
            kind: NormKind::Layer { bias: true },
            epsilon: family::epsilon(&config, "layer_norm_eps", 1e-12)?,
        };
        let bias = parts.values(bias, &[vocabulary])?;
        let path = root.join("tokenizer.json");
        let tokenizer = Tokenizer::open(&path).map_err(|error| Error::model(&root, error.to_string()))?;
        let encoder = Encoder::from_weights(plan, &config, &weights, options)?;
        encoder.check_tokenizer(&path, tokenizer.vocabulary())?;
        let limit = match options.context {
            Some(limit) => limit,
            None => directory::limit(&root)?,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                id: path_or_id.into(),
                dense: parts.linear(&LinearPlan::new(dense.into(), true), hidden, hidden)?,
                activation,
                norm: parts.norm(&norm, hidden)?,
                output: Linear::new(level, Precision::F32, hidden, vocabulary, &words, Some(&bias)),
                max_tokens: limit.clamp(1, encoder.longest()),
                tokenizer,
                encoder,
            }),
        })
    }

    /// What it was loaded from.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The most tokens of a text that it reads.
    pub fn max_tokens(&self) -> usize {
        self.inner.max_tokens
    }

    /// How many dimensions a vector has: the tokens of the vocabulary.
    pub fn dims(&self) -> usize {
        self.inner.output.outputs()
    }

    /// The token that a dimension stands for, as the vocabulary spells it.
    pub fn token(&self, dimension: u32) -> Option<&str> {
        self.inner.tokenizer.token(dimension)
    }

    /// Encodes texts, in order: dimensions with their weights, all above 0, dimensions ascending.
    ///
    /// # Errors
    /// [`Error::Request`] if the tokenizer makes a token that the model doesn't have.
    pub fn encode<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Vec<Vec<(u32, f32)>>> {
        texts
            .par_iter()
            .map_init(Encoding::default, |encoding, text| {
                let inner = &*self.inner;
                inner
                    .tokenizer
                    .encode(text.as_ref(), true, Some(inner.max_tokens), encoding);
                let vocabulary = inner.encoder.vocabulary();
                match encoding.ids.iter().find(|id| **id as usize >= vocabulary) {
                    Some(id) => Err(Error::Request(format!(
                        "the tokenizer made id {id}, but the model has vectors for ids up to {}",
                        vocabulary - 1
                    ))),
                    None => Ok(inner.run(&encoding.ids)),
                }
            })
            .collect()
    }
}

impl Inner {
    fn run(&self, ids: &[u32]) -> Vec<(u32, f32)> {
        SPACE.with_borrow_mut(|space| {
            let Space {
                scratch,
                quantized,
                inner,
                logits,
            } = space;
            self.encoder.run(
                &[Text::single(ids)],
                self.encoder.layers(),
                Keep::All,
                scratch,
                |_, _| {},
            );
            let (hidden, vocabulary) = (self.encoder.hidden(), self.output.outputs());
            let mut most = vec![0.0_f32; vocabulary];
            for tokens in scratch.hidden.chunks(ROWS * hidden) {
                let rows = tokens.len() / hidden;
                inner.resize(tokens.len());
                self.dense.apply(
                    rows,
                    tokens,
                    quantized,
                    inner,
                    Epilogue::Activate(self.activation),
                );
                self.norm.apply(inner);
                logits.resize(rows * vocabulary);
                let plain = Epilogue::Activate(Activation::Identity);
                self.output.apply(rows, inner, quantized, logits, plain);
                for row in logits.chunks_exact(vocabulary) {
                    most.iter_mut()
                        .zip(row)
                        .for_each(|(most, logit)| *most = most.max(*logit));
                }
            }
            // The logarithm grows with the logit, so that it is taken once, of the largest.
            let weights = most.iter().enumerate().filter(|(_, logit)| **logit > 0.0);
            weights
                .map(|(dimension, logit)| (dimension as u32, logit.ln_1p()))
                .collect()
        })
    }
}
