//! `kokeshi rerank`: texts in, the same texts out by how relevant they are to a query.

use super::texts;
use crate::args::Rerank;
use crate::output::{Output, table};
use crate::progress::{Bar, catch_interrupts};
use crate::stop::{Result, Stop};

/// How much of a text is shown, in characters.
const SHOWN: usize = 200;

/// A text and how relevant it is.
#[derive(serde::Serialize)]
struct Ranked {
    rank: usize,
    /// The row it came in, from 0.
    index: usize,
    id: String,
    score: f32,
    text: String,
}

/// Scores every text of the input and prints them, best first.
///
/// # Errors
/// Bad usage for a model, file or field that is not there.
pub fn run(args: &Rerank, output: &Output) -> Result<()> {
    catch_interrupts();
    let model = super::model::reranker(&args.model, &args.load)?;
    let source = texts::open(&args.input, args.field.as_deref(), args.id.as_deref())?;
    let bar = Bar::new(output.quiet || output.json);
    let mut best: Vec<Ranked> = Vec::new();
    let mut read = 0;
    texts::in_batches(&source, "reranking", &bar, |batch| {
        let texts: Vec<String> = batch.iter_mut().map(texts::whole).collect();
        let scores = model.score(&args.query, &texts).map_err(Stop::failed)?;
        for ((document, text), score) in batch.iter_mut().zip(texts).zip(scores) {
            best.push(Ranked {
                rank: 0,
                index: read,
                id: std::mem::take(&mut document.id),
                score,
                text,
            });
            read += 1;
        }
        // Of equal scores the earlier row.
        best.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
        best.truncate(args.top.map_or(usize::MAX, usize::from));
        Ok(())
    })?;
    for (place, ranked) in best.iter_mut().enumerate() {
        ranked.rank = place + 1;
    }
    if output.json {
        return output.value(&serde_json::json!({
            "model": model.id(), "query": args.query, "texts": read, "results": best,
        }));
    }
    let rows = best.iter().map(|ranked| {
        let text = ranked.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown = super::search::clipped(&text, SHOWN);
        vec![ranked.rank.to_string(), format!("{:.4}", ranked.score), shown]
    });
    let mut table = table(&["rank", "score", "text"], rows, 0);
    if let Some(text) = table.column_mut(2) {
        text.set_cell_alignment(comfy_table::CellAlignment::Left);
    }
    output.line(table)
}
