//! The ways to look for the rows nearest to a query, by what they compare: candidates by their codes, if there are any, and then the
//! candidates themselves.

use kokeshi_core::{Bitmap, TopK};

use super::codes::{Codes, ToCodes};
use super::scratch::{Near, Scratch};
use super::search::{Target, ToQuery, Walk, matching, nearest};
use crate::Vectors;
use crate::cost;
use crate::flat::{BLOCK, blocks};
use crate::query::Query;

/// Candidates that are compared again together: their rows are called for ahead.
const BATCH: usize = 16;

/// What looking cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Steps {
    /// Codes, or rows if there are no codes, that were compared.
    pub distances: usize,
    /// Nodes expanded.
    pub expanded: usize,
    /// Candidates whose rows were compared after their codes.
    pub rescored: usize,
}

/// A graph's parts and its rows.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    /// None if nothing is linked.
    pub walk: Option<Walk<'a>>,
    pub codes: Option<&'a Codes>,
    pub vectors: &'a Vectors,
    pub nodes: usize,
}

impl Look<'_> {
    /// What comparisons cost here.
    pub fn costs(&self) -> cost::Costs {
        if self.codes.is_some() {
            cost::CODED
        } else {
            cost::PLAIN
        }
    }

    /// Walks the graph with a list of `length` and offers what it finds to `best`. With a filter all nodes lead the way and those in it
    /// are found; false if more than `budget` distances would have been needed, or there is no graph.
    pub fn walk(
        &self,
        query: &Query,
        length: usize,
        filter: Option<(&Bitmap, usize)>,
        best: &mut TopK,
    ) -> (Steps, bool) {
        let Some(walk) = self.walk else {
            return (Steps::default(), false);
        };
        let rows = ToQuery {
            query,
            vectors: self.vectors,
        };
        Scratch::with(self.nodes, |scratch| match self.codes {
            Some(codes) => {
                let target = codes.prepare(query);
                let (mut steps, ended) = self.candidates(scratch, walk, &target, length, filter);
                steps.rescored = rescore(scratch, &target, &rows, best);
                (steps, ended)
            }
            None => {
                let (steps, ended) = self.candidates(scratch, walk, &rows, length, filter);
                for near in &scratch.candidates {
                    offer(best, *near);
                }
                (steps, ended)
            }
        })
    }

    /// Leaves what a walk finds in `scratch.candidates`.
    fn candidates(
        &self,
        scratch: &mut Scratch,
        walk: Walk<'_>,
        target: &impl Target,
        length: usize,
        filter: Option<(&Bitmap, usize)>,
    ) -> (Steps, bool) {
        match filter {
            None => {
                let steps = nearest(scratch, walk, target, length, false);
                let Scratch { list, candidates, .. } = scratch;
                candidates.extend(list.iter().map(|entry| entry.near()));
                (steps, true)
            }
            Some((filter, budget)) => {
                let (steps, ended) = matching(scratch, walk, target, filter, length, budget);
                let Scratch {
                    matches, candidates, ..
                } = scratch;
                candidates.extend(matches.drain());
                // Nearest first, so that the rest can soon be passed over.
                candidates.sort_unstable();
                (steps, ended)
            }
        }
    }

    /// Compares the codes of all rows in `filter`, and offers the best `length` of them to `best`. Nothing if there are no codes.
    pub fn scan(&self, query: &Query, length: usize, filter: &Bitmap, best: &mut TopK) -> Option<Steps> {
        let target = self.codes?.prepare(query);
        let rows = ToQuery {
            query,
            vectors: self.vectors,
        };
        let mut kept = TopK::new(length);
        let mut steps = Steps::default();
        let mut distances = [0.0; BLOCK];
        steps.distances = blocks(filter, 0..self.nodes, |ids| {
            let distances = &mut distances[..ids.len()];
            target.distances(ids, distances);
            for (id, distance) in ids.iter().zip(distances.iter()) {
                if -distance >= kept.threshold() {
                    kept.push(*id, -distance);
                }
            }
        });
        steps.rescored = Scratch::with(0, |scratch| {
            let near = |hit: kokeshi_core::Scored| Near {
                distance: -hit.score,
                id: hit.id,
            };
            scratch
                .candidates
                .extend(kept.into_sorted().into_iter().map(near));
            rescore(scratch, &target, &rows, best)
        });
        Some(steps)
    }
}

/// Compares the rows of `scratch.candidates`, nearest code first, and offers them to `best`, except those whose code says that they are
/// very likely too far. Returns how many were compared.
fn rescore(scratch: &mut Scratch, target: &ToCodes<'_>, rows: &ToQuery<'_>, best: &mut TopK) -> usize {
    let Scratch {
        candidates,
        fresh,
        distances,
        ..
    } = scratch;
    let mut compared = 0;
    for batch in candidates.chunks(BATCH) {
        let worst = -best.threshold();
        fresh.clear();
        fresh.extend(
            batch
                .iter()
                .filter(|near| target.least(**near) <= worst)
                .map(|near| near.id),
        );
        distances.resize(fresh.len(), 0.0);
        rows.distances(fresh, distances);
        for (&id, &distance) in fresh.iter().zip(distances.iter()) {
            offer(best, Near { distance, id });
        }
        compared += fresh.len();
    }
    compared
}

/// A score that is not finite is never a hit.
fn offer(best: &mut TopK, near: Near) {
    if near.distance.is_finite() {
        best.push(near.id, -near.distance);
    }
}
