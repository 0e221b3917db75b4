//! Looking for the rows nearest to a query by walking the graph: candidates by their codes, if there are any, and then the candidates
//! themselves. [`Look::by_codes`](super::by_codes) does without the graph.

use kokeshi_core::{Bitmap, TopK};

use super::calibrate::Measured;
use super::cells::Cells;
use super::codes::{Codes, ToCodes};
use super::scratch::{Entry, Near, Scratch};
use super::search::{Gate, Target, ToQuery, Walk, Walked};
use crate::Vectors;
use crate::cost::Costs;
use crate::query::Query;

/// Candidates that are compared again together once there are enough hits: their rows are called for ahead.
const BATCH: usize = 12;

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
    pub cells: Option<&'a Cells>,
    pub vectors: &'a Vectors,
    pub nodes: usize,
    pub measured: &'a Measured,
}

impl Look<'_> {
    /// What comparisons cost here.
    pub fn costs(&self) -> Costs {
        self.costs_by(Costs::new)
    }

    /// What they cost on the one processor for which it is decided whether a graph can be walked.
    pub fn reference_costs(&self) -> Costs {
        self.costs_by(Costs::of_reference)
    }

    fn costs_by(&self, costs: fn(usize, usize, usize, usize) -> Costs) -> Costs {
        let stride = self.codes.map_or(0, Codes::stride);
        costs(
            self.vectors.dims(),
            stride,
            self.cells.map_or(0, Cells::len),
            self.nodes,
        )
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
                let mut entries = [walk.entries[0]; 2];
                let mut compared = 0;
                if let Some(cells) = self.cells {
                    compared = order(cells, ENTRY_CELLS, &target, scratch);
                    let nearest = scratch.order.iter().min();
                    entries[0] = nearest.map_or(entries[0], |cell| cells.cell(cell.near().id as usize)[0]);
                }
                let walk = Walk {
                    entries: &entries,
                    ..walk
                };
                let mut steps = find(walk, &target, scratch);
                steps.distances += compared;
                steps.rescored = rescore(scratch, &target, &rows, self.measured.sure, best);
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
}

/// Leaves the distances of the first `most` cells in `scratch.order`, unordered; returns how many.
pub(super) fn order(cells: &Cells, most: usize, target: &ToCodes<'_>, scratch: &mut Scratch) -> usize {
    let Scratch { order, distances, .. } = scratch;
    target.distances_to(&cells.codes, most, distances);
    order.clear();
    let cells = distances.iter().zip(0..);
    order.extend(cells.map(|(&distance, id)| Entry::new(Near { distance, id })));
    order.len()
}

/// Cells that a walk chooses its entry from: more cost more than they save.
pub(crate) const ENTRY_CELLS: usize = 128;

/// Compares the rows of `scratch.candidates`, nearest code first, and offers them to `best`, except those whose code says that they are
/// very likely too far. Returns how many were compared.
pub(super) fn rescore(
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
