//! 2D Matryoshka Sentence Embeddings (arXiv 2402.14776) on the tiny arXiv bench: a random earlier layer and a random prefix each step, which makes
//! results vary so much that some seeds are averaged.

use kokeshi_core::Seed;
use kokeshi_train::losses::{Ese, Loss, Ranking};

use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result, failed};
use crate::training::arxiv::Arxiv;
use crate::training::tiny::{self, DIMS, LAYERS};

const ID: &str = "2dmse";

/// Trainings whose MRR is averaged.
const SEEDS: u64 = 3;

const CLAIMS: &[Claim] = &[
    Claim {
        name: "layer 1, 8 dims",
        claim: "the first of four layers at 8 dims against a model that only trained the full size: ratio of MRR@10",
        bar: Bar::AtLeast(1.4),
    },
    Claim {
        name: "layer 1, 16 dims",
        claim: "the same at 16 dims",
        bar: Bar::AtLeast(1.4),
    },
    Claim {
        name: "full",
        claim: "what it costs at the full size: ratio of MRR@10",
        bar: Bar::AtLeast(0.88),
    },
];

/// The reproduction.
pub(crate) struct Mse2d;

impl Reproduction for Mse2d {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let arxiv = Arxiv::read(context, ID)?;
        let sizes = [(1, 8), (1, 16), (LAYERS, DIMS)];
        let learn = |loss: &dyn Loss, exits: &[usize]| -> Result<[f64; 3]> {
            let mut means = [0.0; 3];
            for seed in context.seed..context.seed + SEEDS {
                let learner = tiny::train(&arxiv, loss, exits, Seed(seed));
                let found = tiny::judge(&arxiv, &mut learner.map_err(|error| failed(ID, error))?, &sizes);
                eprintln!("seed {seed}: MRR@10 at {sizes:?} {found:.3?}");
                for (mean, found) in means.iter_mut().zip(found) {
                    *mean += found / SEEDS as f64;
                }
            }
            Ok(means)
        };
        let before = learn(&Ranking::default(), &[LAYERS])?;
        let after = learn(&published(), &[1, 2, 3, LAYERS])?;
        Ok(measured(
            CLAIMS,
            after.iter().zip(before).map(|(after, before)| after / before),
        ))
    }
}

/// The loss as published, at widths of 8, 16 and 32.
pub(crate) fn published() -> Ese<Ranking> {
    Ese {
        loss: Ranking::default(),
        dims: vec![8, 16, 32],
        temperature: 1.0,
    }
}
