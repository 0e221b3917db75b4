//! `kokeshi embed`: texts in, vectors out, in bounded memory.

use std::path::Path;

use kokeshi_core::{Progress, Size};
use kokeshi_encode::{Model, Options};
use kokeshi_sources::vectors::{self, JsonlVectors, VectorFormat, VectorWriter};
use kokeshi_sources::{Document, OnError, Source, SourceOptions};

use crate::args::{Embed, Task};
use crate::output::Output;
use crate::progress::{Bar, catch_interrupts};
use crate::stop::{Result, Stop};

/// Texts that are encoded together: enough for all cores, few enough to hold.
const BATCH: usize = 1024;
/// A batch also ends after this much text.
const BATCH_BYTES: usize = 4 << 20;

/// Encodes every text of the input in order.
///
/// # Errors
/// Bad usage for a field, model or size that is not there; a failure if the output can't be written.
pub fn run(args: &Embed, output: &Output) -> Result<()> {
    catch_interrupts();
    let to_stream = args.to.as_os_str() == "-";
    let format = if to_stream {
        VectorFormat::Jsonl
    } else {
        VectorFormat::of(&args.to).map_err(Stop::usage)?
    };
    let model = super::model::load(args.model.model.as_deref(), args.model.precision)?;
    let options = Options {
        task: match args.task {
            None => kokeshi_encode::Task::Plain,
            Some(Task::Query) => kokeshi_encode::Task::Query,
            Some(Task::Document) => kokeshi_encode::Task::Document,
        },
        prompt: args.prompt.clone(),
        prompt_name: args.prompt_name.clone(),
        size: args.model.size.unwrap_or(Size::FULL),
        normalize: args.normalize.then_some(true),
    };
    // A size or prompt that the model doesn't have is said before anything is read.
    let dims = model.encode(&[""], &options).map_err(Stop::usage)?.dims();
    let source = Source::open(
        std::slice::from_ref(&args.input),
        SourceOptions {
            id: args.id.clone(),
            text: args.field.iter().cloned().collect(),
            attributes: Some(Vec::new()),
            // A row left out would move all later vectors away from their texts.
            on_error: OnError::Fail,
            keep_blank_lines: true,
            ..SourceOptions::default()
        },
    )
    .map_err(Stop::usage)?;
    let mut writer: Box<dyn VectorWriter> = if to_stream {
        Box::new(JsonlVectors::to_stream(Box::new(std::io::stdout()), dims))
    } else {
        vectors::create(&args.to, format, dims).map_err(Stop::failed)?
    };
    let bar = Bar::new(output.quiet || output.json || to_stream);
    let (_, total) = source.progress();
    bar.start("embedding", (total > 0).then_some(total), "bytes");
    let mut batch: Vec<Document> = Vec::with_capacity(BATCH);
    let (mut bytes, mut read) = (0, 0);
    for row in source.documents() {
        let document = row.map_err(Stop::usage)?;
        bytes += document.text.len();
        batch.push(document);
        if batch.len() >= BATCH || bytes >= BATCH_BYTES {
            append(&mut batch, &model, &options, writer.as_mut())?;
            bytes = 0;
            let (now, _) = source.progress();
            bar.advance(now.saturating_sub(read));
            read = now;
            if bar.interrupted() {
                return Err(Stop::failed("stopped before the end: nothing was written"));
            }
        }
    }
    append(&mut batch, &model, &options, writer.as_mut())?;
    bar.finish();
    let rows = writer.finish().map_err(broken)?;
    if to_stream {
        return Ok(());
    }
    done(&args.to, rows, dims, &model, output)
}

fn append(
    batch: &mut Vec<Document>,
    model: &Model,
    options: &Options,
    writer: &mut dyn VectorWriter,
) -> Result<()> {
    let texts: Vec<String> = batch
        .iter_mut()
        .map(|document| match document.title.is_empty() {
            true => std::mem::take(&mut document.text),
            false => format!("{}\n\n{}", document.title, document.text),
        })
        .collect();
    let vectors = model.encode(&texts, options).map_err(Stop::failed)?;
    let ids: Vec<&str> = batch.iter().map(|document| document.id.as_str()).collect();
    writer.append(&ids, vectors.as_slice()).map_err(broken)?;
    batch.clear();
    Ok(())
}

/// A reader of our output that went away is not worth a word.
fn broken(error: kokeshi_core::Error) -> Stop {
    match &error {
        kokeshi_core::Error::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe => {
            Stop::quiet()
        }
        _ => Stop::failed(error),
    }
}

fn done(file: &Path, rows: u64, dims: usize, model: &Model, output: &Output) -> Result<()> {
    if output.json {
        return output
            .value(&serde_json::json!({"file": file, "rows": rows, "dims": dims, "model": model.id()}));
    }
    output.line(format!(
        "{rows} vectors of {dims} dims by {} in {}",
        model.id(),
        file.display()
    ))
}
