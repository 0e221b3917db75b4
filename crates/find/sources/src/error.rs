//! What goes wrong when sources are opened and read: what was expected, what was found, where, and a hint.

use std::path::PathBuf;

use crate::document::Origin;

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a source can't be opened; nothing was read then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path is not there.
    #[error("{}: no such file or folder", path.display())]
    NotFound {
        /// As it was given.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// What was expected and found.
        problem: String,
    },
    /// There is nothing to read in any of the paths.
    #[error("nothing to read in {paths}: {why}")]
    Nothing {
        /// The paths as given.
        paths: String,
        /// What was there instead.
        why: String,
    },
    /// A field was named that no sampled row has.
    #[error("no field {field:?} for {role}: the fields are {available}")]
    UnknownField {
        /// Which option named it, such as `--text`.
        role: &'static str,
        /// The name.
        field: String,
        /// The fields that are there.
        available: String,
    },
    /// An attribute option can't be understood.
    #[error("attribute {found:?}: expected {expected}")]
    Attribute {
        /// What is allowed.
        expected: String,
        /// What was given.
        found: String,
    },
}

impl Error {
    /// An [`Error::Io`] for `path`, or [`Error::NotFound`] if that is what the system says.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            std::io::ErrorKind::NotFound => Self::NotFound { path },
            _ => Self::Io { path, source },
        }
    }
}

/// A row or file that can't be read, or a value that doesn't fit its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct RowError {
    /// File and line.
    pub origin: Origin,
    /// What was expected, what was found, and a hint.
    pub problem: String,
    /// Nothing comes after it (`OnError::Fail`). Otherwise the row was skipped and reading goes on.
    pub fatal: bool,
}
