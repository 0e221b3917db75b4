//! Walking the graph towards a target.
//!
//! - [`nearest`]: a bounded list of the nearest nodes met so far; the nearest one not yet expanded is next. For building and for
//!   searches without a filter.
//! - [`matching`]: all nodes lead the way, only those in the filter are results; goes on until the open nodes are farther than
//!   enough results, so that it adapts to filters that are rare near the target. For searches with a filter.

use std::cmp::Reverse;

use kokeshi_core::Bitmap;

use super::find::Steps;
use super::scratch::{Entry, Near, Scratch};
use super::space::Space;
use crate::Vectors;
use crate::query::Query;
use crate::vectors::prefetch;

/// What is searched for.
pub(crate) trait Target {
    /// How far the rows `ids` are; only the order matters.
    fn distances(&self, ids: &[u32], out: &mut [f32]);
}

/// A [`Target`] whatever it is: one call a walk instead of one a comparison.
pub(crate) trait Walked {
    /// [`nearest`], for a search.
    fn nearest(&self, scratch: &mut Scratch, graph: Walk, length: usize) -> Steps;
    /// [`matching`].
    fn matching(&self, scratch: &mut Scratch, graph: Walk, filter: &Bitmap, gate: Gate) -> (Steps, bool);
}

impl<T: Target> Walked for T {
    fn nearest(&self, scratch: &mut Scratch, graph: Walk, length: usize) -> Steps {
        nearest(scratch, graph, self, length, false)
    }

    fn matching(&self, scratch: &mut Scratch, graph: Walk, filter: &Bitmap, gate: Gate) -> (Steps, bool) {
        matching(scratch, graph, self, filter, gate)
    }
}

/// A query: distances are negative scores.
pub(crate) struct ToQuery<'a> {
    pub query: &'a Query,
    pub vectors: &'a Vectors,
}

impl Target for ToQuery<'_> {
    #[inline]
    fn distances(&self, ids: &[u32], out: &mut [f32]) {
        self.query.scores(self.vectors, ids, out);
        out.iter_mut().for_each(|value| *value = -*value);
    }
}

/// A row of the index itself.
pub(crate) struct ToRow<'a> {
    pub row: u32,
    pub space: &'a Space<'a>,
}

impl Target for ToRow<'_> {
    #[inline]
    fn distances(&self, ids: &[u32], out: &mut [f32]) {
        self.space.distances(self.row, ids, out);
    }
}

/// What a walk needs of a graph.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'a> {
    pub places: &'a [u32],
    pub degree: usize,
    pub entry: u32,
}

impl Walk<'_> {
    /// The places of a node's neighbours; the used ones come first.
    #[inline]
    fn places(&self, id: u32) -> &[u32] {
        let start = id as usize * self.degree;
        &self.places[start..start + self.degree]
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
        ..Steps::default()
    };
    let first = enter(scratch, graph, target);
    scratch.list.push(Entry::new(first));
    let mut at = 0;
    while let Some(entry) = scratch.list.get_mut(at) {
        if entry.expanded() {
            at += 1;
            continue;
        }
        let near = entry.near();
        entry.expand();
        // Its neighbours are likely to be wanted next.
        if let Some(next) = scratch.list.get(at + 1) {
            prefetch(graph.places(next.near().id));
        }
        if record {
            scratch.expanded.push(near);
        }
        steps.expanded += 1;
        steps.distances += expand(scratch, graph, near.id, target);
        let mut next = at + 1;
        let Scratch {
            list,
            fresh,
            distances,
            ..
        } = &mut *scratch;
        let mut last = match list.last() {
            Some(last) if list.len() >= length => *last,
            _ => Entry::LAST,
        };
        for (&id, &distance) in fresh.iter().zip(distances.iter()) {
            let new = Entry::new(Near { distance, id });
            if new >= last {
                continue;
            }
            let place = list.partition_point(|other| *other < new);
            if list.len() >= length {
                list.pop();
            }
            list.insert(place, new);
            next = next.min(place);
            if list.len() >= length {
                last = list.last().copied().unwrap_or(Entry::LAST);
            }
        }
        at = next;
    }
    steps
}

/// When a walk with a filter ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate {
    /// Results that are collected.
    pub length: usize,
    /// The share of nodes near the query that are expected to be in the filter.
    pub share: f64,
    /// Nodes that may be expanded before something else would have been cheaper.
    pub most: f64,
}

/// Expanded nodes after which a walk asks whether it should go on, each time.
const CHECK: usize = 8;
/// How many nodes the expected share weighs as much as: fewer would be moved too far by chance where matches are rare.
const PRIOR: f64 = 24.0;

impl Gate {
    /// Whether the rest of a walk that found `matches` among the `expanded` nodes nearest to its target is likely to be more than `most`.
    fn gives_up(&self, expanded: usize, matches: usize) -> bool {
        let share = (matches as f64 + PRIOR * self.share) / (expanded as f64 + PRIOR);
        let rest = self.length.saturating_sub(matches) as f64 / share.max(1e-9);
        rest > self.most || expanded as f64 > self.most
    }
}

/// Leaves the best `gate.length` nodes that are in `filter` in `scratch.matches`. Gives up once something else is likely to be cheaper:
/// the second value says whether it came to its end.
pub(crate) fn matching(
    scratch: &mut Scratch,
    graph: Walk,
    target: &impl Target,
    filter: &Bitmap,
    gate: Gate,
) -> (Steps, bool) {
    let mut steps = Steps {
        distances: 1,
        ..Steps::default()
    };
    let first = enter(scratch, graph, target);
    scratch.open.push(Reverse(first));
    if filter.contains(graph.entry) {
        scratch.matches.push(first);
    }
    // Of the nodes that were expanded.
    let mut passed = 0;
    while let Some(Reverse(near)) = scratch.open.pop() {
        let worst = if scratch.matches.len() < gate.length {
            None
        } else {
            scratch.matches.peek().copied()
        };
        if worst.is_some_and(|worst| near > worst) {
            break;
        }
        if steps.expanded.is_multiple_of(CHECK) && steps.expanded > 0 && gate.gives_up(steps.expanded, passed)
        {
            return (steps, false);
        }
        passed += usize::from(filter.contains(near.id));
        steps.expanded += 1;
        steps.distances += expand(scratch, graph, near.id, target);
        for index in 0..scratch.fresh.len() {
            let near = Near {
                distance: scratch.distances[index],
                id: scratch.fresh[index],
            };
            let full = scratch.matches.len() >= gate.length;
            if full && scratch.matches.peek().is_some_and(|worst| near >= *worst) {
                continue;
            }
            scratch.open.push(Reverse(near));
            if filter.contains(near.id) {
                scratch.matches.push(near);
                if full {
                    scratch.matches.pop();
                }
            }
        }
    }
    (steps, true)
}

/// Leaves the neighbours of `node` that were not met before in `scratch.fresh` with their distances; returns how many.
#[inline]
fn expand(scratch: &mut Scratch, graph: Walk, node: u32, target: &impl Target) -> usize {
    scratch.visit(graph.places(node));
    scratch.distances.resize(scratch.fresh.len(), 0.0);
    target.distances(&scratch.fresh, &mut scratch.distances);
    scratch.fresh.len()
}

/// The entry with its distance, marked as met.
fn enter(scratch: &mut Scratch, graph: Walk, target: &impl Target) -> Near {
    scratch.first_visit(graph.entry);
    let mut distance = [0.0];
    target.distances(&[graph.entry], &mut distance);
    Near {
        distance: distance[0],
        id: graph.entry,
    }
}
