//! What a commit says about itself, kept in the payload of tantivy's commit: the one thing that makes a generation exist.

use kokeshi_core::{Metric, Size};
use kokeshi_sources::Schema;

use crate::cut::Calibration;
use crate::measured::Measured;
use crate::{Fusion, seal};

/// How long texts are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PassageOptions {
    /// The most tokens of a passage, title included.
    pub tokens: usize,
    /// How many tokens two neighbours share.
    pub overlap: usize,
}

/// A file that a generation needs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DataFile {
    /// Its name in the collection's directory.
    pub name: String,
    /// How many rows it covers.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// XXH3 of its values (vectors) or its payload (graph).
    pub checksum: u64,
}

/// Vectors in fewer bytes, which searches scan.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Coded {
    /// The codec as it was asked for, such as `pca:128|rabitq:4`.
    pub spec: String,
    /// What it learnt, and from how many rows; nothing until there are enough rows to learn from.
    pub chain: Option<DataFile>,
    /// Codes of the first `rows` rows.
    pub codes: Option<DataFile>,
    /// How many candidates recalls take.
    #[serde(default)]
    pub measured: Option<Measured>,
}

/// An attribute whose common filters have graphs of their own.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Parted {
    /// Its name.
    pub attribute: String,
    /// The rows there were when the parts were made; 0 if they were not.
    pub rows: u64,
    /// The rows of all parts, one part after the other.
    pub ids: Option<DataFile>,
    /// One for each common filter.
    pub parts: Vec<PartFile>,
}

/// A graph for a common filter.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PartFile {
    /// The filter, such as `category:"cs.CL"`.
    pub name: String,
    /// The graph.
    pub graph: DataFile,
}

impl Parted {
    /// Its files.
    pub fn files(&self) -> impl Iterator<Item = &DataFile> {
        self.ids.iter().chain(self.parts.iter().map(|part| &part.graph))
    }

    /// Without its parts yet.
    pub fn wanted(attribute: &str) -> Self {
        Self {
            attribute: attribute.into(),
            rows: 0,
            ids: None,
            parts: Vec::new(),
        }
    }
}

/// A model that takes over: its queries search the old vectors over a bridge while its own vectors fill in.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Migration {
    /// What the new model is loaded from.
    pub model: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// The size at which it is used.
    pub size: Size,
    /// Width of its vectors.
    pub dims: usize,
    /// How they are compared.
    pub metric: Metric,
    /// The bridge from its queries to the old vectors.
    pub bridge: DataFile,
    /// Its vectors of the first rows; rows of passages that were dead are zeros.
    pub vectors: Vec<DataFile>,
}

impl Migration {
    /// Rows that have new vectors.
    pub fn rows(&self) -> u64 {
        self.vectors.iter().map(|file| file.rows).sum()
    }
}

/// One generation of a collection.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct State {
    /// The number of the commit, from 0 (the empty collection).
    pub generation: u64,
    /// Attributes.
    pub schema: Schema,
    /// What the model is loaded from.
    pub model: String,
    /// The fingerprint of the model that made the vectors.
    pub fingerprint: String,
    /// The size at which it is used.
    pub size: Size,
    /// Width of the vectors.
    pub dims: usize,
    /// How they are compared.
    pub metric: Metric,
    /// How long texts are cut.
    pub passages: PassageOptions,
    /// How hybrid search joins its lists unless the request says otherwise.
    #[serde(default)]
    pub fusion: Fusion,
    /// Vector files in row order.
    pub vectors: Vec<DataFile>,
    /// The graph over the first `rows` rows.
    #[serde(default)]
    pub graph: Option<DataFile>,
    /// Codes of the vectors, if it has a codec.
    #[serde(default)]
    pub codec: Option<Coded>,
    /// Attributes whose common filters have graphs of their own.
    #[serde(default)]
    pub parted: Vec<Parted>,
    /// The model that is taking over, if one is.
    #[serde(default)]
    pub migration: Option<Migration>,
    /// Documents that can be found.
    pub documents: u64,
    /// Their passages.
    pub live: u64,
    /// What scores of unrelated texts look like here.
    #[serde(default)]
    pub calibration: Option<Calibration>,
}

impl State {
    /// Rows of the vector files, dead ones included.
    pub fn rows(&self) -> u64 {
        self.vectors.iter().map(|file| file.rows).sum()
    }

    /// All files that the generation needs, the word index apart.
    pub fn files(&self) -> impl Iterator<Item = &DataFile> {
        let coded = self
            .codec
            .iter()
            .flat_map(|coded| coded.chain.iter().chain(&coded.codes));
        let moving = self.migration.iter();
        let moving = moving.flat_map(|moving| moving.vectors.iter().chain([&moving.bridge]));
        let parted = self.parted.iter().flat_map(Parted::files);
        let own = self.vectors.iter().chain(&self.graph);
        own.chain(coded).chain(parted).chain(moving)
    }

    /// Forgets graphs of common filters: rows get other numbers or vectors. Which attributes are wanted stays.
    pub fn forget_parts(&mut self) {
        for parted in &mut self.parted {
            *parted = Parted::wanted(&parted.attribute);
        }
    }

    /// Rows that have codes.
    pub fn coded_rows(&self) -> u64 {
        let codes = self.codec.as_ref().and_then(|coded| coded.codes.as_ref());
        codes.map_or(0, |codes| codes.rows)
    }

    /// The fingerprint of what encodes queries and new documents: the model that made the vectors, or one behind a bridge.
    pub fn asks_by(&self) -> String {
        match &self.migration {
            None => self.fingerprint.clone(),
            Some(moving) => bridged(&moving.fingerprint, moving.bridge.checksum),
        }
    }

    /// As the payload of a commit.
    pub fn to_payload(&self) -> Result<String, String> {
        let json = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        String::from_utf8(seal::seal(&json)).map_err(|error| error.to_string())
    }

    /// From the payload of a commit.
    pub fn from_payload(payload: &str) -> Result<Self, String> {
        let json = seal::unseal(payload.as_bytes())?;
        serde_json::from_slice(&json).map_err(|error| error.to_string())
    }
}

/// The fingerprint of a model behind a bridge.
pub fn bridged(model: &str, bridge: u64) -> String {
    format!("{model} over the bridge {bridge:016x}")
}
