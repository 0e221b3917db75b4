//! Matrices that learn by Adam, for losses that are built on a tape.

use std::sync::Arc;

use kokeshi_core::Seed;
use kokeshi_kernels::{AdamW, Level, adamw};
use kokeshi_train::tape::{Matrix, Tape, Var};

/// Matrices that learn.
pub(crate) struct Net {
    pub parts: Vec<Arc<Matrix>>,
    moments: Vec<[Vec<f32>; 2]>,
    /// What each part's rate is multiplied by.
    pub rates: Vec<f32>,
    steps: u64,
}

impl Net {
    /// These matrices; no step was made.
    pub fn new(parts: Vec<Matrix>) -> Self {
        let moments = parts
            .iter()
            .map(|part| [(); 2].map(|()| vec![0.0; part.data.len()]));
        Self {
            moments: moments.collect(),
            rates: vec![1.0; parts.len()],
            parts: parts.into_iter().map(Arc::new).collect(),
            steps: 0,
        }
    }

    /// Puts all parts on a tape.
    pub fn leaves(&self, tape: &mut Tape) -> Vec<Var> {
        let parts = self.parts.iter();
        parts.map(|part| tape.leaf(Arc::clone(part), true)).collect()
    }

    /// One step of Adam on a loss that is built over the parts; returns it.
    pub fn step(&mut self, rate: f32, loss: impl FnOnce(&mut Tape, &[Var]) -> Var) -> f32 {
        let mut tape = Tape::default();
        let leaves = self.leaves(&mut tape);
        let found = loss(&mut tape, &leaves);
        let value = tape.value(found).data[0];
        let mut gradients = tape.backward([(found, Matrix::scalar(1.0))]);
        // The tape shares the parts, which are changed in place when it is gone.
        drop(tape);
        self.steps += 1;
        let all = self.parts.iter_mut().zip(&mut self.moments).zip(&self.rates);
        for (((part, [first, second]), factor), leaf) in all.zip(leaves) {
            let Some(gradient) = gradients.take(leaf) else {
                continue;
            };
            let numbers = AdamW {
                rate: rate * factor,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                decay: 0.0,
                step: self.steps,
                factor: 1.0,
            };
            let values = &mut Arc::make_mut(part).data;
            adamw(Level::best(), &numbers, values, &gradient.data, first, second);
        }
        value
    }
}

/// Normal values with a deviation.
pub(crate) fn normal(rows: usize, cols: usize, deviation: f64, seed: &mut Seed) -> Matrix {
    let values = (0..rows * cols).map(|_| (seed.normal() * deviation) as f32);
    Matrix::new(rows, cols, values.collect())
}

/// The values of the shared numeric fixture: `sin(0.31 k^2 + 1.3 tag)` for k from 1.
pub(crate) fn g(tag: u32, rows: usize, cols: usize) -> Matrix {
    let values = (1..=rows * cols).map(|k| (0.31 * (k * k) as f64 + 1.3 * f64::from(tag)).sin() as f32);
    Matrix::new(rows, cols, values.collect())
}
