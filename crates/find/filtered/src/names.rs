//! What the methods are called wherever they are shown or chosen from.

/// [`PreFilter`](crate::PreFilter).
pub const SCAN: &str = "pre-filter scan";
/// [`Gate`](crate::Gate).
pub const GATE: &str = "HNSW, gate";
/// [`PostFilter`](crate::PostFilter).
pub const POST_FILTER: &str = "HNSW, post-filter";
/// [`Acorn`](crate::Acorn) with a gamma of 1.
pub const ACORN_1: &str = "ACORN-1";
/// [`Acorn`](crate::Acorn) with a larger gamma.
pub const ACORN_GAMMA: &str = "ACORN-gamma";
/// [`LabelGraph::filtered`](crate::LabelGraph::filtered).
pub const FILTERED_VAMANA: &str = "FilteredVamana";
/// [`LabelGraph::stitched`](crate::LabelGraph::stitched).
pub const STITCHED_VAMANA: &str = "StitchedVamana";
/// [`Ung`](crate::Ung).
pub const UNG: &str = "UNG";
/// [`RangeGraph`](crate::RangeGraph).
pub const SERF: &str = "SeRF";
/// [`PrefixGraph`](crate::PrefixGraph).
pub const SERF_HALF: &str = "SeRF, half-bounded";
