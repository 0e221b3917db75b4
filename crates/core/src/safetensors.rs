//! One f32 matrix of a `.safetensors` file: a length (u64), a JSON header with names, types, shapes and places, then the values.
//! Format: <https://huggingface.co/docs/safetensors>. Models, with their many tensors and types, are loaded elsewhere.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use crate::file::Temporary;
use crate::{Embeddings, Error, Result};

/// The longest header that is parsed, as in the format's own library.
const MAX_HEADER_BYTES: u64 = 100_000_000;

#[derive(serde::Serialize, serde::Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// Writes a matrix under a name, whole or not at all.
///
/// # Errors
/// [`Error::Io`].
pub fn write(path: &Path, name: &str, matrix: &Embeddings) -> Result<()> {
    let bytes = crate::npy::as_bytes(matrix.as_slice());
    let tensor = Tensor {
        dtype: "F32".into(),
        shape: vec![matrix.rows(), matrix.dims()],
        data_offsets: [0, bytes.len()],
    };
    let mut header = serde_json::to_string(&BTreeMap::from([(name, tensor)]))
        .map_err(|error| Error::file(path, error.to_string()))?;
    // Spaces at the end, so that the values start at a multiple of 64.
    header.push_str(&" ".repeat((8 + header.len()).next_multiple_of(64) - 8 - header.len()));
    let mut temporary = Temporary::create(path)?;
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), bytes]
        .iter()
        .try_for_each(|part| temporary.file.write_all(part))
        .map_err(Error::io(path))?;
    temporary.publish()
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
    let (length, rest) = bytes
        .split_first_chunk::<8>()
        .ok_or_else(|| format!("truncated: expected a header length, found {} bytes", bytes.len()))?;
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER_BYTES || length > rest.len() as u64 {
        return Err(format!(
            "expected a header of at most {} bytes, found a length of {length}",
            MAX_HEADER_BYTES.min(rest.len() as u64)
        ));
    }
    let (header, values) = rest.split_at(length as usize);
    let mut header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|error| format!("the header is not JSON: {error}"))?;
    header.remove("__metadata__");
    let mut found = Vec::new();
    for (its_name, tensor) in header {
        let tensor: Tensor =
            serde_json::from_value(tensor).map_err(|error| format!("tensor {its_name:?}: {error}"))?;
        let fits = tensor.dtype == "F32" && tensor.shape.len() == 2;
        if name.map_or(fits, |name| name == its_name) {
            found.push((its_name, tensor));
        }
    }
    let [(name, tensor)] = &found[..] else {
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        let expected = name.map_or("one f32 matrix".into(), |name| format!("a tensor {name:?}"));
        return Err(format!("expected {expected}, found {}: {names:?}", names.len()));
    };
    let [rows, dims] = tensor.shape[..] else {
        return Err(format!(
            "tensor {name:?}: expected two dimensions, found {:?}",
            tensor.shape
        ));
    };
    if tensor.dtype != "F32" {
        return Err(format!("tensor {name:?}: expected F32, found {}", tensor.dtype));
    }
    let [from, to] = tensor.data_offsets;
    let needed = rows.checked_mul(dims).and_then(|count| count.checked_mul(4));
    if to > values.len() || needed.is_none() || to.checked_sub(from) != needed {
        return Err(format!(
            "tensor {name:?}: expected {rows} x {dims} values inside {} bytes, found the bytes {from}..{to}",
            values.len()
        ));
    }
    Ok((8 + length as usize + from, rows, dims))
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
        assert!(find(&[255; 40], None).unwrap_err().contains("at most 32 bytes"));
        assert!(find(&file("nonsense", 0), None).unwrap_err().contains("not JSON"));
        assert!(
            find(&file(&"[".repeat(10_000), 0), None)
                .unwrap_err()
                .contains("not JSON")
        );
        assert!(
            find(&file("{}", 0), None)
                .unwrap_err()
                .contains("one f32 matrix, found 0")
        );
        assert!(tensor(r#""dtype":"F32""#).contains("missing field"));
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
            assert!(error.contains("expected 1 x 2 values"), "{error}");
        }
        let huge = r#""dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,0]"#;
        assert!(tensor(huge).contains("inside 8 bytes"));
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
