//! Vector indexes: exact flat search and a graph, both with filters, behind [`Index`].

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
}

/// How hard to look.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// The index's own default, measured to give recall@10 >= 0.95.
    #[default]
    Default,
    /// The length of the graph search's candidate list (L of Vamana, ef of HNSW).
    List(usize),
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
