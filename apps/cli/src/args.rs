//! Every command and flag. Help, man pages and shell completions all come from here.

mod bench;
mod bridge;
mod find;
mod make;
mod shrink;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kokeshi_core::Size;
use kokeshi_encode::{LoadOptions, Position};

pub use bench::{Bench, Filtered};
pub use bridge::{Bridge, BridgeApply, BridgeInspect, BridgeLearn, BridgeStep};
pub use find::{CollectionOnly, Delete, Index, Info, Mode, Optimize, Reindex, Search, Serve, Similar};
pub use make::{Mine, Sizes, Take};
pub use shrink::{Apply, Choose, Inspect, MetricArgs, Shrink, ShrinkStep, Train};

/// One system for the whole life of an embedding: make it, shrink it, find with it, judge it, plan it.
#[derive(Debug, Parser)]
#[command(
    name = "kokeshi",
    version,
    max_term_width = 110,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Start here:  kokeshi index docs/ --to my.kokeshi   then   kokeshi search \"a question\" --in my.kokeshi\n\
                  Exit codes:  0 done, 1 failed, 2 bad usage or bad input."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Print one JSON value to standard output instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress bars and no notes on standard error.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Threads; all cores if not given.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make or update a collection from files.
    #[command(after_help = "Examples:\n  \
        kokeshi index docs/ notes.md --to my.kokeshi\n  \
        kokeshi index papers.jsonl.gz --to papers.kokeshi --id id --text title,abstract --attr created:date,authors\n  \
        cat lines.txt | kokeshi index - --to lines.kokeshi\n\
        An interrupted run goes on where it stopped: unchanged documents are skipped by content hash.")]
    Index(Index),
    /// Search a collection; interactive when no query is given.
    #[command(after_help = "Examples:\n  \
        kokeshi search \"how small can an embedding be?\" --in my.kokeshi\n  \
        kokeshi search \"graph neural networks\" --in papers.kokeshi --filter 'year:[2018 TO *] AND category:cs.LG' --explain\n\
        The filter is tantivy's query syntax over attributes: terms, \"phrases\", [a TO b] ranges, IN [a b], AND, OR, NOT.")]
    Search(Search),
    /// Find documents that are like one of the collection's.
    #[command(after_help = "Example:\n  kokeshi similar 1706.03762 --in papers.kokeshi -k 5")]
    Similar(Similar),
    /// Show the schema, counts, sizes on disk and model of a collection.
    #[command(after_help = "Example:\n  kokeshi info my.kokeshi")]
    Info(Info),
    /// Remove documents by id or by filter.
    #[command(
        after_help = "Examples:\n  kokeshi delete --in my.kokeshi --id a.md --id b.md\n  kokeshi delete --in my.kokeshi --filter 'year:[* TO 1999]'"
    )]
    Delete(Delete),
    /// Verify every file of a collection against its checksum.
    #[command(after_help = "Example:\n  kokeshi check my.kokeshi")]
    Check(CollectionOnly),
    /// Extend the graph over all vectors and merge small files.
    #[command(
        after_help = "Examples:\n  kokeshi optimize my.kokeshi\n  kokeshi optimize my.kokeshi --index-attr category,year    # graphs for common filters on these"
    )]
    Optimize(Optimize),
    /// Embed all documents again with another model or size, in place.
    #[command(after_help = "Examples:\n  \
        kokeshi reindex my.kokeshi --model ./all-MiniLM-L6-v2\n  \
        kokeshi reindex my.kokeshi --model ./all-MiniLM-L6-v2 --bridge bridge.bin   # searches ask by the new model from now on\n\
        With a bridge an interrupted run goes on with: kokeshi reindex my.kokeshi")]
    Reindex(Reindex),
    /// Serve collections over HTTP, with a web page.
    #[command(
        after_help = "Example:\n  kokeshi serve my.kokeshi --listen 127.0.0.1:7700\n  KOKESHI_API_KEY=secret kokeshi serve a.kokeshi b.kokeshi --listen 0.0.0.0:7700"
    )]
    Serve(Serve),
    /// Turn texts into vectors.
    #[command(after_help = "Examples:\n  \
        echo 'a sentence' | kokeshi embed - --to -\n  \
        kokeshi embed texts.jsonl --field text --to vectors.npy --size 64\n  \
        kokeshi embed texts.parquet --field abstract --id id --to vectors.parquet --model ./all-MiniLM-L6-v2")]
    Embed(Embed),
    /// Sort texts by how relevant a cross-encoder finds them to a query.
    #[command(after_help = "Examples:\n  \
        kokeshi rerank --model ./ms-marco-MiniLM-L6-v2 --query 'how small can an embedding be?' passages.txt --top 5\n  \
        cat candidates.jsonl | kokeshi rerank --model ./Qwen3-Reranker-0.6B --query 'wooden dolls' --field text --json\n\
        The model has a classifier of one or two labels (BERT, RoBERTa, ModernBERT, ...) or answers yes or no (Qwen3-Reranker).")]
    Rerank(Rerank),
    /// Measure retrieval (BEIR directories, run files) or sentence similarity.
    #[command(after_help = "Examples:\n  \
        kokeshi eval scifact/ --mode dense --model ./all-MiniLM-L6-v2 --run-to dense.run\n  \
        kokeshi eval stsb/ --size 64\n  \
        kokeshi eval scifact/ --model ./all-MiniLM-L6-v2 --sizes 2x64,3x128,6x384\n  \
        kokeshi eval --task longembed --lengths 512,2048 --model ./all-MiniLM-L6-v2\n  \
        kokeshi eval scifact/ --run someone-elses.run")]
    Eval(Eval),
    /// Make a small, fast static model from a teacher.
    #[command(
        after_help = "Example:\n  kokeshi distill ./all-MiniLM-L6-v2 --texts corpus/ --to my-static/ --dims 256 --prefixes 32,64,128,256"
    )]
    Distill(Distill),
    /// Train an encoder for several sizes as a recipe says.
    #[command(after_help = "Examples:\n  \
        kokeshi train recipes/1-pairs.toml --dry-run\n  \
        kokeshi train recipes/1-pairs.toml\n\
        An interrupted run goes on where its last checkpoint is: the same command again. See docs/train.md.")]
    Train(TrainRecipe),
    /// Find hard negatives for pairs: texts that look like the positive and are none.
    #[command(after_help = "Examples:\n  \
        kokeshi mine pairs.jsonl --model ./all-MiniLM-L6-v2 --relative-margin 0.05 --to triplets.jsonl\n  \
        kokeshi mine pairs.tsv --corpus corpus.jsonl --corpus-column text --ranks 50-100 --negatives 7 --consistent 50 --take random\n\
        The rows that come out are triplets for kokeshi train. See docs/train.md.")]
    Mine(Mine),
    /// Judge a model at every number of layers, dims and bits.
    #[command(after_help = "Examples:\n  \
        kokeshi sizes ./all-MiniLM-L6-v2 --eval stsb/ --plot grid.svg\n  \
        kokeshi sizes ./all-MiniLM-L6-v2 --eval scifact/ --layers 3,6 --dims 128,384 --bits 32,4,1")]
    Sizes(Sizes),
    /// Make one model out of several of the same kind: averages of weights, or along the arc between two.
    #[command(after_help = "Examples:\n  \
        kokeshi merge model-a/ model-b/ model-c/ --to soup/\n  \
        kokeshi merge model-a/ model-b/ --slerp 0.4 --to between/")]
    Merge(Merge),
    /// Make vectors smaller, knowing what that loses: try codecs, show the front, take one.
    #[command(after_help = "Examples:\n  \
        kokeshi shrink docs.npy --queries queries.npy\n  \
        kokeshi shrink docs.parquet --queries queries.parquet --qrels test.tsv --budget 32MB --out small/\n  \
        kokeshi shrink docs.npy --queries queries.npy --min-recall 0.98 --rescore --out small/\n  \
        kokeshi shrink --in my.kokeshi --bytes-per-vector 64          # the same for a collection, in place\n  \
        kokeshi shrink --in my.kokeshi --codec 'rabitq:4'             # or a codec that is known; --codec none: no codes\n  \
        kokeshi shrink train docs.npy --codec 'pca:128|rabitq:4' --to codec.bin")]
    Shrink(Box<Shrink>),
    /// Let queries of a new model search the vectors of an old one, and say how much that keeps.
    #[command(after_help = "Examples:\n  \
        kokeshi bridge --from kokeshi-static --to ./all-MiniLM-L6-v2 --pairs docs/ --out bridge.bin\n  \
        kokeshi bridge --from kokeshi-static --to ./all-MiniLM-L6-v2 --pairs scifact/corpus.jsonl --judge scifact/\n  \
        kokeshi bridge --from old.npy --to new.npy --out bridge.bin\n  \
        kokeshi bridge apply bridge.bin new-queries.npy --to as-old.npy\n\
        A collection moves to the new model behind a bridge with: kokeshi reindex my.kokeshi --model NEW --bridge bridge.bin")]
    Bridge(Box<Bridge>),
    /// Compare methods on your own data.
    #[command(subcommand)]
    Bench(Bench),
    /// List the published methods behind Kokeshi and how far each one is.
    #[command(after_help = "Example:\n  kokeshi papers --verb find")]
    Papers(Papers),
    /// Run the reproduction of a paper: its claims beside what is measured here.
    #[command(after_help = "Example:\n  kokeshi reproduce mrl --to crates/reproduce/results")]
    Reproduce(Reproduce),
    /// Index the text files of a folder with the compiled-in model, run three searches, say where to go next.
    #[command(after_help = "Example:\n  kokeshi demo")]
    Demo(Demo),
    /// Print a shell completion script.
    #[command(
        after_help = "Example:\n  kokeshi completions bash > ~/.local/share/bash-completion/completions/kokeshi"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write man pages into a folder.
    #[command(after_help = "Example:\n  kokeshi man --to ~/.local/share/man/man1")]
    Man {
        /// The folder; made if missing.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

/// Which model, at which size.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// A sentence-transformers directory or hub id; the small compiled-in model if not given.
    #[arg(long, value_name = "DIR|ID", env = "KOKESHI_MODEL")]
    pub model: Option<String>,
    /// The size to run it at: layers x dims, such as 3x128, or only dims, such as 64.
    #[arg(long, value_name = "SIZE")]
    pub size: Option<Size>,
    #[command(flatten)]
    pub load: LoadArgs,
}

/// How the model computes and how much of a text it reads; a collection keeps it with the model's id.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct LoadArgs {
    /// What it multiplies as; all but f32 give slightly other vectors, and the model's id then ends in it, such as @int8.
    #[arg(long, value_enum, value_name = "PRECISION")]
    pub precision: Option<Precision>,
    /// The most tokens of a text that are read; more than the model was trained on needs --position.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub context: Option<u32>,
    /// How to read more than the model was trained on: gp, rp, pi, pcw, ntk[:lambda=10], selfextend[:g=9,w=64] or
    /// lambda[:n=10]; none leaves positions out (see docs/encode.md).
    #[arg(long, value_name = "METHOD")]
    pub position: Option<Position>,
    /// What attention scores are divided by; below 1, vectors of long texts stay farther apart.
    #[arg(long, value_name = "T")]
    pub temperature: Option<f32>,
}

impl LoadArgs {
    /// Whether any of it is given.
    pub fn given(&self) -> bool {
        *self != Self::default()
    }
}

impl From<&LoadArgs> for LoadOptions {
    fn from(args: &LoadArgs) -> Self {
        Self {
            precision: args.precision.map(Into::into).unwrap_or_default(),
            context: args.context.map(|tokens| tokens as usize),
            position: args.position,
            temperature: args.temperature,
        }
    }
}

/// What a model multiplies as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// The vectors of other libraries, within rounding.
    F32,
    /// Values rounded to 8 bits where the processor multiplies such values: about three times as fast by tiles (AMX), 1.8 times by vectors (AVX-512 BF16);
    /// elsewhere f32.
    Bf16,
    /// Weights and activations as bytes: three to six times as fast.
    Int8,
    /// Weights as bytes, activations as f32: nearer to f32 than int8, a quarter of the memory; for large decoders.
    Int8w,
    /// Weights in four bits, activations as f32: a sixth of the memory, less exact.
    Int4w,
}

impl From<Precision> for kokeshi_encode::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
            Precision::Int8 => Self::Int8,
            Precision::Int8w => Self::Int8Weights,
            Precision::Int4w => Self::Int4Weights,
        }
    }
}

/// How files are read.
#[derive(Debug, Clone, Args)]
pub struct ReadArgs {
    /// The field that identifies a document; found by name if not given.
    #[arg(long, value_name = "FIELD")]
    pub id: Option<String>,
    /// The fields that are searched, joined in this order; the first one called "title" is the title.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub text: Vec<String>,
    /// The fields kept as attributes, each with an optional type: year:integer, created:date, authors:keyword[].
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub attr: Option<Vec<String>>,
    /// What to do with a row that can't be read.
    #[arg(long, value_enum, default_value_t = OnError::Skip)]
    pub on_error: OnError,
}

/// What to do with a row that can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// Report it, go on.
    Skip,
    /// Stop; what was committed stays.
    Fail,
}

/// `kokeshi embed`.
#[derive(Debug, Args)]
pub struct Embed {
    /// Texts: lines, JSONL or Parquet; - for standard input.
    #[arg(default_value = "-")]
    pub input: PathBuf,
    /// Where the vectors go: .npy, .safetensors, .parquet or .jsonl; - for JSONL on standard output.
    #[arg(long, default_value = "-", value_name = "FILE")]
    pub to: PathBuf,
    /// The field or column with the text.
    #[arg(long, value_name = "FIELD")]
    pub field: Option<String>,
    /// The field or column that is copied beside the vector (JSONL and Parquet).
    #[arg(long, value_name = "FIELD")]
    pub id: Option<String>,
    #[command(flatten)]
    pub model: ModelArgs,
    /// Encode as questions or as documents, for models with prompts or other modules for each.
    #[arg(long, value_enum)]
    pub task: Option<Task>,
    /// A prompt to put before each text.
    #[arg(long, conflicts_with = "prompt_name")]
    pub prompt: Option<String>,
    /// A prompt of the model's by its name.
    #[arg(long, value_name = "NAME")]
    pub prompt_name: Option<String>,
    /// Scale vectors to length 1 even if the model does not.
    #[arg(long)]
    pub normalize: bool,
    /// Weights of tokens instead of vectors, as JSONL: the model is a masked language model such as SPLADE.
    #[arg(long, requires = "model", conflicts_with_all = ["size", "task", "prompt", "prompt_name", "normalize"])]
    pub sparse: bool,
}

/// `kokeshi rerank`.
#[derive(Debug, Args)]
pub struct Rerank {
    /// Texts: lines, JSONL or Parquet; - for standard input.
    #[arg(default_value = "-", value_name = "FILE")]
    pub input: PathBuf,
    /// A cross-encoder's directory or hub id.
    #[arg(long, value_name = "DIR|ID", env = "KOKESHI_RERANKER")]
    pub model: String,
    /// What the texts should be relevant to.
    #[arg(long)]
    pub query: String,
    /// How many texts are shown; all if not given.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..))]
    pub top: Option<u16>,
    /// The field or column with the text.
    #[arg(long, value_name = "FIELD")]
    pub field: Option<String>,
    /// The field or column with the id.
    #[arg(long, value_name = "FIELD")]
    pub id: Option<String>,
    #[command(flatten)]
    pub load: LoadArgs,
}

/// Questions or documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Task {
    /// A question.
    Query,
    /// A document.
    Document,
}

/// `kokeshi eval`.
#[derive(Debug, Args)]
pub struct Eval {
    /// A BEIR directory, or a directory or file of sentence pairs (STS); with --task longembed the texts that needles are hidden in.
    #[arg(value_name = "DIR", required_unless_present = "task")]
    pub data: Option<PathBuf>,
    /// A task that is made here: longembed hides facts in long texts and compares the ways to read them (see --position).
    #[arg(long, value_enum, value_name = "TASK", conflicts_with_all = ["run", "baseline", "run_to", "mode", "context", "cut"])]
    pub task: Option<EvalTask>,
    /// The lengths of the task's texts, in tokens.
    #[arg(long, value_delimiter = ',', default_value = "256,512,1024,2048", value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(64..=1_000_000))]
    pub lengths: Vec<u32>,
    /// How many texts of each length; every second one is asked for.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=144))]
    pub documents: u16,
    /// Start of the task's random choices.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// The split of the relevance judgements or pairs.
    #[arg(long, default_value = "test")]
    pub split: String,
    /// Judge this TREC run instead of searching.
    #[arg(long, value_name = "FILE")]
    pub run: Option<PathBuf>,
    /// Compare with this run by a paired test.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// The paired test: random swaps of the two runs' values, or Wilcoxon's signed ranks, exact up to 50 queries that differ.
    #[arg(
        long,
        value_enum,
        value_name = "TEST",
        default_value = "randomisation",
        requires = "baseline"
    )]
    pub test: PairedTest,
    /// Write the run that was judged.
    #[arg(long, value_name = "FILE")]
    pub run_to: Option<PathBuf>,
    /// Which search to judge; all three if not given.
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    #[command(flatten)]
    pub model: ModelArgs,
    /// Judge the model at each of these sizes, by meaning alone; each text is run through the layers once.
    #[arg(long, value_name = "SIZES", value_delimiter = ',', conflicts_with_all = ["size", "mode", "run", "cut", "passage_tokens"])]
    pub sizes: Vec<Size>,
    /// How many documents a query is given.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10000))]
    pub depth: u16,
    /// Judge with the relevance cut on, as searches do by default.
    #[arg(long)]
    pub cut: bool,
    /// Cut documents into passages of this many tokens; 0: one vector a document.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub passage_tokens: usize,
}

/// Tests of paired values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PairedTest {
    /// Paired randomisation.
    Randomisation,
    /// Signed ranks.
    Wilcoxon,
}

/// Tasks whose texts are generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EvalTask {
    /// Retrieval of long documents.
    Longembed,
}

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct TrainRecipe {
    /// The recipe: a TOML file.
    #[arg(value_name = "RECIPE")]
    pub recipe: PathBuf,
    /// Only read everything, try a few steps, and say how much time and memory it will take.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub struct Merge {
    /// Directories or hub ids of one architecture; with --adapter the base alone.
    #[arg(required = true, num_args = 1.., value_name = "MODEL")]
    pub models: Vec<String>,
    /// The directory of the new model.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// What each model counts in the average; all alike if not given.
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    pub weights: Vec<f64>,
    /// Instead of the average: how far from the first model (0) to the second (1), along the arc between them.
    #[arg(long, value_name = "SHARE", conflicts_with = "weights", value_parser = parse_arc)]
    pub slerp: Option<f64>,
    /// Instead: the base with a LoRA adapter in PEFT's layout added to its weights.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["weights", "slerp"])]
    pub adapter: Option<PathBuf>,
}

/// `0.4`: how far along an arc.
fn parse_arc(text: &str) -> Result<f64, String> {
    shrink::share(text, 0.4, |share| (0.0..=1.0).contains(&share))
}

/// `kokeshi distill`.
#[derive(Debug, Args)]
pub struct Distill {
    /// The teacher: a sentence-transformers directory or hub id.
    #[arg(value_name = "TEACHER")]
    pub teacher: String,
    /// Texts to learn from: files and folders in any format that `index` reads.
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    pub texts: Vec<PathBuf>,
    /// The directory of the new model.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Also write the compact int8 form that can be compiled in.
    #[arg(long, value_name = "FILE")]
    pub compact: Option<PathBuf>,
    /// Width of the vectors.
    #[arg(long, default_value_t = 256)]
    pub dims: usize,
    /// The prefixes that the model says it can be used at.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "32,64,128,256",
        value_name = "DIMS"
    )]
    pub prefixes: Vec<usize>,
    /// Start of all random choices.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Only the plain static distillation: no training.
    #[arg(long, conflicts_with = "epochs")]
    pub no_training: bool,
    /// Passes over the spans and bags.
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// At most this many spans of text are shown to the teacher.
    #[arg(long, value_name = "N")]
    pub spans: Option<usize>,
    /// This many bags of words from the teacher's vocabulary are shown to it besides, for words that the texts don't use.
    #[arg(long, value_name = "N")]
    pub bags: Option<usize>,
    /// The fields of the texts, joined; found by name if not given.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub fields: Vec<String>,
    /// Use at most this many texts.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// `kokeshi papers`.
#[derive(Debug, Args)]
pub struct Papers {
    /// Only papers of this verb.
    #[arg(long, value_enum)]
    pub verb: Option<Verb>,
    /// Only papers in this state.
    #[arg(long, value_enum)]
    pub state: Option<State>,
}

/// The part of an embedding's life that a paper is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]

pub enum Verb {
    Make,
    Shrink,
    Find,
    Judge,
    Plan,
}

impl From<Verb> for kokeshi_reproduce::Verb {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Make => Self::Make,
            Verb::Shrink => Self::Shrink,
            Verb::Find => Self::Find,
            Verb::Judge => Self::Judge,
            Verb::Plan => Self::Plan,
        }
    }
}

/// How far a paper is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// Every check passed.
    Works,
    /// Some checks passed.
    Partly,
    /// Nothing was checked, or nothing passed.
    NotYet,
}

impl From<State> for kokeshi_reproduce::State {
    fn from(state: State) -> Self {
        match state {
            State::Works => Self::Works,
            State::Partly => Self::Partly,
            State::NotYet => Self::NotYet,
        }
    }
}

/// `kokeshi reproduce`.
#[derive(Debug, Args)]
pub struct Reproduce {
    /// The paper's id in `kokeshi papers`.
    pub id: String,
    /// The folder of the shared data sets.
    #[arg(
        long,
        env = "KOKESHI_DATA",
        default_value = "../shared/data",
        value_name = "DIR"
    )]
    pub data: PathBuf,
    /// The folder of models.
    #[arg(long, env = "KOKESHI_MODELS", value_name = "DIR")]
    pub models: Option<PathBuf>,
    /// Where the record is written; it is only printed if not given.
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Start of all random choices.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
}

/// `kokeshi demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// The folder whose text files are indexed.
    #[arg(default_value = ".", value_name = "DIR")]
    pub folder: PathBuf,
    /// Keep the collection here instead of in a temporary folder.
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}
