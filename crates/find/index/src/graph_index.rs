//! Graph search with a planner: a filter, deletions and rows that the graph does not know yet never cost recall.

use kokeshi_core::{Bitmap, Metric, TopK};

use crate::flat::scan;
use crate::graph::{
    DEFAULT_RECALL, Gate, Graph, MEASURED_K, Steps, Wanted, asked_about, candidates, list_for,
};
use crate::query::Query;
use crate::{Cost, Effort, Expected, Found, Index, Plan, Result, Vectors};

/// A [`Graph`] with the [`Vectors`] it was built over, and any rows that were appended since.
///
/// A search first finds out how many rows pass the filter, and takes the way to the best of them that is likely to be cheapest: comparing all
/// matches, comparing the codes of those in the nearest cells and then the best of them, or a walk that goes through all nodes and keeps those in the
/// filter. The walk sees how many of the nodes near the query pass: should those be much rarer than among all rows (a filter that goes
/// against the query), the rest of the walk is expected to cost more than a scan, and the matches are compared instead. Rows past the
/// graph's are compared always.
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
    /// that finds too few) is replaced by a scan, as `cost.plan` of the answer says; any walk stands for the one that suits the filter.
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
            let matches = filter.map_or(covered, |filter| filter.count_in(0..covered));
            let shortest = match effort {
                Effort::List(_) => k,
                _ => list_for(k),
            };
            let wish = Wish {
                query: &query,
                k,
                length: length.max(shortest).min(covered),
                reached: match effort {
                    Effort::Recall(recall) => reached(recall),
                    Effort::List(list) => reached(self.graph.recall_of(list)),
                    // Behind filters the default promises less than what it has without: that much is left as it is.
                    Effort::Default | Effort::Exact => DEFAULT_RECALL,
                },
                matches,
                filter: filter.filter(|_| matches < covered),
                plan,
            };
            self.approach(&wish, &mut best, &mut cost);
        }
        // The rows that the graph does not know, or all.
        let from = if cost.plan == Plan::Scan {
            best.clear();
            0
        } else {
            covered
        };
        let scanned = scan(&self.vectors, &query, from..rows, filter, &mut best);
        cost.distances += scanned;
        cost.vectors += scanned;
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
        let scanned = candidates(wish.length, wish.k);
        let by_rows = costs.rows(wish.matches);
        // So few matches are compared before anything else has begun.
        let by_codes = if by_rows < costs.prepared() && wish.plan.is_none() {
            f64::INFINITY
        } else {
            let [open, in_vain] = look.left_open(wish.k, share);
            let open = (wish.matches as f64 * open) as usize;
            let reach = look.reach(wish.k, share, wish.reached);
            let asking = costs.asking(asked_about(wish.matches), wish.matches);
            let codes = costs.codes(wish.matches, reach, scanned.max(open));
            // Most searches that codes would leave open are told by asking.
            asking + (1.0 - in_vain) * codes + in_vain * by_rows
        };
        let scan = by_rows.min(by_codes);
        let (wanted, nodes) = spread(wish.length, wish.k, share);
        let by_walk = match wish.filter {
            None => costs.walk(nodes, wanted),
            Some(_) => costs.led_walk(nodes, wanted),
        };
        let micros = |nanos: f64| (nanos / 1e3) as f32;
        cost.expected = Some(Expected {
            scan: micros(by_rows),
            codes: by_codes.is_finite().then(|| micros(by_codes)),
            walk: micros(by_walk),
        });
        let walk = match wish.filter {
            None => Plan::Graph,
            Some(_) => Plan::GraphFiltered,
        };
        let walks = match wish.plan {
            None => by_walk < scan,
            Some(plan) => !matches!(plan, Plan::Scan | Plan::Codes),
        };
        if walks {
            let (steps, ended) = match wish.filter {
                None => (look.walk(wish.query, wish.length, best), true),
                Some(filter) => {
                    let gate = Gate {
                        length: wanted,
                        share,
                        most: wish.plan.map_or(costs.nodes(scan), |_| f64::INFINITY),
                    };
                    look.gated(wish.query, filter, gate, best)
                }
            };
            add(cost, steps, look.codes.is_some());
            if ended && best.len() >= wish.k.min(wish.matches) {
                cost.plan = walk;
                return;
            }
            best.clear();
        }
        let codes = match wish.plan {
            None => by_codes < by_rows,
            Some(plan) => plan == Plan::Codes,
        };
        let mut doubt = false;
        if codes && wish.plan.is_none() {
            let asked;
            (doubt, asked) = look.too_close(wish.query, wish.k, wish.filter, wish.matches);
            cost.distances += asked;
            cost.vectors += asked;
        }
        if codes && !(doubt && wish.matches < LEAST_TRIED) {
            let wanted = Wanted {
                k: wish.k,
                length: scanned,
                reached: wish.reached,
                filter: wish.filter,
                matches: wish.matches,
                doubt,
            };
            let (steps, ended) = look.by_codes(wish.query, wanted, best);
            add(cost, steps, true);
            if ended {
                cost.plan = Plan::Codes;
            }
        }
    }
}

/// Fewer matches than these are scanned where it is doubtful that codes tell them apart. More are tried, since scanning them takes many times as long as
/// a look at their codes, and the best of many are farther from the best of a few that were asked about.
const LEAST_TRIED: usize = 1536;

/// What a search is asked for.
struct Wish<'a> {
    query: &'a Query,
    k: usize,
    /// The length of the candidate list that would find enough without a filter.
    length: usize,
    /// The share of the true best that should be in the cells that are looked through.
    reached: f32,
    /// Rows in the filter.
    matches: usize,
    filter: Option<&'a Bitmap>,
    /// Not the cheapest, but this one.
    plan: Option<Plan>,
}

/// The share of the true best that should be in the cells looked through, so that `recall` of them are found: queries come from farther away than the rows by
/// which cells were measured, and filters are not random. Half of what may be missed is left for that.
fn reached(recall: f32) -> f32 {
    (1.0 + recall) / 2.0
}

/// Adds what a walk or a scan cost, by codes or by the vectors themselves.
fn add(cost: &mut Cost, steps: Steps, coded: bool) {
    cost.distances += steps.distances + steps.rescored;
    cost.visited += steps.expanded;
    cost.vectors += if coded { steps.rescored } else { steps.distances };
}

/// How many results a walk with a filter should collect, and how many nodes it is likely to expand for that.
fn spread(length: usize, k: usize, share: f64) -> (usize, f64) {
    // Matches among the nodes of a list of `length / share` nodes: the rarer the matches the longer that list has to be anyway to
    // hold k of them, and the less it needs to spare.
    let wanted = k as f64 + length.saturating_sub(k) as f64 * share.sqrt();
    (wanted.ceil() as usize, wanted / share.max(1e-9))
}
