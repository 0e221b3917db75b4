//! One step of training: a batch's texts through the encoder on all threads, a loss over the pooled vectors, the way back, AdamW.
//!
//! The batch is cut into as many chunks as there are threads. If a chunk would be larger than [`StepConfig::chunk_tokens`], there are more, and
//! nothing but the pooled vectors is kept: once the loss's gradients by them are known, each chunk is run again with what it left out the first time
//! (GradCache, arXiv 2101.06983; BASIC, arXiv 2111.10050). The gradient is the same, the memory that of one chunk a thread.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::adapter::Adapter;
use crate::encoder::{
    Counts, Dropout, Encoder, Gradient, Lessons, MadeWords, MaskedWorkspace, Text, Workspace,
};
use crate::error::{Error, Result};
use crate::losses::{Aux, Layer, Loss, Reps};
use crate::masking::MaskedText;
use crate::optimizer::{NO_SLOT, Optimizer};
use crate::tape::{Matrix, Tape, Var};

/// How a step is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepConfig {
    /// The most tokens that a thread runs at once.
    pub chunk_tokens: usize,
    /// The share that dropout leaves out.
    pub dropout: f32,
}

impl Default for StepConfig {
    fn default() -> Self {
        Self {
            chunk_tokens: 4096,
            dropout: 0.0,
        }
    }
}

/// A batch: token ids by column and row. All columns have as many rows.
#[derive(Debug, Clone, Default)]
pub struct Batch<'a> {
    /// Anchors, positives, negatives, ...
    pub columns: Vec<Vec<&'a [u32]>>,
    /// What comes with it.
    pub aux: Aux,
}

/// Texts with masks.
#[derive(Debug, Clone, Default)]
pub struct MaskedBatch {
    /// What the encoder reads.
    pub encoder: Vec<MaskedText>,
    /// What the decoder reads, as many; none: there is no decoder, and the loss is that of masked language modelling alone.
    pub decoder: Vec<MaskedText>,
}

/// What a step found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// The loss.
    pub loss: f32,
    /// The gradient's length before it was cut.
    pub length: f64,
    /// How many tokens were read.
    pub tokens: usize,
}

/// An encoder that learns.
pub struct Learner {
    /// What learns.
    pub encoder: Encoder,
    /// How.
    pub optimizer: Optimizer,
    /// If low-rank adapters learn, and nothing else.
    adapter: Option<Adapter>,
    config: StepConfig,
    workers: Vec<Worker>,
    gradients: Vec<Gradient>,
    /// For each token id the row of the gradient, [`NO_SLOT`] for those that the batch does not have.
    slots: Vec<u32>,
    touched: Vec<u32>,
    pooled: Vec<Vec<f32>>,
}

/// One thread's memory.
#[derive(Default)]
struct Worker {
    space: Workspace,
    masked: MaskedWorkspace,
}

impl Learner {
    /// On as many threads as rayon has.
    pub fn new(encoder: Encoder, optimizer: Optimizer, config: StepConfig) -> Self {
        let threads = rayon::current_num_threads();
        Self {
            slots: vec![NO_SLOT; encoder.ids()],
            workers: (0..threads).map(|_| Worker::default()).collect(),
            gradients: (0..threads).map(|_| encoder.gradient()).collect(),
            touched: Vec::new(),
            pooled: Vec::new(),
            encoder,
            optimizer,
            adapter: None,
            config,
        }
    }

    /// From now on `adapter` learns, and the encoder's own values stay as they are.
    pub fn adapt(&mut self, adapter: Adapter) {
        self.encoder.side = adapter.side();
        let count = self.encoder.side.as_ref().map_or(0, |side| side.values.len());
        for gradient in &mut self.gradients {
            gradient.side.resize(count, 0.0);
        }
        self.adapter = Some(adapter);
    }

    /// How many words of the last batch were made of their bytes; special tokens count.
    pub fn made_words(&self) -> usize {
        self.encoder.words.as_ref().map_or(0, |_| self.touched.len())
    }

    /// What learns instead of the encoder, if anything does.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    /// The parameters that learn: the adapter's or the encoder's.
    pub fn parameters(&self) -> &[f32] {
        match &self.adapter {
            Some(adapter) => adapter.values(),
            None => self.encoder.values(),
        }
    }

    /// Takes other values for the parameters that learn.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn set_parameters(&mut self, values: &[f32]) {
        match &mut self.adapter {
            Some(adapter) => adapter.set(values, &mut self.encoder),
            None => self.encoder.values_mut().copy_from_slice(values),
        }
    }

    /// First and second moments of the parameters that learn, which rows of the token table were used if that is among them, and the steps.
    pub fn moments(&self) -> (&[f32], &[f32], &[bool], u64) {
        match &self.adapter {
            Some(adapter) => (&adapter.first, &adapter.second, &[], adapter.steps),
            None => {
                let (first, second, used) = self.optimizer.moments();
                (first, second, used, self.optimizer.steps())
            }
        }
    }

    /// Goes on from moments that were kept.
    ///
    /// # Panics
    /// If they are of another model.
    pub fn restore(&mut self, first: Vec<f32>, second: Vec<f32>, used: Vec<bool>, steps: u64) {
        match &mut self.adapter {
            Some(adapter) => adapter.restore(first, second, steps),
            None => self.optimizer.restore(first, second, used, steps),
        }
    }

    /// Moves what learns along the gradient that was found.
    fn learn(&mut self, mut found: Found, rate: f32) -> Found {
        let gradient = &self.gradients[0];
        match &mut self.adapter {
            Some(adapter) => found.length = adapter.step(&mut self.encoder, gradient, rate),
            None => {
                self.optimizer
                    .step(&mut self.encoder, gradient, &self.slots, found.length, rate);
            }
        }
        found
    }

    /// One step at the learning rate `rate`: `exits` are the layers whose pooled vectors the loss wants, ascending.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if the loss or the gradient is not a finite number; nothing was learnt then.
    pub fn step(
        &mut self,
        batch: &Batch<'_>,
        loss: &dyn Loss,
        exits: &[usize],
        seed: u64,
        rate: f32,
    ) -> Result<Found> {
        let found = self.gradient(batch, loss, exits, seed)?;
        Ok(self.learn(found, rate))
    }

    /// The loss and its gradient, which [`Learner::dense_gradient`] then shows.
    ///
    /// # Errors
    /// As [`Learner::step`].
    pub fn gradient(
        &mut self,
        batch: &Batch<'_>,
        loss: &dyn Loss,
        exits: &[usize],
        seed: u64,
    ) -> Result<Found> {
        let texts: Vec<Text<'_>> = batch
            .columns
            .iter()
            .flatten()
            .enumerate()
            .map(|(number, ids)| Text { ids, number })
            .collect();
        let tokens = texts.iter().map(|text| text.ids.len()).sum();
        let threads = self.workers.len().min(texts.len()).max(1);
        let chunks = chunks(&texts, threads, self.config.chunk_tokens);
        let kept = chunks.len() <= threads;
        let dropout = self.dropout(seed);
        let made = self.begin(&texts);
        self.encode(&texts, &chunks, exits, dropout);
        let (value, gradients) = self.compare(batch, loss, exits)?;

        let hidden = self.encoder.shape().hidden;
        let (encoder, slots) = (&self.encoder, &self.slots);
        let deepest = exits.last().copied().unwrap_or(0);
        let workers = self.workers.par_iter_mut().zip(&mut self.gradients).enumerate();
        workers
            .take(threads)
            .with_max_len(1)
            .for_each(|(at, (worker, gradient))| {
                for chunk in chunks.iter().skip(at).step_by(threads) {
                    let mine = &texts[chunk.clone()];
                    if !kept {
                        encoder.forward(mine, deepest, dropout, &mut worker.space);
                    }
                    let part = chunk.start * hidden..chunk.end * hidden;
                    let given: Vec<(usize, &[f32])> = exits
                        .iter()
                        .zip(&gradients)
                        .map(|(exit, values)| (*exit, &values[part.clone()]))
                        .collect();
                    encoder.backward(mine, dropout, &given, slots, &mut worker.space, gradient);
                }
            });
        let mut length = self.optimizer.join(&mut self.gradients);
        // An adapter leaves the words as they are.
        if !made.is_empty() && self.adapter.is_none() {
            let gradient = &mut self.gradients[0];
            self.encoder.words_backward(made, gradient);
            let special = &self.slots[..self.encoder.shape().vocabulary];
            length = self.optimizer.length(gradient, special, hidden);
        }
        if !length.is_finite() {
            return Err(Error::NotFinite { what: "gradient" });
        }
        Ok(Found {
            loss: value,
            length,
            tokens,
        })
    }

    /// One step of masked language modelling at `sizes` (layers and dims), with an encoder that is made for it ([`Encoder::for_masking`]).
    ///
    /// # Errors
    /// As [`Learner::step`].
    pub fn masked_step(
        &mut self,
        batch: &MaskedBatch,
        sizes: &[(usize, usize)],
        seed: u64,
        rate: f32,
    ) -> Result<Found> {
        let found = self.masked_gradient(batch, sizes, seed)?;
        Ok(self.learn(found, rate))
    }

    /// The loss and its gradient. Tokens' logits are products with the token table: every row of it has a gradient.
    ///
    /// # Errors
    /// As [`Learner::step`].
    pub fn masked_gradient(
        &mut self,
        batch: &MaskedBatch,
        sizes: &[(usize, usize)],
        seed: u64,
    ) -> Result<Found> {
        let texts: Vec<Text<'_>> = batch
            .encoder
            .iter()
            .enumerate()
            .map(|(number, text)| Text {
                ids: &text.ids,
                number,
            })
            .collect();
        let tokens = texts.iter().map(|text| text.ids.len()).sum();
        let threads = self.workers.len().min(texts.len()).max(1);
        let chunks = chunks(&texts, threads, self.config.chunk_tokens);
        let count = |texts: &[MaskedText]| texts.iter().map(|text| text.targets.len()).sum();
        let counts = Counts {
            encoder: count(&batch.encoder),
            decoder: count(&batch.decoder),
        };
        let dropout = self.dropout(seed);
        let vocabulary = self.encoder.shape().vocabulary as u32;
        self.touched = (0..vocabulary).collect();
        self.slots.copy_from_slice(&self.touched);
        let hidden = self.encoder.shape().hidden;
        for gradient in &mut self.gradients {
            gradient.begin(self.touched.len(), hidden);
        }
        let (encoder, slots) = (&self.encoder, &self.slots);
        let workers = self.workers.par_iter_mut().zip(&mut self.gradients).enumerate();
        let losses: Vec<f64> = workers
            .take(threads)
            .with_max_len(1)
            .map(|(at, (worker, gradient))| {
                // The head and the decoder are run once for each size: everything is added.
                gradient.dense.fill(0.0);
                gradient.fresh = false;
                let mut loss = 0.0;
                for chunk in chunks.iter().skip(at).step_by(threads) {
                    let lessons = Lessons {
                        encoder: &batch.encoder[chunk.clone()],
                        decoder: batch.decoder.get(chunk.clone()).unwrap_or(&[]),
                        first: chunk.start,
                        sizes,
                        counts,
                    };
                    loss += encoder.masked(lessons, dropout, slots, &mut worker.masked, gradient);
                }
                loss
            })
            .collect();
        let loss = losses.into_iter().sum::<f64>() as f32;
        if !loss.is_finite() {
            return Err(Error::NotFinite { what: "loss" });
        }
        let length = self.optimizer.join(&mut self.gradients);
        if !length.is_finite() {
            return Err(Error::NotFinite { what: "gradient" });
        }
        Ok(Found { loss, length, tokens })
    }

    fn dropout(&self, seed: u64) -> Dropout {
        Dropout {
            rate: self.config.dropout,
            adapter: self.adapter.as_ref().map_or(0.0, Adapter::dropout),
            seed,
        }
    }

    /// The last gradient of all parameters but the token table, in the order of [`Encoder::values`].
    pub fn dense_gradient(&self) -> &[f32] {
        self.gradients[0].dense()
    }

    /// The last gradient of the token table, or of the words in its place: token ids, and `[ids, hidden]`.
    pub fn row_gradient(&self) -> (&[u32], &[f32]) {
        (&self.touched, self.gradients[0].rows())
    }

    /// Gives every token of the batch a row of the gradient, and makes its words if they are not in a table.
    fn begin(&mut self, texts: &[Text<'_>]) -> Vec<MadeWords> {
        self.touch(texts);
        let hidden = self.encoder.shape().hidden;
        for gradient in &mut self.gradients {
            gradient.begin(self.touched.len(), hidden);
        }
        self.encoder
            .make_words(&self.touched, &self.slots, self.workers.len())
    }

    /// Numbers the different tokens of the texts.
    fn touch(&mut self, texts: &[Text<'_>]) {
        for id in self.touched.drain(..) {
            self.slots[id as usize] = NO_SLOT;
        }
        for id in texts.iter().flat_map(|text| text.ids) {
            let slot = &mut self.slots[*id as usize];
            if *slot == NO_SLOT {
                *slot = self.touched.len() as u32;
                self.touched.push(*id);
            }
        }
    }

    /// Pools every text at every exit.
    fn encode(&mut self, texts: &[Text<'_>], chunks: &[Range<usize>], exits: &[usize], dropout: Dropout) {
        let hidden = self.encoder.shape().hidden;
        self.pooled.resize_with(exits.len(), Vec::new);
        for pooled in &mut self.pooled {
            pooled.resize(texts.len() * hidden, 0.0);
        }
        // Each chunk's part of every exit's vectors, handed out to the workers in turns.
        let mut places: Vec<Vec<&mut [f32]>> =
            chunks.iter().map(|_| Vec::with_capacity(exits.len())).collect();
        for pooled in &mut self.pooled {
            let mut rest = pooled.as_mut_slice();
            for (chunk, place) in chunks.iter().zip(&mut places) {
                let (mine, more) = rest.split_at_mut(chunk.len() * hidden);
                place.push(mine);
                rest = more;
            }
        }
        let threads = self.workers.len().min(texts.len()).max(1);
        // A chunk of texts, and where its vectors go for each exit.
        type Job<'a> = (Range<usize>, Vec<&'a mut [f32]>);
        let mut jobs: Vec<Vec<Job<'_>>> = (0..threads).map(|_| Vec::new()).collect();
        for (at, job) in chunks.iter().cloned().zip(places).enumerate() {
            jobs[at % threads].push(job);
        }
        let encoder = &self.encoder;
        let deepest = exits.last().copied().unwrap_or(0);
        let work = self.workers.par_iter_mut().zip(jobs).with_max_len(1);
        work.for_each(|(worker, jobs)| {
            for (chunk, mut places) in jobs {
                encoder.forward(&texts[chunk], deepest, dropout, &mut worker.space);
                for (exit, out) in exits.iter().zip(&mut places) {
                    encoder.pool(*exit, &worker.space, out);
                }
            }
        });
    }

    /// The loss over the pooled vectors, and its gradients by them for each exit.
    fn compare(&self, batch: &Batch<'_>, loss: &dyn Loss, exits: &[usize]) -> Result<(f32, Vec<Vec<f32>>)> {
        let hidden = self.encoder.shape().hidden;
        let rows = batch.columns.first().map_or(0, Vec::len);
        let mut tape = Tape::default();
        let mut layers = Vec::with_capacity(exits.len());
        for (number, pooled) in exits.iter().zip(&self.pooled) {
            let columns: Vec<Var> = pooled
                .chunks_exact(rows * hidden)
                .map(|column| tape.leaf(Arc::new(Matrix::new(rows, hidden, column.to_vec())), true))
                .collect();
            layers.push(Layer {
                number: *number,
                columns,
            });
        }
        let reps = Reps { layers };
        let found = loss.loss(&mut tape, &reps, &batch.aux);
        let value = tape.value(found).data[0];
        if !value.is_finite() {
            return Err(Error::NotFinite { what: "loss" });
        }
        let mut gradients = tape.backward([(found, Matrix::scalar(1.0))]);
        let by_exit = reps.layers.iter().map(|layer| {
            let mut all = Vec::with_capacity(layer.columns.len() * rows * hidden);
            for column in &layer.columns {
                match gradients.take(*column) {
                    Some(gradient) => all.extend_from_slice(&gradient.data),
                    None => all.resize(all.len() + rows * hidden, 0.0),
                }
            }
            all
        });
        Ok((value, by_exit.collect()))
    }

    /// Pools texts at each of `exits` without learning: for each exit `[texts, hidden]`.
    pub fn vectors(&mut self, texts: &[&[u32]], exits: &[usize]) -> Vec<Vec<f32>> {
        let texts: Vec<Text<'_>> = texts
            .iter()
            .enumerate()
            .map(|(number, ids)| Text { ids, number })
            .collect();
        let threads = self.workers.len().min(texts.len()).max(1);
        let chunks = chunks(&texts, threads, READ_TOKENS);
        if self.encoder.words.is_some() {
            self.touch(&texts);
            self.encoder
                .make_words(&self.touched, &self.slots, self.workers.len());
        }
        self.encode(&texts, &chunks, exits, Dropout::OFF);
        std::mem::take(&mut self.pooled)
    }
}

/// Tokens of a chunk when nothing is learnt: its values stay in the cache.
const READ_TOKENS: usize = 512;

/// Cuts texts into a multiple of `threads` parts of about as many tokens, none of more than `most` unless one text is longer.
fn chunks(texts: &[Text<'_>], threads: usize, most: usize) -> Vec<Range<usize>> {
    let total: usize = texts.iter().map(|text| text.ids.len()).sum();
    let count =
        (total.div_ceil(most.max(1)).next_multiple_of(threads)).clamp(threads, texts.len().max(threads));
    let mut chunks = Vec::with_capacity(count);
    let (mut start, mut tokens) = (0, 0);
    for (at, text) in texts.iter().enumerate() {
        tokens += text.ids.len();
        let (left, missing) = (texts.len() - at - 1, count - chunks.len() - 1);
        // Where the chunk's share of all tokens ends, or each chunk that is missing needs one of the texts that are left.
        let full = tokens * count >= total * (chunks.len() + 1);
        if missing > 0 && (full || left == missing) {
            chunks.push(start..at + 1);
            start = at + 1;
        }
    }
    chunks.push(start..texts.len());
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}
