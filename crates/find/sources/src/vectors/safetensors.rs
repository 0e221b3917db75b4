//! `.safetensors` with one tensor; the header has a fixed length, so that the number of rows can be filled in at the end.

use std::io::{BufWriter, Seek, SeekFrom, Write};

use kokeshi_core::{Error, Result};

use super::{Part, VectorWriter, check, write_values};

/// Bytes of the JSON header; spaces fill it up, as the format allows. Large enough for any 64-bit row count.
const HEADER: usize = 248;

pub(super) struct SafetensorsVectors {
    part: Part,
    file: BufWriter<std::fs::File>,
    dims: usize,
    rows: u64,
}

impl SafetensorsVectors {
    pub(super) fn create(part: Part, dims: usize) -> Result<Self> {
        let mut file = part.open()?;
        file.write_all(&header(0, dims)).map_err(Error::io(&part.path))?;
        Ok(Self {
            part,
            file,
            dims,
            rows: 0,
        })
    }
}

fn header(rows: u64, dims: usize) -> Vec<u8> {
    let json = format!(
        r#"{{"embeddings":{{"dtype":"F32","shape":[{rows},{dims}],"data_offsets":[0,{}]}}}}"#,
        u128::from(rows) * dims as u128 * 4
    );
    let mut bytes = (HEADER as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes.resize(8 + HEADER, b' ');
    bytes
}

impl VectorWriter for SafetensorsVectors {
    fn append(&mut self, ids: &[&str], rows: &[f32]) -> Result<()> {
        check(ids, rows, self.dims)?;
        write_values(&mut self.file, rows).map_err(Error::io(&self.part.path))?;
        self.rows += ids.len() as u64;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<u64> {
        let Self {
            part,
            mut file,
            dims,
            rows,
        } = *self;
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(&header(rows, dims)))
            .map_err(Error::io(&part.path))?;
        part.publish(file)?;
        Ok(rows)
    }
}
