//! UNG (SIGMOD 2024): rows with the same label set are a group with a graph of its own, linked to the groups whose sets are the next
//! larger ones, so that a search for rows with given labels never meets a row without them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use kokeshi_core::{Bitmap, Embeddings, Result, Seed};

use crate::attributes::{Filter, Labels, Shape, subset};
use crate::beam::{Counts, Near, Scratch, Walk, gated, renumber};
use crate::lists::{Lists, Packed};
use crate::method::{Built, Method, Wanted, check_rows};
use crate::names;
use crate::vamana::{Builder, VamanaConfig, medoid};

/// How a graph is built.
#[derive(Debug, Clone, Copy)]
pub struct UngConfig {
    /// Of the graph inside each group.
    pub vamana: VamanaConfig,
    /// Links from each row to rows of next larger groups, c; 0 leaves the groups unlinked.
    pub cross: usize,
    /// Rows of each entry group from which a search starts.
    pub entries: usize,
}

impl Default for UngConfig {
    fn default() -> Self {
        Self {
            vamana: VamanaConfig {
                degree: 32,
                list: 100,
                ..VamanaConfig::default()
            },
            cross: 6,
            entries: 16,
        }
    }
}

/// The graph.
#[derive(Debug)]
pub struct Ung {
    /// Rows group by group.
    points: Arc<Embeddings>,
    rows: Vec<u32>,
    groups: Groups,
    lists: Packed,
    built: Built,
}

/// The distinct label sets, in order of their size.
#[derive(Debug)]
struct Groups {
    sets: Vec<Vec<u32>>,
    /// Where the places of each group's rows begin.
    starts: Vec<u32>,
    /// Where searches start in each group.
    entries: Vec<Vec<u32>>,
    /// The groups that have each label.
    having: Vec<Vec<u32>>,
}

impl Groups {
    fn places(&self, group: usize) -> Range<u32> {
        self.starts[group]..self.starts[group + 1]
    }

    /// The group of that very set.
    fn exactly(&self, wanted: &[u32]) -> Option<u32> {
        // Groups come in order of size, and then of their sets.
        let key = |set: &Vec<u32>| (set.len(), set.as_slice()).cmp(&(wanted.len(), wanted));
        Some(self.sets.binary_search_by(key).ok()? as u32)
    }

    /// The groups whose sets hold all of `wanted` with no group in between; `strict` leaves out the group of that very set.
    fn minimal(&self, wanted: &[u32], strict: bool) -> Vec<u32> {
        let mut found: Vec<u32> = Vec::new();
        let mut offer = |group: u32| {
            let set = &self.sets[group as usize];
            let fits = subset(wanted, set) && !(strict && set.len() == wanted.len());
            if fits
                && !found
                    .iter()
                    .any(|&smaller| subset(&self.sets[smaller as usize], set))
            {
                found.push(group);
            }
        };
        // Groups come in order of size, so that whatever is between was met before.
        let rarest = wanted.iter().map(|&label| self.having.get(label as usize));
        match rarest.min_by_key(|having| having.map_or(0, Vec::len)) {
            Some(having) => having.into_iter().flatten().for_each(|&group| offer(group)),
            None => (0..self.sets.len() as u32).for_each(offer),
        }
        found
    }
}

impl Ung {
    /// Builds the graphs of all groups and links them.
    ///
    /// # Errors
    /// If there is not one set of labels for each row.
    pub fn build(points: &Embeddings, labels: &Labels, config: UngConfig) -> Result<Self> {
        check_rows("labels", points.rows(), labels.rows())?;
        let mut seed = Seed(config.vamana.seed);
        let (mut groups, rows) = group(labels);
        let points = Arc::new(points.gather(&rows)?);

        let mut builder = Builder::new(&points, config.vamana);
        for group in 0..groups.sets.len() {
            let mut members: Vec<u32> = groups.places(group).collect();
            let Some(start) = medoid(&points, &members) else {
                continue;
            };
            let mut entries = vec![start];
            let room = config.entries.max(1).min(members.len());
            while entries.len() < room {
                let place = members[seed.below(members.len())];
                if !entries.contains(&place) {
                    entries.push(place);
                }
            }
            groups.entries.push(entries);
            if members.len() <= config.vamana.degree {
                for &place in &members {
                    let others = members.iter().copied().filter(|&other| other != place);
                    builder.lists.set(place, others);
                }
            } else {
                seed.shuffle(&mut members);
                builder.insert_all(&members, start);
            }
        }
        let distances = builder.distances();
        let inside = builder.lists;
        let mut scratch = Scratch::default();
        let mut lists: Vec<Vec<u32>> = (0..rows.len() as u32)
            .map(|place| inside.of(place).to_vec())
            .collect();
        if config.cross > 0 {
            link(&points, &groups, &inside, config, &mut lists, &mut scratch);
        }
        let lists = Packed::new(lists.iter().map(Vec::as_slice));
        let sets: usize = groups.sets.iter().chain(&groups.entries).map(Vec::len).sum();
        let built = Built {
            distances: distances + scratch.counts.distances,
            edges: lists.edges(),
            bytes: lists.bytes() + 4 * (rows.len() + 2 * sets + groups.starts.len()),
        };
        Ok(Self {
            points,
            rows,
            groups,
            lists,
            built,
        })
    }

    /// How many distinct label sets there are.
    pub fn groups(&self) -> usize {
        self.groups.sets.len()
    }

    /// Walks from the entries of `groups`, through the places `only` if given; places that pass `gate` become results.
    fn walk(
        &self,
        wanted: &Wanted<'_>,
        groups: &[u32],
        only: Option<Range<u32>>,
        gate: Option<&Bitmap>,
        scratch: &mut Scratch,
        hits: &mut Vec<Near>,
    ) {
        let entries = groups
            .iter()
            .flat_map(|&group| &self.groups.entries[group as usize]);
        let mut walk = Linked {
            graph: self,
            only,
            gate,
        };
        let list = wanted.list.max(wanted.k);
        scratch.beam(
            wanted.query,
            &self.points,
            entries.copied(),
            list,
            &mut walk,
            hits,
        );
    }
}

/// What the graph walks for.
fn walks(shape: &Shape) -> bool {
    matches!(shape, Shape::Contains(_) | Shape::Any(_) | Shape::Exactly(_))
}

/// All links, or those inside a group.
struct Linked<'a> {
    graph: &'a Ung,
    only: Option<Range<u32>>,
    gate: Option<&'a Bitmap>,
}

impl Walk for Linked<'_> {
    fn neighbours(&mut self, from: Near, out: &mut Vec<u32>, _: &mut Counts) {
        let near = self.graph.lists.of(from.row());
        match &self.only {
            Some(only) => out.extend(near.iter().filter(|place| only.contains(place))),
            None => out.extend_from_slice(near),
        }
    }

    fn admit(&mut self, place: u32, counts: &mut Counts) -> bool {
        gated(self.gate, self.graph.rows[place as usize], counts)
    }
}

/// The groups, and the rows in their order.
fn group(labels: &Labels) -> (Groups, Vec<u32>) {
    let mut by_set: BTreeMap<(usize, &[u32]), Vec<u32>> = BTreeMap::new();
    for row in 0..labels.rows() as u32 {
        let set = labels.of(row);
        by_set.entry((set.len(), set)).or_default().push(row);
    }
    let mut groups = Groups {
        sets: Vec::with_capacity(by_set.len()),
        starts: vec![0],
        entries: Vec::with_capacity(by_set.len()),
        having: vec![Vec::new(); labels.count()],
    };
    let mut rows = Vec::with_capacity(labels.rows());
    for ((_, set), members) in by_set {
        for &label in set {
            groups.having[label as usize].push(groups.sets.len() as u32);
        }
        groups.sets.push(set.to_vec());
        rows.extend(members);
        groups.starts.push(rows.len() as u32);
    }
    (groups, rows)
}

/// Links every row to the `cross` nearest rows of the next larger groups, and every group to each of those at least once.
fn link(
    points: &Embeddings,
    groups: &Groups,
    inside: &Lists,
    config: UngConfig,
    lists: &mut [Vec<u32>],
    scratch: &mut Scratch,
) {
    let mut hits = Vec::new();
    for (group, set) in groups.sets.iter().enumerate() {
        let larger = groups.minimal(set, true);
        // For each of those the closest pair, and whether some row was linked to it.
        let mut closest: Vec<Option<(Near, u32)>> = vec![None; larger.len()];
        let mut linked = vec![false; larger.len()];
        for place in groups.places(group) {
            let query = points.row(place as usize);
            let mut near: Vec<(Near, usize)> = Vec::new();
            for (at, &other) in larger.iter().enumerate() {
                let start = groups.entries[other as usize].first().copied();
                let list = config.vamana.list;
                scratch.beam(query, points, start, list, &mut &*inside, &mut hits);
                let best = hits.first().map(|&near| (near, place));
                if closest[at].is_none_or(|old| best.is_some_and(|best| best < old)) {
                    closest[at] = best;
                }
                near.extend(hits.iter().take(config.cross).map(|&near| (near, at)));
            }
            near.sort_unstable();
            for &(near, at) in near.iter().take(config.cross) {
                lists[place as usize].push(near.row());
                linked[at] = true;
            }
        }
        for (at, pair) in closest.into_iter().enumerate() {
            if let (false, Some((near, place))) = (linked[at], pair) {
                lists[place as usize].push(near.row());
            }
        }
    }
}

impl Method for Ung {
    fn name(&self) -> &'static str {
        names::UNG
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
        let Some((shape, gate)) = wanted.filter.part(walks) else {
            return;
        };
        match shape {
            Shape::Contains(labels) => {
                let groups = self.groups.minimal(labels, false);
                self.walk(wanted, &groups, None, gate, scratch, hits);
            }
            Shape::Exactly(labels) => {
                let group = self.groups.exactly(labels);
                let only = group.map(|group| self.groups.places(group as usize));
                self.walk(wanted, group.as_slice(), only, gate, scratch, hits);
            }
            Shape::Any(labels) => {
                let mut found = Vec::new();
                hits.clear();
                for &label in labels {
                    let groups = self.groups.minimal(&[label], false);
                    self.walk(wanted, &groups, None, gate, scratch, &mut found);
                    hits.append(&mut found);
                }
                hits.sort_unstable();
                hits.dedup();
            }
            Shape::Range(..) | Shape::All(_) => return,
        }
        renumber(hits, wanted.k, &self.rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{clusters, random_label_sets};

    #[test]
    fn every_link_leads_to_the_same_set_or_a_next_larger_one() -> Result<()> {
        let (points, _) = clusters(1000, 0, 16, 10, Seed(1))?;
        let labels = random_label_sets(1000, 5, Seed(2));
        let ung = Ung::build(&points, &labels, UngConfig::default())?;
        assert!(ung.groups() > 20);
        for (place, &row) in (0u32..).zip(&ung.rows) {
            let set = labels.of(row);
            for &other in ung.lists.of(place) {
                let larger = labels.of(ung.rows[other as usize]);
                assert!(subset(set, larger));
                let between = ung.groups.sets.iter().any(|between| {
                    between.len() > set.len()
                        && between.len() < larger.len()
                        && subset(set, between)
                        && subset(between, larger)
                });
                assert!(!between, "{set:?} to {larger:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_set_that_no_row_has_finds_nothing() -> Result<()> {
        let (points, _) = clusters(50, 0, 8, 2, Seed(1))?;
        let labels = Labels::new((0..50).map(|row| if row % 2 == 0 { vec![0] } else { vec![1] }));
        let ung = Ung::build(&points, &labels, UngConfig::default())?;
        let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
        for wanted in [vec![0, 1], vec![7]] {
            let filter = labels.containing(&wanted);
            ung.search(points.row(0), 5, 50, &filter, &mut scratch, &mut hits)?;
            assert!(hits.is_empty());
        }
        Ok(())
    }
}
