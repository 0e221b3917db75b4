//! `manifest.json`: what makes a directory a collection, for programs and people that look before they open it.
//!
//! The truth about a generation is in the payload of its commit ([`crate::state`]), since only that changes atomically with the data.
//! The manifest fixes the format version and repeats what rarely changes; a crash between commit and manifest leaves an old copy,
//! which the next writer renews.

use std::path::Path;

use kokeshi_core::file::write_atomic;
use kokeshi_core::{Metric, Size};
use kokeshi_sources::Schema;

use crate::state::{PassageOptions, State};
use crate::{Error, Result, seal};

/// Its name in the collection's directory.
pub const MANIFEST: &str = "manifest.json";
/// The format that this version writes, and the newest it reads.
pub const FORMAT: u32 = 1;
/// A manifest is small; anything longer isn't one.
const LONGEST: u64 = 1 << 20;

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Manifest {
    /// Format version of the directory.
    pub format: u32,
    /// When the collection was made, RFC 3339.
    pub created: String,
    /// Attributes.
    pub schema: Schema,
    /// What the model is loaded from.
    pub model: String,
    /// The fingerprint of the model.
    pub fingerprint: String,
    /// The size at which the model is used.
    pub size: Size,
    /// Width of the vectors.
    pub dims: usize,
    /// How they are compared.
    pub metric: Metric,
    /// How long texts are cut.
    pub passages: PassageOptions,
}

/// Only what must be read before anything else is understood.
#[derive(serde::Deserialize)]
struct Version {
    format: u32,
}

impl Manifest {
    /// What `state` says.
    pub fn new(state: &State, created: String) -> Self {
        Self {
            format: FORMAT,
            created,
            schema: state.schema.clone(),
            model: state.model.clone(),
            fingerprint: state.fingerprint.clone(),
            size: state.size,
            dims: state.dims,
            metric: state.metric,
            passages: state.passages,
        }
    }

    /// Reads the manifest of the collection in `directory`.
    ///
    /// # Errors
    /// [`Error::NotACollection`], [`Error::Newer`] or [`Error::Damaged`].
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(MANIFEST);
        let none = |problem: &str| Error::NotACollection {
            path: directory.into(),
            problem: problem.into(),
        };
        if !directory.is_dir() {
            return Err(none("there is no such directory"));
        }
        let length = match std::fs::metadata(&path) {
            Ok(meta) if meta.is_file() => meta.len(),
            _ => return Err(none("it has no manifest.json")),
        };
        if length > LONGEST {
            return Err(Error::damaged(
                path,
                format!("expected at most {LONGEST} bytes, found {length}"),
            ));
        }
        let bytes = std::fs::read(&path).map_err(kokeshi_core::Error::io(&path))?;
        let json = seal::unseal(&bytes).map_err(|problem| Error::damaged(&path, problem))?;
        let parse = |error: serde_json::Error| Error::damaged(&path, error.to_string());
        // The version is looked at first: a newer format may have other fields.
        let Version { format } = serde_json::from_slice(&json).map_err(parse)?;
        if format > FORMAT {
            return Err(Error::Newer {
                path,
                found: format,
                supported: FORMAT,
            });
        }
        serde_json::from_slice(&json).map_err(parse)
    }

    /// Writes it to `directory`, whole or not at all.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let json =
            serde_json::to_vec_pretty(self).map_err(|error| Error::Request(format!("manifest: {error}")))?;
        Ok(write_atomic(&directory.join(MANIFEST), &seal::seal(&json))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_format_is_refused_as_such_whatever_else_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MANIFEST);
        std::fs::write(&path, seal::seal(b"{\"format\": 99, \"unheard\": \"of\"}")).unwrap();
        let error = Manifest::read(folder.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("format 99 is newer than this Kokeshi, which reads up to 1"),
            "{error}"
        );
    }
}
