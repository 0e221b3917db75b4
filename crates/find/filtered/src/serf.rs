//! SeRF (SIGMOD 2024): one graph that holds the graphs of all ranges of a number.
//!
//! | variant | when |
//! |---|---|
//! | [`PrefixGraph`] | numbers up to a bound: exactly the graph that the rows up to there would have |
//! | [`RangeGraph`] | numbers between two bounds: nearly |
//!
//! Rows are sorted by their number, so that a range of numbers is a range of rows.

use std::sync::Arc;

use kokeshi_core::{Bitmap, Embeddings, Result};

use crate::attributes::{Filter, Shape};
use crate::beam::{Counts, Near, Scratch, Walk, gated, renumber};
use crate::lists::Packed;
use crate::method::{Built, Method, Wanted, check_rows};
use crate::names;
use crate::prune::{Pairs, by_distance, nearer_to_kept, prune};

/// How a graph is built.
#[derive(Debug, Clone, Copy)]
pub struct SerfConfig {
    /// Neighbours that a row chooses, K.
    pub degree: usize,
    /// The length of the candidate list while building.
    pub ef_construction: usize,
    /// How many of the rows that were compared become candidates for ranges.
    pub ef_max: usize,
}

impl Default for SerfConfig {
    fn default() -> Self {
        Self {
            degree: 16,
            ef_construction: 100,
            ef_max: 500,
        }
    }
}

/// Rows in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Sorted {
    numbers: Vec<f64>,
    /// The row of each rank.
    rows: Vec<u32>,
    points: Arc<Embeddings>,
}

impl Sorted {
    /// Rows whose number is NaN come last and are in no range.
    fn new(points: &Embeddings, numbers: &[f64]) -> Result<Self> {
        check_rows("numbers", points.rows(), numbers.len())?;
        let mut rows: Vec<u32> = (0..points.rows() as u32).collect();
        let key = |row: u32| numbers[row as usize];
        rows.sort_by(|&a, &b| {
            let order = key(a).is_nan().cmp(&key(b).is_nan());
            order.then(key(a).total_cmp(&key(b))).then(a.cmp(&b))
        });
        Ok(Self {
            numbers: rows.iter().map(|&row| key(row)).collect(),
            points: Arc::new(points.gather(&rows)?),
            rows,
        })
    }

    /// The ranks of the numbers from `low` to `high`, both included.
    fn ranks(&self, low: f64, high: f64) -> (u32, u32) {
        let start = self.numbers.partition_point(|&number| number < low);
        let end = self.numbers.partition_point(|&number| number <= high);
        (start as u32, end.max(start) as u32)
    }

    fn gate<'a>(&'a self, filter: Option<&'a Bitmap>) -> Gate<'a> {
        Gate {
            rows: &self.rows,
            filter,
        }
    }

    fn bytes(&self) -> usize {
        12 * self.rows.len()
    }
}

/// Where a search of the ranks `low..high` starts.
fn entries(low: u32, high: u32) -> impl Iterator<Item = u32> {
    let third = (high - low) / 3;
    let count = if high > low { 3 } else { 0 };
    (0..count).map(move |at| low + at * third)
}

/// The graphs of all prefixes `0..end` of the ranks in one.
#[derive(Debug)]
pub struct PrefixGraph {
    sorted: Sorted,
    live: Packed,
    /// Neighbours that a node lost, and the insertions at which it did, list for list.
    lost: Packed,
    until: Packed,
    built: Built,
}

/// Neighbours among the first `end` ranks, at the time when there were no others.
struct Until<'a> {
    live: &'a [Vec<u32>],
    end: u32,
}

impl Walk for Until<'_> {
    fn neighbours(&mut self, from: Near, out: &mut Vec<u32>, _: &mut Counts) {
        let live = self.live[from.row() as usize].iter();
        out.extend(live.filter(|&&rank| rank < self.end));
    }
}

struct Replayed<'a> {
    graph: &'a PrefixGraph,
    end: u32,
    gate: Gate<'a>,
}

/// What else a row has to pass, in the numbering of rows.
#[derive(Clone, Copy)]
struct Gate<'a> {
    rows: &'a [u32],
    filter: Option<&'a Bitmap>,
}

impl Gate<'_> {
    #[inline]
    fn admits(&self, rank: u32, counts: &mut Counts) -> bool {
        gated(self.filter, self.rows[rank as usize], counts)
    }
}

/// What the graphs walk for.
fn walks(shape: &Shape) -> bool {
    matches!(shape, Shape::Range(..))
}

impl Walk for Replayed<'_> {
    fn neighbours(&mut self, from: Near, out: &mut Vec<u32>, _: &mut Counts) {
        self.graph.edges_at(from.row(), self.end, out);
    }

    fn admit(&mut self, rank: u32, counts: &mut Counts) -> bool {
        self.gate.admits(rank, counts)
    }
}

impl PrefixGraph {
    /// Inserts all rows in the order of their numbers and keeps a log of the edges that are pruned.
    ///
    /// # Errors
    /// If there is not one number for each row.
    pub fn build(points: &Embeddings, numbers: &[f64], config: SerfConfig) -> Result<Self> {
        let sorted = Sorted::new(points, numbers)?;
        let points = &sorted.points;
        let pairs = Pairs::of(points);
        let count = points.rows();
        let capacity = 2 * config.degree;
        let mut live: Vec<Vec<u32>> = vec![Vec::new(); count];
        let mut log: Vec<Vec<(u32, u32)>> = vec![Vec::new(); count];
        let mut scratch = Scratch::default();
        let (mut hits, mut kept, mut list) = (Vec::new(), Vec::new(), Vec::new());
        for rank in 0..count as u32 {
            let mut walk = Until {
                live: &live,
                end: rank,
            };
            let query = points.row(rank as usize);
            scratch.beam(
                query,
                points,
                entries(0, rank),
                config.ef_construction,
                &mut walk,
                &mut hits,
            );
            kept.clear();
            prune(&hits, config.degree, &mut kept, nearer_to_kept(&pairs), |_| ());
            live[rank as usize].extend(kept.iter().map(|near| near.row()));
            for other in kept.clone() {
                let other = other.row() as usize;
                live[other].push(rank);
                if live[other].len() > capacity {
                    by_distance(&pairs, other as u32, live[other].iter().copied(), &mut list);
                    kept.clear();
                    prune(&list, capacity, &mut kept, nearer_to_kept(&pairs), |lost| {
                        log[other].push((lost.row(), rank));
                    });
                    live[other].clear();
                    live[other].extend(kept.iter().map(|near| near.row()));
                }
            }
        }
        let live = Packed::new(live.iter().map(Vec::as_slice));
        let split = |of: fn(&(u32, u32)) -> u32| -> Vec<Vec<u32>> {
            log.iter().map(|log| log.iter().map(of).collect()).collect()
        };
        let (lost, until) = (split(|entry| entry.0), split(|entry| entry.1));
        let lost = Packed::new(lost.iter().map(Vec::as_slice));
        let until = Packed::new(until.iter().map(Vec::as_slice));
        let built = Built {
            distances: scratch.counts.distances + pairs.compared(),
            edges: live.edges() + lost.edges(),
            bytes: live.bytes() + lost.bytes() + until.bytes() + sorted.bytes(),
        };
        Ok(Self {
            sorted,
            live,
            lost,
            until,
            built,
        })
    }

    /// The rows in the order of their numbers.
    pub fn rows(&self) -> &[u32] {
        &self.sorted.rows
    }

    /// The neighbours, as ranks, that the row of rank `rank` had when only the first `end` rows were in the graph.
    pub fn neighbours(&self, rank: u32, end: u32) -> Vec<u32> {
        let mut edges = Vec::new();
        self.edges_at(rank, end, &mut edges);
        edges
    }

    /// The neighbours that rank `node` had when only the first `end` ranks were in the graph.
    fn edges_at(&self, node: u32, end: u32, out: &mut Vec<u32>) {
        let live = self.live.of(node).iter().copied();
        out.extend(live.filter(|&rank| rank < end));
        let lost = self.lost.of(node).iter().zip(self.until.of(node));
        out.extend(
            lost.filter(|&(&rank, &until)| rank < end && until >= end)
                .map(|(&rank, _)| rank),
        );
    }
}

impl Method for PrefixGraph {
    fn name(&self) -> &'static str {
        names::SERF_HALF
    }

    fn dims(&self) -> usize {
        self.sorted.points.dims()
    }

    fn built(&self) -> Built {
        self.built
    }

    fn serves(&self, filter: &Filter) -> bool {
        let low = |shape: &Shape| match *shape {
            Shape::Range(low, high) => self.sorted.ranks(low, high).0,
            _ => 1,
        };
        filter.part(walks).is_some_and(|(shape, _)| low(shape) == 0)
    }

    fn find(&self, wanted: &Wanted<'_>, scratch: &mut Scratch, hits: &mut Vec<Near>) {
        let Some((&Shape::Range(low, high), filter)) = wanted.filter.part(walks) else {
            return;
        };
        let (_, end) = self.sorted.ranks(low, high);
        let gate = self.sorted.gate(filter);
        let mut walk = Replayed {
            graph: self,
            end,
            gate,
        };
        let points = &self.sorted.points;
        let list = wanted.list.max(wanted.k);
        scratch.beam(wanted.query, points, entries(0, end), list, &mut walk, hits);
        renumber(hits, wanted.k, &self.sorted.rows);
    }
}

/// The graphs of all ranges of ranks in one.
#[derive(Debug)]
pub struct RangeGraph {
    sorted: Sorted,
    edges: RangeEdges,
    built: Built,
}

/// For each node batches of neighbours before it, each for the left bounds below its end that are not below an earlier one's, and
/// all nodes that chose it.
#[derive(Debug, Default)]
struct RangeEdges {
    /// `(left bounds below this, start of the batch after)`.
    batches: Vec<Vec<(u32, u32)>>,
    chosen: Vec<Vec<u32>>,
    reverse: Vec<Vec<u32>>,
}

impl RangeEdges {
    #[inline]
    fn of(&self, node: u32, low: u32, high: u32, out: &mut Vec<u32>) {
        let mut start = 0;
        for &(end, next) in &self.batches[node as usize] {
            if low < end {
                let batch = &self.chosen[node as usize][start as usize..next as usize];
                out.extend(batch.iter().filter(|&&rank| rank >= low));
                break;
            }
            start = next;
        }
        let reverse = self.reverse[node as usize].iter();
        out.extend(reverse.filter(|&&rank| rank < high));
    }

    fn edges(&self) -> usize {
        let lists = self.chosen.iter().chain(&self.reverse);
        lists.map(Vec::len).sum()
    }
}

/// Neighbours inside the ranks `low..high`, and a record of what was compared.
struct Inside<'a> {
    edges: &'a RangeEdges,
    low: u32,
    high: u32,
    met: Option<&'a mut Vec<Near>>,
    gate: Gate<'a>,
}

impl Walk for Inside<'_> {
    fn neighbours(&mut self, from: Near, out: &mut Vec<u32>, _: &mut Counts) {
        self.edges.of(from.row(), self.low, self.high, out);
    }

    fn admit(&mut self, rank: u32, counts: &mut Counts) -> bool {
        self.gate.admits(rank, counts)
    }

    fn met(&mut self, near: Near) {
        if let Some(met) = &mut self.met {
            met.push(near);
        }
    }
}

impl RangeGraph {
    /// Inserts all rows in the order of their numbers.
    ///
    /// # Errors
    /// If there is not one number for each row.
    pub fn build(points: &Embeddings, numbers: &[f64], config: SerfConfig) -> Result<Self> {
        let sorted = Sorted::new(points, numbers)?;
        let points = &sorted.points;
        let pairs = Pairs::of(points);
        let count = points.rows();
        let mut edges = RangeEdges {
            batches: vec![Vec::new(); count],
            chosen: vec![Vec::new(); count],
            reverse: vec![Vec::new(); count],
        };
        let mut scratch = Scratch::default();
        let (mut hits, mut kept, mut met) = (Vec::new(), Vec::new(), Vec::new());
        for rank in 0..count as u32 {
            met.clear();
            let mut walk = Inside {
                edges: &edges,
                low: 0,
                high: rank,
                met: Some(&mut met),
                gate: sorted.gate(None),
            };
            let query = points.row(rank as usize);
            scratch.beam(
                query,
                points,
                entries(0, rank),
                config.ef_construction,
                &mut walk,
                &mut hits,
            );
            met.sort_unstable();
            met.truncate(config.ef_max);
            while !met.is_empty() {
                kept.clear();
                prune(&met, config.degree, &mut kept, nearer_to_kept(&pairs), |_| ());
                // The leftmost bound that this batch serves: the published code's choice, which makes few batches.
                let bound = kept.iter().map(|near| near.row()).max().unwrap_or(rank);
                met.retain(|near| near.row() > bound);
                let end = if met.is_empty() { rank } else { bound + 1 };
                let chosen = &mut edges.chosen[rank as usize];
                chosen.extend(kept.iter().map(|near| near.row()));
                let next = chosen.len() as u32;
                edges.batches[rank as usize].push((end, next));
                for near in &kept {
                    edges.reverse[near.row() as usize].push(rank);
                }
            }
        }
        let (links, batches) = (edges.edges(), edges.batches.iter().map(Vec::len).sum::<usize>());
        let built = Built {
            distances: scratch.counts.distances + pairs.compared(),
            edges: links,
            bytes: 4 * links + 8 * batches + 3 * count * size_of::<Vec<u32>>() + sorted.bytes(),
        };
        Ok(Self { sorted, edges, built })
    }

    /// Batches a row, on average.
    pub fn batches(&self) -> f64 {
        let batches: usize = self.edges.batches.iter().map(Vec::len).sum();
        batches as f64 / self.sorted.rows.len().max(1) as f64
    }
}

impl Method for RangeGraph {
    fn name(&self) -> &'static str {
        names::SERF
    }

    fn dims(&self) -> usize {
        self.sorted.points.dims()
    }

    fn built(&self) -> Built {
        self.built
    }

    fn serves(&self, filter: &Filter) -> bool {
        filter.part(walks).is_some()
    }

    fn find(&self, wanted: &Wanted<'_>, scratch: &mut Scratch, hits: &mut Vec<Near>) {
        let Some((&Shape::Range(low, high), filter)) = wanted.filter.part(walks) else {
            return;
        };
        let (low, high) = self.sorted.ranks(low, high);
        let mut walk = Inside {
            edges: &self.edges,
            low,
            high,
            met: None,
            gate: self.sorted.gate(filter),
        };
        let points = &self.sorted.points;
        let list = wanted.list.max(wanted.k);
        scratch.beam(wanted.query, points, entries(low, high), list, &mut walk, hits);
        renumber(hits, wanted.k, &self.sorted.rows);
    }
}

#[cfg(test)]
mod tests {
    use kokeshi_core::Seed;

    use super::*;
    use crate::synthetic::clusters;

    #[test]
    fn the_log_gives_the_graph_of_every_prefix_edge_for_edge() -> Result<()> {
        let (points, _) = clusters(1500, 0, 16, 10, Seed(1))?;
        let numbers: Vec<f64> = (0..1500).map(|row| f64::from(row * 7919 % 1500)).collect();
        let config = SerfConfig {
            degree: 4,
            ef_construction: 40,
            ef_max: 100,
        };
        let whole = PrefixGraph::build(&points, &numbers, config)?;
        assert!(whole.lost.edges() > 100, "some edges were pruned");
        for end in [1, 5, 300, 777, 1500] {
            let part = whole.sorted.points.as_slice()[..end * 16].to_vec();
            let part = Embeddings::from_vec(part, 16)?;
            let fresh = PrefixGraph::build(&part, &whole.sorted.numbers[..end], config)?;
            for node in 0..end as u32 {
                let mut replayed = whole.neighbours(node, end as u32);
                let mut expected = fresh.live.of(node).to_vec();
                replayed.sort_unstable();
                expected.sort_unstable();
                assert_eq!(replayed, expected, "node {node} of the first {end}");
            }
        }
        Ok(())
    }

    #[test]
    fn equal_numbers_are_inside_together_and_nan_never_is() -> Result<()> {
        let points = Embeddings::from_vec((0..6).map(|at| at as f32).collect(), 1)?;
        let numbers = [2.0, 1.0, 2.0, f64::NAN, 3.0, 2.0];
        let graph = RangeGraph::build(&points, &numbers, SerfConfig::default())?;
        let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
        for (range, expected) in [
            (2.0..=2.0, vec![0, 2, 5]),
            (0.0..=1.5, vec![1]),
            (f64::NEG_INFINITY..=f64::INFINITY, vec![0, 1, 2, 4, 5]),
            (4.0..=9.0, vec![]),
            (3.0..=2.0, vec![]),
        ] {
            let filter = Filter::range(&numbers, range);
            graph.search(&[0.0], 9, 9, &filter, &mut scratch, &mut hits)?;
            assert_eq!(hits.iter().map(|near| near.row()).collect::<Vec<_>>(), expected);
            assert_eq!(filter.rows.iter().collect::<Vec<_>>(), expected);
        }
        Ok(())
    }
}
