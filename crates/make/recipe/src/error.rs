//! What can go wrong with a recipe.

use std::path::PathBuf;

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a recipe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file problem.
    #[error(transparent)]
    Core(#[from] kokeshi_core::Error),
    /// The base model.
    #[error(transparent)]
    Model(#[from] kokeshi_encode::Error),
    /// Training itself.
    #[error(transparent)]
    Train(#[from] kokeshi_train::Error),
    /// A vocabulary.
    #[error(transparent)]
    Tokens(#[from] kokeshi_tokens::Error),
    /// The evaluation data.
    #[error(transparent)]
    Eval(#[from] kokeshi_eval::Error),
    /// The training data.
    #[error(transparent)]
    Sources(#[from] kokeshi_sources::Error),
    /// A row of the data.
    #[error(transparent)]
    Row(#[from] kokeshi_sources::RowError),
    /// The recipe says something that can't be.
    #[error("{path}, line {line}: {key}: {problem}")]
    Recipe {
        /// The recipe.
        path: PathBuf,
        /// Where the key is, from 1.
        line: usize,
        /// The key.
        key: String,
        /// What was expected and what was found.
        problem: String,
    },
    /// The recipe is not TOML, or has unknown keys.
    #[error("{path}: {problem}")]
    Toml {
        /// The recipe.
        path: PathBuf,
        /// What the parser says, with line and column.
        problem: String,
    },
    /// A loss or gradient that is no number.
    #[error(
        "step {step}: the {what} is not a finite number; batch: {batch}. The last good checkpoint is {checkpoint}"
    )]
    NotFinite {
        /// The step.
        step: u64,
        /// Loss or gradient.
        what: String,
        /// Where the batch's rows come from.
        batch: String,
        /// Where training can go on from.
        checkpoint: String,
    },
    /// A checkpoint of another recipe, or a damaged one.
    #[error("{path}: {problem}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        problem: String,
    },
    /// Models that can't be merged, or other settings that don't fit.
    #[error("{0}")]
    Settings(String),
    /// Another run writes to the same directory.
    #[error("{}: it is being trained by {holder}; wait until it is done or stop it", out.display())]
    Busy {
        /// The directory.
        out: PathBuf,
        /// Who trains it, such as `process 4711`.
        holder: String,
    },
    /// The user asked to stop; the checkpoint is written.
    #[error("interrupted; the same command goes on at step {0}")]
    Interrupted(u64),
}
