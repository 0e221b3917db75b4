//! Building and extending: rows join in batches; those of a batch search the same graph in parallel and are then linked in at once.
//!
//! Vamana ("DiskANN: Fast Accurate Billion-point Nearest Neighbor Search on a Single Node", NeurIPS 2019) with the batches of
//! "ParlayANN" (arXiv 2305.04359): no locks, and the same graph whatever the number of threads.

use std::collections::{HashMap, HashSet};

use kokeshi_core::{Progress, distance};
use rayon::prelude::*;

use super::adjacency::{NONE, used};
use super::scratch::{Near, Scratch};
use super::search::{ToRow, Walk, nearest};
use super::{Graph, GraphConfig};
use crate::space::Space;
use crate::{Error, Result, Vectors};

/// The largest batch, as a share of the nodes already linked (ParlayANN's choice): rows of a batch don't see each other.
const LARGEST_BATCH: f64 = 0.02;
/// Rows whose mean is taken together; fixed, so that rounding doesn't depend on the number of threads.
const MEAN_ROWS: usize = 4096;

/// A graph under construction.
pub(crate) struct Builder<'a> {
    pub space: Space<'a>,
    pub config: GraphConfig,
    pub places: Vec<u32>,
    pub entry: u32,
    pub linked: usize,
}

impl Builder<'_> {
    /// Links rows `from..` of the vectors in.
    pub fn insert(&mut self, from: usize, progress: &dyn Progress) -> Result<()> {
        let vectors = self.space.vectors;
        let degree = self.config.degree;
        self.places.resize(vectors.rows() * degree, NONE);
        let mut order: Vec<u32> = (from as u32..vectors.rows() as u32)
            .filter(|&id| self.space.usable(id))
            .collect();
        progress.start("graph", Some(order.len() as u64), "vectors");
        // The entry is the middle of the rows; after they have doubled it is looked for again.
        let middle = (from * 2 < vectors.rows())
            .then(|| medoid(vectors, &self.space))
            .flatten()
            .unwrap_or(self.entry);
        if self.entry == NONE {
            self.entry = middle;
            self.linked = usize::from(middle != NONE);
            order.retain(|&id| id != middle);
        }
        self.config.seed.fork(from as u64).shuffle(&mut order);
        let mut rest = &order[..];
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
        self.entry = middle;
        self.bridge();
        progress.finish();
        Ok(())
    }

    /// Links the rows of `batch`, each with what the graph without them offers.
    fn link(&mut self, batch: &[u32]) {
        let degree = self.config.degree;
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
        let mut back = Vec::with_capacity(batch.len() * degree / 2);
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
                let start = node as usize * degree;
                let mut all = used(&self.places[start..start + degree]).to_vec();
                for &(_, id) in group {
                    if !all.contains(&id) {
                        all.push(id);
                    }
                }
                if all.len() >= degree {
                    let mut candidates: Vec<Near> = all
                        .iter()
                        .map(|&id| Near {
                            distance: self.space.between(node, id),
                            id,
                        })
                        .collect();
                    all = self.prune(&mut candidates);
                }
                (node, all)
            })
            .collect();
        for (node, neighbours) in changed {
            self.set(node, &neighbours);
        }
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
                scratch.list.first().map_or(self.entry, |(near, _)| near.id)
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
        let degree = self.config.degree;
        let mut stack = vec![start];
        reached[start as usize] = true;
        while let Some(id) = stack.pop() {
            let at = id as usize * degree;
            for &next in used(&self.places[at..at + degree]) {
                if !std::mem::replace(&mut reached[next as usize], true) {
                    stack.push(next);
                }
            }
        }
    }

    /// An unused place of the node nearest to `start`, in steps, that has one.
    fn free_place(&self, start: u32) -> Option<usize> {
        let degree = self.config.degree;
        let mut met = HashSet::from([start]);
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(id) = queue.pop_front() {
            let at = id as usize * degree;
            let neighbours = used(&self.places[at..at + degree]);
            if neighbours.len() < degree {
                return Some(at + neighbours.len());
            }
            queue.extend(neighbours.iter().copied().filter(|&id| met.insert(id)));
        }
        None
    }

    fn walk(&self) -> Walk<'_> {
        Walk {
            places: &self.places,
            degree: self.config.degree,
            entry: self.entry,
        }
    }

    fn set(&mut self, node: u32, neighbours: &[u32]) {
        let start = node as usize * self.config.degree;
        let places = &mut self.places[start..start + self.config.degree];
        places.fill(NONE);
        places[..neighbours.len()].copy_from_slice(neighbours);
    }
}

/// The usable row nearest to the mean of all usable rows.
fn medoid(vectors: &Vectors, space: &Space) -> Option<u32> {
    let rows: Vec<u32> = (0..vectors.rows() as u32)
        .filter(|&id| space.usable(id))
        .collect();
    let sums: Vec<Vec<f64>> = rows
        .par_chunks(MEAN_ROWS)
        .map(|ids| {
            let mut sum = vec![0.0; vectors.dims()];
            for &id in ids {
                for (sum, value) in sum.iter_mut().zip(vectors.row(id)) {
                    *sum += f64::from(*value);
                }
            }
            sum
        })
        .collect();
    let mean: Vec<f32> = (0..vectors.dims())
        .map(|column| (sums.iter().map(|sum| sum[column]).sum::<f64>() / rows.len() as f64) as f32)
        .collect();
    rows.par_iter()
        .map(|&id| Near {
            distance: distance::l2_squared(vectors.row(id), &mean),
            id,
        })
        .min()
        .map(|near| near.id)
}

impl Graph {
    /// Hands the graph's parts to a builder, and takes the result only if it came to its end.
    pub(crate) fn grow(&mut self, vectors: &Vectors, progress: &dyn Progress) -> Result<()> {
        let mut builder = Builder {
            space: Space::new(vectors, self.metric),
            config: self.config,
            places: self.adjacency.places().to_vec(),
            entry: self.entry,
            linked: self.linked,
        };
        builder.insert(self.nodes, progress)?;
        self.adjacency = super::Adjacency::Owned(builder.places);
        self.entry = builder.entry;
        self.linked = builder.linked;
        self.nodes = vectors.rows();
        Ok(())
    }
}
