//! What a bridge keeps of the retrieval of a BEIR directory.

use std::path::Path;

use kokeshi_codec::Bridge;
use kokeshi_core::{Embeddings, Metric, Progress};
use kokeshi_encode::{Model, Task};
use kokeshi_eval::{Beir, Measure, Missing, Qrels, Run, evaluate};
use kokeshi_index::{Effort, FlatIndex, Index};

use super::texts::encode_as;
use crate::output::{Output, table};
use crate::progress::Bar;
use crate::stop::{Result, Stop};

/// One data set.
#[derive(Debug, serde::Serialize)]
pub(super) struct Judged {
    data: String,
    queries: usize,
    rows: Vec<Line>,
}

/// One way to search it.
#[derive(Debug, serde::Serialize)]
struct Line {
    search: String,
    #[serde(rename = "nDCG@10")]
    ndcg: f64,
    /// The share of what old queries find on old vectors.
    kept: f64,
}

/// Measures nDCG@10 of old queries on old vectors, new ones on new ones, and of each bridge.
pub(super) fn judge(data: &Path, old: &Model, new: &Model, bridges: &[Bridge], bar: &Bar) -> Result<Judged> {
    let beir = Beir::open(data).map_err(Stop::usage)?;
    let qrels = beir.qrels("test").map_err(Stop::usage)?;
    let documents = beir.documents().map_err(Stop::usage)?;
    let texts: Vec<String> = documents.iter().map(|document| document.joined()).collect();
    let ids: Vec<&str> = documents.iter().map(|document| document.id.as_str()).collect();
    let mut queries = beir.queries().map_err(Stop::usage)?;
    queries.retain(|query| qrels.judged(&query.id).is_some());
    let asked: Vec<&str> = queries.iter().map(|query| query.text.as_str()).collect();
    bar.start(
        &format!("embedding {}", data.display()),
        Some(2 * (texts.len() + asked.len()) as u64),
        "texts",
    );
    let vectors = |model: &Model| -> Result<[Embeddings; 2]> {
        let one = |texts: &[&str], task| {
            let mut rows = Vec::new();
            encode_as(model, texts, task, bar, &mut rows)?;
            let mut rows = Embeddings::from_vec(rows, model.dims()).map_err(Stop::failed)?;
            if model.metric() == Metric::Cosine {
                rows.normalize();
            }
            Ok::<_, Stop>(rows)
        };
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        Ok([one(&texts, Task::Document)?, one(&asked, Task::Query)?])
    };
    let [old_rows, old_asked] = vectors(old)?;
    let [new_rows, new_asked] = vectors(new)?;
    bar.finish();
    let names: Vec<&str> = queries.iter().map(|query| query.id.as_str()).collect();
    let measure =
        |rows: &Embeddings, metric, asked: &Embeddings| ndcg(rows, metric, asked, &ids, &names, &qrels);
    let base = measure(&old_rows, old.metric(), &old_asked)?;
    let mut found = vec![
        (format!("{} on its own", old.id()), base),
        (
            format!("{} on its own", new.id()),
            measure(&new_rows, new.metric(), &new_asked)?,
        ),
    ];
    for bridge in bridges {
        let asked = bridge.apply(&new_asked).map_err(Stop::failed)?;
        found.push((
            format!("bridge, {}", bridge.method()),
            measure(&old_rows, old.metric(), &asked)?,
        ));
    }
    Ok(Judged {
        data: data.display().to_string(),
        queries: queries.len(),
        rows: found
            .into_iter()
            .map(|(search, ndcg)| Line {
                search,
                ndcg,
                kept: ndcg / base.max(f64::MIN_POSITIVE),
            })
            .collect(),
    })
}

fn ndcg(
    rows: &Embeddings,
    metric: Metric,
    asked: &Embeddings,
    ids: &[&str],
    names: &[&str],
    qrels: &Qrels,
) -> Result<f64> {
    let index = FlatIndex::new(rows.clone().into(), metric);
    let mut run = Run::default();
    for (name, query) in names.iter().zip(asked.iter()) {
        run.insert_query(name);
        let found = index
            .search(query, 10, Effort::Exact, None)
            .map_err(Stop::failed)?;
        for hit in found.hits {
            run.insert(name, ids[hit.id as usize], f64::from(hit.score));
        }
    }
    let measure: Measure = "nDCG@10".parse().map_err(Stop::failed)?;
    Ok(evaluate(qrels, &run, &[measure], Missing::Zero).mean(0))
}

/// The share of old retrieval that bridge number `at` keeps, over all data sets; the same for all if there are none.
pub(super) fn kept(judged: &[Judged], at: usize) -> f64 {
    // Before the bridges stand the old and the new model on their own.
    let rows = judged.iter().filter_map(|data| data.rows.get(2 + at));
    rows.map(|row| row.kept).sum()
}

/// Prints a table a data set.
pub(super) fn print(judged: &[Judged], output: &Output) -> Result<()> {
    for data in judged {
        output.line(format!("{}, split test, {} queries", data.data, data.queries))?;
        let rows = data.rows.iter().map(|row| {
            vec![
                row.search.clone(),
                format!("{:.4}", row.ndcg),
                format!("{:.1} %", 100.0 * row.kept),
            ]
        });
        output.line(table(&["search", "nDCG@10", "of old on old"], rows, 1))?;
    }
    Ok(())
}
