//! How long a search's candidate list must be for the rows at hand, measured on rows that are about to be linked in.
//!
//! Embeddings of text need a short list; vectors with hardly any neighbour structure need one so long that scanning is as cheap. Nothing
//! but a measurement tells them apart. Rows that the graph does not have yet are queries with the distribution of the rows; queries of
//! another kind (titles for abstracts, say) may have a lower recall.

use kokeshi_core::{Bitmap, Metric, Scored, TopK};
use rayon::prelude::*;

use super::find::Look;
use super::scratch::Near;
use super::search::Target;
use crate::Vectors;
use crate::flat::scan_here;
use crate::query::Query;

/// The lists that are tried, shortest first; keeping a longer one sorted costs more than comparing.
pub(crate) const LISTS: [usize; 16] = [
    16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048, 4096,
];
/// The list of a graph that was not measured, and the shortest that is taken unasked: queries are often unlike the rows.
pub(crate) const LEAST_LIST: usize = 32;
/// The share of the true `K` best that the sample must find by default: 0.95 is promised, the rest is for the sample's error (0.6 % or
/// so) and for queries that are unlike the rows. Titles of abstracts found 0.946 where 0.98 was asked of the sample.
const RECALL: f32 = 0.99;
/// The share of the `K` best that may be passed over because their estimates are too far off.
const MISSED: f64 = 0.005;
/// No fewer standard errors are taken: a sample could be kind.
const LEAST_SURE: f32 = 1.0;
/// Where the curve ends: longer lists are not tried.
const ENOUGH: f32 = 0.998;
pub(crate) const K: usize = 10;
/// Rows asked for. Their exact search costs about 2 % of building the graph.
const SAMPLE: usize = 256;
/// Fewer rows are scanned as quickly.
const LEAST_ROWS: usize = 1500;
/// Fewer than these say too little.
const LEAST_SAMPLE: usize = 32;
/// Queries compared with a block of rows while that is in the processor's cache, and the rows of such a block.
const GROUP: usize = 16;
const BLOCK: usize = 256;

/// What was found out about a graph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    /// The recall@[`K`] that each of [`LISTS`] gave, 0 for those that were not tried: they would cost more than a scan, or a shorter
    /// one finds nearly all.
    pub recalls: [f32; LISTS.len()],
    /// The rows there were, 0 if nothing was measured yet.
    pub rows: usize,
    /// How many standard errors farther than they are the estimates put all but a few of the `K` best.
    pub sure: f32,
}

impl Measured {
    /// What is assumed before a measurement.
    pub const NOT_YET: Self = Self {
        recalls: [0.0; LISTS.len()],
        rows: 0,
        sure: 3.0,
    };

    /// The list of a search that does not say what it wants; none if scanning is as good.
    pub fn default_list(&self) -> Option<usize> {
        self.list(RECALL).map(|list| list.max(LEAST_LIST))
    }

    /// The shortest list that finds a share of `recall` of the `K` best, between two that were tried on the line from one to the other; none if
    /// only a scan does.
    pub fn list(&self, recall: f32) -> Option<usize> {
        if self.rows == 0 {
            return Some(if recall > RECALL {
                4 * LEAST_LIST
            } else {
                LEAST_LIST
            });
        }
        let at = self
            .recalls
            .iter()
            .position(|&found| found >= recall.min(ENOUGH))?;
        let Some(before) = at.checked_sub(1) else {
            return Some(LISTS[0]);
        };
        let (low, high) = (self.recalls[before], self.recalls[at]);
        let part = if high > low {
            (recall - low) / (high - low)
        } else {
            1.0
        };
        let between = (LISTS[at] - LISTS[before]) as f32 * part.clamp(0.0, 1.0);
        Some(LISTS[before] + between.ceil() as usize)
    }

    /// How many of `new` rows that bring the total to `rows` should be kept for a measurement: none unless a walk could be worth its
    /// while, and there are half as many rows again as the last time, so that measuring stays a small share of building.
    pub fn sample(self, new: usize, rows: usize) -> usize {
        let due = rows >= LEAST_ROWS && rows * 2 >= self.rows * 3;
        if due && new >= LEAST_SAMPLE {
            SAMPLE.min(new / 2)
        } else {
            0
        }
    }
}

/// A query, its true best rows, the worst score of those, and how many they are.
struct Case {
    query: Query,
    best: Vec<Scored>,
    worst: f32,
    count: usize,
}

/// How many standard errors off the estimates of rows that are near their query are: what nearly all of them keep.
fn sure(look: Look<'_>, cases: &[Case]) -> f32 {
    let Some(codes) = look.codes else {
        return Measured::NOT_YET.sure;
    };
    let mut off: Vec<f32> = Vec::new();
    for case in cases {
        let target = codes.prepare(&case.query);
        for hit in &case.best {
            let mut distance = [0.0];
            target.distances(&[hit.id], &mut distance);
            let near = Near {
                distance: distance[0],
                id: hit.id,
            };
            let (estimate, error) = target.estimate(near);
            let errors = (estimate + hit.score) / error;
            if errors.is_finite() {
                off.push(errors);
            }
        }
    }
    off.sort_by(f32::total_cmp);
    let at = (off.len() as f64 * (1.0 - MISSED)) as usize;
    off.get(at)
        .map_or(Measured::NOT_YET.sure, |errors| errors.max(LEAST_SURE))
}

/// Measures with the rows `sample`, which are no part of `graph`; `linked` are.
pub(super) fn measure(look: Look<'_>, metric: Metric, linked: &Bitmap, sample: &[u32]) -> Measured {
    let vectors = look.vectors;
    let cases: Vec<Case> = sample
        .par_chunks(GROUP)
        .flat_map_iter(|ids| exact(vectors, metric, linked, ids))
        .collect();
    let sure = sure(look, &cases);
    let look = Look { sure, ..look };
    let all = cases.iter().map(|case| case.count).sum::<usize>().max(1);
    let rows = vectors.rows();
    let mut recalls = [0.0; LISTS.len()];
    for (recall, list) in recalls.iter_mut().zip(LISTS) {
        if look.costs().walk(list as f64, list) > look.costs().rows(rows) {
            break;
        }
        let found: usize = cases.par_iter().map(|case| found(look, case, list)).sum();
        *recall = found as f32 / all as f32;
        if *recall >= ENOUGH {
            break;
        }
    }
    Measured { recalls, rows, sure }
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
                best: best.clone(),
                worst: best.last().map_or(f32::INFINITY, |hit| hit.score),
                count: best.len(),
            }
        })
        .collect()
}

/// How many of the true best rows, or copies of them, a walk finds.
fn found(look: Look<'_>, case: &Case, length: usize) -> usize {
    let mut best = TopK::new(case.count);
    look.walk(&case.query, length, &mut best);
    let hits = best.into_sorted();
    hits.iter().filter(|hit| hit.score >= case.worst).count()
}
