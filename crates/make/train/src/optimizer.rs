//! AdamW over all parameters of an encoder, with single rows of the token table.
//!
//! A row of the token table that was never used has no moments: nothing happens to it but weight decay. A row that was used before moves on
//! by its moments in every step, as it does under a dense optimizer: the result is the same, the work is not.

use kokeshi_kernels::{AdamW, Level, adamw, backward};
use rayon::prelude::*;

use crate::encoder::{Encoder, Gradient, ParamRole};

/// Values of one job: enough that handing it out does not count, few enough that all threads have some.
const JOB: usize = 1 << 16;
/// Rows of the token table of one job.
const JOB_ROWS: usize = 256;
/// The slot of a token that the batch does not have.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// What does not change from step to step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// How much of the first moment stays.
    pub beta1: f32,
    /// How much of the second moment stays.
    pub beta2: f32,
    /// What is added to the root of the second moment.
    pub epsilon: f32,
    /// Weight decay, of all but biases and norms.
    pub decay: f32,
    /// The largest length of the gradient; it is cut to that. 0: never.
    pub clip: f32,
    /// What the learning rate is multiplied by from a layer to the one below it; 1: all alike.
    pub layer_rate: f32,
    /// The width that the learning rate was found at: weights between widths learn as much slower as the encoder is wider, all others alike
    /// (muP for Adam, arXiv 2203.03466, table 8); 0: the encoder's own. Heads keep their width.
    pub base_width: usize,
}

impl Default for AdamWConfig {
    /// As in sentence-transformers' trainer.
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            decay: 0.0,
            clip: 1.0,
            layer_rate: 1.0,
            base_width: 0,
        }
    }
}

/// Moments of all parameters.
pub struct Optimizer {
    level: Level,
    config: AdamWConfig,
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
    /// Which rows of the token table were used.
    pub(crate) used: Vec<bool>,
    pub(crate) steps: u64,
    groups: Vec<Group>,
    /// What the token table's rate is multiplied by.
    table_rate: f32,
}

/// Neighbouring parameters that are treated alike.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Group {
    len: usize,
    rate: f32,
    decay: f32,
}

impl Optimizer {
    /// Nothing was learnt yet.
    pub fn new(encoder: &Encoder, config: AdamWConfig) -> Self {
        let (shape, layout) = (encoder.shape(), &encoder.layout);
        let rate = |layer: usize| config.layer_rate.powi((shape.layers - layer) as i32);
        let wider = match config.base_width {
            0 => 1.0,
            base => shape.hidden as f32 / base as f32,
        };
        let mut groups: Vec<Group> = Vec::new();
        let mut starts = layout.starts();
        starts.push(layout.total);
        for pair in starts.windows(2) {
            let rate = rate(layout.layer(pair[0]));
            let group = match layout.role(pair[0]) {
                ParamRole::Input => Group {
                    len: pair[1] - pair[0],
                    rate,
                    decay: config.decay,
                },
                // Decay is multiplied by the rate, and should not get weaker with it.
                ParamRole::Hidden => Group {
                    len: pair[1] - pair[0],
                    rate: rate / wider,
                    decay: config.decay * wider,
                },
                ParamRole::Bias => Group {
                    len: pair[1] - pair[0],
                    rate,
                    decay: 0.0,
                },
            };
            match groups.last_mut() {
                Some(last) if (last.rate, last.decay) == (group.rate, group.decay) => last.len += group.len,
                _ => groups.push(group),
            }
        }
        Self {
            level: encoder.level,
            config,
            first: vec![0.0; layout.total],
            second: vec![0.0; layout.total],
            used: vec![false; shape.vocabulary],
            steps: 0,
            groups,
            table_rate: rate(0),
        }
    }

    /// How many steps were made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Sums the threads' gradients into the first; returns their length.
    pub fn join(&self, gradients: &mut [Gradient]) -> f64 {
        let Some((sum, others)) = gradients.split_first_mut() else {
            return 0.0;
        };
        let others: &[Gradient] = others;
        let level = self.level;
        let join = |sum: &mut [f32], part: fn(&Gradient) -> &[f32]| -> f64 {
            let jobs = sum.par_chunks_mut(JOB).enumerate().map(|(at, sum)| {
                for other in others.iter().filter(|other| !other.fresh) {
                    backward::add(level, &part(other)[at * JOB..][..sum.len()], sum);
                }
                backward::squares(level, sum)
            });
            // In order, so that the sum is the same however the jobs were shared out.
            jobs.collect::<Vec<f64>>().into_iter().sum()
        };
        let squares =
            join(&mut sum.dense, |gradient| &gradient.dense) + join(&mut sum.rows, |gradient| &gradient.rows);
        join(&mut sum.side, |gradient| &gradient.side);
        squares.sqrt()
    }

    /// The length of a gradient whose rows count only where `slots` say.
    pub(crate) fn length(&self, gradient: &Gradient, slots: &[u32], hidden: usize) -> f64 {
        let rows = slots.iter().filter(|slot| **slot != NO_SLOT);
        let rows = rows.map(|slot| &gradient.rows[*slot as usize * hidden..][..hidden]);
        let parts = gradient.dense.chunks(JOB).chain(rows);
        let squares: f64 = parts.map(|part| backward::squares(self.level, part)).sum();
        squares.sqrt()
    }

    /// One step along a gradient of length `length`; `slots` says which row of it each token has.
    pub fn step(
        &mut self,
        encoder: &mut Encoder,
        gradient: &Gradient,
        slots: &[u32],
        length: f64,
        rate: f32,
    ) {
        self.steps += 1;
        let config = self.config;
        let factor = match config.clip {
            clip if clip > 0.0 => (f64::from(clip) / (length + 1e-6)).min(1.0) as f32,
            _ => 1.0,
        };
        let numbers = AdamW {
            rate,
            beta1: config.beta1,
            beta2: config.beta2,
            epsilon: config.epsilon,
            decay: config.decay,
            step: self.steps,
            factor,
        };
        let hidden = encoder.shape.hidden;
        let table = encoder.layout.words.len();
        let (rows, mut values) = encoder.values.split_at_mut(table);
        let (first_rows, mut first) = self.first.split_at_mut(table);
        let (second_rows, mut second) = self.second.split_at_mut(table);
        let mut given = gradient.dense.as_slice();
        let mut jobs = Vec::with_capacity(given.len() / JOB + self.groups.len());
        for group in &self.groups {
            let numbers = AdamW {
                rate: rate * group.rate,
                decay: group.decay,
                ..numbers
            };
            let (mut left, mut len) = (group.len, group.len.min(JOB));
            while left > 0 {
                let (value, more) = std::mem::take(&mut values).split_at_mut(len);
                values = more;
                let (one, more) = std::mem::take(&mut first).split_at_mut(len);
                first = more;
                let (two, more) = std::mem::take(&mut second).split_at_mut(len);
                second = more;
                let (part, more) = given.split_at(len);
                given = more;
                jobs.push((numbers, value, part, one, two));
                left -= len;
                len = left.min(JOB);
            }
        }
        let level = self.level;
        jobs.into_par_iter()
            .with_max_len(4)
            .for_each(|(numbers, value, part, one, two)| {
                adamw(level, &numbers, value, part, one, two);
            });
        let numbers = AdamW {
            rate: rate * self.table_rate,
            ..numbers
        };
        let keep = 1.0 - numbers.rate * numbers.decay;
        rows.par_chunks_mut(JOB_ROWS * hidden)
            .zip(first_rows.par_chunks_mut(JOB_ROWS * hidden))
            .zip(second_rows.par_chunks_mut(JOB_ROWS * hidden))
            .zip(self.used.par_chunks_mut(JOB_ROWS))
            .zip(slots.par_chunks(JOB_ROWS))
            .for_each(|((((rows, first), second), used), slots)| {
                let moments = first
                    .chunks_exact_mut(hidden)
                    .zip(second.chunks_exact_mut(hidden));
                let places = used.iter_mut().zip(slots);
                for ((row, (first, second)), (used, slot)) in
                    rows.chunks_exact_mut(hidden).zip(moments).zip(places)
                {
                    if *slot != NO_SLOT {
                        *used = true;
                        let given = &gradient.rows[*slot as usize * hidden..][..hidden];
                        adamw(level, &numbers, row, given, first, second);
                    } else if *used {
                        adamw(level, &numbers, row, &[], first, second);
                    } else if keep != 1.0 {
                        row.iter_mut().for_each(|value| *value *= keep);
                    }
                }
            });
    }
}

/// What a checkpoint keeps.
impl Optimizer {
    /// First and second moments of all parameters, and which rows of the token table were used.
    pub fn moments(&self) -> (&[f32], &[f32], &[bool]) {
        (&self.first, &self.second, &self.used)
    }

    /// Goes on from moments that were kept.
    ///
    /// # Panics
    /// If they are of another model.
    pub fn restore(&mut self, first: Vec<f32>, second: Vec<f32>, used: Vec<bool>, steps: u64) {
        assert!(
            first.len() == self.first.len() && second.len() == first.len() && used.len() == self.used.len(),
            "moments of the same model"
        );
        (self.first, self.second, self.used, self.steps) = (first, second, used, steps);
    }
}
