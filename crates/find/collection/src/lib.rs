//! A collection: documents, attributes, words and vectors in one directory with one commit point.

pub mod types;

pub use types::*;
