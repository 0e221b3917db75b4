//! A row-major matrix of f32 embeddings, owned or memory-mapped.

use std::sync::Arc;

use crate::{Error, Result};

/// `[rows, dims]` f32 values, row after row. Cloning a mapped matrix shares the map.
#[derive(Clone)]
pub struct Embeddings {
    dims: usize,
    values: Values,
}

#[derive(Clone)]
enum Values {
    Owned(Vec<f32>),
    /// The bytes `start..start + 4 * len` of a map, aligned to 4 by the constructor.
    Mapped {
        map: Arc<memmap2::Mmap>,
        start: usize,
        len: usize,
    },
}

impl std::fmt::Debug for Embeddings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Embeddings[{} x {}]", self.rows(), self.dims)
    }
}

impl Embeddings {
    /// An empty matrix whose rows will be `dims` wide.
    pub fn new(dims: usize) -> Self {
        Self {
            dims,
            values: Values::Owned(Vec::new()),
        }
    }

    /// A matrix from `rows * dims` values.
    ///
    /// # Errors
    /// [`Error::Dims`] if the length is not a multiple of `dims`.
    pub fn from_vec(values: Vec<f32>, dims: usize) -> Result<Self> {
        if (dims == 0 && !values.is_empty()) || (dims > 0 && !values.len().is_multiple_of(dims)) {
            return Err(Error::Dims {
                what: format!("a matrix of {} values", values.len()),
                expected: dims,
                found: values.len() % dims.max(1),
            });
        }
        Ok(Self {
            dims,
            values: Values::Owned(values),
        })
    }

    /// A view of a map: `len` little-endian f32 values from byte `start`.
    ///
    /// # Errors
    /// [`Error::Parse`] if the bytes are out of range or not aligned to 4.
    pub fn from_map(map: Arc<memmap2::Mmap>, start: usize, len: usize, dims: usize) -> Result<Self> {
        let wrong = |expected: &str, found: String| Error::Parse {
            what: "a memory-mapped matrix".into(),
            expected: expected.into(),
            found,
        };
        let end = len.checked_mul(4).and_then(|bytes| bytes.checked_add(start));
        if end.is_none_or(|end| end > map.len()) {
            return Err(wrong(
                "all values inside the file",
                format!("{len} values from byte {start}"),
            ));
        }
        if !(map.as_ptr() as usize + start).is_multiple_of(align_of::<f32>()) {
            return Err(wrong("values aligned to 4 bytes", format!("start {start}")));
        }
        if (dims == 0 && len > 0) || (dims > 0 && !len.is_multiple_of(dims)) {
            return Err(wrong(
                "a multiple of the width",
                format!("{len} values of {dims} dims"),
            ));
        }
        Ok(Self {
            dims,
            values: Values::Mapped { map, start, len },
        })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.as_slice().len().checked_div(self.dims).unwrap_or(0)
    }

    /// The width of a row.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// Row `index`.
    ///
    /// # Panics
    /// If `index >= rows()`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.as_slice()[index * self.dims..(index + 1) * self.dims]
    }

    /// Bytes of the file that is mapped; none of a matrix in memory.
    pub fn mapped_bytes(&self) -> usize {
        match &self.values {
            Values::Owned(_) => 0,
            Values::Mapped { len, .. } => 4 * len,
        }
    }

    /// Asks the system to read row `index` of a mapped file while the program goes on, and nothing around it. It costs a call of the system, which
    /// is lost if the row is in memory.
    ///
    /// # Panics
    /// If `index >= rows()` of a mapped matrix.
    pub fn will_need(&self, index: usize) {
        if let Values::Mapped { map, start, len } = &self.values {
            assert!(index < len / self.dims.max(1));
            // A wish: without it the row is read when it is looked at.
            #[cfg(unix)]
            let _ = map.advise_range(
                memmap2::Advice::WillNeed,
                start + 4 * index * self.dims,
                4 * self.dims,
            );
            #[cfg(not(unix))]
            let _ = (map, start);
        }
    }

    /// Every row in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, f32> {
        self.as_slice().chunks_exact(self.dims.max(1))
    }

    /// All values, row after row.
    pub fn as_slice(&self) -> &[f32] {
        match &self.values {
            Values::Owned(values) => values,
            Values::Mapped { map, start, len } => {
                let bytes = &map[*start..*start + 4 * *len];
                // SAFETY: `from_map` checked range and alignment; every bit pattern is an f32; the map lives as long as self.
                unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<f32>(), *len) }
            }
        }
    }

    /// All values, for writing; a mapped matrix is copied into memory first.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        self.owned()
    }

    /// The values as a vector; a mapped matrix is copied.
    pub fn into_vec(mut self) -> Vec<f32> {
        std::mem::take(self.owned())
    }

    /// Appends one row.
    ///
    /// # Errors
    /// [`Error::Dims`] if `row` is not `dims` wide.
    pub fn push(&mut self, row: &[f32]) -> Result<()> {
        if row.len() != self.dims {
            return Err(Error::Dims {
                what: "a row".into(),
                expected: self.dims,
                found: row.len(),
            });
        }
        self.owned().extend_from_slice(row);
        Ok(())
    }

    /// Every row cut to its first `dims` values (a Matryoshka prefix), not renormalised.
    ///
    /// # Errors
    /// [`Error::Dims`] if the matrix is narrower than `dims`.
    pub fn prefix(&self, dims: usize) -> Result<Self> {
        if dims > self.dims {
            return Err(Error::Dims {
                what: "a prefix".into(),
                expected: dims,
                found: self.dims,
            });
        }
        let values = self.iter().flat_map(|row| &row[..dims]).copied().collect();
        Ok(Self {
            dims,
            values: Values::Owned(values),
        })
    }

    /// Scales every row to unit L2 length; rows shorter than 1e-12 are left as they are.
    pub fn normalize(&mut self) {
        let dims = self.dims.max(1);
        for row in self.owned().chunks_exact_mut(dims) {
            crate::distance::normalize(row);
        }
    }

    /// The first value that is NaN or infinite, as an error that names `what`.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with its place.
    pub fn check_finite(&self, what: &str) -> Result<()> {
        match self.as_slice().iter().position(|value| !value.is_finite()) {
            Some(at) => Err(Error::NotFinite {
                what: what.into(),
                row: at / self.dims,
                column: at % self.dims,
            }),
            None => Ok(()),
        }
    }

    /// The rows with these numbers, in this order.
    ///
    /// # Errors
    /// As [`Embeddings::from_vec`].
    ///
    /// # Panics
    /// If there is no such row.
    pub fn gather(&self, rows: &[u32]) -> Result<Self> {
        let mut values = Vec::with_capacity(rows.len() * self.dims);
        for &row in rows {
            values.extend_from_slice(self.row(row as usize));
        }
        Self::from_vec(values, self.dims)
    }

    fn owned(&mut self) -> &mut Vec<f32> {
        if matches!(self.values, Values::Mapped { .. }) {
            self.values = Values::Owned(self.as_slice().to_vec());
        }
        match &mut self.values {
            Values::Owned(values) => values,
            Values::Mapped { .. } => unreachable!("replaced by an owned copy above"),
        }
    }
}

/// Fails unless a query has `dims` values, all of them finite.
///
/// # Errors
/// [`Error::Dims`], or [`Error::NotFinite`] with the place.
pub fn check_query(query: &[f32], dims: usize) -> Result<()> {
    if query.len() != dims {
        return Err(Error::Dims {
            what: "a query".into(),
            expected: dims,
            found: query.len(),
        });
    }
    // All of them at once is quicker than one after the other.
    if query.iter().fold(true, |all, value| all & value.is_finite()) {
        return Ok(());
    }
    match query.iter().position(|value| !value.is_finite()) {
        Some(column) => Err(Error::NotFinite {
            what: "a query".into(),
            row: 0,
            column,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(values: &[f32], dims: usize) -> (tempfile::TempDir, Embeddings) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        crate::npy::write(&path, &Embeddings::from_vec(values.to_vec(), dims).unwrap()).unwrap();
        let matrix = crate::npy::open(&path).unwrap();
        (folder, matrix)
    }

    #[test]
    fn writing_to_a_mapped_matrix_changes_a_copy_and_not_the_file() {
        let (folder, mut matrix) = mapped(&[3.0, 4.0, 0.0, 2.0], 2);
        let shared = matrix.clone();
        matrix.normalize();
        matrix.push(&[1.0, 0.0]).unwrap();
        assert_eq!(matrix.as_slice(), [0.6, 0.8, 0.0, 1.0, 1.0, 0.0]);
        assert_eq!(shared.as_slice(), [3.0, 4.0, 0.0, 2.0]);
        let again = crate::npy::open(&folder.path().join("a.npy")).unwrap();
        assert_eq!(again.into_vec(), [3.0, 4.0, 0.0, 2.0]);
    }

    #[test]
    fn rows_and_prefixes_are_cut_out() {
        let (_folder, matrix) = mapped(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3);
        assert_eq!(
            matrix.iter().collect::<Vec<_>>(),
            [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
        );
        assert_eq!(matrix.prefix(2).unwrap().as_slice(), [1.0, 2.0, 4.0, 5.0]);
        let error = matrix.prefix(4).unwrap_err().to_string();
        assert_eq!(error, "a prefix: expected 4 dimensions, found 3");
    }

    #[test]
    fn other_widths_are_refused() {
        assert!(Embeddings::from_vec(vec![1.0; 5], 2).is_err());
        assert!(Embeddings::from_vec(vec![1.0; 5], 0).is_err());
        let mut matrix = Embeddings::new(2);
        assert!(matrix.is_empty());
        let error = matrix.push(&[1.0]).unwrap_err().to_string();
        assert_eq!(error, "a row: expected 2 dimensions, found 1");
    }

    #[test]
    fn the_first_value_that_is_not_finite_is_named() {
        let mut matrix = Embeddings::from_vec(vec![0.0; 6], 3).unwrap();
        matrix.check_finite("queries").unwrap();
        matrix.as_mut_slice()[4] = f32::INFINITY;
        let error = matrix.check_finite("queries").unwrap_err().to_string();
        assert_eq!(
            error,
            "queries: row 1 holds a value that is not finite, at column 1"
        );
    }

    #[test]
    fn a_view_of_a_map_stays_inside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("raw");
        std::fs::write(&path, [0; 64]).unwrap();
        // SAFETY: nobody else knows the file.
        let map = unsafe { memmap2::Mmap::map(&std::fs::File::open(&path).unwrap()) }.unwrap();
        let map = Arc::new(map);
        let view = |start, len, dims| Embeddings::from_map(map.clone(), start, len, dims);
        assert_eq!(view(0, 16, 4).unwrap().rows(), 4);
        assert_eq!(view(32, 8, 8).unwrap().rows(), 1);
        for (start, len, dims) in [
            (0, 17, 17),
            (4, 16, 4),
            (2, 4, 4),
            (0, 5, 4),
            (0, 4, 0),
            (usize::MAX, 1, 1),
            (0, usize::MAX, 1),
        ] {
            assert!(view(start, len, dims).is_err(), "{start} {len} {dims}");
        }
    }
}
