//! Vectors read back from files, of whatever program wrote them: `.npy`, `.safetensors`, `.fvecs`, `.bvecs`, Parquet and JSON Lines.

use std::io::{BufRead, Read};
use std::path::Path;

use kokeshi_core::{Embeddings, Error, Result, npy, safetensors, vecs};

/// Vectors with the names that their file gives them.
#[derive(Debug)]
pub struct NamedVectors {
    /// `[rows, dims]`; memory-mapped where the format allows it.
    pub vectors: Embeddings,
    /// A name a row, if the format has them (Parquet and JSON Lines with a field `id`).
    pub ids: Option<Vec<String>>,
}

/// The longest line of JSON Lines that is read: a vector of the widest models takes a hundredth of it.
const LONGEST_LINE: u64 = 16 << 20;

/// Reads all vectors of a file, whose ending says what it is.
///
/// Values are taken as they are: see [`Embeddings::check_finite`].
///
/// # Errors
/// [`Error::Parse`] for an unknown ending; [`Error::Io`], or [`Error::File`] with the row and what is wrong with it.
pub fn read(path: &Path) -> Result<NamedVectors> {
    let ending = path
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase();
    let unnamed = |vectors| NamedVectors { vectors, ids: None };
    match ending.as_str() {
        "npy" => npy::open(path).map(unnamed),
        "safetensors" => safetensors::open(path, None).map(unnamed),
        "fvecs" => vecs::read_fvecs(path).map(unnamed),
        "bvecs" => vecs::read_bvecs(path).map(unnamed),
        "parquet" | "pq" => super::read_parquet::read(path),
        "jsonl" | "ndjson" => jsonl(path),
        _ => Err(Error::Parse {
            what: "the name of a file of vectors".into(),
            expected: "an ending .npy, .safetensors, .fvecs, .bvecs, .parquet or .jsonl".into(),
            found: path.display().to_string(),
        }),
    }
}

/// One line: what `kokeshi embed` writes, under the names that others use too.
#[derive(serde::Deserialize)]
struct Line {
    id: Option<serde_json::Value>,
    #[serde(alias = "vector", alias = "values")]
    embedding: Vec<f32>,
}

fn jsonl(path: &Path) -> Result<NamedVectors> {
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let mut reader = std::io::BufReader::new(file);
    let (mut values, mut ids, mut dims, mut line) = (Vec::new(), Vec::new(), None, Vec::new());
    for number in 1.. {
        line.clear();
        let wrong = |problem: String| Error::file(path, format!("line {number}: {problem}"));
        let bytes = reader
            .by_ref()
            .take(LONGEST_LINE + 1)
            .read_until(b'\n', &mut line)
            .map_err(Error::io(path))?;
        if bytes == 0 {
            break;
        }
        if bytes as u64 > LONGEST_LINE {
            return Err(wrong(format!(
                "expected at most {LONGEST_LINE} bytes, found more"
            )));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row: Line = serde_json::from_slice(&line)
            .map_err(|error| wrong(format!("expected {{\"id\": ..., \"embedding\": [...]}}: {error}")))?;
        let expected = *dims.get_or_insert(row.embedding.len());
        if row.embedding.len() != expected || expected == 0 {
            return Err(wrong(format!(
                "expected {} values, found {}",
                expected.max(1),
                row.embedding.len()
            )));
        }
        values.extend(row.embedding);
        ids.extend(row.id.map(|id| match id {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        }));
    }
    let vectors = Embeddings::from_vec(values, dims.unwrap_or(0))
        .map_err(|error| Error::file(path, error.to_string()))?;
    named(path, vectors, ids)
}

/// Vectors with their names, of which there are none or one a row.
pub(super) fn named(path: &Path, vectors: Embeddings, ids: Vec<String>) -> Result<NamedVectors> {
    if !ids.is_empty() && ids.len() != vectors.rows() {
        return Err(Error::file(
            path,
            format!(
                "expected an id for each of {} rows, found {}",
                vectors.rows(),
                ids.len()
            ),
        ));
    }
    let ids = (!ids.is_empty()).then_some(ids);
    Ok(NamedVectors { vectors, ids })
}

#[cfg(test)]
mod tests {
    use super::super::{VectorFormat, create};
    use super::*;

    #[test]
    fn what_embed_writes_is_read_back_in_every_format() {
        let folder = tempfile::tempdir().unwrap();
        let values: Vec<f32> = (0..7 * 5).map(|at| at as f32 / 3.0 - 4.0).collect();
        let names: Vec<String> = (0..7).map(|row| format!("d{row}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for ending in ["npy", "safetensors", "parquet", "jsonl"] {
            let path = folder.path().join(format!("a.{ending}"));
            let mut writer = create(&path, VectorFormat::of(&path).unwrap(), 5).unwrap();
            writer.append(&names[..3], &values[..15]).unwrap();
            writer.append(&names[3..], &values[15..]).unwrap();
            writer.finish().unwrap();
            let found = read(&path).unwrap();
            assert_eq!(
                (found.vectors.dims(), found.vectors.as_slice()),
                (5, &values[..]),
                "{ending}"
            );
            if let Some(ids) = found.ids {
                assert_eq!(ids, names);
            }
        }
        let path = folder.path().join("a.fvecs");
        vecs::write_fvecs(&path, &Embeddings::from_vec(values.clone(), 5).unwrap()).unwrap();
        assert_eq!(read(&path).unwrap().vectors.as_slice(), values);
    }

    #[test]
    fn damaged_files_are_refused_with_their_name_and_never_panic() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |name: &str, bytes: &[u8], reason: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(reason), "{error}");
        };
        refused("a.txt", b"", "an ending .npy");
        refused(
            "a.jsonl",
            b"{\"embedding\":[1,2]}\n{\"embedding\":[1]}",
            "line 2: expected 2 values, found 1",
        );
        refused("a.jsonl", b"{\"embedding\":[]}", "found 0");
        refused("a.jsonl", b"[1,2", "line 1");
        refused(
            "a.jsonl",
            b"{\"embedding\":[1]}\n{\"id\":3,\"embedding\":[1]}",
            "an id for each of 2 rows, found 1",
        );
        refused("a.parquet", b"PAR1PAR1", "");
        let path = folder.path().join("b.parquet");
        let mut writer = create(&path, VectorFormat::Parquet, 4).unwrap();
        writer.append(&["a", "b"], &[1.0; 8]).unwrap();
        writer.finish().unwrap();
        let good = std::fs::read(&path).unwrap();
        let mut seed = kokeshi_core::Seed(5);
        for _ in 0..300 {
            let mut bytes = good.clone();
            let at = seed.below(bytes.len());
            bytes[at] ^= 1 << seed.below(8);
            bytes.truncate(bytes.len() - seed.below(3) * seed.below(9));
            std::fs::write(&path, bytes).unwrap();
            let _ = read(&path);
        }
    }
}
