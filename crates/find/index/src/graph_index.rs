//! Graph search with a planner: a filter, deletions and rows that the graph does not know yet never cost recall.

use kokeshi_core::{Bitmap, Metric, TopK};

use crate::cost::{WALK_PER_SCAN, walk_cost};
use crate::flat::{count, scan};
use crate::graph::{Graph, LEAST_LIST, Scratch, Steps, ToQuery, matching, nearest};
use crate::query::Query;
use crate::{Cost, Effort, Found, Index, Plan, Result, Vectors};

/// A [`Graph`] with the [`Vectors`] it was built over, and any rows that were appended since.
///
/// A search first finds out how many rows pass the filter. If comparing them all is cheaper than the walk through the graph is
/// likely to be, that is done. Otherwise the walk goes through all nodes and keeps those in the filter; should it cost more than
/// comparing all matches or end with too few hits, the matches are compared after all. Rows past the graph's are compared always.
#[derive(Debug, Clone)]
pub struct GraphIndex {
    graph: Graph,
    vectors: Vectors,
}

impl GraphIndex {
    /// Joins the two.
    ///
    /// # Errors
    /// [`kokeshi_core::Error::Dims`] if they differ in width, [`kokeshi_core::Error::Parse`] if the graph covers more rows than there are.
    pub fn new(graph: Graph, vectors: Vectors) -> Result<Self> {
        graph.check_fits(&vectors)?;
        Ok(Self { graph, vectors })
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The rows.
    pub fn vectors(&self) -> &Vectors {
        &self.vectors
    }

    /// How rows are compared.
    pub fn metric(&self) -> Metric {
        self.graph.metric()
    }

    /// Walks the graph and offers what it finds to `best`; false if the walk did not come to its end.
    fn walk(
        &self,
        query: &Query,
        length: usize,
        filter: Option<(&Bitmap, usize)>,
        best: &mut TopK,
    ) -> (Steps, bool) {
        let Some(graph) = self.graph.walk() else {
            return (Steps::default(), false);
        };
        let target = ToQuery {
            query,
            vectors: &self.vectors,
        };
        Scratch::with(self.graph.nodes(), |scratch| match filter {
            None => {
                let steps = nearest(scratch, graph, &target, length, false);
                for (near, _) in &scratch.list {
                    offer(best, near.id, -near.distance);
                }
                (steps, true)
            }
            Some((filter, matches)) => {
                let budget = (matches as f64 / WALK_PER_SCAN) as usize;
                let (steps, ended) = matching(scratch, graph, &target, filter, length, budget);
                for near in scratch.matches.drain() {
                    offer(best, near.id, -near.distance);
                }
                (steps, ended)
            }
        })
    }
}

/// A score that is not finite is never a hit.
fn offer(best: &mut TopK, id: u32, score: f32) {
    if score.is_finite() {
        best.push(id, score);
    }
}

impl Index for GraphIndex {
    fn len(&self) -> usize {
        self.vectors.rows()
    }

    fn dims(&self) -> usize {
        self.vectors.dims()
    }

    fn search(&self, query: &[f32], k: usize, effort: Effort, filter: Option<&Bitmap>) -> Result<Found> {
        let query = Query::new(query, self.metric(), self.dims())?;
        let (covered, rows) = (self.graph.nodes(), self.len());
        let k = k.min(rows);
        let matches = filter.map_or(covered, |filter| count(filter, 0..covered));
        let mut best = TopK::new(k);
        let mut cost = Cost::default();
        let length = match effort {
            Effort::Default => self
                .graph
                .default_list()
                .map(|list| list.max(list_for(k) * list / LEAST_LIST)),
            Effort::List(length) => Some(length),
            Effort::Exact => None,
        };
        if let Some(length) = length.filter(|_| k > 0) {
            let selectivity = matches as f64 / covered.max(1) as f64;
            let (length, nodes) = plan(length.min(covered), k, selectivity);
            if walk_cost(nodes) < matches as f64 {
                let gate = filter.map(|filter| (filter, matches));
                let (steps, ended) = self.walk(&query, length, gate, &mut best);
                cost.distances = steps.distances;
                cost.visited = steps.expanded;
                if ended && best.len() >= k.min(matches) {
                    cost.plan = if filter.is_some() {
                        Plan::GraphFiltered
                    } else {
                        Plan::Graph
                    };
                }
            }
        }
        // The rows that the graph does not know, or all.
        let from = if cost.plan == Plan::Scan {
            best = TopK::new(k);
            0
        } else {
            covered
        };
        cost.distances += scan(&self.vectors, &query, from..rows, filter, &mut best);
        Ok(Found {
            hits: best.into_sorted(),
            cost,
        })
    }
}

/// The shortest list for `k` hits: one not much longer than k loses the last of them.
fn list_for(k: usize) -> usize {
    k + k / 2
}

/// How many results a walk should collect, and how many nodes it is likely to expand for that.
fn plan(length: usize, k: usize, selectivity: f64) -> (usize, f64) {
    let length = length.max(list_for(k));
    // Matches among the nodes of a list of `length / share` nodes: the rarer the matches the longer that list has to be anyway to
    // hold k of them, and the less it needs to spare.
    let wanted = k as f64 + (length - k) as f64 * selectivity.sqrt();
    (wanted.ceil() as usize, wanted / selectivity.max(1e-9))
}
