//! Rows of tables as they are: named columns as texts, for readers that are not after documents.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::vec::IntoIter;

use crate::document::Origin;
use crate::error::{Error, Result, RowError};
use crate::formats::{Problem, Reader};
use crate::options::SourceOptions;
use crate::source::open_reader;
use crate::walk::{self, Found, Skipped};

/// A row's values in the order in which they were asked for; `None` where it has nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The values.
    pub values: Vec<Option<String>>,
    /// File and line.
    pub origin: Origin,
}

/// The rows of files with named columns: JSONL, JSON, CSV, TSV, Parquet, packed or not.
pub struct Rows {
    files: IntoIter<Found>,
    fields: Vec<String>,
    options: SourceOptions,
    open: Option<(String, Box<dyn Reader>)>,
}

/// Opens `paths` (files or folders) for the columns `fields`.
///
/// # Errors
/// A path that isn't there, or a file that has no columns.
pub fn rows(paths: &[PathBuf], fields: &[&str]) -> Result<Rows> {
    let options = SourceOptions::default();
    let files = walk::files(paths, &options, &mut Skipped::default())?;
    if let Some(file) = files.iter().find(|file| !file.format.is_table()) {
        return Err(Error::File {
            path: file.name.clone(),
            problem: format!(
                "expected a table (JSONL, JSON, CSV, TSV or Parquet), found {}",
                file.format.describe()
            ),
        });
    }
    Ok(Rows {
        files: files.into_iter(),
        fields: fields.iter().map(|field| (*field).to_string()).collect(),
        options,
        open: None,
    })
}

impl Iterator for Rows {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((name, reader)) = &mut self.open else {
                let file = self.files.next()?;
                match open_reader(&file, &self.options, &Arc::new(AtomicU64::new(0)), None) {
                    Ok(reader) => self.open = Some((file.name, reader)),
                    Err(problem) => return Some(Err(problem.at(&file.name, false))),
                }
                continue;
            };
            match reader.next() {
                None => self.open = None,
                Some(Ok(record)) => {
                    let origin = Origin {
                        path: name.as_str().into(),
                        line: record.line,
                    };
                    let mut values = vec![None; self.fields.len()];
                    for (field, value) in record.fields {
                        if let Some(at) = self.fields.iter().position(|known| known.as_str() == &*field) {
                            values[at] = value.into_string();
                        }
                    }
                    return Some(Ok(Row { values, origin }));
                }
                Some(Err(problem)) => {
                    let error = Problem::at(problem, name, false);
                    return Some(Err(error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_columns_that_were_asked_for_and_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairs.tsv");
        std::fs::write(&path, "score\ta\tb\n1.5\tone \"quoted\tother\n2\t\tlast\n").unwrap();
        let found: Vec<Row> = rows(&[path], &["b", "a", "score", "none"])
            .unwrap()
            .map(|row| row.unwrap())
            .collect();
        let text = |text: &str| Some(text.to_string());
        assert_eq!(
            found[0].values,
            [text("other"), text("one \"quoted"), text("1.5"), None]
        );
        assert_eq!(found[1].values[0], text("last"));
        assert_eq!(found[1].origin.line, 3);
    }

    #[test]
    fn a_file_without_columns_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.md");
        std::fs::write(&path, "# a").unwrap();
        let error = rows(&[path], &["a"]).err().unwrap().to_string();
        assert!(error.contains("expected a table"), "{error}");
    }
}
