//! `kokeshi embed`: texts in, vectors out, in bounded memory.

use std::path::Path;

use kokeshi_core::Size;
use kokeshi_encode::{Model, Options};
use kokeshi_sources::Document;
use kokeshi_sources::vectors::{self, JsonlVectors, SparseJsonl, SparseRow, VectorFormat, VectorWriter};

use super::texts;
use crate::args::{Embed, Task};
use crate::output::Output;
use crate::progress::{Bar, catch_interrupts};
use crate::stop::{Result, Stop};

/// Encodes every text of the input in order.
///
/// # Errors
/// Bad usage for a field, model or size that is not there; a failure if the output can't be written.
pub fn run(args: &Embed, output: &Output) -> Result<()> {
    catch_interrupts();
    if args.sparse {
        return sparse(args, output);
    }
    let to_stream = args.to.as_os_str() == "-";
    let format = if to_stream {
        VectorFormat::Jsonl
    } else {
        VectorFormat::of(&args.to).map_err(Stop::usage)?
    };
    let model = super::model::load(args.model.model.as_deref(), &args.model.load)?;
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
    let source = texts::open(&args.input, args.field.as_deref(), args.id.as_deref())?;
    let mut writer: Box<dyn VectorWriter> = if to_stream {
        Box::new(JsonlVectors::to_stream(Box::new(std::io::stdout()), dims))
    } else {
        vectors::create(&args.to, format, dims).map_err(Stop::failed)?
    };
    let bar = Bar::new(output.quiet || output.json || to_stream);
    texts::in_batches(&source, "embedding", &bar, |batch| {
        append(batch, &model, &options, writer.as_mut())
    })?;
    let rows = writer.finish().map_err(broken)?;
    if to_stream {
        return Ok(());
    }
    done(&args.to, rows, dims, model.id(), output)
}

fn append(
    batch: &mut [Document],
    model: &Model,
    options: &Options,
    writer: &mut dyn VectorWriter,
) -> Result<()> {
    let texts: Vec<String> = batch.iter_mut().map(texts::whole).collect();
    let vectors = model.encode(&texts, options).map_err(Stop::failed)?;
    let ids: Vec<&str> = batch.iter().map(|document| document.id.as_str()).collect();
    writer.append(&ids, vectors.as_slice()).map_err(broken)
}

/// Encodes every text as weights of tokens.
fn sparse(args: &Embed, output: &Output) -> Result<()> {
    let to_stream = args.to.as_os_str() == "-";
    if !to_stream && VectorFormat::of(&args.to).map_err(Stop::usage)? != VectorFormat::Jsonl {
        return Err(Stop::usage(format!(
            "{}: sparse vectors are written as .jsonl",
            args.to.display()
        )));
    }
    let name = args.model.model.as_deref().unwrap_or_default();
    let model = super::model::sparse(name, &args.model.load)?;
    let source = texts::open(&args.input, args.field.as_deref(), args.id.as_deref())?;
    let mut writer = match to_stream {
        true => SparseJsonl::to_stream(Box::new(std::io::stdout())),
        false => SparseJsonl::create(&args.to).map_err(Stop::failed)?,
    };
    let bar = Bar::new(output.quiet || output.json || to_stream);
    texts::in_batches(&source, "embedding", &bar, |batch| {
        let texts: Vec<String> = batch.iter_mut().map(texts::whole).collect();
        let vectors = model.encode(&texts).map_err(Stop::failed)?;
        for (document, vector) in batch.iter().zip(vectors) {
            let (indices, values): (Vec<u32>, Vec<f32>) = vector.into_iter().unzip();
            let tokens = indices
                .iter()
                .map(|index| model.token(*index).unwrap_or_default());
            let row = SparseRow {
                id: &document.id,
                indices: &indices,
                values: &values,
                tokens: &tokens.collect::<Vec<_>>(),
            };
            writer.append(row).map_err(broken)?;
        }
        Ok(())
    })?;
    let rows = writer.finish().map_err(broken)?;
    if to_stream {
        return Ok(());
    }
    done(&args.to, rows, model.dims(), model.id(), output)
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

fn done(file: &Path, rows: u64, dims: usize, model: &str, output: &Output) -> Result<()> {
    if output.json {
        return output.value(&serde_json::json!({"file": file, "rows": rows, "dims": dims, "model": model}));
    }
    output.line(format!(
        "{rows} vectors of {dims} dims by {model} in {}",
        file.display()
    ))
}
