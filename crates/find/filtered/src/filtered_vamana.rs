//! FilteredVamana and StitchedVamana (Filtered-DiskANN, WWW 2023): Vamana whose edges respect labels, so that a walk that steps only on
//! rows with the label asked for stays connected.
//!
//! | variant | when |
//! |---|---|
//! | [`LabelGraph::filtered`] | one graph, built by insertions |
//! | [`LabelGraph::stitched`] | a graph for each label, united and pruned |
//!
//! Both answer searches for rows with a label or with any of several. Of several labels at once the rarest is walked by, and of a
//! conjunction one part; the rest decides what becomes a result (an addition of ours: the paper leaves conjunctions out).

use std::sync::Arc;

use kokeshi_core::{Bitmap, Embeddings, Result, Seed};

use crate::attributes::{Filter, Labels, Shape};
use crate::beam::{Counts, Near, Scratch, Walk, gated};
use crate::lists::Packed;
use crate::method::{Built, Method, Wanted, check_rows};
use crate::names;
use crate::prune::{Pairs, by_distance};
use crate::vamana::{Builder, VamanaConfig, medoid, robust_prune};

/// The paper's number of members among which a label's start is chosen.
const START_CANDIDATES: usize = 25;

/// A graph with a start for each label.
#[derive(Debug)]
pub struct LabelGraph {
    name: &'static str,
    points: Arc<Embeddings>,
    labels: Arc<Labels>,
    lists: Packed,
    /// `None` for labels that no row has.
    starts: Vec<Option<u32>>,
    /// How many rows have each label.
    members: Vec<u32>,
    built: Built,
}

/// Whether `a` may hide `b` from `node`: it has every label that the two share (the paper's rule, which keeps all ways open by which a
/// search could come from the one to the other).
fn covers(labels: &Labels, node: u32, a: u32, b: u32) -> bool {
    let (own, has) = (labels.of(node), labels.of(a));
    labels
        .of(b)
        .iter()
        .all(|label| !own.contains(label) || has.contains(label))
}

/// For each label the one of some random members that serves the fewest labels so far.
fn starts(members: &[Vec<u32>], rows: usize, seed: &mut Seed) -> Vec<Option<u32>> {
    let mut serves = vec![0u32; rows];
    members
        .iter()
        .map(|members| {
            let tries = START_CANDIDATES.min(members.len());
            let picks = (0..tries).map(|_| members[seed.below(members.len())]);
            let start = picks.min_by_key(|&row| serves[row as usize])?;
            serves[start as usize] += 1;
            Some(start)
        })
        .collect()
}

impl LabelGraph {
    /// Inserts all rows in random order; each is searched for from the starts of its labels, through rows that share one with it.
    ///
    /// # Errors
    /// If there is not one set of labels for each row.
    pub fn filtered(points: Arc<Embeddings>, labels: Arc<Labels>, config: VamanaConfig) -> Result<Self> {
        check_rows("labels", points.rows(), labels.rows())?;
        let mut seed = Seed(config.seed);
        let starts = starts(&labels.members(), points.rows(), &mut seed);
        let mut order: Vec<u32> = (0..points.rows() as u32).collect();
        seed.shuffle(&mut order);
        let mut builder = Builder::new(&points, config);
        let cover = |node, a, b| covers(&labels, node, a, b);
        for &row in &order {
            let own = labels.of(row);
            for &label in own {
                builder.search(row, starts[label as usize], |other| labels.has(other, label));
            }
            builder.connect(row, cover);
        }
        builder.trim(&order, cover);
        let (lists, distances) = (builder.lists.pack(), builder.distances());
        Ok(Self::new(
            names::FILTERED_VAMANA,
            points,
            labels,
            lists,
            starts,
            distances,
        ))
    }

    /// One Vamana for each label with `small`, all their edges together, and of those what is left by one pruning with `config`.
    ///
    /// # Errors
    /// If there is not one set of labels for each row.
    pub fn stitched(
        points: Arc<Embeddings>,
        labels: Arc<Labels>,
        small: VamanaConfig,
        config: VamanaConfig,
    ) -> Result<Self> {
        check_rows("labels", points.rows(), labels.rows())?;
        let mut seed = Seed(config.seed);
        let mut united: Vec<Vec<u32>> = vec![Vec::new(); points.rows()];
        let mut starts = Vec::with_capacity(labels.count());
        let mut builder = Builder::new(&points, small);
        for mut members in labels.members() {
            let start = medoid(&points, &members);
            starts.push(start);
            let Some(start) = start else { continue };
            for &row in &members {
                builder.lists.set(row, []);
            }
            seed.shuffle(&mut members);
            builder.insert_all(&members, start);
            for &row in &members {
                united[row as usize].extend_from_slice(builder.lists.of(row));
            }
        }
        let mut list = Vec::new();
        let pairs = Pairs::of(&points);
        for (row, others) in (0u32..).zip(&mut united) {
            others.sort_unstable();
            others.dedup();
            if others.len() > config.degree {
                by_distance(&pairs, row, others.iter().copied(), &mut list);
                let kept = robust_prune(&pairs, &list, config, |a, b| covers(&labels, row, a, b));
                others.clear();
                others.extend(kept.into_iter().map(Near::row));
            }
        }
        let lists = Packed::new(united.iter().map(Vec::as_slice));
        let distances = builder.distances() + pairs.compared();
        Ok(Self::new(
            names::STITCHED_VAMANA,
            points,
            labels,
            lists,
            starts,
            distances,
        ))
    }

    fn new(
        name: &'static str,
        points: Arc<Embeddings>,
        labels: Arc<Labels>,
        lists: Packed,
        starts: Vec<Option<u32>>,
        distances: u64,
    ) -> Self {
        let mut members = vec![0; labels.count()];
        for row in 0..labels.rows() as u32 {
            labels
                .of(row)
                .iter()
                .for_each(|&label| members[label as usize] += 1);
        }
        let built = Built {
            distances,
            edges: lists.edges(),
            bytes: lists.bytes() + starts.len() * (size_of::<Option<u32>>() + size_of::<u32>()),
        };
        Self {
            name,
            points,
            labels,
            lists,
            starts,
            members,
            built,
        }
    }

    fn walk(
        &self,
        wanted: &Wanted<'_>,
        label: u32,
        gate: Option<&Bitmap>,
        scratch: &mut Scratch,
        hits: &mut Vec<Near>,
    ) {
        let start = self.starts.get(label as usize).copied().flatten();
        let mut walk = Labelled {
            graph: self,
            label,
            gate,
        };
        let list = wanted.list.max(wanted.k);
        scratch.beam(wanted.query, &self.points, start, list, &mut walk, hits);
    }

    /// The share of the rows with `label` that a walk from its start through such rows can reach.
    pub fn reachable(&self, label: u32) -> f64 {
        let mut reached = vec![false; self.points.rows()];
        let mut open: Vec<u32> = self.starts[label as usize].into_iter().collect();
        let mut count = 0;
        while let Some(row) = open.pop() {
            if !std::mem::replace(&mut reached[row as usize], true) {
                count += 1;
                let near = self.lists.of(row).iter().copied();
                open.extend(near.filter(|&other| self.labels.has(other, label)));
            }
        }
        let members = (0..self.labels.rows() as u32).filter(|&row| self.labels.has(row, label));
        f64::from(count) / members.count().max(1) as f64
    }
}

/// Rows with the label; of those, if there is more to the filter, the ones that pass it become results.
struct Labelled<'a> {
    graph: &'a LabelGraph,
    label: u32,
    gate: Option<&'a Bitmap>,
}

impl Walk for Labelled<'_> {
    fn neighbours(&mut self, from: Near, out: &mut Vec<u32>, counts: &mut Counts) {
        let near = self.graph.lists.of(from.row());
        counts.predicates += near.len() as u64;
        out.extend(near.iter().filter(|&&row| self.graph.labels.has(row, self.label)));
    }

    fn admit(&mut self, row: u32, counts: &mut Counts) -> bool {
        gated(self.gate, row, counts)
    }
}

/// What the graph walks for.
fn walks(shape: &Shape) -> bool {
    matches!(shape, Shape::Any(_)) || matches!(shape, Shape::Contains(labels) if !labels.is_empty())
}

impl Method for LabelGraph {
    fn name(&self) -> &'static str {
        self.name
    }

    fn dims(&self) -> usize {
        self.points.dims()
    }

    fn built(&self) -> Built {
        self.built
    }

    fn serves(&self, filter: &Filter) -> bool {
        filter.part(walks).is_some()
    }

    fn find(&self, wanted: &Wanted<'_>, scratch: &mut Scratch, hits: &mut Vec<Near>) {
        match wanted.filter.part(walks) {
            Some((Shape::Contains(labels), gate)) => {
                let start = |label: &&u32| self.members.get(**label as usize).copied().unwrap_or(0);
                let Some(&rarest) = labels.iter().min_by_key(start) else {
                    return;
                };
                let rest = (labels.len() > 1).then_some(&wanted.filter.rows);
                self.walk(wanted, rarest, gate.or(rest), scratch, hits);
            }
            Some((Shape::Any(labels), gate)) => {
                // One walk a label: of several starts in one walk the farther ones would be given up as soon as the list is full of
                // rows with a label that they do not share.
                let mut found = Vec::new();
                for &label in labels {
                    self.walk(wanted, label, gate, scratch, &mut found);
                    hits.append(&mut found);
                }
                hits.sort_unstable();
                hits.dedup();
            }
            _ => {}
        }
        hits.truncate(wanted.k);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{clusters, random_label_sets, random_labels};

    const CONFIG: VamanaConfig = VamanaConfig {
        degree: 32,
        list: 50,
        alpha: 1.2,
        seed: 1,
    };

    #[test]
    fn nearly_all_rows_of_every_label_are_reached_from_its_start() -> Result<()> {
        let points = Arc::new(clusters(2000, 0, 16, 10, Seed(1))?.0);
        for labels in [
            random_labels(2000, 8, Seed(2)),
            random_label_sets(2000, 6, Seed(2)),
        ] {
            let labels = Arc::new(labels);
            for graph in [
                LabelGraph::filtered(points.clone(), labels.clone(), CONFIG)?,
                LabelGraph::stitched(points.clone(), labels.clone(), CONFIG, CONFIG)?,
            ] {
                for label in 0..labels.count() as u32 {
                    assert!(graph.reachable(label) >= 0.99, "{} {label}", graph.name());
                }
            }
        }
        Ok(())
    }

    #[test]
    fn with_one_label_for_all_it_is_plain_vamana() -> Result<()> {
        let points = Arc::new(clusters(800, 0, 16, 10, Seed(1))?.0);
        let labels = Arc::new(random_labels(800, 1, Seed(1)));
        let graph = LabelGraph::filtered(points.clone(), labels.clone(), CONFIG)?;
        let mut seed = Seed(CONFIG.seed);
        let start = starts(&labels.members(), 800, &mut seed)[0];
        let mut order: Vec<u32> = (0..800).collect();
        seed.shuffle(&mut order);
        let mut plain = Builder::new(&points, CONFIG);
        plain.insert_all(&order, start.unwrap_or_default());
        for row in 0..800 {
            assert_eq!(graph.lists.of(row), plain.lists.of(row));
        }
        Ok(())
    }

    #[test]
    fn labels_for_other_rows_are_refused() {
        let points = Arc::new(Embeddings::new(4));
        let labels = Arc::new(random_labels(3, 2, Seed(1)));
        let error = LabelGraph::filtered(points, labels, CONFIG).unwrap_err();
        assert_eq!(
            error.to_string(),
            "labels: expected one entry for each of 0 rows, found \"3\""
        );
    }
}
