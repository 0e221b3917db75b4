//! Which rows make which batch: from the seed and the epoch alone, so that a run that goes on sees what it would have seen.

use std::collections::{HashSet, VecDeque};

use kokeshi_core::Seed;

use crate::data::{Examples, Set};
use crate::recipe::Recipe;

/// A batch: a set, and rows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    pub set: usize,
    pub rows: Vec<u32>,
}

/// The steps of one stage of a recipe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stage {
    /// Its number in the recipe.
    pub number: u32,
    /// Steps of a pass over its data.
    pub per_epoch: u64,
    /// Steps in all.
    pub steps: u64,
    /// Tokens of a step, in the mean.
    pub tokens: f64,
}

/// The stages of a recipe in their order. Each has its passes over its data; if the recipe says how many steps there are, each has its share.
pub(crate) fn stages(recipe: &Recipe, examples: &Examples) -> Vec<Stage> {
    let mut numbers: Vec<u32> = recipe.data.iter().map(|data| data.stage).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut stages: Vec<Stage> = numbers
        .into_iter()
        .filter_map(|number| {
            let batches = epoch(recipe, examples, number, 0);
            let rows = batches.iter().flat_map(|batch| {
                let set = &examples.sets[batch.set];
                batch.rows.iter().flat_map(|row| set.row(*row as usize))
            });
            let tokens: usize = rows.map(|text| examples.texts[*text as usize].len()).sum();
            let per_epoch = batches.len() as u64;
            (per_epoch > 0).then_some(Stage {
                number,
                per_epoch,
                steps: (recipe.train.epochs * per_epoch as f64).ceil().max(1.0) as u64,
                tokens: tokens as f64 / per_epoch as f64,
            })
        })
        .collect();
    if let Some(steps) = recipe.train.steps {
        let all: u64 = stages.iter().map(|stage| stage.per_epoch).sum();
        let (mut seen, mut given) = (0, 0);
        for stage in &mut stages {
            seen += stage.per_epoch;
            let until = (steps as f64 * seen as f64 / all as f64).round() as u64;
            stage.steps = until - given;
            given = until;
        }
    }
    stages
}

/// The batches of an epoch of one stage. A batch is of one set; in a set without labels no text is twice in a batch, since it would be its own negative.
/// A row that does not fit waits for the next batch; what is left at the end and does not fill half a batch is left out.
pub(crate) fn epoch(recipe: &Recipe, examples: &Examples, stage: u32, epoch: u64) -> Vec<Rows> {
    let batch = recipe.train.batch;
    let mut batches = Vec::new();
    let mut draw = Seed(recipe.seed).fork(epoch + 1);
    let mine = |set: &Set| recipe.data[set.data].stage == stage;
    let mine = examples.sets.iter().enumerate().filter(|(_, set)| mine(set));
    let turns = mine.flat_map(|(number, set)| {
        let repeat = u64::from(recipe.data[set.data].repeat);
        (0..repeat).map(move |turn| (number, set, turn))
    });
    for (number, set, turn) in turns {
        let mut order: Vec<u32> = (0..set.len() as u32).collect();
        draw.fork((turn << 32) + number as u64 + 1).shuffle(&mut order);
        let mut waiting: VecDeque<u32> = VecDeque::new();
        let mut rest = order.into_iter();
        loop {
            let mut rows = Vec::with_capacity(batch);
            let mut seen = HashSet::new();
            let mut again = VecDeque::new();
            while rows.len() < batch {
                let Some(row) = waiting.pop_front().or_else(|| rest.next()) else {
                    break;
                };
                let texts = set.row(row as usize);
                if set.labels.is_empty() && texts.iter().any(|text| seen.contains(text)) {
                    again.push_back(row);
                    continue;
                }
                seen.extend(texts.iter().copied());
                rows.push(row);
            }
            again.extend(waiting);
            waiting = again;
            if rows.len() < batch.min(set.len()).div_ceil(2).max(2) {
                break;
            }
            batches.push(Rows { set: number, rows });
        }
    }
    draw.shuffle(&mut batches);
    batches
}
