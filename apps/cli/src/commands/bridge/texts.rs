//! Texts that two models read to learn a bridge from.

use std::path::PathBuf;

use kokeshi_core::{Embeddings, Progress, Seed};
use kokeshi_encode::{Model, Options, Task};
use kokeshi_sources::{OnError, Source, SourceOptions, sentences};

use crate::progress::Bar;
use crate::stop::{Result, Stop};

/// Texts that are encoded together.
const BATCH: usize = 1024;

/// Texts that are like queries, and texts that are like documents.
pub(super) struct Texts {
    queries: Vec<String>,
    documents: Vec<String>,
}

impl Texts {
    fn len(&self) -> usize {
        self.queries.len() + self.documents.len()
    }
}

/// Draws at most `most` texts of the documents in `paths`: whole ones, titles and sentences, each as likely as any other.
pub(super) fn draw(paths: &[PathBuf], most: usize, seed: Seed, bar: &Bar) -> Result<Texts> {
    let options = SourceOptions {
        attributes: Some(Vec::new()),
        on_error: OnError::Skip,
        ..SourceOptions::default()
    };
    let source = Source::open(paths, options).map_err(Stop::usage)?;
    let (_, total) = source.progress();
    bar.start("reading", (total > 0).then_some(total), "bytes");
    let (mut kept, mut seen, mut read) = (Vec::new(), 0, 0);
    let mut seed = seed;
    // Every text that was seen is kept with the same chance (reservoir sampling), in memory for `most`.
    let mut offer = |text: &str, whole: bool| {
        if text.trim().is_empty() {
            return;
        }
        seen += 1;
        if kept.len() < most {
            kept.push((text.to_string(), whole));
        } else {
            let place = seed.below(seen);
            if place < most {
                kept[place] = (text.to_string(), whole);
            }
        }
    };
    for document in source.documents().flatten() {
        offer(&document.title, false);
        let whole = match document.title.trim() {
            "" => document.text.clone(),
            title => format!("{title} {}", document.text),
        };
        offer(&whole, true);
        sentences(&document.text)
            .filter(|sentence| sentence.len() < whole.len())
            .for_each(|sentence| offer(sentence, false));
        let (now, _) = source.progress();
        bar.advance(now.saturating_sub(read));
        read = now;
        if bar.interrupted() {
            return Err(Stop::failed("stopped before the end: nothing was written"));
        }
    }
    bar.finish();
    let (documents, queries) = kept.into_iter().partition::<Vec<_>, _>(|(_, whole)| *whole);
    let only = |texts: Vec<(String, bool)>| texts.into_iter().map(|(text, _)| text).collect();
    let texts = Texts {
        queries: only(queries),
        documents: only(documents),
    };
    if texts.len() < kokeshi_codec::bridge::LEAST_PAIRS {
        let named: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Stop::usage(format!(
            "{}: expected at least {} texts to learn from, found {}",
            named.join(", "),
            kokeshi_codec::bridge::LEAST_PAIRS,
            texts.len()
        )));
    }
    Ok(texts)
}

/// The vectors of all texts: those like queries, then those like documents.
pub(super) fn encode(model: &Model, texts: &Texts, bar: &Bar) -> Result<Embeddings> {
    bar.start(
        &format!("embedding by {}", model.id()),
        Some(texts.len() as u64),
        "texts",
    );
    let mut rows = Vec::with_capacity(texts.len() * model.dims());
    for (texts, task) in [(&texts.queries, Task::Query), (&texts.documents, Task::Document)] {
        encode_as(model, texts, task, bar, &mut rows)?;
    }
    bar.finish();
    Embeddings::from_vec(rows, model.dims()).map_err(Stop::failed)
}

/// Appends the vectors of `texts` to `rows`.
pub(super) fn encode_as<T: AsRef<str> + Sync>(
    model: &Model,
    texts: &[T],
    task: Task,
    bar: &Bar,
    rows: &mut Vec<f32>,
) -> Result<()> {
    let options = Options {
        task,
        ..Options::default()
    };
    for batch in texts.chunks(BATCH) {
        rows.extend_from_slice(model.encode(batch, &options).map_err(Stop::failed)?.as_slice());
        bar.advance(batch.len() as u64);
        if bar.interrupted() {
            return Err(Stop::failed("stopped before the end: nothing was written"));
        }
    }
    Ok(())
}
