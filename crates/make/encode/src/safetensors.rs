//! Weights on disk: safetensors files, one or several behind an index, memory-mapped and checked before anything is allocated.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::{bf16, f16};
use kokeshi_core::Embeddings;
use memmap2::Mmap;
use serde_json::{Map, Value};

use crate::directory::{self, INDEX, SINGLE};
use crate::error::{Error, Result};

/// The longest header that is believed: ten times that of a 10,000-tensor model.
const HEADER_LIMIT: u64 = 25 << 20;

/// How the values of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I8,
    U8,
}

impl Dtype {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "F64" => Self::F64,
            "F32" => Self::F32,
            "F16" => Self::F16,
            "BF16" => Self::Bf16,
            "I64" => Self::I64,
            "I32" => Self::I32,
            "I8" => Self::I8,
            "U8" => Self::U8,
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }
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
        let values: Vec<f32> = match self.dtype {
            Dtype::F32 => self.map(f32::from_le_bytes),
            Dtype::F16 => self.map(|bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::Bf16 => self.map(|bytes| bf16::from_le_bytes(bytes).to_f32()),
            Dtype::F64 => self.map(|bytes| f64::from_le_bytes(bytes) as f32),
            Dtype::I8 => self.map(|[byte]: [u8; 1]| f32::from(byte as i8)),
            Dtype::U8 => self.map(|[byte]: [u8; 1]| f32::from(byte)),
            Dtype::I32 => self.map(|bytes| i32::from_le_bytes(bytes) as f32),
            Dtype::I64 => self.map(|bytes| i64::from_le_bytes(bytes) as f32),
        };
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(self.wrong(format!("value {at} is {}, expected finite numbers", values[at]))),
            None => Ok(values),
        }
    }

    /// The values as signed integers.
    pub(crate) fn to_i64(&self) -> Result<Vec<i64>> {
        Ok(match self.dtype {
            Dtype::I64 => self.map(i64::from_le_bytes),
            Dtype::I32 => self.map(|bytes| i64::from(i32::from_le_bytes(bytes))),
            Dtype::I8 => self.map(|[byte]: [u8; 1]| i64::from(byte as i8)),
            Dtype::U8 => self.map(|[byte]: [u8; 1]| i64::from(byte)),
            other => return Err(self.wrong(format!("expected integers, found {other:?}"))),
        })
    }

    /// An error about this tensor.
    pub(crate) fn wrong(&self, problem: impl std::fmt::Display) -> Error {
        Error::model(self.path, format!("tensor {}: {problem}", self.name))
    }

    fn map<const N: usize, T>(&self, convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        self.bytes
            .as_chunks::<N>()
            .0
            .iter()
            .map(|bytes| convert(*bytes))
            .collect()
    }
}

struct Entry {
    shard: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Range<usize>,
}

struct Shard {
    path: PathBuf,
    map: Arc<Mmap>,
}

/// The tensors of a model.
pub(crate) struct Weights {
    shards: Vec<Shard>,
    entries: BTreeMap<String, Entry>,
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
        for (name, entry) in parse(&map, self.shards.len()).map_err(|problem| Error::model(path, problem))? {
            self.entries.insert(name, entry);
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
        let (name, entry) = self.entries.get_key_value(name)?;
        let shard = self.shards.get(entry.shard)?;
        Some(Tensor {
            name,
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

/// The entries of a safetensors file's header: name, type, shape, and bytes counted from the start of the file.
fn parse(bytes: &[u8], shard: usize) -> Result<Vec<(String, Entry)>, String> {
    let (length, rest) = bytes
        .split_first_chunk::<8>()
        .ok_or("truncated: no header length")?;
    let length = u64::from_le_bytes(*length);
    if length > HEADER_LIMIT || length > rest.len() as u64 {
        return Err(format!(
            "the header says it is {length} bytes long, expected at most {} (the file's length) and at most {HEADER_LIMIT}",
            rest.len()
        ));
    }
    let (header, data) = rest.split_at(length as usize);
    let start = 8 + header.len();
    let header: Map<String, Value> = serde_json::from_slice(header)
        .map_err(|error| format!("the header is not a JSON object: {error}"))?;
    let mut entries = Vec::with_capacity(header.len());
    for (name, value) in header {
        if name == "__metadata__" {
            continue;
        }
        let wrong = |problem: String| format!("tensor {name}: {problem}");
        let numbers = |field: &str| -> Option<Vec<usize>> {
            let list = value.get(field)?.as_array()?;
            list.iter()
                .map(|number| usize::try_from(number.as_u64()?).ok())
                .collect()
        };
        let kind = value.get("dtype").and_then(Value::as_str).unwrap_or("no dtype");
        let dtype = Dtype::parse(kind).ok_or_else(|| {
            wrong(format!(
                "expected dtype F64, F32, F16, BF16, I64, I32, I8 or U8, found {kind}"
            ))
        })?;
        let shape = numbers("shape").ok_or_else(|| wrong("expected a shape of whole numbers".into()))?;
        let offsets = numbers("data_offsets").unwrap_or_default();
        let [begin, end] = offsets[..] else {
            return Err(wrong("expected data_offsets [begin, end]".into()));
        };
        if begin > end || end > data.len() {
            return Err(wrong(format!(
                "truncated or damaged: data_offsets {begin}..{end} lie outside the {} bytes of data",
                data.len()
            )));
        }
        let needed = shape
            .iter()
            .try_fold(dtype.bytes(), |bytes, side| bytes.checked_mul(*side));
        if needed != Some(end - begin) {
            return Err(wrong(format!(
                "shape {shape:?} of {kind} needs {} bytes, found {}",
                needed.map_or("too many".into(), |needed| needed.to_string()),
                end - begin
            )));
        }
        entries.push((
            name,
            Entry {
                shard,
                dtype,
                shape,
                bytes: start + begin..start + end,
            },
        ));
    }
    Ok(entries)
}
