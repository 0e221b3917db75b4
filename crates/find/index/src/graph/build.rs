//! Building and extending: rows join in batches; those of a batch search the same graph in parallel and are then linked in at once.
//!
//! Vamana ("DiskANN: Fast Accurate Billion-point Nearest Neighbor Search on a Single Node", NeurIPS 2019) with the batches of
//! "ParlayANN" (arXiv 2305.04359): no locks, and the same graph whatever the number of threads. While building, a node may have more
//! neighbours than in the end (DiskANN's slack): choosing among them is needed once every several new ones instead of for each.

use std::collections::{HashMap, HashSet};

use kokeshi_core::{Bitmap, Metric, Progress};
use rayon::prelude::*;

use super::calibrate::{self, LEAST_ROWS, Measured};
use super::cells::Cells;
use super::codes::Codes;
use super::find::Look;
use super::scratch::{Near, Scratch};
use super::search::{ToRow, Walk, nearest};
use super::space::Space;
use super::words::{NONE, used};
use super::{Graph, GraphConfig};
use crate::{Error, Result, Vectors};

/// The largest batch, as a share of the nodes already linked (ParlayANN's choice): rows of a batch don't see each other.
const LARGEST_BATCH: f64 = 0.02;
/// How many times its degree a node's neighbours may be while building.
const SLACK: f64 = 1.5;

/// A graph under construction.
pub(crate) struct Builder<'a> {
    pub space: Space<'a>,
    pub config: GraphConfig,
    /// `[rows, width]`
    pub places: Vec<u32>,
    /// Places a node: more than the degree while rows are linked in.
    pub width: usize,
    pub entry: u32,
    pub linked: usize,
    pub metric: Metric,
    pub codes: Option<Codes>,
    pub cells: Option<Cells>,
    pub measured: Measured,
}

impl Builder<'_> {
    /// Links rows `from..` of the vectors in.
    pub fn insert(&mut self, from: usize, progress: &dyn Progress) -> Result<()> {
        let vectors = self.space.vectors;
        self.widen();
        let mut order: Vec<u32> = (from as u32..vectors.rows() as u32)
            .filter(|&id| self.space.usable(id))
            .collect();
        progress.start("graph", Some(order.len() as u64), "vectors");
        // The entry is the middle of the rows; after they have doubled it is looked for again.
        let middle = (from * 2 < vectors.rows())
            .then(|| self.space.medoid())
            .flatten()
            .unwrap_or(self.entry);
        if self.entry == NONE {
            self.entry = middle;
            self.linked = usize::from(middle != NONE);
            order.retain(|&id| id != middle);
        }
        self.config.seed.fork(from as u64).shuffle(&mut order);
        // The last ones are asked for before they are linked in.
        let sample = self.measured.sample(order.len(), self.linked + order.len());
        let (most, last) = order.split_at(order.len() - sample);
        self.link_all(most, progress)?;
        if !last.is_empty() {
            self.measure(last);
            self.link_all(last, progress)?;
        }
        self.entry = middle;
        self.narrow();
        self.bridge();
        progress.finish();
        Ok(())
    }

    /// Finds the default list with `sample`, the only usable rows that are not linked.
    fn measure(&mut self, sample: &[u32]) {
        let rows = self.space.vectors.rows();
        let mut linked = Bitmap::from_sorted(rows, (0..rows as u32).filter(|&id| self.space.usable(id)));
        sample.iter().for_each(|&id| linked.remove(id));
        self.narrow();
        let before = self.measured;
        let look = Look {
            walk: Some(self.walk()),
            codes: self.codes.as_ref(),
            cells: self.cells.as_ref(),
            vectors: self.space.vectors,
            nodes: rows,
            measured: &before,
        };
        self.measured = calibrate::measure(look, self.metric, &linked, sample);
        self.widen();
    }

    /// Links `rows` in, a batch at a time.
    fn link_all(&mut self, rows: &[u32], progress: &dyn Progress) -> Result<()> {
        let mut rest = rows;
        while !rest.is_empty() {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let largest = (self.linked as f64 * LARGEST_BATCH) as usize;
            let (batch, later) = rest.split_at(largest.clamp(1, rest.len()));
            self.link(batch);
            self.linked += batch.len();
            progress.advance(batch.len() as u64);
            rest = later;
        }
        Ok(())
    }

    /// Links the rows of `batch`, each with what the graph without them offers.
    fn link(&mut self, batch: &[u32]) {
        let width = self.width;
        let chosen: Vec<Vec<u32>> = batch
            .par_iter()
            .map(|&id| {
                Scratch::with(self.space.vectors.rows(), |scratch| {
                    let target = ToRow {
                        row: id,
                        space: &self.space,
                    };
                    nearest(scratch, self.walk(), &target, self.config.list, true);
                    self.prune(&mut scratch.expanded)
                })
            })
            .collect();
        let mut back = Vec::with_capacity(batch.len() * self.config.degree);
        for (&id, chosen) in batch.iter().zip(&chosen) {
            self.set(id, chosen);
            back.extend(chosen.iter().map(|&neighbour| (neighbour, id)));
        }
        back.par_sort_unstable();
        let groups: Vec<&[(u32, u32)]> = back.chunk_by(|a, b| a.0 == b.0).collect();
        let changed: Vec<(u32, Vec<u32>)> = groups
            .into_par_iter()
            .map(|group| {
                let node = group[0].0;
                let mut all = self.neighbours(node).to_vec();
                for &(_, id) in group {
                    if !all.contains(&id) {
                        all.push(id);
                    }
                }
                if all.len() > width {
                    all = self.choose(node, &all);
                }
                (node, all)
            })
            .collect();
        for (node, neighbours) in changed {
            self.set(node, &neighbours);
        }
    }

    /// The best of a node's neighbours.
    fn choose(&self, node: u32, neighbours: &[u32]) -> Vec<u32> {
        let mut distances = vec![0.0; neighbours.len()];
        self.space.distances(node, neighbours, &mut distances);
        let mut candidates: Vec<Near> = distances
            .into_iter()
            .zip(neighbours)
            .map(|(distance, &id)| Near { distance, id })
            .collect();
        self.prune(&mut candidates)
    }

    /// Gives every row of the vectors its places, slack included.
    fn widen(&mut self) {
        let width = (self.config.degree as f64 * SLACK) as usize;
        let mut places = vec![NONE; self.space.vectors.rows() * width];
        for (new, old) in places
            .chunks_exact_mut(width)
            .zip(self.places.chunks_exact(self.width))
        {
            new[..self.width].copy_from_slice(old);
        }
        (self.places, self.width) = (places, width);
    }

    /// Takes the slack back.
    fn narrow(&mut self) {
        let degree = self.config.degree;
        let mut places = vec![NONE; self.space.vectors.rows() * degree];
        places.par_chunks_mut(degree).enumerate().for_each(|(node, new)| {
            let neighbours = self.neighbours(node as u32);
            if neighbours.len() > degree {
                let chosen = self.choose(node as u32, neighbours);
                new[..chosen.len()].copy_from_slice(&chosen);
            } else {
                new[..neighbours.len()].copy_from_slice(neighbours);
            }
        });
        (self.places, self.width) = (places, degree);
    }

    fn neighbours(&self, node: u32) -> &[u32] {
        let start = node as usize * self.width;
        used(&self.places[start..start + self.width])
    }

    /// RobustPrune: of the candidates, nearest first, keeps those that no kept one is `alpha` times closer to than the node itself.
    /// At most `degree - 1`: the last place is for [`Builder::bridge`].
    fn prune(&self, candidates: &mut [Near]) -> Vec<u32> {
        candidates.sort_unstable();
        let most = self.config.degree - 1;
        let mut kept: Vec<u32> = Vec::with_capacity(most);
        for candidate in candidates.iter() {
            let hidden = kept
                .iter()
                .any(|&id| self.config.alpha * self.space.between(id, candidate.id) <= candidate.distance);
            if !hidden {
                kept.push(candidate.id);
                if kept.len() == most {
                    break;
                }
            }
        }
        kept
    }

    /// Makes every linked row reachable from the entry: rows that pruning cut off (usually exact copies of others) are hung on the
    /// nearest reachable node that has a free place.
    fn bridge(&mut self) {
        let rows = self.space.vectors.rows();
        if self.entry == NONE {
            return;
        }
        let mut reached = vec![false; rows];
        self.reach(self.entry, &mut reached);
        // Where the last row was hung that wanted to hang on a node: copies of one row become a chain without walking it each time.
        let mut ends: HashMap<u32, u32> = HashMap::new();
        for id in 0..rows as u32 {
            if reached[id as usize] || !self.space.usable(id) {
                continue;
            }
            let wanted = Scratch::with(rows, |scratch| {
                let target = ToRow {
                    row: id,
                    space: &self.space,
                };
                nearest(scratch, self.walk(), &target, self.config.list, false);
                scratch.list.first().map_or(self.entry, |entry| entry.near().id)
            });
            let from = ends.get(&wanted).copied().unwrap_or(wanted);
            if let Some(place) = self.free_place(from) {
                self.places[place] = id;
                ends.insert(wanted, id);
                self.reach(id, &mut reached);
            }
        }
    }

    /// Marks everything reachable from `start`.
    fn reach(&self, start: u32, reached: &mut [bool]) {
        let mut stack = vec![start];
        reached[start as usize] = true;
        while let Some(id) = stack.pop() {
            for &next in self.neighbours(id) {
                if !std::mem::replace(&mut reached[next as usize], true) {
                    stack.push(next);
                }
            }
        }
    }

    /// An unused place of the node nearest to `start`, in steps, that has one.
    fn free_place(&self, start: u32) -> Option<usize> {
        let mut met = HashSet::from([start]);
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(id) = queue.pop_front() {
            let neighbours = self.neighbours(id);
            if neighbours.len() < self.width {
                return Some(id as usize * self.width + neighbours.len());
            }
            queue.extend(neighbours.iter().copied().filter(|&id| met.insert(id)));
        }
        None
    }

    fn walk(&self) -> Walk<'_> {
        Walk {
            places: &self.places,
            degree: self.width,
            entries: std::slice::from_ref(&self.entry),
        }
    }

    fn set(&mut self, node: u32, neighbours: &[u32]) {
        let start = node as usize * self.width;
        let places = &mut self.places[start..start + self.width];
        places.fill(NONE);
        places[..neighbours.len()].copy_from_slice(neighbours);
    }
}

impl Graph {
    /// Hands the graph's parts to a builder, and takes the result only if it came to its end.
    pub(crate) fn grow(&mut self, vectors: &Vectors, progress: &dyn Progress) -> Result<()> {
        let space = Space::new(vectors, self.metric);
        let codes = Codes::suit(self.dims).then(|| {
            let known = self.codes.clone().filter(|codes| !codes.outgrown(vectors.rows()));
            let learn = || Codes::learn(self.metric, vectors, space.mean.clone(), |id| space.usable(id));
            let mut codes = known.unwrap_or_else(learn);
            codes.extend(vectors);
            codes
        });
        let cells = codes
            .as_ref()
            .filter(|_| vectors.rows() >= LEAST_ROWS)
            .and_then(|codes| {
                let known = self
                    .cells
                    .as_ref()
                    .filter(|cells| !cells.outgrown(vectors.rows()));
                known.map_or_else(
                    || Cells::learn(&space, codes),
                    |known| known.extended(&space, codes, self.nodes),
                )
            });
        let mut builder = Builder {
            space,
            codes,
            cells,
            config: self.config,
            places: self.adjacency.values().to_vec(),
            width: self.config.degree,
            entry: self.entry,
            linked: self.linked,
            metric: self.metric,
            measured: self.measured,
        };
        builder.insert(self.nodes, progress)?;
        self.adjacency = super::Words::Owned(builder.places);
        self.entry = builder.entry;
        self.linked = builder.linked;
        self.measured = builder.measured;
        self.codes = builder.codes;
        self.cells = builder.cells;
        self.nodes = vectors.rows();
        Ok(())
    }
}
