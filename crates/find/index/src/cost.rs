//! What searches are likely to cost, in comparisons of a scan of the rows themselves. Measured by `examples/recall.rs` on the arXiv vectors.

/// What the parts of a search cost, in comparisons of rows that lie one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Costs {
    /// A comparison in a walk, with the book-keeping.
    walked: f64,
    /// The same in a walk with a filter, which keeps two heaps instead of one short list.
    filtered: f64,
    /// A comparison of a code in a scan.
    scanned: f64,
    /// A candidate that is kept in order and compared again.
    rescored: f64,
    /// Making a query ready.
    prepared: f64,
}

/// Comparing rows.
pub(crate) const PLAIN: Costs = Costs {
    walked: 3.0,
    filtered: 3.0,
    scanned: 1.0,
    rescored: 0.0,
    prepared: 0.0,
};
/// Comparing codes first.
pub(crate) const CODED: Costs = Costs {
    walked: 0.9,
    filtered: 2.0,
    scanned: 0.45,
    rescored: 3.0,
    prepared: 190.0,
};

/// Comparisons a node on the candidate list costs: it is expanded, and about this many of its neighbours were not met before.
const DISTANCES_PER_NODE: f64 = 15.0;

impl Costs {
    /// A walk that expands `nodes` nodes and finds `length`.
    pub fn walk(&self, nodes: f64, length: usize, filtered: bool) -> f64 {
        let walked = if filtered { self.filtered } else { self.walked };
        self.prepared + nodes * DISTANCES_PER_NODE * walked + length as f64 * self.rescored
    }

    /// A scan of the codes of `rows` rows that finds `length`.
    pub fn scan(&self, rows: usize, length: usize) -> f64 {
        self.prepared + rows as f64 * self.scanned + length as f64 * self.rescored
    }

    /// How many comparisons a walk with a filter may make before a scan of `cost` would have been cheaper.
    pub fn budget(&self, cost: f64) -> usize {
        (cost / self.filtered) as usize
    }
}
