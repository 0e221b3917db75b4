//! Batches of queries whose negatives are near each other (locality-centric sampling of BiDR, arXiv 2201.05409): what one query must be told
//! apart from is in the batch of others, too.
//!
//! Queries and their negatives are a bipartite graph. A batch begins with a random query, takes one of its near negatives, goes on to the
//! queries that have that document among their farther ones, and so on; where it ends, another random query begins. As in the released code
//! (github.com/microsoft/BiDR, `dataset/dataloader.py`) no query is drawn twice in an epoch, and negatives are drawn among documents that the batch does
//! not have, while there are some.

use std::collections::{HashMap, HashSet, VecDeque};
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
    /// For each query the document that belongs to it.
    own: Vec<u32>,
    /// For each query its negatives, the hardest first.
    negatives: Vec<Vec<u32>>,
    near: Range<usize>,
    /// For each document the queries that list it in the far ranks.
    listed: HashMap<u32, Vec<u32>>,
    walk: Walk,
    /// Queries of this epoch that no batch had yet, and where each of them is there.
    left: Vec<u32>,
    places: Vec<Option<u32>>,
    seed: Seed,
}

impl LocalBatches {
    /// From the document that belongs to each query, and its ranked negatives; `near` are the ranks a query's own negative is drawn from (the paper:
    /// 0 to 200), `far` those by which queries are neighbours (200 to 400).
    ///
    /// # Panics
    /// If there are not as many of the one as of the other, or `near` is empty.
    pub fn new(
        own: Vec<u32>,
        negatives: Vec<Vec<u32>>,
        near: Range<usize>,
        far: Range<usize>,
        walk: Walk,
        seed: Seed,
    ) -> Self {
        assert_eq!(
            own.len(),
            negatives.len(),
            "a document and negatives for each query"
        );
        assert!(near.start < near.end, "near negatives are some");
        let mut listed: HashMap<u32, Vec<u32>> = HashMap::new();
        for (query, ranked) in negatives.iter().enumerate() {
            let end = far.end.min(ranked.len());
            for &document in &ranked[far.start.min(end)..end] {
                listed.entry(document).or_default().push(query as u32);
            }
        }
        Self {
            places: vec![None; own.len()],
            own,
            negatives,
            near,
            listed,
            walk,
            left: Vec::new(),
            seed,
        }
    }

    /// A batch of at most `size` queries, each with one of its near negatives; less than `size` at the end of an epoch, after which the next one
    /// begins. Queries without negatives are never drawn.
    pub fn draw(&mut self, size: usize) -> Vec<(u32, u32)> {
        if self.left.is_empty() {
            let some = |query: &u32| self.negatives[*query as usize].len() > self.near.start;
            self.left = (0..self.own.len() as u32).filter(some).collect();
            for (place, &query) in self.left.iter().enumerate() {
                self.places[query as usize] = Some(place as u32);
            }
        }
        let mut batch = Vec::with_capacity(size);
        let mut waiting: VecDeque<u32> = VecDeque::new();
        let mut documents = HashSet::new();
        while batch.len() < size && !self.left.is_empty() {
            let next = match self.walk {
                Walk::Snowball => waiting.pop_front(),
                Walk::Random => waiting.pop_back(),
            };
            let query = next.unwrap_or_else(|| self.left[self.seed.below(self.left.len())]);
            // It waited more than once, and had its turn.
            if !self.take(query) {
                continue;
            }
            documents.insert(self.own[query as usize]);
            let ranked = &self.negatives[query as usize];
            let near = &ranked[self.near.start..self.near.end.min(ranked.len())];
            let fresh: Vec<u32> = near
                .iter()
                .copied()
                .filter(|id| !documents.contains(id))
                .collect();
            // Where all are in the batch already (the released code draws any document then), one of them.
            let from = if fresh.is_empty() { near } else { &fresh };
            let negative = from[self.seed.below(from.len())];
            documents.insert(negative);
            batch.push((query, negative));
            let others = self.listed.get(&negative).into_iter().flatten();
            waiting.extend(others.filter(|&&other| self.places[other as usize].is_some()));
        }
        batch
    }

    /// Takes a query out of those that are left; `false` if it was not there.
    fn take(&mut self, query: u32) -> bool {
        let Some(place) = self.places[query as usize].take() else {
            return false;
        };
        self.left.swap_remove(place as usize);
        if let Some(&moved) = self.left.get(place as usize) {
            self.places[moved as usize] = Some(place);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_stays_in_a_neighbourhood_and_an_epoch_has_every_query_once() {
        // Ten groups of 30 queries; a query's negatives are those of its group, in its own order.
        let mut seed = Seed(1);
        let negatives: Vec<Vec<u32>> = (0..300)
            .map(|query: u32| {
                let mut group: Vec<u32> = (0..80).map(|at| query / 30 * 80 + at).collect();
                seed.shuffle(&mut group);
                group
            })
            .collect();
        for walk in [Walk::Snowball, Walk::Random] {
            let own = (1000..1300).collect();
            let mut batches = LocalBatches::new(own, negatives.clone(), 0..40, 40..80, walk, Seed(2));
            for _ in 0..2 {
                let mut queries = Vec::new();
                for _ in 0..12 {
                    let batch = batches.draw(25);
                    assert_eq!(batch.len(), 25);
                    let group = |query: u32| query / 30;
                    assert!(
                        batch
                            .iter()
                            .all(|&(query, negative)| negative / 80 == group(query))
                    );
                    // A batch that begins in a fresh group stays there, and no negative is in it twice.
                    let all: HashSet<u32> = batch.iter().map(|(query, _)| group(*query)).collect();
                    assert!(!queries.is_empty() || all.len() == 1);
                    let negatives: HashSet<u32> = batch.iter().map(|(_, negative)| *negative).collect();
                    assert_eq!(negatives.len(), 25);
                    queries.extend(batch.iter().map(|(query, _)| *query));
                }
                queries.sort_unstable();
                assert_eq!(queries, (0..300).collect::<Vec<u32>>());
            }
        }
        let mut none = LocalBatches::new(
            vec![9; 5],
            vec![Vec::new(); 5],
            0..3,
            3..6,
            Walk::Snowball,
            Seed(1),
        );
        assert!(none.draw(3).is_empty());
        // What belongs to a query of the batch, or is another one's negative, is not drawn.
        for seed in 0..10 {
            let negatives = vec![vec![1, 2, 4], vec![0, 2, 3]];
            let mut two = LocalBatches::new(vec![0, 1], negatives, 0..3, 0..3, Walk::Snowball, Seed(seed));
            let batch = two.draw(2);
            assert_eq!(batch.len(), 2);
            assert!(batch[1].1 != batch[0].1 && batch[1].1 > 1, "{batch:?}");
        }
    }
}
