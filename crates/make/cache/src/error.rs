//! Errors of this crate: what was expected, what was found, where.

use std::path::{Path, PathBuf};

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a decoder or a cache policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A matrix or file problem.
    #[error(transparent)]
    Core(#[from] kokeshi_core::Error),
    /// A model directory is not what it should be.
    #[error("model {}: {problem}", path.display())]
    Model {
        /// The directory or file.
        path: PathBuf,
        /// What was expected and found.
        problem: String,
    },
    /// A request or a policy's setting does not fit.
    #[error("{0}")]
    Request(String),
}

impl Error {
    /// An [`Error::Model`] for `path`.
    pub(crate) fn model(path: &Path, problem: impl Into<String>) -> Self {
        Self::Model {
            path: path.into(),
            problem: problem.into(),
        }
    }
}
