//! Starbucks (arXiv 2410.13230) on the tiny arXiv bench: every size of a list in every step, pulled to the full one; from random weights, with four times
//! the steps (the paper trains much longer than the bench), and after pre-training on the same texts: masked language modelling at the full size, or
//! masked autoencoding at every size (SMAE).

use kokeshi_core::Seed;
use kokeshi_train::losses::{Alignment, Loss, Ranking, Starbucks};

use super::mse_2d;
use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result, failed};
use crate::training::arxiv::Arxiv;
use crate::training::tiny::{self, DIMS, LAYERS, STEPS};

const ID: &str = "starbucks";

/// Steps of the long trainings.
const LONG: u64 = 4 * STEPS;

/// Layers and dims, small to large.
const SIZES: [(usize, usize); 4] = [(1, 8), (2, 16), (3, 32), (LAYERS, DIMS)];

const CLAIMS: &[Claim] = &[
    Claim {
        name: "1x8 over 2DMSE",
        claim: "the smallest size against 2DMSE: ratio of MRR@10",
        bar: Bar::AtLeast(1.3),
    },
    Claim {
        name: "2x16 over 2DMSE",
        claim: "the second size against 2DMSE: ratio of MRR@10",
        bar: Bar::AtLeast(1.3),
    },
    Claim {
        name: "1x8 over 2DMSE, least",
        claim: "the smallest size against 2DMSE, with the margin that the paper's own losses had on this bench",
        bar: Bar::AtLeast(1.15),
    },
    Claim {
        name: "2x16 over 2DMSE, least",
        claim: "the second size against 2DMSE, with the margin that the paper's own losses had on this bench",
        bar: Bar::AtLeast(1.15),
    },
    Claim {
        name: "1x8 of separate",
        claim: "the smallest size against a model that was trained at it alone: ratio of MRR@10",
        bar: Bar::AtLeast(0.97),
    },
    Claim {
        name: "2x16 of separate",
        claim: "the second size against a model that was trained at it alone: ratio of MRR@10",
        bar: Bar::AtLeast(0.97),
    },
    Claim {
        name: "1x8 of separate, least",
        claim: "the smallest size against a model that was trained at it alone, with a tenth to lose",
        bar: Bar::AtLeast(0.9),
    },
    Claim {
        name: "2x16 of separate, least",
        claim: "the second size against a model that was trained at it alone, with a tenth to lose",
        bar: Bar::AtLeast(0.9),
    },
    Claim {
        name: "full",
        claim: "the full size against a model that was trained at it alone: ratio of MRR@10",
        bar: Bar::AtLeast(0.93),
    },
    Claim {
        name: "pull",
        claim: "pulling scores to the full size's helps the smallest size: ratio of MRR@10 to the same without",
        bar: Bar::AtLeast(1.0),
    },
    Claim {
        name: "SMAE, 1x8",
        claim: "masked autoencoding at every size helps the smallest: ratio of MRR@10 to the same after masked language modelling at the full size",
        bar: Bar::AtLeast(1.0),
    },
    Claim {
        name: "SMAE, 1x8 from nothing",
        claim: "the same against a model that was not pre-trained",
        bar: Bar::AtLeast(1.0),
    },
    Claim {
        name: "1x8 over 2DMSE, long",
        claim: "the smallest size against 2DMSE, both after four times the steps",
        bar: Bar::AtLeast(1.3),
    },
    Claim {
        name: "2x16 over 2DMSE, long",
        claim: "the second size against 2DMSE, both after four times the steps",
        bar: Bar::AtLeast(1.3),
    },
    Claim {
        name: "1x8 of separate, long",
        claim: "the smallest size against a model that was trained at it alone, both after four times the steps",
        bar: Bar::AtLeast(0.97),
    },
    Claim {
        name: "2x16 of separate, long",
        claim: "the second size against a model that was trained at it alone, both after four times the steps",
        bar: Bar::AtLeast(0.97),
    },
    Claim {
        name: "full, long",
        claim: "the full size against a model that was trained at it alone, both after four times the steps",
        bar: Bar::AtLeast(0.93),
    },
];

/// The reproduction.
pub(crate) struct StarbucksPaper;

impl Reproduction for StarbucksPaper {
    fn id(&self) -> &'static str {
        ID
    }

    fn claims(&self) -> &'static [Claim] {
        CLAIMS
    }

    fn run(&self, context: &Context) -> Result<Vec<Check>> {
        let arxiv = Arxiv::read(context, ID)?;
        let seed = Seed(context.seed);
        let start = tiny::begin(seed);
        let train = |name: &str, loss: &dyn Loss, exits: &[usize], steps| -> Result<Vec<f64>> {
            let learner = tiny::train_from(&start, &arxiv, loss, exits, steps, seed);
            let found = tiny::judge(&arxiv, &mut learner.map_err(|error| failed(ID, error))?, &SIZES);
            eprintln!("{name}, {steps} steps: MRR@10 {found:.3?}");
            Ok(found)
        };
        let run = |name: &str, loss: &dyn Loss, exits: &[usize]| train(name, loss, exits, STEPS);
        let all = [1, 2, 3, LAYERS];
        let list = |alignment, sizes: &[(usize, usize)]| Starbucks {
            loss: Ranking::default(),
            sizes: sizes.to_vec(),
            alignment,
            weight: 1.0,
        };
        let scores = Alignment::Scores {
            temperature: 0.05,
            cosine: true,
        };
        let full = run("full size alone", &Ranking::default(), &[LAYERS])?;
        let random = run("2DMSE", &mse_2d::published(), &all)?;
        let unpulled = run("list without pull", &list(Alignment::Off, &SIZES), &all)?;
        let pulled = run("list with pull", &list(scores, &SIZES), &all)?;
        let separate = |steps| -> Result<Vec<f64>> {
            let alone = SIZES[..2].iter().enumerate().map(|(at, size)| {
                let name = format!("{}x{} alone", size.0, size.1);
                Ok(train(&name, &list(Alignment::Off, &[*size]), &[size.0], steps)?[at])
            });
            alone.collect()
        };
        let alone = separate(STEPS)?;
        let long_full = train("full size alone", &Ranking::default(), &[LAYERS], LONG)?;
        let long_random = train("2DMSE", &mse_2d::published(), &all, LONG)?;
        let long_pulled = train("list with pull", &list(scores, &SIZES), &all, LONG)?;
        let long_alone = separate(LONG)?;
        let pretrained = |name: &str, sizes: &[(usize, usize)], decoder: bool| -> Result<Vec<f64>> {
            let wrong = |error| failed(ID, error);
            let start = tiny::pretrain(&arxiv, sizes, decoder, seed).map_err(wrong)?;
            let loss = list(scores, &SIZES);
            let learner = tiny::train_from(&start, &arxiv, &loss, &all, STEPS, seed);
            let found = tiny::judge(&arxiv, &mut learner.map_err(wrong)?, &SIZES);
            eprintln!("list with pull after {name}: MRR@10 {found:.3?}");
            Ok(found)
        };
        let after_words = pretrained("masked language modelling", &SIZES[SIZES.len() - 1..], false)?;
        let after_smae = pretrained("SMAE", &SIZES, true)?;
        Ok(measured(
            CLAIMS,
            [
                pulled[0] / random[0],
                pulled[1] / random[1],
                pulled[0] / random[0],
                pulled[1] / random[1],
                pulled[0] / alone[0],
                pulled[1] / alone[1],
                pulled[0] / alone[0],
                pulled[1] / alone[1],
                pulled[3] / full[3],
                pulled[0] / unpulled[0],
                after_smae[0] / after_words[0],
                after_smae[0] / pulled[0],
                long_pulled[0] / long_random[0],
                long_pulled[1] / long_random[1],
                long_pulled[0] / long_alone[0],
                long_pulled[1] / long_alone[1],
                long_pulled[3] / long_full[3],
            ],
        ))
    }
}
