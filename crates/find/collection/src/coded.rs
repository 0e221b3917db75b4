//! Search by codes: vectors in few bytes are scanned, and the vectors themselves, on disk, order the best of them.

use std::ops::Range;
use std::sync::Arc;

use kokeshi_codec::file::Codes;
use kokeshi_codec::{Chain, Codec, Query};
use kokeshi_core::{Bitmap, Metric, TopK, distance};
use kokeshi_index::{Cost, Effort, FlatIndex, Found, Index, Plan, Vectors};
use rayon::prelude::*;

use crate::measured::{self, Measured};

/// Rows that are scored together.
const BLOCK: usize = 1024;
/// The least bytes of codes that are handed to another thread: scanning them takes some hundred microseconds.
const BYTES_PER_TASK: usize = 1 << 20;
/// Candidates for each hit that is wanted, and at least, where the codes need no more: their vectors are read. At four a hit one-bit codes
/// of MiniLM vectors lose one hit in a hundred (docs/shrink.md).
const CANDIDATES: usize = 4;
/// See [`CANDIDATES`].
pub const LEAST_CANDIDATES: usize = 100;
/// From so many bytes of codes that would have to be scanned on, a graph is asked if there is one.
const GRAPH_FROM: usize = 32 << 20;

/// Codes of the first rows of vectors, and what is asked when codes are not the way.
pub struct CodedIndex {
    chain: Arc<Chain>,
    codes: Arc<Codes>,
    vectors: Vectors,
    metric: Metric,
    /// A graph, if there is one.
    graph: Option<Box<dyn Index>>,
    flat: FlatIndex,
    /// How many candidates recalls take.
    measured: Option<Measured>,
}

impl CodedIndex {
    /// Codes of the first rows of `vectors`, with a graph over them or none.
    pub fn new(
        chain: Arc<Chain>,
        codes: Arc<Codes>,
        vectors: Vectors,
        metric: Metric,
        graph: Option<Box<dyn Index>>,
        measured: Option<Measured>,
    ) -> Self {
        Self {
            flat: FlatIndex::new(vectors.clone(), metric),
            chain,
            codes,
            vectors,
            metric,
            graph,
            measured,
        }
    }

    fn score(&self, query: &[f32], row: u32) -> f32 {
        match self.metric {
            Metric::L2 => -distance::l2_squared(query, self.vectors.row(row)),
            // Rows under cosine have unit length.
            Metric::Cosine | Metric::Dot => distance::dot(query, self.vectors.row(row)),
        }
    }

    /// The measured number of candidates for `k` hits of all rows there are now; `None` if the measurement knows of none, or there is none.
    fn candidates(&self, k: usize, of: impl Fn(&Measured) -> Option<usize>) -> Option<usize> {
        let measured = self.measured.as_ref()?;
        let grown = (self.codes.rows() as f64 / measured.rows.max(1) as f64).max(1.0);
        let hits = (k as f64 / measured::K as f64).max(1.0);
        Some((of(measured)? as f64 * grown * hits).ceil() as usize)
    }

    /// The best `keep` rows of `range` by their codes.
    fn scan(&self, query: &dyn Query, range: Range<usize>, filter: Option<&Bitmap>, keep: usize) -> TopK {
        let stride = self.chain.code_bytes();
        let codes = self.codes.bytes();
        let mut best = TopK::new(keep);
        let mut scores = [0.0; BLOCK];
        match filter {
            None => {
                for from in range.clone().step_by(BLOCK) {
                    let until = range.end.min(from + BLOCK);
                    let scores = &mut scores[..until - from];
                    query.score_rows(&codes[from * stride..until * stride], scores);
                    best.push_run(from as u32, scores);
                }
            }
            Some(filter) => {
                let mut ids = Vec::with_capacity(BLOCK);
                let mut members = filter.iter_in(range);
                loop {
                    ids.clear();
                    ids.extend(members.by_ref().take(BLOCK));
                    if ids.is_empty() {
                        break;
                    }
                    let scores = &mut scores[..ids.len()];
                    query.score_ids(codes, &ids, scores);
                    best.push_each(&ids, scores);
                }
            }
        }
        best
    }
}

impl Index for CodedIndex {
    fn len(&self) -> usize {
        self.vectors.rows()
    }

    fn dims(&self) -> usize {
        self.vectors.dims()
    }

    fn search(
        &self,
        query: &[f32],
        k: usize,
        effort: Effort,
        filter: Option<&Bitmap>,
    ) -> kokeshi_index::Result<Found> {
        kokeshi_core::check_query(query, self.dims())?;
        let covered = self.codes.rows().min(self.len());
        let matches = filter.map_or(covered, |filter| filter.count().min(covered));
        let keep = match effort {
            Effort::Exact => None,
            Effort::Recall(recall) if recall >= 1.0 => None,
            Effort::Recall(recall) => self.candidates(k, |measured| measured.candidates(recall)),
            Effort::List(list) => Some(list.max(k)),
            Effort::Default => {
                let measured = self.candidates(k, |measured| Some(measured.usual()));
                Some(measured.unwrap_or(0).max(CANDIDATES * k).max(LEAST_CANDIDATES))
            }
        };
        let Some(keep) = keep else {
            return self.flat.search(query, k, Effort::Exact, filter);
        };
        if matches <= keep {
            return self.flat.search(query, k, effort, filter);
        }
        if let Some(graph) = &self.graph
            && matches * self.chain.code_bytes() > GRAPH_FROM
        {
            return graph.search(query, k, effort, filter);
        }
        let mut query = query.to_vec();
        if self.metric == Metric::Cosine {
            distance::normalize(&mut query);
        }
        let prepared = self.chain.query(&query)?;
        let tasks =
            (matches * self.chain.code_bytes() / BYTES_PER_TASK).clamp(1, 4 * rayon::current_num_threads());
        // Whole words of the filter.
        let step = covered.div_ceil(tasks).next_multiple_of(64);
        let candidates = (0..tasks)
            .into_par_iter()
            .map(|task| {
                let from = (task * step).min(covered);
                self.scan(&*prepared, from..(from + step).min(covered), filter, keep)
            })
            .reduce(
                || TopK::new(keep),
                |mut best, other| {
                    best.merge(other);
                    best
                },
            );
        let mut ids: Vec<u32> = candidates.into_sorted().iter().map(|hit| hit.id).collect();
        // In the order of the disk; then the rows that have no code yet.
        ids.sort_unstable();
        self.vectors.will_need(&ids);
        let fresh = covered as u32..self.len() as u32;
        ids.extend(fresh.filter(|&row| filter.is_none_or(|filter| filter.contains(row))));
        let mut best = TopK::new(k);
        for &id in &ids {
            let score = self.score(&query, id);
            if score.is_finite() {
                best.push(id, score);
            }
        }
        Ok(Found {
            hits: best.into_sorted(),
            cost: Cost {
                plan: Plan::Codes,
                distances: matches + ids.len(),
                vectors: ids.len(),
                ..Cost::default()
            },
        })
    }
}
