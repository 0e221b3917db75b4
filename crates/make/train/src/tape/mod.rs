//! Reverse-mode differentiation over the short list of operations that losses and trained poolings are made of: each file has forward and backward halves, and is
//! tested against finite differences.
//!
//! A [`Tape`] records what is computed from a batch's pooled vectors; [`Tape::backward`] returns their gradients, from which
//! [`crate::encoder`] goes on.

mod attend;
mod divergence;
mod elementwise;
mod entropy;
mod gated;
mod gather;
mod linear;
mod matrix;
mod means;
mod norm;
mod rank;
mod rows;
mod softmax;
mod unit;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use attend::Span;
pub use entropy::Targets;
pub use matrix::{Matrix, Way};

/// A value on a tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Var(usize);

/// What an operation remembers for its backward half.
trait Op: Send {
    /// Adds to the gradients of the inputs what `gradient`, that of the output, makes of them.
    fn backward(&self, tape: &Tape, gradient: &Matrix, sink: &mut Gradients);
}

struct Node {
    value: Arc<Matrix>,
    op: Option<Box<dyn Op>>,
    /// Whether a leaf that learns is behind it.
    learns: bool,
}

/// Values in the order in which they were computed.
#[derive(Default)]
pub struct Tape {
    nodes: Vec<Node>,
}

/// Gradients of a tape's values.
#[derive(Default)]
pub struct Gradients {
    dense: BTreeMap<Var, Matrix>,
    wanted: Vec<bool>,
}

impl Gradients {
    /// Adds to a value's gradient.
    fn add(&mut self, var: Var, gradient: Matrix) {
        if !self.wants(var) {
            return;
        }
        match self.dense.get_mut(&var) {
            Some(sum) => sum.add(&gradient),
            None => {
                self.dense.insert(var, gradient);
            }
        }
    }

    /// Adds `left * right` to a value's gradient.
    fn add_product(&mut self, var: Var, left: (&Matrix, Way), right: (&Matrix, Way)) {
        if !self.wants(var) {
            return;
        }
        match self.dense.get_mut(&var) {
            Some(sum) => sum.add_product(left.0, left.1, right.0, right.1),
            None => {
                self.dense
                    .insert(var, Matrix::product(left.0, left.1, right.0, right.1));
            }
        }
    }

    /// Whether anybody asks for it.
    fn wants(&self, var: Var) -> bool {
        self.wanted[var.0]
    }

    /// Takes a leaf's gradient; `None` if nothing reached it.
    pub fn take(&mut self, leaf: Var) -> Option<Matrix> {
        self.dense.remove(&leaf)
    }
}

impl Tape {
    /// A leaf: a parameter, shared with whoever else reads it. It gets a gradient if it `learns`.
    pub fn leaf(&mut self, value: Arc<Matrix>, learns: bool) -> Var {
        self.nodes.push(Node {
            value,
            op: None,
            learns,
        });
        Var(self.nodes.len() - 1)
    }

    /// A value that is given and does not learn.
    pub fn constant(&mut self, value: Matrix) -> Var {
        self.leaf(Arc::new(value), false)
    }

    /// A value.
    pub fn value(&self, var: Var) -> &Matrix {
        &self.nodes[var.0].value
    }

    fn shared(&self, var: Var) -> Arc<Matrix> {
        Arc::clone(&self.nodes[var.0].value)
    }

    fn push(&mut self, value: Matrix, inputs: &[Var], op: impl Op + 'static) -> Var {
        let learns = inputs.iter().any(|input| self.nodes[input.0].learns);
        self.nodes.push(Node {
            value: Arc::new(value),
            op: learns.then(|| Box::new(op) as Box<dyn Op>),
            learns,
        });
        Var(self.nodes.len() - 1)
    }

    /// A copy through which no gradient flows.
    pub fn detach(&mut self, var: Var) -> Var {
        let value = self.shared(var);
        self.leaf(value, false)
    }

    /// The gradients of the leaves, given those of some values: `[(loss, 1)]`, or what another tape found out about this one's results.
    ///
    /// # Panics
    /// If a gradient has another shape than its value.
    pub fn backward(&self, seeds: impl IntoIterator<Item = (Var, Matrix)>) -> Gradients {
        let mut gradients = Gradients {
            wanted: self.nodes.iter().map(|node| node.learns).collect(),
            ..Gradients::default()
        };
        for (var, seed) in seeds {
            let value = self.value(var);
            assert_eq!(
                (value.rows, value.cols),
                (seed.rows, seed.cols),
                "gradient and value"
            );
            gradients.add(var, seed);
        }
        for at in (0..self.nodes.len()).rev() {
            let Some(op) = &self.nodes[at].op else { continue };
            // Whoever reads it comes later on the tape and has spoken.
            if let Some(gradient) = gradients.dense.remove(&Var(at)) {
                op.backward(self, &gradient, &mut gradients);
            }
        }
        gradients
    }
}

#[cfg(test)]
pub(crate) mod check {
    //! Gradients against finite differences.

    use super::*;

    /// The values of the shared numeric fixture: `sin(0.31 k^2 + 1.3 tag)` for k from 1.
    pub(crate) fn g(tag: f64, rows: usize, cols: usize) -> Matrix {
        let values = (1..=rows * cols).map(|k| (0.31 * (k * k) as f64 + 1.3 * tag).sin() as f32);
        Matrix::new(rows, cols, values.collect())
    }

    /// Compares the gradient of `f` (a scalar) by every value of `inputs` with central differences.
    #[track_caller]
    pub(crate) fn gradients(inputs: &[Matrix], f: impl Fn(&mut Tape, &[Var]) -> Var) {
        let run = |inputs: &[Matrix]| {
            let mut tape = Tape::default();
            let vars: Vec<Var> = inputs
                .iter()
                .map(|input| tape.leaf(Arc::new(input.clone()), true))
                .collect();
            let out = f(&mut tape, &vars);
            (tape, vars, out)
        };
        let (tape, vars, out) = run(inputs);
        assert_eq!((tape.value(out).rows, tape.value(out).cols), (1, 1), "a scalar");
        let mut found = tape.backward([(out, Matrix::scalar(1.0))]);
        for (which, (var, input)) in vars.iter().zip(inputs).enumerate() {
            let gradient = found
                .take(*var)
                .unwrap_or_else(|| Matrix::zeros(input.rows, input.cols));
            for at in 0..input.data.len() {
                let at_offset = |offset: f32| {
                    let mut moved = inputs.to_vec();
                    moved[which].data[at] += offset;
                    let (tape, _, out) = run(&moved);
                    f64::from(tape.value(out).data[0])
                };
                let step = 1e-2_f32;
                // Five points: exact up to the fourth power of the step.
                let expected = (8.0 * (at_offset(step) - at_offset(-step)) - at_offset(2.0 * step)
                    + at_offset(-2.0 * step))
                    / (12.0 * f64::from(step));
                let error = (f64::from(gradient.data[at]) - expected).abs();
                assert!(
                    error <= 2e-3 * expected.abs().max(1.0),
                    "input {which}, value {at}: gradient {}, difference {expected}",
                    gradient.data[at]
                );
            }
        }
    }
}
