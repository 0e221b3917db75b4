//! What the parts share: 20,000 clustered vectors of 48 dimensions (KSYN), questions about them, and what methods need for a recall.

use std::sync::{Arc, OnceLock};

use kokeshi_bench::measure::{best, curve, lists, reaching};
use kokeshi_bench::questions::Questions;
use kokeshi_core::{Embeddings, Result, Seed};
use kokeshi_filtered::{Acorn, AcornConfig, Filter, Gate, Hnsw, HnswConfig, Labels, Method, clusters};

pub(super) const ROWS: usize = 20_000;
const QUERIES: usize = 200;
const DIMS: usize = 48;
const CENTRES: usize = 100;
pub(super) const K: usize = 10;
/// ACORN's gamma.
pub(super) const GAMMA: usize = 12;
/// The longest candidate list that counts as "any".
const LONGEST: usize = 2500;

/// The vectors and the graphs that several parts compare with.
pub(super) struct Set {
    pub points: Arc<Embeddings>,
    pub queries: Arc<Embeddings>,
    pub seed: Seed,
    graphs: OnceLock<General>,
}

/// The graphs that know nothing of filters.
pub(super) struct General {
    pub hnsw: Arc<Hnsw>,
    pub gate: Gate,
    pub one: Acorn,
    pub gamma: Acorn,
}

impl General {
    pub fn build(points: &Arc<Embeddings>) -> Self {
        let hnsw = Arc::new(Hnsw::build(points.clone(), HnswConfig::default()));
        Self {
            gate: Gate(hnsw.clone()),
            hnsw,
            one: Acorn::build(points.clone(), AcornConfig::one()),
            gamma: Acorn::build(points.clone(), AcornConfig::gamma(GAMMA)),
        }
    }
}

impl Set {
    pub fn draw(seed: u64) -> Result<Self> {
        let (points, queries) = clusters(ROWS, QUERIES, DIMS, CENTRES, Seed(seed))?;
        Ok(Self {
            points: Arc::new(points),
            queries: Arc::new(queries),
            seed: Seed(seed ^ 0xFA55),
            graphs: OnceLock::new(),
        })
    }

    pub fn general(&self) -> &General {
        self.graphs.get_or_init(|| General::build(&self.points))
    }

    /// Every query with the filter that `of` gives for its number.
    pub fn ask(&self, of: impl FnMut(u32) -> Arc<Filter>) -> Result<Questions> {
        ask(&self.points, &self.queries, of)
    }

    /// Every query with a random one of the labels.
    pub fn ask_labels(&self, labels: &Labels) -> Result<Questions> {
        let all: Vec<Arc<Filter>> = (0..labels.count() as u32)
            .map(|label| Arc::new(labels.containing(&[label])))
            .collect();
        let mut seed = self.seed;
        self.ask(|_| all[seed.below(all.len())].clone())
    }

    /// Every query with a range that holds `share` of `numbers`.
    pub fn ask_ranges(&self, numbers: &[f64], share: f64) -> Result<Questions> {
        let mut seed = self.seed;
        self.ask(|_| Arc::new(range(numbers, share, &mut seed)))
    }
}

/// Every query with the filter that `of` gives for its number.
pub(super) fn ask(
    points: &Arc<Embeddings>,
    queries: &Arc<Embeddings>,
    mut of: impl FnMut(u32) -> Arc<Filter>,
) -> Result<Questions> {
    let asked = (0..queries.rows() as u32).map(|query| (query, of(query)));
    Questions::new(points, queries.clone(), asked, K)
}

/// A range at a random place that holds `share` of `numbers`, or a little more where some are equal.
pub(super) fn range(numbers: &[f64], share: f64, seed: &mut Seed) -> Filter {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let width = ((share * numbers.len() as f64) as usize).max(1);
    let start = seed.below(sorted.len() - width + 1);
    Filter::range(numbers, sorted[start]..=sorted[start + width - 1])
}

/// The distances a query that `method` needs for `recall`; infinite if no list reaches it.
pub(super) fn cost(method: &dyn Method, questions: &Questions, recall: f64) -> Result<f64> {
    let points = curve(method, questions, &lists(LONGEST), recall)?;
    Ok(reaching(&points, recall).map_or(f64::INFINITY, |point| point.distances))
}

/// The best recall of any list.
pub(super) fn ceiling(method: &dyn Method, questions: &Questions) -> Result<f64> {
    let some: Vec<usize> = lists(LONGEST).into_iter().skip(5).step_by(5).collect();
    Ok(best(&curve(method, questions, &some, 1.0)?))
}

/// `a / b`, where what never gets there costs infinitely much: 0 if only `b` does not, not a number if neither or `a` does not.
pub(super) fn share(a: f64, b: f64) -> f64 {
    if a.is_finite() { a / b } else { f64::NAN }
}
