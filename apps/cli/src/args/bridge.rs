//! The flags of `kokeshi bridge`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kokeshi_codec::bridge::Method;

use super::{MetricArgs, OnError};

/// `kokeshi bridge`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Bridge {
    /// One step by itself.
    #[command(subcommand)]
    pub step: Option<BridgeStep>,
    #[command(flatten)]
    pub learn: BridgeLearn,
}

/// The flags of `kokeshi bridge` without a step.
#[derive(Debug, Args)]
pub struct BridgeLearn {
    /// The old model (a directory, a hub id, or kokeshi-static), whose vectors are searched; or a file of its vectors.
    #[arg(long, value_name = "OLD")]
    pub from: Option<String>,
    /// The new model, whose queries search; or a file of its vectors, row for row the texts of the old ones.
    #[arg(long, value_name = "NEW")]
    pub to: Option<String>,
    /// Texts that both models read to learn from: whole, and their titles and sentences, which are as long as queries.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub pairs: Vec<PathBuf>,
    /// The file of the bridge.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// balanced, orthogonal, linear or learned; without it all are tried, and the one that keeps most of what --judge names is taken, or the balanced one.
    #[arg(long, value_name = "METHOD")]
    pub method: Option<Method>,
    /// Texts to learn from, at most.
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    pub sample: u32,
    /// BEIR directories on which to measure what is kept.
    #[arg(long, value_name = "DIR", requires = "pairs")]
    pub judge: Vec<PathBuf>,
    #[command(flatten)]
    pub metric: MetricArgs,
}

/// The steps of a bridge.
#[derive(Debug, Subcommand)]
pub enum BridgeStep {
    /// Turn vectors of the new model into vectors of the old one.
    #[command(after_help = "Example:\n  kokeshi bridge apply bridge.bin new-queries.npy --to as-old.npy")]
    Apply(BridgeApply),
    /// Show what a bridge is.
    #[command(after_help = "Example:\n  kokeshi bridge inspect bridge.bin")]
    Inspect(BridgeInspect),
}

/// `kokeshi bridge apply`.
#[derive(Debug, Args)]
pub struct BridgeApply {
    /// The bridge.
    #[arg(value_name = "BRIDGE")]
    pub bridge: PathBuf,
    /// Vectors of the new model.
    #[arg(value_name = "VECTORS")]
    pub vectors: PathBuf,
    /// The file of what they are to the old one: .npy, .safetensors, .parquet or .jsonl.
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    /// What to do with a row that holds NaN or infinity: stop, or take it as zeros, which are like nothing.
    #[arg(long, value_enum, default_value_t = OnError::Fail)]
    pub on_error: OnError,
}

/// `kokeshi bridge inspect`.
#[derive(Debug, Args)]
pub struct BridgeInspect {
    /// The bridge.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}
