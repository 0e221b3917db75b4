//! Pooling, both halves: hidden states to one vector a text.
//!
//! Poolings with weights run on a tape. Nothing of it is kept: the backward half computes it again.

use std::ops::Range;
use std::sync::Arc;

use kokeshi_encode::TrainPooling;
use kokeshi_kernels::backward::add;

use super::{Encoder, Workspace};
use crate::pooling::{CrossPooling, Leaves};
use crate::tape::{Matrix, Tape, Var};

/// The gradients of hidden states that a pooling hands back.
pub(super) enum Returned<'a> {
    /// Of the texts' vectors of a layer, pooled without weights: `[texts, hidden]`.
    Vectors(usize, &'a [f32]),
    /// Of all tokens of a layer.
    Tokens(usize, Vec<f32>),
    /// Of every text's vector of so many layers, pooled without weights: `[texts, layers, hidden]`.
    Layers(usize, Vec<f32>),
}

/// A pooling with weights on a tape.
struct Taped {
    tape: Tape,
    leaves: Leaves,
    rows: Var,
    pooled: Var,
}

impl Encoder {
    /// Pools every text's hidden states after `layer` blocks of the last forward half: `[texts, hidden]`.
    pub fn pool(&self, layer: usize, space: &Workspace, out: &mut [f32]) {
        match self.cross_at(layer) {
            Some(cross) => {
                let found = self.taped(cross, layer, space);
                out.copy_from_slice(&found.tape.value(found.pooled).data);
            }
            None => {
                let texts = self.texts(layer, space);
                for (rows, out) in texts.zip(out.chunks_exact_mut(self.shape.hidden)) {
                    self.pool_text(rows, out);
                }
            }
        }
    }

    /// The block of cross-attention that pools after `layer` blocks: embeddings alone have no layers that could be asked.
    fn cross_at(&self, layer: usize) -> Option<&CrossPooling> {
        let cross = self.cross.as_ref();
        cross.filter(|cross| layer > 0 || !cross.wants_layers())
    }

    /// Every text's hidden states after `layer` blocks.
    fn texts<'a>(&self, layer: usize, space: &'a Workspace) -> impl Iterator<Item = &'a [f32]> {
        let (hidden, state) = (self.shape.hidden, space.state(layer));
        let texts = space.starts.windows(2);
        texts.map(move |text| &state[text[0] * hidden..text[1] * hidden])
    }

    fn pool_text(&self, rows: &[f32], out: &mut [f32]) {
        let hidden = self.shape.hidden;
        match self.pooling {
            TrainPooling::First => out.copy_from_slice(&rows[..hidden]),
            TrainPooling::Last => out.copy_from_slice(&rows[rows.len() - hidden..]),
            TrainPooling::Mean => {
                out.fill(0.0);
                rows.chunks_exact(hidden)
                    .for_each(|row| add(self.level, row, out));
                let share = 1.0 / (rows.len() / hidden) as f32;
                out.iter_mut().for_each(|value| *value *= share);
            }
        }
    }

    /// Adds to the gradients of a text's hidden states, given that of its vector.
    fn unpool_text(&self, given: &[f32], rows: &mut [f32]) {
        let hidden = self.shape.hidden;
        match self.pooling {
            TrainPooling::First => add(self.level, given, &mut rows[..hidden]),
            TrainPooling::Last => {
                let last = rows.len() - hidden;
                add(self.level, given, &mut rows[last..]);
            }
            TrainPooling::Mean => {
                let share = 1.0 / (rows.len() / hidden) as f32;
                for row in rows.chunks_exact_mut(hidden) {
                    row.iter_mut()
                        .zip(given)
                        .for_each(|(sum, value)| *sum += share * value);
                }
            }
        }
    }

    fn taped(&self, cross: &CrossPooling, layer: usize, space: &Workspace) -> Taped {
        let hidden = self.shape.hidden;
        let texts: Vec<Range<usize>>;
        let rows = if cross.wants_layers() {
            let count = space.starts.len() - 1;
            texts = (0..count).map(|text| text * layer..(text + 1) * layer).collect();
            let mut rows = vec![0.0; count * layer * hidden];
            for at in 0..layer {
                for (text, tokens) in self.texts(at + 1, space).enumerate() {
                    self.pool_text(tokens, &mut rows[(text * layer + at) * hidden..][..hidden]);
                }
            }
            rows
        } else {
            texts = space.starts.windows(2).map(|text| text[0]..text[1]).collect();
            space.state(layer)[..space.starts.last().map_or(0, |end| end * hidden)].to_vec()
        };
        let mut tape = Tape::default();
        let leaves = cross.leaves(&mut tape, self.part(&self.layout.pooling));
        let rows = tape.leaf(Arc::new(Matrix::new(rows.len() / hidden, hidden, rows)), true);
        let pooled = cross.pool(&mut tape, &leaves, rows, &texts);
        Taped {
            tape,
            leaves,
            rows,
            pooled,
        }
    }

    /// The gradients of hidden states, given those of vectors pooled after `layer` blocks; those of a pooling's weights are added to `dense`.
    pub(super) fn pool_backward<'a>(
        &self,
        layer: usize,
        vectors: &'a [f32],
        space: &Workspace,
        dense: &mut [f32],
    ) -> Returned<'a> {
        let Some(cross) = self.cross_at(layer) else {
            return Returned::Vectors(layer, vectors);
        };
        let Taped {
            tape,
            leaves,
            rows,
            pooled,
        } = self.taped(cross, layer, space);
        let hidden = self.shape.hidden;
        let given = Matrix::new(vectors.len() / hidden, hidden, vectors.to_vec());
        let mut gradients = tape.backward([(pooled, given)]);
        let own = self.layout.dense(&self.layout.pooling);
        cross.collect(&leaves, &mut gradients, &mut dense[own]);
        let found = gradients.take(rows).map_or_else(Vec::new, |found| found.data);
        match cross.wants_layers() {
            true => Returned::Layers(layer, found),
            false => Returned::Tokens(layer, found),
        }
    }

    /// Adds to the gradients of the hidden states after `layer` blocks what was handed back for them.
    pub(super) fn hand_back(&self, returned: &Returned<'_>, layer: usize, starts: &[usize], out: &mut [f32]) {
        let hidden = self.shape.hidden;
        let texts = starts.windows(2).enumerate();
        let place = |text: &[usize]| text[0] * hidden..text[1] * hidden;
        match returned {
            Returned::Vectors(at, vectors) if *at == layer => {
                texts.for_each(|(number, text)| {
                    self.unpool_text(&vectors[number * hidden..][..hidden], &mut out[place(text)]);
                });
            }
            Returned::Tokens(at, tokens) if *at == layer => add(self.level, tokens, out),
            Returned::Layers(layers, vectors) if (1..=*layers).contains(&layer) => {
                texts.for_each(|(number, text)| {
                    let given = &vectors[(number * layers + layer - 1) * hidden..][..hidden];
                    self.unpool_text(given, &mut out[place(text)]);
                });
            }
            _ => {}
        }
    }
}
