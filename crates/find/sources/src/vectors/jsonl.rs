//! `{"id": ..., "embedding": [...]}`, one a line, to a file or another stream.

use std::io::{BufWriter, Write};

use kokeshi_core::{Error, Result};

use super::{Part, VectorWriter, check};

/// Vectors as JSON Lines.
pub struct JsonlVectors {
    target: Target,
    dims: usize,
    rows: u64,
    line: Vec<u8>,
}

enum Target {
    File(Part, BufWriter<std::fs::File>),
    Stream(Box<dyn Write + Send>),
}

#[derive(serde::Serialize)]
struct Line<'a> {
    id: &'a str,
    embedding: &'a [f32],
}

impl JsonlVectors {
    /// Writes to a stream, such as stdout.
    pub fn to_stream(stream: Box<dyn Write + Send>, dims: usize) -> Self {
        Self {
            target: Target::Stream(stream),
            dims,
            rows: 0,
            line: Vec::new(),
        }
    }

    pub(super) fn create(part: Part, dims: usize) -> Result<Self> {
        let file = part.open()?;
        Ok(Self {
            target: Target::File(part, file),
            dims,
            rows: 0,
            line: Vec::new(),
        })
    }
}

impl VectorWriter for JsonlVectors {
    fn append(&mut self, ids: &[&str], rows: &[f32]) -> Result<()> {
        check(ids, rows, self.dims)?;
        for (id, embedding) in ids.iter().zip(rows.chunks_exact(self.dims.max(1))) {
            self.line.clear();
            let written =
                serde_json::to_writer(&mut self.line, &Line { id, embedding }).map_err(std::io::Error::from);
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
        }
        self.rows += ids.len() as u64;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<u64> {
        match self.target {
            Target::File(part, file) => part.publish(file)?,
            Target::Stream(mut stream) => stream.flush().map_err(Error::io("<stdout>"))?,
        }
        Ok(self.rows)
    }
}
