//! The flags of `kokeshi shrink`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kokeshi_core::Metric;

use super::OnError;

/// `kokeshi shrink`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Shrink {
    /// One step by itself.
    #[command(subcommand)]
    pub step: Option<ShrinkStep>,
    #[command(flatten)]
    pub choose: Choose,
}

/// What vectors are compared by.
#[derive(Debug, Clone, Copy, Args)]
pub struct MetricArgs {
    /// What vectors are compared by: cosine, dot or l2.
    #[arg(long, default_value = "cosine", value_name = "METRIC")]
    pub metric: Metric,
    /// Start of all random choices.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// What to do with a row that holds NaN or infinity: stop, or take it as zeros, which are like nothing.
    #[arg(long, value_enum, default_value_t = OnError::Fail)]
    pub on_error: OnError,
}

/// The flags of `kokeshi shrink` without a step.
#[derive(Debug, Args)]
pub struct Choose {
    /// The vectors: .npy, .safetensors, .fvecs, .bvecs, .parquet or .jsonl.
    #[arg(value_name = "VECTORS")]
    pub vectors: Option<PathBuf>,
    /// A collection whose vectors they are: the choice becomes its codec, in place.
    #[arg(long = "in", value_name = "DIR", conflicts_with_all = ["vectors", "out", "on_error", "metric"])]
    pub collection: Option<PathBuf>,
    /// With --in: the codec itself, such as rabitq:4, or none for no codes.
    #[arg(long, value_name = "CODEC", requires = "collection", conflicts_with_all = ["budget", "bytes_per_vector", "min_recall", "codecs"])]
    pub codec: Option<String>,
    /// Vectors of questions; without them some of the rows are kept aside to ask with.
    #[arg(long, value_name = "FILE")]
    pub queries: Option<PathBuf>,
    /// Which rows answer which question (BEIR or TREC): codes are then judged by nDCG@10. Ids are those of the files, or row numbers from 0.
    #[arg(long, value_name = "FILE", requires = "queries")]
    pub qrels: Option<PathBuf>,
    /// The most bytes for all rows, such as 32MB.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub budget: Option<u64>,
    /// The most bytes for a row.
    #[arg(long, value_name = "N")]
    pub bytes_per_vector: Option<usize>,
    /// The least recall@10: the share of the ten exact neighbours that codes find.
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub min_recall: Option<f64>,
    /// The vectors stay on disk, and the best hundred by codes are ranked again by them: choose for that.
    #[arg(long)]
    pub rescore: bool,
    /// Where the choice is written: the trained codec, the codes, the figures and the plot.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The plot alone: SVG or PNG, as the name ends.
    #[arg(long, value_name = "FILE", value_parser = kokeshi_plot::file::path)]
    pub plot: Option<PathBuf>,
    /// Try these chains only, such as "pca:128|int8,rabitq:4".
    #[arg(long, value_name = "CHAINS", value_delimiter = ',')]
    pub codecs: Vec<String>,
    /// Rows that chains are tried on, at most.
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(100..))]
    pub sample: u32,
    #[command(flatten)]
    pub metric: MetricArgs,
}

/// The steps of shrinking, one by one.
#[derive(Debug, Subcommand)]
pub enum ShrinkStep {
    /// Learn a codec from vectors.
    #[command(after_help = "Example:\n  kokeshi shrink train docs.npy --codec 'pca:128|int8' --to codec.bin")]
    Train(Train),
    /// Encode vectors with a trained codec.
    #[command(
        after_help = "Examples:\n  kokeshi shrink apply codec.bin docs.npy --to codes.bin\n  \
        kokeshi shrink apply codec.bin docs.npy --to decoded.npy   # what the codes stand for, as vectors"
    )]
    Apply(Apply),
    /// Show what a trained codec or a file of codes is.
    #[command(after_help = "Example:\n  kokeshi shrink inspect codec.bin")]
    Inspect(Inspect),
}

/// `kokeshi shrink train`.
#[derive(Debug, Args)]
pub struct Train {
    /// The vectors to learn from.
    #[arg(value_name = "VECTORS")]
    pub vectors: PathBuf,
    /// The chain, such as "pca:128|int8".
    #[arg(long, value_name = "CHAIN")]
    pub codec: String,
    /// The file of the trained codec.
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    #[command(flatten)]
    pub metric: MetricArgs,
}

/// `kokeshi shrink apply`.
#[derive(Debug, Args)]
pub struct Apply {
    /// The trained codec.
    #[arg(value_name = "CODEC")]
    pub codec: PathBuf,
    /// The vectors to encode.
    #[arg(value_name = "VECTORS")]
    pub vectors: PathBuf,
    /// The file of codes; or .npy, .safetensors, .parquet or .jsonl for the vectors that the codes stand for.
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    /// What to do with a row that holds NaN or infinity: stop, or take it as zeros, which are like nothing.
    #[arg(long, value_enum, default_value_t = OnError::Fail)]
    pub on_error: OnError,
}

/// `kokeshi shrink inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// A trained codec, or codes.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `32MB`, `1.5 GiB` or `64` to bytes.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let expected = || format!("expected bytes such as 32MB, 1.5GB or 512KiB, found {text:?}");
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor: f64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" | "k" => 1e3,
        "mb" | "m" => 1e6,
        "gb" | "g" => 1e9,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        _ => return Err(expected()),
    };
    let count: f64 = digits.trim().parse().map_err(|_| expected())?;
    match (count * factor).round() {
        bytes if (1.0..=1e18).contains(&bytes) => Ok(bytes as u64),
        _ => Err(expected()),
    }
}

/// A share in (0, 1].
pub(super) fn parse_share(text: &str) -> Result<f64, String> {
    share(text, 0.98, |share| share > 0.0 && share <= 1.0)
}

/// A share that `fits`, as `example` does.
pub(super) fn share(text: &str, example: f64, fits: impl Fn(f64) -> bool) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| fits(*share));
    share.ok_or_else(|| format!("expected a share from 0 to 1, such as {example}, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_the_units_people_write() {
        for (text, bytes) in [
            ("64", 64),
            ("32MB", 32_000_000),
            ("1.5 GiB", 1_610_612_736),
            ("2kb", 2000),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "MB", "-3MB", "3TBs", "nan", "1e40", "0"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
