//! The pairs that a bridge learns from, and those that say how much it keeps.

use kokeshi_core::{Embeddings, Metric, Seed, TopK, distance};
use rayon::prelude::*;

/// The share of pairs kept aside is one in so many ...
const ASIDE: usize = 10;
/// ... and at most so many.
const MOST_ASIDE: usize = 1000;
/// Neighbours that a bridged query should find.
const DEPTH: usize = 10;

/// Pairs, those kept aside apart.
pub(super) struct Pairs {
    pub(super) new: Vec<f32>,
    pub(super) old: Vec<f32>,
    pub(super) aside_new: Vec<f32>,
    aside_old: Vec<f32>,
    old_dims: usize,
    /// For each row aside, its best rows of all by old vectors.
    pub(super) wanted: Vec<Vec<u32>>,
}

impl Pairs {
    pub(super) fn split(new: &Embeddings, old: &Embeddings, metric: Metric, seed: &mut Seed) -> Self {
        let (mut new, mut old) = (new.clone(), old.clone());
        if metric == Metric::Cosine {
            new.normalize();
            old.normalize();
        }
        let mut order: Vec<usize> = (0..new.rows()).collect();
        seed.shuffle(&mut order);
        let (aside, rest) = order.split_at((new.rows() / ASIDE).clamp(1, MOST_ASIDE));
        let take = |from: &Embeddings, rows: &[usize]| -> Vec<f32> {
            rows.iter().flat_map(|&row| from.row(row)).copied().collect()
        };
        let mut pairs = Self {
            new: take(&new, rest),
            old: take(&old, rest),
            aside_new: take(&new, aside),
            aside_old: take(&old, aside),
            old_dims: old.dims(),
            wanted: Vec::new(),
        };
        pairs.wanted = nearest(&pairs.aside_old, &pairs, metric);
        pairs
    }
}

/// The old rows that were learnt from nearest to each of `asked` (`[n, old_dims]`).
pub(super) fn nearest(asked: &[f32], pairs: &Pairs, metric: Metric) -> Vec<Vec<u32>> {
    asked
        .par_chunks_exact(pairs.old_dims)
        .map(|asked| {
            let mut best = TopK::new(DEPTH);
            for (row, old) in pairs.old.chunks_exact(pairs.old_dims).enumerate() {
                // Rows under cosine have unit length here.
                let score = match metric {
                    Metric::L2 => -distance::l2_squared(asked, old),
                    _ => distance::dot(asked, old),
                };
                best.push(row as u32, score);
            }
            best.into_sorted().iter().map(|hit| hit.id).collect()
        })
        .collect()
}
