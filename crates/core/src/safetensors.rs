//! One f32 matrix of a `.safetensors` file: a length (u64), a JSON header with names, types, shapes and places, then the values.
//! Format: <https://huggingface.co/docs/safetensors>. Models, with their many tensors and types, are loaded elsewhere, through [`header`].

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use crate::file::Temporary;
use crate::{Embeddings, Error, Result};

pub mod header;

use header::Dtype;

#[derive(serde::Serialize)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// Writes matrices under their names, whole or not at all.
///
/// # Errors
/// [`Error::Io`].
pub fn write_all(path: &Path, matrices: &[(&str, &Embeddings)]) -> Result<()> {
    let mut end = 0;
    let tensors = matrices.iter().map(|&(name, matrix)| {
        let start = end;
        end += 4 * matrix.as_slice().len();
        let tensor = Tensor {
            dtype: "F32".into(),
            shape: vec![matrix.rows(), matrix.dims()],
            data_offsets: [start, end],
        };
        (name, tensor)
    });
    let mut header = serde_json::to_string(&tensors.collect::<BTreeMap<_, _>>())
        .map_err(|error| Error::file(path, error.to_string()))?;
    // Spaces at the end, so that the values start at a multiple of 64.
    header.push_str(&" ".repeat((8 + header.len()).next_multiple_of(64) - 8 - header.len()));
    let mut temporary = Temporary::create(path)?;
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()]
        .into_iter()
        .chain(
            matrices
                .iter()
                .map(|(_, matrix)| crate::npy::as_bytes(matrix.as_slice())),
        )
        .try_for_each(|part| temporary.file.write_all(part))
        .map_err(Error::io(path))?;
    temporary.publish()
}

/// Writes a matrix under a name, whole or not at all.
///
/// # Errors
/// [`Error::Io`].
pub fn write(path: &Path, name: &str, matrix: &Embeddings) -> Result<()> {
    write_all(path, &[(name, matrix)])
}

/// Memory-maps the matrix `name`, or without a name the only two-dimensional f32 tensor.
///
/// # Errors
/// [`Error::Io`], or [`Error::File`] if the file is damaged, or holds no such matrix, or several.
pub fn open(path: &Path, name: Option<&str>) -> Result<Embeddings> {
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    // SAFETY: Kokeshi never changes such a file in place; one that somebody else truncates meanwhile is outside our contract.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path))?;
    let (start, rows, dims) = find(&map, name).map_err(|problem| Error::file(path, problem))?;
    let matrix = if start.is_multiple_of(align_of::<f32>()) {
        Embeddings::from_map(Arc::new(map), start, rows * dims, dims)
    } else {
        let values = map[start..start + 4 * rows * dims].as_chunks::<4>().0;
        Embeddings::from_vec(
            values.iter().map(|&value| f32::from_le_bytes(value)).collect(),
            dims,
        )
    };
    matrix.map_err(|error| Error::file(path, error.to_string()))
}

/// Where the values start, the rows and the width.
fn find(bytes: &[u8], name: Option<&str>) -> std::result::Result<(usize, usize, usize), String> {
    let mut found = header::parse(bytes)?;
    let fits = |entry: &header::Entry| entry.dtype == Dtype::F32 && entry.shape.len() == 2;
    found.retain(|entry| name.map_or_else(|| fits(entry), |name| name == entry.name));
    let [entry] = &found[..] else {
        let names: Vec<&str> = found.iter().map(|entry| entry.name.as_str()).collect();
        let expected = name.map_or("one f32 matrix".into(), |name| format!("a tensor {name:?}"));
        return Err(format!("expected {expected}, found {}: {names:?}", names.len()));
    };
    let [rows, dims] = entry.shape[..] else {
        return Err(format!(
            "tensor {:?}: expected two dimensions, found {:?}",
            entry.name, entry.shape
        ));
    };
    if entry.dtype != Dtype::F32 {
        return Err(format!(
            "tensor {:?}: expected F32, found {:?}",
            entry.name, entry.dtype
        ));
    }
    Ok((entry.bytes.start, rows, dims))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    fn file(header: &str, values: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.extend(vec![0; values]);
        bytes
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        for (rows, dims) in [(0, 4), (1, 1), (9, 33)] {
            let values = (0..rows * dims).map(|at| at as f32).collect();
            let matrix = Embeddings::from_vec(values, dims).unwrap();
            write(&path, "embeddings", &matrix).unwrap();
            for name in [None, Some("embeddings")] {
                let read = open(&path, name).unwrap();
                assert_eq!((read.as_slice(), read.dims()), (matrix.as_slice(), dims));
            }
            assert!(
                open(&path, Some("weights"))
                    .unwrap_err()
                    .to_string()
                    .contains("\"weights\"")
            );
        }
    }

    #[test]
    fn several_matrices_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let matrix =
            |from: f32, dims| Embeddings::from_vec((0..6).map(|at| from + at as f32).collect(), dims);
        let (a, b) = (matrix(0.0, 3).unwrap(), matrix(9.0, 2).unwrap());
        write_all(&path, &[("b", &b), ("a", &a)]).unwrap();
        for (name, matrix) in [("a", &a), ("b", &b)] {
            let read = open(&path, Some(name)).unwrap();
            assert_eq!((read.as_slice(), read.dims()), (matrix.as_slice(), matrix.dims()));
        }
        assert!(open(&path, None).unwrap_err().to_string().contains("found 2"));
    }

    #[test]
    fn unaligned_values_and_metadata_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let mut header =
            r#"{"__metadata__":{"a":"b"},"t":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#
                .to_string();
        while header.len() % 4 != 3 {
            header.push(' ');
        }
        std::fs::write(&path, file(&header, 8)).unwrap();
        assert_eq!(open(&path, None).unwrap().as_slice(), [0.0, 0.0]);
    }

    #[test]
    fn damaged_headers_are_refused_with_a_reason_and_never_panic() {
        let tensor = |text: &str| find(&file(&format!(r#"{{"t":{{{text}}}}}"#), 8), Some("t")).unwrap_err();
        assert!(find(b"abc", None).unwrap_err().contains("truncated"));
        assert!(find(&[255; 40], None).unwrap_err().contains("at most 32"));
        assert!(
            find(&file("nonsense", 0), None)
                .unwrap_err()
                .contains("not a JSON")
        );
        assert!(
            find(&file(&"[".repeat(10_000), 0), None)
                .unwrap_err()
                .contains("not a JSON")
        );
        assert!(
            find(&file("{}", 0), None)
                .unwrap_err()
                .contains("one f32 matrix, found 0")
        );
        assert!(tensor(r#""dtype":"F32""#).contains("expected a shape"));
        assert!(tensor(r#""dtype":"F16","shape":[1,2],"data_offsets":[0,4]"#).contains("found F16"));
        assert!(tensor(r#""dtype":"F32","shape":[2],"data_offsets":[0,8]"#).contains("two dimensions"));
        for offsets in [
            "[0,12]",
            "[4,8]",
            "[8,0]",
            "[18446744073709551608,18446744073709551615]",
        ] {
            let error = tensor(&format!(
                r#""dtype":"F32","shape":[1,2],"data_offsets":{offsets}"#
            ));
            assert!(
                error.contains("data_offsets") || error.contains("needs 8 bytes"),
                "{error}"
            );
        }
        let huge = r#""dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,0]"#;
        assert!(tensor(huge).contains("needs too many bytes"));
        let good = file(r#"{"t":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#, 8);
        let mut seed = Seed(9);
        for _ in 0..20_000 {
            let mut bad = good.clone();
            for _ in 0..=seed.below(3) {
                let at = seed.below(bad.len());
                bad[at] = seed.next_u64() as u8;
            }
            bad.truncate(seed.below(bad.len() + 20));
            if let Ok((start, rows, dims)) = find(&bad, None) {
                assert!(start + 4 * rows * dims <= bad.len());
            }
        }
    }
}
