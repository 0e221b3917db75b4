//! Vector indexes: exact flat search and a graph, both with filters, behind [`Index`].
//!
//! | module | what it holds |
//! |---|---|
//! | [`vectors`] | [`Vectors`]: several mapped matrices seen as one |
//! | [`flat`] | [`FlatIndex`]: compares everything, exact |
//! | [`graph`] | [`Graph`]: a Vamana graph, built in parallel, extended, saved, mapped |
//! | `graph::codes` | half a byte a direction, with which searches find candidates before they compare rows |
//! | `graph::cells` | which rows lie together: where walks begin, and what searches with a filter look through |
//! | [`graph_index`] | [`GraphIndex`]: graph and vectors together, with the planner for filters |
//! | [`part`] | [`Part`]: a graph of their own for rows that many filters ask for |
//!
//! ```
//! use kokeshi_core::{Bitmap, Embeddings, Metric, Seed, Silent};
//! use kokeshi_index::{Effort, Graph, GraphConfig, GraphIndex, Index, Vectors};
//!
//! let mut seed = Seed(1);
//! let mut rows = Embeddings::from_vec((0..1000 * 8).map(|_| seed.normal() as f32).collect(), 8)?;
//! rows.normalize();
//! let vectors = Vectors::from(rows);
//! let graph = Graph::build(&vectors, Metric::Cosine, GraphConfig::default(), &Silent)?;
//! let query = vectors.row(7).to_vec();
//! let index = GraphIndex::new(graph, vectors)?;
//! assert_eq!(index.search(&query, 10, Effort::Default, None)?.hits[0].id, 7);
//!
//! let mut live = Bitmap::full(1000);
//! live.remove(7);
//! let found = index.search(&query, 10, Effort::Default, Some(&live))?;
//! assert!(found.hits.iter().all(|hit| hit.id != 7));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cost;
pub mod flat;
pub mod graph;
pub mod graph_index;
pub mod part;
mod query;
pub mod vectors;

pub use flat::FlatIndex;
pub use graph::{Graph, GraphConfig};
pub use graph_index::GraphIndex;
pub use part::Part;
pub use vectors::Vectors;

use kokeshi_core::{Bitmap, Scored};

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with an index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A matrix or file problem.
    #[error(transparent)]
    Core(#[from] kokeshi_core::Error),
    /// The user asked to stop.
    #[error("building the graph was interrupted")]
    Interrupted,
}

/// How hard to look.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// The index's own default: what [`Graph::default_list`] says.
    #[default]
    Default,
    /// The length of the graph search's candidate list (L of Vamana, ef of HNSW).
    List(usize),
    /// The share of the true best 10 that should be found, in (0, 1]: the length of the list is the one that found as many when the
    /// graph was built ([`Graph::list_for_recall`]); 1 compares with everything.
    Recall(f32),
    /// Compare with every vector that passes the filter.
    Exact,
}

/// How a search was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Plan {
    /// Every vector that passes the filter was compared.
    #[default]
    Scan,
    /// The codes of the vectors that pass the filter were compared, of the cells near the query or of all, and then the best of the vectors
    /// themselves.
    Codes,
    /// Graph traversal, no filter.
    Graph,
    /// Graph traversal through all nodes, results gated by the filter.
    GraphFiltered,
}

/// What a search cost.
#[derive(Debug, Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cost {
    /// How it was carried out.
    pub plan: Plan,
    /// Distance computations.
    pub distances: usize,
    /// Graph nodes expanded.
    pub visited: usize,
    /// Vectors that were compared: those of candidates found by codes, or of all rows where there are no codes. They are among the distances.
    #[serde(default)]
    pub vectors: usize,
    /// What each way was expected to take, if one was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
}

/// What the planner expected of the ways that it chose from, in microseconds of one thread of the machine that its constants were measured on.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Expected {
    /// Comparing every vector that passes.
    pub scan: f32,
    /// Comparing the codes of all that pass, and then the best of the vectors; `None` without codes, or where so few pass that it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<f32>,
    /// A walk through the graph; of a filter that goes against the query it can take much longer, and is given up then.
    pub walk: f32,
}

/// Hits, best first, and what they cost.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// At most k, larger scores first.
    pub hits: Vec<Scored>,
    /// What it cost.
    pub cost: Cost,
}

/// A set of vectors, numbered from 0, that can be searched.
pub trait Index: Send + Sync {
    /// How many vectors there are, deleted ones included.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Their width.
    fn dims(&self) -> usize;
    /// The `k` best rows for `query` among those in `filter` (all rows if `None`).
    ///
    /// # Errors
    /// [`kokeshi_core::Error::Dims`] or [`kokeshi_core::Error::NotFinite`] for a bad query.
    fn search(&self, query: &[f32], k: usize, effort: Effort, filter: Option<&Bitmap>) -> Result<Found>;
}
