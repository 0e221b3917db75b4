//! Memory that a search needs and leaves to the next one on the same thread, so that searching allocates nothing once it is warm.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A row and its distance to what is searched for; orders by distance, then row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Near {
    pub distance: f32,
    pub id: u32,
}

impl Eq for Near {}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.distance
            .total_cmp(&other.distance)
            .then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// One thread's working memory.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The nearest nodes met so far, nearest first; the flag says whether the node was expanded.
    pub list: Vec<(Near, bool)>,
    /// Expanded nodes in the order of expansion (only kept while building).
    pub expanded: Vec<Near>,
    /// Nodes still to expand, nearest first, and the best matches, worst first: for filtered search.
    pub open: BinaryHeap<Reverse<Near>>,
    pub matches: BinaryHeap<Near>,
    /// New neighbours of the node being expanded, and their distances.
    pub fresh: Vec<u32>,
    pub distances: Vec<f32>,
    seen: Vec<u64>,
    /// Which words of `seen` may be non-zero.
    touched: Vec<u32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    /// Runs `work` with this thread's memory, made ready for nodes `0..nodes`.
    pub fn with<T>(nodes: usize, work: impl FnOnce(&mut Self) -> T) -> T {
        // Taken out while in use: a search that starts another one, or panics, leaves the thread an empty one.
        let mut own = SCRATCH.take();
        own.begin(nodes);
        let result = work(&mut own);
        SCRATCH.set(own);
        result
    }

    fn begin(&mut self, nodes: usize) {
        for word in self.touched.drain(..) {
            self.seen[word as usize] = 0;
        }
        if self.seen.len() < nodes.div_ceil(64) {
            self.seen.resize(nodes.div_ceil(64), 0);
        }
        self.list.clear();
        self.expanded.clear();
        self.open.clear();
        self.matches.clear();
        self.fresh.clear();
    }

    /// Marks node `id`, which must be in the range given to [`Scratch::with`]; whether it was new.
    #[inline]
    pub fn first_visit(&mut self, id: u32) -> bool {
        let (word, bit) = (id as usize / 64, 1u64 << (id % 64));
        let seen = &mut self.seen[word];
        if *seen & bit != 0 {
            return false;
        }
        if *seen == 0 {
            self.touched.push(word as u32);
        }
        *seen |= bit;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_counts_once_in_a_search_and_is_forgotten_after_it() {
        for _ in 0..2 {
            Scratch::with(100, |scratch| {
                assert!(scratch.first_visit(99));
                assert!(!scratch.first_visit(99));
            });
        }
    }

    #[test]
    fn nested_searches_do_not_share_visits() {
        Scratch::with(10, |outer| {
            assert!(outer.first_visit(1));
            Scratch::with(10, |inner| assert!(inner.first_visit(1)));
            assert!(!outer.first_visit(1));
        });
    }
}
