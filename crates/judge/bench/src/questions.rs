//! Queries with their filters, and what an exact scan finds for each.

use std::sync::Arc;

use kokeshi_core::{Embeddings, Result};
use kokeshi_filtered::{Filter, Method, Near, PreFilter, Scratch};

/// Distances that differ by less are those of copies: either is right.
const SAME: f32 = 1e-6;

/// One query.
#[derive(Debug, Clone)]
struct Question {
    /// A row of the queries.
    query: u32,
    filter: Arc<Filter>,
    /// What an exact scan finds, nearest first.
    truth: Vec<Near>,
}

/// Queries with filters that some row passes.
#[derive(Debug, Clone)]
pub struct Questions {
    queries: Arc<Embeddings>,
    asked: Vec<Question>,
    k: usize,
    rows: usize,
}

impl Questions {
    /// Pairs of a row of `queries` and a filter over `points`; those whose filter no row passes are left out, since they have no recall.
    ///
    /// # Errors
    /// Queries that are not finite or of another width.
    pub fn new(
        points: &Arc<Embeddings>,
        queries: Arc<Embeddings>,
        asked: impl IntoIterator<Item = (u32, Arc<Filter>)>,
        k: usize,
    ) -> Result<Self> {
        let scan = PreFilter(points.clone());
        let (mut scratch, mut truth) = (Scratch::default(), Vec::new());
        let mut questions = Vec::new();
        for (query, filter) in asked {
            scan.search(
                queries.row(query as usize),
                k,
                1,
                &filter,
                &mut scratch,
                &mut truth,
            )?;
            if !truth.is_empty() {
                questions.push(Question {
                    query,
                    filter,
                    truth: truth.clone(),
                });
            }
        }
        Ok(Self {
            queries,
            asked: questions,
            k,
            rows: points.rows(),
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.asked.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// How many hits are asked for.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The queries and their filters.
    pub fn iter(&self) -> impl Iterator<Item = (&[f32], &Filter)> {
        let one = |asked: &Question| asked.query as usize;
        self.asked
            .iter()
            .map(move |asked| (self.queries.row(one(asked)), &*asked.filter))
    }

    /// The mean share of rows that pass.
    pub fn selectivity(&self) -> f64 {
        self.matches() / self.rows.max(1) as f64
    }

    /// The mean number of rows that pass.
    pub fn matches(&self) -> f64 {
        let all: usize = self.asked.iter().map(|asked| asked.filter.rows.count()).sum();
        all as f64 / self.asked.len().max(1) as f64
    }

    /// Whether `method` can answer all of them.
    pub fn served_by(&self, method: &dyn Method) -> bool {
        self.asked.iter().all(|asked| method.serves(&asked.filter))
    }

    /// The share of the exact hits of question `at` that are among `hits`: any row that is as near as the last of them counts.
    pub(crate) fn recall(&self, at: usize, hits: &[Near]) -> f64 {
        let truth = &self.asked[at].truth;
        let worst = truth.last().map_or(0.0, |near| near.distance()) + SAME;
        let right = hits.iter().filter(|near| near.distance() <= worst).count();
        right.min(truth.len()) as f64 / truth.len().max(1) as f64
    }

    /// How many of `hits` do not pass the filter of question `at`.
    pub(crate) fn failing(&self, at: usize, hits: &[Near]) -> usize {
        let rows = &self.asked[at].filter.rows;
        hits.iter().filter(|near| !rows.contains(near.row())).count()
    }
}
