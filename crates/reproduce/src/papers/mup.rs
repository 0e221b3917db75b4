//! Feature Learning in Infinite-Width Neural Networks (arXiv 2011.14522): the parametrisation for Adam, on encoders of several widths that learn
//! from titles and abstracts of arXiv.

use kokeshi_core::Seed;
use kokeshi_train::encoder::Encoder;
use kokeshi_train::losses::{Aux, Ranking};
use kokeshi_train::{AdamWConfig, Batch, Learner, Optimizer, StepConfig};

use crate::check::{Bar, Check, Claim, measured};
use crate::reproduction::{Context, Reproduction, Result, failed};
use crate::training::arxiv::{Arxiv, Paper};
use crate::training::tiny::random_wide;

const ID: &str = "mup";

const LAYERS: usize = 2;
/// Width of a head, whatever the encoder's.
const HEAD: usize = 16;
const LONGEST: usize = 64;
/// The width that rates are found at, its deviations, and the others.
const BASE: usize = 32;
const DEVIATION: f64 = 0.1;
const WIDTHS: [usize; 3] = [BASE, 64, 128];
const BATCH: usize = 32;
/// Steps and rate of the coordinate check: few, since norms bound what states can become.
const FEW: usize = 8;
const COORDINATE_RATE: f32 = 1.0 / 512.0;
/// Steps of a training for the transfer, and how many of the last ones its loss is the mean of.
const STEPS: usize = 80;
const LAST: usize = 16;
/// Rates, as powers of two.
const POWERS: std::ops::RangeInclusive<i32> = -11..=-4;

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
        let bench = Bench {
            arxiv: &arxiv,
            seed: Seed(context.seed),
        };
        let values = |base_width| -> Result<Vec<f32>> {
            let mut learner = bench.learner(BASE, base_width);
            bench.steps(&mut learner, FEW, |_| COORDINATE_RATE)?;
            Ok(learner.encoder.values().to_vec())
        };
        let (plain, same) = (values(0)?, values(BASE)?);
        let apart = plain.iter().zip(&same).map(|(a, b)| f64::from((a - b).abs()));
        let apart = apart.fold(0.0, f64::max);

        let mut moved = [[0.0; WIDTHS.len()]; 2];
        for (base_width, moved) in [BASE, 0].into_iter().zip(&mut moved) {
            for (width, moved) in WIDTHS.into_iter().zip(moved) {
                *moved = bench.moved(width, base_width)?;
            }
        }
        let [with, without] = moved;
        eprintln!(
            "widths {WIDTHS:?}: vectors moved by {with:.3?} with muP, {without:.3?} with one rate for all"
        );
        let (least, most) = with
            .iter()
            .fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
                (least.min(*value), most.max(*value))
            });

        let [narrow, wide] = [BASE, WIDTHS[2]];
        let losses = |width, base_width| -> Result<Vec<f64>> {
            let found: Vec<f64> = POWERS
                .map(|power| bench.loss(width, base_width, 2.0_f32.powi(power)))
                .collect::<Result<_>>()?;
            let name = if base_width == 0 { "one rate" } else { "muP" };
            eprintln!("width {width}, {name}: loss by power of two {POWERS:?}: {found:.3?}");
            Ok(found)
        };
        let best = lowest(&losses(narrow, 0)?);
        // At the base width both are the same.
        let excess = |base_width| -> Result<f64> {
            let found = losses(wide, base_width)?;
            Ok(found[best] - found[lowest(&found)])
        };
        let (with, without) = (excess(BASE)?, excess(0)?);
        eprintln!("loss above the best at {wide}: {with:.3} with muP, {without:.3} with one rate for all");
        Ok(measured(
            CLAIMS,
            [apart, most / least, moved_ratio(&moved[1]), with / without],
        ))
    }
}

fn moved_ratio(moved: &[f64]) -> f64 {
    moved[moved.len() - 1] / moved[0]
}

fn lowest(losses: &[f64]) -> usize {
    (0..losses.len())
        .min_by(|a, b| losses[*a].total_cmp(&losses[*b]))
        .unwrap_or(0)
}

struct Bench<'a> {
    arxiv: &'a Arxiv,
    seed: Seed,
}

impl Bench<'_> {
    /// An encoder of this width; a base width of 0 is one rate for all. Both begin alike.
    fn learner(&self, width: usize, base_width: usize) -> Learner {
        let mut seed = self.seed;
        // Weights between widths begin smaller the wider they are.
        let weights = DEVIATION * (BASE as f64 / width as f64).sqrt();
        let shape = [LAYERS, width, width / HEAD];
        let encoder = Encoder::new(&random_wide(shape, LONGEST, [DEVIATION, weights], seed.fork(1)));
        let config = AdamWConfig {
            base_width,
            ..AdamWConfig::default()
        };
        let optimizer = Optimizer::new(&encoder, config);
        Learner::new(encoder, optimizer, StepConfig::default())
    }

    /// Makes steps over pairs in an order that depends on the seed alone; returns the losses.
    fn steps(&self, learner: &mut Learner, steps: usize, rate: impl Fn(usize) -> f32) -> Result<Vec<f64>> {
        let mut order: Vec<usize> = (0..self.arxiv.train.len()).collect();
        let mut seed = self.seed;
        seed.fork(2).shuffle(&mut order);
        let mut losses = Vec::with_capacity(steps);
        for (step, rows) in order.chunks_exact(BATCH).take(steps).enumerate() {
            let column =
                |text: fn(&Paper) -> &[u32]| rows.iter().map(|row| text(&self.arxiv.train[*row])).collect();
            let batch = Batch {
                columns: vec![column(|paper| &paper.title), column(|paper| paper.summary())],
                aux: Aux::default(),
            };
            let found = learner
                .step(&batch, &Ranking::default(), &[LAYERS], step as u64, rate(step))
                .map_err(|error| failed(ID, error))?;
            losses.push(f64::from(found.loss));
        }
        Ok(losses)
    }

    /// The root of the mean square of what a few steps changed in the vectors of test titles.
    fn moved(&self, width: usize, base_width: usize) -> Result<f64> {
        let mut learner = self.learner(width, base_width);
        let titles: Vec<&[u32]> = self
            .arxiv
            .test
            .iter()
            .map(|paper| paper.title.as_slice())
            .collect();
        let before = learner.vectors(&titles, &[LAYERS]).remove(0);
        self.steps(&mut learner, FEW, |_| COORDINATE_RATE)?;
        let after = learner.vectors(&titles, &[LAYERS]).remove(0);
        let squares = before.iter().zip(&after).map(|(a, b)| f64::from(a - b).powi(2));
        Ok((squares.sum::<f64>() / before.len() as f64).sqrt())
    }

    /// The mean loss of the last steps of a training at a rate that goes down to 0; what is no number counts as what chance has.
    fn loss(&self, width: usize, base_width: usize, rate: f32) -> Result<f64> {
        let mut learner = self.learner(width, base_width);
        let losses = self.steps(&mut learner, STEPS, |step| {
            rate * (1.0 - step as f32 / STEPS as f32)
        })?;
        Ok(losses[STEPS - LAST..].iter().sum::<f64>() / LAST as f64)
    }
}
