//! Whole texts through a decoder at once, with the positions and the mask of one's choice: what streaming over a cache is compared with.

use kokeshi_kernels::{
    Attention, Far, Mask, Masked, Precision, Scratch as AttentionScratch, masked_attention,
};

use crate::decoder::{Decoder, Scratch};
use crate::error::Result;
use crate::rotary::Rotary;

/// How far apart tokens look whose true distance is at least the plan's window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distance {
    /// This far, whatever the true distance is (LM-Infinite, arXiv 2308.16137; the windowed rotary scores of A2ATS, arXiv 2502.12665).
    Constant(f32),
    /// Positions divided by a group's size, shifted so that they go on where the window ends (SelfExtend, arXiv 2401.01325).
    Grouped(usize),
}

/// What positions mean, and who sees whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The frequencies of the positions.
    pub rotary: Rotary,
    /// Which keys a query sees; never one behind it.
    pub mask: Mask,
    /// From this distance on, tokens look so far apart.
    pub far: Option<(usize, Distance)>,
    /// The trained length for scaling queries by `max(1, ln n / ln trained)`, n being the text's length; none for no scaling.
    pub temperature: Option<usize>,
}

impl Plan {
    /// As the decoder was trained.
    pub fn trained(decoder: &Decoder) -> Self {
        Self {
            rotary: decoder.rotary(),
            mask: Mask::CAUSAL,
            far: None,
            temperature: None,
        }
    }

    /// The plan of LM-Infinite for a decoder that was trained at length `limit`: the first `first` tokens and the last `limit` are seen, none
    /// farther away than `limit`.
    pub fn lm_infinite(decoder: &Decoder, first: usize, limit: usize) -> Self {
        Self {
            mask: Mask {
                before: limit.saturating_sub(1),
                after: 0,
                first,
            },
            far: Some((limit, Distance::Constant(limit as f32))),
            ..Self::trained(decoder)
        }
    }
}

/// What a layer computed before its attention, none of it rotated.
#[derive(Debug, Clone, Copy)]
pub struct Projected<'a> {
    /// `[tokens, heads, head_dims]`
    pub queries: &'a [f32],
    /// `[tokens, key_heads, head_dims]`
    pub keys: &'a [f32],
    /// `[tokens, key_heads, head_dims]`
    pub values: &'a [f32],
}

impl Decoder {
    /// The logits of every token, `[tokens, vocabulary]`.
    ///
    /// # Errors
    /// A token that the model does not know.
    pub fn forward(&self, tokens: &[u32], plan: &Plan) -> Result<Vec<f32>> {
        self.forward_with(tokens, plan, |_, _| ())
    }

    /// As [`Decoder::forward`]; shows each layer's number, queries, keys and values to `look`.
    ///
    /// # Errors
    /// A token that the model does not know.
    pub fn forward_with(
        &self,
        tokens: &[u32],
        plan: &Plan,
        mut look: impl FnMut(usize, Projected<'_>),
    ) -> Result<Vec<f32>> {
        let mut scratch = Scratch::default();
        let mut mask_scratch = AttentionScratch::default();
        let rows = tokens.len();
        self.embed(tokens, &mut scratch)?;
        for (number, layer) in self.layers.iter().enumerate() {
            self.project(layer, rows, &mut scratch);
            look(
                number,
                Projected {
                    queries: &scratch.queries,
                    keys: &scratch.keys,
                    values: &scratch.values,
                },
            );
            self.attend(rows, plan, &mut scratch, &mut mask_scratch);
            self.finish(layer, rows, &mut scratch);
        }
        self.logits(rows, &mut scratch);
        Ok(std::mem::take(&mut scratch.logits))
    }

    fn attend(&self, rows: usize, plan: &Plan, scratch: &mut Scratch, mask_scratch: &mut AttentionScratch) {
        let shape = self.config.shape;
        let turned = |x: &[f32], heads: usize, position: &dyn Fn(usize) -> f32| {
            let mut x = x.to_vec();
            plan.rotary
                .turn_rows(self.level, heads, shape.head_dims, position, &mut x);
            x
        };
        if let Some(trained) = plan.temperature.filter(|&trained| trained > 1 && rows > trained) {
            let factor = (rows as f32).ln() / (trained as f32).ln();
            scratch.queries.iter_mut().for_each(|value| *value *= factor);
        }
        let far = plan.far.map(|(window, distance)| {
            let query: Box<dyn Fn(usize) -> f32> = match distance {
                Distance::Constant(distance) => Box::new(move |_| distance),
                Distance::Grouped(group) => Box::new(move |at| (at / group + window - window / group) as f32),
            };
            let key: Box<dyn Fn(usize) -> f32> = match distance {
                Distance::Constant(_) => Box::new(|_| 0.0),
                Distance::Grouped(group) => Box::new(move |at| (at / group) as f32),
            };
            (
                window,
                turned(&scratch.queries, shape.heads, &query),
                turned(&scratch.keys, shape.key_heads, &key),
            )
        });
        // The kernel wants one stride for all three, so that keys and values are laid beside queries.
        let stride = (shape.heads + 2 * shape.key_heads) * shape.head_dims;
        let near = |x: &[f32], heads| turned(x, heads, &|at| at as f32);
        let (queries, keys) = (
            near(&scratch.queries, shape.heads),
            near(&scratch.keys, shape.key_heads),
        );
        let (wide, narrow) = (shape.heads * shape.head_dims, shape.key_heads * shape.head_dims);
        let mut joint = Vec::with_capacity(rows * stride);
        for row in 0..rows {
            joint.extend_from_slice(&queries[row * wide..][..wide]);
            joint.extend_from_slice(&keys[row * narrow..][..narrow]);
            joint.extend_from_slice(&scratch.values[row * narrow..][..narrow]);
        }
        if rows == 0 {
            return;
        }
        let input = Masked {
            attention: Attention {
                queries: &joint,
                keys: &joint[wide..],
                values: &joint[wide + narrow..],
                stride,
                len: rows,
                heads: shape.heads,
                head_dims: shape.head_dims,
                scale: 1.0 / (shape.head_dims as f32).sqrt(),
            },
            key_heads: shape.key_heads,
            mask: Mask {
                after: 0,
                ..plan.mask
            },
            bias: None,
            far: far.as_ref().map(|(window, queries, keys)| Far {
                window: *window,
                before: queries,
                after: queries,
                keys,
            }),
        };
        masked_attention(
            self.level,
            Precision::F32,
            input,
            mask_scratch,
            &mut scratch.attended,
        );
    }
}
