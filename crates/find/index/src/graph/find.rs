//! The ways to look for the rows nearest to a query, by what they compare: candidates by their codes, if there are any, and then the
//! candidates themselves.

use kokeshi_core::{Bitmap, Scored, TopK};

use super::codes::{Codes, ToCodes};
use super::scratch::{Near, Scratch};
use super::search::{Gate, Target, ToQuery, Walk, Walked};
use crate::Vectors;
use crate::cost::Costs;
use crate::flat::{BLOCK, blocks, count};
use crate::query::Query;

/// Candidates that are compared again together once there are enough hits: their rows are called for ahead.
const BATCH: usize = 4;

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
    /// How many standard errors the estimate of a row that is near a query may be off before the row is passed over.
    pub sure: f32,
}

impl Look<'_> {
    /// What comparisons cost here.
    pub fn costs(&self) -> Costs {
        Costs::new(self.vectors.dims(), self.codes.map_or(0, Codes::stride))
    }

    /// Walks the graph with a list of `length` and offers what it finds to `best`.
    pub fn walk(&self, query: &Query, length: usize, best: &mut TopK) -> Steps {
        self.with(query, best, |walk, target, scratch| {
            let steps = target.nearest(scratch, walk, length);
            let Scratch { list, candidates, .. } = scratch;
            candidates.extend(list.iter().map(|entry| entry.near()));
            steps
        })
    }

    /// Walks the graph: all nodes lead the way and those in `filter` are found; false if it gave up, or there is no graph.
    pub fn gated(&self, query: &Query, filter: &Bitmap, gate: Gate, best: &mut TopK) -> (Steps, bool) {
        let mut ended = false;
        let steps = self.with(query, best, |walk, target, scratch| {
            let steps;
            (steps, ended) = target.matching(scratch, walk, filter, gate);
            let Scratch { list, candidates, .. } = scratch;
            let near = list.iter().map(|entry| entry.near());
            candidates.extend(near.filter(|near| filter.contains(near.id)));
            steps
        });
        (steps, ended)
    }

    /// Lets `find` leave candidates, nearest first, and offers them to `best` by their rows.
    fn with(
        &self,
        query: &Query,
        best: &mut TopK,
        find: impl FnOnce(Walk<'_>, &dyn Walked, &mut Scratch) -> Steps,
    ) -> Steps {
        let Some(walk) = self.walk else {
            return Steps::default();
        };
        let rows = ToQuery {
            query,
            vectors: self.vectors,
        };
        Scratch::with(self.nodes, |scratch| match self.codes {
            Some(codes) => {
                let target = codes.prepare(query);
                let mut steps = find(walk, &target, scratch);
                steps.rescored = rescore(scratch, &target, &rows, self.sure, best);
                steps
            }
            None => {
                let steps = find(walk, &rows, scratch);
                for near in &scratch.candidates {
                    offer(best, *near);
                }
                steps
            }
        })
    }

    /// Compares the codes of all rows in `filter` (all if `None`) and then the rows of the best `length`, and of all others that are likely to be
    /// nearer than the last of the hits so far: where many rows are about equally near, those are many. The second value is false if there are
    /// no codes, or if those rows are so many that comparing all is as good, which the first rows mostly tell.
    pub fn scan(
        &self,
        query: &Query,
        length: usize,
        filter: Option<&Bitmap>,
        best: &mut TopK,
    ) -> (Steps, bool) {
        let mut steps = Steps::default();
        let Some(codes) = self.codes else {
            return (steps, false);
        };
        let target = codes.prepare(query);
        let rows = ToQuery {
            query,
            vectors: self.vectors,
        };
        let first = self.nodes / FIRST;
        let share = filter.map_or(1.0, |filter| {
            count(filter, 0..first) as f64 / count(filter, 0..self.nodes).max(1) as f64
        });
        Scratch::with(0, |scratch| {
            let mut all = std::mem::take(&mut scratch.scanned);
            all.clear();
            let mut kept = TopK::new(length);
            let mut distances = [0.0; BLOCK];
            let mut ended = true;
            for part in [0..first, first..self.nodes] {
                steps.distances += blocks(filter, part.clone(), |ids| {
                    let distances = &mut distances[..ids.len()];
                    target.distances(ids, distances);
                    all.extend_from_slice(distances);
                    for (id, distance) in ids.iter().zip(distances.iter()) {
                        if -distance >= kept.threshold() {
                            kept.push(*id, -distance);
                        }
                    }
                });
                // Where the last of the hits is among the first rows, if those are like the others.
                let rank = (best.k() as f64 * share).ceil() as usize;
                if part.start == 0 && all.len() >= LEAST_FIRST {
                    let last = kept.clone().into_sorted().get(rank.max(1) - 1).copied().map(near);
                    ended = last.is_none_or(|last| {
                        let limit = last.distance + self.sure * target.estimate(last).1;
                        few(&all, limit, MOST_CLOSE_FIRST)
                    });
                }
                if !ended {
                    break;
                }
            }
            if ended {
                // The nearest estimate that was not kept is farther than this.
                let next = -kept.threshold();
                scratch
                    .candidates
                    .extend(kept.into_sorted().into_iter().map(near));
                steps.rescored = rescore(scratch, &target, &rows, self.sure, best);
                let errors = scratch.candidates.iter().map(|near| {
                    let (estimate, error) = target.estimate(*near);
                    (estimate - near.distance, error)
                });
                let (shared, error) = errors.fold((0.0, 0.0f32), |(_, most), (shared, error)| {
                    (shared, most.max(error))
                });
                let limit = -best.threshold() - shared + self.sure * error;
                if next < limit {
                    ended = few(&all, limit, MOST_CLOSE);
                }
                if next < limit && ended {
                    scratch.candidates.clear();
                    let mut at = 0;
                    blocks(filter, 0..self.nodes, |ids| {
                        let block = ids.iter().zip(&all[at..]);
                        let close = block.filter(|(_, distance)| **distance > next && **distance <= limit);
                        let near = close.map(|(&id, &distance)| Near { distance, id });
                        scratch.candidates.extend(near);
                        at += ids.len();
                    });
                    steps.rescored += rescore(scratch, &target, &rows, self.sure, best);
                }
            }
            scratch.scanned = all;
            (steps, ended)
        })
    }
}

/// The share of rows compared by their codes that may be compared as they are: more cost as much as comparing all in their order.
const MOST_CLOSE: f64 = 0.3;
/// The same of the first rows, where the last of the hits is guessed and so is how far off estimates are: of MiniLM's vectors up to 0.15 where 0.3
/// or less were close in the end, and from 0.25 on where it was more.
const MOST_CLOSE_FIRST: f64 = 0.2;
/// A scan of codes looks at the first of so many parts of the rows to see whether it is worth its while,
const FIRST: usize = 8;
/// if there are as many as this.
const LEAST_FIRST: usize = 64;

/// Whether no more than a share of the estimates is within `limit`.
fn few(estimates: &[f32], limit: f32, most: f64) -> bool {
    let close = estimates.iter().filter(|distance| **distance <= limit).count();
    close <= (estimates.len() as f64 * most) as usize
}

fn near(hit: Scored) -> Near {
    Near {
        distance: -hit.score,
        id: hit.id,
    }
}

/// Compares the rows of `scratch.candidates`, nearest code first, and offers them to `best`, except those whose code says that they are
/// very likely too far. Returns how many were compared.
fn rescore(
    scratch: &mut Scratch,
    target: &ToCodes<'_>,
    rows: &ToQuery<'_>,
    sure: f32,
    best: &mut TopK,
) -> usize {
    let Scratch {
        candidates,
        fresh,
        distances,
        ..
    } = scratch;
    let missing = best.k().saturating_sub(best.len());
    let (first, rest) = candidates.split_at(missing.min(candidates.len()));
    let mut compared = 0;
    for batch in std::iter::once(first).chain(rest.chunks(BATCH)) {
        let worst = -best.threshold();
        fresh.clear();
        fresh.extend(
            batch
                .iter()
                .filter(|near| {
                    let (estimate, error) = target.estimate(**near);
                    estimate - sure * error <= worst
                })
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
