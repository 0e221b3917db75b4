//! HNSW (arXiv 1603.09320), and what can be done about filters with no more than it.
//!
//! | variant | when |
//! |---|---|
//! | [`Gate`] | many rows pass: the walk goes through all rows, those that pass become results |
//! | [`PostFilter`] | nearly all rows pass: a plain walk whose results are filtered, twice as long until enough pass |
//! | [`PreFilter`] | few rows pass: they are compared, all of them; exact |

use std::sync::Arc;

use kokeshi_core::{Bitmap, Embeddings, Seed};

use crate::Filter;
use crate::beam::{Counts, Near, Scratch, Walk};
use crate::levels::{Upper, level, random_levels};
use crate::lists::{Lists, Packed};
use crate::method::{Built, Method};
use crate::prune::{by_distance, nearer_to_kept, prune};

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
    bottom: Packed,
    upper: Upper,
    entry: Option<u32>,
    built: Built,
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
        self.gate.is_none_or(|gate| {
            counts.predicates += 1;
            gate.contains(row)
        })
    }
}

/// One level of a graph that grows.
struct Growing<'a> {
    bottom: &'a Lists,
    upper: &'a Upper,
    level: usize,
}

impl Walk for Growing<'_> {
    fn neighbours(&mut self, from: Near, out: &mut Vec<u32>, _: &mut Counts) {
        out.extend_from_slice(match self.level {
            0 => self.bottom.of(from.row()),
            level => self.upper.of(from.row(), level),
        });
    }
}

impl Hnsw {
    /// Inserts all rows in their order.
    pub fn build(points: Arc<Embeddings>, config: HnswConfig) -> Self {
        let rows = points.rows();
        let m = config.m.max(2);
        let levels = random_levels(rows, m, Seed(config.seed));
        let mut bottom = Lists::new(rows, 2 * m);
        let mut upper = Upper::new(&levels);
        let mut scratch = Scratch::default();
        let (mut hits, mut kept, mut list) = (Vec::new(), Vec::new(), Vec::new());
        let mut top: Option<u32> = None;
        for (row, &own) in (0u32..).zip(&levels) {
            let Some(mut entry) = top else {
                top = Some(row);
                continue;
            };
            let own = usize::from(own);
            let query = points.row(row as usize);
            let highest = level(&levels, entry);
            for level in (0..=highest).rev() {
                let ef = if level > own { 1 } else { config.ef_construction };
                let mut walk = Growing {
                    bottom: &bottom,
                    upper: &upper,
                    level,
                };
                scratch.beam(query, &points, [entry], ef, &mut walk, &mut hits);
                entry = hits.first().map_or(entry, |near| near.row());
                if level > own {
                    continue;
                }
                kept.clear();
                prune(&hits, m, &mut kept, nearer_to_kept(&points), |_| ());
                let chosen = kept.iter().map(|near| near.row());
                match level {
                    0 => bottom.set(row, chosen),
                    level => upper.set(row, level, chosen),
                }
                for other in kept.clone() {
                    let other = other.row();
                    let room = match level {
                        0 => bottom.push(other, row),
                        level => upper.push(other, level, row, m),
                    };
                    if !room {
                        let (old, limit) = match level {
                            0 => (bottom.of(other), 2 * m),
                            level => (upper.of(other, level), m),
                        };
                        by_distance(&points, other, old.iter().copied().chain([row]), &mut list);
                        kept.clear();
                        prune(&list, limit, &mut kept, nearer_to_kept(&points), |_| ());
                        let chosen = kept.iter().map(|near| near.row());
                        match level {
                            0 => bottom.set(other, chosen),
                            level => upper.set(other, level, chosen),
                        }
                    }
                }
            }
            if own > highest {
                top = Some(row);
            }
        }
        let bottom = bottom.pack();
        let built = Built {
            distances: scratch.counts.distances,
            edges: bottom.edges() + upper.edges(),
            bytes: bottom.bytes() + upper.bytes(),
        };
        Self {
            points,
            bottom,
            upper,
            entry: top,
            built,
        }
    }

    /// The share of rows on a level above the lowest: about 1 / M.
    pub fn upper_share(&self) -> f64 {
        self.upper.nodes() as f64 / self.points.rows().max(1) as f64
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
        let Some(entry) = self.entry else { return };
        let entry = self.upper.descend(query, &self.points, entry, scratch);
        let mut walk = Through {
            lists: &self.bottom,
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
        "HNSW, gate"
    }

    fn dims(&self) -> usize {
        self.0.points.dims()
    }

    fn built(&self) -> Built {
        self.0.built
    }

    fn serves(&self, _: &Filter) -> bool {
        true
    }

    fn find(
        &self,
        query: &[f32],
        k: usize,
        list: usize,
        filter: &Filter,
        scratch: &mut Scratch,
        hits: &mut Vec<Near>,
    ) {
        self.0.walk(query, list.max(k), Some(&filter.rows), scratch, hits);
        hits.truncate(k);
    }
}

/// A plain walk whose results are filtered.
#[derive(Debug)]
pub struct PostFilter(pub Arc<Hnsw>);

impl Method for PostFilter {
    fn name(&self) -> &'static str {
        "HNSW, post-filter"
    }

    fn dims(&self) -> usize {
        self.0.points.dims()
    }

    fn built(&self) -> Built {
        self.0.built
    }

    fn serves(&self, _: &Filter) -> bool {
        true
    }

    fn find(
        &self,
        query: &[f32],
        k: usize,
        list: usize,
        filter: &Filter,
        scratch: &mut Scratch,
        hits: &mut Vec<Near>,
    ) {
        let rows = self.0.points.rows();
        let wanted = k.min(filter.rows.count());
        let mut list = list.max(k).max(1);
        loop {
            self.0.walk(query, list, None, scratch, hits);
            scratch.counts.predicates += hits.len() as u64;
            hits.retain(|near| filter.rows.contains(near.row()));
            if hits.len() >= wanted || list >= rows {
                break;
            }
            list *= 2;
        }
        hits.truncate(k);
    }
}

/// All rows that pass are compared.
#[derive(Debug)]
pub struct PreFilter(pub Arc<Embeddings>);

impl Method for PreFilter {
    fn name(&self) -> &'static str {
        "pre-filter scan"
    }

    fn dims(&self) -> usize {
        self.0.dims()
    }

    fn built(&self) -> Built {
        Built::default()
    }

    fn serves(&self, _: &Filter) -> bool {
        true
    }

    fn find(
        &self,
        query: &[f32],
        k: usize,
        _: usize,
        filter: &Filter,
        scratch: &mut Scratch,
        hits: &mut Vec<Near>,
    ) {
        scratch.scan(query, &self.0, filter.rows.iter(), k, hits);
    }
}
