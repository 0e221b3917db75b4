//! The rows and questions that chains are tried on.

use std::collections::HashMap;

use kokeshi_core::{Embeddings, Seed};
use kokeshi_eval::{Measure, Qrels};
use kokeshi_sources::vectors::NamedVectors;

use crate::args::Choose;
use crate::output::Output;
use crate::stop::{Result, Stop};

/// The most questions that chains are tried with.
const QUERIES: usize = 500;

/// Rows, questions, and what answers them.
pub(super) struct Sample {
    pub rows: Embeddings,
    pub queries: Embeddings,
    judged: Option<Judged>,
}

/// The grades of the sample's rows for each question.
struct Judged {
    measure: Measure,
    queries: Vec<HashMap<String, i32>>,
    /// The names of the sample's rows.
    names: Vec<String>,
}

impl Sample {
    /// Draws the sample: with judgements all rows that were judged are in it, without questions some rows become questions.
    pub(super) fn draw(args: &Choose, vectors: &NamedVectors, output: &Output) -> Result<Self> {
        let all = &vectors.vectors;
        let mut seed = Seed(args.metric.seed);
        let mut order: Vec<usize> = (0..all.rows()).collect();
        seed.shuffle(&mut order);
        let Some(file) = &args.queries else {
            let aside = QUERIES.min(all.rows() / 5);
            if aside == 0 {
                return Err(Stop::usage(format!(
                    "expected at least 5 rows to keep some aside as questions, found {}",
                    all.rows()
                )));
            }
            let queries = take(all, &order[..aside]);
            let rows = take(all, in_order(&mut order[aside..], args.sample as usize));
            return Ok(Self {
                rows,
                queries,
                judged: None,
            });
        };
        let asked = super::read(file, args.metric.on_error, output)?;
        super::same_width(all, &asked.vectors, file)?;
        let name = |ids: &Option<Vec<String>>, row: usize| {
            ids.as_ref()
                .map_or_else(|| row.to_string(), |ids| ids[row].clone())
        };
        let mut numbers: Vec<usize> = (0..asked.vectors.rows()).collect();
        seed.shuffle(&mut numbers);
        let Some(path) = &args.qrels else {
            numbers.truncate(QUERIES);
            let rows = take(all, in_order(&mut order, args.sample as usize));
            return Ok(Self {
                rows,
                queries: take(&asked.vectors, &numbers),
                judged: None,
            });
        };
        let qrels: Qrels = kokeshi_eval::read_qrels(path).map_err(Stop::usage)?;
        let grades = |row: usize| {
            qrels
                .judged(&name(&asked.ids, row))
                .filter(|judged| judged.values().any(|&grade| grade > 0))
        };
        numbers.retain(|&row| grades(row).is_some());
        if numbers.is_empty() {
            return Err(Stop::usage(format!(
                "{}: expected judgements of the questions in {}, found none of their ids",
                path.display(),
                file.display()
            ))
            .hint("ids are those of the Parquet or JSONL file, or row numbers from 0"));
        }
        numbers.truncate(QUERIES);
        let queries: Vec<HashMap<String, i32>> =
            numbers.iter().filter_map(|&row| grades(row).cloned()).collect();
        let judged = |row: &usize| {
            queries
                .iter()
                .any(|judged| judged.contains_key(&name(&vectors.ids, *row)))
        };
        // Judged rows first, so that the sample holds them; stable, so that the rest stays in random order.
        order.sort_by_cached_key(|row| !judged(row));
        if !order.first().is_some_and(judged) {
            return Err(Stop::usage(format!(
                "{}: expected judgements of rows of the vectors, found none of their ids",
                path.display()
            ))
            .hint("ids are those of the Parquet or JSONL file, or row numbers from 0"));
        }
        let chosen = in_order(&mut order, args.sample as usize);
        let names = chosen.iter().map(|&row| name(&vectors.ids, row)).collect();
        let measure = "nDCG@10".parse().map_err(Stop::failed)?;
        Ok(Self {
            rows: take(all, chosen),
            queries: take(&asked.vectors, &numbers),
            judged: Some(Judged {
                measure,
                queries,
                names,
            }),
        })
    }

    /// What quality is called.
    pub(super) fn measure(&self) -> &'static str {
        if self.judged.is_some() {
            "nDCG@10"
        } else {
            "recall@10"
        }
    }

    /// Judges rankings of the sample's rows, if there are judgements.
    pub(super) fn judge(&self) -> Option<impl Fn(usize, &[u32]) -> f64 + Sync> {
        self.judged.as_ref().map(|judged| {
            move |query: usize, found: &[u32]| {
                let ranked: Vec<&str> = found
                    .iter()
                    .map(|&row| judged.names[row as usize].as_str())
                    .collect();
                judged.measure.of(&ranked, &judged.queries[query])
            }
        })
    }
}

/// The first rows of a random order, in the order of the file.
fn in_order(order: &mut [usize], most: usize) -> &[usize] {
    let most = most.min(order.len());
    order[..most].sort_unstable();
    &order[..most]
}

fn take(all: &Embeddings, rows: &[usize]) -> Embeddings {
    let mut taken = Embeddings::new(all.dims());
    for &row in rows {
        // Of the same width, so that it can't fail.
        let _ = taken.push(all.row(row));
    }
    taken
}
