//! What searches are likely to cost, in comparisons of a scan.

/// What one comparison of a graph walk costs in comparisons of a scan: a row from anywhere in memory and the book-keeping, against
/// rows in order. Measured by `examples/recall.rs` on the arXiv vectors.
pub(crate) const WALK_PER_SCAN: f64 = 3.0;
/// Comparisons a node on the candidate list costs: it is expanded, and about this many of its neighbours were not met before.
/// Measured like [`WALK_PER_SCAN`].
const DISTANCES_PER_NODE: f64 = 15.0;

/// The cost of a walk that expands `nodes` nodes.
pub(crate) fn walk_cost(nodes: f64) -> f64 {
    nodes * DISTANCES_PER_NODE * WALK_PER_SCAN
}
