//! Rerankers: models that read a query and a text together and say how relevant the text is.
//!
//! | file | kind |
//! |---|---|
//! | [`classifier`] | cross-encoders: an encoder with a classifier on top (`...ForSequenceClassification`) |
//! | [`yes_no`] | language models that are asked for yes or no (Qwen3-Reranker, arXiv 2506.05176) |

mod classifier;
mod yes_no;

use std::cell::RefCell;
use std::sync::Arc;

use kokeshi_tokens::{Encoding, Tokenizer};
use rayon::prelude::*;

use crate::chunks::chunks;
use crate::directory::{self, Fields};
use crate::encoder::{Encoder, Keep, Scratch, Text};
use crate::error::{Error, Result};
use crate::family;
use crate::hub;
use crate::options::LoadOptions;
use crate::safetensors::Weights;
use classifier::Classifier;
use yes_no::YesNo;

/// A loaded reranker. Cheap to clone, shared between threads.
#[derive(Clone)]
pub struct Reranker {
    inner: Arc<Inner>,
}

struct Inner {
    id: String,
    tokenizer: Tokenizer,
    encoder: Encoder,
    kind: Kind,
    max_tokens: usize,
}

enum Kind {
    Classifier(Box<Classifier>),
    YesNo(Box<YesNo>),
}

/// A query and a text as the encoder reads them.
struct Pair {
    ids: Vec<u32>,
    first: usize,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Reranker {
    /// Loads a directory or a hub id, as [`crate::Model::load`] does: a cross-encoder (BERT, RoBERTa, XLM-R, DistilBERT, MPNet, ModernBERT
    /// with a classifier of one or two labels, or Qwen2 and Llama with one), or a language model like Qwen3-Reranker.
    ///
    /// # Errors
    /// [`Error::Model`] that names the file and what is wrong with it.
    pub fn load(path_or_id: &str) -> Result<Self> {
        Self::load_with(path_or_id, &LoadOptions::default())
    }

    /// The same with a choice of how it computes.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with(path_or_id: &str, options: &LoadOptions) -> Result<Self> {
        let root = hub::find(path_or_id)?;
        let config = Fields::read(&root.join("config.json"))?;
        let plan = family::plan(&config)?;
        let weights = Weights::open_folder(&root)?;
        let path = root.join("tokenizer.json");
        let tokenizer = Tokenizer::open(&path).map_err(|error| Error::model(&root, error.to_string()))?;
        let prefix = plan.prefix;
        let words = plan.words.clone();
        let encoder = Encoder::from_weights(plan, &config, &weights, options)?;
        encoder.check_tokenizer(&path, tokenizer.vocabulary())?;
        let hidden = encoder.hidden();
        let kind = if architecture(&config).ends_with("ForCausalLM") {
            Kind::YesNo(Box::new(YesNo::load(
                &root,
                &config,
                &weights,
                &tokenizer,
                (prefix, &words),
                hidden,
            )?))
        } else {
            Kind::Classifier(Box::new(Classifier::load(
                &root, &config, &weights, prefix, hidden,
            )?))
        };
        let limit = match options.context {
            Some(limit) => limit,
            None => directory::limit(&root)?,
        };
        let max_tokens = limit.min(encoder.longest());
        if let Kind::YesNo(kind) = &kind
            && kind.frame() >= max_tokens
        {
            return Err(config.wrong(
                "max_position_embeddings",
                format!(
                    "expected more than the {} tokens of the prompt, found {max_tokens}",
                    kind.frame()
                ),
            ));
        }
        Ok(Self {
            inner: Arc::new(Inner {
                id: path_or_id.into(),
                tokenizer,
                encoder,
                kind,
                max_tokens,
            }),
        })
    }

    /// What it was loaded from.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The most tokens of a query and a text together that it reads.
    pub fn max_tokens(&self) -> usize {
        self.inner.max_tokens
    }

    /// How relevant each text is to `query`, in order; more is better. In 0..1, unless the model's configuration asks for raw scores.
    ///
    /// # Errors
    /// [`Error::Request`] if the tokenizer makes a token that the model doesn't have.
    pub fn score<T: AsRef<str> + Sync>(&self, query: &str, texts: &[T]) -> Result<Vec<f32>> {
        let inner = &*self.inner;
        let pairs: Vec<Pair> = texts
            .par_iter()
            .map_init(Encoding::default, |encoding, text| {
                let pair = match &inner.kind {
                    Kind::Classifier(kind) => {
                        kind.pair(&inner.tokenizer, query, text.as_ref(), inner.max_tokens, encoding)
                    }
                    Kind::YesNo(kind) => kind.pair(&inner.tokenizer, query, text.as_ref(), inner.max_tokens),
                };
                let vocabulary = inner.encoder.vocabulary();
                match pair.ids.iter().find(|id| **id as usize >= vocabulary) {
                    Some(id) => Err(Error::Request(format!(
                        "the tokenizer made id {id}, but the model has vectors for ids up to {}",
                        vocabulary - 1
                    ))),
                    None => Ok(pair),
                }
            })
            .collect::<Result<_>>()?;
        let mut order: Vec<usize> = (0..pairs.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(pairs[*at].ids.len()));
        let mut scores = vec![0.0; pairs.len()];
        let chunks = chunks(
            &order,
            |at| pairs[*at].ids.len(),
            inner.encoder.block_bytes(),
            rayon::current_num_threads(),
        );
        let scored: Vec<(&[usize], Vec<f32>)> = chunks
            .into_par_iter()
            .with_max_len(1)
            .map(|chunk| (chunk, inner.run(chunk, &pairs)))
            .collect();
        for (chunk, values) in scored {
            for (at, value) in chunk.iter().zip(values) {
                scores[*at] = value;
            }
        }
        Ok(scores)
    }
}

impl Inner {
    /// The scores of the pairs in `chunk`.
    fn run(&self, chunk: &[usize], pairs: &[Pair]) -> Vec<f32> {
        SCRATCH.with_borrow_mut(|scratch| {
            let texts: Vec<Text<'_>> = chunk
                .iter()
                .map(|at| Text {
                    ids: &pairs[*at].ids,
                    first: pairs[*at].first,
                })
                .collect();
            let keep = match &self.kind {
                Kind::Classifier(kind) => kind.keep(),
                Kind::YesNo(_) => Keep::Last,
            };
            self.encoder
                .run(&texts, self.encoder.layers(), keep, scratch, |_, _| {});
            let hidden = self.encoder.hidden();
            let mut start = 0;
            texts
                .iter()
                .map(|text| {
                    let count = keep.count(text.ids.len());
                    let tokens = &scratch.hidden[start * hidden..][..count * hidden];
                    start += count;
                    match &self.kind {
                        Kind::Classifier(kind) => kind.score(tokens),
                        Kind::YesNo(kind) => kind.score(tokens),
                    }
                })
                .collect()
        })
    }
}

/// The class that the configuration names, such as `BertForSequenceClassification`.
fn architecture(config: &Fields) -> &str {
    let named = config.get("architectures").and_then(|list| list.get(0));
    named.and_then(serde_json::Value::as_str).unwrap_or("")
}
