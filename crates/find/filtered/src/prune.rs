//! The one loop by which all graphs choose neighbours: candidates by distance, each kept unless something kept hides it.

use std::cell::Cell;

use kokeshi_core::{Embeddings, distance};

use crate::beam::Near;

/// Rows that are compared with each other, and how often that was done.
pub(crate) struct Pairs<'a> {
    points: &'a Embeddings,
    compared: Cell<u64>,
}

impl<'a> Pairs<'a> {
    pub fn of(points: &'a Embeddings) -> Self {
        Self {
            points,
            compared: Cell::new(0),
        }
    }

    /// How many distances were computed.
    pub fn compared(&self) -> u64 {
        self.compared.get()
    }

    #[inline]
    fn distance(&self, a: u32, b: u32) -> f32 {
        self.compared.set(self.compared.get() + 1);
        distance::l2_squared(self.points.row(a as usize), self.points.row(b as usize))
    }
}

/// Adds those of `candidates`, nearest first, to `kept` that nothing in `kept` hides, until there are `limit`; hands the others to
/// `dropped`. What may hide a candidate is where the methods differ: `hidden` is asked with what is kept so far.
pub(crate) fn prune(
    candidates: &[Near],
    limit: usize,
    kept: &mut Vec<Near>,
    mut hidden: impl FnMut(&[Near], Near) -> bool,
    mut dropped: impl FnMut(Near),
) {
    for &candidate in candidates {
        if kept.len() >= limit || hidden(kept, candidate) {
            dropped(candidate);
        } else {
            kept.push(candidate);
        }
    }
}

/// HNSW's test (arXiv 1603.09320, algorithm 4): a kept row hides what is nearer to it than to the node.
pub(crate) fn nearer_to_kept(pairs: &Pairs<'_>) -> impl FnMut(&[Near], Near) -> bool {
    move |kept, candidate| {
        kept.iter()
            .any(|near| pairs.distance(near.row(), candidate.row()) < candidate.distance())
    }
}

/// RobustPrune's test (DiskANN, NeurIPS 2019) on squared distances: a kept row that is nearer to the node than the candidate, and that
/// `covers` it, hides it if `alpha` times their distance is no more than the candidate's to the node.
pub(crate) fn robust(
    pairs: &Pairs<'_>,
    alpha: f32,
    covers: impl Fn(u32, u32) -> bool,
) -> impl FnMut(&[Near], Near) -> bool {
    move |kept, candidate| {
        kept.iter().any(|near| {
            *near < candidate
                && covers(near.row(), candidate.row())
                && alpha * pairs.distance(near.row(), candidate.row()) <= candidate.distance()
        })
    }
}

/// The distances of `row` and each of `others`, nearest first.
pub(crate) fn by_distance(
    pairs: &Pairs<'_>,
    row: u32,
    others: impl Iterator<Item = u32>,
    out: &mut Vec<Near>,
) {
    out.clear();
    out.extend(others.map(|other| Near::new(pairs.distance(row, other), other)));
    out.sort_unstable();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows at 0, 1, 2, 4 and -1 on a line; neighbours of the first.
    fn pruned(mut hidden: impl FnMut(&[Near], Near) -> bool, limit: usize) -> (Vec<u32>, Vec<u32>) {
        let line = line();
        let pairs = Pairs::of(&line);
        let (mut near, mut kept, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
        by_distance(&pairs, 0, 1..5, &mut near);
        assert_eq!(pairs.compared(), 4);
        prune(&near, limit, &mut kept, &mut hidden, |near| {
            dropped.push(near.row())
        });
        (kept.into_iter().map(Near::row).collect(), dropped)
    }

    fn line() -> Embeddings {
        Embeddings::from_vec(vec![0.0, 1.0, 2.0, 4.0, -1.0], 1).unwrap()
    }

    #[test]
    fn what_is_nearer_to_a_kept_row_is_hidden() {
        let line = line();
        let pairs = Pairs::of(&line);
        assert_eq!(pruned(nearer_to_kept(&pairs), 9), (vec![1, 4], vec![2, 3]));
        assert_eq!(pruned(nearer_to_kept(&pairs), 1), (vec![1], vec![4, 2, 3]));
    }

    #[test]
    fn a_larger_alpha_keeps_more_and_only_what_covers_hides() {
        let all = |_, _| true;
        let line = line();
        let pairs = Pairs::of(&line);
        assert_eq!(pruned(robust(&pairs, 1.0, all), 9).0, [1, 4]);
        assert_eq!(pruned(robust(&pairs, 5.0, all), 9).0, [1, 4, 2, 3]);
        assert_eq!(pruned(robust(&pairs, 1.0, |_, b| b == 3), 9).0, [1, 4, 2]);
    }
}
