//! A recipe as it is written: the tables of the file, unchecked.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::{DataKind, Evaluation, Train};

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub base: Spanned<toml::Value>,
    pub pooling: Option<Spanned<String>>,
    pub out: PathBuf,
    #[serde(default = "forty_two")]
    pub seed: u64,
    pub sizes: Spanned<Vec<String>>,
    pub loss: Option<Spanned<String>>,
    pub data: Spanned<Vec<RawData>>,
    pub train: Option<Spanned<Train>>,
    pub lora: Option<Spanned<Lora>>,
    pub evaluation: Option<Spanned<Evaluation>>,
}

/// `[lora]`; the defaults are those of VLM2Vec (arXiv 2410.05160), the targets PEFT's for BERT.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Lora {
    pub rank: usize,
    pub alpha: f32,
    pub targets: Vec<String>,
    pub dropout: f32,
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            rank: 16,
            alpha: 64.0,
            targets: vec!["query".into(), "value".into()],
            dropout: 0.0,
        }
    }
}

/// `[[data]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawData {
    pub path: Spanned<Paths>,
    pub kind: Spanned<DataKind>,
    pub columns: Option<Spanned<Vec<String>>>,
    #[serde(default = "one")]
    pub scale: f32,
    pub limit: Option<usize>,
    #[serde(default)]
    pub most_bad: usize,
    pub loss: Option<Spanned<String>>,
    #[serde(default = "once")]
    pub stage: u32,
    #[serde(default = "once")]
    pub repeat: u32,
}

/// One path or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Paths {
    One(PathBuf),
    Several(Vec<PathBuf>),
}

impl Paths {
    pub fn all(&self) -> &[PathBuf] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Several(paths) => paths,
        }
    }
}

pub(crate) fn forty_two() -> u64 {
    42
}

fn one() -> f32 {
    1.0
}

fn once() -> u32 {
    1
}
