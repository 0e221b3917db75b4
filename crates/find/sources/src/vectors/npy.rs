//! `.npy` through the ground floor's writer, under the unfinished name until the end.

use kokeshi_core::{Result, npy};

use super::{Part, VectorWriter, check};

pub(super) struct NpyVectors {
    part: Part,
    writer: npy::Writer,
    dims: usize,
}

impl NpyVectors {
    pub(super) fn create(part: Part, dims: usize) -> Result<Self> {
        let writer = npy::Writer::create(&part.part, dims)?;
        Ok(Self { part, writer, dims })
    }
}

impl VectorWriter for NpyVectors {
    fn append(&mut self, ids: &[&str], rows: &[f32]) -> Result<()> {
        check(ids, rows, self.dims)?;
        self.writer.append(rows)
    }

    fn finish(self: Box<Self>) -> Result<u64> {
        let Self { mut part, writer, .. } = *self;
        let (rows, _) = writer.finish()?;
        part.rename()?;
        Ok(rows as u64)
    }
}
