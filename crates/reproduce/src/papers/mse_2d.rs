//! 2D Matryoshka Sentence Embeddings (arXiv 2402.14776) on the tiny arXiv bench: a random earlier layer and a random prefix each step.

use kokeshi_core::Seed;
use kokeshi_train::losses::{Ese, Loss, Ranking};

use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result, failed};
use crate::training::arxiv::Arxiv;
use crate::training::tiny::{self, DIMS, LAYERS};

const ID: &str = "2dmse";

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
        let learn = |loss: &dyn Loss, exits: &[usize]| {
            tiny::train(&arxiv, loss, exits, Seed(context.seed)).map_err(|error| failed(ID, error))
        };
        let sizes = [(1, 8), (1, 16), (LAYERS, DIMS)];
        let mut plain = learn(&Ranking::default(), &[LAYERS])?;
        let before = tiny::judge(&arxiv, &mut plain, &sizes);
        let mut both = learn(&published(), &[1, 2, 3, LAYERS])?;
        let after = tiny::judge(&arxiv, &mut both, &sizes);
        eprintln!("MRR@10 at {sizes:?}: full size alone {before:.3?}, 2DMSE {after:.3?}");
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
