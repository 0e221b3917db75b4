//! How a model is loaded, and how texts are encoded: task, prompt, size, scaling.

use std::path::Path;

use kokeshi_core::Size;
pub use kokeshi_kernels::Precision;

use crate::error::{Error, Result};
pub use crate::position::Position;

/// How a model is loaded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadOptions {
    /// What its linear layers multiply as; a static model has none and ignores it.
    pub precision: Precision,
    /// The most tokens of a text that are read, special ones included; more than the model was trained on needs `position`.
    pub context: Option<usize>,
    /// How tokens behind those that the model was trained on get a position.
    pub position: Option<Position>,
    /// What attention scores are divided by; below 1, long texts stay farther apart (TempScale, arXiv 2410.24200). `None`: 1.
    pub temperature: Option<f32>,
}

impl LoadOptions {
    /// Differs for options that give other vectors; 0 for the default.
    pub(crate) fn fingerprint(&self) -> u64 {
        match self {
            Self {
                precision: Precision::F32,
                context: None,
                position: None,
                temperature: None,
            } => 0,
            other => kokeshi_core::file::checksum(format!("{other:?}").as_bytes()),
        }
    }

    /// Refuses for the static model in `folder` what only transformers have; precision is no matter to a sum of rows.
    pub(crate) fn for_static(&self, folder: &Path) -> Result<()> {
        let given = [
            ("context", self.context.is_some()),
            ("position", self.position.is_some()),
            ("temperature", self.temperature.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((option, _)) => Err(Error::model(
                folder,
                format!(
                    "a static model reads texts of any length and has no attention: expected no {option}"
                ),
            )),
        }
    }
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
