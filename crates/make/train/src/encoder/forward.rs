//! The forward half: token ids to hidden states, and pooling.

use std::ops::Range;

use kokeshi_kernels::backward::{activate, add, add_bias, layer_norm_keeping};
use kokeshi_kernels::{Factor, MatmulScratch, Store, matmul};

use super::attention::Place;
use super::dropout::{Dropout, Site};
use super::layout::BlockLayout;
use super::side::Fed;
use super::workspace::{Kept, Normed, Scratch, Workspace};
use super::{Encoder, Text};

impl Encoder {
    /// The values of a tensor.
    pub(super) fn part(&self, range: &Range<usize>) -> &[f32] {
        &self.values[range.clone()]
    }

    /// Runs the first `layers` blocks over `texts` laid end to end and keeps in `space` what the backward half needs.
    pub fn forward(&self, texts: &[Text<'_>], layers: usize, dropout: Dropout, space: &mut Workspace) {
        let hidden = self.shape.hidden;
        let tokens = space.begin(texts.iter().map(|text| text.ids.len()), layers);
        space.embedded.resize(tokens, hidden);
        space.first.resize(tokens * hidden);
        self.embed(texts, &mut space.embedded.rows);
        self.normalise(&self.layout.first_norm, &mut space.embedded, &mut space.first);
        drop_texts(dropout, Site::Embeddings, texts, hidden, &mut space.first);
        for block in 0..layers {
            let (before, rest) = space.blocks.split_at_mut(block);
            let input: &[f32] = before.last().map_or(&space.first, |kept| &kept.out);
            let places = texts.iter().map(|text| Place {
                block,
                text: *text,
                dropout,
            });
            self.block(places, input, &mut rest[0], &mut space.scratch);
        }
    }

    pub(super) fn block<'a>(
        &self,
        places: impl Iterator<Item = Place<'a>> + Clone,
        input: &[f32],
        kept: &mut Kept,
        scratch: &mut Scratch,
    ) {
        let (hidden, inner) = (self.shape.hidden, self.shape.inner);
        let tokens = input.len() / hidden;
        let Some(Place { block, dropout, .. }) = places.clone().next() else {
            return;
        };
        let layout: &BlockLayout = &self.layout.blocks[block];
        let texts = places.clone().map(|place| place.text);
        let fed = |x| Fed {
            x,
            texts: texts.clone(),
            dropout,
        };
        kept.joint.resize(tokens * 3 * hidden);
        self.linear(
            input,
            [&layout.joint, &layout.joint_bias],
            &mut kept.joint,
            &mut scratch.matmul,
        );
        let Scratch { side, matmul, .. } = scratch;
        self.side_forward(&layout.joint, &fed(input), &mut kept.joint, side, matmul);
        kept.context.resize(tokens * hidden);
        let mut start = 0;
        for place in places.clone() {
            let len = place.text.ids.len();
            let joint = &kept.joint[start * 3 * hidden..][..len * 3 * hidden];
            self.attend(
                place,
                joint,
                scratch,
                &mut kept.context[start * hidden..][..len * hidden],
            );
            start += len;
        }
        let sum = &mut kept.attention_norm;
        sum.resize(tokens, hidden);
        let output = [&layout.output, &layout.output_bias];
        let Scratch { side, matmul, .. } = scratch;
        self.linear(&kept.context, output, &mut sum.rows, matmul);
        self.side_forward(&layout.output, &fed(&kept.context), &mut sum.rows, side, matmul);
        drop_each(
            dropout,
            Site::Attention(block),
            texts.clone(),
            hidden,
            &mut sum.rows,
        );
        add(self.level, input, &mut sum.rows);
        kept.middle.resize(tokens * hidden);
        self.normalise(&layout.attention_norm, sum, &mut kept.middle);

        kept.inner.resize(tokens * inner);
        self.linear(
            &kept.middle,
            [&layout.up, &layout.up_bias],
            &mut kept.inner,
            matmul,
        );
        self.side_forward(&layout.up, &fed(&kept.middle), &mut kept.inner, side, matmul);
        scratch.active.resize(tokens * inner);
        activate(
            self.level,
            self.shape.activation,
            &kept.inner,
            &mut scratch.active,
        );
        let sum = &mut kept.norm;
        sum.resize(tokens, hidden);
        let down = [&layout.down, &layout.down_bias];
        let Scratch { side, matmul, .. } = scratch;
        self.linear(&scratch.active, down, &mut sum.rows, matmul);
        self.side_forward(&layout.down, &fed(&scratch.active), &mut sum.rows, side, matmul);
        drop_each(
            dropout,
            Site::Network(block),
            texts.clone(),
            hidden,
            &mut sum.rows,
        );
        add(self.level, &kept.middle, &mut sum.rows);
        kept.out.resize(tokens * hidden);
        self.normalise(&layout.norm, sum, &mut kept.out);
    }

    /// `x w^T + b`
    fn linear(
        &self,
        x: &[f32],
        [weight, bias]: [&Range<usize>; 2],
        out: &mut [f32],
        packed: &mut MatmulScratch,
    ) {
        let outputs = bias.len();
        let inputs = weight.len() / outputs;
        let shape = [x.len() / inputs, inputs, outputs];
        let weight = Factor::transposed(self.part(weight), inputs);
        matmul(
            self.level,
            shape,
            Factor::plain(x, inputs),
            weight,
            Store::Replace,
            out,
            outputs,
            packed,
        );
        add_bias(self.level, out, self.part(bias));
    }

    pub(super) fn normalise(&self, [weight, bias]: &[Range<usize>; 2], sum: &mut Normed, out: &mut [f32]) {
        layer_norm_keeping(
            self.level,
            &mut sum.rows,
            [self.part(weight), self.part(bias)],
            self.shape.epsilon,
            &mut sum.inverse,
            out,
        );
    }

    /// Token plus position plus type.
    pub(super) fn embed(&self, texts: &[Text<'_>], out: &mut [f32]) {
        let hidden = self.shape.hidden;
        let (words, positions) = (self.part(&self.layout.words), self.part(&self.layout.positions));
        let kind = self.part(&self.layout.types).get(..hidden);
        let mut rows = out.chunks_exact_mut(hidden);
        for text in texts {
            for (id, position) in text.ids.iter().zip(self.positions(text.ids)) {
                let Some(row) = rows.next() else { return };
                row.copy_from_slice(match &self.words {
                    None => &words[*id as usize * hidden..][..hidden],
                    Some(made) => made.row(*id, hidden),
                });
                add(self.level, &positions[position * hidden..][..hidden], row);
                if let Some(kind) = kind {
                    add(self.level, kind, row);
                }
            }
        }
    }

    /// The row of the position table of each token.
    pub(super) fn positions(&self, ids: &[u32]) -> impl Iterator<Item = usize> {
        let padding = self.shape.padding;
        let mut counted = padding.map_or(0, |padding| padding + 1);
        ids.iter().map(move |id| match padding {
            Some(padding) if *id as usize == padding => padding,
            _ => {
                counted += 1;
                counted - 1
            }
        })
    }
}

/// Leaves values out of every token's row.
pub(super) fn drop_texts(dropout: Dropout, site: Site, texts: &[Text<'_>], cols: usize, rows: &mut [f32]) {
    drop_each(dropout, site, texts.iter().copied(), cols, rows);
}

pub(super) fn drop_each<'a>(
    dropout: Dropout,
    site: Site,
    texts: impl Iterator<Item = Text<'a>>,
    cols: usize,
    rows: &mut [f32],
) {
    if !dropout.is_on() {
        return;
    }
    let mut rows = rows.chunks_exact_mut(cols);
    for text in texts {
        for (place, row) in (0..text.ids.len()).zip(&mut rows) {
            dropout.apply(site, text.number, place, row);
        }
    }
}
