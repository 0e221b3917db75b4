//! Walking the graph towards a target.
//!
//! - [`nearest`]: a bounded list of the nearest nodes met so far; the nearest one not yet expanded is next. For building and for
//!   searches without a filter.
//! - [`matching`]: all nodes lead the way, only those in the filter are results; goes on until the open nodes are farther than
//!   enough results, so that it adapts to filters that are rare near the target. For searches with a filter.

use std::cmp::Reverse;

use kokeshi_core::Bitmap;

use super::adjacency::used;
use super::scratch::{Near, Scratch};
use crate::Vectors;
use crate::space::{Query, Space};

/// What is searched for.
pub(crate) trait Target {
    /// How far row `id` is; only the order matters.
    fn distance(&self, id: u32) -> f32;
    /// Says that row `id` is needed soon.
    fn expect(&self, id: u32);
}

/// A query: distances are negative scores.
pub(crate) struct ToQuery<'a> {
    pub query: &'a Query,
    pub vectors: &'a Vectors,
}

impl Target for ToQuery<'_> {
    #[inline]
    fn distance(&self, id: u32) -> f32 {
        -self.query.score(self.vectors.row(id))
    }

    #[inline]
    fn expect(&self, id: u32) {
        prefetch(self.vectors.row(id));
    }
}

/// A row of the index itself.
pub(crate) struct ToRow<'a> {
    pub row: u32,
    pub space: &'a Space<'a>,
}

impl Target for ToRow<'_> {
    #[inline]
    fn distance(&self, id: u32) -> f32 {
        self.space.between(self.row, id)
    }

    #[inline]
    fn expect(&self, id: u32) {
        prefetch(self.space.vectors.row(id));
    }
}

/// What a walk cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Steps {
    pub distances: usize,
    pub expanded: usize,
}

/// What a walk needs of a graph.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'a> {
    pub places: &'a [u32],
    pub degree: usize,
    pub entry: u32,
}

impl Walk<'_> {
    fn neighbours(&self, id: u32) -> &[u32] {
        let start = id as usize * self.degree;
        used(&self.places[start..start + self.degree])
    }
}

/// Leaves the nodes nearest to `target` in `scratch.list`, at most `length` of them, and those it expanded in `scratch.expanded`
/// if `record` is set.
pub(crate) fn nearest(
    scratch: &mut Scratch,
    graph: Walk,
    target: &impl Target,
    length: usize,
    record: bool,
) -> Steps {
    let mut steps = Steps {
        distances: 1,
        expanded: 0,
    };
    scratch.first_visit(graph.entry);
    let first = Near {
        distance: target.distance(graph.entry),
        id: graph.entry,
    };
    scratch.list.push((first, false));
    let mut at = 0;
    while at < scratch.list.len() {
        let (near, expanded) = &mut scratch.list[at];
        if *expanded {
            at += 1;
            continue;
        }
        *expanded = true;
        let near = *near;
        if record {
            scratch.expanded.push(near);
        }
        steps.expanded += 1;
        steps.distances += fresh(scratch, graph.neighbours(near.id), target);
        let mut next = at + 1;
        for index in 0..scratch.fresh.len() {
            expect_after(&scratch.fresh, index, target);
            let id = scratch.fresh[index];
            let near = Near {
                distance: target.distance(id),
                id,
            };
            let full = scratch.list.len() >= length;
            if full && scratch.list.last().is_some_and(|(last, _)| near >= *last) {
                continue;
            }
            let place = scratch.list.partition_point(|(other, _)| *other < near);
            if full {
                scratch.list.pop();
            }
            scratch.list.insert(place, (near, false));
            next = next.min(place);
        }
        at = next;
    }
    steps
}

/// Leaves the best `length` nodes that are in `filter` in `scratch.matches`. Gives up once `budget` distances are spent:
/// the second value says whether it came to its end.
pub(crate) fn matching(
    scratch: &mut Scratch,
    graph: Walk,
    target: &impl Target,
    filter: &Bitmap,
    length: usize,
    budget: usize,
) -> (Steps, bool) {
    let mut steps = Steps {
        distances: 1,
        expanded: 0,
    };
    scratch.first_visit(graph.entry);
    let first = Near {
        distance: target.distance(graph.entry),
        id: graph.entry,
    };
    scratch.open.push(Reverse(first));
    if filter.contains(graph.entry) {
        scratch.matches.push(first);
    }
    while let Some(Reverse(near)) = scratch.open.pop() {
        let worst = if scratch.matches.len() < length {
            None
        } else {
            scratch.matches.peek().copied()
        };
        if worst.is_some_and(|worst| near > worst) {
            break;
        }
        if steps.distances > budget {
            return (steps, false);
        }
        steps.expanded += 1;
        steps.distances += fresh(scratch, graph.neighbours(near.id), target);
        for index in 0..scratch.fresh.len() {
            expect_after(&scratch.fresh, index, target);
            let id = scratch.fresh[index];
            let near = Near {
                distance: target.distance(id),
                id,
            };
            let full = scratch.matches.len() >= length;
            if full && scratch.matches.peek().is_some_and(|worst| near >= *worst) {
                continue;
            }
            scratch.open.push(Reverse(near));
            if filter.contains(id) {
                scratch.matches.push(near);
                if full {
                    scratch.matches.pop();
                }
            }
        }
    }
    (steps, true)
}

/// How many rows ahead of the one being compared are called for: enough to hide a cache miss behind the comparisons between.
const AHEAD: usize = 3;

/// Collects the neighbours that were not met before in `scratch.fresh`; returns how many.
#[inline]
fn fresh(scratch: &mut Scratch, neighbours: &[u32], target: &impl Target) -> usize {
    scratch.fresh.clear();
    for &id in neighbours {
        if scratch.first_visit(id) {
            if scratch.fresh.len() < AHEAD {
                target.expect(id);
            }
            scratch.fresh.push(id);
        }
    }
    scratch.fresh.len()
}

#[inline]
fn expect_after(fresh: &[u32], index: usize, target: &impl Target) {
    if let Some(&id) = fresh.get(index + AHEAD) {
        target.expect(id);
    }
}

/// Asks the processor to fetch a row.
#[inline]
fn prefetch(row: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in row.chunks(16) {
        // SAFETY: prefetching has no effect on memory and SSE is part of x86-64.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.as_ptr().cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}
