//! The handlers, one file a subject.

pub mod collections;
pub mod documents;
pub mod embeddings;
pub mod page;
pub mod search;
pub mod status;
