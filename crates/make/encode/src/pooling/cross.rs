//! Trained poolings: a block of cross-attention between states and learned latents, as in the Perceiver (arXiv 2103.03206).
//!
//! | pooling | queries | keys and values | source |
//! |---|---|---|---|
//! | latent attention | the tokens | latents | NV-Embed, arXiv 2405.17428, section 3.1 |
//! | multi-layer | latents | each layer's pooled vector, plus a learned one for the layer | Pooling And Attention, arXiv 2409.02727, section 3.3 |

use kokeshi_kernels::{Activation, Epilogue, Level, Linear, Precision, QuantizedRows, gate};

use crate::directory::Fields;
use crate::encoder::Parts;
use crate::encoder::parts::Norm;
use crate::encoder::plan::{LinearPlan, NormKind, NormPlan};
use crate::error::Result;
use crate::family::nv_embed::Latents;
use crate::pooling::train::{Cross, CrossKind};
use crate::safetensors::Weights;

/// What NV-Embed's tensors begin with.
pub(crate) const LATENT: &str = "latent_attention_model.";
/// PyTorch's epsilon of a LayerNorm.
const EPSILON: f32 = 1e-5;
/// The most latents that are believed.
const MOST: usize = 1 << 16;

impl Cross {
    /// The sizes in a module's `config.json`.
    pub(super) fn read(config: &Fields, kind: CrossKind) -> Result<Self> {
        Ok(Self {
            kind,
            heads: config.size("num_cross_heads", 1 << 12)?,
            head_dims: config.size("cross_dim_head", 1 << 12)?,
            latents: config.size("num_latents", MOST)?,
        })
    }
}

/// Attention of rows to other rows and a gated feed-forward network, each with a way round it.
struct Block {
    dims: usize,
    heads: usize,
    head_dims: usize,
    norm: Norm,
    context_norm: Norm,
    query: Linear,
    /// Keys, then values.
    context: Linear,
    output: Linear,
    network_norm: Norm,
    /// The gate, then what it is multiplied with; files have them the other way round.
    up: Linear,
    down: Linear,
}

/// What a layer makes of the rows of `x`.
pub(crate) fn product(linear: &Linear, x: &[f32]) -> Vec<f32> {
    let rows = x.len() / linear.inputs();
    let mut out = vec![0.0; rows * linear.outputs()];
    let plain = Epilogue::Activate(Activation::Identity);
    linear.apply(rows, x, &mut QuantizedRows::default(), &mut out, plain);
    out
}

fn normed(norm: &Norm, x: &[f32]) -> Vec<f32> {
    let mut x = x.to_vec();
    norm.apply(&mut x);
    x
}

impl Block {
    fn load(parts: &Parts<'_>, dims: usize, heads: usize, head_dims: usize) -> Result<Self> {
        let norm = |name: &str| {
            let plan = NormPlan {
                name: format!("cross_attend_blocks.{name}"),
                kind: NormKind::Layer { bias: true },
                epsilon: EPSILON,
            };
            parts.norm(&plan, dims)
        };
        let linear = |name: &str, bias: bool, inputs: usize, outputs: usize| {
            let plan = LinearPlan::new(format!("cross_attend_blocks.{name}"), bias);
            parts.linear(&plan, inputs, outputs)
        };
        let width = heads * head_dims;
        Ok(Self {
            dims,
            heads,
            head_dims,
            norm: norm("0.norm")?,
            context_norm: norm("0.norm_context")?,
            query: linear("0.fn.to_q", false, dims, width)?,
            context: linear("0.fn.to_kv", false, dims, 2 * width)?,
            output: linear("0.fn.to_out", false, width, dims)?,
            network_norm: norm("1.norm")?,
            up: {
                let plan = LinearPlan::new("cross_attend_blocks.1.fn.net.0".into(), true);
                let (mut weights, mut bias) = parts.layer(&plan, dims, 8 * dims)?;
                weights.rotate_left(4 * dims * dims);
                bias.rotate_left(4 * dims);
                Linear::new(parts.level, Precision::F32, dims, 8 * dims, &weights, Some(&bias))
            },
            down: linear("1.fn.net.2", true, 4 * dims, dims)?,
        })
    }

    /// Keys and values of the rows that are asked.
    fn keys(&self, rows: &[f32]) -> Vec<f32> {
        product(&self.context, &normed(&self.context_norm, rows))
    }

    /// Changes the rows that ask: `x` is `[n, dims]`, `keys` what [`Self::keys`] gave.
    fn apply(&self, x: &mut [f32], keys: &[f32]) {
        let width = self.heads * self.head_dims;
        let queries = product(&self.query, &normed(&self.norm, x));
        let mut mixed = vec![0.0; queries.len()];
        let scale = 1.0 / (self.head_dims as f32).sqrt();
        let mut scores = vec![0.0; keys.len() / (2 * width)];
        for (query, out) in queries.chunks_exact(width).zip(mixed.chunks_exact_mut(width)) {
            for first in (0..width).step_by(self.head_dims) {
                let head = first..first + self.head_dims;
                for (score, row) in scores.iter_mut().zip(keys.chunks_exact(2 * width)) {
                    let pairs = query[head.clone()].iter().zip(&row[head.clone()]);
                    *score = pairs.map(|(a, b)| a * b).sum::<f32>() * scale;
                }
                let most = scores.iter().copied().fold(f32::MIN, f32::max);
                scores.iter_mut().for_each(|score| *score = (*score - most).exp());
                let total: f32 = scores.iter().sum();
                for (score, row) in scores.iter().zip(keys.chunks_exact(2 * width)) {
                    let values = &row[width..][head.clone()];
                    let pairs = out[head.clone()].iter_mut().zip(values);
                    pairs.for_each(|(sum, value)| *sum += score / total * value);
                }
            }
        }
        add(x, &product(&self.output, &mixed));
        let mut both = product(&self.up, &normed(&self.network_norm, x));
        let mut inner = vec![0.0; both.len() / 2];
        gate(
            Level::best(),
            4 * self.dims,
            Activation::Gelu,
            &mut both,
            &mut inner,
        );
        add(x, &product(&self.down, &inner));
    }
}

fn add(x: &mut [f32], more: &[f32]) {
    x.iter_mut().zip(more).for_each(|(sum, value)| *sum += value);
}

/// A trained pooling.
pub(crate) enum Trained {
    /// The mean of the tokens after they looked at the latents.
    Latent { block: Box<BlockWithKeys> },
    /// The mean of the latents after they looked at the layers.
    Layers {
        block: Box<BlockWithLatents>,
        /// What is added to each layer's vector: `[layers, dims]`.
        layers: Vec<f32>,
    },
}

/// A block whose keys are known at load.
pub(crate) struct BlockWithKeys {
    block: Block,
    keys: Vec<f32>,
}

/// A block whose queries are known at load.
pub(crate) struct BlockWithLatents {
    block: Block,
    latents: Vec<f32>,
}

impl Trained {
    /// Reads the weights of a pooling module of this shape: names as in NV-Embed's `latent_attention_model`, and `layer_weights` for the
    /// layers.
    pub(crate) fn load(cross: &Cross, weights: &Weights, dims: usize, layers: usize) -> Result<Self> {
        let parts = Parts::new((Level::best(), Precision::F32), weights, LATENT);
        let block = Block::load(&parts, dims, cross.heads, cross.head_dims)?;
        let latents = parts.values("latents", &[cross.latents, dims])?;
        Ok(match cross.kind {
            CrossKind::Latent => {
                let keys = block.keys(&latents);
                Self::Latent {
                    block: Box::new(BlockWithKeys { block, keys }),
                }
            }
            CrossKind::Layers => Self::Layers {
                block: Box::new(BlockWithLatents { block, latents }),
                layers: parts.values("layer_weights", &[layers, dims])?,
            },
        })
    }

    /// The latents of an NV-Embed, from the transformer's own `weights`.
    pub(crate) fn nv_embed(latents: &Latents, weights: &Weights, dims: usize) -> Result<Self> {
        let parts = Parts::new((Level::best(), Precision::F32), weights, LATENT);
        let block = Block::load(&parts, dims, latents.heads, latents.head_dims)?;
        let keys = block.keys(&parts.values("latents", &[latents.count, dims])?);
        Ok(Self::Latent {
            block: Box::new(BlockWithKeys { block, keys }),
        })
    }

    /// Whether it pools one vector of each layer, not the tokens of the last.
    pub(crate) fn wants_layers(&self) -> bool {
        matches!(self, Self::Layers { .. })
    }

    /// Pools `rows` (`[n, dims]`: tokens, or one vector a layer from the first on) into `out`; zeros if there are none.
    pub(crate) fn apply(&self, rows: &[f32], out: &mut [f32]) {
        let pooled = match self {
            _ if rows.is_empty() => Vec::new(),
            Self::Latent { block } => {
                let mut rows = rows.to_vec();
                block.block.apply(&mut rows, &block.keys);
                rows
            }
            Self::Layers { block, layers } => {
                let mut rows = rows.to_vec();
                add(&mut rows, layers);
                let mut latents = block.latents.clone();
                block.block.apply(&mut latents, &block.block.keys(&rows));
                latents
            }
        };
        out.fill(0.0);
        let count = pooled.len() / out.len();
        for row in pooled.chunks_exact(out.len()) {
            add(out, row);
        }
        out.iter_mut().for_each(|value| *value /= count.max(1) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sin(0.31 k^2 + 1.3 tag)` for k = 1, 2, ...
    fn g(tag: i32, count: usize) -> Vec<f32> {
        (1..=count)
            .map(|k| (0.31 * (k * k) as f64 + 1.3 * f64::from(tag)).sin() as f32)
            .collect()
    }

    /// The weights of both golden values: 4 dims, 2 heads of 2, norms that only normalise.
    fn block() -> Block {
        let linear = |tag: i32, inputs: usize, outputs: usize| {
            let weights: Vec<f32> = g(tag, inputs * outputs).iter().map(|value| 0.5 * value).collect();
            Linear::new(Level::best(), Precision::F32, inputs, outputs, &weights, None)
        };
        let norm = || Norm::plain(Level::best(), 4, EPSILON);
        Block {
            dims: 4,
            heads: 2,
            head_dims: 2,
            norm: norm(),
            context_norm: norm(),
            query: linear(32, 4, 4),
            context: linear(33, 4, 8),
            output: linear(34, 4, 4),
            network_norm: norm(),
            up: {
                let mut weights: Vec<f32> = g(35, 128).iter().map(|value| 0.5 * value).collect();
                weights.rotate_left(64);
                Linear::new(Level::best(), Precision::F32, 4, 32, &weights, None)
            },
            down: linear(36, 16, 4),
        }
    }

    #[track_caller]
    fn assert_unit(mut found: Vec<f32>, expected: [f32; 4]) {
        crate::heads::normalize(&mut found);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 2e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn tokens_that_ask_latents_give_the_values_of_the_reference() {
        let block = block();
        let keys = block.keys(&g(31, 12));
        let pooling = Trained::Latent {
            block: Box::new(BlockWithKeys { block, keys }),
        };
        let states = g(30, 40);
        let mut out = vec![0.0; 4];
        pooling.apply(&states[..20], &mut out);
        assert_unit(out.clone(), [0.558_598, 0.742_319, 0.363_964, -0.066_797]);
        // The first and the last token of the second text don't count.
        pooling.apply(&states[24..36], &mut out);
        assert_unit(out.clone(), [-0.716_588, 0.108_622, -0.371_411, -0.580_307]);
        pooling.apply(&[], &mut out);
        assert_eq!(out, [0.0; 4]);
    }

    #[test]
    fn latents_that_ask_layers_give_the_values_of_the_reference() {
        let pooling = Trained::Layers {
            block: Box::new(BlockWithLatents {
                block: block(),
                latents: g(42, 20),
            }),
            layers: g(41, 12),
        };
        let mut out = vec![0.0; 4];
        let states = g(40, 24);
        pooling.apply(&states[..12], &mut out);
        assert_unit(out.clone(), [-0.906_258, -0.160_811, 0.380_749, -0.088_694]);
        pooling.apply(&states[12..], &mut out);
        assert_unit(out, [-0.887_511, -0.343_232, 0.083_718, -0.295_817]);
    }
}
