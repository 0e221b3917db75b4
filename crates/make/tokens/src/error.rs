//! What can go wrong with a tokenizer.

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a tokenizer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file can't be read or isn't a tokenizer.
    #[error("tokenizer {path}: {problem}")]
    File {
        /// The file, or `<memory>`.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No vocabulary can be learned from these texts.
    #[error("vocabulary: {0}")]
    Learn(String),
}

impl Error {
    pub(crate) fn file(path: &str, problem: impl ToString) -> Self {
        Self::File {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }
}
