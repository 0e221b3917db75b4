//! HNSW (arXiv 1603.09320), and what can be done about filters with no more than it.
//!
//! | variant | when |
//! |---|---|
//! | [`Gate`] | many rows pass: the walk goes through all rows, those that pass become results |
//! | [`PostFilter`] | nearly all rows pass: a plain walk whose results are filtered, twice as long until enough pass |
//! | [`PreFilter`] | few rows pass: they are compared, all of them; exact |

use std::sync::Arc;

use kokeshi_core::{Bitmap, Embeddings};

use crate::beam::{Counts, Near, Scratch, Walk, gated};
use crate::levels::{Growth, Layers};
use crate::lists::Packed;
use crate::method::{Built, Method, Wanted};
use crate::names;
use crate::prune::{Pairs, by_distance, nearer_to_kept, prune};

/// How a graph is built.
#[derive(Debug, Clone, Copy)]
pub struct HnswConfig {
    /// Neighbours that a row chooses; on the lowest level it may have twice as many.
    pub m: usize,
    /// The length of the candidate list while building.
    pub ef_construction: usize,
    /// Of the levels.
    pub seed: u64,
}

impl Default for HnswConfig {
    /// The paper's usual values.
    fn default() -> Self {
        Self {
            m: 16,
            ef_construction: 200,
            seed: 1,
        }
    }
}

/// The graph, without a filter.
#[derive(Debug)]
pub struct Hnsw {
    points: Arc<Embeddings>,
    layers: Layers,
}

/// All neighbours; rows outside the filter are walked through.
struct Through<'a> {
    lists: &'a Packed,
    gate: Option<&'a Bitmap>,
}

impl Walk for Through<'_> {
    fn neighbours(&mut self, from: Near, out: &mut Vec<u32>, _: &mut Counts) {
        out.extend_from_slice(self.lists.of(from.row()));
    }

    fn admit(&mut self, row: u32, counts: &mut Counts) -> bool {
        gated(self.gate, row, counts)
    }
}

impl Hnsw {
    /// Inserts all rows in their order.
    pub fn build(points: Arc<Embeddings>, config: HnswConfig) -> Self {
        let m = config.m.max(2);
        let growth = Growth {
            m,
            capacity: 2 * m,
            ef: config.ef_construction,
            width: usize::MAX,
            seed: config.seed,
        };
        let (mut kept, mut list) = (Vec::new(), Vec::new());
        let pairs = Pairs::of(&points);
        let mut layers = growth.insert(&points, |graph, row, level, hits| {
            kept.clear();
            prune(hits, m, &mut kept, nearer_to_kept(&pairs), |_| ());
            graph.set(row, level, kept.iter().map(|near| near.row()));
            for other in kept.clone() {
                let other = other.row();
                let (room, limit) = match level {
                    0 => (graph.bottom.push(other, row), 2 * m),
                    level => (graph.upper.push(other, level, row, m), m),
                };
                if !room {
                    let old = graph.of(other, level).iter().copied();
                    by_distance(&pairs, other, old.chain([row]), &mut list);
                    kept.clear();
                    prune(&list, limit, &mut kept, nearer_to_kept(&pairs), |_| ());
                    graph.set(other, level, kept.iter().map(|near| near.row()));
                }
            }
        });
        layers.built.distances += pairs.compared();
        Self { points, layers }
    }

    /// The share of rows on a level above the lowest: about 1 / M.
    pub fn upper_share(&self) -> f64 {
        self.layers.upper.nodes() as f64 / self.points.rows().max(1) as f64
    }

    fn walk(
        &self,
        query: &[f32],
        list: usize,
        gate: Option<&Bitmap>,
        scratch: &mut Scratch,
        hits: &mut Vec<Near>,
    ) {
        hits.clear();
        let Some(entry) = self.layers.entry else {
            return;
        };
        let entry = self.layers.upper.descend(query, &self.points, entry, scratch);
        let mut walk = Through {
            lists: &self.layers.bottom,
            gate,
        };
        scratch.beam(query, &self.points, [entry], list, &mut walk, hits);
    }
}

/// A walk through all rows, of which only those that pass become results.
#[derive(Debug)]
pub struct Gate(pub Arc<Hnsw>);

impl Method for Gate {
    fn name(&self) -> &'static str {
        names::GATE
    }

    fn dims(&self) -> usize {
        self.0.points.dims()
    }

    fn built(&self) -> Built {
        self.0.layers.built
    }

    fn find(&self, wanted: &Wanted<'_>, scratch: &mut Scratch, hits: &mut Vec<Near>) {
        let (list, gate) = (wanted.list.max(wanted.k), Some(&wanted.filter.rows));
        self.0.walk(wanted.query, list, gate, scratch, hits);
        hits.truncate(wanted.k);
    }
}

/// A plain walk whose results are filtered.
#[derive(Debug)]
pub struct PostFilter(pub Arc<Hnsw>);

impl Method for PostFilter {
    fn name(&self) -> &'static str {
        names::POST_FILTER
    }

    fn dims(&self) -> usize {
        self.0.points.dims()
    }

    fn built(&self) -> Built {
        self.0.layers.built
    }

    fn find(&self, wanted: &Wanted<'_>, scratch: &mut Scratch, hits: &mut Vec<Near>) {
        let rows = self.0.points.rows();
        let passing = &wanted.filter.rows;
        let most = wanted.k.min(passing.count());
        let mut list = wanted.list.max(wanted.k);
        loop {
            self.0.walk(wanted.query, list, None, scratch, hits);
            scratch.counts.predicates += hits.len() as u64;
            hits.retain(|near| passing.contains(near.row()));
            if hits.len() >= most || list >= rows {
                break;
            }
            list *= 2;
        }
        hits.truncate(wanted.k);
    }
}

/// All rows that pass are compared.
#[derive(Debug)]
pub struct PreFilter(pub Arc<Embeddings>);

impl Method for PreFilter {
    fn name(&self) -> &'static str {
        names::SCAN
    }

    fn dims(&self) -> usize {
        self.0.dims()
    }

    fn built(&self) -> Built {
        Built::default()
    }

    fn find(&self, wanted: &Wanted<'_>, scratch: &mut Scratch, hits: &mut Vec<Near>) {
        scratch.scan(wanted.query, &self.0, wanted.filter.rows.iter(), wanted.k, hits);
    }
}
