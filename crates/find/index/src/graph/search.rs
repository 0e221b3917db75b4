//! Walking the graph towards a target.
//!
//! - [`nearest`]: a bounded list of the nearest nodes met so far; the nearest one not yet expanded is next. For building and for
//!   searches without a filter.
//! - [`matching`]: all nodes lead the way, only those in the filter are results; goes on until the open nodes are farther than
//!   enough results, so that it adapts to filters that are rare near the target. For searches with a filter.

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
    /// Where it begins: from the last of them every node can be reached.
    pub entries: &'a [u32],
}

impl Walk<'_> {
    /// The places of a node's neighbours; the used ones come first.
    #[inline]
    fn places(&self, id: u32) -> &[u32] {
        let start = id as usize * self.degree;
        &self.places[start..start + self.degree]
    }
}

/// A walk with so long a list,
const LEAST_WIDE: usize = 64;
/// expands so many nodes at a time: a graph that wants it is large, and memory answers more calls at once. With shorter lists, in graphs that caches hold,
/// it was 5 % slower.
const WIDE: usize = 2;

/// Leaves the nodes nearest to `target` in `scratch.list`, at most `length` of them, and those it expanded in `scratch.expanded`
/// if `record` is set.
pub(crate) fn nearest(
    scratch: &mut Scratch,
    graph: Walk,
    target: &impl Target,
    length: usize,
    record: bool,
) -> Steps {
    let mut steps = enter(scratch, graph, target);
    let width = if record || length < LEAST_WIDE { 1 } else { WIDE };
    let mut at = 0;
    loop {
        scratch.fresh.clear();
        let (mut taken, mut next) = (0, at);
        while let Some(entry) = scratch.list.get_mut(next).filter(|_| taken < width) {
            next += 1;
            if entry.expanded() {
                continue;
            }
            let near = entry.near();
            entry.expand();
            if record {
                scratch.expanded.push(near);
            }
            taken += 1;
            scratch.visit(graph.places(near.id));
        }
        // Their neighbours are likely to be wanted next.
        let waiting = scratch.list[next..].iter().filter(|entry| !entry.expanded());
        for entry in waiting.take(width) {
            prefetch(graph.places(entry.near().id));
        }
        if taken == 0 {
            return steps;
        }
        steps.expanded += taken;
        steps.distances += compare(scratch, target);
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
/// How many matches the expected share weighs as much as: with fewer, chance would end walks too early.
const PRIOR: f64 = 4.0;
/// How many times as much as something else the rest must be expected to cost: where both are about equal, chance would end every third walk.
const PATIENCE: f64 = 1.5;

impl Gate {
    /// Nodes that a walk is likely to expand.
    fn nodes(&self) -> usize {
        (self.length as f64 / self.share.max(1e-9)).ceil() as usize
    }

    /// Whether the rest of a walk that found `matches` among the `expanded` nodes nearest to its target is likely to be much more than `most`.
    fn gives_up(&self, expanded: usize, matches: usize) -> bool {
        let share = (matches as f64 + PRIOR) / (expanded as f64 + PRIOR / self.share.max(1e-9));
        let rest = self.length.saturating_sub(matches) as f64 / share;
        let most = PATIENCE * self.most;
        rest > most || expanded as f64 > most
    }
}

/// Leaves the nodes nearest to `target` in `scratch.list`, as far as the best `gate.length` that are in `filter` go. Gives up once something
/// else is likely to be cheaper: the second value says whether it came to its end.
///
/// The list has room for as many nodes as hold enough matches where those are as common as expected. Nodes that do not fit are
/// kept aside, and if the list is done before enough was found it goes on with them and twice the room.
pub(crate) fn matching(
    scratch: &mut Scratch,
    graph: Walk,
    target: &impl Target,
    filter: &Bitmap,
    gate: Gate,
) -> (Steps, bool) {
    let mut steps = enter(scratch, graph, target);
    let first = scratch.list.iter();
    let mut matches = first.filter(|entry| filter.contains(entry.near().id)).count();
    let mut room = gate.nodes().max(1);
    // Of the nodes that were expanded.
    let (mut at, mut passed) = (0, 0);
    loop {
        let Some(entry) = scratch.list.get_mut(at) else {
            if matches >= gate.length || scratch.spare.is_empty() {
                return (steps, true);
            }
            room *= 2;
            scratch.take_back(room);
            let back = scratch.list[at..].iter();
            matches += back.filter(|entry| filter.contains(entry.near().id)).count();
            trim(&mut scratch.list, filter, &mut matches, gate.length);
            continue;
        };
        if entry.expanded() {
            at += 1;
            continue;
        }
        let near = entry.near();
        entry.expand();
        if let Some(next) = scratch.list.get(at + 1) {
            prefetch(graph.places(next.near().id));
        }
        if steps.expanded.is_multiple_of(CHECK) && steps.expanded > 0 && gate.gives_up(steps.expanded, passed)
        {
            return (steps, false);
        }
        passed += usize::from(filter.contains(near.id));
        steps.expanded += 1;
        steps.distances += expand(scratch, graph, near.id, target);
        let mut next = at + 1;
        let Scratch {
            list,
            spare,
            fresh,
            distances,
            ..
        } = &mut *scratch;
        for (&id, &distance) in fresh.iter().zip(distances.iter()) {
            let new = Entry::new(Near { distance, id });
            let enough = matches >= gate.length;
            if (enough || list.len() >= room) && list.last().is_some_and(|last| new >= *last) {
                if !enough {
                    spare.push(new);
                }
                continue;
            }
            let place = list.partition_point(|other| *other < new);
            list.insert(place, new);
            next = next.min(place);
            matches += usize::from(filter.contains(id));
            trim(list, filter, &mut matches, gate.length);
            if list.len() > room {
                let last = list.pop().unwrap_or(Entry::LAST);
                matches -= usize::from(filter.contains(last.near().id));
                spare.push(last);
            }
        }
        at = next;
    }
}

/// Cuts a list that holds enough matches after the last that is wanted.
#[inline]
fn trim(list: &mut Vec<Entry>, filter: &Bitmap, matches: &mut usize, length: usize) {
    if *matches < length {
        return;
    }
    while let Some(last) = list.last() {
        let passes = filter.contains(last.near().id);
        if passes && *matches <= length {
            return;
        }
        list.pop();
        *matches -= usize::from(passes);
    }
}

/// Leaves the neighbours of `node` that were not met before in `scratch.fresh` with their distances; returns how many.
#[inline]
fn expand(scratch: &mut Scratch, graph: Walk, node: u32, target: &impl Target) -> usize {
    scratch.fresh.clear();
    scratch.visit(graph.places(node));
    compare(scratch, target)
}

/// Leaves the distances of what is in `scratch.fresh`; returns how many.
#[inline]
fn compare(scratch: &mut Scratch, target: &impl Target) -> usize {
    scratch.distances.resize(scratch.fresh.len(), 0.0);
    target.distances(&scratch.fresh, &mut scratch.distances);
    scratch.fresh.len()
}

/// Puts the entries into the list, marked as met.
fn enter(scratch: &mut Scratch, graph: Walk, target: &impl Target) -> Steps {
    scratch.visit(graph.entries);
    compare(scratch, target);
    let Scratch {
        list,
        fresh,
        distances,
        ..
    } = scratch;
    let near = fresh.iter().zip(distances.iter());
    list.extend(near.map(|(&id, &distance)| Entry::new(Near { distance, id })));
    list.sort_unstable();
    Steps {
        distances: list.len(),
        ..Steps::default()
    }
}
