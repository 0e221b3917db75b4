//! Weights on disk: safetensors files, one or several behind an index, memory-mapped and checked before anything is allocated.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kokeshi_core::Embeddings;
pub(crate) use kokeshi_core::safetensors::header::Dtype;
use kokeshi_core::safetensors::header::{self, Entry};
use memmap2::Mmap;
use serde_json::Value;

use crate::directory::{self, INDEX, SINGLE};
use crate::error::{Error, Result};

/// A safetensors file of f32 tensors: names, shapes and values.
pub fn safetensors_bytes(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), serde_json::json!({"format": "pt"}));
    let mut end = 0;
    for (name, shape, values) in tensors {
        let start = end;
        end += 4 * values.len();
        let place = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
        header.insert((*name).into(), place);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = Vec::with_capacity(8 + header.len() + end);
    file.extend_from_slice(&(header.len() as u64).to_le_bytes());
    file.extend_from_slice(&header);
    for (_, _, values) in tensors {
        file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    file
}

/// One tensor of a file, not yet converted.
pub(crate) struct Tensor<'a> {
    pub(crate) name: &'a str,
    pub(crate) path: &'a Path,
    pub(crate) dtype: Dtype,
    pub(crate) shape: &'a [usize],
    pub(crate) bytes: &'a [u8],
    map: &'a Arc<Mmap>,
    start: usize,
}

impl Tensor<'_> {
    /// A two-dimensional tensor as a matrix: left in the file if its values are f32, else converted.
    pub(crate) fn matrix(&self) -> Result<Embeddings> {
        let &[rows, dims] = self.shape else {
            return Err(self.wrong(format!("expected two dimensions, found {:?}", self.shape)));
        };
        if self.dtype == Dtype::F32
            && let Ok(matrix) = Embeddings::from_map(self.map.clone(), self.start, rows * dims, dims)
        {
            matrix
                .check_finite(self.name)
                .map_err(|error| Error::model(self.path, error.to_string()))?;
            return Ok(matrix);
        }
        Ok(Embeddings::from_vec(self.to_f32()?, dims)?)
    }

    /// The values as f32, whatever float type they are stored in; integers are converted too.
    pub(crate) fn to_f32(&self) -> Result<Vec<f32>> {
        let values = self.dtype.to_f32(self.bytes);
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(self.wrong(format!("value {at} is {}, expected finite numbers", values[at]))),
            None => Ok(values),
        }
    }

    /// The values as signed integers.
    pub(crate) fn to_i64(&self) -> Result<Vec<i64>> {
        self.dtype
            .to_i64(self.bytes)
            .ok_or_else(|| self.wrong(format!("expected integers, found {:?}", self.dtype)))
    }

    /// An error about this tensor.
    pub(crate) fn wrong(&self, problem: impl std::fmt::Display) -> Error {
        Error::model(self.path, format!("tensor {}: {problem}", self.name))
    }
}

struct Shard {
    path: PathBuf,
    map: Arc<Mmap>,
}

/// The tensors of a model.
pub(crate) struct Weights {
    shards: Vec<Shard>,
    /// Every tensor with the number of its shard.
    entries: BTreeMap<String, (usize, Entry)>,
}

impl Weights {
    /// The weights of a folder: `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
    pub(crate) fn open_folder(folder: &Path) -> Result<Self> {
        if folder.join(SINGLE).is_file() {
            return Self::open(&folder.join(SINGLE));
        }
        if folder.join(INDEX).is_file() {
            return Self::open_index(folder);
        }
        let pickle = folder.join("pytorch_model.bin");
        if pickle.is_file() {
            return Err(Error::model(
                &pickle,
                "pickled weights can run code and are not loaded; expected model.safetensors: convert it once with \
                 SentenceTransformer(DIR).save(OTHER_DIR)",
            ));
        }
        Err(Error::model(
            folder,
            format!("expected weights in {SINGLE} or {INDEX}, found neither"),
        ))
    }

    /// The weights of one file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut weights = Self {
            shards: Vec::new(),
            entries: BTreeMap::new(),
        };
        weights.add(path)?;
        Ok(weights)
    }

    fn open_index(folder: &Path) -> Result<Self> {
        let path = folder.join(INDEX);
        let index = directory::read_json(&path)?;
        let Some(files) = index.get("weight_map").and_then(Value::as_object) else {
            return Err(Error::model(&path, "expected an object weight_map, found none"));
        };
        let mut weights = Self {
            shards: Vec::new(),
            entries: BTreeMap::new(),
        };
        let mut seen = std::collections::BTreeSet::new();
        for (tensor, file) in files {
            let name = file.as_str().filter(|name| directory::is_plain_name(name));
            let Some(name) = name else {
                return Err(Error::model(
                    &path,
                    format!("weight_map of {tensor}: expected a file name beside the index, found {file}"),
                ));
            };
            if seen.insert(name) {
                weights.add(&folder.join(name))?;
            }
        }
        match files.keys().find(|tensor| !weights.entries.contains_key(*tensor)) {
            Some(tensor) => Err(Error::model(
                &path,
                format!("weight_map lists tensor {tensor}, which none of the shards holds"),
            )),
            None => Ok(weights),
        }
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let file = File::open(path).map_err(kokeshi_core::Error::io(path))?;
        let length = file.metadata().map_err(kokeshi_core::Error::io(path))?.len();
        if length < 8 {
            return Err(Error::model(
                path,
                format!("truncated: expected a safetensors header, found {length} bytes"),
            ));
        }
        // SAFETY: Kokeshi never changes weights in place; a file that somebody else truncates meanwhile is outside our contract.
        let map = unsafe { Mmap::map(&file) }.map_err(kokeshi_core::Error::io(path))?;
        for entry in header::parse(&map).map_err(|problem| Error::model(path, problem))? {
            self.entries
                .insert(entry.name.clone(), (self.shards.len(), entry));
        }
        self.shards.push(Shard {
            path: path.into(),
            map: Arc::new(map),
        });
        Ok(())
    }

    /// Lets go of the memory that reading took: the values come back from the file if they are read again.
    pub(crate) fn give_back(&self) {
        #[cfg(target_os = "linux")]
        for shard in &self.shards {
            // SAFETY: the map is of a file and nothing writes through it, so that dropped pages are read again from the file. A failure
            // leaves them in memory, which is harmless.
            let _ = unsafe { shard.map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }

    /// Every tensor's name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The tensor called `name`, if there is one.
    pub(crate) fn tensor<'a>(&'a self, name: &str) -> Option<Tensor<'a>> {
        let (shard, entry) = self.entries.get(name)?;
        let shard = self.shards.get(*shard)?;
        Some(Tensor {
            name: &entry.name,
            path: &shard.path,
            dtype: entry.dtype,
            shape: &entry.shape,
            bytes: shard.map.get(entry.bytes.clone())?,
            map: &shard.map,
            start: entry.bytes.start,
        })
    }

    /// The tensor called `name`, of exactly `shape`.
    pub(crate) fn expect<'a>(&'a self, name: &str, shape: &[usize]) -> Result<Tensor<'a>> {
        let Some(tensor) = self.tensor(name) else {
            return Err(Error::model(
                self.path(),
                format!("tensor {name}: expected shape {shape:?}, found no such tensor"),
            ));
        };
        if tensor.shape != shape {
            return Err(tensor.wrong(format!("expected shape {shape:?}, found {:?}", tensor.shape)));
        }
        Ok(tensor)
    }

    /// The values of the tensor called `name`, of exactly `shape`, as f32.
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.expect(name, shape)?.to_f32()
    }

    /// The first file.
    pub(crate) fn path(&self) -> &Path {
        self.shards.first().map_or(Path::new(""), |shard| &shard.path)
    }
}
