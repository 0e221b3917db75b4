//! What the server computes with.

use kokeshi_encode::{Model, Reranker, SparseModel};

/// The models of a server, beside those that the collections have themselves.
#[derive(Clone, Default)]
pub struct Models {
    /// For `/v1/embeddings`.
    pub embedders: Vec<Model>,
    /// For `/v1/rerank` and for searches that ask for it.
    pub reranker: Option<Reranker>,
    /// For `/v1/embed_sparse`.
    pub sparse: Option<SparseModel>,
}

impl From<Vec<Model>> for Models {
    fn from(embedders: Vec<Model>) -> Self {
        Self {
            embedders,
            ..Self::default()
        }
    }
}
