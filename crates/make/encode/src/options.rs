//! How a model is loaded, and how texts are encoded: task, prompt, size, scaling.

use kokeshi_core::Size;
pub use kokeshi_kernels::Precision;

/// How a model is loaded.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// What its linear layers multiply as; a static model has none and ignores it.
    pub precision: Precision,
}

/// Whether a text is a question or a document: chooses the prompt as sentence-transformers' `encode_query` and `encode_document` do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Task {
    /// No prompt but the model's default one.
    #[default]
    Plain,
    /// The prompt called "query" if the model has one.
    Query,
    /// The prompt called "document", "passage" or "corpus" if the model has one.
    Document,
}

/// How texts are encoded.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Chooses the prompt by role.
    pub task: Task,
    /// A prompt of the model's by name; wins over `task`.
    pub prompt_name: Option<String>,
    /// A prompt as text; wins over both.
    pub prompt: Option<String>,
    /// Layers and dims.
    pub size: Size,
    /// Scale the result to unit length, whatever the model does; `None`: renormalise only what was normalised before truncation.
    pub normalize: Option<bool>,
}
