//! A collection: documents, attributes, words and vectors in one directory with one commit point.
//!
//! ```text
//! my.kokeshi/
//!   manifest.json             format version, model, schema                                (manifest.rs)
//!   text/                     tantivy: words, attributes, stored documents; its commit is ours (state.rs, fields.rs)
//!   vectors-<gen>-<seg>.npy   one row a passage, plain NumPy                               (writer.rs)
//!   graph-<gen>.bin           a graph over the first rows                                  (optimize.rs)
//!   codec-<gen>.bin           what a codec learnt, and codes-<gen>.bin of the first rows   (codes.rs)
//!   bridge-<gen>.bin          while another model takes over                               (migrate.rs)
//!   part-<gen>-<a>-<n>.bin    a graph for a common filter, and rows-<gen>-<a>.bin of all   (parts.rs)
//!   writer.lock               held by the one writer                                       (lock.rs)
//! ```

mod chance;
mod coded;
mod codes;
mod collection;
mod cut;
mod data;
mod dates;
mod embedder;
mod error;
mod facets;
mod fields;
mod filter;
mod folder;
mod fuse;
mod highlight;
mod known;
mod lexical;
mod lock;
mod manifest;
mod measured;
mod migrate;
mod optimize;
mod parts;
mod passages;
mod query;
mod rerank;
mod rewrite;
mod schema;
mod seal;
mod snapshot;
mod state;
pub mod types;
mod upsert;
mod words;
mod writer;

pub use collection::{Collection, CreateOptions, OpenOptions};
pub use cut::Calibration;
pub use embedder::{Embedder, ModelEmbedder};
pub use error::{Error, Result};
pub use state::PassageOptions;
pub use types::*;
pub use writer::{Counts, Writer, WriterOptions};
