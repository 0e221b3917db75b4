//! Encoders of several widths that learn from titles and abstracts of arXiv.

use kokeshi_core::Seed;
use kokeshi_train::encoder::Encoder;
use kokeshi_train::losses::{Aux, Ranking};
use kokeshi_train::{AdamWConfig, Batch, Learner, Optimizer, StepConfig};

use super::{ID, excess, largest_over_smallest};
use crate::reproduction::{Result, failed};
use crate::training::arxiv::{Arxiv, Paper};
use crate::training::tiny::random_wide;

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
/// Beginnings and orders of pairs that are averaged: one of them says little.
const DRAWS: u64 = 8;
/// Steps of a training for the transfer, and how many of the last ones its loss is the mean of.
const STEPS: usize = 80;
const LAST: usize = 16;
/// Rates, as powers of two.
const POWERS: std::ops::RangeInclusive<i32> = -11..=-4;

/// At the base width, how far parameters are apart with and without it; how far vectors move, largest over smallest width; the same with one rate
/// for all, widest over narrowest; what the rate of the narrowest loses at the widest, beside what one rate for all loses.
///
/// # Errors
/// A loss that is no number.
pub(super) fn figures(arxiv: &Arxiv, seed: Seed) -> Result<[f64; 4]> {
    let bench = Bench { arxiv, seed };
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
    eprintln!("widths {WIDTHS:?}: vectors moved by {with:.3?} with muP, {without:.3?} with one rate for all");

    let [narrow, wide] = [BASE, WIDTHS[2]];
    let losses = |width, base_width| -> Result<Vec<f64>> {
        let found: Vec<f64> = POWERS
            .map(|power| bench.loss(width, base_width, 2.0_f32.powi(power)))
            .collect::<Result<_>>()?;
        let name = if base_width == 0 { "one rate" } else { "muP" };
        eprintln!("width {width}, {name}: loss by power of two {POWERS:?}: {found:.3?}");
        Ok(found)
    };
    // At the base width both are the same.
    let narrow = losses(narrow, 0)?;
    let lost = [
        excess(&narrow, &losses(wide, BASE)?),
        excess(&narrow, &losses(wide, 0)?),
    ];
    eprintln!(
        "loss above the best at {wide}: {:.3} with muP, {:.3} with one rate for all",
        lost[0], lost[1]
    );
    Ok([
        apart,
        largest_over_smallest(&with),
        without[WIDTHS.len() - 1] / without[0],
        lost[0] / lost[1],
    ])
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

    /// The root of the mean square of what a few steps changed in the vectors of test titles, the mean of some draws.
    fn moved(&self, width: usize, base_width: usize) -> Result<f64> {
        let mut seed = self.seed;
        let mut sum = 0.0;
        for draw in 0..DRAWS {
            let seed = seed.fork(draw);
            sum += Bench { seed, ..*self }.moved_once(width, base_width)?;
        }
        Ok(sum / DRAWS as f64)
    }

    fn moved_once(&self, width: usize, base_width: usize) -> Result<f64> {
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
