//! How long a search's candidate list must be for the rows at hand, measured on rows that are about to be linked in.
//!
//! Embeddings of text need a short list; vectors with hardly any neighbour structure need one so long that scanning is as cheap. Nothing
//! but a measurement tells them apart. Rows that the graph does not have yet are queries with the distribution of the rows; queries of
//! another kind (titles for abstracts, say) may have a lower recall.

use kokeshi_core::{Bitmap, Metric, TopK};
use rayon::prelude::*;

use super::find::Look;
use crate::Vectors;
use crate::cost::PLAIN;
use crate::flat::scan_here;
use crate::query::Query;

/// The list of a graph that was not measured, and the shortest one. On the arXiv vectors of `examples/recall.rs` it gives a recall@10
/// of 0.98, which leaves room for queries that are unlike the rows.
pub(crate) const LEAST_LIST: usize = 64;
/// The longest list: keeping one sorted costs more than comparing from here on.
const MOST_LIST: usize = 4096;
/// From one list to the next that is tried.
const STEP: f64 = std::f64::consts::SQRT_2;
/// The share of the true `K` best that the sample must find: 0.95 is promised, the rest is for the sample's error (0.8 % or so).
const RECALL: f64 = 0.98;
const K: usize = 10;
/// Rows asked for. Their exact search costs about 2 % of building the graph.
const SAMPLE: usize = 128;
/// Fewer than these say too little.
const LEAST_SAMPLE: usize = 32;
/// Queries compared with a block of rows while that is in the processor's cache, and the rows of such a block.
const GROUP: usize = 16;
const BLOCK: usize = 256;

/// What was found out about a graph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    /// The shortest list that finds enough; none if scanning is as good.
    pub list: Option<usize>,
    /// The rows there were, 0 if nothing was measured yet.
    pub rows: usize,
}

impl Measured {
    /// What is assumed before a measurement.
    pub const NOT_YET: Self = Self {
        list: Some(LEAST_LIST),
        rows: 0,
    };

    /// How many of `new` rows that bring the total to `rows` should be kept for a measurement: none unless a walk could be worth its
    /// while and there are half as many rows again as the last time, so that measuring stays a small share of building.
    pub fn sample(self, new: usize, rows: usize) -> usize {
        let due = PLAIN.walk(LEAST_LIST as f64, LEAST_LIST, false) < rows as f64 && rows * 2 >= self.rows * 3;
        if due && new >= LEAST_SAMPLE {
            SAMPLE.min(new / 2)
        } else {
            0
        }
    }
}

/// A query, the worst score of its true best rows, and how many those are.
struct Case {
    query: Query,
    worst: f32,
    count: usize,
}

/// Measures with the rows `sample`, which are no part of `graph`; `linked` are.
pub(super) fn measure(look: Look<'_>, metric: Metric, linked: &Bitmap, sample: &[u32]) -> Measured {
    let vectors = look.vectors;
    let cases: Vec<Case> = sample
        .par_chunks(GROUP)
        .flat_map_iter(|ids| exact(vectors, metric, linked, ids))
        .collect();
    let wanted = RECALL * cases.iter().map(|case| case.count).sum::<usize>() as f64;
    let rows = vectors.rows();
    let mut length = LEAST_LIST as f64;
    while length <= MOST_LIST as f64 && look.costs().walk(length, length as usize, false) < rows as f64 {
        let found: usize = cases
            .par_iter()
            .map(|case| found(look, case, length as usize))
            .sum();
        if found as f64 >= wanted {
            let list = Some(length as usize);
            return Measured { list, rows };
        }
        length *= STEP;
    }
    Measured { list: None, rows }
}

fn exact(vectors: &Vectors, metric: Metric, linked: &Bitmap, ids: &[u32]) -> Vec<Case> {
    let mut open: Vec<(Query, TopK)> = ids
        .iter()
        .filter_map(|&id| Query::new(vectors.row(id), metric, vectors.dims()).ok())
        .map(|query| (query, TopK::new(K)))
        .collect();
    for start in (0..vectors.rows()).step_by(BLOCK) {
        for (query, best) in &mut open {
            let block = start..(start + BLOCK).min(vectors.rows());
            scan_here(vectors, query, block, Some(linked), best);
        }
    }
    open.into_iter()
        .map(|(query, best)| {
            let best = best.into_sorted();
            Case {
                query,
                worst: best.last().map_or(f32::INFINITY, |hit| hit.score),
                count: best.len(),
            }
        })
        .collect()
}

/// How many of the true best rows, or copies of them, a walk finds.
fn found(look: Look<'_>, case: &Case, length: usize) -> usize {
    let mut best = TopK::new(case.count);
    look.walk(&case.query, length, None, &mut best);
    let hits = best.into_sorted();
    hits.iter().filter(|hit| hit.score >= case.worst).count()
}
