//! Exact search: every row that passes the filter is compared. No preparation, and the judge of every other index.

use std::ops::Range;

use kokeshi_core::{Bitmap, Metric, TopK};
use rayon::prelude::*;

use crate::query::Query;
use crate::{Cost, Effort, Found, Index, Plan, Result, Vectors};

/// The least work handed to another thread, in values: comparing 4 MiB takes a few hundred microseconds, many times what the hand-over does.
const VALUES_PER_TASK: usize = 1 << 20;
/// Rows compared at a time.
pub(crate) const BLOCK: usize = Bitmap::BLOCK;

/// Exact search over [`Vectors`].
///
/// ```
/// use kokeshi_core::{Embeddings, Metric};
/// use kokeshi_index::{Effort, FlatIndex, Index};
///
/// let rows = Embeddings::from_vec(vec![1.0, 0.0, 0.0, 1.0, 0.6, 0.8], 2)?;
/// let index = FlatIndex::new(rows.into(), Metric::Cosine);
/// let found = index.search(&[0.0, 2.0], 2, Effort::Default, None)?;
/// assert_eq!(found.hits.iter().map(|hit| hit.id).collect::<Vec<_>>(), [1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct FlatIndex {
    vectors: Vectors,
    metric: Metric,
}

impl FlatIndex {
    /// An index of all rows of `vectors`; for [`Metric::Cosine`] they must have unit length (or be all zeros). A row that holds a
    /// NaN is never a hit.
    pub fn new(vectors: Vectors, metric: Metric) -> Self {
        Self { vectors, metric }
    }

    /// The rows.
    pub fn vectors(&self) -> &Vectors {
        &self.vectors
    }
}

impl Index for FlatIndex {
    fn len(&self) -> usize {
        self.vectors.rows()
    }

    fn dims(&self) -> usize {
        self.vectors.dims()
    }

    fn search(&self, query: &[f32], k: usize, _: Effort, filter: Option<&Bitmap>) -> Result<Found> {
        let query = Query::new(query, self.metric, self.dims())?;
        let mut best = TopK::new(k);
        let distances = scan(&self.vectors, &query, 0..self.len(), filter, &mut best);
        Ok(Found {
            hits: best.into_sorted(),
            cost: Cost {
                plan: Plan::Scan,
                distances,
                vectors: distances,
                ..Cost::default()
            },
        })
    }
}

/// Offers the rows of `range` that are in `filter` to `best`; returns how many were compared. The result does not depend on how the
/// work is divided, since equal scores go to the smaller row.
pub(crate) fn scan(
    vectors: &Vectors,
    query: &Query,
    range: Range<usize>,
    filter: Option<&Bitmap>,
    best: &mut TopK,
) -> usize {
    let range = range.start..range.end.min(vectors.rows());
    if range.is_empty() || best.k() == 0 {
        return 0;
    }
    let share = filter.map_or(1.0, Bitmap::selectivity);
    let values = (range.len() * vectors.dims()) as f64 * share;
    let tasks = (values / VALUES_PER_TASK as f64) as usize;
    if tasks < 2 {
        return scan_here(vectors, query, range, filter, best);
    }
    // A few tasks a thread even out uneven filters.
    let tasks = tasks.min(4 * rayon::current_num_threads());
    // Whole words of the filter.
    let step = range.len().div_ceil(tasks).next_multiple_of(64);
    let (found, compared) = (0..tasks)
        .into_par_iter()
        .map(|task| {
            let start = (range.start + task * step).min(range.end);
            let mut best = TopK::new(best.k());
            let part = start..(start + step).min(range.end);
            let compared = scan_here(vectors, query, part, filter, &mut best);
            (best, compared)
        })
        .reduce(
            || (TopK::new(best.k()), 0),
            |(mut best, compared), (other, more)| {
                best.merge(other);
                (best, compared + more)
            },
        );
    best.merge(found);
    compared
}

/// [`scan`] on the calling thread.
pub(crate) fn scan_here(
    vectors: &Vectors,
    query: &Query,
    range: Range<usize>,
    filter: Option<&Bitmap>,
    best: &mut TopK,
) -> usize {
    let mut scores = [0.0; BLOCK];
    if filter.is_none() {
        let mut at = range.start;
        while at < range.end {
            let run = vectors.run(at, range.end.min(at + BLOCK));
            let scores = &mut scores[..run.len() / vectors.dims().max(1)];
            query.scores_run(run, scores);
            best.push_run(at as u32, scores);
            at += scores.len();
        }
        return range.len();
    }
    blocks(filter, range, |ids| {
        let scores = &mut scores[..ids.len()];
        query.scores(vectors, ids, scores);
        best.push_each(ids, scores);
    })
}

/// Hands the rows of `range` that are in `filter` (all if `None`) to `each`, up to [`BLOCK`] at a time; returns how many there were.
pub(crate) fn blocks(filter: Option<&Bitmap>, range: Range<usize>, mut each: impl FnMut(&[u32])) -> usize {
    let mut ids = [0; BLOCK];
    let Some(filter) = filter else {
        for start in range.clone().step_by(BLOCK) {
            let count = BLOCK.min(range.end - start);
            for (place, id) in ids[..count].iter_mut().zip(start as u32..) {
                *place = id;
            }
            each(&ids[..count]);
        }
        return range.len();
    };
    filter.blocks_in(range, each)
}
