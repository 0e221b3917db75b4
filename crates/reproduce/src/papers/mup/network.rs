//! Networks of two hidden layers and several widths that learn which digit an image shows, as in the coordinate check of microsoft/mup
//! (`examples/MLP`): standardised pixels, tanh, no biases, weights that begin with a variance of one over their inputs, the last ones with zeros.

use kokeshi_core::Seed;
use kokeshi_train::tape::{Matrix, Tape, Targets, Var};

use super::{ID, excess, largest_over_smallest};
use crate::reproduction::{Context, Result};
use crate::training::digits::{self, Digits, KINDS, PIXELS};
use crate::training::net::{Net, normal};

const BASE: usize = 64;
const WIDTHS: [usize; 3] = [BASE, 256, 1024];
const BATCH: usize = 64;
const STEPS: usize = 150;
/// Of a training for the transfer, its loss is the mean of the last ones.
const LAST: usize = 30;
const COORDINATE_RATE: f32 = 1.0 / 128.0;
/// Draws of the first weights that movements are the means of, chosen as for the limit.
const DRAWS: u64 = 8;
/// Rates, as powers of two.
const POWERS: std::ops::RangeInclusive<i32> = -12..=-3;

/// How far hidden layers and logits move, largest over smallest width, the worst of the three; the logits with one rate for all, widest over
/// narrowest; what the rate of the narrowest loses at the widest, beside what one rate for all loses.
///
/// # Errors
/// Images that are not there.
pub(super) fn figures(context: &Context, seed: Seed) -> Result<[f64; 3]> {
    let [train, test] = digits::read(context, ID)?;
    let bench = Bench { train, test, seed };
    let moved = [true, false].map(|mup| WIDTHS.map(|width| bench.moved(width, mup)));
    for (name, moved) in ["muP", "one rate for all"].iter().zip(&moved) {
        eprintln!("widths {WIDTHS:?}, {name}: hidden layers and logits moved by {moved:.3?}");
    }
    let [with, without] = moved;
    let of = |part: usize| with.map(|moved| moved[part]);
    let worst = (0..3)
        .map(|part| largest_over_smallest(&of(part)))
        .fold(0.0, f64::max);

    let losses = |width, mup| {
        let found: Vec<f64> = POWERS
            .map(|power| bench.loss(width, mup, 2.0_f32.powi(power)))
            .collect();
        let name = if mup { "muP" } else { "one rate" };
        eprintln!("network of width {width}, {name}: loss by power of two {POWERS:?}: {found:.3?}");
        found
    };
    let narrow = losses(BASE, false);
    let lost = [true, false].map(|mup| excess(&narrow, &losses(WIDTHS[2], mup)));
    eprintln!(
        "network: loss above the best at {}: {:.3} with muP, {:.3} with one rate for all",
        WIDTHS[2], lost[0], lost[1]
    );
    Ok([worst, without[2][2] / without[0][2], lost[0] / lost[1]])
}

struct Bench {
    train: Digits,
    test: Digits,
    seed: Seed,
}

/// What the network multiplies its logits by, beside its matrices.
struct Network {
    net: Net,
    output: f32,
}

impl Bench {
    /// Both kinds begin alike. Under muP, matrices between widths learn slower, and what comes out is divided by how much wider the network is.
    fn network(&self, width: usize, mup: bool, draw: u64) -> Network {
        let mut seed = self.seed;
        let mut draw = seed.fork(draw).fork(width as u64);
        let wider = width as f32 / BASE as f32;
        let mut net = Net::new(vec![
            normal(width, PIXELS, 1.0 / (PIXELS as f64).sqrt(), &mut draw),
            normal(width, width, 1.0 / (width as f64).sqrt(), &mut draw),
            Matrix::zeros(KINDS, width),
        ]);
        if mup {
            net.rates[1] = 1.0 / wider;
        }
        Network {
            net,
            output: if mup { 1.0 / wider } else { 1.0 },
        }
    }

    /// Steps over images in an order that depends on the seed alone; returns the losses.
    fn steps(&self, network: &mut Network, rate: impl Fn(usize) -> f32) -> Vec<f64> {
        let mut order: Vec<usize> = (0..self.train.labels.len()).collect();
        let mut seed = self.seed;
        seed.fork(12).shuffle(&mut order);
        let mut losses = Vec::with_capacity(STEPS);
        for (step, rows) in (0..STEPS).zip(order.chunks_exact(BATCH).cycle()) {
            let inputs = rows
                .iter()
                .flat_map(|row| self.train.images.row(*row))
                .copied()
                .collect();
            let targets = Targets {
                columns: rows.iter().map(|row| self.train.labels[*row]).collect(),
                ..Targets::default()
            };
            let output = network.output;
            let loss = network.net.step(rate(step), |tape, leaves| {
                let inputs = tape.constant(Matrix::new(BATCH, PIXELS, inputs));
                let [.., logits] = forward(tape, leaves, inputs, output);
                tape.cross_entropy(logits, targets)
            });
            losses.push(f64::from(loss));
        }
        losses
    }

    /// The roots of the mean squares of what the steps changed in both hidden layers and the logits of test images.
    fn moved(&self, width: usize, mup: bool) -> [f64; 3] {
        let mut sums = [0.0; 3];
        for draw in 0..DRAWS {
            let mut network = self.network(width, mup, draw);
            let before = self.states(&network);
            self.steps(&mut network, |_| COORDINATE_RATE);
            let after = self.states(&network);
            for ((sum, before), after) in sums.iter_mut().zip(&before).zip(&after) {
                let pairs = before.data.iter().zip(&after.data);
                let squares: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
                *sum += (squares / before.data.len() as f64).sqrt() / DRAWS as f64;
            }
        }
        sums
    }

    fn states(&self, network: &Network) -> [Matrix; 3] {
        let mut tape = Tape::default();
        let leaves = network.net.leaves(&mut tape);
        let inputs = tape.constant(self.test.images.clone());
        forward(&mut tape, &leaves, inputs, network.output).map(|state| tape.value(state).clone())
    }

    /// The mean loss of the last steps of a training at a rate that goes down to 0.
    fn loss(&self, width: usize, mup: bool, rate: f32) -> f64 {
        let mut network = self.network(width, mup, 0);
        let losses = self.steps(&mut network, |step| rate * (1.0 - step as f32 / STEPS as f32));
        losses[STEPS - LAST..].iter().sum::<f64>() / LAST as f64
    }
}

/// Both hidden layers and the logits.
fn forward(tape: &mut Tape, leaves: &[Var], inputs: Var, output: f32) -> [Var; 3] {
    let first = tape.linear(inputs, leaves[0], None);
    let first = tape.tanh(first);
    let second = tape.linear(first, leaves[1], None);
    let second = tape.tanh(second);
    let logits = tape.linear(second, leaves[2], None);
    [first, second, tape.scale(logits, output)]
}
