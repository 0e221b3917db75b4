//! Batches of queries whose negatives are near each other (locality-centric sampling of BiDR, arXiv 2201.05409): what one query must be told
//! apart from is in the batch of others, too.
//!
//! Queries and their negatives are a bipartite graph. A batch begins with a random query, takes one of its near negatives, goes on to the
//! queries that have that document among their farther ones, and so on; where it ends, another random query begins.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use kokeshi_core::Seed;

/// Which of the queries that wait comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Walk {
    /// The one that waits longest: breadth first.
    #[default]
    Snowball,
    /// The one that came last: a walk.
    Random,
}

/// Draws batches.
#[derive(Debug)]
pub struct LocalBatches {
    /// For each query its negatives, the hardest first.
    negatives: Vec<Vec<u32>>,
    near: Range<usize>,
    /// For each document the queries that list it in the far ranks.
    listed: HashMap<u32, Vec<u32>>,
    walk: Walk,
    seed: Seed,
}

impl LocalBatches {
    /// From ranked negatives; `near` are the ranks a query's own negative is drawn from (the paper: 0 to 200), `far` those by which queries
    /// are neighbours (200 to 400).
    pub fn new(
        negatives: Vec<Vec<u32>>,
        near: Range<usize>,
        far: Range<usize>,
        walk: Walk,
        seed: Seed,
    ) -> Self {
        let mut listed: HashMap<u32, Vec<u32>> = HashMap::new();
        for (query, ranked) in negatives.iter().enumerate() {
            let end = far.end.min(ranked.len());
            for &document in &ranked[far.start.min(end)..end] {
                listed.entry(document).or_default().push(query as u32);
            }
        }
        Self {
            negatives,
            near,
            listed,
            walk,
            seed,
        }
    }

    /// A batch of at most `size` different queries, each with one of its near negatives; queries without negatives are never drawn.
    pub fn draw(&mut self, size: usize) -> Vec<(u32, u32)> {
        let mut batch = Vec::with_capacity(size);
        let mut waiting = VecDeque::new();
        let mut met = vec![false; self.negatives.len()];
        let mut left: Vec<u32> = (0..self.negatives.len() as u32)
            .filter(|&query| self.negatives[query as usize].len() > self.near.start)
            .collect();
        while batch.len() < size {
            let next = match self.walk {
                Walk::Snowball => waiting.pop_front(),
                Walk::Random => waiting.pop_back(),
            };
            let query = match next {
                Some(query) => query,
                None if left.is_empty() => break,
                None => {
                    let place = self.seed.below(left.len());
                    let query = left.swap_remove(place);
                    if met[query as usize] {
                        continue;
                    }
                    met[query as usize] = true;
                    query
                }
            };
            let ranked = &self.negatives[query as usize];
            let end = self.near.end.min(ranked.len());
            let Some(near) = ranked.get(self.near.start..end).filter(|near| !near.is_empty()) else {
                continue;
            };
            let negative = near[self.seed.below(near.len())];
            batch.push((query, negative));
            for &other in self.listed.get(&negative).into_iter().flatten() {
                if !std::mem::replace(&mut met[other as usize], true) {
                    waiting.push_back(other);
                }
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_stays_in_a_neighbourhood_and_holds_no_query_twice() {
        // Ten groups of 30 queries; a query's negatives are those of its group, in its own order.
        let mut seed = Seed(1);
        let negatives: Vec<Vec<u32>> = (0..300)
            .map(|query: u32| {
                let mut group: Vec<u32> = (0..40).map(|at| query / 30 * 40 + at).collect();
                seed.shuffle(&mut group);
                group
            })
            .collect();
        for walk in [Walk::Snowball, Walk::Random] {
            let mut batches = LocalBatches::new(negatives.clone(), 0..20, 20..40, walk, Seed(2));
            let batch = batches.draw(25);
            let group = batch[0].0 / 30;
            assert_eq!(batch.len(), 25);
            assert!(
                batch
                    .iter()
                    .all(|(query, negative)| query / 30 == group && negative / 40 == group)
            );
            let mut queries: Vec<u32> = batches.draw(1000).iter().map(|(query, _)| *query).collect();
            queries.sort_unstable();
            assert_eq!(queries, (0..300).collect::<Vec<u32>>());
        }
        let mut none = LocalBatches::new(vec![Vec::new(); 5], 0..3, 3..6, Walk::Snowball, Seed(1));
        assert!(none.draw(3).is_empty());
    }
}
