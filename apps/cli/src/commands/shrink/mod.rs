//! `kokeshi shrink`: what smaller vectors lose, and making them.

mod choose;
mod collection;
mod report;
mod sample;
mod steps;

use std::path::Path;

use kokeshi_core::{Embeddings, Error};
use kokeshi_sources::vectors::{self, NamedVectors};

use crate::args::{OnError, Shrink, ShrinkStep};
use crate::output::Output;
use crate::stop::{Result, Stop};

/// Chooses a codec, or carries out one step.
///
/// # Errors
/// Bad usage for vectors that can't be read or don't fit; a failure if the result can't be written.
pub fn run(args: &Shrink, output: &Output) -> Result<()> {
    match &args.step {
        None if args.choose.collection.is_some() => collection::run(&args.choose, output),
        // Clap does not ask for --in beside a file, with which it can't go.
        None if args.choose.codec.is_some() => Err(Stop::usage(
            "--codec is for --in DIR: expected a collection, found none",
        )
        .hint("for a file: kokeshi shrink train docs.npy --codec CODEC --to codec.bin; --codecs tries some")),
        None => choose::run(&args.choose, output),
        Some(ShrinkStep::Train(args)) => steps::train(args, output),
        Some(ShrinkStep::Apply(args)) => steps::apply(args, output),
        Some(ShrinkStep::Inspect(args)) => steps::inspect(args, output),
    }
}

/// Reads vectors; rows that are not finite are refused or become zeros. There is at least one row.
pub(in crate::commands) fn read(path: &Path, on_error: OnError, output: &Output) -> Result<NamedVectors> {
    let mut read = vectors::read(path).map_err(Stop::usage)?;
    if read.vectors.is_empty() || read.vectors.dims() == 0 {
        return Err(Stop::usage(format!(
            "{}: expected vectors, found none",
            path.display()
        )));
    }
    match (read.vectors.check_finite(&path.display().to_string()), on_error) {
        (Ok(()), _) => {}
        (Err(error), OnError::Fail) => {
            return Err(
                Stop::usage(error).hint("--on-error skip takes such rows as zeros, which are like nothing")
            );
        }
        (Err(_), OnError::Skip) => {
            let (vectors, rows) = zeroed(&read.vectors);
            let first: Vec<String> = rows.iter().take(5).map(usize::to_string).collect();
            output.note(format!(
                "note: {}: {} rows are not finite and count as zeros (rows {}{})",
                path.display(),
                rows.len(),
                first.join(", "),
                if rows.len() > first.len() { ", ..." } else { "" }
            ));
            read.vectors = vectors;
        }
    }
    let zeros = read
        .vectors
        .iter()
        .filter(|row| row.iter().all(|&value| value == 0.0))
        .count();
    if zeros > 0 {
        output.note(format!(
            "note: {}: {zeros} rows are all zeros: under cosine they are like nothing",
            path.display()
        ));
    }
    Ok(read)
}

/// The vectors with zeros for rows that are not finite, and which those are.
fn zeroed(vectors: &Embeddings) -> (Embeddings, Vec<usize>) {
    let mut vectors = vectors.clone();
    let dims = vectors.dims();
    let mut rows = Vec::new();
    for (number, row) in vectors.as_mut_slice().chunks_exact_mut(dims).enumerate() {
        if row.iter().any(|value| !value.is_finite()) {
            row.fill(0.0);
            rows.push(number);
        }
    }
    (vectors, rows)
}

/// Fails unless `found` is as wide as `expected`.
fn same_width(expected: &Embeddings, found: &Embeddings, what: &Path) -> Result<()> {
    if expected.dims() == found.dims() {
        return Ok(());
    }
    Err(Stop::usage(Error::Dims {
        what: what.display().to_string(),
        expected: expected.dims(),
        found: found.dims(),
    }))
}
