//! The sentence-transformers directory: `modules.json`, the model's configuration files, and the rules for what is missing.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};

/// The largest configuration file that is read; real ones are a few kB.
const JSON_LIMIT: u64 = 64 << 20;

/// How many bytes of a file are read at once for its checksum; fits the second-level cache.
const PIECE: u64 = 512 << 10;

/// The kinds of modules that a pipeline is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Transformer,
    StaticEmbedding,
    /// Kokeshi's own; see `bytes_to_words.rs`.
    BytesToWords,
    Pooling,
    Dense,
    LayerNorm,
    Normalize,
    Dropout,
    /// Other modules for each task; see `router.rs`.
    Router,
}

impl Kind {
    /// What an error lists.
    pub(crate) const KNOWN: &str = "Transformer, StaticEmbedding, Pooling, Dense, LayerNorm, Normalize, Dropout and Router of sentence_transformers, and kokeshi.BytesToWords";

    /// The kind of a `type` string: `sentence_transformers.models.Pooling` as every release up to 5 writes it, or release 6's
    /// `sentence_transformers.sentence_transformer.modules.pooling.Pooling`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        if name == "kokeshi.BytesToWords" {
            return Some(Self::BytesToWords);
        }
        let class = name.strip_prefix("sentence_transformers.")?.rsplit('.').next()?;
        Some(match class {
            "Transformer" => Self::Transformer,
            "StaticEmbedding" => Self::StaticEmbedding,
            "Pooling" => Self::Pooling,
            "Dense" => Self::Dense,
            "LayerNorm" => Self::LayerNorm,
            "Normalize" => Self::Normalize,
            "Dropout" => Self::Dropout,
            "Router" | "Asym" => Self::Router,
            _ => return None,
        })
    }
}

/// One line of `modules.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) kind: Kind,
    /// The folder with the module's files.
    pub(crate) folder: PathBuf,
}

/// The modules of the model in `root`, in order. A directory without `modules.json` is a transformer with mean pooling, as in
/// sentence-transformers, or a model2vec model if its `config.json` says so.
pub(crate) fn modules(root: &Path) -> Result<Vec<Listed>> {
    let path = root.join("modules.json");
    if !path.is_file() {
        return Ok(undeclared(root));
    }
    let list = read_json(&path)?;
    let Some(list) = list.as_array() else {
        return Err(Error::model(&path, "expected a list of modules"));
    };
    let mut modules = Vec::with_capacity(list.len());
    for (index, entry) in list.iter().enumerate() {
        let text = |field: &str| entry.get(field).and_then(Value::as_str);
        let name = text("type").unwrap_or("no type");
        let Some(kind) = Kind::parse(name) else {
            return Err(Error::model(
                &path,
                format!(
                    "module {index}: type {name} is not supported; supported are {}",
                    Kind::KNOWN
                ),
            ));
        };
        let folder = text("path").unwrap_or("");
        if !is_inside(folder) {
            return Err(Error::model(
                &path,
                format!("module {index}: expected a path inside the model, found {folder:?}"),
            ));
        }
        let order = entry.get("idx").and_then(Value::as_u64).unwrap_or(index as u64);
        modules.push((
            order,
            Listed {
                kind,
                folder: root.join(folder),
            },
        ));
    }
    if modules.is_empty() {
        return Err(Error::model(&path, "the list of modules is empty"));
    }
    modules.sort_by_key(|(order, _)| *order);
    Ok(modules.into_iter().map(|(_, module)| module).collect())
}

fn undeclared(root: &Path) -> Vec<Listed> {
    let listed = |kind| Listed {
        kind,
        folder: root.into(),
    };
    let config = read_json(&root.join("config.json")).unwrap_or(Value::Null);
    if config.get("model_type").and_then(Value::as_str) != Some("model2vec") {
        tracing::warn!(model = %root.display(), "no modules.json: taking it for a transformer with mean pooling");
        return vec![listed(Kind::Transformer), listed(Kind::Pooling)];
    }
    let mut modules = vec![listed(Kind::StaticEmbedding)];
    if config.get("normalize").and_then(Value::as_bool) == Some(true) {
        modules.push(listed(Kind::Normalize));
    }
    modules
}

/// A checksum over the names and contents of the files that loading reads. Others, such as a vocabulary that only other tools read, don't
/// count: a model has the same checksum whichever tool downloaded it.
pub(crate) fn fingerprint(root: &Path, modules: &[Listed]) -> Result<u64> {
    let mut folders: Vec<&Path> = modules.iter().map(|module| module.folder.as_path()).collect();
    folders.push(root);
    let mut files = std::collections::BTreeSet::new();
    // A module without files, such as Normalize, often has no folder either.
    for folder in folders.into_iter().filter(|folder| folder.is_dir()) {
        let has_single = folder.join(SINGLE).is_file();
        let entries = std::fs::read_dir(folder).map_err(kokeshi_core::Error::io(folder))?;
        for entry in entries {
            let path = entry.map_err(kokeshi_core::Error::io(folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| is_read(name, has_single)) && path.is_file() {
                files.insert(path);
            }
        }
    }
    let (mut sums, mut piece) = (Vec::new(), Vec::new());
    for path in files {
        let name = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .to_string_lossy()
            .into_owned();
        let mut file = std::fs::File::open(&path).map_err(kokeshi_core::Error::io(&path))?;
        sums.extend_from_slice(name.as_bytes());
        // In pieces, so that a large model does not need its size in memory once more.
        loop {
            piece.clear();
            (&mut file)
                .take(PIECE)
                .read_to_end(&mut piece)
                .map_err(kokeshi_core::Error::io(&path))?;
            sums.extend_from_slice(&(piece.len() as u64).to_le_bytes());
            sums.extend_from_slice(&kokeshi_core::file::checksum(&piece).to_le_bytes());
            if piece.is_empty() {
                break;
            }
        }
    }
    Ok(kokeshi_core::file::checksum(&sums))
}

/// Whether `path` names a place inside the directory it is relative to.
pub(crate) fn is_inside(path: &str) -> bool {
    Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// The one weights file that most models have.
pub(crate) const SINGLE: &str = "model.safetensors";
/// What a model has instead if its weights are spread over several files.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// Whether loading reads a file of this name in a module's folder, which holds a [`SINGLE`] or not.
pub(crate) fn is_read(name: &str, has_single: bool) -> bool {
    match name {
        SINGLE
        | "modules.json"
        | "config.json"
        | "config_sentence_transformers.json"
        | "tokenizer.json"
        | "tokenizer_config.json"
        | crate::router::NAME => true,
        INDEX => !has_single,
        name if name.ends_with(".safetensors") => !has_single,
        name => crate::transformer::CONFIGS.contains(&name),
    }
}

/// Whether `name` is the name of a file in the same folder.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !name.contains(['/', '\\'])
}

/// Reads a JSON file of bounded size.
pub(crate) fn read_json(path: &Path) -> Result<Value> {
    let length = std::fs::metadata(path)
        .map_err(kokeshi_core::Error::io(path))?
        .len();
    if length > JSON_LIMIT {
        return Err(Error::model(
            path,
            format!("expected at most {JSON_LIMIT} bytes of JSON, found {length}"),
        ));
    }
    let bytes = std::fs::read(path).map_err(kokeshi_core::Error::io(path))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::model(path, format!("not JSON: {error}")))
}

/// Reads a JSON object; a missing file is an empty one.
pub(crate) fn read_optional(path: &Path) -> Result<Fields> {
    let value = if path.is_file() {
        read_json(path)?
    } else {
        Value::Object(serde_json::Map::new())
    };
    Fields::new(path, value)
}

/// The most tokens that the directory's files say.
pub(crate) fn limit(root: &Path) -> Result<usize> {
    let declared = read_optional(&root.join("sentence_bert_config.json"))?.count("max_seq_length")?;
    let limit = match declared {
        Some(limit) => limit,
        None => read_optional(&root.join("tokenizer_config.json"))?
            .count("model_max_length")?
            .unwrap_or(usize::MAX),
    };
    Ok(limit.max(1))
}

/// A JSON object that remembers its file, so that a wrong field can be named.
pub(crate) struct Fields {
    path: PathBuf,
    /// The object inside the file, with a full stop at the end; empty: all of it.
    within: String,
    value: Value,
}

impl Fields {
    /// The object in the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Self::new(path, read_json(path)?)
    }

    fn new(path: &Path, value: Value) -> Result<Self> {
        if !value.is_object() {
            return Err(Error::model(path, "expected a JSON object"));
        }
        Ok(Self {
            path: path.into(),
            within: String::new(),
            value,
        })
    }

    /// An object inside this one that may be missing.
    pub(crate) fn object(&self, field: &str) -> Result<Option<Self>> {
        match self.get(field) {
            None => Ok(None),
            Some(value) if value.is_object() => Ok(Some(Self {
                path: self.path.clone(),
                within: format!("{}{field}.", self.within),
                value: value.clone(),
            })),
            Some(value) => Err(self.wrong(field, format!("expected an object, found {value}"))),
        }
    }

    /// Every field with its value.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        let entries = self.value.as_object().into_iter().flatten();
        entries.map(|(field, value)| (field.as_str(), value))
    }

    /// A field that is there and not null.
    pub(crate) fn get(&self, field: &str) -> Option<&Value> {
        self.value.get(field).filter(|value| !value.is_null())
    }

    /// A true or false.
    pub(crate) fn flag(&self, field: &str) -> Result<Option<bool>> {
        self.typed(field, "true or false", Value::as_bool)
    }

    /// A text.
    pub(crate) fn text(&self, field: &str) -> Result<Option<&str>> {
        self.typed(field, "a text", Value::as_str)
    }

    /// A number.
    pub(crate) fn number(&self, field: &str) -> Result<Option<f64>> {
        self.typed(field, "a number", Value::as_f64)
    }

    /// A count that may be missing.
    pub(crate) fn count(&self, field: &str) -> Result<Option<usize>> {
        // `model_max_length` is 1e30 in tokenizers that have no limit: a float, and more than any count.
        self.typed(field, "a whole number", |value| {
            let whole = value
                .as_u64()
                .map(|count| usize::try_from(count).unwrap_or(usize::MAX));
            whole.or_else(|| value.as_f64().filter(|float| *float >= 1e15).map(|_| usize::MAX))
        })
    }

    /// A size that must be there, from 1 to `limit`.
    pub(crate) fn size(&self, field: &str, limit: usize) -> Result<usize> {
        match self.count(field)? {
            Some(size) if (1..=limit).contains(&size) => Ok(size),
            Some(size) => Err(self.wrong(field, format!("expected 1 to {limit}, found {size}"))),
            None => Err(self.wrong(field, format!("expected 1 to {limit}, found nothing"))),
        }
    }

    /// An error about a field.
    pub(crate) fn wrong(&self, field: &str, problem: impl std::fmt::Display) -> Error {
        Error::model(&self.path, format!("{}{field}: {problem}", self.within))
    }

    fn typed<'a, T>(
        &'a self,
        field: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        read(value)
            .map(Some)
            .ok_or_else(|| self.wrong(field, format!("expected {expected}, found {value}")))
    }
}
