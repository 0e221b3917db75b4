//! The one best-first search that all graphs share, with its reusable memory and its counters.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use kokeshi_core::{Bitmap, Embeddings, distance};

/// A row and its squared distance, ordered by distance and then by row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Near(u64);

impl Near {
    /// A row at a squared distance, which is not negative: the bits of such numbers are ordered as they are.
    #[inline]
    pub fn new(distance: f32, row: u32) -> Self {
        Self(u64::from(distance.to_bits()) << 32 | u64::from(row))
    }

    /// The row.
    #[inline]
    pub fn row(self) -> u32 {
        self.0 as u32
    }

    /// The squared distance.
    #[inline]
    pub fn distance(self) -> f32 {
        f32::from_bits((self.0 >> 32) as u32)
    }
}

impl std::fmt::Debug for Near {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.row(), self.distance())
    }
}

/// Cuts hits to the best `k` and gives them the numbers that `rows` has at their places.
pub(crate) fn renumber(hits: &mut Vec<Near>, k: usize, rows: &[u32]) {
    hits.truncate(k);
    for near in hits.iter_mut() {
        *near = Near::new(near.distance(), rows[near.row() as usize]);
    }
    hits.sort_unstable();
}

/// What searches cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Distances of a query and a row.
    pub distances: u64,
    /// Questions whether a row passes the filter.
    pub predicates: u64,
    /// Nodes expanded.
    pub visited: u64,
}

/// A set of rows that is emptied at no cost.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    round: u32,
    rounds: Vec<u32>,
}

impl Marks {
    /// Forgets all rows and makes room for rows `0..rows`.
    pub fn clear(&mut self, rows: usize) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 || self.rounds.len() < rows {
            self.rounds.clear();
            self.rounds.resize(rows, 0);
            self.round = 1;
        }
    }

    /// Adds a row; whether it is new.
    #[inline]
    pub fn insert(&mut self, row: u32) -> bool {
        let place = &mut self.rounds[row as usize];
        let new = *place != self.round;
        *place = self.round;
        new
    }

    #[inline]
    pub fn contains(&self, row: u32) -> bool {
        self.rounds[row as usize] == self.round
    }
}

/// How one kind of graph is walked.
pub(crate) trait Walk {
    /// Puts the rows that can be reached from `from` into `out`; it may repeat itself.
    fn neighbours(&mut self, from: Near, out: &mut Vec<u32>, counts: &mut Counts);

    /// Whether a row may be a result.
    fn admit(&mut self, _row: u32, _counts: &mut Counts) -> bool {
        true
    }

    /// Is told of every row that was compared.
    fn met(&mut self, _near: Near) {}

    /// How many of the rows that can be reached from one are compared, those that were compared before left out.
    fn width(&self) -> usize {
        usize::MAX
    }
}

/// Whether a row passes a filter that there may be; asking counts.
#[inline]
pub(crate) fn gated(gate: Option<&Bitmap>, row: u32, counts: &mut Counts) -> bool {
    gate.is_none_or(|gate| {
        counts.predicates += 1;
        gate.contains(row)
    })
}

/// The memory of searches, for reuse by one after the other, and their costs added up.
#[derive(Debug, Default)]
pub struct Scratch {
    /// What all searches with this memory have cost.
    pub counts: Counts,
    pub(crate) seen: Marks,
    /// For walks that look past their neighbours.
    pub(crate) passed: Marks,
    open: BinaryHeap<Reverse<Near>>,
    best: BinaryHeap<Near>,
    around: Vec<u32>,
    fresh: Vec<u32>,
    distances: Vec<f32>,
}

impl Scratch {
    /// The distances of `query` to the first `width` of `rows` that were not seen before.
    fn compare(&mut self, query: &[f32], points: &Embeddings, rows: impl Iterator<Item = u32>, width: usize) {
        self.fresh.clear();
        let seen = &mut self.seen;
        self.fresh
            .extend(rows.filter(|&row| seen.insert(row)).take(width));
        self.distances.clear();
        self.distances.resize(self.fresh.len(), 0.0);
        distance::l2_squared_gather(query, points.as_slice(), &self.fresh, &mut self.distances);
        self.counts.distances += self.fresh.len() as u64;
    }

    /// Walks from `entries` towards `query` until the nearest row that is still open is farther than the worst of `list` results.
    /// `hits` becomes those results, nearest first.
    pub(crate) fn beam(
        &mut self,
        query: &[f32],
        points: &Embeddings,
        entries: impl IntoIterator<Item = u32>,
        list: usize,
        walk: &mut impl Walk,
        hits: &mut Vec<Near>,
    ) {
        self.open.clear();
        self.best.clear();
        self.seen.clear(points.rows());
        let mut around = std::mem::take(&mut self.around);
        around.clear();
        around.extend(entries);
        loop {
            self.compare(query, points, around.drain(..), walk.width());
            for (&row, &distance) in self.fresh.iter().zip(&self.distances) {
                let near = Near::new(distance, row);
                walk.met(near);
                let full = self.best.len() >= list;
                if full && self.best.peek().is_some_and(|worst| near > *worst) {
                    continue;
                }
                self.open.push(Reverse(near));
                if walk.admit(row, &mut self.counts) {
                    if full {
                        self.best.pop();
                    }
                    self.best.push(near);
                }
            }
            let Some(Reverse(nearest)) = self.open.pop() else {
                break;
            };
            if self.best.len() >= list && self.best.peek().is_some_and(|worst| nearest > *worst) {
                break;
            }
            self.counts.visited += 1;
            walk.neighbours(nearest, &mut around, &mut self.counts);
        }
        self.around = around;
        hits.clear();
        hits.extend(self.best.drain());
        hits.sort_unstable();
    }

    /// The `k` nearest of `rows`, by comparing all of them.
    pub(crate) fn scan(
        &mut self,
        query: &[f32],
        points: &Embeddings,
        rows: impl Iterator<Item = u32>,
        k: usize,
        hits: &mut Vec<Near>,
    ) {
        self.seen.clear(points.rows());
        self.compare(query, points, rows, usize::MAX);
        hits.clear();
        let near = self.fresh.iter().zip(&self.distances);
        hits.extend(near.map(|(&row, &distance)| Near::new(distance, row)));
        if k < hits.len() && k > 0 {
            hits.select_nth_unstable(k - 1);
        }
        hits.truncate(k);
        hits.sort_unstable();
    }
}
