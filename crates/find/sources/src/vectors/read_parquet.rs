//! Vectors of a Parquet file: its one column of lists of floats or doubles, and a column `id` if there is one.

use std::path::Path;

use kokeshi_core::{Embeddings, Error, Result};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};

use super::read::{NamedVectors, named};
use crate::formats::parquet::guarded;

/// Rows that are read together.
const BATCH: usize = 4096;

pub(super) fn read(path: &Path) -> Result<NamedVectors> {
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let mut found = Found::default();
    guarded(|| found.read(file)).map_err(|problem| Error::file(path, problem))?;
    let vectors = Embeddings::from_vec(found.values, found.dims)
        .map_err(|error| Error::file(path, error.to_string()))?;
    named(path, vectors, found.ids)
}

#[derive(Default)]
struct Found {
    values: Vec<f32>,
    dims: usize,
    /// Values of the row that is being read, and rows before it.
    width: usize,
    rows: usize,
    ids: Vec<String>,
}

fn say(error: ParquetError) -> String {
    error.to_string()
}

impl Found {
    fn read(&mut self, file: std::fs::File) -> Result<(), String> {
        let reader = SerializedFileReader::new(file).map_err(say)?;
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let is_number = |at: &usize| {
            let column = schema.column(*at);
            let number = matches!(
                column.physical_type(),
                parquet::basic::Type::FLOAT | parquet::basic::Type::DOUBLE
            );
            number && column.max_rep_level() == 1
        };
        let lists: Vec<usize> = (0..schema.num_columns()).filter(is_number).collect();
        let [column] = lists[..] else {
            let names: Vec<String> = lists
                .iter()
                .map(|&at| schema.column(at).path().string())
                .collect();
            return Err(format!(
                "expected one column of lists of floats, found {}: {names:?}",
                names.len()
            ));
        };
        let id = (0..schema.num_columns()).find(|&at| schema.column(at).path().string() == "id");
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).map_err(say)?;
            let whole = schema.column(column).max_def_level();
            match group.get_column_reader(column).map_err(say)? {
                ColumnReader::FloatColumnReader(reader) => self.lists(reader, whole, |value| value)?,
                ColumnReader::DoubleColumnReader(reader) => {
                    self.lists(reader, whole, |value| value as f32)?
                }
                _ => return Err("expected floats or doubles".into()),
            }
            if let Some(id) = id {
                self.ids(group.as_ref(), id)?;
            }
        }
        Ok(())
    }

    fn lists<T: DataType>(
        &mut self,
        mut reader: ColumnReaderImpl<T>,
        whole: i16,
        value: impl Fn(T::T) -> f32,
    ) -> Result<(), String> {
        let (mut values, mut present, mut nested) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            values.clear();
            present.clear();
            nested.clear();
            let (records, ..) = reader
                .read_records(BATCH, Some(&mut present), Some(&mut nested), &mut values)
                .map_err(say)?;
            if records == 0 {
                return Ok(());
            }
            for (&present, &nested) in present.iter().zip(&nested) {
                if nested == 0 {
                    self.end_row()?;
                }
                if present != whole {
                    return Err(format!(
                        "row {}: expected a value in every place, found none",
                        self.rows
                    ));
                }
                self.width += 1;
            }
            self.values.extend(values.drain(..).map(&value));
            self.end_row()?;
        }
    }

    /// Checks the row that was read, if any.
    fn end_row(&mut self) -> Result<(), String> {
        if self.width == 0 {
            return Ok(());
        }
        if self.rows == 0 {
            self.dims = self.width;
        }
        if self.width != self.dims {
            return Err(format!(
                "row {}: expected {} values, found {}",
                self.rows, self.dims, self.width
            ));
        }
        self.rows += 1;
        self.width = 0;
        Ok(())
    }

    fn ids(&mut self, group: &dyn RowGroupReader, column: usize) -> Result<(), String> {
        let text = |bytes: ByteArray| bytes.as_utf8().map(String::from).map_err(say);
        match group.get_column_reader(column).map_err(say)? {
            ColumnReader::ByteArrayColumnReader(reader) => self.names(reader, text),
            ColumnReader::Int32ColumnReader(reader) => self.names(reader, |id| Ok(id.to_string())),
            ColumnReader::Int64ColumnReader(reader) => self.names(reader, |id| Ok(id.to_string())),
            _ => Ok(()),
        }
    }

    fn names<T: DataType>(
        &mut self,
        mut reader: ColumnReaderImpl<T>,
        name: impl Fn(T::T) -> Result<String, String>,
    ) -> Result<(), String> {
        let (mut values, mut present, mut nested) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            present.clear();
            nested.clear();
            let (records, ..) = reader
                .read_records(BATCH, Some(&mut present), Some(&mut nested), &mut values)
                .map_err(say)?;
            if records == 0 {
                return Ok(());
            }
            for value in values.drain(..) {
                self.ids.push(name(value)?);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::data_type::FloatType;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    #[test]
    fn a_missing_value_is_named_by_its_own_row() {
        let schema =
            "message m { optional group v (LIST) { repeated group list { optional float element; } } }";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.parquet");
        // Two rows of two values; then a row that is missing as a whole, or one whose second value is.
        for (present, nested, row) in [
            (&[3, 3, 3, 3, 0][..], &[0, 1, 0, 1, 0][..], 2),
            (&[3, 3, 3, 2], &[0, 1, 0, 1], 1),
            (&[2, 3], &[0, 1], 0),
        ] {
            let file = std::fs::File::create(&path).unwrap();
            let schema = Arc::new(parse_message_type(schema).unwrap());
            let properties = Arc::new(WriterProperties::default());
            let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
            let mut group = writer.next_row_group().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let values = vec![1.0; present.iter().filter(|level| **level == 3).count()];
            column
                .typed::<FloatType>()
                .write_batch(&values, Some(present), Some(nested))
                .unwrap();
            column.close().unwrap();
            group.close().unwrap();
            writer.close().unwrap();
            let said = read(&path).map(|_| ()).unwrap_err().to_string();
            let expected = format!("row {row}: expected a value in every place, found none");
            assert!(said.ends_with(&expected), "{said}");
        }
    }
}
