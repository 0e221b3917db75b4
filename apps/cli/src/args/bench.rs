//! The flags of `kokeshi bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::OnError;

/// `kokeshi bench`.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Every way of searching with filters, on the attributes of your own rows: recall, distances and queries a CPU-second by selectivity.
    #[command(after_help = "Example:\n  \
        kokeshi bench filtered vectors.npy --attributes rows.jsonl --equality primary --set categories,authors --range created --plots plots/\n\
        Methods that know nothing of filters (scan, gate, post-filter, ACORN), those made for one attribute (FilteredVamana,\n\
        StitchedVamana, UNG, SeRF) and the planner that collections use.")]
    Filtered(Box<Filtered>),
}

/// `kokeshi bench filtered`.
#[derive(Debug, Args)]
pub struct Filtered {
    /// The vectors: .npy, .safetensors, .fvecs, .bvecs, .parquet or .jsonl. They are compared by cosine.
    #[arg(value_name = "VECTORS")]
    pub vectors: PathBuf,
    /// The attributes: a JSON object a line, line i for row i.
    #[arg(long, value_name = "FILE")]
    pub attributes: PathBuf,
    /// Fields with one label a row.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',', required_unless_present_any = ["set", "range"])]
    pub equality: Vec<String>,
    /// Fields with a list of labels a row.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub set: Vec<String>,
    /// Fields with a number or an ISO date a row.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub range: Vec<String>,
    /// Use at most this many rows, chosen at random.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rows: Option<u32>,
    /// Rows that are kept aside to ask with.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub queries: u32,
    /// Questions for each kind of filter and selectivity, at most.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub each: u32,
    /// Hits asked for.
    #[arg(long, short, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub k: u16,
    /// The recall that methods are compared at.
    #[arg(long, default_value_t = 0.95, value_name = "SHARE", value_parser = super::shrink::parse_share)]
    pub recall: f64,
    /// How often everything is measured; times are medians.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// A folder for the pictures, an SVG for each kind of filter.
    #[arg(long, value_name = "DIR")]
    pub plots: Option<PathBuf>,
    /// Start of all random choices.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// What to do with a row that holds NaN or infinity: stop, or take it as zeros, which are like nothing.
    #[arg(long, value_enum, default_value_t = OnError::Fail)]
    pub on_error: OnError,
}
