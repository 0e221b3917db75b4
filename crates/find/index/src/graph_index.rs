//! Graph search with a planner: a filter, deletions and rows that the graph does not know yet never cost recall.

use kokeshi_core::{Bitmap, Metric, TopK};

use crate::flat::{count, scan};
use crate::graph::{Graph, LEAST_LIST, Steps};
use crate::query::Query;
use crate::{Cost, Effort, Found, Index, Plan, Result, Vectors};

/// A [`Graph`] with the [`Vectors`] it was built over, and any rows that were appended since.
///
/// A search first finds out how many rows pass the filter, and takes the cheapest of three ways to the best of them: comparing all
/// matches, comparing the codes of all matches and then the best of those, or a walk through the graph that goes through all nodes and
/// keeps those in the filter. Should the walk cost more than it was expected to or end with too few hits, the matches are compared after
/// all. Rows past the graph's are compared always.
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
            self.approach(
                &query,
                k,
                length.min(covered),
                matches,
                filter,
                &mut best,
                &mut cost,
            );
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

impl GraphIndex {
    /// Finds the best of the rows that the graph covers in the cheapest way that is not a scan of the rows, and says which in
    /// `cost.plan`; leaves [`Plan::Scan`] there if that would be cheaper, or nothing else found enough.
    #[allow(
        clippy::too_many_arguments,
        reason = "one step of `search`, named for the reader"
    )]
    fn approach(
        &self,
        query: &Query,
        k: usize,
        length: usize,
        matches: usize,
        filter: Option<&Bitmap>,
        best: &mut TopK,
        cost: &mut Cost,
    ) {
        let look = self.graph.look(&self.vectors);
        let costs = look.costs();
        let selectivity = matches as f64 / self.graph.nodes().max(1) as f64;
        let (walked, nodes) = plan(length, k, selectivity);
        let by_rows = matches as f64;
        // A scan misses nothing on the way, so that half as many candidates find as much (measured by `examples/recall.rs`).
        let scanned = (length / 2).max(list_for(k));
        let by_codes = match filter {
            Some(_) if look.codes.is_some() => costs.scan(matches, scanned),
            _ => f64::INFINITY,
        };
        let cheapest = by_rows.min(by_codes);
        if costs.walk(nodes, walked, filter.is_some()) < cheapest {
            let gate = filter.map(|filter| (filter, costs.budget(cheapest)));
            let (steps, ended) = look.walk(query, walked, gate, best);
            add(cost, steps);
            if ended && best.len() >= k.min(matches) {
                cost.plan = if filter.is_some() {
                    Plan::GraphFiltered
                } else {
                    Plan::Graph
                };
                return;
            }
            *best = TopK::new(k);
        }
        if by_codes < by_rows
            && let Some(filter) = filter
            && let Some(steps) = look.scan(query, scanned, filter, best)
        {
            add(cost, steps);
            cost.plan = Plan::Codes;
        }
    }
}

fn add(cost: &mut Cost, steps: Steps) {
    cost.distances += steps.distances + steps.rescored;
    cost.visited += steps.expanded;
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
