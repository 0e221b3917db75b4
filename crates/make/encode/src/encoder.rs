//! The encoder: token ids in, the vectors of a layer out, for many texts laid end to end without padding.

use std::path::Path;

use kokeshi_core::Embeddings;
use kokeshi_kernels::{
    Activation, Attention, Buffer, Epilogue, Level, Linear, Precision, QuantizedRows, attention, layer_norm,
};

use crate::directory::Fields;
use crate::error::{Error, Result};
use crate::family::{Family, Shape};
use crate::safetensors::Weights;

/// Weight and bias of a LayerNorm.
struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// One block: attention and a feed-forward network, each with a residual connection and a norm after it.
struct Block {
    /// Query, key and value in one layer.
    joint: Linear,
    output: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
}

/// Memory of one thread, used again from chunk to chunk.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Hidden states: `[tokens, hidden]`.
    pub(crate) hidden: Buffer,
    joint: Buffer,
    context: Buffer,
    inner: Buffer,
    attention: kokeshi_kernels::Scratch,
    quantized: QuantizedRows,
}

/// The weights of an encoder, packed for this processor.
pub(crate) struct Encoder {
    level: Level,
    shape: Shape,
    longest: usize,
    positions_skip_padding: bool,
    /// `[vocabulary, hidden]`, in the file.
    words: Embeddings,
    /// `[positions, hidden]`, token type 0 added.
    positions: Vec<f32>,
    norm: Norm,
    blocks: Vec<Block>,
}

impl Encoder {
    /// Reads `config.json` and the weights of a transformer's folder.
    pub(crate) fn load(folder: &Path, precision: Precision) -> Result<Self> {
        let config = Fields::read(&folder.join("config.json"))?;
        let family = Family::find(&config)?;
        let shape = family.shape(&config)?;
        let weights = Weights::open_folder(folder)?;
        let names = Names::new(&weights, family);
        let level = Level::best();
        let hidden = shape.hidden;
        let mut positions = weights.values(
            &names.of("embeddings.position_embeddings.weight"),
            &[shape.positions, hidden],
        )?;
        if family.token_types {
            let name = names.of("embeddings.token_type_embeddings.weight");
            let types = config.size("type_vocab_size", 1 << 16)?;
            let types = weights.values(&name, &[types, hidden])?;
            for row in positions.chunks_exact_mut(hidden) {
                row.iter_mut().zip(&types).for_each(|(sum, value)| *sum += value);
            }
        }
        let words = weights
            .expect(
                &names.of("embeddings.word_embeddings.weight"),
                &[shape.vocabulary, hidden],
            )?
            .matrix()?;
        let norm = names.norm("embeddings.LayerNorm", hidden)?;
        let blocks = (0..shape.layers)
            .map(|layer| {
                let block = names.block(
                    (level, precision),
                    &format!("{}.{layer}", family.layers),
                    family,
                    &shape,
                )?;
                // It is packed now; a large model would need twice its size in memory otherwise.
                weights.give_back();
                Ok(block)
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            level,
            longest: family.longest(&shape),
            shape,
            positions_skip_padding: family.positions_skip_padding,
            words,
            positions,
            norm,
            blocks,
        })
    }

    /// The width of a token's vector.
    pub(crate) fn hidden(&self) -> usize {
        self.shape.hidden
    }

    /// How many layers there are.
    pub(crate) fn layers(&self) -> usize {
        self.blocks.len()
    }

    /// Rows of the token table.
    pub(crate) fn vocabulary(&self) -> usize {
        self.words.rows()
    }

    /// The most tokens a text may have.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Runs the first `layers` layers over `texts` laid end to end; leaves `[all tokens, hidden]` in `scratch.hidden`.
    /// Every id is in the token table and no text is longer than [`Self::longest`].
    pub(crate) fn run(&self, texts: &[&[u32]], layers: usize, scratch: &mut Scratch) {
        let hidden = self.shape.hidden;
        let tokens = texts.iter().map(|ids| ids.len()).sum();
        scratch.hidden.resize(tokens * hidden);
        scratch.joint.resize(tokens * 3 * hidden);
        scratch.context.resize(tokens * hidden);
        scratch.inner.resize(tokens * self.shape.inner);
        self.embed(texts, &mut scratch.hidden);
        for block in &self.blocks[..layers] {
            self.block(block, texts, tokens, scratch);
        }
    }

    /// Token plus position (plus type 0), normalised.
    fn embed(&self, texts: &[&[u32]], out: &mut [f32]) {
        let hidden = self.shape.hidden;
        let mut rows = out.chunks_exact_mut(hidden);
        for ids in texts {
            let mut counted = 0;
            for (at, id) in ids.iter().enumerate() {
                let position = if !self.positions_skip_padding {
                    at
                } else if *id as usize == self.shape.padding {
                    self.shape.padding
                } else {
                    counted += 1;
                    self.shape.padding + counted
                };
                let Some(row) = rows.next() else { return };
                let position = &self.positions[position * hidden..][..hidden];
                for ((out, word), position) in row.iter_mut().zip(self.words.row(*id as usize)).zip(position)
                {
                    *out = word + position;
                }
            }
        }
        layer_norm(
            self.level,
            out,
            &self.norm.weight,
            &self.norm.bias,
            self.shape.epsilon,
        );
    }

    fn block(&self, block: &Block, texts: &[&[u32]], tokens: usize, scratch: &mut Scratch) {
        let Shape {
            hidden,
            heads,
            epsilon,
            ..
        } = self.shape;
        let head_dims = hidden / heads;
        let plain = Epilogue::Activate(Activation::Identity);
        block.joint.apply(
            tokens,
            &scratch.hidden,
            &mut scratch.quantized,
            &mut scratch.joint,
            plain,
        );
        let mut start = 0;
        for ids in texts.iter().filter(|ids| !ids.is_empty()) {
            let joint = &scratch.joint[start * 3 * hidden..];
            let input = Attention {
                queries: joint,
                keys: &joint[hidden..],
                values: &joint[2 * hidden..],
                stride: 3 * hidden,
                len: ids.len(),
                heads,
                head_dims,
                scale: 1.0 / (head_dims as f32).sqrt(),
            };
            let out = &mut scratch.context[start * hidden..][..ids.len() * hidden];
            attention(self.level, input, &mut scratch.attention, out);
            start += ids.len();
        }
        block.output.apply(
            tokens,
            &scratch.context,
            &mut scratch.quantized,
            &mut scratch.hidden,
            Epilogue::Add,
        );
        layer_norm(
            self.level,
            &mut scratch.hidden,
            &block.attention_norm.weight,
            &block.attention_norm.bias,
            epsilon,
        );
        let activate = Epilogue::Activate(self.shape.activation);
        block.up.apply(
            tokens,
            &scratch.hidden,
            &mut scratch.quantized,
            &mut scratch.inner,
            activate,
        );
        block.down.apply(
            tokens,
            &scratch.inner,
            &mut scratch.quantized,
            &mut scratch.hidden,
            Epilogue::Add,
        );
        layer_norm(
            self.level,
            &mut scratch.hidden,
            &block.norm.weight,
            &block.norm.bias,
            epsilon,
        );
    }
}

/// Finds tensors whatever stands before their names.
struct Names<'a> {
    weights: &'a Weights,
    prefix: &'static str,
}

impl<'a> Names<'a> {
    fn new(weights: &'a Weights, family: &'static Family) -> Self {
        let prefixed = weights.names().any(|name| name.starts_with(family.prefix));
        Self {
            weights,
            prefix: if prefixed { family.prefix } else { "" },
        }
    }

    fn of(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn norm(&self, name: &str, dims: usize) -> Result<Norm> {
        // Checkpoints that were converted from TensorFlow say gamma and beta.
        let values = |modern: &str, old: &str| {
            let old = self.of(&format!("{name}.{old}"));
            match self.weights.tensor(&old) {
                Some(_) => self.weights.values(&old, &[dims]),
                None => self
                    .weights
                    .values(&self.of(&format!("{name}.{modern}")), &[dims]),
            }
        };
        Ok(Norm {
            weight: values("weight", "gamma")?,
            bias: values("bias", "beta")?,
        })
    }

    fn block(
        &self,
        (level, precision): (Level, Precision),
        layer: &str,
        family: &Family,
        shape: &Shape,
    ) -> Result<Block> {
        let (hidden, inner) = (shape.hidden, shape.inner);
        let weight = |name: &str, inputs: usize, outputs: usize| {
            self.weights
                .values(&self.of(&format!("{layer}.{name}.weight")), &[outputs, inputs])
        };
        let bias = |name: &str, outputs: usize| {
            self.weights
                .values(&self.of(&format!("{layer}.{name}.bias")), &[outputs])
        };
        let linear = |name: &str, inputs: usize, outputs: usize| -> Result<Linear> {
            let values = weight(name, inputs, outputs)?;
            Ok(Linear::new(
                level,
                precision,
                inputs,
                outputs,
                &values,
                Some(&bias(name, outputs)?),
            ))
        };
        let [query, key, value, output, up, down] = family.linear;
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for name in [query, key, value] {
            weights.extend(weight(name, hidden, hidden)?);
            biases.extend(bias(name, hidden)?);
        }
        let [attention_norm, norm] = family.norms;
        Ok(Block {
            joint: Linear::new(level, precision, hidden, 3 * hidden, &weights, Some(&biases)),
            output: linear(output, hidden, hidden)?,
            attention_norm: self.norm(&format!("{layer}.{attention_norm}"), hidden)?,
            up: linear(up, hidden, inner)?,
            down: linear(down, inner, hidden)?,
            norm: self.norm(&format!("{layer}.{norm}"), hidden)?,
        })
    }
}

impl Encoder {
    /// Refuses a tokenizer that makes ids this encoder has no vector for.
    pub(crate) fn check_tokenizer(&self, path: &Path, ids: usize) -> Result<()> {
        if ids > self.vocabulary() {
            return Err(Error::model(
                path,
                format!(
                    "it belongs to another model: it makes ids up to {}, but the model has vectors for ids up to {}",
                    ids - 1,
                    self.vocabulary() - 1
                ),
            ));
        }
        Ok(())
    }
}
