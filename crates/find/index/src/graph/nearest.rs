//! The nearest so many of what is offered, in no order until they are asked for: cheaper than a heap where many are kept.

use kokeshi_core::topk::{RUN, at_most};

use super::scratch::{Entry, Near};

/// Room for twice as many as are wanted: the farther half goes when it is full.
#[derive(Debug)]
pub(super) struct Nearest {
    wanted: usize,
    entries: Vec<Entry>,
    /// Nothing farther is among the nearest.
    limit: f32,
}

impl Nearest {
    /// Keeps `wanted`, at least one, in the memory of `entries`.
    pub fn new(wanted: usize, mut entries: Vec<Entry>) -> Self {
        entries.clear();
        Self {
            wanted: wanted.max(1),
            entries,
            limit: f32::INFINITY,
        }
    }

    /// Offers rows with their distances; one that is no number is not kept.
    pub fn offer(&mut self, ids: &[u32], distances: &[f32]) {
        for (ids, distances) in ids.chunks(RUN).zip(distances.chunks(RUN)) {
            for place in at_most(distances, self.limit) {
                let (id, distance) = (ids[place], distances[place]);
                self.entries.push(Entry::new(Near { distance, id }));
            }
            if self.entries.len() >= 2 * self.wanted {
                self.prune();
            }
        }
        self.prune();
    }

    fn prune(&mut self) {
        if self.entries.len() >= self.wanted {
            let (_, last, _) = self.entries.select_nth_unstable(self.wanted - 1);
            self.limit = last.near().distance;
            self.entries.truncate(self.wanted);
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.limit = f32::INFINITY;
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Nothing that was offered and is not kept is nearer; infinite while there is room.
    pub fn limit(&self) -> f32 {
        self.limit
    }

    /// The farthest that is kept.
    pub fn farthest(&self) -> Option<Near> {
        self.entries.iter().max().map(|entry| entry.near())
    }

    /// The one of which `rank` are nearer, or the farthest; none if nothing is kept.
    pub fn at(&mut self, rank: usize) -> Option<Near> {
        let last = self.entries.len().checked_sub(1)?;
        let (_, entry, _) = self.entries.select_nth_unstable(rank.min(last));
        Some(entry.near())
    }

    /// All that are kept, nearest first.
    pub fn sorted(&mut self) -> impl Iterator<Item = Near> {
        self.entries.sort_unstable();
        self.entries.iter().map(|entry| entry.near())
    }

    /// The memory.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use kokeshi_core::Seed;

    use super::*;

    #[test]
    fn keeps_the_nearest_whatever_the_order_and_number() {
        let mut seed = Seed(3);
        for count in [0, 1, 4, 5, 9, 10, 11, 500] {
            let mut distances: Vec<f32> = (0..count).map(|_| (seed.normal() * 3.0) as f32).collect();
            let ids: Vec<u32> = (0..count as u32).collect();
            let mut kept = Nearest::new(5, vec![Entry::LAST]);
            for part in [0..count / 3, count / 3..count] {
                kept.offer(&ids[part.clone()], &distances[part]);
            }
            kept.offer(&[7000], &[f32::NAN]);
            assert_eq!(kept.len(), count.min(5));
            let worst = kept.farthest().map(|near| near.distance);
            distances.sort_by(f32::total_cmp);
            let expected = &distances[..count.min(5)];
            assert_eq!(worst, expected.last().copied());
            let limit = if count < 5 { f32::INFINITY } else { expected[4] };
            assert_eq!(kept.limit(), limit);
            let third = kept.at(2).map(|near| near.distance);
            assert_eq!(third, expected.get(2).or(expected.last()).copied());
            let sorted: Vec<f32> = kept.sorted().map(|near| near.distance).collect();
            assert_eq!(sorted, expected);
            kept.clear();
            // Of those that are equally near the first rows stay, in whatever order they come.
            let mut ids: Vec<u32> = ids.into_iter().chain(1000..1020).collect();
            seed.shuffle(&mut ids);
            kept.offer(&ids, &vec![1.5; ids.len()]);
            let found: Vec<u32> = kept.sorted().map(|near| near.id).collect();
            ids.sort_unstable();
            assert_eq!(found, ids[..5]);
            kept.clear();
            assert_eq!((kept.len(), kept.limit(), kept.at(0)), (0, f32::INFINITY, None));
        }
    }
}
