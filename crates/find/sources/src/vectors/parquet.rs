//! Parquet with columns `id` and `embedding`, a row group for every few thousand rows.

use std::io::BufWriter;
use std::sync::Arc;

use kokeshi_core::{Error, Result};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::{Part, VectorWriter, check};

/// Values of a row group that are held in memory until it is written: 16 MB.
const GROUP_VALUES: usize = 4 << 20;

const SCHEMA: &str = "message vectors {
    required binary id (STRING);
    required group embedding (LIST) {
        repeated group list {
            required float element;
        }
    }
}";

pub(super) struct ParquetVectors {
    part: Part,
    writer: SerializedFileWriter<BufWriter<std::fs::File>>,
    dims: usize,
    rows: u64,
    ids: Vec<ByteArray>,
    values: Vec<f32>,
}

impl ParquetVectors {
    pub(super) fn create(part: Part, dims: usize) -> Result<Self> {
        let file = part.open()?;
        let open = || {
            let schema = Arc::new(parse_message_type(SCHEMA)?);
            // Embeddings hardly repeat and hardly compress: a dictionary would only cost time.
            let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
            SerializedFileWriter::new(file, schema, Arc::new(properties))
        };
        let writer = open().map_err(failed(&part))?;
        Ok(Self {
            part,
            writer,
            dims,
            rows: 0,
            ids: Vec::new(),
            values: Vec::new(),
        })
    }

    fn write_group(&mut self) -> Result<()> {
        if self.ids.is_empty() {
            return Ok(());
        }
        // A row's first value starts a new list, and every value is there.
        let repetition: Vec<i16> = (0..self.values.len())
            .map(|at| i16::from(at % self.dims != 0))
            .collect();
        let definition = vec![1; self.values.len()];
        let mut write = || {
            let mut group = self.writer.next_row_group()?;
            if let Some(mut column) = group.next_column()? {
                column
                    .typed::<ByteArrayType>()
                    .write_batch(&self.ids, None, None)?;
                column.close()?;
            }
            if let Some(mut column) = group.next_column()? {
                column.typed::<FloatType>().write_batch(
                    &self.values,
                    Some(&definition),
                    Some(&repetition),
                )?;
                column.close()?;
            }
            group.close()
        };
        write().map_err(failed(&self.part))?;
        self.ids.clear();
        self.values.clear();
        Ok(())
    }
}

/// The library's error as one about this file.
fn failed(part: &Part) -> impl FnOnce(ParquetError) -> Error {
    let path = part.path.clone();
    move |error| Error::Io {
        path,
        source: std::io::Error::other(error.to_string()),
    }
}

impl VectorWriter for ParquetVectors {
    fn append(&mut self, ids: &[&str], rows: &[f32]) -> Result<()> {
        check(ids, rows, self.dims)?;
        self.ids.extend(ids.iter().map(|id| ByteArray::from(*id)));
        self.values.extend_from_slice(rows);
        self.rows += ids.len() as u64;
        if self.values.len() >= GROUP_VALUES {
            self.write_group()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<u64> {
        self.write_group()?;
        let Self {
            part, writer, rows, ..
        } = *self;
        let file = writer.into_inner().map_err(failed(&part))?;
        part.publish(file)?;
        Ok(rows)
    }
}
