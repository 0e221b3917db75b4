//! NumPy `.npy` arrays of f32, format versions 1 to 3: what `numpy.save` writes and `numpy.load(mmap_mode="r")` reads.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use crate::{Embeddings, Error, Result};

/// The first bytes of every `.npy` file.
const MAGIC: &[u8] = b"\x93NUMPY";
/// Bytes of the header that [`header`] makes: fixed, so that a row count can be rewritten in place, and a multiple of 64.
pub const HEADER_BYTES: usize = 128;

/// The 128-byte header of a C-ordered little-endian f32 array `[rows, dims]`.
pub fn header(rows: usize, dims: usize) -> [u8; HEADER_BYTES] {
    let mut header = [b' '; HEADER_BYTES];
    header[..6].copy_from_slice(MAGIC);
    header[6..8].copy_from_slice(&[1, 0]);
    header[8..10].copy_from_slice(&((HEADER_BYTES - 10) as u16).to_le_bytes());
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dims}), }}");
    header[10..10 + text.len()].copy_from_slice(text.as_bytes());
    header[HEADER_BYTES - 1] = b'\n';
    header
}

/// Writes a matrix.
///
/// # Errors
/// [`Error::Io`].
pub fn write(path: &Path, matrix: &Embeddings) -> Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).map_err(Error::io(path))?);
    file.write_all(&header(matrix.rows(), matrix.dims()))
        .map_err(Error::io(path))?;
    for value in matrix.as_slice() {
        file.write_all(&value.to_le_bytes()).map_err(Error::io(path))?;
    }
    file.flush().map_err(Error::io(path))
}

/// Memory-maps a two-dimensional f32 array.
///
/// # Errors
/// [`Error::Io`], or [`Error::File`] if the file is not such an array or is shorter than its header says.
pub fn open(path: &Path) -> Result<Embeddings> {
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    // SAFETY: Kokeshi never changes a vectors file in place; a file that somebody else truncates meanwhile is outside our contract.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path))?;
    let (start, rows, dims) = parse(&map).map_err(|problem| Error::file(path, problem))?;
    Embeddings::from_map(Arc::new(map), start, rows * dims, dims)
        .map_err(|error| Error::file(path, error.to_string()))
}

/// Where the values start, the rows and the width.
fn parse(bytes: &[u8]) -> std::result::Result<(usize, usize, usize), String> {
    if bytes.len() < 12 || &bytes[..6] != MAGIC {
        return Err("not a .npy file: expected it to start with \\x93NUMPY".into());
    }
    let (start, length) = match bytes[6] {
        1 => (10, u16::from_le_bytes([bytes[8], bytes[9]]) as usize),
        2 | 3 => (
            12,
            u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize,
        ),
        other => return Err(format!("expected .npy version 1, 2 or 3, found {other}")),
    };
    let text = bytes
        .get(start..start + length)
        .and_then(|text| std::str::from_utf8(text).ok())
        .ok_or("the .npy header is longer than the file or not text")?;
    let field = |name: &str| {
        let rest = &text[text.find(&format!("'{name}'"))? + name.len() + 2..];
        Some(rest[rest.find(':')? + 1..].trim_start())
    };
    if !field("descr").is_some_and(|value| value.starts_with("'<f4'")) {
        return Err(format!(
            "expected f32 values ('<f4'), found {}",
            field("descr").unwrap_or("no descr")
        ));
    }
    if !field("fortran_order").is_some_and(|value| value.starts_with("False")) {
        return Err("expected C order, found Fortran order".into());
    }
    let shape = field("shape")
        .and_then(|value| value.strip_prefix('('))
        .and_then(|value| Some(&value[..value.find(')')?]))
        .ok_or("the .npy header has no shape")?;
    let sides = shape
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty())
        .map(|side| {
            side.parse::<usize>()
                .map_err(|_| format!("the .npy shape ({shape}) is not numbers"))
        })
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let [rows, dims] = sides[..] else {
        return Err(format!("expected a two-dimensional array, found shape ({shape})"));
    };
    let start = start + length;
    let needed = rows
        .checked_mul(dims)
        .and_then(|values| values.checked_mul(4))
        .and_then(|bytes| bytes.checked_add(start));
    if needed.is_none_or(|needed| needed > bytes.len()) {
        return Err(format!(
            "truncated: shape ({shape}) needs {} bytes, found {}",
            needed.map_or("too many".into(), |needed| needed.to_string()),
            bytes.len()
        ));
    }
    Ok((start, rows, dims))
}
