//! The handlers, one file a subject.

pub mod collections;
pub mod documents;
pub mod embeddings;
pub mod page;
pub mod rerank;
pub mod search;
pub mod sparse;
pub mod status;
