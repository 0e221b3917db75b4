//! Requests and answers; the command line prints them and the HTTP API speaks them, so their JSON form is public.

use std::collections::BTreeMap;

use kokeshi_index::{Cost, Effort};
use kokeshi_sources::{Attribute, Schema};

/// Which candidates a search takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Words and meaning, fused.
    #[default]
    Hybrid,
    /// Meaning only: nearest vectors.
    Dense,
    /// Words only: BM25.
    Lexical,
}

/// How hybrid search joins the two lists.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Fusion {
    /// Convex combination of normalised scores (Bruch et al., arXiv 2210.11934): `alpha * dense + (1 - alpha) * lexical`.
    Convex {
        /// The weight of the dense score, in [0, 1].
        alpha: f32,
    },
    /// Reciprocal rank fusion, sum of `1 / (k + rank)`.
    Rrf {
        /// The constant; 60 is customary.
        k: f32,
    },
    /// What the collection was set to, or the built-in default.
    #[default]
    Default,
}

/// A search.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// What is looked for. May be empty if `filter` is given: then matching documents come in id order.
    #[serde(default)]
    pub query: String,
    /// Candidates.
    #[serde(default)]
    pub mode: Mode,
    /// A filter over attributes in tantivy's query syntax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// How many hits at most; 10 if not given.
    #[serde(default = "ten")]
    pub k: usize,
    /// Skip this many hits first.
    #[serde(default)]
    pub offset: usize,
    /// How lists are joined.
    #[serde(default)]
    pub fusion: Fusion,
    /// How hard the vector index looks.
    #[serde(default)]
    pub effort: Effort,
    /// Leave out the relevance cut, so that there are always hits.
    #[serde(default)]
    pub no_cut: bool,
    /// Fill `why` of each hit and `explain` of the answer.
    #[serde(default)]
    pub explain: bool,
    /// Count the values of these attributes among the candidates, shown or not: the thousand best by words and by meaning, or all that pass
    /// the filter if the query is empty.
    #[serde(default)]
    pub facets: Vec<String>,
    /// Let a cross-encoder read this many of the best hits with the query and sort them anew: [`crate::Collection::search_reranked`], or
    /// a server with a reranker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<usize>,
}

fn ten() -> usize {
    10
}

/// What a search found.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SearchResponse {
    /// Best first, one a document (its best passage).
    pub hits: Vec<Hit>,
    /// Milliseconds inside the collection, embedding of the query included.
    pub took_ms: f64,
    /// How many hits the relevance cut removed from the first `offset + k`.
    pub cut: usize,
    /// What a user should know, such as "nothing in this collection is about that".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Counts by attribute, if asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facets: BTreeMap<String, Facet>,
    /// How the answer was made, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<Explain>,
}

/// One document found.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hit {
    /// The document.
    pub id: String,
    /// Its title; may be empty.
    pub title: String,
    /// The final score of the pipeline: comparable within one answer.
    pub score: f32,
    /// The best passage.
    pub passage: Passage,
    /// The document's attributes.
    pub attributes: BTreeMap<String, Attribute>,
    /// Which part of the pipeline gave which score, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
}

/// A passage of a document.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Passage {
    /// Its number within the document, from 0.
    pub number: u32,
    /// How many passages the document has.
    pub of: u32,
    /// Its text.
    pub text: String,
    /// Byte ranges of `text` that match words of the query, ascending, not overlapping.
    pub highlights: Vec<[usize; 2]>,
}

/// The scores behind one hit.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Why {
    /// BM25 score and rank from 1, if the passage was among the lexical candidates.
    pub lexical: Option<Part>,
    /// Cosine and rank from 1, if it was among the dense candidates.
    pub dense: Option<Part>,
    /// How unlikely a random pair of this collection is to reach the dense score: the upper tail, in [0, 1].
    pub chance: Option<f64>,
    /// Words of the query that the passage holds.
    pub words: Vec<String>,
    /// The share of the weight (idf) of the query's words that belongs to those, in [0, 1].
    #[serde(default)]
    pub coverage: f32,
    /// What speaks for the hit, for comparison with [`Explain::bar`]: meaning and words together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relevance: Option<f32>,
    /// The score before the reranker's took its place, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_stage: Option<f32>,
    /// The reranker's score, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reranked: Option<f32>,
}

/// One score of the pipeline.
#[derive(Debug, Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Part {
    /// As the stage gave it.
    pub score: f32,
    /// From 1.
    pub rank: u32,
    /// What it added to the final score.
    pub share: f32,
}

/// How an answer was made.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explain {
    /// What the vector index did.
    pub dense: Option<Cost>,
    /// Microseconds that it took.
    #[serde(default)]
    pub dense_us: f64,
    /// The filter whose own graph answered, if one did (`--index-attr`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// How many passages the filter lets through; `None` without a filter.
    pub filter_matches: Option<usize>,
    /// Candidates from words and from meaning.
    pub candidates: [usize; 2],
    /// The share of the weight (idf) of the query's words that belongs to words which the collection knows, in [0, 1].
    #[serde(default)]
    pub known_words: f32,
    /// The relevance below which hits are cut; `None` if the collection is too small to say.
    #[serde(default)]
    pub bar: Option<f32>,
    /// Milliseconds by stage, in order.
    pub stages: Vec<(String, f64)>,
}

/// Counts of an attribute's values.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Facet {
    /// Most frequent first, at most 20: value and number of documents.
    pub values: Vec<(Attribute, u64)>,
    /// Smallest and largest value of a number or date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[Attribute; 2]>,
}

/// What a collection is.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Info {
    /// The directory's name.
    pub name: String,
    /// Format version.
    pub format: u32,
    /// The number of the last commit.
    pub generation: u64,
    /// Documents that can be found.
    pub documents: u64,
    /// Their passages.
    pub passages: u64,
    /// Attributes.
    pub schema: Schema,
    /// Id of the model.
    pub model: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Width of the vectors.
    pub dims: usize,
    /// The size at which the model is used, layers x dims; `*` is all there is.
    #[serde(default)]
    pub size: String,
    /// Bytes on disk by part: text, vectors, graph, total.
    pub bytes: BTreeMap<String, u64>,
    /// Rows of the vector files, deleted ones included, and how many of them the graph covers.
    pub rows: u64,
    /// See `rows`.
    pub graph_rows: u64,
    /// The codec whose codes searches scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<CodecInfo>,
    /// Attributes whose common filters have graphs of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexed: Vec<IndexedInfo>,
    /// The model that is taking over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationInfo>,
}

/// An attribute whose common filters have graphs of their own.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IndexedInfo {
    /// Its name.
    pub attribute: String,
    /// How many graphs there are: one for each common filter.
    pub parts: usize,
    /// The rows of all graphs together; a row is in as many as it passes filters.
    pub part_rows: u64,
    /// Rows of the collection when they were made; later ones are compared one by one until they are made anew.
    pub rows: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// The codec of a collection.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CodecInfo {
    /// As it was asked for, such as `pca:128|rabitq:4`.
    pub codec: String,
    /// Bytes of a code; 0 until there are rows to learn from.
    pub code_bytes: usize,
    /// Rows that have codes; the others are compared by their vectors.
    pub rows: u64,
    /// Candidates by codes that are ordered by their vectors for ten hits, at least, unless a search asks for another recall or effort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidates: Option<usize>,
    /// The recall@10 that so many candidates had for rows that the codec did not learn from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<f32>,
}

/// A model that takes over from the one that made a collection's vectors: it asks over a bridge while its own vectors fill in.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MigrationInfo {
    /// Id of the new model.
    pub model: String,
    /// Width of its vectors.
    pub dims: usize,
    /// The size at which it is used.
    pub size: String,
    /// Rows that have its vectors.
    pub rows: u64,
    /// How much the bridge keeps: the share of the ten nearest old vectors that bridged queries find, measured when it was learnt.
    pub kept: f64,
}
