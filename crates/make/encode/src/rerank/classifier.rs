//! Cross-encoders: an encoder over both texts, one vector of it, and a classifier on top.

use std::path::Path;

use kokeshi_kernels::{Activation, Epilogue, Level, Linear, Precision, QuantizedRows};
use kokeshi_tokens::{Encoding, PairTemplate, Tokenizer};

use super::{Pair, architecture};
use crate::directory::Fields;
use crate::encoder::Keep;
use crate::encoder::parts::{Norm, Parts};
use crate::encoder::plan::{LinearPlan, NormKind, NormPlan};
use crate::error::{Error, Result};
use crate::safetensors::Weights;

/// Which vector of the encoder the classifier reads.
#[derive(Clone, Copy)]
enum Pool {
    First,
    Mean,
    Last,
}

/// What stands between the encoder and the scores.
pub(super) struct Classifier {
    template: PairTemplate,
    pool: Pool,
    /// A layer with an activation, and a norm.
    dense: Option<(Linear, Activation, Option<Norm>)>,
    /// One or two scores.
    output: Linear,
    /// What is done with a single score.
    sigmoid: bool,
}

/// The tensors of a family's head.
struct Head {
    pool: Pool,
    dense: Option<(LinearPlan, Activation)>,
    norm: Option<NormPlan>,
    output: &'static str,
}

fn head(config: &Fields, prefix: &str) -> Result<Head> {
    let dense =
        |name: String, bias: bool, activation: Activation| Some((LinearPlan::new(name, bias), activation));
    let plain = |dense, output| Head {
        pool: Pool::First,
        dense,
        norm: None,
        output,
    };
    Ok(match config.text("model_type")?.unwrap_or("") {
        "bert" => plain(
            dense(format!("{prefix}pooler.dense"), true, Activation::Tanh),
            "classifier",
        ),
        "distilbert" => plain(
            dense("pre_classifier".into(), true, Activation::Relu),
            "classifier",
        ),
        "modernbert" => {
            let flag = |field: &str| config.flag(field);
            Head {
                pool: match config.text("classifier_pooling")?.unwrap_or("cls") {
                    "cls" => Pool::First,
                    "mean" => Pool::Mean,
                    other => {
                        return Err(config.wrong(
                            "classifier_pooling",
                            format!("expected cls or mean, found {other}"),
                        ));
                    }
                },
                dense: dense(
                    "head.dense".into(),
                    flag("classifier_bias")?.unwrap_or(false),
                    crate::family::activation(config, "classifier_activation", "gelu")?,
                ),
                norm: Some(NormPlan {
                    name: "head.norm".into(),
                    kind: NormKind::Layer {
                        bias: flag("norm_bias")?.unwrap_or(false),
                    },
                    epsilon: crate::family::epsilon(config, "norm_eps", 1e-5)?,
                }),
                output: "classifier",
            }
        }
        "llama" | "mistral" | "qwen2" | "qwen3" => Head {
            pool: Pool::Last,
            ..plain(None, "score")
        },
        "roberta" | "xlm-roberta" | "camembert" | "mpnet" => plain(
            dense("classifier.dense".into(), true, Activation::Tanh),
            "classifier.out_proj",
        ),
        other => {
            return Err(config.wrong("model_type", format!("no classifier is known for {other}")));
        }
    })
}

impl Classifier {
    pub(super) fn load(
        root: &Path,
        config: &Fields,
        weights: &Weights,
        prefix: &str,
        hidden: usize,
    ) -> Result<Self> {
        let level = Level::best();
        let parts = Parts::new((level, Precision::F32), weights, "");
        let head = head(config, prefix)?;
        let name = format!("{}.weight", head.output);
        let labels = match weights
            .tensor(&name)
            .map(|tensor| tensor.shape.to_vec())
            .as_deref()
        {
            Some(&[labels @ 1..=2, width]) if width == hidden => labels,
            found => {
                return Err(Error::model(
                    weights.path(),
                    format!(
                        "tensor {name}: expected shape [1, {hidden}] or [2, {hidden}] of a reranker's classifier, found {}",
                        found.map_or(
                            format!("no such tensor ({})", architecture(config)),
                            |shape| format!("{shape:?}")
                        )
                    ),
                ));
            }
        };
        let bias = weights.tensor(&format!("{}.bias", head.output)).is_some();
        let dense = match &head.dense {
            None => None,
            Some((plan, activation)) => {
                let norm = parts.optional_norm(head.norm.as_ref(), hidden)?;
                Some((parts.linear(plan, hidden, hidden)?, *activation, norm))
            }
        };
        let path = root.join("tokenizer.json");
        Ok(Self {
            template: PairTemplate::open(&path).map_err(|error| Error::model(root, error.to_string()))?,
            pool: head.pool,
            dense,
            output: parts.linear(&LinearPlan::new(head.output.into(), bias), hidden, labels)?,
            sigmoid: sigmoid(config)?,
        })
    }

    /// Both texts as one sequence, the longer cut first.
    pub(super) fn pair(
        &self,
        tokenizer: &Tokenizer,
        query: &str,
        text: &str,
        limit: usize,
        encoding: &mut Encoding,
    ) -> Pair {
        let first = tokenizer.encode_pair(&self.template, query, text, limit, encoding);
        Pair {
            ids: encoding.ids.clone(),
            first,
        }
    }

    /// The hidden states that it reads.
    pub(super) fn keep(&self) -> Keep {
        match self.pool {
            Pool::First => Keep::First,
            Pool::Mean => Keep::All,
            Pool::Last => Keep::Last,
        }
    }

    /// The score of a sequence whose hidden states are `tokens` (`[len, hidden]`, at least those that [`Self::keep`] names).
    pub(super) fn score(&self, tokens: &[f32]) -> f32 {
        let hidden = self.output.inputs();
        if tokens.is_empty() {
            return 0.0;
        }
        let mut vector = match self.pool {
            Pool::First => tokens[..hidden].to_vec(),
            Pool::Last => tokens[tokens.len() - hidden..].to_vec(),
            Pool::Mean => {
                let mut mean = vec![0.0; hidden];
                for row in tokens.chunks_exact(hidden) {
                    mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                }
                let scale = hidden as f32 / tokens.len() as f32;
                mean.iter_mut().for_each(|value| *value *= scale);
                mean
            }
        };
        // A single row in f32 needs none of it.
        let quantized = &mut QuantizedRows::default();
        if let Some((dense, activation, norm)) = &self.dense {
            let input = vector.clone();
            dense.apply(1, &input, quantized, &mut vector, Epilogue::Activate(*activation));
            if let Some(norm) = norm {
                norm.apply(&mut vector);
            }
        }
        let mut scores = [0.0; 2];
        let scores = &mut scores[..self.output.outputs()];
        self.output.apply(
            1,
            &vector,
            quantized,
            scores,
            Epilogue::Activate(Activation::Identity),
        );
        match *scores {
            // Of two labels the second says that the text is relevant.
            [no, yes] => 1.0 / (1.0 + (no - yes).exp()),
            [score] if self.sigmoid => 1.0 / (1.0 + (-score).exp()),
            [score, ..] => score,
            [] => 0.0,
        }
    }
}

/// Whether a single score goes through the sigmoid, as sentence-transformers does unless the configuration says otherwise.
fn sigmoid(config: &Fields) -> Result<bool> {
    let nested = config.object("sentence_transformers")?;
    let named = match &nested {
        Some(nested) => nested.text("activation_fn")?,
        None => None,
    };
    let named = match named {
        Some(name) => Some(name),
        None => config.text("sbert_ce_default_activation_function")?,
    };
    match named.map(|name| name.rsplit('.').next().unwrap_or(name)) {
        None | Some("Sigmoid") => Ok(true),
        Some("Identity") => Ok(false),
        Some(other) => Err(config.wrong(
            "sentence_transformers.activation_fn",
            format!("expected Sigmoid or Identity, found {other}"),
        )),
    }
}
