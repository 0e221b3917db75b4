//! The key-token task on frozen states: one marked token of a text says its class, the others say random classes.

use std::ops::Range;

use kokeshi_core::Seed;
use kokeshi_encode::{Cross, CrossKind};
use kokeshi_train::tape::{Matrix, Tape, Targets, Var};
use kokeshi_train::{CrossPooling, Leaves};

use super::net::{Net, normal};

/// Width of a state, classes, the fewest and the most tokens.
const DIMS: usize = 32;
const CLASSES: usize = 8;
const TOKENS: Range<usize> = 8..25;
const BATCH: usize = 64;
const STEPS: usize = 400;
const RATE: f32 = 3e-3;
/// Texts that it is judged on.
const TEST: usize = 2_000;
/// What is random about a state beside its class and the mark, whose vectors have deviations of one.
const NOISE: f64 = 0.3;

/// How the states of a text become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pooling {
    Mean,
    Last,
    /// With weights that learn along with the classifier.
    Cross(CrossKind),
}

/// Texts, their tokens' states end to end.
struct Texts {
    states: Matrix,
    rows: Vec<Range<usize>>,
    classes: Vec<usize>,
}

struct Task {
    classes: Matrix,
    mark: Matrix,
}

impl Task {
    fn texts(&self, count: usize, seed: &mut Seed) -> Texts {
        let (mut states, mut rows, mut classes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            let len = TOKENS.start + seed.below(TOKENS.len());
            let key = seed.below(len);
            let first = states.len() / DIMS;
            for token in 0..len {
                let class = seed.below(CLASSES);
                let mark = if token == key { 1.0 } else { 0.0 };
                if token == key {
                    classes.push(class);
                }
                let parts = self.classes.row(class).iter().zip(self.mark.row(0));
                states.extend(parts.map(|(class, own)| class + mark * own + (NOISE * seed.normal()) as f32));
            }
            rows.push(first..first + len);
        }
        Texts {
            states: Matrix::new(states.len() / DIMS, DIMS, states),
            rows,
            classes,
        }
    }
}

/// Logits of texts, over the classifier's weight and bias and whatever the pooling has.
fn logits(tape: &mut Tape, leaves: &[Var], pooling: &Pooled, texts: &Texts) -> Var {
    let states = tape.constant(texts.states.clone());
    let pooled = match pooling {
        Pooled::Cross(cross) => cross.pool(tape, &Leaves(leaves[2..].to_vec()), states, &texts.rows),
        Pooled::Mean => tape.means(states, texts.rows.clone()),
        Pooled::Last => {
            let last = texts.rows.iter().map(|rows| rows.end - 1..rows.end);
            tape.means(states, last.collect())
        }
    };
    tape.linear(pooled, leaves[0], Some(leaves[1]))
}

enum Pooled {
    Mean,
    Last,
    Cross(CrossPooling),
}

/// Trains a classifier over states pooled so; returns its accuracy on texts that it has not seen.
pub(crate) fn accuracy(pooling: Pooling, seed: Seed) -> f64 {
    let mut seed = seed;
    let task = Task {
        classes: normal(CLASSES, DIMS, 1.0, &mut seed),
        mark: normal(1, DIMS, 1.0, &mut seed),
    };
    let mut parts = vec![normal(CLASSES, DIMS, 0.1, &mut seed), Matrix::zeros(1, CLASSES)];
    let pooled = match pooling {
        Pooling::Mean => Pooled::Mean,
        Pooling::Last => Pooled::Last,
        Pooling::Cross(kind) => {
            let cross = Cross {
                kind,
                latents: 8,
                heads: 4,
                head_dims: DIMS / 4,
            };
            // Latents ask the tokens, which take the places of layers.
            let pooling = CrossPooling::new(cross, DIMS, TOKENS.end);
            parts.extend(pooling.matrices(&cross.fresh(DIMS, TOKENS.end, seed.fork(1))));
            Pooled::Cross(pooling)
        }
    };
    let mut net = Net::new(parts);
    for step in 0..STEPS {
        let texts = task.texts(BATCH, &mut seed);
        let rate = RATE * (1.0 - step as f32 / STEPS as f32);
        net.step(rate, |tape, leaves| {
            let logits = logits(tape, leaves, &pooled, &texts);
            let targets = Targets {
                columns: texts.classes.clone(),
                ..Targets::default()
            };
            tape.cross_entropy(logits, targets)
        });
    }
    let texts = task.texts(TEST, &mut seed);
    let mut tape = Tape::default();
    let leaves = net.leaves(&mut tape);
    let found = logits(&mut tape, &leaves, &pooled, &texts);
    let found = tape.value(found);
    let right = texts.classes.iter().enumerate().filter(|(row, class)| {
        let row = found.row(*row);
        (0..CLASSES).max_by(|a, b| row[*a].total_cmp(&row[*b])) == Some(**class)
    });
    right.count() as f64 / TEST as f64
}
