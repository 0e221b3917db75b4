//! `kokeshi eval --sizes`: one model judged at several sizes, each text run through its layers once.

use kokeshi_core::{Embeddings, Metric, Progress, Size};
use kokeshi_encode::{Model, Options, Task};
use kokeshi_eval::{Beir, Qrels, Run};
use kokeshi_index::{Effort, FlatIndex, Index};

use crate::args::Eval;
use crate::output::Output;
use crate::progress::Bar;
use crate::stop::{Result, Stop};

/// Texts that are encoded together.
const BATCH: usize = 1024;

/// The model that the arguments name.
///
/// # Errors
/// Bad usage if there is none.
pub fn model(args: &Eval) -> Result<Model> {
    super::model::load(args.model.model.as_deref(), &args.model.load)
}

/// The run of each size by meaning alone: every document is compared, one vector a document.
///
/// # Errors
/// Bad usage for data or sizes that are not right.
pub fn runs(args: &Eval, beir: &Beir, qrels: &Qrels, output: &Output) -> Result<Vec<(String, Run)>> {
    let model = model(args)?;
    let bar = Bar::new(output.quiet || output.json);
    let documents = beir.documents().map_err(Stop::usage)?;
    let texts: Vec<String> = documents.iter().map(|document| document.joined()).collect();
    let rows = encode(&model, &texts, &args.sizes, &task(Task::Document), &bar)?;
    let mut queries = beir.queries().map_err(Stop::usage)?;
    queries.retain(|query| qrels.judged(&query.id).is_some());
    let texts: Vec<&str> = queries.iter().map(|query| query.text.as_str()).collect();
    let asked = encode(&model, &texts, &args.sizes, &task(Task::Query), &bar)?;
    let mut runs = Vec::with_capacity(args.sizes.len());
    for ((size, mut rows), asked) in args.sizes.iter().zip(rows).zip(asked) {
        if model.metric() == Metric::Cosine {
            rows.normalize();
        }
        let index = FlatIndex::new(rows.into(), model.metric());
        let mut run = Run::default();
        for (query, vector) in queries.iter().zip(asked.iter()) {
            run.insert_query(&query.id);
            let found = index.search(vector, args.depth.into(), Effort::Exact, None);
            for hit in found.map_err(Stop::failed)?.hits {
                run.insert(&query.id, &documents[hit.id as usize].id, f64::from(hit.score));
            }
        }
        runs.push((size.to_string(), run));
    }
    Ok(runs)
}

/// Options for texts of a kind.
pub(super) fn task(task: Task) -> Options {
    Options {
        task,
        ..Options::default()
    }
}

/// The vectors of `texts` at each size.
pub(super) fn encode<T: AsRef<str> + Sync>(
    model: &Model,
    texts: &[T],
    sizes: &[Size],
    options: &Options,
    bar: &Bar,
) -> Result<Vec<Embeddings>> {
    let mut parts: Vec<Vec<f32>> = vec![Vec::new(); sizes.len()];
    let mut dims = vec![model.dims(); sizes.len()];
    bar.start("encoding", Some(texts.len() as u64), "texts");
    for batch in texts.chunks(BATCH) {
        let encoded = model.encode_sizes(batch, sizes, options).map_err(Stop::usage)?;
        for (at, more) in encoded.into_iter().enumerate() {
            dims[at] = more.dims();
            parts[at].extend_from_slice(more.as_slice());
        }
        bar.advance(batch.len() as u64);
        if bar.interrupted() {
            return Err(Stop::failed("stopped before the end"));
        }
    }
    bar.finish();
    let rows = parts.into_iter().zip(dims);
    rows.map(|(part, dims)| Embeddings::from_vec(part, dims).map_err(Stop::failed))
        .collect()
}
