//! Linear -> BatchNorm -> ReLU -> Linear, or one Linear alone, with its gradient.

use kokeshi_core::{Result, Seed};

use crate::blob::{BlobReader, BlobWriter};
use crate::product;

/// Share of a batch in the running mean and variance.
const SHARE: f32 = 0.1;
const EPSILON: f32 = 1e-5;

/// A map from `inputs` to `outputs` values.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    inputs: usize,
    /// 0 for one layer alone.
    hidden: usize,
    outputs: usize,
    /// First weights `[hidden, inputs]`, second ones `[outputs, hidden or inputs]`, then first bias, scale, shift, second bias.
    pub values: Vec<f32>,
    /// Mean and variance of the hidden values, for use.
    running: Vec<f32>,
}

/// What the gradient needs of a batch.
pub(crate) struct Pass {
    input: Vec<f32>,
    /// Hidden values, normalised, and after the rest of the layer.
    normal: Vec<f32>,
    active: Vec<f32>,
    inverse: Vec<f32>,
}

impl Head {
    /// Xavier-normal weights, zero biases.
    pub(crate) fn new(inputs: usize, hidden: usize, outputs: usize, seed: &mut Seed) -> Self {
        let mut head = Self {
            inputs,
            hidden,
            outputs,
            values: Vec::new(),
            running: vec![0.0; 2 * hidden],
        };
        let inner = head.inner();
        let mut weights = |from: usize, to: usize| {
            let deviation = (2.0 / (from + to) as f64).sqrt();
            (0..from * to)
                .map(|_| (deviation * seed.normal()) as f32)
                .collect::<Vec<f32>>()
        };
        head.values = weights(inputs, hidden);
        head.values.extend(weights(inner, outputs));
        head.values.extend(vec![0.0; 3 * hidden + outputs]);
        let scales = head.matrices() + hidden;
        head.values[scales..scales + hidden].fill(1.0);
        head.running[hidden..].fill(1.0);
        head
    }

    /// Makes its first outputs those of `old`, if that has the same inputs and hidden layer.
    pub(crate) fn begin_as(&mut self, old: &Self) {
        if (old.inputs, old.hidden) != (self.inputs, self.hidden) || old.outputs > self.outputs {
            return;
        }
        let first = self.first();
        self.values[first.clone()].copy_from_slice(&old.values[first]);
        let (to, from) = (self.second().start, old.second());
        self.values[to..to + from.len()].copy_from_slice(&old.values[from]);
        for number in 0..4 {
            let (to, from) = (self.vector(number).start, old.vector(number));
            self.values[to..to + from.len()].copy_from_slice(&old.values[from]);
        }
        self.running.copy_from_slice(&old.running);
    }

    /// Makes it give zeros, whatever comes in, until it learns.
    pub(crate) fn clear_output(&mut self) {
        let second = self.second();
        self.values[second].fill(0.0);
    }

    pub(crate) fn read(
        inputs: usize,
        hidden: usize,
        outputs: usize,
        blob: &mut BlobReader<'_>,
    ) -> Result<Self> {
        let mut head = Self {
            inputs,
            hidden,
            outputs,
            values: Vec::new(),
            running: Vec::new(),
        };
        head.values = blob.f32s(
            "weights of a head",
            head.matrices().saturating_add(3 * hidden + outputs),
        )?;
        head.running = blob.f32s("means and variances of a head", 2 * hidden)?;
        Ok(head)
    }

    pub(crate) fn write(&self, blob: &mut BlobWriter) {
        blob.f32s(&self.values);
        blob.f32s(&self.running);
    }

    fn inner(&self) -> usize {
        if self.hidden == 0 {
            self.inputs
        } else {
            self.hidden
        }
    }

    /// How many values are weights of matrices, which come first.
    pub(crate) fn matrices(&self) -> usize {
        self.hidden
            .saturating_mul(self.inputs)
            .saturating_add(self.outputs.saturating_mul(self.inner()))
    }

    /// A vector behind the matrices: first bias, scale, shift, second bias.
    fn vector(&self, number: usize) -> std::ops::Range<usize> {
        let from = self.matrices() + number * self.hidden;
        from..from + if number == 3 { self.outputs } else { self.hidden }
    }

    fn layer(&self, rows: &[f32], weights: std::ops::Range<usize>, bias: usize, width: usize) -> Vec<f32> {
        let bias = &self.values[self.vector(bias)];
        let mut out = vec![0.0; rows.len() / width * bias.len()];
        product::by_rows(rows, &self.values[weights], width, &mut out);
        for row in out.chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
        }
        out
    }

    fn first(&self) -> std::ops::Range<usize> {
        0..self.hidden * self.inputs
    }

    fn second(&self) -> std::ops::Range<usize> {
        self.first().end..self.matrices()
    }

    /// The map as it is used: `[n, inputs]` to `[n, outputs]`.
    pub(crate) fn apply(&self, rows: &[f32]) -> Vec<f32> {
        if self.hidden == 0 {
            return self.layer(rows, self.second(), 3, self.inputs);
        }
        let mut hidden = self.layer(rows, self.first(), 0, self.inputs);
        let (mean, variance) = self.running.split_at(self.hidden);
        let (scale, shift) = (&self.values[self.vector(1)], &self.values[self.vector(2)]);
        for row in hidden.chunks_exact_mut(self.hidden) {
            for (at, value) in row.iter_mut().enumerate() {
                *value =
                    ((*value - mean[at]) / (variance[at] + EPSILON).sqrt() * scale[at] + shift[at]).max(0.0);
            }
        }
        self.layer(&hidden, self.second(), 3, self.hidden)
    }

    /// The map with the batch's own mean and variance, which also go into the running ones.
    pub(crate) fn pass(&mut self, rows: &[f32]) -> (Vec<f32>, Pass) {
        let mut pass = Pass {
            input: rows.to_vec(),
            normal: Vec::new(),
            active: Vec::new(),
            inverse: Vec::new(),
        };
        if self.hidden == 0 {
            return (self.apply(rows), pass);
        }
        let mut hidden = self.layer(rows, self.first(), 0, self.inputs);
        let count = (hidden.len() / self.hidden).max(1) as f32;
        let (mut mean, mut variance) = (vec![0.0; self.hidden], vec![0.0; self.hidden]);
        for row in hidden.chunks_exact(self.hidden) {
            mean.iter_mut()
                .zip(row)
                .for_each(|(mean, value)| *mean += value / count);
        }
        for row in hidden.chunks_exact_mut(self.hidden) {
            for (at, value) in row.iter_mut().enumerate() {
                *value -= mean[at];
                variance[at] += *value * *value / count;
            }
        }
        let unbiased = count / (count - 1.0).max(1.0);
        for at in 0..self.hidden {
            self.running[at] += SHARE * (mean[at] - self.running[at]);
            let running = &mut self.running[self.hidden + at];
            *running += SHARE * (unbiased * variance[at] - *running);
        }
        pass.inverse = variance
            .iter()
            .map(|variance| (variance + EPSILON).sqrt().recip())
            .collect();
        let (scale, shift) = (&self.values[self.vector(1)], &self.values[self.vector(2)]);
        let mut active = hidden.clone();
        for (row, out) in hidden
            .chunks_exact_mut(self.hidden)
            .zip(active.chunks_exact_mut(self.hidden))
        {
            for (at, (value, out)) in row.iter_mut().zip(out).enumerate() {
                *value *= pass.inverse[at];
                *out = (*value * scale[at] + shift[at]).max(0.0);
            }
        }
        let out = self.layer(&active, self.second(), 3, self.hidden);
        pass.normal = hidden;
        pass.active = active;
        (out, pass)
    }

    /// Adds to `gradient` (as long as `values`) what `slopes` (`[n, outputs]`) mean for it; gives the gradient by the input.
    pub(crate) fn back(&self, pass: &Pass, slopes: &[f32], gradient: &mut [f32]) -> Vec<f32> {
        let before = if self.hidden == 0 {
            &pass.input
        } else {
            &pass.active
        };
        add_columns(slopes, self.outputs, &mut gradient[self.vector(3)]);
        add_product(
            slopes,
            before,
            self.outputs,
            self.inner(),
            &mut gradient[self.second()],
        );
        let mut back = vec![0.0; before.len()];
        product::plain(
            slopes,
            &self.values[self.second()],
            self.outputs,
            self.inner(),
            &mut back,
        );
        if self.hidden == 0 {
            return back;
        }
        for (slope, &active) in back.iter_mut().zip(&pass.active) {
            if active <= 0.0 {
                *slope = 0.0;
            }
        }
        let count = (back.len() / self.hidden).max(1) as f32;
        let (mut by_scale, mut by_shift) = (vec![0.0; self.hidden], vec![0.0; self.hidden]);
        for (slopes, normal) in back
            .chunks_exact(self.hidden)
            .zip(pass.normal.chunks_exact(self.hidden))
        {
            for at in 0..self.hidden {
                by_scale[at] += slopes[at] * normal[at];
                by_shift[at] += slopes[at];
            }
        }
        let scale = &self.values[self.vector(1)];
        for (slopes, normal) in back
            .chunks_exact_mut(self.hidden)
            .zip(pass.normal.chunks_exact(self.hidden))
        {
            for at in 0..self.hidden {
                let centred = slopes[at] - (by_shift[at] + normal[at] * by_scale[at]) / count;
                slopes[at] = scale[at] * pass.inverse[at] * centred;
            }
        }
        gradient[self.vector(1)]
            .iter_mut()
            .zip(&by_scale)
            .for_each(|(sum, value)| *sum += value);
        gradient[self.vector(2)]
            .iter_mut()
            .zip(&by_shift)
            .for_each(|(sum, value)| *sum += value);
        add_columns(&back, self.hidden, &mut gradient[self.vector(0)]);
        add_product(
            &back,
            &pass.input,
            self.hidden,
            self.inputs,
            &mut gradient[self.first()],
        );
        let mut input = vec![0.0; pass.input.len()];
        product::plain(
            &back,
            &self.values[self.first()],
            self.hidden,
            self.inputs,
            &mut input,
        );
        input
    }
}

fn add_columns(rows: &[f32], width: usize, out: &mut [f32]) {
    for row in rows.chunks_exact(width) {
        out.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
}

fn add_product(a: &[f32], b: &[f32], m: usize, n: usize, out: &mut [f32]) {
    let mut sums = vec![0.0; m * n];
    product::by_columns(a, b, m, n, &mut sums);
    out.iter_mut().zip(&sums).for_each(|(sum, value)| *sum += value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_what_finite_differences_say() {
        let mut seed = Seed(8);
        for hidden in [0, 7] {
            let mut head = Head::new(4, hidden, 3, &mut seed);
            let rows: Vec<f32> = (0..5 * 4).map(|_| seed.normal() as f32).collect();
            let wanted: Vec<f32> = (0..5 * 3).map(|_| seed.normal() as f32).collect();
            let loss = |head: &mut Head, rows: &[f32]| -> f64 {
                let out = head.pass(rows).0;
                out.iter()
                    .zip(&wanted)
                    .map(|(out, wanted)| f64::from(out * wanted))
                    .sum()
            };
            let (_, pass) = head.pass(&rows);
            let mut gradient = vec![0.0; head.values.len()];
            let input = head.back(&pass, &wanted, &mut gradient);
            for (at, found) in gradient.iter().enumerate() {
                let old = head.values[at];
                let mut at_step = |step: f32| {
                    head.values[at] = old + step;
                    loss(&mut head, &rows)
                };
                let expected = (at_step(1e-3) - at_step(-1e-3)) / 2e-3;
                head.values[at] = old;
                assert!(
                    (f64::from(*found) - expected).abs() < 0.02,
                    "{hidden} {at}: {found} {expected}"
                );
            }
            for at in 0..rows.len() {
                let mut at_step = |step: f32| {
                    let mut moved = rows.clone();
                    moved[at] += step;
                    loss(&mut head, &moved)
                };
                let expected = (at_step(1e-3) - at_step(-1e-3)) / 2e-3;
                assert!(
                    (f64::from(input[at]) - expected).abs() < 0.02,
                    "{hidden} {at}: {} {expected}",
                    input[at]
                );
            }
        }
    }

    #[test]
    fn what_is_learnt_over_batches_is_what_is_applied() {
        let mut seed = Seed(9);
        let mut head = Head::new(6, 5, 4, &mut seed);
        let rows: Vec<f32> = (0..64 * 6).map(|_| seed.normal() as f32 + 1.0).collect();
        let mut last = Vec::new();
        (0..200).for_each(|_| last = head.pass(&rows).0);
        let applied = head.apply(&rows);
        assert!(applied.iter().zip(&last).all(|(a, b)| (a - b).abs() < 0.05));
    }
}
