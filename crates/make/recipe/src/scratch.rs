//! A base of random weights: BERT of any size, with a vocabulary that is learned from the data or taken from a tokenizer.

use std::path::{Path, PathBuf};

use kokeshi_core::file::write_atomic;
use kokeshi_core::{Error as CoreError, Seed};
use kokeshi_encode::{BYTE_WORDS, ByteWordsShape, TrainPooling, WordIds, model_folder, safetensors_bytes};
use kokeshi_tokens::{SPECIAL, Tokenizer, learn_wordpiece};
use serde::Deserialize;
use serde_json::json;

use crate::error::{Error, Result};
use crate::output::{pooling_config, write_json, write_modules};
use crate::recipe::in_words;

/// What BERT's weights begin with: normal with this deviation (arXiv 1810.04805, `initializer_range`).
const DEVIATION: f64 = 0.02;
/// BERT's two types of tokens, of which texts alone have the first.
const TYPES: usize = 2;
const EPSILON: f64 = 1e-12;

/// `[base]` of a recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Scratch {
    /// Blocks.
    pub layers: usize,
    /// Width of a token's vector.
    pub hidden: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Width inside the feed-forward network.
    pub inner: usize,
    /// The most tokens of a text.
    pub longest: usize,
    /// The most tokens that are learned from the data.
    pub vocabulary: usize,
    /// Where the vocabulary comes from instead: a `tokenizer.json`, or the directory or hub id of a model.
    pub tokenizer: Option<String>,
    /// Heads of the layer that makes words of their bytes, if there is one in the place of a vocabulary.
    pub byte_heads: Option<usize>,
    /// How it pools.
    pub pooling: ScratchPooling,
}

/// What it reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Input {
    #[default]
    Tokens,
    Bytes,
}

/// How a new model pools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScratchPooling {
    /// By the mean of its tokens.
    #[default]
    Mean,
    /// By the first token.
    First,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    layers: usize,
    hidden: usize,
    heads: usize,
    inner: Option<usize>,
    longest: Option<usize>,
    vocabulary: Option<usize>,
    tokenizer: Option<String>,
    #[serde(default)]
    input: Input,
    byte_heads: Option<usize>,
    #[serde(default)]
    pooling: ScratchPooling,
}

impl Scratch {
    /// From the table of a recipe.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(table: toml::Value) -> Result<Self, String> {
        if !table.is_table() {
            return Err(format!(
                "expected a directory or hub id, or a table with layers, hidden and heads, found {}",
                table.type_str()
            ));
        }
        let raw: Raw = table
            .try_into()
            .map_err(|error: toml::de::Error| in_words(error.message()))?;
        let made = Self {
            layers: raw.layers,
            hidden: raw.hidden,
            heads: raw.heads,
            inner: raw.inner.unwrap_or(raw.hidden.saturating_mul(4)),
            longest: raw.longest.unwrap_or(512),
            vocabulary: raw.vocabulary.unwrap_or(30_522),
            tokenizer: raw.tokenizer,
            byte_heads: (raw.input == Input::Bytes).then(|| raw.byte_heads.unwrap_or(raw.heads)),
            pooling: raw.pooling,
        };
        let within = [
            ("layers", made.layers, 1, 200),
            ("hidden", made.hidden, 4, 16_384),
            ("heads", made.heads, 1, 256),
            ("inner", made.inner, 1, 1 << 16),
            ("longest", made.longest, 8, 1 << 16),
            ("vocabulary", made.vocabulary, 32, 1 << 20),
            ("byte_heads", made.byte_heads.unwrap_or(1), 1, 256),
        ];
        if let Some((key, found, least, most)) = within
            .into_iter()
            .find(|(_, found, least, most)| !(least..=most).contains(&found))
        {
            return Err(format!("{key}: expected {least} to {most}, found {found}"));
        }
        if !made.hidden.is_multiple_of(made.heads) {
            return Err(format!(
                "hidden: expected a multiple of heads ({}), found {}",
                made.heads, made.hidden
            ));
        }
        if let Some(heads) = made.byte_heads
            && !made.hidden.is_multiple_of(heads)
        {
            return Err(format!(
                "hidden: expected a multiple of byte_heads ({heads}), found {}",
                made.hidden
            ));
        }
        let with_vocabulary = [
            ("vocabulary", raw.vocabulary.is_some()),
            ("tokenizer", made.tokenizer.is_some()),
        ];
        if let Some((key, _)) = with_vocabulary.into_iter().find(|(_, given)| *given)
            && made.byte_heads.is_some()
        {
            return Err(format!(
                "{key}: expected it without input = \"bytes\", which needs none"
            ));
        }
        if raw.byte_heads.is_some() && made.byte_heads.is_none() {
            return Err("byte_heads: expected it with input = \"bytes\" alone".into());
        }
        if raw.vocabulary.is_some() && made.tokenizer.is_some() {
            return Err("vocabulary: expected it without tokenizer, which has its own".into());
        }
        Ok(made)
    }

    /// Writes the model directory: the same texts and seed give the same bytes.
    ///
    /// # Errors
    /// A vocabulary that can't be learned or read; a file that can't be written.
    pub(crate) fn make(&self, out: &Path, texts: &[String], mut seed: Seed) -> Result<()> {
        std::fs::create_dir_all(out).map_err(CoreError::io(out))?;
        let bytes = self.byte_heads.map(|heads| ByteWordsShape {
            dims: self.hidden,
            heads,
        });
        let (vocabulary, words) = match bytes {
            None => (self.tokenizer(out, texts)?, "word"),
            Some(_) => (WordIds::SPECIAL, "special"),
        };
        let layer = bytes.map(|shape| (shape, shape.fresh(seed.fork(1))));
        let (hidden, inner) = (self.hidden, self.inner);
        let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
        let mut random = |name: String, rows: usize, cols: usize| {
            let values = (0..rows * cols).map(|_| (seed.normal() * DEVIATION) as f32);
            tensors.push((name, vec![rows, cols], values.collect()));
        };
        let tables = [
            (words, vocabulary),
            ("position", self.longest),
            ("token_type", TYPES),
        ];
        // Words of bytes are Kokeshi's own encoder, which has no types.
        let count = if bytes.is_some() { 2 } else { 3 };
        for (name, rows) in tables.into_iter().take(count) {
            random(format!("embeddings.{name}_embeddings.weight"), rows, hidden);
        }
        for layer in 0..self.layers {
            let block = format!("encoder.layer.{layer}");
            for part in ["self.query", "self.key", "self.value", "output.dense"] {
                random(format!("{block}.attention.{part}.weight"), hidden, hidden);
            }
            random(format!("{block}.intermediate.dense.weight"), inner, hidden);
            random(format!("{block}.output.dense.weight"), hidden, inner);
        }
        let biases: Vec<(String, usize)> = tensors
            .iter()
            .filter_map(|(name, shape, _)| Some((name.strip_suffix(".weight")?.to_string(), shape[0])))
            .filter(|(name, _)| !name.starts_with("embeddings"))
            .collect();
        tensors.extend(
            biases
                .into_iter()
                .map(|(name, len)| (format!("{name}.bias"), vec![len], vec![0.0; len])),
        );
        let norms = (0..self.layers).flat_map(|layer| {
            ["attention.output", "output"].map(|part| format!("encoder.layer.{layer}.{part}"))
        });
        for norm in std::iter::once("embeddings".to_string()).chain(norms) {
            for (part, value) in [("weight", 1.0), ("bias", 0.0)] {
                tensors.push((
                    format!("{norm}.LayerNorm.{part}"),
                    vec![hidden],
                    vec![value; hidden],
                ));
            }
        }
        if let Some((shape, values)) = layer {
            let mut rest = values.as_slice();
            for (name, shape) in shape.tensors() {
                let (mine, others) = rest.split_at(shape.iter().product());
                tensors.push((format!("{BYTE_WORDS}{name}"), shape, mine.to_vec()));
                rest = others;
            }
        }
        let views: Vec<(&str, &[usize], &[f32])> = tensors
            .iter()
            .map(|(name, shape, values)| (name.as_str(), shape.as_slice(), values.as_slice()))
            .collect();
        write_atomic(&out.join("model.safetensors"), &safetensors_bytes(&views))?;
        let mut config = json!({
            "architectures": ["BertModel"], "model_type": "bert", "hidden_size": hidden, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "intermediate_size": inner, "hidden_act": "gelu", "max_position_embeddings": self.longest,
            "type_vocab_size": TYPES, "vocab_size": vocabulary, "layer_norm_eps": EPSILON, "initializer_range": DEVIATION,
            "pad_token_id": 0, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
        });
        if let Some(shape) = bytes {
            config["model_type"] = "kokeshi_byte2word".into();
            config["architectures"] = json!([]);
            config["byte_heads"] = shape.heads.into();
            config["type_vocab_size"] = 0.into();
        }
        write_json(&out.join("config.json"), &config)?;
        // A vocabulary's own tokenizer lowers letters.
        let limit = json!({"max_seq_length": self.longest, "do_lower_case": bytes.is_some()});
        write_json(&out.join("sentence_bert_config.json"), &limit)?;
        let pooling = match self.pooling {
            ScratchPooling::Mean => TrainPooling::Mean,
            ScratchPooling::First => TrainPooling::First,
        };
        write_modules(out, &pooling_config(pooling, hidden), None, false)
    }

    /// Writes the tokenizer; returns how many tokens it has.
    fn tokenizer(&self, out: &Path, texts: &[String]) -> Result<usize> {
        let bytes = match &self.tokenizer {
            None => {
                let [pad, unknown, first, last, mask] = SPECIAL;
                let about = json!({
                    "tokenizer_class": "BertTokenizer", "do_lower_case": true, "model_max_length": self.longest,
                    "pad_token": pad, "unk_token": unknown, "cls_token": first, "sep_token": last, "mask_token": mask,
                });
                write_json(&out.join("tokenizer_config.json"), &about)?;
                learn_wordpiece(texts, self.vocabulary)?
            }
            Some(name) => {
                let file = PathBuf::from(name);
                let file = match file.is_file() {
                    true => file,
                    false => model_folder(name)?.join("tokenizer.json"),
                };
                // What names its special tokens to other libraries.
                for beside in ["tokenizer_config.json", "special_tokens_map.json"] {
                    let from = file.with_file_name(beside);
                    if from.is_file() {
                        let bytes = std::fs::read(&from).map_err(CoreError::io(&from))?;
                        write_atomic(&out.join(beside), &bytes)?;
                    }
                }
                std::fs::read(&file).map_err(CoreError::io(&file))?
            }
        };
        let path = out.join("tokenizer.json");
        write_atomic(&path, &bytes)?;
        match Tokenizer::open(&path)?.vocabulary() {
            0 => Err(Error::Settings(format!(
                "{}: expected tokens, found none",
                path.display()
            ))),
            count => Ok(count),
        }
    }
}
