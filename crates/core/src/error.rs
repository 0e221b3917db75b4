//! Errors of the ground floor: what was expected, what was found, where.

use std::path::PathBuf;

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with matrices, sizes and files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A vector or matrix has the wrong width.
    #[error("{what}: expected {expected} dimensions, found {found}")]
    Dims {
        /// Which value was looked at.
        what: String,
        /// The width that was needed.
        expected: usize,
        /// The width that was there.
        found: usize,
    },
    /// A value is NaN or infinite.
    #[error("{what}: row {row} holds a value that is not finite, at column {column}")]
    NotFinite {
        /// Which matrix was looked at.
        what: String,
        /// The row, from 0.
        row: usize,
        /// The column, from 0.
        column: usize,
    },
    /// A text could not be understood.
    #[error("{what}: expected {expected}, found {found:?}")]
    Parse {
        /// What was being read.
        what: String,
        /// The form that was expected.
        expected: String,
        /// The text that was found.
        found: String,
    },
    /// A file is not what it should be.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with what was expected and found.
        problem: String,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// An [`Error::Io`] for `path`; meant for `map_err(Error::io(path))`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// An [`Error::File`] for `path`.
    pub fn file(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::File {
            path: path.into(),
            problem: problem.into(),
        }
    }
}
