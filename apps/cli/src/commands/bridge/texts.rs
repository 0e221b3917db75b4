//! Texts that two models read to learn a bridge from.

use std::path::PathBuf;

use kokeshi_core::{Embeddings, Progress, Seed};
use kokeshi_encode::{Model, Options, Task};
use kokeshi_sources::{OnError, Source, SourceOptions, sentences};

use crate::progress::Bar;
use crate::stop::{Result, Stop};

/// Texts that are encoded together.
const BATCH: usize = 1024;
/// So many whole texts need no titles and sentences beside them: on SciFact all 5,183 whole texts keep 89.4 % in the hard direction, with 20,000
/// titles and sentences 87.4 %, a mixture of 4,000 in which one in ten is whole 86.2 %, and 2,000 whole ones alone 87.6 %.
const WHOLE: usize = 2000;

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

/// A random choice of what is offered, in memory for `most`: everything that was seen is kept with the same chance (reservoir sampling).
struct Reservoir {
    kept: Vec<String>,
    seen: usize,
    most: usize,
}

impl Reservoir {
    fn new(most: usize) -> Self {
        Self {
            kept: Vec::new(),
            seen: 0,
            most,
        }
    }

    fn offer(&mut self, text: &str, seed: &mut Seed) {
        if text.trim().is_empty() {
            return;
        }
        self.seen += 1;
        if self.kept.len() < self.most {
            self.kept.push(text.to_string());
        } else {
            let place = seed.below(self.seen);
            if place < self.most {
                self.kept[place] = text.to_string();
            }
        }
    }
}

/// Draws at most `most` of the documents in `paths`; where they are few, titles and sentences as well.
pub(super) fn draw(paths: &[PathBuf], most: usize, seed: Seed, bar: &Bar) -> Result<Texts> {
    let options = SourceOptions {
        attributes: Some(Vec::new()),
        on_error: OnError::Skip,
        ..SourceOptions::default()
    };
    let source = Source::open(paths, options).map_err(Stop::usage)?;
    let (_, total) = source.progress();
    bar.start("reading", (total > 0).then_some(total), "bytes");
    let (mut read, mut seed) = (0, seed);
    let (mut documents, mut parts) = (Reservoir::new(most), Reservoir::new(most.min(WHOLE)));
    for document in source.documents().flatten() {
        parts.offer(&document.title, &mut seed);
        let whole = match document.title.trim() {
            "" => document.text.clone(),
            title => format!("{title} {}", document.text),
        };
        documents.offer(&whole, &mut seed);
        sentences(&document.text)
            .filter(|sentence| sentence.len() < whole.len())
            .for_each(|sentence| parts.offer(sentence, &mut seed));
        let (now, _) = source.progress();
        bar.advance(now.saturating_sub(read));
        read = now;
        if bar.interrupted() {
            return Err(Stop::failed("stopped before the end: nothing was written"));
        }
    }
    bar.finish();
    let mut queries = parts.kept;
    seed.shuffle(&mut queries);
    queries.truncate(most.min(WHOLE).saturating_sub(documents.kept.len()));
    let texts = Texts {
        queries,
        documents: documents.kept,
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
