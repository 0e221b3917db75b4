//! Which rows make which batch: from the seed and the epoch alone, so that a run that goes on sees what it would have seen.

use std::collections::{HashSet, VecDeque};

use kokeshi_core::Seed;

use crate::data::Examples;

/// A batch: a set, and rows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    pub set: usize,
    pub rows: Vec<u32>,
}

/// The batches of an epoch. A batch is of one set; in a set without labels no text is twice in a batch, since it would be its own negative.
/// A row that does not fit waits for the next batch; what is left at the end and does not fill half a batch is left out.
pub(crate) fn epoch(examples: &Examples, batch: usize, seed: u64, epoch: u64) -> Vec<Rows> {
    let mut batches = Vec::new();
    let mut draw = Seed(seed).fork(epoch + 1);
    for (number, set) in examples.sets.iter().enumerate() {
        let mut order: Vec<u32> = (0..set.len() as u32).collect();
        draw.fork(number as u64 + 1).shuffle(&mut order);
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
