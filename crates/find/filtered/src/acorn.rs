//! ACORN (arXiv 2403.04871): HNSW with many, hardly pruned neighbours, so that the rows that pass any filter are a graph of their own.
//!
//! ACORN-gamma stores gamma times as many candidates a row; ACORN-1 stores few and looks at neighbours of neighbours while it searches.

use std::sync::Arc;

use kokeshi_core::{Bitmap, Embeddings, distance};

use crate::beam::{Counts, Marks, Near, Scratch, Walk, gated};
use crate::levels::{Growth, Layers};
use crate::lists::{Lists, Packed};
use crate::method::{Built, Method, Wanted};
use crate::names;
use crate::prune::{Pairs, by_distance, prune};

/// How a graph is built.
#[derive(Debug, Clone, Copy)]
pub struct AcornConfig {
    /// Neighbours that a search looks at for each row.
    pub m: usize,
    /// How many times as many are stored: one over the lowest selectivity that the graph has to serve. 1 is ACORN-1.
    pub gamma: usize,
    /// Neighbours that pruning leaves alone.
    pub m_beta: usize,
    /// Of the levels.
    pub seed: u64,
}

impl AcornConfig {
    /// ACORN-1 with M = 16.
    pub fn one() -> Self {
        Self {
            m: 16,
            gamma: 1,
            m_beta: 32,
            seed: 1,
        }
    }

    /// ACORN-gamma with M = 16.
    pub fn gamma(gamma: usize) -> Self {
        Self {
            gamma: gamma.max(2),
            ..Self::one()
        }
    }
}

/// The graph.
#[derive(Debug)]
pub struct Acorn {
    points: Arc<Embeddings>,
    layers: Layers,
    config: AcornConfig,
}

/// The lowest level when searched: rows that pass, among neighbours and neighbours of those.
struct Passing<'a> {
    lists: &'a Packed,
    gate: &'a Bitmap,
    config: AcornConfig,
    passed: Marks,
}

impl Passing<'_> {
    fn look(&mut self, row: u32, out: &mut Vec<u32>, counts: &mut Counts) {
        if self.passed.insert(row) {
            counts.predicates += 1;
            if self.gate.contains(row) {
                out.push(row);
            }
        }
    }
}

impl Walk for Passing<'_> {
    fn neighbours(&mut self, from: Near, out: &mut Vec<u32>, counts: &mut Counts) {
        self.passed.clear(self.gate.len());
        // The published code keeps 2 M of the rows two hops away.
        let (most, hidden) = match self.config.gamma {
            1 => (2 * self.config.m, 0),
            _ => (self.config.m, self.config.m_beta),
        };
        let lists = self.lists;
        let own = lists.of(from.row());
        // What pruning took away can be reached through what it kept. Without pruning, the second hop comes after all of the first: a
        // filter that everything passes then leaves the plain graph.
        let first = if self.config.gamma == 1 {
            own
        } else {
            &own[..hidden.min(own.len())]
        };
        for &near in first {
            self.look(near, out, counts);
            if out.len() >= most {
                return;
            }
        }
        for &near in &own[hidden.min(own.len())..] {
            self.look(near, out, counts);
            for &second in lists.of(near) {
                if out.len() >= most {
                    return;
                }
                self.look(second, out, counts);
            }
        }
    }

    fn admit(&mut self, row: u32, counts: &mut Counts) -> bool {
        gated(Some(self.gate), row, counts)
    }
}

impl Acorn {
    /// Inserts all rows in their order.
    pub fn build(points: Arc<Embeddings>, config: AcornConfig) -> Self {
        let m = config.m.max(2);
        let config = AcornConfig {
            m,
            gamma: config.gamma.max(1),
            ..config
        };
        let wide = m * config.gamma;
        let capacity = config.m_beta + m + m / 2;
        let growth = Growth {
            m,
            capacity,
            ef: wide.max(config.m_beta),
            // So that building does not cost gamma times as much.
            width: m,
            seed: config.seed,
        };
        let (mut kept, mut list) = (Vec::new(), Vec::new());
        let mut covered = Marks::default();
        let pairs = Pairs::of(&points);
        let mut layers = growth.insert(&points, |graph, row, level, hits| {
            if level > 0 {
                hits.truncate(wide);
                graph.set(row, level, hits.iter().map(|near| near.row()));
                for near in hits.iter() {
                    let other = near.row();
                    if !graph.upper.push(other, level, row, wide) {
                        let old = graph.of(other, level).iter().copied();
                        by_distance(&pairs, other, old.chain([row]), &mut list);
                        graph.set(other, level, list.iter().take(wide).map(|near| near.row()));
                    }
                }
                return;
            }
            let bottom = &mut graph.bottom;
            // ACORN-1 chooses few, so that links to it are what fills a list and the far ones of its youth stay.
            let own = if config.gamma == 1 { m } else { capacity };
            choose(hits, own, bottom, config, &mut covered, &mut kept);
            if config.gamma == 1 {
                // Farthest first, as in the published code: the first of a list are what building looks at, and the far ones lead on.
                kept.reverse();
            }
            bottom.set(row, kept.iter().map(|near| near.row()));
            for near in kept.clone() {
                let other = near.row();
                // In the order of their coming, as in the published code: the first links of a row were made while rows were few, and
                // lead far.
                if !bottom.push(other, row) {
                    let old = bottom.of(other).iter().copied();
                    by_distance(&pairs, other, old.chain([row]), &mut list);
                    choose(&list, capacity, bottom, config, &mut covered, &mut kept);
                    if config.gamma == 1 {
                        kept.reverse();
                    }
                    bottom.set(other, kept.iter().map(|near| near.row()));
                }
            }
        });
        layers.built.distances += pairs.compared();
        Self {
            points,
            layers,
            config,
        }
    }

    /// Greedy steps through rows that pass; while the current row does not, any that does may take its place.
    fn descend(&self, query: &[f32], entry: u32, gate: &Bitmap, scratch: &mut Scratch) -> u32 {
        let counts = &mut scratch.counts;
        let compare = |row: u32, counts: &mut Counts| {
            counts.distances += 1;
            Near::new(distance::l2_squared(query, self.points.row(row as usize)), row)
        };
        if self.layers.upper.level(entry) == 0 {
            return entry;
        }
        let mut current = compare(entry, counts);
        counts.predicates += 1;
        let mut passes = gate.contains(entry);
        for level in (1..=self.layers.upper.level(entry)).rev() {
            loop {
                let mut best: Option<Near> = None;
                let mut passing = 0;
                for &row in self.layers.upper.of(current.row(), level) {
                    counts.predicates += 1;
                    if gate.contains(row) {
                        let near = compare(row, counts);
                        best = Some(best.map_or(near, |best| best.min(near)));
                        passing += 1;
                        if passing == self.config.m {
                            break;
                        }
                    }
                }
                match best {
                    Some(near) if !passes || near < current => (current, passes) = (near, true),
                    _ => break,
                }
            }
        }
        current.row()
    }
}

/// The neighbours that a row keeps: the nearest `m_beta`, and of the others those that are no neighbours of any that were kept after
/// those. Without regard to any filter.
fn choose(
    candidates: &[Near],
    capacity: usize,
    lists: &Lists,
    config: AcornConfig,
    covered: &mut Marks,
    kept: &mut Vec<Near>,
) {
    let most = config.m * config.gamma;
    kept.clear();
    if config.gamma == 1 {
        kept.extend(candidates.iter().take(capacity));
        return;
    }
    let sure = config.m_beta.min(candidates.len());
    kept.extend(&candidates[..sure]);
    let (mut seen, mut reach) = (sure, 0);
    covered.clear(lists.nodes());
    let hidden = |kept: &[Near], candidate: Near| {
        for near in &kept[seen..] {
            for &row in lists.of(near.row()) {
                reach += usize::from(covered.insert(row));
            }
        }
        seen = kept.len();
        reach + kept.len() > most || covered.contains(candidate.row())
    };
    prune(&candidates[sure..], capacity, kept, hidden, |_| ());
}

impl Method for Acorn {
    fn name(&self) -> &'static str {
        if self.config.gamma == 1 {
            names::ACORN_1
        } else {
            names::ACORN_GAMMA
        }
    }

    fn dims(&self) -> usize {
        self.points.dims()
    }

    fn built(&self) -> Built {
        self.layers.built
    }

    fn find(&self, wanted: &Wanted<'_>, scratch: &mut Scratch, hits: &mut Vec<Near>) {
        let Some(entry) = self.layers.entry else {
            return;
        };
        let gate = &wanted.filter.rows;
        let entry = self.descend(wanted.query, entry, gate, scratch);
        let mut walk = Passing {
            lists: &self.layers.bottom,
            gate,
            config: self.config,
            passed: std::mem::take(&mut scratch.passed),
        };
        let list = wanted.list.max(wanted.k);
        scratch.beam(wanted.query, &self.points, [entry], list, &mut walk, hits);
        scratch.passed = walk.passed;
        hits.truncate(wanted.k);
    }
}
