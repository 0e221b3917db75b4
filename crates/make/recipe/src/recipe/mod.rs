//! The recipe file, checked: what can't be is an error that names the key and its line.
//!
//! Here is what a recipe says; `file` has the tables as they are written, `check` how one becomes the other, `train` how it learns, `text` the
//! file before it is understood.

mod check;
mod file;
mod text;
mod train;

use std::path::{Path, PathBuf};

use kokeshi_train::AdapterConfig;
use serde::Deserialize;

pub(crate) use file::{Paths, forty_two};
pub(crate) use text::{in_words, line, parse_toml, read_text};
pub use train::{Schedule, Train};

use crate::error::{Error, Result};
use crate::loss::LossName;
use crate::pooling::PoolingName;
use crate::scratch::Scratch;

/// What is trained, from what, and how.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The recipe's file.
    pub path: PathBuf,
    /// Its bytes: a checkpoint belongs to one recipe.
    pub text: String,
    /// What it begins with.
    pub base: Base,
    /// How it pools; `None`: as the base does.
    pub pooling: Option<PoolingName>,
    /// The directory that is written.
    pub out: PathBuf,
    /// Where all random choices come from.
    pub seed: u64,
    /// Layers and dims, small to large; the last is the full size.
    pub sizes: Vec<(usize, usize)>,
    /// What is read.
    pub data: Vec<Data>,
    /// How it learns.
    pub train: Train,
    /// If low-rank adapters learn instead of the encoder's own weights.
    pub lora: Option<AdapterConfig>,
    /// How it is judged; `None`: not at all.
    pub evaluation: Option<Evaluation>,
}

/// What a recipe begins with.
#[derive(Debug, Clone, PartialEq)]
pub enum Base {
    /// A model: a directory or hub id.
    Model(String),
    /// Random weights.
    Scratch(Scratch),
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Model(name) => f.write_str(name),
            Self::Scratch(scratch) => write!(f, "random weights ({}x{})", scratch.layers, scratch.hidden),
        }
    }
}

/// One data set.
#[derive(Debug, Clone)]
pub struct Data {
    /// Files or folders.
    pub paths: Vec<PathBuf>,
    /// What a row is.
    pub kind: DataKind,
    /// The columns: anchor, positive, negatives; or both texts and the score or label.
    pub columns: Vec<String>,
    /// What scores are divided by.
    pub scale: f32,
    /// The most rows that are used.
    pub limit: Option<usize>,
    /// The most rows that may be unreadable.
    pub most_bad: usize,
    /// What compares the texts.
    pub loss: LossName,
    /// When it is learnt: all data of a stage before that of the next, each with a warm-up and schedule of its own.
    pub stage: u32,
    /// How often each row is used in a pass over the data.
    pub repeat: u32,
}

/// What a row of data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataKind {
    /// An anchor and what it should find.
    Pairs,
    /// The same with something that it should not find.
    Triplets,
    /// Two texts and how similar they are.
    Scored,
    /// Single texts, for losses that mask tokens.
    Texts,
    /// A premise, a hypothesis and a label: entailments become positives, contradictions of the same premise negatives.
    Nli,
}

/// As in recipes.
impl std::fmt::Display for DataKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pairs => "pairs",
            Self::Triplets => "triplets",
            Self::Scored => "scored",
            Self::Texts => "texts",
            Self::Nli => "nli",
        })
    }
}

/// How it is judged: Spearman's correlation on scored pairs, at every size.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Scored pairs in the layout of the STS benchmark.
    pub data: PathBuf,
    /// Steps from one to the next; 0: only at the end.
    #[serde(default)]
    pub every: u64,
    /// It stops if so many in a row are no better than the best; 0: never.
    #[serde(default)]
    pub patience: u64,
    /// Other pairs that the finished model is judged on, for its card.
    pub test: Option<PathBuf>,
}

impl Recipe {
    /// Reads and checks a recipe. Paths in it count from the recipe's folder;
    /// `${NAME}` stands for an environment variable.
    ///
    /// # Errors
    /// [`Error::Toml`] with line and column if it is not TOML or has unknown keys; [`Error::Recipe`] with key and line if a value can't be.
    pub fn read(path: &Path) -> Result<Self> {
        check::recipe(path, read_text(path)?)
    }

    /// The same for a text that was read.
    ///
    /// # Errors
    /// As [`Recipe::read`].
    pub fn parse(path: &Path, text: String) -> Result<Self> {
        check::recipe(path, text::expanded(path, &text)?)
    }

    /// The same for a text whose variables are replaced.
    pub(crate) fn checked(path: &Path, text: String) -> Result<Self> {
        check::recipe(path, text)
    }

    /// An error about the recipe that only shows beside the model.
    pub(crate) fn wrong(&self, key: &str, problem: String) -> Error {
        let line = self
            .text
            .lines()
            .position(|line| line.trim_start().starts_with(key));
        Error::Recipe {
            path: self.path.clone(),
            line: line.unwrap_or(0) + 1,
            key: key.into(),
            problem,
        }
    }
}
