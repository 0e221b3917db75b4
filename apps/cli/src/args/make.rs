//! Arguments of the commands that make models.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{LoadArgs, ModelArgs};

/// `kokeshi sizes`.
#[derive(Debug, Args)]
pub struct Sizes {
    /// A sentence-transformers directory or hub id.
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// A directory or file of sentence pairs (STS), or a BEIR directory.
    #[arg(long, value_name = "DATA")]
    pub eval: PathBuf,
    /// The split of the judgements or pairs.
    #[arg(long, default_value = "test")]
    pub split: String,
    /// Layers, ascending; all if not given.
    #[arg(long, value_delimiter = ',', value_name = "N")]
    pub layers: Vec<usize>,
    /// Dims, ascending; halves of the full width down to 16 if not given.
    #[arg(long, value_delimiter = ',', value_name = "N")]
    pub dims: Vec<usize>,
    /// Bits of a value: 32 (f32), 16 (f16), or 1 to 8 (RaBitQ).
    #[arg(long, value_delimiter = ',', value_name = "N", default_value = "32")]
    pub bits: Vec<u8>,
    /// A heat map of the grid: SVG or PNG, as the name ends.
    #[arg(long, value_name = "FILE", value_parser = kokeshi_plot::file::path)]
    pub plot: Option<PathBuf>,
    #[command(flatten)]
    pub load: LoadArgs,
}

/// `kokeshi mine`.
#[derive(Debug, Args)]
pub struct Mine {
    /// Pairs: JSONL, JSON, CSV, TSV or Parquet, files or folders.
    #[arg(required = true, value_name = "PATH")]
    pub pairs: Vec<PathBuf>,
    /// Where the rows with negatives go, as JSONL; - for standard output.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub to: PathBuf,
    /// The columns of anchor and positive.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "A,B",
        default_value = "anchor,positive"
    )]
    pub columns: Vec<String>,
    /// More texts that negatives are taken from: a table and its column. The positives of all pairs are taken from in any case.
    #[arg(long, value_name = "PATH", requires = "corpus_column")]
    pub corpus: Vec<PathBuf>,
    /// The column of those texts.
    #[arg(long, value_name = "COLUMN", requires = "corpus")]
    pub corpus_column: Option<String>,
    /// Negatives for each pair; pairs with fewer are left out.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=62))]
    pub negatives: u8,
    /// Ranks that negatives are taken from, from 1, as in 10-50.
    #[arg(long, default_value = "1-100", value_name = "A-B", value_parser = ranks)]
    pub ranks: (usize, usize),
    /// How much less similar to the anchor than the positive a negative has to be.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub margin: Option<f32>,
    /// The same as a share of the positive's similarity: 0.05 takes what has less than 95 % of it.
    #[arg(long, value_name = "SHARE")]
    pub relative_margin: Option<f32>,
    /// The most similar that a negative may be.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub most: Option<f32>,
    /// The least similar that a negative may be.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub least: Option<f32>,
    /// Leave out pairs whose positive is not among so many of the nearest.
    #[arg(long, value_name = "K")]
    pub consistent: Option<usize>,
    /// Which of the candidates are taken.
    #[arg(long, value_enum, default_value_t = Take::Nearest)]
    pub take: Take,
    /// Start of the random choices.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Which candidates become negatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Take {
    /// The most similar ones.
    Nearest,
    /// Any of them.
    Random,
}

fn ranks(text: &str) -> Result<(usize, usize), String> {
    let wrong = || format!("expected two ranks from 1 such as 10-50, found {text:?}");
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    match (from.trim().parse(), to.trim().parse()) {
        (Ok(from), Ok(to)) if 1 <= from && from <= to => Ok((from, to)),
        _ => Err(wrong()),
    }
}
