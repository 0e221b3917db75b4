//! Vectors written to files, batch by batch: `.npy`, `.safetensors`, Parquet and JSON Lines; and read back ([`read()`]).
//!
//! | format | ids | read by |
//! |---|---|---|
//! | `.npy` | not kept, rows are in the order of the texts | `numpy.load(path, mmap_mode="r")` |
//! | `.safetensors` | not kept; one tensor `embeddings` | `safetensors.numpy.load_file(path)["embeddings"]` |
//! | `.parquet` | column `id`, column `embedding` (`list<float>`) | pandas, Polars, DuckDB, Spark |
//! | `.jsonl` | `{"id": ..., "embedding": [...]}`; sparse ones `{"id": ..., "indices": [...], "values": [...], "tokens": [...]}` | anything |
//!
//! A file appears under its name when [`VectorWriter::finish`] is done; until then, and after a failure, what was there before is untouched.

use std::io::Write;
use std::path::{Path, PathBuf};

use kokeshi_core::{Error, Result};

mod jsonl;
mod npy;
mod parquet;
mod read;
mod read_parquet;
mod safetensors;

pub use jsonl::{JsonlVectors, SparseJsonl, SparseRow};
pub use read::{NamedVectors, read};

/// How vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VectorFormat {
    /// A NumPy array `[rows, dims]` of f32.
    Npy,
    /// One f32 tensor `embeddings` of shape `[rows, dims]`.
    Safetensors,
    /// Columns `id` and `embedding`.
    Parquet,
    /// One object a line.
    Jsonl,
}

impl VectorFormat {
    /// By the ending of the name.
    ///
    /// # Errors
    /// [`Error::Parse`] if it is none of the known ones.
    pub fn of(path: &Path) -> Result<Self> {
        let ending = path
            .extension()
            .map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        match ending.as_deref() {
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::Safetensors),
            Some("parquet" | "pq") => Ok(Self::Parquet),
            Some("jsonl" | "ndjson") => Ok(Self::Jsonl),
            _ => Err(Error::Parse {
                what: "the name of the file for vectors".into(),
                expected: "an ending .npy, .safetensors, .parquet or .jsonl".into(),
                found: path.display().to_string(),
            }),
        }
    }
}

/// Takes vectors in batches; memory stays in proportion to a batch.
pub trait VectorWriter {
    /// Appends `rows`, `[ids.len(), dims]` values.
    ///
    /// # Errors
    /// [`Error::Dims`] if there are not `dims` values an id, [`Error::Io`] if the system refuses.
    fn append(&mut self, ids: &[&str], rows: &[f32]) -> Result<()>;

    /// Ends the file and gives it its name; returns the number of rows.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    fn finish(self: Box<Self>) -> Result<u64>;
}

/// Begins a file of vectors `dims` wide.
///
/// # Errors
/// [`Error::Io`] if it can't be made, [`Error::Parse`] if `dims` is 0.
pub fn create(path: &Path, format: VectorFormat, dims: usize) -> Result<Box<dyn VectorWriter>> {
    if dims == 0 {
        return Err(Error::Parse {
            what: format!("vectors for {}", path.display()),
            expected: "at least one dimension".into(),
            found: "0".into(),
        });
    }
    let part = Part::new(path);
    Ok(match format {
        VectorFormat::Npy => Box::new(npy::NpyVectors::create(part, dims)?),
        VectorFormat::Safetensors => Box::new(safetensors::SafetensorsVectors::create(part, dims)?),
        VectorFormat::Parquet => Box::new(parquet::ParquetVectors::create(part, dims)?),
        VectorFormat::Jsonl => Box::new(JsonlVectors::create(part, dims)?),
    })
}

/// Fails unless there are `dims` values an id.
fn check(ids: &[&str], rows: &[f32], dims: usize) -> Result<()> {
    if rows.len() == ids.len() * dims {
        return Ok(());
    }
    Err(Error::Dims {
        what: format!("{} vectors", ids.len()),
        expected: dims,
        found: rows.len() / ids.len().max(1),
    })
}

/// The file under a name that says that it is not finished; removed if it never is.
struct Part {
    path: PathBuf,
    part: PathBuf,
    finished: bool,
}

impl Part {
    fn new(path: &Path) -> Self {
        let mut part = path.as_os_str().to_owned();
        part.push(format!(".part-{}", std::process::id()));
        Self {
            path: path.into(),
            part: part.into(),
            finished: false,
        }
    }

    fn open(&self) -> Result<std::io::BufWriter<std::fs::File>> {
        let file = std::fs::File::create(&self.part).map_err(Error::io(&self.path))?;
        Ok(std::io::BufWriter::with_capacity(256 << 10, file))
    }

    /// Makes what was written last, and gives it its name.
    fn publish(mut self, file: std::io::BufWriter<std::fs::File>) -> Result<()> {
        file.into_inner()
            .map_err(std::io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .map_err(Error::io(&self.path))?;
        self.rename()
    }

    fn rename(&mut self) -> Result<()> {
        std::fs::rename(&self.part, &self.path).map_err(Error::io(&self.path))?;
        self.finished = true;
        kokeshi_core::file::sync_folder(self.path.parent().unwrap_or(Path::new(".")))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.finished {
            // If it can't be removed, its name still says that it is not finished.
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

/// Little-endian bytes.
fn write_values(file: &mut impl Write, rows: &[f32]) -> std::io::Result<()> {
    if cfg!(target_endian = "little") {
        return file.write_all(kokeshi_core::npy::as_bytes(rows));
    }
    rows.iter()
        .try_for_each(|value| file.write_all(&value.to_le_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) -> u64 {
        let mut writer = create(path, VectorFormat::of(path).unwrap(), 3).unwrap();
        for batch in 0..5 {
            let names: Vec<String> = (0..700).map(|row| format!("d{}", batch * 700 + row)).collect();
            let ids: Vec<&str> = names.iter().map(String::as_str).collect();
            let rows: Vec<f32> = (0..2100)
                .map(|value| (batch * 2100 + value) as f32 / 8.0)
                .collect();
            writer.append(&ids, &rows).unwrap();
        }
        assert!(!path.exists(), "a file has its name only when it is finished");
        writer.finish().unwrap()
    }

    #[test]
    fn every_format_holds_all_rows_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["v.npy", "v.safetensors", "v.parquet", "v.jsonl"] {
            assert_eq!(write(&path(name)), 3500, "{name}");
        }
        let expected: Vec<f32> = (0..10_500).map(|value| value as f32 / 8.0).collect();
        assert_eq!(
            kokeshi_core::npy::open(&path("v.npy")).unwrap().as_slice(),
            expected
        );

        let bytes = std::fs::read(path("v.safetensors")).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        assert_eq!(header["embeddings"]["shape"], serde_json::json!([3500, 3]));
        assert_eq!(
            header["embeddings"]["data_offsets"],
            serde_json::json!([0, 42_000])
        );
        assert_eq!(&bytes[8 + length..], kokeshi_core::npy::as_bytes(&expected));

        for name in ["v.parquet", "v.jsonl"] {
            let options = crate::SourceOptions {
                attributes: Some(vec!["embedding:float[]".into()]),
                ..Default::default()
            };
            let source = crate::Source::open(&[path(name)], options).unwrap();
            let documents: Vec<_> = source.documents().map(|document| document.unwrap()).collect();
            assert_eq!(documents.len(), 3500, "{name}");
            assert_eq!(documents[3499].id, "d3499");
            let last: Vec<_> = expected[10_497..]
                .iter()
                .map(|value| crate::Attribute::Float(f64::from(*value)))
                .collect();
            assert_eq!(
                documents[3499].attributes["embedding"],
                crate::Attribute::List(last)
            );
        }
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            4,
            "no part is left over"
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.npy");
        let mut writer = create(&path, VectorFormat::Npy, 3).unwrap();
        let error = writer.append(&["a"], &[1.0, 2.0]).unwrap_err();
        assert_eq!(error.to_string(), "1 vectors: expected 3 dimensions, found 2");
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(create(&path, VectorFormat::Npy, 0).is_err());
        for name in ["v.npy", "v.safetensors", "v.parquet", "v.jsonl"] {
            let path = folder.path().join("missing").join(name);
            let refused = create(&path, VectorFormat::of(&path).unwrap(), 3).map(|_| ());
            let error = refused.unwrap_err().to_string();
            assert!(error.starts_with(&format!("{}: ", path.display())), "{error}");
        }
        let error = VectorFormat::of(Path::new("v.csv")).unwrap_err();
        assert!(
            error
                .to_string()
                .contains(".npy, .safetensors, .parquet or .jsonl"),
            "{error}"
        );
    }
}
