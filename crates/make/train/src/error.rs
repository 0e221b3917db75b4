//! What can go wrong in training.

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A matrix or file problem.
    #[error(transparent)]
    Core(#[from] kokeshi_core::Error),
    /// A problem of the teacher.
    #[error(transparent)]
    Model(#[from] kokeshi_encode::Error),
    /// A problem of the teacher's tokenizer.
    #[error(transparent)]
    Tokens(#[from] kokeshi_tokens::Error),
    /// The settings can't work together or with this teacher.
    #[error("{0}")]
    Config(String),
    /// There is not enough text to learn from.
    #[error("expected at least {expected} texts to learn from, found {found}")]
    TooLittleText {
        /// The least that is needed.
        expected: usize,
        /// What was there.
        found: usize,
    },
    /// A number that should be finite is not.
    #[error("the {what} is not a finite number")]
    NotFinite {
        /// Of what.
        what: &'static str,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}
