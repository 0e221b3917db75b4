//! A decoder's weights: one safetensors file, every tensor checked for its shape and for finite values.

use std::path::{Path, PathBuf};

use kokeshi_core::safetensors::header::{self, Entry};
use memmap2::Mmap;

use crate::error::{Error, Result};

/// The tensors of a file.
pub(crate) struct Weights {
    path: PathBuf,
    map: Mmap,
    entries: Vec<Entry>,
}

impl Weights {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(kokeshi_core::Error::io(path))?;
        // SAFETY: Kokeshi never changes weights in place; a file that somebody else truncates meanwhile is outside our contract.
        let map = unsafe { Mmap::map(&file) }.map_err(kokeshi_core::Error::io(path))?;
        let entries = header::parse(&map).map_err(|problem| Error::model(path, problem))?;
        Ok(Self {
            path: path.into(),
            map,
            entries,
        })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    /// The values of the tensor called `name`, of exactly `shape`.
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let wrong = |problem: String| Error::model(&self.path, format!("tensor {name}: {problem}"));
        let found = self.entries.iter().find(|entry| entry.name == name);
        let entry = found.ok_or_else(|| wrong(format!("expected shape {shape:?}, found no such tensor")))?;
        if entry.shape != shape {
            return Err(wrong(format!(
                "expected shape {shape:?}, found {:?}",
                entry.shape
            )));
        }
        let values = entry.dtype.to_f32(&self.map[entry.bytes.clone()]);
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(wrong(format!(
                "value {at} is {}, expected finite numbers",
                values[at]
            ))),
            None => Ok(values),
        }
    }
}
