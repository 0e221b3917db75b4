//! Graphs that know what they will be filtered by, beside those that do not: the methods that "Benchmarking Filtered Approximate
//! Nearest Neighbor Search" (arXiv 2507.21989) compares, all over squared Euclidean distance, all behind [`Method`].
//!
//! | method | filters | when |
//! |---|---|---|
//! | [`PreFilter`] | any | few rows pass |
//! | [`Gate`], [`PostFilter`] | any | many rows pass |
//! | [`Acorn`] | any | some rows pass, and they are spread over the whole space |
//! | [`LabelGraph`] | one label | categories |
//! | [`Ung`] | label sets | rows that have all of some labels |
//! | [`PrefixGraph`], [`RangeGraph`] | ranges | numbers and dates |
//!
//! They share one search ([`Scratch`] is its memory) and one loop that prunes.
//!
//! ```
//! use std::sync::Arc;
//! use kokeshi_core::Seed;
//! use kokeshi_filtered::{LabelGraph, Method, Scratch, VamanaConfig, clusters, random_labels};
//!
//! let (rows, queries) = clusters(1000, 1, 16, 10, Seed(1))?;
//! let labels = Arc::new(random_labels(1000, 4, Seed(2)));
//! let graph = LabelGraph::filtered(Arc::new(rows), labels.clone(), VamanaConfig::default())?;
//! let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
//! graph.search(queries.row(0), 10, 40, &labels.containing(&[3]), &mut scratch, &mut hits)?;
//! assert!(hits.len() == 10 && hits.iter().all(|hit| labels.has(hit.row(), 3)));
//! # Ok::<(), kokeshi_core::Error>(())
//! ```

mod acorn;
mod attributes;
mod beam;
mod filtered_vamana;
mod hnsw;
mod levels;
mod lists;
mod method;
pub mod names;
mod or_scan;
mod prune;
mod serf;
mod synthetic;
mod ung;
mod vamana;

pub use acorn::{Acorn, AcornConfig};
pub use attributes::{Filter, Labels, Shape};
pub use beam::{Counts, Near, Scratch};
pub use filtered_vamana::LabelGraph;
pub use hnsw::{Gate, Hnsw, HnswConfig, PostFilter, PreFilter};
pub use method::{Built, Method, Wanted};
pub use or_scan::OrScan;
pub use serf::{PrefixGraph, RangeGraph, SerfConfig};
pub use synthetic::{clusters, random_label_sets, random_labels};
pub use ung::{Ung, UngConfig};
pub use vamana::VamanaConfig;
