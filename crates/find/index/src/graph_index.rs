//! Graph search with a planner: a filter, deletions and rows that the graph does not know yet never cost recall.

use kokeshi_core::{Bitmap, Metric, TopK};

use crate::flat::{count, scan};
use crate::graph::{Gate, Graph, MEASURED_K, Steps};
use crate::query::Query;
use crate::{Cost, Effort, Found, Index, Plan, Result, Vectors};

/// A [`Graph`] with the [`Vectors`] it was built over, and any rows that were appended since.
///
/// A search first finds out how many rows pass the filter, and takes the way to the best of them that is likely to be cheapest: comparing all
/// matches, comparing the codes of all matches and then the best of those, a walk with a list so long that enough of it passes, or a
/// walk that goes through all nodes and keeps those in the filter. The walks see how many of the nodes near the query pass: should
/// those be much rarer than among all rows (a filter that goes against the query), the rest of the walk is expected to cost more than
/// a scan, and the matches are compared instead. Rows past the graph's are compared always.
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
        self.search_by(query, k, effort, filter, None)
    }
}

impl GraphIndex {
    /// [`Index::search`] by a given plan instead of the cheapest, to compare them. One that does not suit (codes where there are none, a walk
    /// that finds too few) is replaced by a scan, as `cost.plan` of the answer says.
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn search_by(
        &self,
        query: &[f32],
        k: usize,
        effort: Effort,
        filter: Option<&Bitmap>,
        plan: Option<Plan>,
    ) -> Result<Found> {
        let query = Query::new(query, self.metric(), self.dims())?;
        let (covered, rows) = (self.graph.nodes(), self.len());
        let k = k.min(rows);
        let list = match effort {
            Effort::Default => self.graph.default_list(),
            Effort::Recall(recall) if recall < 1.0 => self.graph.list_for_recall(recall),
            Effort::List(length) => Some(length),
            Effort::Recall(_) | Effort::Exact => None,
        };
        let length = match effort {
            Effort::List(_) => list,
            _ => list.map(|list| list.max(list * k / MEASURED_K)),
        };
        let mut best = TopK::new(k);
        let mut cost = Cost::default();
        if let Some(length) = length.filter(|_| k > 0) {
            let wish = Wish {
                query: &query,
                k,
                length: length.max(list_for(k)).min(covered),
                matches: filter.map_or(covered, |filter| count(filter, 0..covered)),
                filter,
                plan,
            };
            self.approach(&wish, &mut best, &mut cost);
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

    /// Finds the best of the rows that the graph covers in the cheapest way that is not a scan of the rows, and says which in
    /// `cost.plan`; leaves [`Plan::Scan`] there if that would be cheaper, or nothing else found enough.
    fn approach(&self, wish: &Wish<'_>, best: &mut TopK, cost: &mut Cost) {
        let look = self.graph.look(&self.vectors);
        let costs = look.costs();
        let share = wish.matches as f64 / self.graph.nodes().max(1) as f64;
        // A scan misses nothing on the way, so that half as many candidates find as much.
        let scanned = (wish.length / 2).max(list_for(wish.k));
        let (by_rows, by_codes) = (costs.rows(wish.matches), costs.codes(wish.matches, scanned));
        let scan = by_rows.min(by_codes);
        let (wanted, nodes) = spread(wish.length, wish.k, share);
        let walks = [
            (Plan::Graph, costs.walk(wish.length as f64, wish.length)),
            (Plan::GraphWidened, costs.walk(nodes, wanted)),
            (Plan::GraphFiltered, costs.gated(nodes, wanted)),
        ];
        let suits = |plan: Plan| (plan == Plan::Graph) == wish.filter.is_none();
        let cheapest = walks
            .into_iter()
            .filter(|(plan, _)| suits(*plan))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .filter(|(_, walk)| *walk < scan)
            .map(|(plan, _)| plan);
        let walk = match wish.plan {
            None => cheapest,
            Some(plan) => Some(plan).filter(|plan| suits(*plan) && walks.iter().any(|walk| walk.0 == *plan)),
        };
        let enough = |found: usize| found >= wish.k.min(wish.matches);
        let mut gate = Gate {
            length: wanted,
            share,
            most: if wish.plan.is_some() {
                f64::INFINITY
            } else {
                costs.nodes(scan)
            },
        };
        if walk == Some(Plan::Graph) {
            add(cost, look.walk(wish.query, wish.length, best));
            if enough(best.len()) {
                cost.plan = Plan::Graph;
                return;
            }
        }
        if let (Some(Plan::GraphWidened), Some(filter)) = (walk, wish.filter) {
            let length = nodes.ceil() as usize;
            let (steps, found) = look.widened(wish.query, length, filter, best);
            add(cost, steps);
            // As many as there would be if matches near the query were no rarer than elsewhere, or almost.
            if enough(best.len()) && (found >= list_for(wish.k).min(wanted) || wish.plan.is_some()) {
                cost.plan = Plan::GraphWidened;
                return;
            }
            // They are rarer, so many times.
            gate.share = share.min((found as f64 + 1.0) / length as f64);
            *best = TopK::new(wish.k);
        }
        let rarer = costs.gated(wanted as f64 / gate.share.max(1e-9), wanted) < scan;
        let widened = walk == Some(Plan::GraphWidened) && wish.plan.is_none() && rarer;
        if let (true, Some(filter)) = (walk == Some(Plan::GraphFiltered) || widened, wish.filter) {
            let (steps, ended) = look.gated(wish.query, filter, gate, best);
            add(cost, steps);
            if ended && enough(best.len()) {
                cost.plan = Plan::GraphFiltered;
                return;
            }
            *best = TopK::new(wish.k);
        }
        let codes = match wish.plan {
            None => by_codes < by_rows,
            Some(plan) => plan == Plan::Codes,
        };
        if codes {
            let (steps, ended) = look.scan(wish.query, scanned, wish.filter, best);
            add(cost, steps);
            if ended {
                cost.plan = Plan::Codes;
            }
        }
    }
}

/// What a search is asked for.
struct Wish<'a> {
    query: &'a Query,
    k: usize,
    /// The length of the candidate list that would find enough without a filter.
    length: usize,
    /// Rows in the filter.
    matches: usize,
    filter: Option<&'a Bitmap>,
    /// Not the cheapest, but this one.
    plan: Option<Plan>,
}

fn add(cost: &mut Cost, steps: Steps) {
    cost.distances += steps.distances + steps.rescored;
    cost.visited += steps.expanded;
}

/// The shortest list for `k` hits: one not much longer than k loses the last of them.
fn list_for(k: usize) -> usize {
    k + k / 2
}

/// How many results a walk with a filter should collect, and how many nodes it is likely to expand for that.
fn spread(length: usize, k: usize, share: f64) -> (usize, f64) {
    // Matches among the nodes of a list of `length / share` nodes: the rarer the matches the longer that list has to be anyway to
    // hold k of them, and the less it needs to spare.
    let wanted = k as f64 + length.saturating_sub(k) as f64 * share.sqrt();
    (wanted.ceil() as usize, wanted / share.max(1e-9))
}
