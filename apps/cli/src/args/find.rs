//! The flags of the commands on collections.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{LoadArgs, ModelArgs, ReadArgs};

/// `kokeshi index`.
#[derive(Debug, Args)]
pub struct Index {
    /// Files and folders, or - for standard input.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The collection; made if it does not exist.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    #[command(flatten)]
    pub read: ReadArgs,
    #[command(flatten)]
    pub model: ModelArgs,
    /// Keep codes of this codec in memory and scan them, such as prefix:256|rabitq:4 (see `kokeshi shrink`); the vectors stay on disk and
    /// order the best of them. Set when a collection is made; `kokeshi shrink --in` changes it.
    #[arg(long, value_name = "CODEC")]
    pub codec: Option<kokeshi_codec::Spec>,
    /// Give graphs of their own to common filters on these attributes, such as category,year: searches with such filters get several times as
    /// fast. `none` takes them away. Also for a collection that is there.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub index_attr: Option<Vec<String>>,
    /// The most tokens in a passage; 0: a document is one passage.
    #[arg(long, value_name = "N")]
    pub passage_tokens: Option<usize>,
    /// Tokens that neighbouring passages share.
    #[arg(long, value_name = "N")]
    pub passage_overlap: Option<usize>,
    /// Show the detected fields and types, index nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Memory for the text index while it is built, in MB.
    #[arg(long, value_name = "MB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=65536))]
    pub memory: u32,
}

/// Which candidates a search takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Words and meaning together.
    Hybrid,
    /// Meaning only.
    Dense,
    /// Words only (BM25).
    Lexical,
}

impl From<Mode> for kokeshi_collection::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Hybrid => Self::Hybrid,
            Mode::Dense => Self::Dense,
            Mode::Lexical => Self::Lexical,
        }
    }
}

/// Flags that all searches share.
#[derive(Debug, Clone, Args)]
pub struct SearchArgs {
    /// The collection.
    #[arg(long = "in", value_name = "DIR")]
    pub collection: PathBuf,
    /// Only documents whose attributes match: tantivy's query syntax.
    #[arg(long, value_name = "QUERY", allow_hyphen_values = true)]
    pub filter: Option<String>,
    /// How many hits at most.
    #[arg(short, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10000))]
    pub k: u16,
}

/// `kokeshi search`.
#[derive(Debug, Args)]
pub struct Search {
    /// What to look for; asks for queries one after the other if not given.
    pub query: Option<String>,
    #[command(flatten)]
    pub common: SearchArgs,
    /// Which candidates to take.
    #[arg(long, value_enum, default_value_t = Mode::Hybrid)]
    pub mode: Mode,
    /// Show which part of the pipeline gave which score.
    #[arg(long)]
    pub explain: bool,
    /// Keep hits that the relevance cut would remove.
    #[arg(long)]
    pub no_cut: bool,
    /// Compare with every vector instead of using the graph.
    #[arg(long, conflicts_with = "effort")]
    pub exact: bool,
    /// The length of the graph search's candidate list.
    #[arg(long, value_name = "L")]
    pub effort: Option<usize>,
    /// The share of the 10 nearest vectors that should be found, such as 0.95, as measured when the index was built; 1 compares with all.
    #[arg(long, value_name = "SHARE", conflicts_with_all = ["effort", "exact"])]
    pub recall: Option<f32>,
    /// Join the lists by reciprocal rank fusion with this constant.
    #[arg(long, value_name = "K", conflicts_with = "alpha")]
    pub rrf: Option<f32>,
    /// Join the lists by a convex combination with this weight of the dense score.
    #[arg(long, value_name = "WEIGHT")]
    pub alpha: Option<f32>,
    /// Let this cross-encoder (a directory or hub id) read the best hits with the query and sort them anew.
    #[arg(long, value_name = "DIR|ID")]
    pub rerank: Option<String>,
    /// How many of the best hits it reads.
    #[arg(long, value_name = "N", default_value_t = 50, requires = "rerank", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub rerank_depth: u16,
    /// Count the values of these attributes among the candidates, shown or not: the thousand best by words and by meaning, or all that pass
    /// the filter if the query is empty.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub facets: Vec<String>,
}

/// `kokeshi similar`.
#[derive(Debug, Args)]
pub struct Similar {
    /// The id of a document in the collection.
    pub id: String,
    #[command(flatten)]
    pub common: SearchArgs,
}

/// `kokeshi info`.
#[derive(Debug, Args)]
pub struct Info {
    /// The collection.
    #[arg(value_name = "DIR")]
    pub collection: PathBuf,
}

/// `kokeshi delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// The collection.
    #[arg(long = "in", value_name = "DIR")]
    pub collection: PathBuf,
    /// The id of a document; may be given many times.
    #[arg(long = "id", value_name = "ID", required_unless_present = "filter")]
    pub ids: Vec<String>,
    /// Every document whose attributes match.
    #[arg(
        long,
        value_name = "QUERY",
        conflicts_with = "ids",
        allow_hyphen_values = true
    )]
    pub filter: Option<String>,
}

/// Commands that take only a collection.
#[derive(Debug, Args)]
pub struct CollectionOnly {
    /// The collection.
    #[arg(value_name = "DIR")]
    pub collection: PathBuf,
}

/// `kokeshi optimize`.
#[derive(Debug, Args)]
pub struct Optimize {
    /// The collection.
    #[arg(value_name = "DIR")]
    pub collection: PathBuf,
    /// Give graphs of their own to common filters on these attributes, such as category,year, and to no others; `none` takes them away.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub index_attr: Option<Vec<String>>,
}

/// `kokeshi reindex`.
#[derive(Debug, Args)]
pub struct Reindex {
    /// The collection.
    #[arg(value_name = "DIR")]
    pub collection: PathBuf,
    #[command(flatten)]
    pub model: ModelArgs,
    /// A bridge from the new model to the collection's own (`kokeshi bridge`): searches use it while vectors fill in.
    #[arg(long, value_name = "FILE")]
    pub bridge: Option<PathBuf>,
}

/// `kokeshi serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Collections; each is served under its directory's name.
    #[arg(required = true, value_name = "DIR")]
    pub collections: Vec<PathBuf>,
    /// Address and port.
    #[arg(long, default_value = "127.0.0.1:7700", value_name = "HOST:PORT")]
    pub listen: std::net::SocketAddr,
    /// Whoever sends this key may read and write.
    #[arg(long, env = "KOKESHI_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub api_key: Option<String>,
    /// Whoever sends this key may read.
    #[arg(long, env = "KOKESHI_READ_KEY", hide_env_values = true, value_name = "KEY")]
    pub read_key: Option<String>,
    /// Listen on a public address without any key.
    #[arg(long)]
    pub insecure: bool,
    /// The largest request body, in MB.
    #[arg(long, default_value_t = 32, value_name = "MB", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub max_body: u32,
    /// Searches and embeddings that run at once; the number of cores if not given.
    #[arg(long, value_name = "N")]
    pub concurrency: Option<usize>,
    /// Searches and embeddings that may wait for their turn; the rest are told to come back (503).
    #[arg(long, value_name = "N")]
    pub queue: Option<usize>,
    /// An origin whose pages may call the API from a browser, or *; may be given many times.
    #[arg(long, value_name = "ORIGIN")]
    pub cors: Vec<String>,
    /// A host name by which the server may be called, beside localhost; may be given many times.
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// The model behind /v1/embeddings beside the collections' own; the compiled-in one if not given.
    #[arg(long, value_name = "DIR|ID", env = "KOKESHI_MODEL")]
    pub model: Option<String>,
    #[command(flatten)]
    pub load: LoadArgs,
    /// A cross-encoder for /v1/rerank and for searches with "rerank".
    #[arg(long, value_name = "DIR|ID", env = "KOKESHI_RERANKER")]
    pub reranker: Option<String>,
    /// A masked language model for /v1/embed_sparse.
    #[arg(long, value_name = "DIR|ID")]
    pub sparse: Option<String>,
}
