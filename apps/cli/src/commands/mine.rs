//! `kokeshi mine`.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

use kokeshi_core::{Embeddings, Progress, Seed};
use kokeshi_encode::{Model, Options, Task};
use kokeshi_recipe::{Mining, Pool, mine};
use kokeshi_sources::{Error as SourceError, RowError, rows};

use crate::args::{Mine, Take};
use crate::output::Output;
use crate::progress::{Bar, catch_interrupts};
use crate::stop::{Result, Stop};

/// Texts that are encoded together.
const BATCH: usize = 1024;

/// Finds negatives and writes the rows.
///
/// # Errors
/// Bad usage for rows that can't be read, with file and line, and for options that can't be.
pub fn run(args: &Mine, output: &Output) -> Result<()> {
    catch_interrupts();
    let options = Mining {
        negatives: args.negatives.into(),
        ranks: args.ranks,
        margin: args.margin,
        relative_margin: args.relative_margin,
        most: args.most,
        least: args.least,
        consistent: args.consistent,
        random: args.take == Take::Random,
    };
    options.check().map_err(Stop::usage)?;
    let [anchor, positive] = &args.columns[..] else {
        return Err(Stop::usage(format!(
            "--columns: expected two, anchor and positive, found {}",
            args.columns.len()
        )));
    };
    let (mut anchors, mut texts, mut pairs) = (Pool::default(), Pool::default(), Vec::new());
    read(&args.pairs, &[anchor, positive], |values| {
        pairs.push((anchors.number(values[0]), texts.number(values[1])));
    })?;
    if pairs.is_empty() {
        return Err(Stop::usage(format!(
            "{}: expected pairs, found no rows",
            args.pairs[0].display()
        )));
    }
    if let Some(column) = &args.corpus_column {
        read(&args.corpus, &[column], |values| {
            texts.number(values[0]);
        })?;
    }
    let same: HashMap<u32, u32> = (0..)
        .zip(anchors.texts())
        .filter_map(|(number, text)| Some((number, texts.find(text)?)))
        .collect();
    let model = super::model::load(args.model.model.as_deref(), &args.model.load)?;
    let bar = Bar::new(output.quiet || output.json);
    let asked = encode(&model, anchors.texts(), args, Task::Query, &bar)?;
    let found = encode(&model, texts.texts(), args, Task::Document, &bar)?;
    let mined = mine(&asked, &found, &pairs, &same, &options, Seed(args.seed)).map_err(Stop::usage)?;
    let mut lines = Vec::new();
    for row in &mined.rows {
        let (from, to) = pairs[row.pair];
        let mut line = serde_json::Map::new();
        line.insert("anchor".into(), anchors.texts()[from as usize].as_str().into());
        line.insert("positive".into(), texts.texts()[to as usize].as_str().into());
        for (at, (text, _)) in row.negatives.iter().enumerate() {
            let name = match at {
                0 => "negative".to_string(),
                at => format!("negative_{}", at + 1),
            };
            line.insert(name, texts.texts()[*text as usize].as_str().into());
        }
        serde_json::to_writer(&mut lines, &line).map_err(Stop::failed)?;
        lines.push(b'\n');
    }
    let to_stream = args.to.as_os_str() == "-";
    match to_stream {
        true => std::io::stdout()
            .write_all(&lines)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::BrokenPipe => Stop::quiet(),
                _ => Stop::failed(error),
            })?,
        false => kokeshi_core::file::write_atomic(&args.to, &lines).map_err(Stop::failed)?,
    }
    let count = mined.rows.len().max(1) as f64;
    let positive = mined.rows.iter().map(|row| f64::from(row.positive)).sum::<f64>() / count;
    let negative = mined
        .rows
        .iter()
        .flat_map(|row| &row.negatives)
        .map(|(_, score)| f64::from(*score))
        .sum::<f64>()
        / (count * options.negatives as f64);
    if output.json && !to_stream {
        return output.value(&serde_json::json!({
            "file": args.to, "model": model.id(), "pairs": pairs.len(), "texts": texts.texts().len(), "rows": mined.rows.len(),
            "too_few": mined.too_few, "inconsistent": mined.inconsistent, "positive": positive, "negative": negative,
        }));
    }
    output.note(format!(
        "{} of {} pairs have {} negatives among {} texts; {} have fewer, the positives of {} are too far off; cosines of positives {positive:.3}, \
         of negatives {negative:.3} in the mean",
        mined.rows.len(),
        pairs.len(),
        options.negatives,
        texts.texts().len(),
        mined.too_few,
        mined.inconsistent,
    ));
    Ok(())
}

/// The columns of every row; each must hold a text.
fn read(paths: &[PathBuf], columns: &[&str], mut each: impl FnMut(&[&str])) -> Result<()> {
    for row in rows(paths, columns).map_err(|error: SourceError| Stop::usage(error))? {
        let row = row.map_err(Stop::usage)?;
        let mut values = Vec::with_capacity(columns.len());
        for (column, value) in columns.iter().zip(&row.values) {
            match value.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
                Some(text) => values.push(text),
                None => {
                    return Err(Stop::usage(RowError {
                        origin: row.origin,
                        problem: format!("expected a text in {column}, found nothing"),
                        fatal: false,
                    }));
                }
            }
        }
        each(&values);
    }
    Ok(())
}

/// Vectors of length one.
fn encode(model: &Model, texts: &[String], args: &Mine, task: Task, bar: &Bar) -> Result<Embeddings> {
    let options = Options {
        task,
        size: args.model.size.unwrap_or_default(),
        normalize: Some(true),
        ..Options::default()
    };
    let (mut values, mut dims) = (Vec::new(), model.dims());
    bar.start("encoding", Some(texts.len() as u64), "texts");
    for batch in texts.chunks(BATCH) {
        let encoded = model.encode(batch, &options).map_err(Stop::usage)?;
        dims = encoded.dims();
        values.extend_from_slice(encoded.as_slice());
        bar.advance(batch.len() as u64);
        if bar.interrupted() {
            return Err(Stop::failed("stopped before the end"));
        }
    }
    bar.finish();
    Embeddings::from_vec(values, dims).map_err(Stop::failed)
}
