//! The levels that HNSW and ACORN share: the upper ones, and how rows are inserted.

use kokeshi_core::{Embeddings, Seed, distance};

use crate::beam::{Counts, Near, Scratch, Walk};
use crate::lists::{Lists, Packed};
use crate::method::Built;

/// A graph of levels, done.
#[derive(Debug)]
pub(crate) struct Layers {
    pub bottom: Packed,
    pub upper: Upper,
    /// Where searches start; `None` without rows.
    pub entry: Option<u32>,
    pub built: Built,
}

/// A graph of levels while it grows.
pub(crate) struct Growing {
    pub bottom: Lists,
    pub upper: Upper,
}

/// One of its levels: of each row the first `width` neighbours that were not compared before.
struct Level<'a> {
    graph: &'a Growing,
    level: usize,
    width: usize,
}

impl Walk for Level<'_> {
    fn neighbours(&mut self, from: Near, out: &mut Vec<u32>, _: &mut Counts) {
        out.extend_from_slice(self.graph.of(from.row(), self.level));
    }

    fn width(&self) -> usize {
        self.width
    }
}

impl Growing {
    /// The list of `row` on `level`.
    pub fn of(&self, row: u32, level: usize) -> &[u32] {
        match level {
            0 => self.bottom.of(row),
            level => self.upper.of(row, level),
        }
    }

    /// Replaces the list of `row` on `level`.
    pub fn set(&mut self, row: u32, level: usize, ids: impl Iterator<Item = u32>) {
        match level {
            0 => self.bottom.set(row, ids),
            level => self.upper.set(row, level, ids),
        }
    }
}

/// How rows are inserted.
pub(crate) struct Growth {
    /// One over the share of rows that a level keeps of those below it.
    pub m: usize,
    /// The most neighbours on the lowest level.
    pub capacity: usize,
    /// The length of the candidate list.
    pub ef: usize,
    /// How many neighbours of a row are compared, those that were compared before left out.
    pub width: usize,
    /// Of the levels.
    pub seed: u64,
}

impl Growth {
    /// Inserts all rows in their order; `link` is given the row, the level and the rows that were found near, nearest first.
    pub fn insert(
        &self,
        points: &Embeddings,
        mut link: impl FnMut(&mut Growing, u32, usize, &mut Vec<Near>),
    ) -> Layers {
        let levels = random_levels(points.rows(), self.m, Seed(self.seed));
        let mut graph = Growing {
            bottom: Lists::new(points.rows(), self.capacity),
            upper: Upper::new(&levels),
        };
        let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
        let mut top: Option<u32> = None;
        for (row, &own) in (0u32..).zip(&levels) {
            let Some(mut entry) = top else {
                top = Some(row);
                continue;
            };
            let own = usize::from(own);
            let query = points.row(row as usize);
            let highest = graph.upper.level(entry);
            for level in (0..=highest).rev() {
                let mut walk = Level {
                    graph: &graph,
                    level,
                    width: self.width,
                };
                let ef = if level > own { 1 } else { self.ef };
                scratch.beam(query, points, [entry], ef, &mut walk, &mut hits);
                entry = hits.first().map_or(entry, |near| near.row());
                if level <= own {
                    link(&mut graph, row, level, &mut hits);
                }
            }
            if own > highest {
                top = Some(row);
            }
        }
        let (bottom, upper) = (graph.bottom.pack(), graph.upper);
        Layers {
            built: Built {
                distances: scratch.counts.distances,
                edges: bottom.edges() + upper.edges(),
                bytes: bottom.bytes() + upper.bytes(),
            },
            bottom,
            upper,
            entry: top,
        }
    }
}

/// The level of each row: floor(-ln U / ln M).
fn random_levels(rows: usize, m: usize, mut seed: Seed) -> Vec<u8> {
    let scale = 1.0 / (m as f64).ln();
    (0..rows)
        .map(|_| (-(1.0 - seed.uniform()).ln() * scale).min(30.0) as u8)
        .collect()
}

/// The lists of rows on the levels above the lowest: for each row one list a level.
#[derive(Debug, Clone)]
pub(crate) struct Upper {
    lists: Vec<Vec<Vec<u32>>>,
}

impl Upper {
    pub fn new(levels: &[u8]) -> Self {
        let lists = levels.iter().map(|&level| vec![Vec::new(); usize::from(level)]);
        Self {
            lists: lists.collect(),
        }
    }

    /// The list of `row` on `level`, which is 1 or higher.
    #[inline]
    pub fn of(&self, row: u32, level: usize) -> &[u32] {
        self.lists[row as usize].get(level - 1).map_or(&[], Vec::as_slice)
    }

    /// The level of a row.
    pub fn level(&self, row: u32) -> usize {
        self.lists[row as usize].len()
    }

    pub fn set(&mut self, row: u32, level: usize, ids: impl Iterator<Item = u32>) {
        let list = &mut self.lists[row as usize][level - 1];
        list.clear();
        list.extend(ids);
    }

    /// Adds to a list of up to `capacity`; whether there was room.
    pub fn push(&mut self, row: u32, level: usize, id: u32, capacity: usize) -> bool {
        let list = &mut self.lists[row as usize][level - 1];
        let room = list.len() < capacity;
        if room {
            list.push(id);
        }
        room
    }

    /// How many rows are on a level above the lowest.
    pub fn nodes(&self) -> usize {
        self.lists.iter().filter(|lists| !lists.is_empty()).count()
    }

    pub fn edges(&self) -> usize {
        self.lists.iter().flatten().map(Vec::len).sum()
    }

    pub fn bytes(&self) -> usize {
        let headers = self.lists.len() + self.lists.iter().map(Vec::len).sum::<usize>();
        headers * size_of::<Vec<u32>>() + 4 * self.edges()
    }

    /// The row to start from on the lowest level: the nearest that greedy steps from `entry` lead to.
    pub fn descend(&self, query: &[f32], points: &Embeddings, entry: u32, scratch: &mut Scratch) -> u32 {
        let highest = self.level(entry);
        if highest == 0 {
            return entry;
        }
        let mut compare = |row: u32| {
            scratch.counts.distances += 1;
            Near::new(distance::l2_squared(query, points.row(row as usize)), row)
        };
        let mut current = compare(entry);
        for level in (1..=highest).rev() {
            loop {
                let others = self.of(current.row(), level).iter();
                match others.map(|&row| compare(row)).min() {
                    Some(nearest) if nearest < current => current = nearest,
                    _ => break,
                }
            }
        }
        current.row()
    }
}
