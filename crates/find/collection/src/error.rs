//! What can go wrong with a collection: what was expected, what was found, where.

use std::path::{Path, PathBuf};

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a collection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A matrix or file problem.
    #[error(transparent)]
    Core(#[from] kokeshi_core::Error),
    /// A vector index problem.
    #[error(transparent)]
    Index(#[from] kokeshi_index::Error),
    /// A model problem.
    #[error(transparent)]
    Model(#[from] kokeshi_encode::Error),
    /// There is no collection in the directory.
    #[error("{}: not a collection ({problem}); make one with `kokeshi index`", path.display())]
    NotACollection {
        /// The directory.
        path: PathBuf,
        /// What was missing.
        problem: String,
    },
    /// A collection is to be made where something is already.
    #[error("{}: expected an empty or new directory for a collection, found {found}", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
    /// The collection was made by a newer Kokeshi.
    #[error("{}: collection format {found} is newer than this Kokeshi, which reads up to {supported}; update Kokeshi", path.display())]
    Newer {
        /// The manifest.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest that is read.
        supported: u32,
    },
    /// A file of the collection is torn, changed or missing.
    #[error("{}: damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        problem: String,
    },
    /// Another writer is at work.
    #[error("{}: the collection is being written by {holder}; wait until it is done or stop it", lock.display())]
    Busy {
        /// The lock file.
        lock: PathBuf,
        /// Who holds it, such as `process 4711`.
        holder: String,
    },
    /// The model at hand isn't the one that made the vectors.
    #[error(
        "{}: made with model {expected_id} (fingerprint {expected}), but {found_id} has fingerprint {found}; open it with its own model or reindex", path.display()
    )]
    OtherModel {
        /// The collection.
        path: PathBuf,
        /// The model of the collection.
        expected_id: String,
        /// Its fingerprint.
        expected: String,
        /// The model at hand.
        found_id: String,
        /// Its fingerprint.
        found: String,
    },
    /// A filter can't be understood.
    #[error("filter `{filter}`: {problem}")]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Attributes don't fit the collection's schema.
    #[error("{0}")]
    Schema(String),
    /// A document can't be taken.
    #[error("document {id:?}{}: {problem}", at(origin))]
    Document {
        /// Its id.
        id: String,
        /// Where it was read; may be empty.
        origin: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A request asks for what can't be done.
    #[error("{0}")]
    Request(String),
    /// The word index refused.
    #[error("{}: {problem}", path.display())]
    Words {
        /// The folder of the word index.
        path: PathBuf,
        /// What it said.
        problem: String,
    },
}

fn at(origin: &str) -> String {
    if origin.is_empty() {
        String::new()
    } else {
        format!(" at {origin}")
    }
}

impl Error {
    /// Whether the caller's input is at fault rather than the collection, the model or the machine (HTTP 4xx rather than 5xx).
    pub fn is_bad_request(&self) -> bool {
        matches!(
            self,
            Self::Filter { .. } | Self::Schema(_) | Self::Document { .. } | Self::Request(_)
        )
    }

    pub(crate) fn damaged(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.into(),
            problem: problem.into(),
        }
    }

    /// For `map_err`: an error of the word index in `path`.
    pub(crate) fn words<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_path_buf();
        move |error| Self::Words {
            path,
            problem: error.to_string(),
        }
    }
}
