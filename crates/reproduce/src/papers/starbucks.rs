//! Starbucks (arXiv 2410.13230) on the tiny arXiv bench: every size of a list in every step, pulled to the full one; from random weights, with four times
//! the steps (the paper trains much longer than the bench), and after pre-training on the same texts: masked language modelling at the full size, or
//! masked autoencoding at every size (SMAE). Ratios are of means over three seeds.

use kokeshi_core::Seed;
use kokeshi_train::losses::{Alignment, Loss, Ranking, Starbucks};

use super::mse_2d;
use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result, failed};
use crate::training::arxiv::Arxiv;
use crate::training::tiny::{self, DIMS, LAYERS, STEPS};

const ID: &str = "starbucks";

/// Seeds whose MRR@10 are averaged: one differs from the next by up to a tenth.
const SEEDS: u64 = 3;

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
        let mut mean = [[0.0; SIZES.len()]; Model::COUNT];
        for seed in context.seed..context.seed + SEEDS {
            for (mean, found) in mean
                .as_flattened_mut()
                .iter_mut()
                .zip(one_of_each(&arxiv, Seed(seed))?)
            {
                *mean += found / SEEDS as f64;
            }
        }
        let ratio =
            |one: Model, other: Model, size: usize| mean[one as usize][size] / mean[other as usize][size];
        let full = SIZES.len() - 1;
        Ok(measured(
            CLAIMS,
            [
                ratio(Model::List, Model::Random, 0),
                ratio(Model::List, Model::Random, 1),
                ratio(Model::List, Model::Random, 0),
                ratio(Model::List, Model::Random, 1),
                ratio(Model::List, Model::Alone, 0),
                ratio(Model::List, Model::Alone, 1),
                ratio(Model::List, Model::Alone, 0),
                ratio(Model::List, Model::Alone, 1),
                ratio(Model::List, Model::Full, full),
                ratio(Model::List, Model::Unpulled, 0),
                ratio(Model::AfterSmae, Model::AfterWords, 0),
                ratio(Model::AfterSmae, Model::List, 0),
                ratio(Model::LongList, Model::LongRandom, 0),
                ratio(Model::LongList, Model::LongRandom, 1),
                ratio(Model::LongList, Model::LongAlone, 0),
                ratio(Model::LongList, Model::LongAlone, 1),
                ratio(Model::LongList, Model::LongFull, full),
            ],
        ))
    }
}

/// What is trained from the same random weights.
#[derive(Debug, Clone, Copy)]
enum Model {
    /// The full size alone.
    Full,
    /// 2DMSE: random sizes.
    Random,
    /// The list without the pull to the full size.
    Unpulled,
    /// The list.
    List,
    /// The first two sizes, a model each.
    Alone,
    LongFull,
    LongRandom,
    LongList,
    LongAlone,
    /// The list after masked language modelling at the full size.
    AfterWords,
    /// The list after masked autoencoding at every size.
    AfterSmae,
}

impl Model {
    const COUNT: usize = Self::AfterSmae as usize + 1;
}

/// MRR@10 of each model at every size, model by model; 0 for sizes that are not looked at.
fn one_of_each(arxiv: &Arxiv, seed: Seed) -> Result<Vec<f64>> {
    let wrong = |error| failed(ID, error);
    let begin = tiny::begin(seed);
    let say = |name: &str, found: &[f64]| eprintln!("seed {}, {name}: MRR@10 {found:.3?}", seed.0);
    let train = |name: &str, loss: &dyn Loss, exits: &[usize], steps| -> Result<Vec<f64>> {
        let mut learner = tiny::train_from(&begin, arxiv, loss, exits, steps, seed).map_err(wrong)?;
        let found = tiny::judge(arxiv, &mut learner, &SIZES);
        say(&format!("{name}, {steps} steps"), &found);
        Ok(found)
    };
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
    let full = |steps| train("full size alone", &Ranking::default(), &[LAYERS], steps);
    let random = |steps| train("2DMSE", &mse_2d::published(), &all, steps);
    let pulled = |steps| train("list with pull", &list(scores, &SIZES), &all, steps);
    let alone = |steps| -> Result<Vec<f64>> {
        let mut found = vec![0.0; SIZES.len()];
        for (at, size) in SIZES[..2].iter().enumerate() {
            let name = format!("{}x{} alone", size.0, size.1);
            found[at] = train(&name, &list(Alignment::Off, &[*size]), &[size.0], steps)?[at];
        }
        Ok(found)
    };
    let pretrained = |name: &str, sizes: &[(usize, usize)], decoder: bool| -> Result<Vec<f64>> {
        let begin = tiny::pretrain(arxiv, sizes, decoder, seed).map_err(wrong)?;
        let learner = tiny::train_from(&begin, arxiv, &list(scores, &SIZES), &all, STEPS, seed);
        let found = tiny::judge(arxiv, &mut learner.map_err(wrong)?, &SIZES);
        say(&format!("list with pull after {name}"), &found);
        Ok(found)
    };
    // In the order of [`Model`].
    let found = [
        full(STEPS)?,
        random(STEPS)?,
        train("list without pull", &list(Alignment::Off, &SIZES), &all, STEPS)?,
        pulled(STEPS)?,
        alone(STEPS)?,
        full(LONG)?,
        random(LONG)?,
        pulled(LONG)?,
        alone(LONG)?,
        pretrained("masked language modelling", &SIZES[SIZES.len() - 1..], false)?,
        pretrained("SMAE", &SIZES, true)?,
    ];
    Ok(found.concat())
}
