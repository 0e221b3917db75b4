//! The layer that makes words of their bytes by cross-attention (Byte2Word, arXiv 2211.12677): a table of 256 bytes in the place of one of all
//! tokens, and no unknown word. The paper's sizes could not be read; what is here stays within its abstract.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use kokeshi_core::Seed;
use kokeshi_core::distance::dot;
use kokeshi_kernels::{Activation, Level, Linear, Precision, gate};

use crate::encoder::Parts;
use crate::encoder::parts::Norm;
use crate::encoder::plan::{LinearPlan, NormKind, NormPlan};
use crate::error::Result;
use crate::pooling::cross::product;
use crate::safetensors::Weights;
use crate::words::{WORD_BYTES, WordBytes};

/// What stands before the names of its tensors among those of an encoder.
pub const BYTE_WORDS: &str = "embeddings.byte_words.";
/// PyTorch's epsilon of a LayerNorm.
const EPSILON: f32 = 1e-5;
/// Values of the words that are kept: 64 MiB.
const KEPT: usize = 1 << 24;
/// Words that are made at once.
pub(crate) const AT_ONCE: usize = 256;

/// The sizes of a layer that makes words of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteWordsShape {
    /// Width of a word's vector.
    pub dims: usize,
    /// Heads of attention, each with a query of its own.
    pub heads: usize,
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
}

/// The layer, which keeps the words that it made first: those that come often are among them.
pub(crate) struct WordLayer {
    shape: ByteWordsShape,
    /// A byte's and a position's part of keys (as scores, `[heads]`) and values (`[dims]`), end to end.
    bytes: Vec<f32>,
    positions: Vec<f32>,
    output: Linear,
    norm: Norm,
    /// The gate, then what it is multiplied with; files have them the other way round.
    up: Linear,
    down: Linear,
    kept: RwLock<HashMap<WordBytes, Box<[f32]>>>,
}

impl WordLayer {
    /// Reads the tensors of [`ByteWordsShape::tensors`], which have `prefix` before their names; `shape` was checked.
    pub(crate) fn load(shape: ByteWordsShape, weights: &Weights, prefix: &str) -> Result<Self> {
        let (dims, heads) = (shape.dims, shape.heads);
        let parts = Parts::within((Level::best(), Precision::F32), weights, prefix);
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
                let scores = pairs.map(|(key, query)| scale * dot(key, query));
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

    /// Writes the vectors of words, each of at least one byte, to `out` (`[words, dims]`).
    pub(crate) fn vectors(&self, words: &[WordBytes], out: &mut [f32]) {
        let dims = self.shape.dims;
        // A thread that died left nothing half done: vectors are put in whole.
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let mut missing = Vec::new();
        for (at, (word, out)) in words.iter().zip(out.chunks_exact_mut(dims)).enumerate() {
            match kept.get(word) {
                Some(vector) => out.copy_from_slice(vector),
                None => missing.push(at),
            }
        }
        let room = (KEPT / dims).saturating_sub(kept.len());
        drop(kept);
        let mut fresh = Vec::new();
        for places in missing.chunks(AT_ONCE) {
            let batch: Vec<WordBytes> = places.iter().map(|at| words[*at]).collect();
            let made = self.make(&batch);
            for ((at, word), vector) in places.iter().zip(batch).zip(made.chunks_exact(dims)) {
                out[at * dims..][..dims].copy_from_slice(vector);
                if fresh.len() < room {
                    fresh.push((word, vector.into()));
                }
            }
        }
        if !fresh.is_empty() {
            let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
            // Other threads may have put theirs in since.
            let room = (KEPT / dims).saturating_sub(kept.len());
            kept.extend(fresh.into_iter().take(room));
        }
    }

    fn make(&self, words: &[WordBytes]) -> Vec<f32> {
        let dims = self.shape.dims;
        let mut mixed = vec![0.0; words.len() * dims];
        for (word, mixed) in words.iter().zip(mixed.chunks_exact_mut(dims)) {
            self.mix(word, mixed);
        }
        let mut made = product(&self.output, &mixed);
        let mut normed = made.clone();
        self.norm.apply(&mut normed);
        let mut both = product(&self.up, &normed);
        let mut inner = vec![0.0; words.len() * 2 * dims];
        gate(Level::best(), 2 * dims, Activation::Gelu, &mut both, &mut inner);
        let more = product(&self.down, &inner);
        made.iter_mut().zip(more).for_each(|(sum, value)| *sum += value);
        made
    }

    /// What attention answers, in `mixed` (zeros, `[dims]`).
    fn mix(&self, bytes: &[u8], mixed: &mut [f32]) {
        let (dims, heads) = (self.shape.dims, self.shape.heads);
        let width = heads + dims;
        let rows = || {
            let pairs = bytes.iter().zip(self.positions.chunks_exact(width));
            pairs.map(|(byte, place)| (&self.bytes[usize::from(*byte) * width..][..width], place))
        };
        for (head, mixed) in mixed.chunks_exact_mut(dims / heads).enumerate() {
            let mut shares = [0.0; WORD_BYTES];
            let shares = &mut shares[..bytes.len()];
            for (share, (byte, place)) in shares.iter_mut().zip(rows()) {
                *share = byte[head] + place[head];
            }
            let most = shares.iter().copied().fold(f32::MIN, f32::max);
            shares.iter_mut().for_each(|score| *score = (*score - most).exp());
            let total: f32 = shares.iter().sum();
            let first = heads + head * mixed.len();
            for (share, (byte, place)) in shares.iter().zip(rows()) {
                let share = share / total;
                let values = byte[first..].iter().zip(&place[first..]);
                for (sum, (byte, place)) in mixed.iter_mut().zip(values) {
                    *sum += share * (byte + place);
                }
            }
        }
    }
}
