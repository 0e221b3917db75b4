//! What can go wrong: always with the file, and with the line where there is one.

use std::path::{Path, PathBuf};

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with an evaluation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{}:{line}: expected {expected}, found {found}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What should be there.
        expected: String,
        /// What is there, shortened.
        found: String,
    },
    /// A file of a layout is not there.
    #[error("{}: expected {expected}", path.display())]
    Missing {
        /// The directory or file.
        path: PathBuf,
        /// What should be there.
        expected: String,
    },
    /// Labels between which there is no metric.
    #[error("{0}")]
    Labels(String),
    /// A measure that there is not.
    #[error(
        "unknown measure {0:?}: expected nDCG, MAP, MRR, P, recall, success (each with or without @k) or Rprec"
    )]
    Measure(String),
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }

    pub(crate) fn line(path: &Path, line: u64, expected: impl Into<String>, found: impl AsRef<str>) -> Self {
        const SHOWN: usize = 80;
        let found = found.as_ref();
        let mut shown: String = found.chars().take(SHOWN).collect();
        if shown.len() < found.len() {
            shown.push('…');
        }
        Self::Line {
            path: path.to_owned(),
            line,
            expected: expected.into(),
            found: format!("{shown:?}"),
        }
    }
}
