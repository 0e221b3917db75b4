//! Words made of their bytes by cross-attention (Byte2Word, arXiv 2211.12677): a table of 256 bytes in the place of one of all tokens, and no
//! unknown word. The paper's sizes could not be read; what is here stays within its abstract.
//!
//! A module of this type (`kokeshi.BytesToWords`) stands first, as a StaticEmbedding does: a text is the mean of its words.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, RwLock};

use kokeshi_core::Seed;
use kokeshi_kernels::{Activation, Level, Linear, Precision, gate};

use crate::directory::Fields;
use crate::encoder::Parts;
use crate::encoder::parts::Norm;
use crate::encoder::plan::{LinearPlan, NormKind, NormPlan};
use crate::error::Result;
use crate::pooling::cross::product;
use crate::safetensors::Weights;

/// Bytes of a word that are read: the first and the last half of them if it is longer.
pub const WORD_BYTES: usize = 16;
/// PyTorch's epsilon of a LayerNorm.
const EPSILON: f32 = 1e-5;
/// Words whose vectors are kept.
const KEPT: usize = 1 << 16;

/// Byte ranges of the words of `text`: runs of letters and digits, and every other visible character alone. Letters of scripts without blanks
/// between words stand alone, too.
pub fn words(text: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    let mut open = false;
    for (at, letter) in text.char_indices() {
        let end = at + letter.len_utf8();
        let joins = letter.is_alphanumeric() && !is_unspaced(letter);
        match words.last_mut() {
            Some(word) if open && joins => word.end = end,
            _ if letter.is_whitespace() || letter.is_control() => {}
            _ => words.push(at..end),
        }
        open = joins;
    }
    words
}

/// Whether a letter's script has no blanks between words: Thai, Lao, Burmese, Khmer, kana, ideographs.
fn is_unspaced(letter: char) -> bool {
    matches!(letter as u32,
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x3400..=0x9FFF | 0xF900..=0xFAFF
        | 0x2_0000..=0x3_FFFF)
}

/// The bytes of a word that are read, at most [`WORD_BYTES`].
pub fn word_bytes(word: &[u8]) -> Vec<u8> {
    match word.len() <= WORD_BYTES {
        true => word.to_vec(),
        false => [&word[..WORD_BYTES / 2], &word[word.len() - WORD_BYTES / 2..]].concat(),
    }
}

/// The sizes of a layer that makes words of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteWordsShape {
    /// Width of a word's vector.
    pub dims: usize,
    /// Heads of attention, each with a query of its own.
    pub heads: usize,
    /// Whether texts are read in lower case.
    pub lower_case: bool,
}

impl ByteWordsShape {
    /// Names and shapes of its tensors: bytes, positions in a word, the heads' queries end to end, weights of keys and values and of attention's
    /// output, the norm before the gated network, weight and bias of that one's first part (values, then gates) and of its second.
    pub fn tensors(&self) -> [(&'static str, Vec<usize>); 11] {
        let dims = self.dims;
        [
            ("bytes.weight", vec![256, dims]),
            ("positions.weight", vec![WORD_BYTES, dims]),
            ("query", vec![1, dims]),
            ("to_kv.weight", vec![2 * dims, dims]),
            ("to_out.weight", vec![dims, dims]),
            ("norm.weight", vec![dims]),
            ("norm.bias", vec![dims]),
            ("net.0.weight", vec![4 * dims, dims]),
            ("net.0.bias", vec![4 * dims]),
            ("net.2.weight", vec![dims, 2 * dims]),
            ("net.2.bias", vec![dims]),
        ]
    }

    /// Values to begin with, of all tensors end to end: vectors are normal, weights uniform up to one over the root of their inputs.
    pub fn fresh(&self, mut seed: Seed) -> Vec<f32> {
        let mut values = Vec::new();
        for (name, shape) in self.tensors() {
            let (len, inputs) = (shape.iter().product(), shape[shape.len() - 1]);
            values.extend((0..len).map(|_| match name {
                "norm.weight" => 1.0,
                name if name.ends_with("bias") => 0.0,
                "bytes.weight" | "positions.weight" | "query" => seed.normal() as f32,
                _ => ((2.0 * seed.uniform() - 1.0) / (inputs as f64).sqrt()) as f32,
            }));
        }
        values
    }

    /// `config.json` of its module.
    pub fn config(&self) -> serde_json::Value {
        serde_json::json!({"dims": self.dims, "heads": self.heads, "lower_case": self.lower_case})
    }
}

/// The module.
pub(crate) struct BytesToWords {
    shape: ByteWordsShape,
    /// A byte's and a position's part of keys (as scores, `[heads]`) and values (`[dims]`), end to end.
    bytes: Vec<f32>,
    positions: Vec<f32>,
    output: Linear,
    norm: Norm,
    /// The gate, then what it is multiplied with; files have them the other way round.
    up: Linear,
    down: Linear,
    kept: RwLock<HashMap<Vec<u8>, Arc<[f32]>>>,
}

impl BytesToWords {
    /// Reads `config.json` and `model.safetensors` in the module's folder.
    pub(crate) fn load(folder: &Path) -> Result<Self> {
        let config = Fields::read(&folder.join("config.json"))?;
        let shape = ByteWordsShape {
            dims: config.size("dims", 1 << 16)?,
            heads: config.size("heads", 1 << 12)?,
            lower_case: config.flag("lower_case")?.unwrap_or(false),
        };
        let (dims, heads) = (shape.dims, shape.heads);
        if !dims.is_multiple_of(heads) {
            return Err(config.wrong(
                "heads",
                format!("expected heads that divide {dims} dims, found {heads}"),
            ));
        }
        let weights = Weights::open_folder(folder)?;
        let parts = Parts::new((Level::best(), Precision::F32), &weights, "");
        let query = parts.values("query", &[1, dims])?;
        let (both, _) = parts.layer(&LinearPlan::new("to_kv".into(), false), dims, 2 * dims)?;
        let both = Linear::new(Level::best(), Precision::F32, dims, 2 * dims, &both, None);
        let scale = 1.0 / ((dims / heads) as f32).sqrt();
        // Keys and values are linear, so a byte and its position each bring a part, and of the keys only scores are needed.
        let table = |name: &str, rows: usize| -> Result<Vec<f32>> {
            let rows = product(&both, &parts.values(name, &[rows, dims])?);
            let rows = rows.chunks_exact(2 * dims).flat_map(|row| {
                let (key, value) = row.split_at(dims);
                let width = dims / heads;
                let pairs = key.chunks_exact(width).zip(query.chunks_exact(width));
                let scores = pairs.map(|(key, query)| scale * kokeshi_core::distance::dot(key, query));
                scores.chain(value.iter().copied()).collect::<Vec<f32>>()
            });
            Ok(rows.collect())
        };
        let plan = LinearPlan::new("net.0".into(), true);
        let (mut up, mut bias) = parts.layer(&plan, dims, 4 * dims)?;
        up.rotate_left(2 * dims * dims);
        bias.rotate_left(2 * dims);
        let norm = NormPlan {
            name: "norm".into(),
            kind: NormKind::Layer { bias: true },
            epsilon: EPSILON,
        };
        Ok(Self {
            bytes: table("bytes.weight", 256)?,
            positions: table("positions.weight", WORD_BYTES)?,
            output: parts.linear(&LinearPlan::new("to_out".into(), false), dims, dims)?,
            norm: parts.norm(&norm, dims)?,
            up: Linear::new(Level::best(), Precision::F32, dims, 4 * dims, &up, Some(&bias)),
            down: parts.linear(&LinearPlan::new("net.2".into(), true), 2 * dims, dims)?,
            kept: RwLock::default(),
            shape,
        })
    }

    /// The width of its vectors.
    pub(crate) fn dims(&self) -> usize {
        self.shape.dims
    }

    /// Writes the mean of the text's word vectors to `out` (`[dims]`), not normalised; zeros if it has no word.
    pub(crate) fn encode(&self, text: &str, out: &mut [f32]) {
        out.fill(0.0);
        let lower = self.shape.lower_case.then(|| text.to_lowercase());
        let text = lower.as_deref().unwrap_or(text);
        let words = words(text);
        for word in &words {
            let vector = self.word(&text.as_bytes()[word.clone()]);
            out.iter_mut()
                .zip(vector.iter())
                .for_each(|(sum, value)| *sum += value);
        }
        let share = 1.0 / words.len().max(1) as f32;
        out.iter_mut().for_each(|value| *value *= share);
    }

    /// A word's vector, made once for words that come often.
    fn word(&self, word: &[u8]) -> Arc<[f32]> {
        let bytes = word_bytes(word);
        // A thread that died left nothing half done: vectors are put in whole.
        let kept = self
            .kept
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(found) = kept.get(&bytes) {
            return found.clone();
        }
        let full = kept.len() >= KEPT;
        drop(kept);
        let made: Arc<[f32]> = self.make(&bytes).into();
        if !full {
            let mut kept = self
                .kept
                .write()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            kept.insert(bytes, made.clone());
        }
        made
    }

    fn make(&self, bytes: &[u8]) -> Vec<f32> {
        let (dims, heads) = (self.shape.dims, self.shape.heads);
        let width = heads + dims;
        let pairs = bytes.iter().zip(self.positions.chunks_exact(width));
        let rows: Vec<(&[f32], &[f32])> = pairs
            .map(|(byte, place)| (&self.bytes[usize::from(*byte) * width..][..width], place))
            .collect();
        let mut mixed = vec![0.0; dims];
        for (head, mixed) in mixed.chunks_exact_mut(dims / heads).enumerate() {
            let scores: Vec<f32> = rows
                .iter()
                .map(|(byte, place)| byte[head] + place[head])
                .collect();
            let most = scores.iter().copied().fold(f32::MIN, f32::max);
            let total: f32 = scores.iter().map(|score| (score - most).exp()).sum();
            let first = heads + head * mixed.len();
            for (score, (byte, place)) in scores.iter().zip(&rows) {
                let share = (score - most).exp() / total;
                let values = byte[first..].iter().zip(&place[first..]);
                for (sum, (byte, place)) in mixed.iter_mut().zip(values) {
                    *sum += share * (byte + place);
                }
            }
        }
        let mut word = product(&self.output, &mixed);
        let mut normed = word.clone();
        self.norm.apply(&mut normed);
        let mut both = product(&self.up, &normed);
        let mut inner = vec![0.0; 2 * dims];
        gate(Level::best(), 2 * dims, Activation::Gelu, &mut both, &mut inner);
        let more = product(&self.down, &inner);
        word.iter_mut().zip(more).for_each(|(sum, value)| *sum += value);
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        words(text).into_iter().map(|word| &text[word]).collect()
    }

    #[test]
    fn texts_are_split_at_blanks_and_marks() {
        assert_eq!(
            split("Don't stop, v2.0!"),
            ["Don", "'", "t", "stop", ",", "v2", ".", "0", "!"]
        );
        assert_eq!(split("北京 in été"), ["北", "京", "in", "été"]);
        assert_eq!(split("\u{1}\u{0}\n\t  "), Vec::<&str>::new());
        assert_eq!(split("abc漢字def"), ["abc", "漢", "字", "def"]);
    }

    #[test]
    fn long_words_keep_both_ends() {
        let word: Vec<u8> = (b'a'..=b'z').collect();
        assert_eq!(word_bytes(&word), b"abcdefghstuvwxyz");
        assert_eq!(word_bytes(&word[..WORD_BYTES]), word[..WORD_BYTES]);
    }
}
