//! `.fvecs` and `.bvecs`: every row is its width as a little-endian i32 and then its f32 values or bytes. SIFT1M, GIST and other
//! nearest-neighbour data sets come in them (<http://corpus-texmex.irisa.fr/>).

use std::io::Write;
use std::path::Path;

use crate::file::Temporary;
use crate::{Embeddings, Error, Result};

/// Reads f32 rows.
///
/// # Errors
/// [`Error::Io`], or [`Error::File`] with the row that is cut off or of another width than the first.
pub fn read_fvecs(path: &Path) -> Result<Embeddings> {
    read(path, f32::from_le_bytes)
}

/// Reads rows of bytes, each becoming an f32 of 0 to 255.
///
/// # Errors
/// As [`read_fvecs`].
pub fn read_bvecs(path: &Path) -> Result<Embeddings> {
    read(path, |[value]: [u8; 1]| f32::from(value))
}

/// Writes f32 rows, whole or not at all.
///
/// # Errors
/// [`Error::Io`].
pub fn write_fvecs(path: &Path, matrix: &Embeddings) -> Result<()> {
    write(path, matrix, |row, out| {
        out.extend_from_slice(crate::npy::as_bytes(row))
    })
}

/// Writes rows of bytes, whole or not at all.
///
/// # Errors
/// [`Error::Io`], or [`Error::Parse`] if a value is not a whole number from 0 to 255.
pub fn write_bvecs(path: &Path, matrix: &Embeddings) -> Result<()> {
    let fits = |value: &f32| value.fract() == 0.0 && (0.0..=255.0).contains(value);
    if let Some(at) = matrix.as_slice().iter().position(|value| !fits(value)) {
        return Err(Error::Parse {
            what: format!("row {} for {}", at / matrix.dims(), path.display()),
            expected: "whole numbers from 0 to 255".into(),
            found: matrix.as_slice()[at].to_string(),
        });
    }
    write(path, matrix, |row, out| {
        out.extend(row.iter().map(|&value| value as u8))
    })
}

fn read<const BYTES: usize>(path: &Path, value: impl Fn([u8; BYTES]) -> f32) -> Result<Embeddings> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let wrong = |row: usize, problem: String| Error::file(path, format!("row {row}: {problem}"));
    let mut rest = &bytes[..];
    let (mut values, mut dims, mut row) = (Vec::with_capacity(bytes.len() / BYTES), None, 0);
    while !rest.is_empty() {
        let cut = || {
            wrong(
                row,
                format!("truncated: expected a width, found {} bytes", rest.len()),
            )
        };
        let (head, tail) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let found = i32::from_le_bytes(*head);
        let width = usize::try_from(found).ok().filter(|&width| width > 0);
        let width = width.ok_or_else(|| wrong(row, format!("expected a positive width, found {found}")))?;
        let expected = *dims.get_or_insert(width);
        if width != expected {
            return Err(wrong(row, format!("expected {expected} values, found {width}")));
        }
        let (own, next) = tail.split_at_checked(width * BYTES).ok_or_else(|| {
            wrong(
                row,
                format!(
                    "truncated: expected {} bytes, found {}",
                    width * BYTES,
                    tail.len()
                ),
            )
        })?;
        values.extend(own.as_chunks::<BYTES>().0.iter().map(|&bytes| value(bytes)));
        (rest, row) = (next, row + 1);
    }
    Embeddings::from_vec(values, dims.unwrap_or(0))
}

fn write(path: &Path, matrix: &Embeddings, encode: impl Fn(&[f32], &mut Vec<u8>)) -> Result<()> {
    let dims = i32::try_from(matrix.dims())
        .map_err(|_| Error::file(path, format!("{} dimensions don't fit the format", matrix.dims())))?;
    let temporary = Temporary::create(path)?;
    let mut out = std::io::BufWriter::new(&temporary.file);
    let mut bytes = Vec::new();
    for row in matrix.iter() {
        bytes.clear();
        bytes.extend(dims.to_le_bytes());
        encode(row, &mut bytes);
        out.write_all(&bytes).map_err(Error::io(path))?;
    }
    out.flush().map_err(Error::io(path))?;
    drop(out);
    temporary.publish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.vecs");
        for (rows, dims) in [(1, 1), (5, 7), (100, 128)] {
            let values = (0..rows * dims).map(|at| (at % 256) as f32).collect();
            let matrix = Embeddings::from_vec(values, dims).unwrap();
            write_fvecs(&path, &matrix).unwrap();
            assert_eq!(
                std::fs::metadata(&path).unwrap().len() as usize,
                rows * (4 + 4 * dims)
            );
            assert_eq!(read_fvecs(&path).unwrap().as_slice(), matrix.as_slice());
            write_bvecs(&path, &matrix).unwrap();
            assert_eq!(
                std::fs::metadata(&path).unwrap().len() as usize,
                rows * (4 + dims)
            );
            let read = read_bvecs(&path).unwrap();
            assert_eq!((read.as_slice(), read.dims()), (matrix.as_slice(), dims));
        }
        std::fs::write(&path, b"").unwrap();
        assert!(read_fvecs(&path).unwrap().is_empty());
    }

    #[test]
    fn damaged_files_are_refused_with_the_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.fvecs");
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let error = read_fvecs(&path).unwrap_err().to_string();
            assert!(error.contains("a.fvecs: row"), "{error}");
            error
        };
        assert!(refused(&[1, 0]).contains("row 0: truncated: expected a width"));
        assert!(refused(&[0; 4]).contains("expected a positive width, found 0"));
        assert!(refused(&[255; 8]).contains("expected a positive width, found -1"));
        assert!(refused(&[255, 255, 255, 127, 0]).contains("truncated: expected 8589934588 bytes, found 1"));
        assert!(refused(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]).contains("row 1: expected 1"));
        let mut seed = Seed(3);
        for _ in 0..300 {
            let noise: Vec<u8> = (0..seed.below(40)).map(|_| (seed.next_u64() % 4) as u8).collect();
            std::fs::write(&path, &noise).unwrap();
            let _ = (read_fvecs(&path), read_bvecs(&path));
        }
    }

    #[test]
    fn values_that_are_not_bytes_are_not_written_as_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bvecs");
        for bad in [0.5, -1.0, 256.0, f32::NAN] {
            let matrix = Embeddings::from_vec(vec![1.0, bad], 1).unwrap();
            let error = write_bvecs(&path, &matrix).unwrap_err().to_string();
            assert!(error.contains("row 1") && !path.exists(), "{error}");
        }
    }
}
