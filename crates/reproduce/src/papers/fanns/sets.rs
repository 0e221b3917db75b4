//! UNG (SIGMOD 2024) by label sets.

use std::sync::Arc;

use kokeshi_bench::measure::{ask, best, curve, lists};
use kokeshi_bench::questions::Questions;
use kokeshi_core::Result;
use kokeshi_filtered::{Labels, Ung, UngConfig, random_label_sets};

use super::set::{ROWS, Set, ceiling, cost, share};

pub(super) fn measure(set: &Set) -> Result<[f64; 5]> {
    let few = random_label_sets(ROWS, 5, set.seed);
    let many = random_label_sets(ROWS, 12, set.seed);
    let (asked, asked_of_many) = (questions(set, &few)?, questions(set, &many)?);
    let ung = Ung::build(&set.points, &few, UngConfig::default())?;
    let ung_of_many = Ung::build(&set.points, &many, UngConfig::default())?;
    let points = curve(&ung_of_many, &asked_of_many, &lists(4000), 0.985)?;
    let wrong: f64 = points
        .iter()
        .map(|point| point.failing as f64 + point.predicates)
        .sum();
    let one = ask(&ung, &asked, 500)?;

    let general = set.general();
    let acorn = ceiling(&general.one, &asked_of_many)?.max(ceiling(&general.gamma, &asked_of_many)?);
    let alone = |labels: &Labels, asked: &Questions| {
        let config = UngConfig {
            cross: 0,
            ..UngConfig::default()
        };
        let ung = Ung::build(&set.points, labels, config)?;
        ceiling(&ung, asked)
    };
    Ok([
        wrong + one.failing as f64 + one.predicates,
        share(cost(&ung, &asked, 0.97)?, asked.matches()),
        best(&points),
        acorn,
        alone(&few, &asked)?.max(alone(&many, &asked_of_many)?),
    ])
}

/// Each query asks for one to three labels of a random row.
fn questions(set: &Set, labels: &Labels) -> Result<Questions> {
    let mut seed = set.seed;
    set.ask(|_| {
        loop {
            let mut wanted = labels.of(seed.below(ROWS) as u32).to_vec();
            seed.shuffle(&mut wanted);
            wanted.truncate(1 + seed.below(3));
            if !wanted.is_empty() {
                return Arc::new(labels.containing(&wanted));
            }
        }
    })
}
