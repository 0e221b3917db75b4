//! One block: attention and a feed-forward network, each with a way round it and a norm before or after.

use kokeshi_kernels::{
    Activation, Attention, Buffer, Epilogue, Level, Linear, Mask, Masked, attention, gate, masked_attention,
};

use crate::encoder::parts::{Norm, Parts};
use crate::encoder::plan::{BlockPlan, Joint, Up};
use crate::encoder::stack::{Keep, Scratch, Text};
use crate::error::Result;
use crate::position::Positions;

/// The weights of a block, packed.
pub(crate) struct Block {
    level: Level,
    pre_norm: bool,
    heads: usize,
    key_heads: usize,
    head_dims: usize,
    scale: f32,
    mask: Mask,
    rotation: Option<usize>,
    /// Queries, keys and values.
    joint: Linear,
    head_norms: Option<[Norm; 2]>,
    output: Linear,
    attention_norm: Option<Norm>,
    norm: Option<Norm>,
    activation: Activation,
    /// Whether `up` makes a gate followed by as many values.
    gated: bool,
    up: Linear,
    down: Linear,
}

impl Block {
    /// Packs a block's weights. Scores are divided by `temperature`.
    pub(crate) fn load(parts: &Parts<'_>, plan: &BlockPlan, hidden: usize, temperature: f32) -> Result<Self> {
        let attention = &plan.attention;
        let head_dims = attention.head_dims;
        let (width, shared) = (attention.heads * head_dims, attention.key_heads * head_dims);
        let inner = plan.network.inner;
        let head_norms = match &attention.head_norms {
            Some([query, key]) => Some([parts.norm(query, head_dims)?, parts.norm(key, head_dims)?]),
            None => None,
        };
        Ok(Self {
            level: parts.level,
            pre_norm: plan.pre_norm,
            heads: attention.heads,
            key_heads: attention.key_heads,
            head_dims,
            scale: if attention.scaled {
                1.0 / (head_dims as f32).sqrt()
            } else {
                1.0
            } / temperature,
            mask: attention.mask,
            rotation: attention.rotation,
            joint: match &attention.joint {
                Joint::Separate([query, key, value]) => {
                    parts.joint(&[(query, width), (key, shared), (value, shared)], hidden)?
                }
                Joint::Fused(all) => parts.linear(all, hidden, width + 2 * shared)?,
            },
            head_norms,
            output: parts.linear(&attention.output, width, hidden)?,
            attention_norm: parts.optional_norm(plan.attention_norm.as_ref(), hidden)?,
            norm: parts.optional_norm(plan.norm.as_ref(), hidden)?,
            activation: plan.network.activation,
            gated: !matches!(plan.network.up, Up::Plain(_)),
            up: match &plan.network.up {
                Up::Plain(up) => parts.linear(up, hidden, inner)?,
                Up::Gated { gate, up } => parts.joint(&[(gate, inner), (up, inner)], hidden)?,
                Up::GatedFused(both) => parts.linear(both, hidden, 2 * inner)?,
            },
            down: parts.linear(&plan.network.down, inner, hidden)?,
        })
    }

    /// Bytes of the weights of its linear layers.
    pub(crate) fn weight_bytes(&self) -> usize {
        let layers = [&self.joint, &self.output, &self.up, &self.down];
        layers.iter().map(|layer| layer.weight_bytes()).sum()
    }

    /// Runs over the `tokens` rows of `scratch.hidden`, in place; only those to keep are left there.
    pub(crate) fn run(
        &self,
        texts: &[Text<'_>],
        tokens: usize,
        keep: Keep,
        positions: &Positions,
        scratch: &mut Scratch,
    ) {
        let norm = self.attention_norm.as_ref();
        let input = before(self.pre_norm, norm, &scratch.hidden, &mut scratch.normed);
        scratch.joint.resize(tokens * self.joint.outputs());
        let plain = Epilogue::Activate(Activation::Identity);
        self.joint
            .apply(tokens, input, &mut scratch.quantized, &mut scratch.joint, plain);
        self.attend(texts, tokens, positions, scratch);
        let tokens = match keep {
            Keep::All => tokens,
            _ => {
                keep.gather(texts, self.output.inputs(), &mut scratch.context);
                keep.gather(texts, self.output.outputs(), &mut scratch.hidden)
            }
        };
        let hidden = &mut scratch.hidden;
        self.output.apply(
            tokens,
            &scratch.context,
            &mut scratch.quantized,
            hidden,
            Epilogue::Add,
        );
        after(self.pre_norm, norm, hidden);

        let norm = self.norm.as_ref();
        let input = before(self.pre_norm, norm, &scratch.hidden, &mut scratch.normed);
        scratch.inner.resize(tokens * self.down.inputs());
        if self.gated {
            scratch.joint.resize(tokens * self.up.outputs());
            self.up
                .apply(tokens, input, &mut scratch.quantized, &mut scratch.joint, plain);
            let inner = self.down.inputs();
            gate(
                self.level,
                inner,
                self.activation,
                &mut scratch.joint,
                &mut scratch.inner,
            );
        } else {
            let activate = Epilogue::Activate(self.activation);
            self.up.apply(
                tokens,
                input,
                &mut scratch.quantized,
                &mut scratch.inner,
                activate,
            );
        }
        let hidden = &mut scratch.hidden;
        self.down.apply(
            tokens,
            &scratch.inner,
            &mut scratch.quantized,
            hidden,
            Epilogue::Add,
        );
        after(self.pre_norm, norm, hidden);
    }

    /// Attention of every text over itself, from `scratch.joint` into `scratch.context`.
    fn attend(&self, texts: &[Text<'_>], tokens: usize, positions: &Positions, scratch: &mut Scratch) {
        let head_dims = self.head_dims;
        let (width, shared) = (self.heads * head_dims, self.key_heads * head_dims);
        let stride = self.joint.outputs();
        scratch.context.resize(tokens * width);
        if let Some([query, key]) = &self.head_norms {
            for row in scratch.joint.chunks_exact_mut(stride) {
                let (queries, rest) = row.split_at_mut(width);
                query.apply(queries);
                key.apply(&mut rest[..shared]);
            }
        }
        let mut start = 0;
        for text in texts.iter().filter(|text| !text.ids.is_empty()) {
            let len = text.ids.len();
            let joint = &mut scratch.joint[start * stride..][..len * stride];
            let far = self.rotation.and_then(|rotation| {
                let heads = [self.heads, self.key_heads];
                positions.rotate(self.level, rotation, heads, head_dims, joint, &mut scratch.far)
            });
            let joint = &*joint;
            let input = Attention {
                queries: joint,
                keys: &joint[width..],
                values: &joint[width + shared..],
                stride,
                len,
                heads: self.heads,
                head_dims,
                scale: self.scale,
            };
            let out = &mut scratch.context[start * width..][..len * width];
            let bias = positions.bias();
            if self.heads == self.key_heads && self.mask.is_all(len) && bias.is_none() && far.is_none() {
                attention(
                    self.level,
                    self.output.precision(),
                    input,
                    &mut scratch.attention,
                    out,
                );
            } else {
                let masked = Masked {
                    attention: input,
                    key_heads: self.key_heads,
                    mask: self.mask,
                    bias,
                    far,
                };
                masked_attention(
                    self.level,
                    self.output.precision(),
                    masked,
                    &mut scratch.attention,
                    out,
                );
            }
            start += len;
        }
    }
}

/// What goes into attention or the feed-forward network.
fn before<'a>(pre_norm: bool, norm: Option<&Norm>, hidden: &'a Buffer, normed: &'a mut Buffer) -> &'a [f32] {
    match norm {
        Some(norm) if pre_norm => {
            normed.resize(hidden.len());
            normed.copy_from_slice(hidden);
            norm.apply(normed);
            normed
        }
        _ => hidden,
    }
}

/// The norm after the sum.
fn after(pre_norm: bool, norm: Option<&Norm>, hidden: &mut [f32]) {
    if let Some(norm) = norm.filter(|_| !pre_norm) {
        norm.apply(hidden);
    }
}
