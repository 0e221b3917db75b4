//! Memory that a search needs and leaves to the next one on the same thread, so that searching allocates nothing once it is warm.

use std::cell::RefCell;

use super::words::NONE;

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

/// A node of the candidate list: its distance, its number and whether it was expanded, in one word that orders by distance, then number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry(u64);

impl Entry {
    /// After all others.
    pub const LAST: Self = Self(u64::MAX);

    /// A node that was not expanded yet. Its number has 31 bits: a graph is not larger.
    #[inline]
    pub fn new(near: Near) -> Self {
        let bits = near.distance.to_bits();
        // Negative numbers in reverse, before the positive ones.
        let ordered = bits ^ (((bits as i32 >> 31) as u32) | 0x8000_0000);
        Self(u64::from(ordered) << 32 | u64::from(near.id) << 1)
    }

    /// The node.
    #[inline]
    pub fn near(self) -> Near {
        let ordered = (self.0 >> 32) as u32;
        let bits = ordered ^ (((!ordered as i32 >> 31) as u32) | 0x8000_0000);
        Near {
            distance: f32::from_bits(bits),
            id: (self.0 >> 1) as u32 & 0x7fff_ffff,
        }
    }

    /// Whether it was expanded.
    #[inline]
    pub fn expanded(self) -> bool {
        self.0 & 1 == 1
    }

    /// From now on it was expanded.
    #[inline]
    pub fn expand(&mut self) {
        self.0 |= 1;
    }
}

/// One thread's working memory.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The nearest nodes met so far, nearest first.
    pub list: Vec<Entry>,
    /// Expanded nodes in the order of expansion (only kept while building).
    pub expanded: Vec<Near>,
    /// Nodes that did not fit into the list, in no order; all are farther than those in it.
    pub spare: Vec<Entry>,
    /// What was found, to be compared again.
    pub candidates: Vec<Near>,
    /// New neighbours of the node being expanded, and their distances.
    pub fresh: Vec<u32>,
    pub distances: Vec<f32>,
    /// Cells by their distances.
    pub order: Vec<Entry>,
    /// Rows whose codes are compared, and their distances by those.
    pub ids: Vec<u32>,
    pub estimates: Vec<f32>,
    seen: Vec<u64>,
    /// The nodes whose bits in `seen` may be set.
    visited: Vec<u32>,
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
        for id in self.visited.drain(..) {
            self.seen[id as usize / 64] = 0;
        }
        if self.seen.len() < nodes.div_ceil(64) {
            self.seen.resize(nodes.div_ceil(64), 0);
        }
        self.list.clear();
        self.expanded.clear();
        self.spare.clear();
        self.candidates.clear();
        self.fresh.clear();
    }

    /// Moves the nearest of `spare` to the end of the list, until that has `room` nodes.
    pub fn take_back(&mut self, room: usize) {
        let old = self.list.len();
        let count = room.saturating_sub(old).min(self.spare.len());
        if count < self.spare.len() {
            self.spare.select_nth_unstable(count);
        }
        self.list.extend(self.spare.drain(..count));
        self.list[old..].sort_unstable();
    }

    /// Appends to `fresh` those of `ids`, up to the first [`NONE`], that were not met before, and marks them; they must be in the range given to
    /// [`Scratch::with`].
    #[inline]
    pub fn visit(&mut self, ids: &[u32]) {
        let start = self.fresh.len();
        self.fresh.resize(start + ids.len(), 0);
        let mut count = start;
        for &id in ids {
            if id == NONE {
                break;
            }
            let (word, bit) = (id as usize / 64, 1u64 << (id % 64));
            let seen = &mut self.seen[word];
            self.fresh[count] = id;
            count += usize::from(*seen & bit == 0);
            *seen |= bit;
        }
        self.fresh.truncate(count);
        self.visited.extend_from_slice(&self.fresh[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_counts_once_in_a_search_and_is_forgotten_after_it() {
        for _ in 0..2 {
            Scratch::with(100, |scratch| {
                scratch.visit(&[99, 3]);
                assert_eq!(scratch.fresh, [99, 3]);
                scratch.visit(&[3, 7]);
                assert_eq!(scratch.fresh, [99, 3, 7]);
            });
        }
    }

    #[test]
    fn nested_searches_do_not_share_visits() {
        Scratch::with(10, |outer| {
            outer.visit(&[1]);
            Scratch::with(10, |inner| {
                inner.visit(&[1]);
                assert_eq!(inner.fresh, [1]);
            });
            outer.visit(&[1]);
            assert_eq!(outer.fresh, [1]);
        });
    }
}
