//! The backward half: gradients of pooled vectors to gradients of all parameters.

use std::ops::Range;

use kokeshi_kernels::backward::{activate, activate_backward, add, add_rows, layer_norm_backward};
use kokeshi_kernels::{Factor, MatmulScratch, Store, matmul};

use super::attention::Place;
use super::dropout::{Dropout, Site};
use super::forward::drop_texts;
use super::side::Fed;
use super::workspace::{Kept, Normed, Scratch, Workspace};
use super::{Encoder, Gradient, Layout, Text};

/// The texts of a chunk as the forward half ran them.
#[derive(Clone, Copy)]
pub(super) struct Ran<'a> {
    pub texts: &'a [Text<'a>],
    pub dropout: Dropout,
    /// Whether weights' gradients are written over or added to.
    pub store: Store,
}

impl<'a> Ran<'a> {
    /// What went into a layer.
    fn fed<'x>(self, x: &'x [f32]) -> Fed<'x, impl Iterator<Item = Text<'a>> + Clone + use<'a, 'x>> {
        Fed {
            x,
            texts: self.texts.iter().copied(),
            dropout: self.dropout,
        }
    }
}

impl Encoder {
    /// Adds the gradients of all parameters to `gradient`, given those of pooled vectors (`[texts, hidden]`) by layer, after
    /// [`Encoder::forward`] with the same texts and dropout. `slots` says for each token id which row of `gradient` is its own.
    pub fn backward(
        &self,
        texts: &[Text<'_>],
        dropout: Dropout,
        pooled: &[(usize, &[f32])],
        slots: &[u32],
        space: &mut Workspace,
        gradient: &mut Gradient,
    ) {
        let unpooled = |space: &Workspace, dense: &mut [f32]| {
            let returned: Vec<_> = pooled
                .iter()
                .map(|(exit, vectors)| self.pool_backward(*exit, vectors, space, dense))
                .collect();
            move |layer: usize, starts: &[usize], states: &mut [f32]| {
                for returned in &returned {
                    self.hand_back(returned, layer, starts, states);
                }
            }
        };
        self.backward_from(texts, dropout, unpooled, slots, space, gradient);
    }

    /// The same for whatever reads hidden states: `reader` adds the gradients of its own parameters to the dense ones, and what it returns,
    /// `given(layer, starts, states)`, its gradient by the states after `layer` blocks.
    pub(super) fn backward_from<G: Fn(usize, &[usize], &mut [f32])>(
        &self,
        texts: &[Text<'_>],
        dropout: Dropout,
        reader: impl FnOnce(&Workspace, &mut [f32]) -> G,
        slots: &[u32],
        space: &mut Workspace,
        gradient: &mut Gradient,
    ) {
        let hidden = self.shape.hidden;
        let ran = Ran {
            texts,
            dropout,
            store: if gradient.fresh {
                Store::Replace
            } else {
                Store::Add
            },
        };
        if gradient.fresh {
            self.clear(space.layers, &mut gradient.dense);
            gradient.fresh = false;
        }
        let given = reader(space, &mut gradient.dense);
        let Workspace {
            starts,
            layers,
            embedded,
            first,
            blocks,
            scratch,
        } = space;
        let tokens = starts.last().copied().unwrap_or(0);
        scratch.hidden.resize(tokens * hidden);
        scratch.hidden.fill(0.0);
        for layer in (0..=*layers).rev() {
            given(layer, starts, &mut scratch.hidden);
            if layer > 0 {
                let (before, rest) = blocks.split_at_mut(layer - 1);
                let input: &[f32] = before.last().map_or(first, |kept| &kept.out);
                self.block_backward(ran, layer - 1, input, &rest[0], scratch, gradient);
            }
        }
        self.embed_backward(texts, dropout, slots, embedded, &mut scratch.hidden, gradient);
    }

    /// From the gradient of what goes into the first block, in `states`, to those of the tables.
    pub(super) fn embed_backward(
        &self,
        texts: &[Text<'_>],
        dropout: Dropout,
        slots: &[u32],
        embedded: &Normed,
        states: &mut [f32],
        gradient: &mut Gradient,
    ) {
        let hidden = self.shape.hidden;
        drop_texts(dropout, Site::Embeddings, texts, hidden, states);
        let dense = &mut gradient.dense;
        self.norm_backward(&self.layout.first_norm, embedded, states, dense);
        let types = self.layout.dense(&self.layout.types);
        if !types.is_empty() {
            add_rows(self.level, states, &mut dense[types][..hidden]);
        }
        let mut given = states.chunks_exact(hidden);
        for text in texts {
            for (id, position) in text.ids.iter().zip(self.positions(text.ids)) {
                let Some(given) = given.next() else { return };
                let place = self.layout.positions.start - self.layout.words.end + position * hidden;
                add(self.level, given, &mut dense[place..][..hidden]);
                let slot = slots[*id as usize] as usize * hidden;
                add(self.level, given, &mut gradient.rows[slot..][..hidden]);
            }
        }
    }

    /// Zeros wherever the first chunk of a step adds instead of writing.
    fn clear(&self, layers: usize, dense: &mut [f32]) {
        let mut zero = |range: &Range<usize>| dense[self.layout.dense(range)].fill(0.0);
        let Layout {
            positions,
            types,
            buckets,
            pooling,
            ..
        } = &self.layout;
        for range in [positions, types, buckets, pooling] {
            zero(range);
        }
        self.layout.first_norm.iter().for_each(&mut zero);
        if let Some(head) = &self.layout.head {
            zero(&(head.dense.start..head.bias.end));
        }
        for (at, block) in self.layout.blocks.iter().enumerate() {
            if at >= layers {
                zero(&block.all());
                continue;
            }
            for bias in [
                &block.joint_bias,
                &block.output_bias,
                &block.up_bias,
                &block.down_bias,
            ] {
                zero(bias);
            }
            block.attention_norm.iter().chain(&block.norm).for_each(&mut zero);
        }
    }

    /// From the gradient of a block's output, in `scratch.hidden`, to that of its input, in the same place.
    pub(super) fn block_backward(
        &self,
        ran: Ran<'_>,
        block: usize,
        input: &[f32],
        kept: &Kept,
        scratch: &mut Scratch,
        gradient: &mut Gradient,
    ) {
        let hidden = self.shape.hidden;
        let layout = &self.layout.blocks[block];
        let Gradient {
            dense, side: factors, ..
        } = gradient;
        // The feed-forward network.
        self.norm_backward(&layout.norm, &kept.norm, &mut scratch.hidden, dense);
        scratch.other.resize(scratch.hidden.len());
        scratch.other.copy_from_slice(&scratch.hidden);
        drop_texts(
            ran.dropout,
            Site::Network(block),
            ran.texts,
            hidden,
            &mut scratch.other,
        );
        scratch.active.resize(kept.inner.len());
        activate(
            self.level,
            self.shape.activation,
            &kept.inner,
            &mut scratch.active,
        );
        scratch.inner.resize(kept.inner.len());
        let down = [&layout.down, &layout.down_bias];
        let Scratch {
            matmul: packed, side, ..
        } = scratch;
        self.parameters_backward(ran.store, &scratch.active, &scratch.other, down, dense, packed);
        self.input_backward(&scratch.other, down, Store::Replace, &mut scratch.inner, packed);
        let to = [&mut factors[..], &mut scratch.inner];
        self.side_backward(
            &layout.down,
            &ran.fed(&scratch.active),
            &scratch.other,
            to,
            side,
            packed,
        );
        activate_backward(self.level, self.shape.activation, &kept.inner, &mut scratch.inner);
        let up = [&layout.up, &layout.up_bias];
        self.parameters_backward(ran.store, &kept.middle, &scratch.inner, up, dense, packed);
        self.input_backward(&scratch.inner, up, Store::Add, &mut scratch.hidden, packed);
        let to = [&mut factors[..], &mut scratch.hidden];
        self.side_backward(
            &layout.up,
            &ran.fed(&kept.middle),
            &scratch.inner,
            to,
            side,
            packed,
        );
        // Attention.
        self.norm_backward(
            &layout.attention_norm,
            &kept.attention_norm,
            &mut scratch.hidden,
            dense,
        );
        scratch.other.copy_from_slice(&scratch.hidden);
        drop_texts(
            ran.dropout,
            Site::Attention(block),
            ran.texts,
            hidden,
            &mut scratch.other,
        );
        let output = [&layout.output, &layout.output_bias];
        self.parameters_backward(ran.store, &kept.context, &scratch.other, output, dense, packed);
        scratch.inner.resize(scratch.other.len());
        self.input_backward(&scratch.other, output, Store::Replace, &mut scratch.inner, packed);
        let to = [&mut factors[..], &mut scratch.inner];
        self.side_backward(
            &layout.output,
            &ran.fed(&kept.context),
            &scratch.other,
            to,
            side,
            packed,
        );
        scratch.joint.resize(kept.joint.len());
        let (mut joint, given) = (
            std::mem::take(&mut scratch.joint),
            std::mem::take(&mut scratch.inner),
        );
        let buckets = &mut dense[self.layout.dense(&self.layout.buckets)];
        let mut start = 0;
        for text in ran.texts {
            let len = text.ids.len();
            let place = Place {
                block,
                text: *text,
                dropout: ran.dropout,
            };
            let rows = start * 3 * hidden..(start + len) * 3 * hidden;
            self.attend_backward(
                place,
                &kept.joint[rows.clone()],
                &given[start * hidden..][..len * hidden],
                scratch,
                (&mut joint[rows], &mut *buckets),
            );
            start += len;
        }
        let Scratch {
            matmul: packed, side, ..
        } = scratch;
        let all = [&layout.joint, &layout.joint_bias];
        self.parameters_backward(ran.store, input, &joint, all, dense, packed);
        self.input_backward(&joint, all, Store::Add, &mut scratch.hidden, packed);
        let to = [&mut factors[..], &mut scratch.hidden];
        self.side_backward(&layout.joint, &ran.fed(input), &joint, to, side, packed);
        (scratch.joint, scratch.inner) = (joint, given);
    }

    /// The gradients of a linear layer's weights and bias, given those of its output.
    fn parameters_backward(
        &self,
        store: Store,
        x: &[f32],
        given: &[f32],
        [weight, bias]: [&Range<usize>; 2],
        dense: &mut [f32],
        packed: &mut MatmulScratch,
    ) {
        let outputs = bias.len();
        let inputs = weight.len() / outputs;
        let shape = [outputs, x.len() / inputs, inputs];
        let out = &mut dense[self.layout.dense(weight)];
        let (left, right) = (Factor::transposed(given, outputs), Factor::plain(x, inputs));
        matmul(self.level, shape, left, right, store, out, inputs, packed);
        add_rows(self.level, given, &mut dense[self.layout.dense(bias)]);
    }

    /// The gradient of a linear layer's input.
    fn input_backward(
        &self,
        given: &[f32],
        [weight, bias]: [&Range<usize>; 2],
        store: Store,
        out: &mut [f32],
        packed: &mut MatmulScratch,
    ) {
        let outputs = bias.len();
        let inputs = weight.len() / outputs;
        let tokens = given.len() / outputs;
        let weight = Factor::plain(self.part(weight), inputs);
        let shape = [tokens, outputs, inputs];
        matmul(
            self.level,
            shape,
            Factor::plain(given, outputs),
            weight,
            store,
            out,
            inputs,
            packed,
        );
    }

    pub(super) fn norm_backward(
        &self,
        [weight, bias]: &[Range<usize>; 2],
        kept: &Normed,
        given: &mut [f32],
        dense: &mut [f32],
    ) {
        // A norm's weight and bias are side by side.
        let (start, end) = (self.layout.dense(weight).start, self.layout.dense(bias).end);
        let to = dense[start..end].split_at_mut(weight.len());
        let weight = self.part(weight);
        layer_norm_backward(self.level, &kept.rows, &kept.inverse, weight, given, [to.0, to.1]);
    }
}
