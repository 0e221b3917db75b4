//! NumPy `.npy` files: read as memory maps, written with a fixed-size header so that rows can be appended.
//!
//! Only what Kokeshi stores: two-dimensional little-endian f32 in C order. `np.load(path, mmap_mode="r")` reads what this writes.
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>, versions 1, 2 and 3.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

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

/// Writes a matrix; returns the checksum of its values, as [`Writer::finish`] does.
///
/// # Errors
/// [`Error::Io`].
pub fn write(path: &Path, matrix: &Embeddings) -> Result<u64> {
    let mut writer = Writer::create(path, matrix.dims())?;
    writer.append(matrix.as_slice())?;
    Ok(writer.finish()?.1)
}

/// Writes rows one after another; the file is a valid array (of 0 rows) from the start, and of all rows after [`Writer::finish`].
///
/// ```
/// use kokeshi_core::npy;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("vectors.npy");
/// let mut writer = npy::Writer::create(&path, 2)?;
/// writer.append(&[1.0, 2.0, 3.0, 4.0])?;
/// let (rows, checksum) = writer.finish()?;
/// assert_eq!(rows, 2);
/// assert_eq!(npy::verify(&path, checksum)?.row(1), [3.0, 4.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Writer {
    path: PathBuf,
    file: std::io::BufWriter<std::fs::File>,
    dims: usize,
    rows: usize,
    hash: Xxh3,
}

impl Writer {
    /// Begins an array of `dims` columns at `path`, replacing what is there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path, dims: usize) -> Result<Self> {
        let file = std::fs::File::create(path).map_err(Error::io(path))?;
        let mut file = std::io::BufWriter::with_capacity(64 << 10, file);
        file.write_all(&header(0, dims)).map_err(Error::io(path))?;
        Ok(Self {
            path: path.into(),
            file,
            dims,
            rows: 0,
            hash: Xxh3::new(),
        })
    }

    /// Appends `[n, dims]` values.
    ///
    /// # Errors
    /// [`Error::Dims`] if the length is not a multiple of `dims`, [`Error::Io`] if the system refuses (the file is then unfinished).
    pub fn append(&mut self, rows: &[f32]) -> Result<()> {
        let rest = rows.len().checked_rem(self.dims).unwrap_or(rows.len());
        if rest != 0 {
            return Err(Error::Dims {
                what: format!(
                    "the last row of {} values for {}",
                    rows.len(),
                    self.path.display()
                ),
                expected: self.dims,
                found: rest,
            });
        }
        let bytes = as_bytes(rows);
        self.hash.update(bytes);
        self.file.write_all(bytes).map_err(Error::io(&self.path))?;
        self.rows += rows.len().checked_div(self.dims).unwrap_or(0);
        Ok(())
    }

    /// How many rows were appended.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Writes the row count and makes the file survive a power cut (its folder entry: [`crate::file::sync_folder`]).
    /// Returns the rows and the XXH3 checksum of all values, for [`verify`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<(usize, u64)> {
        self.file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(&header(self.rows, self.dims)))
            .and_then(|()| self.file.flush())
            .and_then(|()| self.file.get_ref().sync_all())
            .map_err(Error::io(&self.path))?;
        Ok((self.rows, self.hash.digest()))
    }
}

/// The bytes of f32 values as they are in a file (little-endian; the crate refuses to build for a big-endian machine).
pub fn as_bytes(values: &[f32]) -> &[u8] {
    // SAFETY: an f32 is four initialised bytes, u8 has no alignment, and the lifetime is that of `values`.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) }
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
    let matrix = if start.is_multiple_of(align_of::<f32>()) {
        Embeddings::from_map(Arc::new(map), start, rows * dims, dims)
    } else {
        // Other writers need not align the values; then they can only be copied.
        let values = map[start..start + 4 * rows * dims].as_chunks::<4>().0;
        Embeddings::from_vec(
            values.iter().map(|&value| f32::from_le_bytes(value)).collect(),
            dims,
        )
    };
    matrix.map_err(|error| Error::file(path, error.to_string()))
}

/// Memory-maps an array and compares the checksum of its values with what [`Writer::finish`] gave.
///
/// # Errors
/// As [`open`], and [`Error::File`] if the checksum is another.
pub fn verify(path: &Path, checksum: u64) -> Result<Embeddings> {
    let matrix = open(path)?;
    let found = crate::file::checksum(as_bytes(matrix.as_slice()));
    if found != checksum {
        return Err(Error::file(
            path,
            format!("damaged: expected checksum {checksum:016x}, found {found:016x}"),
        ));
    }
    Ok(matrix)
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
            "expected f32 values ('<f4'; in NumPy: array.astype(\"<f4\")), found {}",
            field("descr")
                .and_then(|value| value.split([',', '\n']).next())
                .unwrap_or("no descr")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    /// What `numpy.lib.format.write_array_header_{1,2}_0` and version 3 put before the values (NumPy 2, written out by hand).
    fn file(version: u8, text: &str, values: &[f32]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        let start = if version == 1 { 10 } else { 12 };
        let padded = (start + text.len() + 1).next_multiple_of(64) - start;
        if version == 1 {
            bytes.extend((padded as u16).to_le_bytes());
        } else {
            bytes.extend((padded as u32).to_le_bytes());
        }
        bytes.extend(format!("{text:<width$}\n", width = padded - 1).bytes());
        bytes.extend(as_bytes(values));
        bytes
    }

    fn opened(bytes: &[u8]) -> Result<Embeddings> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        std::fs::write(&path, bytes).unwrap();
        open(&path)
    }

    fn refused(bytes: &[u8]) -> String {
        let error = opened(bytes).unwrap_err().to_string();
        assert!(error.contains("a.npy"), "{error}");
        error
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        for (rows, dims) in [(0, 3), (1, 1), (7, 5), (300, 384)] {
            let values: Vec<f32> = (0..rows * dims).map(|at| at as f32 - 0.5).collect();
            let matrix = Embeddings::from_vec(values, dims).unwrap();
            let checksum = write(&path, &matrix).unwrap();
            let read = verify(&path, checksum).unwrap();
            assert_eq!((read.rows(), read.dims()), (rows, dims));
            assert_eq!(read.as_slice(), matrix.as_slice());
        }
    }

    #[test]
    fn appending_in_parts_gives_the_same_file_as_writing_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, parts) = (folder.path().join("whole.npy"), folder.path().join("parts.npy"));
        let values: Vec<f32> = (0..90).map(|at| (at as f32).sin()).collect();
        let checksum = write(&whole, &Embeddings::from_vec(values.clone(), 9).unwrap()).unwrap();
        let mut writer = Writer::create(&parts, 9).unwrap();
        for part in values.chunks(27) {
            writer.append(part).unwrap();
        }
        assert_eq!(writer.rows(), 10);
        assert_eq!(writer.finish().unwrap(), (10, checksum));
        assert_eq!(std::fs::read(whole).unwrap(), std::fs::read(parts).unwrap());
    }

    #[test]
    fn an_unfinished_file_holds_no_rows_and_a_partial_row_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let mut writer = Writer::create(&path, 4).unwrap();
        writer.append(&[1.0; 8]).unwrap();
        let error = writer.append(&[1.0; 6]).unwrap_err().to_string();
        assert!(error.contains("expected 4 dimensions, found 2"), "{error}");
        drop(writer);
        assert_eq!(open(&path).unwrap().rows(), 0);
    }

    #[test]
    fn a_flipped_bit_in_the_values_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let checksum = write(&path, &Embeddings::from_vec(vec![1.0; 12], 4).unwrap()).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[HEADER_BYTES + 17] ^= 4;
        std::fs::write(&path, bytes).unwrap();
        let error = verify(&path, checksum).unwrap_err().to_string();
        assert!(error.contains("a.npy: damaged: expected checksum"), "{error}");
    }

    #[test]
    fn headers_of_every_version_are_read() {
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
        for version in 1..=3 {
            let matrix = opened(&file(version, text, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])).unwrap();
            assert_eq!((matrix.dims(), matrix.row(1)), (3, &[4.0, 5.0, 6.0][..]));
        }
        // Another order of keys, and values that are not aligned to 4.
        let mut bytes = MAGIC.to_vec();
        let text = "{'shape':(1,2),'fortran_order':False,'descr':'<f4'} \n";
        bytes.extend([1, 0, text.len() as u8, 0]);
        bytes.extend(text.bytes());
        assert_ne!(bytes.len() % 4, 0);
        bytes.extend(as_bytes(&[7.0, 8.0]));
        assert_eq!(opened(&bytes).unwrap().row(0), [7.0, 8.0]);
    }

    #[test]
    fn what_is_not_such_an_array_is_refused_with_a_reason() {
        let values = [0.0; 6];
        let with = |text: &str| refused(&file(1, text, &values));
        for (text, reason) in [
            (
                "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 3), }",
                "found '<f8'",
            ),
            (
                "{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }",
                "found '>f4'",
            ),
            (
                "{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }",
                "found '|O'",
            ),
            (
                "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }",
                "Fortran",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }",
                "two-dimensional",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }",
                "two-dimensional",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (2, -3), }",
                "not numbers",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3), }",
                "truncated",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }",
                "too many",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387903, 1), }",
                "truncated",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3",
                "no shape",
            ),
            ("{}", "no descr"),
        ] {
            let error = with(text);
            assert!(error.contains(reason) && !error.contains('\n'), "{text}: {error}");
        }
        assert!(refused(b"PK\x03\x04 this is an npz").contains("not a .npy file"));
        assert!(refused(b"").contains("not a .npy file"));
        assert!(refused(b"\x93NUMPY\x09\x00\x00\x00\x00\x00").contains("version 1, 2 or 3, found 9"));
        assert!(refused(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").contains("longer than the file"));
    }

    #[test]
    fn random_bytes_and_random_damage_never_panic() {
        let mut seed = Seed(1);
        let good = file(
            1,
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
            &[1.0; 6],
        );
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..=seed.below(6) {
                let at = seed.below(bytes.len());
                bytes[at] = seed.next_u64() as u8;
            }
            bytes.truncate(seed.below(bytes.len() + 20));
            if let Ok((start, rows, dims)) = parse(&bytes) {
                assert!(start + 4 * rows * dims <= bytes.len());
            }
            let noise: Vec<u8> = (0..seed.below(80)).map(|_| seed.next_u64() as u8).collect();
            let _ = parse(&[MAGIC, &noise].concat());
        }
    }
}
