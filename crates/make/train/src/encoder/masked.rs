//! Finding masked tokens: BERT's head over hidden states of every size (arXiv 1810.04805; Starbucks, arXiv 2410.13230, "SMAE"), and a decoder of
//! one block that has to find more of them from the first token's state alone.
//!
//! Head: `t = norm(act(W[:, ..d] h + b))`, logits `t E^T + c` with the token table `E`; a smaller width cuts columns of `W` and no more.
//! Decoder: the embedded text with `t` of the first token in place of its first row, through one block, then the same head at full width.

use kokeshi_core::Seed;
use kokeshi_encode::Trainable;
use kokeshi_kernels::backward::{activate, activate_backward, add_bias, add_rows, softmax_rows};
use kokeshi_kernels::{Buffer, Factor, MatmulScratch, Store, matmul};

use super::attention::Place;
use super::backward::Ran;
use super::dropout::{Dropout, Site};
use super::forward::drop_texts;
use super::layout::{HeadLayout, Layout};
use super::workspace::{Kept, Normed, Workspace};
use super::{Encoder, Gradient, Text};
use crate::masking::MaskedText;

/// Rows whose logits are held at once.
const ROWS: usize = 256;
/// What BERT's weights begin with.
const DEVIATION: f64 = 0.02;

/// The texts of a chunk: what the encoder reads, and what the decoder reads, or nothing.
#[derive(Clone, Copy)]
pub(crate) struct Lessons<'a> {
    pub encoder: &'a [MaskedText],
    pub decoder: &'a [MaskedText],
    /// The first text's number in the batch.
    pub first: usize,
    /// Layers and dims at which tokens are to be found.
    pub sizes: &'a [(usize, usize)],
    /// Of the whole batch.
    pub counts: Counts,
}

/// Masked tokens of the whole batch, over which losses are means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub encoder: usize,
    pub decoder: usize,
}

/// Memory of one thread.
#[derive(Default)]
pub(crate) struct MaskedWorkspace {
    encoder: Workspace,
    decoder: Workspace,
    head: HeadSpace,
    decoder_head: HeadSpace,
    /// Gradients of hidden states: layer, `[tokens, hidden]`.
    states: Vec<(usize, Vec<f32>)>,
}

/// What the head keeps.
#[derive(Default)]
struct HeadSpace {
    /// Hidden states, cut: `[rows, dims]`; their gradients in the end.
    x: Vec<f32>,
    /// Before the activation: `[rows, hidden]`.
    before: Buffer,
    norm: Normed,
    out: Buffer,
    /// The gradient of `out`.
    given: Buffer,
    logits: Buffer,
    packed: MatmulScratch,
}

impl Encoder {
    /// With a decoder, which begins as the first block, and a head, whose values are `head` (as [`Trainable::masking_head`] gives them) or begin at
    /// random as BERT's.
    ///
    /// # Panics
    /// If it makes its words of bytes: there is no vocabulary to find them in.
    pub fn for_masking(model: &Trainable, head: Option<Vec<f32>>, seed: Seed) -> Self {
        assert!(model.shape.bytes.is_none(), "an encoder with a vocabulary");
        let mut made = Self::new(model);
        made.layout = Layout::for_masking(&model.shape, made.cross.as_ref());
        let first = made.layout.blocks[0].all();
        made.values.extend_from_within(first);
        let (hidden, vocabulary) = (model.shape.hidden, model.shape.vocabulary);
        let mut seed = seed;
        made.values.extend(head.unwrap_or_else(|| {
            let mut values: Vec<f32> = (0..hidden * hidden)
                .map(|_| (seed.normal() * DEVIATION) as f32)
                .collect();
            values.resize(values.len() + hidden, 0.0);
            values.resize(values.len() + hidden, 1.0);
            values.resize(values.len() + hidden + vocabulary, 0.0);
            values
        }));
        assert_eq!(
            made.values.len(),
            made.layout.total,
            "a head of the encoder's sizes"
        );
        made
    }

    /// Adds the gradients of all parameters for a chunk and returns its part of the loss: the mean over sizes of the mean cross-entropy of the
    /// encoder's masked tokens, or half of it and half of the decoder's. `gradient` has zeros or a part already, and a row for each token.
    ///
    /// # Panics
    /// If the encoder was not made by [`Encoder::for_masking`].
    pub(crate) fn masked(
        &self,
        lessons: Lessons<'_>,
        dropout: Dropout,
        slots: &[u32],
        space: &mut MaskedWorkspace,
        gradient: &mut Gradient,
    ) -> f64 {
        let Lessons { sizes, counts, .. } = lessons;
        let hidden = self.shape.hidden;
        let head = self.layout.head.as_ref().expect("an encoder with a head");
        let texts = numbered(lessons.encoder, lessons.first);
        let deepest = sizes.iter().map(|(layer, _)| *layer).max().unwrap_or(0);
        self.forward(&texts, deepest, dropout, &mut space.encoder);
        let starts = space.encoder.starts.clone();
        let tokens = starts.last().copied().unwrap_or(0);
        space.states.clear();
        let share = 1.0 / sizes.len() as f64 / if counts.decoder > 0 { 2.0 } else { 1.0 };
        let weight = |count: usize| (share / count.max(1) as f64) as f32;
        let mut loss = 0.0;
        for (number, (layer, dims)) in sizes.iter().enumerate() {
            let state = space.encoder.state(*layer);
            let places = places(lessons.encoder, &starts);
            let firsts = starts[..lessons.decoder.len()].iter().copied();
            let rows: Vec<usize> = places.chain(firsts).collect();
            space.head.gather(state, hidden, &rows, *dims);
            self.transform(head, *dims, &mut space.head);
            let masked = rows.len() - lessons.decoder.len();
            loss += self.find(
                head,
                targets(lessons.encoder),
                weight(counts.encoder),
                &mut space.head,
                gradient,
            );
            if !lessons.decoder.is_empty() {
                let (out, given) = (&space.head.out, &mut space.head.given);
                let dropout = Dropout {
                    seed: Seed(dropout.seed).fork(number as u64 + 1).next_u64(),
                    ..dropout
                };
                let firsts = (&out[masked * hidden..], &mut given[masked * hidden..]);
                let how = (weight(counts.decoder), dropout);
                let kept = (&mut space.decoder, &mut space.decoder_head);
                loss += self.decode(lessons, firsts, how, slots, kept, gradient);
            }
            self.transform_backward(head, *dims, &mut space.head, gradient);
            let states = &mut space.states;
            let at = states
                .iter()
                .position(|(known, _)| known == layer)
                .unwrap_or_else(|| {
                    states.push((*layer, vec![0.0; tokens * hidden]));
                    states.len() - 1
                });
            space.head.scatter(hidden, &rows, *dims, &mut states[at].1);
        }
        let states = &space.states;
        let given = |layer: usize, _: &[usize], out: &mut [f32]| {
            for (_, values) in states.iter().filter(|(known, _)| *known == layer) {
                kokeshi_kernels::backward::add(self.level, values, out);
            }
        };
        self.backward_from(&texts, dropout, |_, _| given, slots, &mut space.encoder, gradient);
        loss
    }

    /// The decoder, with `firsts` as the first rows and their gradient: its part of the loss, each token of which counts `weight`.
    fn decode(
        &self,
        lessons: Lessons<'_>,
        (firsts, to_firsts): (&[f32], &mut [f32]),
        (weight, dropout): (f32, Dropout),
        slots: &[u32],
        (space, head_space): (&mut Workspace, &mut HeadSpace),
        gradient: &mut Gradient,
    ) -> f64 {
        let texts = &numbered(lessons.decoder, lessons.first)[..];
        let lessons = lessons.decoder;
        let (hidden, block) = (self.shape.hidden, self.shape.layers);
        let head = self.layout.head.as_ref().expect("an encoder with a head");
        let tokens = space.begin(texts.iter().map(|text| text.ids.len()), 1);
        let Workspace {
            starts,
            embedded,
            first,
            blocks,
            scratch,
            ..
        } = space;
        embedded.resize(tokens, hidden);
        first.resize(tokens * hidden);
        self.embed(texts, &mut embedded.rows);
        self.normalise(&self.layout.first_norm, embedded, first);
        drop_texts(dropout, Site::Embeddings, texts, hidden, first);
        for (start, row) in starts.iter().zip(firsts.chunks_exact(hidden)) {
            first[start * hidden..][..hidden].copy_from_slice(row);
        }
        let kept: &mut Kept = &mut blocks[0];
        let places_in = texts.iter().map(|text| Place {
            block,
            text: *text,
            dropout,
        });
        self.block(places_in, first, kept, scratch);
        let rows: Vec<usize> = places(lessons, starts).collect();
        head_space.gather(&kept.out, hidden, &rows, hidden);
        self.transform(head, hidden, head_space);
        let loss = self.find(head, targets(lessons), weight, head_space, gradient);
        self.transform_backward(head, hidden, head_space, gradient);
        scratch.hidden.resize(tokens * hidden);
        scratch.hidden.fill(0.0);
        head_space.scatter(hidden, &rows, hidden, &mut scratch.hidden);
        let ran = Ran {
            texts,
            dropout,
            store: Store::Add,
        };
        self.block_backward(ran, block, first, kept, scratch, gradient);
        for (start, row) in starts.iter().zip(to_firsts.chunks_exact_mut(hidden)) {
            let given = &mut scratch.hidden[start * hidden..][..hidden];
            row.copy_from_slice(given);
            given.fill(0.0);
        }
        self.embed_backward(texts, dropout, slots, embedded, &mut scratch.hidden, gradient);
        loss
    }

    /// `norm(act(W[:, ..dims] x + b))`
    fn transform(&self, head: &HeadLayout, dims: usize, space: &mut HeadSpace) {
        let hidden = self.shape.hidden;
        let rows = space.x.len() / dims;
        space.before.resize(rows * hidden);
        matmul(
            self.level,
            [rows, dims, hidden],
            Factor::plain(&space.x, dims),
            Factor::transposed(self.part(&head.dense), hidden),
            Store::Replace,
            &mut space.before,
            hidden,
            &mut space.packed,
        );
        add_bias(self.level, &mut space.before, self.part(&head.dense_bias));
        space.norm.resize(rows, hidden);
        activate(
            self.level,
            self.shape.activation,
            &space.before,
            &mut space.norm.rows,
        );
        space.out.resize(rows * hidden);
        space.given.resize(rows * hidden);
        self.normalise(&head.norm, &mut space.norm, &mut space.out);
    }

    /// From the gradient of what [`Encoder::transform`] gave to those of the head, and to that of `x` in its place.
    fn transform_backward(
        &self,
        head: &HeadLayout,
        dims: usize,
        space: &mut HeadSpace,
        gradient: &mut Gradient,
    ) {
        let hidden = self.shape.hidden;
        let rows = space.x.len() / dims;
        let dense = &mut gradient.dense;
        self.norm_backward(&head.norm, &space.norm, &mut space.given, dense);
        activate_backward(self.level, self.shape.activation, &space.before, &mut space.given);
        matmul(
            self.level,
            [hidden, rows, dims],
            Factor::transposed(&space.given, hidden),
            Factor::plain(&space.x, dims),
            Store::Add,
            &mut dense[self.layout.dense(&head.dense)],
            hidden,
            &mut space.packed,
        );
        add_rows(
            self.level,
            &space.given,
            &mut dense[self.layout.dense(&head.dense_bias)],
        );
        matmul(
            self.level,
            [rows, hidden, dims],
            Factor::plain(&space.given, hidden),
            Factor::plain(self.part(&head.dense), hidden),
            Store::Replace,
            &mut space.x,
            dims,
            &mut space.packed,
        );
    }

    /// The cross-entropy of the first rows' logits with `targets`, each times `weight`; their gradient goes to `given`.
    fn find(
        &self,
        head: &HeadLayout,
        targets: impl Iterator<Item = usize>,
        weight: f32,
        space: &mut HeadSpace,
        gradient: &mut Gradient,
    ) -> f64 {
        let (hidden, vocabulary) = (self.shape.hidden, self.shape.vocabulary);
        let words = self.part(&self.layout.words);
        let targets: Vec<usize> = targets.collect();
        let mut loss = 0.0;
        for (at, targets) in targets.chunks(ROWS).enumerate() {
            let part = at * ROWS * hidden..(at * ROWS + targets.len()) * hidden;
            let rows = Factor::plain(&space.out[part.clone()], hidden);
            let count = targets.len();
            space.logits.resize(count * vocabulary);
            let logits: &mut [f32] = &mut space.logits;
            matmul(
                self.level,
                [count, hidden, vocabulary],
                rows,
                Factor::transposed(words, hidden),
                Store::Replace,
                logits,
                vocabulary,
                &mut space.packed,
            );
            add_bias(self.level, logits, self.part(&head.bias));
            // How far the right logit is below the largest, and where that is: its share is one over the sum.
            let below: Vec<(usize, f32)> = logits
                .chunks_exact(vocabulary)
                .zip(targets)
                .map(|(row, target)| {
                    let top = (0..vocabulary).fold(0, |top, at| if row[at] > row[top] { at } else { top });
                    (top, row[top] - row[*target])
                })
                .collect();
            softmax_rows(self.level, logits, vocabulary, 1.0);
            for ((row, target), (top, below)) in logits.chunks_exact_mut(vocabulary).zip(targets).zip(below) {
                loss += f64::from(weight) * (f64::from(below) - f64::from(row[top]).ln());
                row.iter_mut().for_each(|share| *share *= weight);
                row[*target] -= weight;
            }
            let bias = self.layout.dense(&head.bias);
            add_rows(self.level, logits, &mut gradient.dense[bias]);
            matmul(
                self.level,
                [vocabulary, count, hidden],
                Factor::transposed(logits, vocabulary),
                rows,
                Store::Add,
                &mut gradient.rows,
                hidden,
                &mut space.packed,
            );
            matmul(
                self.level,
                [count, vocabulary, hidden],
                Factor::plain(logits, vocabulary),
                Factor::plain(words, hidden),
                Store::Replace,
                &mut space.given[part],
                hidden,
                &mut space.packed,
            );
        }
        loss
    }
}

impl HeadSpace {
    /// The first `dims` values of rows.
    fn gather(&mut self, state: &[f32], hidden: usize, rows: &[usize], dims: usize) {
        self.x.clear();
        rows.iter()
            .for_each(|row| self.x.extend_from_slice(&state[row * hidden..][..dims]));
    }

    /// Adds them back.
    fn scatter(&self, hidden: usize, rows: &[usize], dims: usize, to: &mut [f32]) {
        for (row, values) in rows.iter().zip(self.x.chunks_exact(dims)) {
            let to = &mut to[row * hidden..][..dims];
            to.iter_mut().zip(values).for_each(|(to, value)| *to += value);
        }
    }
}

fn numbered(lessons: &[MaskedText], first: usize) -> Vec<Text<'_>> {
    let texts = lessons.iter().enumerate();
    texts
        .map(|(at, text)| Text {
            ids: &text.ids,
            number: first + at,
        })
        .collect()
}

/// The rows of all masked tokens.
fn places(lessons: &[MaskedText], starts: &[usize]) -> impl Iterator<Item = usize> {
    let texts = lessons.iter().zip(starts);
    texts.flat_map(|(text, start)| text.targets.iter().map(move |(place, _)| start + *place as usize))
}

/// The tokens that stood there.
fn targets(lessons: &[MaskedText]) -> impl Iterator<Item = usize> {
    lessons
        .iter()
        .flat_map(|text| text.targets.iter().map(|(_, token)| *token as usize))
}
