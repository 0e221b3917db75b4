//! Vamana (DiskANN, NeurIPS 2019) over any subset of the rows: the builder under FilteredVamana, StitchedVamana and UNG.

use kokeshi_core::{Embeddings, distance};

use crate::beam::{Counts, Near, Scratch, Walk};
use crate::lists::Lists;
use crate::prune::{Pairs, by_distance, prune, robust};

/// How a graph is built.
#[derive(Debug, Clone, Copy)]
pub struct VamanaConfig {
    /// Neighbours a row, R.
    pub degree: usize,
    /// The length of the candidate list while building, L.
    pub list: usize,
    /// How much nearer to a kept neighbour than to the row a candidate may be before it is dropped, as a ratio of squared distances.
    pub alpha: f32,
    /// Of the order of insertion and of random entries.
    pub seed: u64,
}

impl Default for VamanaConfig {
    fn default() -> Self {
        Self {
            degree: 48,
            list: 80,
            alpha: 1.2,
            seed: 1,
        }
    }
}

/// The reference's limit on candidates for pruning.
const MOST_CANDIDATES: usize = 750;

impl VamanaConfig {
    /// Lists may be this much longer than R before they are pruned again (the reference's slack of 1.3).
    pub(crate) fn slack(&self) -> usize {
        self.degree + self.degree * 3 / 10
    }
}

/// All neighbours that `admits`, and a record of what was expanded.
struct Recording<'a, F> {
    lists: &'a Lists,
    admits: F,
    expanded: &'a mut Vec<Near>,
}

impl<F: Fn(u32) -> bool> Walk for Recording<'_, F> {
    fn neighbours(&mut self, from: Near, out: &mut Vec<u32>, _: &mut Counts) {
        self.expanded.push(from);
        let near = self.lists.of(from.row()).iter().copied();
        out.extend(near.filter(|&row| (self.admits)(row)));
    }
}

/// A graph that grows by insertions.
pub(crate) struct Builder<'a> {
    pub points: &'a Embeddings,
    pub lists: Lists,
    pub config: VamanaConfig,
    pub scratch: Scratch,
    pairs: Pairs<'a>,
    pool: Vec<Near>,
    hits: Vec<Near>,
    list: Vec<Near>,
}

impl<'a> Builder<'a> {
    pub fn new(points: &'a Embeddings, config: VamanaConfig) -> Self {
        let config = VamanaConfig {
            degree: config.degree.max(1),
            ..config
        };
        Self {
            points,
            lists: Lists::new(points.rows(), config.slack()),
            config,
            scratch: Scratch::default(),
            pairs: Pairs::of(points),
            pool: Vec::new(),
            hits: Vec::new(),
            list: Vec::new(),
        }
    }

    /// Adds what a walk from `entries` to `row` expands to the candidates of the next [`Builder::connect`].
    pub fn search(&mut self, row: u32, entries: impl IntoIterator<Item = u32>, admits: impl Fn(u32) -> bool) {
        let query = self.points.row(row as usize);
        let mut walk = Recording {
            lists: &self.lists,
            admits,
            expanded: &mut self.pool,
        };
        self.scratch.beam(
            query,
            self.points,
            entries,
            self.config.list,
            &mut walk,
            &mut self.hits,
        );
    }

    /// Gives `row` neighbours among the candidates, and it to them.
    pub fn connect(&mut self, row: u32, covers: impl Fn(u32, u32, u32) -> bool) {
        self.pool.retain(|near| near.row() != row);
        self.pool.sort_unstable();
        self.pool.dedup();
        self.pool.truncate(MOST_CANDIDATES);
        let kept = robust_prune(&self.pairs, &self.pool, self.config, |a, b| covers(row, a, b));
        self.pool.clear();
        self.lists.set(row, kept.iter().map(|near| near.row()));
        for near in kept {
            let other = near.row();
            if self.lists.of(other).contains(&row) || self.lists.push(other, row) {
                continue;
            }
            let old = self.lists.of(other).iter().copied();
            by_distance(&self.pairs, other, old.chain([row]), &mut self.list);
            let kept = robust_prune(&self.pairs, &self.list, self.config, |a, b| covers(other, a, b));
            self.lists.set(other, kept.iter().map(|near| near.row()));
        }
    }

    /// Distances computed so far.
    pub fn distances(&self) -> u64 {
        self.scratch.counts.distances + self.pairs.compared()
    }

    /// Plain Vamana over the rows `members`, inserted in that order, walked from `start`.
    pub fn insert_all(&mut self, members: &[u32], start: u32) {
        for &row in members {
            self.search(row, [start], |_| true);
            self.connect(row, |_, _, _| true);
        }
        self.trim(members, |_, _, _| true);
    }

    /// Prunes the lists that are still in their slack.
    pub fn trim(&mut self, members: &[u32], covers: impl Fn(u32, u32, u32) -> bool) {
        for &row in members {
            let list = self.lists.of(row);
            if list.len() > self.config.degree {
                by_distance(&self.pairs, row, list.iter().copied(), &mut self.list);
                let kept = robust_prune(&self.pairs, &self.list, self.config, |a, b| covers(row, a, b));
                self.lists.set(row, kept.iter().map(|near| near.row()));
            }
        }
    }
}

/// RobustPrune as the reference does it: with alpha 1 first, and then with alphas 1.2 times as large until `config.alpha`, for as long
/// as there is room.
pub(crate) fn robust_prune(
    pairs: &Pairs<'_>,
    candidates: &[Near],
    config: VamanaConfig,
    covers: impl Fn(u32, u32) -> bool,
) -> Vec<Near> {
    let mut kept = Vec::with_capacity(config.degree);
    let (mut rest, mut alpha) = (candidates.to_vec(), 1.0f32);
    loop {
        let mut dropped = Vec::new();
        let hidden = robust(pairs, alpha, &covers);
        prune(&rest, config.degree, &mut kept, hidden, |near| dropped.push(near));
        // The last factor is never missed for want of precision.
        if alpha >= config.alpha * 0.999 || kept.len() >= config.degree {
            return kept;
        }
        alpha = (alpha * 1.2).min(config.alpha);
        rest = dropped;
    }
}

/// The row nearest to the mean of `rows`.
pub(crate) fn medoid(points: &Embeddings, rows: &[u32]) -> Option<u32> {
    let mut mean = vec![0.0f32; points.dims()];
    for &row in rows {
        for (sum, value) in mean.iter_mut().zip(points.row(row as usize)) {
            *sum += value;
        }
    }
    mean.iter_mut().for_each(|sum| *sum /= rows.len() as f32);
    let near = |&row: &u32| Near::new(distance::l2_squared(&mean, points.row(row as usize)), row);
    rows.iter().map(near).min().map(Near::row)
}

#[cfg(test)]
mod tests {
    use kokeshi_core::{Result, Seed};

    use super::*;
    use crate::synthetic::clusters;

    fn graph(points: &Embeddings, alpha: f32) -> Lists {
        let config = VamanaConfig {
            degree: 24,
            list: 40,
            alpha,
            seed: 1,
        };
        let rows: Vec<u32> = (0..points.rows() as u32).collect();
        let mut builder = Builder::new(points, config);
        builder.insert_all(&rows, medoid(points, &rows).unwrap_or_default());
        builder.lists
    }

    #[test]
    fn a_larger_alpha_keeps_more_edges_and_no_list_is_too_long() -> Result<()> {
        let (points, _) = clusters(1500, 0, 16, 10, Seed(1))?;
        let edges = |alpha| graph(&points, alpha).pack().edges();
        assert!(edges(1.2) > edges(1.0) * 5 / 4, "{} {}", edges(1.2), edges(1.0));
        let graph = graph(&points, 1.2);
        assert!((0..1500).all(|row| (1..=24).contains(&graph.of(row).len())));
        Ok(())
    }
}
