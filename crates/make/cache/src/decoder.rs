//! A decoder of the Llama, Qwen2 and Qwen3 shape (RMSNorm, rotary positions, grouped-query attention, SwiGLU): its weights, and the parts of a
//! layer that don't depend on how attention is done.

use std::path::Path;

use kokeshi_core::{Embeddings, Seed};
use kokeshi_kernels::{Activation, Epilogue, Level, Linear, Precision, QuantizedRows, gate, rms_norm};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::rotary::Rotary;
use crate::slab::Shape;
use crate::weights::Weights;

/// The weights of a decoder, ready to run. [`Decoder::forward`] reads whole texts, [`crate::Session`] runs token by token over a cache policy.
pub struct Decoder {
    pub(crate) config: Config,
    pub(crate) level: Level,
    /// `[vocabulary, hidden]`
    embeddings: Embeddings,
    pub(crate) layers: Vec<Layer>,
    norm: Vec<f32>,
    output: Linear,
}

pub(crate) struct Layer {
    attention_norm: Vec<f32>,
    queries: Linear,
    keys: Linear,
    values: Linear,
    /// Norms of each head of queries and keys, in Qwen3.
    head_norms: Option<(Vec<f32>, Vec<f32>)>,
    attended: Linear,
    gate_norm: Vec<f32>,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// Memory of a pass, used again.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The hidden states: `[rows, hidden]`.
    pub(crate) hidden: Vec<f32>,
    normed: Vec<f32>,
    /// Before their rotation: `[rows, heads, head_dims]`.
    pub(crate) queries: Vec<f32>,
    /// Before their rotation: `[rows, key_heads, head_dims]`.
    pub(crate) keys: Vec<f32>,
    /// `[rows, key_heads, head_dims]`
    pub(crate) values: Vec<f32>,
    /// What attention gives: `[rows, heads, head_dims]`.
    pub(crate) attended: Vec<f32>,
    both: Vec<f32>,
    gate: Vec<f32>,
    inner: Vec<f32>,
    /// `[rows, vocabulary]`
    pub(crate) logits: Vec<f32>,
    quantized: QuantizedRows,
}

/// Gives the tensor of a name and a shape.
type Get<'a> = dyn FnMut(&str, &[usize]) -> Result<Vec<f32>> + 'a;

const STORE: Epilogue = Epilogue::Activate(Activation::Identity);

impl Decoder {
    /// Loads `config.json` and `model.safetensors` of a directory.
    ///
    /// # Errors
    /// [`Error::Model`] if a file is damaged or of another architecture.
    pub fn load(folder: &Path) -> Result<Self> {
        let config = Config::read(&folder.join("config.json"))?;
        let weights = Weights::open(&folder.join("model.safetensors"))?;
        let get = |name: &str, shape: &[usize]| weights.values(name, shape);
        Self::build(config, get, |name| weights.has(name))
    }

    /// A decoder with random weights, for tests and timing: normal with a standard deviation of `deviation`, norms 1.
    ///
    /// # Errors
    /// None for a config that [`Config`] could have read.
    pub fn random(config: Config, deviation: f32, mut seed: Seed) -> Result<Self> {
        let random = |name: &str, shape: &[usize]| {
            let count = shape.iter().product();
            Ok(if name.ends_with("norm.weight") {
                vec![1.0; count]
            } else {
                (0..count).map(|_| deviation * seed.normal() as f32).collect()
            })
        };
        Self::build(config, random, |_| false)
    }

    fn build(
        config: Config,
        mut get: impl FnMut(&str, &[usize]) -> Result<Vec<f32>>,
        has: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let level = Level::best();
        let Shape {
            layers,
            heads,
            key_heads,
            head_dims,
        } = config.shape;
        let (hidden, inner, vocabulary) = (config.hidden, config.inner, config.vocabulary);
        let embeddings = get("model.embed_tokens.weight", &[vocabulary, hidden])?;
        let linear = |get: &mut Get<'_>, name: &str, inputs, outputs| {
            let weights = get(&format!("{name}.weight"), &[outputs, inputs])?;
            let bias = format!("{name}.bias");
            let bias = has(&bias).then(|| get(&bias, &[outputs])).transpose()?;
            Ok::<_, Error>(Linear::new(
                level,
                Precision::F32,
                inputs,
                outputs,
                &weights,
                bias.as_deref(),
            ))
        };
        // Not `with_capacity`: the number is the file's word, the tensors are proof.
        let mut made = Vec::new();
        for layer in 0..layers {
            let at = format!("model.layers.{layer}");
            let attention = format!("{at}.self_attn");
            let norms = [
                format!("{attention}.q_norm.weight"),
                format!("{attention}.k_norm.weight"),
            ];
            made.push(Layer {
                attention_norm: get(&format!("{at}.input_layernorm.weight"), &[hidden])?,
                queries: linear(
                    &mut get,
                    &format!("{attention}.q_proj"),
                    hidden,
                    heads * head_dims,
                )?,
                keys: linear(
                    &mut get,
                    &format!("{attention}.k_proj"),
                    hidden,
                    key_heads * head_dims,
                )?,
                values: linear(
                    &mut get,
                    &format!("{attention}.v_proj"),
                    hidden,
                    key_heads * head_dims,
                )?,
                head_norms: if has(&norms[0]) {
                    Some((get(&norms[0], &[head_dims])?, get(&norms[1], &[head_dims])?))
                } else {
                    None
                },
                attended: linear(
                    &mut get,
                    &format!("{attention}.o_proj"),
                    heads * head_dims,
                    hidden,
                )?,
                gate_norm: get(&format!("{at}.post_attention_layernorm.weight"), &[hidden])?,
                gate: linear(&mut get, &format!("{at}.mlp.gate_proj"), hidden, inner)?,
                up: linear(&mut get, &format!("{at}.mlp.up_proj"), hidden, inner)?,
                down: linear(&mut get, &format!("{at}.mlp.down_proj"), inner, hidden)?,
            });
        }
        let norm = get("model.norm.weight", &[hidden])?;
        let output = if config.tied {
            Linear::new(level, Precision::F32, hidden, vocabulary, &embeddings, None)
        } else {
            linear(&mut get, "lm_head", hidden, vocabulary)?
        };
        Ok(Self {
            level,
            embeddings: Embeddings::from_vec(embeddings, hidden)?,
            layers: made,
            norm,
            output,
            config,
        })
    }

    /// What it is built by.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its rotary frequencies as trained.
    pub fn rotary(&self) -> Rotary {
        Rotary::new(self.config.shape.head_dims, self.config.base).interpolated(self.config.stretch as f32)
    }

    /// Puts the tokens' embeddings into the hidden states.
    pub(crate) fn embed(&self, tokens: &[u32], scratch: &mut Scratch) -> Result<()> {
        scratch.hidden.clear();
        for &token in tokens {
            if token as usize >= self.config.vocabulary {
                return Err(Error::Request(format!(
                    "expected tokens below {}, found {token}",
                    self.config.vocabulary
                )));
            }
            scratch
                .hidden
                .extend_from_slice(self.embeddings.row(token as usize));
        }
        Ok(())
    }

    /// Makes queries, keys and values of the hidden states, not yet rotated.
    pub(crate) fn project(&self, layer: &Layer, rows: usize, scratch: &mut Scratch) {
        let Shape {
            heads,
            key_heads,
            head_dims,
            ..
        } = self.config.shape;
        self.normed(&layer.attention_norm, scratch);
        for (linear, heads, out) in [
            (&layer.queries, heads, &mut scratch.queries),
            (&layer.keys, key_heads, &mut scratch.keys),
            (&layer.values, key_heads, &mut scratch.values),
        ] {
            out.resize(rows * heads * head_dims, 0.0);
            linear.apply(rows, &scratch.normed, &mut scratch.quantized, out, STORE);
        }
        if let Some((of_queries, of_keys)) = &layer.head_norms {
            rms_norm(self.level, &mut scratch.queries, of_queries, self.config.epsilon);
            rms_norm(self.level, &mut scratch.keys, of_keys, self.config.epsilon);
        }
        scratch.attended.resize(rows * heads * head_dims, 0.0);
    }

    /// Adds what attention gave to the hidden states, then the gated layer.
    pub(crate) fn finish(&self, layer: &Layer, rows: usize, scratch: &mut Scratch) {
        let Scratch {
            hidden,
            attended,
            quantized,
            ..
        } = scratch;
        layer
            .attended
            .apply(rows, attended, quantized, hidden, Epilogue::Add);
        self.normed(&layer.gate_norm, scratch);
        let inner = self.config.inner;
        scratch.gate.resize(rows * inner, 0.0);
        scratch.inner.resize(rows * inner, 0.0);
        scratch.both.clear();
        for (linear, out) in [(&layer.gate, &mut scratch.gate), (&layer.up, &mut scratch.inner)] {
            linear.apply(rows, &scratch.normed, &mut scratch.quantized, out, STORE);
        }
        for (gate, up) in scratch
            .gate
            .chunks_exact(inner)
            .zip(scratch.inner.chunks_exact(inner))
        {
            scratch.both.extend_from_slice(gate);
            scratch.both.extend_from_slice(up);
        }
        gate(
            self.level,
            inner,
            Activation::Silu,
            &mut scratch.both,
            &mut scratch.inner,
        );
        layer.down.apply(
            rows,
            &scratch.inner,
            &mut scratch.quantized,
            &mut scratch.hidden,
            Epilogue::Add,
        );
    }

    /// Makes logits of the hidden states.
    pub(crate) fn logits(&self, rows: usize, scratch: &mut Scratch) {
        self.normed(&self.norm, scratch);
        scratch.logits.resize(rows * self.config.vocabulary, 0.0);
        self.output.apply(
            rows,
            &scratch.normed,
            &mut scratch.quantized,
            &mut scratch.logits,
            STORE,
        );
    }

    fn normed(&self, weight: &[f32], scratch: &mut Scratch) {
        scratch.normed.clone_from(&scratch.hidden);
        rms_norm(self.level, &mut scratch.normed, weight, self.config.epsilon);
    }
}
