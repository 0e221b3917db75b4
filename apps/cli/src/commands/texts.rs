//! Texts of a file or of standard input, one a row: what `embed` and `rerank` read.

use std::path::Path;

use kokeshi_core::Progress;
use kokeshi_sources::{Document, Error, OnError, Source, SourceOptions};

use crate::progress::Bar;
use crate::stop::{Result, Stop};

/// Texts that are worked on together: enough for all cores, few enough to hold.
const BATCH: usize = 1024;
/// A batch also ends after this much text.
const BATCH_BYTES: usize = 4 << 20;

/// Opens lines, JSONL, Parquet or any other format that `index` reads; every row is a text, empty lines too.
///
/// # Errors
/// Bad usage for a file or field that is not there.
pub fn open(input: &Path, field: Option<&str>, id: Option<&str>) -> Result<Source> {
    let options = SourceOptions {
        id: id.map(str::to_string),
        text: field.into_iter().map(str::to_string).collect(),
        attributes: Some(Vec::new()),
        // A row left out would move all later results away from their texts.
        on_error: OnError::Fail,
        keep_blank_lines: true,
        // A file named by itself; below a folder every file is a text.
        lines: input.is_file(),
        ..SourceOptions::default()
    };
    Source::open(&[input.to_path_buf()], options).map_err(|error| {
        Stop::usage(match error {
            Error::UnknownField {
                role: "--text",
                field,
                available,
            } => Error::UnknownField {
                role: "--field",
                field,
                available,
            },
            error => error,
        })
    })
}

/// What of a row is read: its title if it has one, and its text.
pub fn whole(document: &mut Document) -> String {
    match document.title.is_empty() {
        true => std::mem::take(&mut document.text),
        false => format!("{}\n\n{}", document.title, document.text),
    }
}

/// Gives the rows to `each`, batch after batch.
///
/// # Errors
/// Bad usage for a row that can't be read, or what `each` reports, or a stop if the user interrupts.
pub fn in_batches(
    source: &Source,
    work: &str,
    bar: &Bar,
    mut each: impl FnMut(&mut [Document]) -> Result<()>,
) -> Result<()> {
    let (_, total) = source.progress();
    bar.start(work, (total > 0).then_some(total), "bytes");
    let mut batch: Vec<Document> = Vec::with_capacity(BATCH);
    let (mut bytes, mut read) = (0, 0);
    for row in source.documents() {
        let document = row.map_err(Stop::usage)?;
        bytes += document.text.len();
        batch.push(document);
        if batch.len() >= BATCH || bytes >= BATCH_BYTES {
            each(&mut batch)?;
            batch.clear();
            bytes = 0;
            let (now, _) = source.progress();
            bar.advance(now.saturating_sub(read));
            read = now;
            if bar.interrupted() {
                return Err(Stop::failed("stopped before the end: nothing was written"));
            }
        }
    }
    if !batch.is_empty() {
        each(&mut batch)?;
    }
    bar.finish();
    Ok(())
}
