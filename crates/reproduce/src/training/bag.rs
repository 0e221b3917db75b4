//! The static bench: a vector a word, a text is the mean of its words' vectors, trained with Adam.

use std::sync::Arc;

use kokeshi_core::Seed;
use kokeshi_kernels::{AdamW, Level, adamw};
use kokeshi_train::losses::{Aux, Loss, Reps};
use kokeshi_train::tape::{Matrix, Tape, Var};

/// A vector for each word.
pub(crate) struct Bag {
    pub dims: usize,
    /// `[words, dims]`
    pub table: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    steps: u64,
}

impl Bag {
    /// Random vectors.
    pub fn new(words: usize, dims: usize, mut seed: Seed) -> Self {
        let scale = 1.0 / (dims as f64).sqrt();
        let table = (0..words * dims).map(|_| (seed.normal() * scale) as f32);
        Self::from_table(table.collect(), dims)
    }

    /// These vectors, `[words, dims]`; no step was made.
    pub fn from_table(table: Vec<f32>, dims: usize) -> Self {
        Self {
            dims,
            first: vec![0.0; table.len()],
            second: vec![0.0; table.len()],
            table,
            steps: 0,
        }
    }

    /// The vectors of texts, `[texts, dims]`.
    pub fn vectors<'a>(&self, texts: impl IntoIterator<Item = &'a [u32]>) -> Vec<f32> {
        let mut out = Vec::new();
        for text in texts {
            let from = out.len();
            out.resize(from + self.dims, 0.0);
            let share = 1.0 / text.len().max(1) as f32;
            for word in text {
                let row = &self.table[*word as usize * self.dims..][..self.dims];
                out[from..]
                    .iter_mut()
                    .zip(row)
                    .for_each(|(sum, value)| *sum += share * value);
            }
        }
        out
    }

    /// One step of Adam on a loss over the columns' vectors; returns the loss.
    pub fn step(&mut self, columns: &[Vec<&[u32]>], loss: &dyn Loss, aux: &Aux, rate: f32) -> f32 {
        self.step_with(columns, rate, |tape, columns| {
            loss.loss(tape, &Reps::single(columns.to_vec()), aux)
        })
    }

    /// The same with a loss that is built on the tape.
    pub fn step_with(
        &mut self,
        columns: &[Vec<&[u32]>],
        rate: f32,
        loss: impl FnOnce(&mut Tape, &[Var]) -> Var,
    ) -> f32 {
        let mut gradient = vec![0.0; self.table.len()];
        let alone = |tape: &mut Tape, columns: &[Var]| (loss(tape, columns), Vec::new());
        let value = self.gradient_with(columns, &mut gradient, alone, &mut Vec::new());
        self.apply(&gradient, rate);
        value
    }

    /// Adds the gradient by the table to `gradient`; returns the loss. Leaves of its own, which the loss returns beside itself, have their
    /// gradients put into `own`.
    pub fn gradient_with(
        &self,
        columns: &[Vec<&[u32]>],
        gradient: &mut [f32],
        loss: impl FnOnce(&mut Tape, &[Var]) -> (Var, Vec<Var>),
        own: &mut Vec<Matrix>,
    ) -> f32 {
        let mut tape = Tape::default();
        let vars: Vec<Var> = columns
            .iter()
            .map(|column| {
                let values = self.vectors(column.iter().copied());
                tape.leaf(Arc::new(Matrix::new(column.len(), self.dims, values)), true)
            })
            .collect();
        let (found, leaves) = loss(&mut tape, &vars);
        let value = tape.value(found).data[0];
        let mut gradients = tape.backward([(found, Matrix::scalar(1.0))]);
        own.extend(leaves.into_iter().filter_map(|leaf| gradients.take(leaf)));
        for (var, column) in vars.iter().zip(columns) {
            let Some(given) = gradients.take(*var) else {
                continue;
            };
            for (row, text) in column.iter().enumerate() {
                let share = 1.0 / text.len().max(1) as f32;
                for word in *text {
                    let sums = &mut gradient[*word as usize * self.dims..][..self.dims];
                    sums.iter_mut()
                        .zip(given.row(row))
                        .for_each(|(sum, value)| *sum += share * value);
                }
            }
        }
        value
    }

    /// One step of Adam along a gradient.
    pub fn apply(&mut self, gradient: &[f32], rate: f32) {
        self.steps += 1;
        let numbers = AdamW {
            rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            decay: 0.0,
            step: self.steps,
            factor: 1.0,
        };
        adamw(
            Level::best(),
            &numbers,
            &mut self.table,
            gradient,
            &mut self.first,
            &mut self.second,
        );
    }
}
