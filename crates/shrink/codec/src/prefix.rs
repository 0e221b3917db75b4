//! `prefix:N`: the first N values of each vector (Matryoshka Representation Learning, arXiv 2205.13147). Under cosine they are scaled to
//! unit length again by the chain. A model that was not trained for it has arbitrary axes: use `pca:N` there.

use kokeshi_core::{Error, Result};

use crate::blob::{BlobReader, BlobWriter};
use crate::codec::Transform;

/// Cuts vectors to a prefix.
#[derive(Debug, Clone, Copy)]
pub struct Prefix {
    dims: usize,
    width: usize,
}

impl Prefix {
    /// Cuts `dims` values to `width`.
    ///
    /// # Errors
    /// [`Error::Parse`] if the prefix is longer than the vectors.
    pub fn new(dims: usize, width: usize) -> Result<Self> {
        if width > dims {
            return Err(Error::Parse {
                what: "the step prefix".into(),
                expected: format!("at most {dims} dimensions, which its input has"),
                found: width.to_string(),
            });
        }
        Ok(Self { dims, width })
    }

    pub(crate) fn read(dims: usize, blob: &mut BlobReader<'_>) -> Result<Self> {
        let width = blob.count("the length of a prefix", dims)?;
        Ok(Self { dims, width })
    }
}

impl Transform for Prefix {
    fn spec(&self) -> String {
        format!("prefix:{}", self.width)
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn width(&self) -> usize {
        self.width
    }

    fn apply(&self, rows: &[f32]) -> Vec<f32> {
        rows.chunks_exact(self.dims)
            .flat_map(|row| &row[..self.width])
            .copied()
            .collect()
    }

    fn invert(&self, rows: &[f32]) -> Vec<f32> {
        let mut whole = vec![0.0; rows.len() / self.width * self.dims];
        for (row, part) in whole
            .chunks_exact_mut(self.dims)
            .zip(rows.chunks_exact(self.width))
        {
            row[..self.width].copy_from_slice(part);
        }
        whole
    }

    fn write(&self, blob: &mut BlobWriter) {
        blob.u64(self.width as u64);
    }
}
