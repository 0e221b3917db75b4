//! JSON Lines of vectors, to a file or another stream: `{"id": ..., "embedding": [...]}`, or sparse
//! `{"id": ..., "indices": [...], "values": [...], "tokens": [...]}`.

use std::io::{BufWriter, Write};
use std::path::Path;

use kokeshi_core::{Error, Result};

use super::{Part, VectorWriter, check};

/// Objects, one a line.
struct Lines {
    target: Target,
    rows: u64,
    line: Vec<u8>,
}

enum Target {
    File(Part, BufWriter<std::fs::File>),
    Stream(Box<dyn Write + Send>),
}

impl Lines {
    fn to_stream(stream: Box<dyn Write + Send>) -> Self {
        Self {
            target: Target::Stream(stream),
            rows: 0,
            line: Vec::new(),
        }
    }

    fn create(part: Part) -> Result<Self> {
        let file = part.open()?;
        Ok(Self {
            target: Target::File(part, file),
            rows: 0,
            line: Vec::new(),
        })
    }

    fn append(&mut self, row: &impl serde::Serialize) -> Result<()> {
        self.line.clear();
        let written = serde_json::to_writer(&mut self.line, row).map_err(std::io::Error::from);
        self.line.push(b'\n');
        match &mut self.target {
            Target::File(part, file) => {
                written
                    .and_then(|()| file.write_all(&self.line))
                    .map_err(Error::io(&part.path))?;
            }
            Target::Stream(stream) => {
                written
                    .and_then(|()| stream.write_all(&self.line))
                    .map_err(Error::io("<stdout>"))?;
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(self) -> Result<u64> {
        match self.target {
            Target::File(part, file) => part.publish(file)?,
            Target::Stream(mut stream) => stream.flush().map_err(Error::io("<stdout>"))?,
        }
        Ok(self.rows)
    }
}

/// Vectors as JSON Lines.
pub struct JsonlVectors {
    lines: Lines,
    dims: usize,
}

#[derive(serde::Serialize)]
struct Dense<'a> {
    id: &'a str,
    embedding: &'a [f32],
}

impl JsonlVectors {
    /// Writes to a stream, such as stdout.
    pub fn to_stream(stream: Box<dyn Write + Send>, dims: usize) -> Self {
        Self {
            lines: Lines::to_stream(stream),
            dims,
        }
    }

    pub(super) fn create(part: Part, dims: usize) -> Result<Self> {
        Ok(Self {
            lines: Lines::create(part)?,
            dims,
        })
    }
}

impl VectorWriter for JsonlVectors {
    fn append(&mut self, ids: &[&str], rows: &[f32]) -> Result<()> {
        check(ids, rows, self.dims)?;
        for (id, embedding) in ids.iter().zip(rows.chunks_exact(self.dims.max(1))) {
            self.lines.append(&Dense { id, embedding })?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<u64> {
        self.lines.finish()
    }
}

/// Sparse vectors as JSON Lines.
pub struct SparseJsonl {
    lines: Lines,
}

/// One sparse vector.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct SparseRow<'a> {
    /// The text's id.
    pub id: &'a str,
    /// Dimensions, ascending.
    pub indices: &'a [u32],
    /// The value of each.
    pub values: &'a [f32],
    /// The token that each stands for.
    pub tokens: &'a [&'a str],
}

impl SparseJsonl {
    /// Writes to a stream, such as stdout.
    pub fn to_stream(stream: Box<dyn Write + Send>) -> Self {
        Self {
            lines: Lines::to_stream(stream),
        }
    }

    /// Writes to a file, which is there once [`SparseJsonl::finish`] is done.
    ///
    /// # Errors
    /// If the file can't be made.
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self {
            lines: Lines::create(Part::new(path))?,
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn append(&mut self, row: SparseRow<'_>) -> Result<()> {
        self.lines.append(&row)
    }

    /// Makes the file complete and visible; returns how many rows it has.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn finish(self) -> Result<u64> {
        self.lines.finish()
    }
}
