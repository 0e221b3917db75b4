//! `.npy` through the ground floor's writer, under the unfinished name until the end.

use std::path::Path;

use kokeshi_core::{Error, Result, npy};

use super::{Part, VectorWriter, check};

pub(super) struct NpyVectors {
    part: Part,
    writer: npy::Writer,
    dims: usize,
}

impl NpyVectors {
    pub(super) fn create(part: Part, dims: usize) -> Result<Self> {
        let writer = npy::Writer::create(&part.part, dims).map_err(named(&part.path))?;
        Ok(Self { part, writer, dims })
    }
}

/// Names the file that was asked for instead of the unfinished one.
fn named(path: &Path) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Io { source, .. } => Error::io(path)(source),
        error => error,
    }
}

impl VectorWriter for NpyVectors {
    fn append(&mut self, ids: &[&str], rows: &[f32]) -> Result<()> {
        check(ids, rows, self.dims)?;
        self.writer.append(rows).map_err(named(&self.part.path))
    }

    fn finish(self: Box<Self>) -> Result<u64> {
        let Self { mut part, writer, .. } = *self;
        let (rows, _) = writer.finish().map_err(named(&part.path))?;
        part.rename()?;
        Ok(rows as u64)
    }
}
