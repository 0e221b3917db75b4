//! Feature Learning in Infinite-Width Neural Networks (arXiv 2011.14522): that a network of finite width goes to its limit as width grows, and the
//! parametrisation for Adam (arXiv 2203.03466, table 8) with which neither what is learnt nor the best rate depends on the width.

mod encoder;
mod limit;
mod network;

use kokeshi_core::Seed;

use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result};
use crate::training::arxiv::Arxiv;

const ID: &str = "mup";

const CLAIMS: &[Claim] = &[
    Claim {
        name: "base width",
        claim: "at the base width the parametrisation changes nothing: largest difference of a parameter after a few steps",
        bar: Bar::AtMost(0.0),
    },
    Claim {
        name: "coordinates",
        claim: "how far vectors have moved after a few steps hardly depends on the width (32, 64, 128): largest over smallest",
        bar: Bar::AtMost(1.15),
    },
    Claim {
        name: "coordinates, plain",
        claim: "with one rate for all they move further the wider the encoder is: at 128 over at 32",
        bar: Bar::AtLeast(1.5),
    },
    Claim {
        name: "transfer",
        claim: "the rate found at 32, used at 128: loss above the best rate's there, against what one rate for all loses so",
        bar: Bar::AtMost(1.0 / 3.0),
    },
    Claim {
        name: "limit",
        claim: "word vectors of width 64, 256, 1024, 4096 beside those of infinite width: four times the width halves the difference; farthest from a half",
        bar: Bar::AtMost(0.1),
    },
    Claim {
        name: "network, coordinates",
        claim: "two hidden layers (64, 256, 1024): how far each and the logits have moved, largest over smallest width, the worst of the three",
        bar: Bar::AtMost(1.15),
    },
    Claim {
        name: "network, logits, plain",
        claim: "with one rate for all, logits move further the wider the network is: at 1024 over at 64",
        bar: Bar::AtLeast(1.5),
    },
    Claim {
        name: "network, transfer",
        claim: "the rate found at 64, used at 1024: loss above the best rate's there, against what one rate for all loses so",
        bar: Bar::AtMost(1.0 / 3.0),
    },
];

/// The reproduction.
pub(crate) struct Mup;

impl Reproduction for Mup {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let arxiv = Arxiv::read(context, ID)?;
        let seed = Seed(context.seed);
        let limit = limit::farthest_from_a_half(&arxiv, seed);
        let network = network::figures(context, seed)?;
        let encoder = encoder::figures(&arxiv, seed)?;
        Ok(measured(
            CLAIMS,
            encoder.into_iter().chain([limit]).chain(network),
        ))
    }
}

fn largest_over_smallest(values: &[f64]) -> f64 {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    values.iter().copied().fold(0.0, f64::max) / least
}

/// How much more than the best rate the rate loses that is the best at another width; losses by rate.
fn excess(elsewhere: &[f64], here: &[f64]) -> f64 {
    here[lowest(elsewhere)] - here[lowest(here)]
}

fn lowest(losses: &[f64]) -> usize {
    (0..losses.len())
        .min_by(|a, b| losses[*a].total_cmp(&losses[*b]))
        .unwrap_or(0)
}
