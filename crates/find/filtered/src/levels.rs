//! The upper levels that HNSW and ACORN share.

use kokeshi_core::{Embeddings, Seed, distance};

use crate::beam::{Near, Scratch};

/// The level of each row: floor(-ln U / ln M).
pub(crate) fn random_levels(rows: usize, m: usize, mut seed: Seed) -> Vec<u8> {
    let scale = 1.0 / (m as f64).ln();
    (0..rows)
        .map(|_| (-(1.0 - seed.uniform()).ln() * scale).min(30.0) as u8)
        .collect()
}

/// The level of a row.
pub(crate) fn level(levels: &[u8], row: u32) -> usize {
    usize::from(levels[row as usize])
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
