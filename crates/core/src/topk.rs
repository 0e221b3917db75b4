//! The best k of a stream.

use std::cmp::Ordering;

/// A row number and its score; larger is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The row.
    pub id: u32,
    /// Its score.
    pub score: f32,
}

/// Scores that are looked at together.
pub const RUN: usize = 32;

/// Keeps the k best of what is pushed, without sorting the rest. Equal scores go to the smaller id, NaN is never kept.
#[derive(Debug, Clone)]
pub struct TopK {
    k: usize,
    /// A binary heap whose root is the worst kept entry.
    heap: Vec<Scored>,
}

/// Whether `a` ranks before `b`.
fn before(a: Scored, b: Scored) -> bool {
    a.score > b.score || (a.score == b.score && a.id < b.id)
}

impl TopK {
    /// Keeps the best `k`.
    pub fn new(k: usize) -> Self {
        Self {
            k,
            heap: Vec::with_capacity(k.min(4096)),
        }
    }

    /// Forgets all that was pushed.
    pub fn clear(&mut self) {
        self.heap.clear();
    }

    /// How many are kept at most.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The score that a new entry has to beat, or minus infinity while there is room.
    #[inline]
    pub fn threshold(&self) -> f32 {
        if self.heap.len() < self.k {
            f32::NEG_INFINITY
        } else {
            self.worst().map_or(f32::INFINITY, |worst| worst.score)
        }
    }

    /// The worst entry that is kept, whether there is room or not.
    pub fn worst(&self) -> Option<Scored> {
        self.heap.first().copied()
    }

    /// Offers an entry.
    pub fn push(&mut self, id: u32, score: f32) {
        let new = Scored { id, score };
        if score.is_nan() || self.k == 0 {
            return;
        }
        if self.heap.len() < self.k {
            self.heap.push(new);
            let mut at = self.heap.len() - 1;
            while at > 0 && before(self.heap[(at - 1) / 2], self.heap[at]) {
                self.heap.swap(at, (at - 1) / 2);
                at = (at - 1) / 2;
            }
        } else if before(new, self.heap[0]) {
            self.heap[0] = new;
            let mut at = 0;
            loop {
                let (left, right) = (2 * at + 1, 2 * at + 2);
                let mut worst = at;
                if left < self.heap.len() && before(self.heap[worst], self.heap[left]) {
                    worst = left;
                }
                if right < self.heap.len() && before(self.heap[worst], self.heap[right]) {
                    worst = right;
                }
                if worst == at {
                    break;
                }
                self.heap.swap(at, worst);
                at = worst;
            }
        }
    }

    /// Offers the scores of rows `first`, `first + 1` and so on, but for those that are not finite: much quicker than one after the other where
    /// few are good enough.
    pub fn push_run(&mut self, first: u32, scores: &[f32]) {
        self.push_by(scores, |at| first + at as u32);
    }

    /// Offers the scores of the rows `ids`, as [`TopK::push_run`].
    pub fn push_each(&mut self, ids: &[u32], scores: &[f32]) {
        let scores = &scores[..ids.len().min(scores.len())];
        self.push_by(scores, |at| ids[at]);
    }

    #[inline(always)]
    fn push_by(&mut self, scores: &[f32], id: impl Fn(usize) -> u32) {
        let mut least = self.threshold();
        for (run, some) in scores.chunks(RUN).enumerate() {
            for place in places(marks(some, |score| score >= least)) {
                let score = some[place];
                if score >= least && score.is_finite() {
                    self.push(id(run * RUN + place), score);
                    least = self.threshold();
                }
            }
        }
    }

    /// Takes in everything another one kept.
    pub fn merge(&mut self, other: Self) {
        for entry in other.heap {
            self.push(entry.id, entry.score);
        }
    }

    /// How many are kept now.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// The kept entries, best first.
    pub fn into_sorted(mut self) -> Vec<Scored> {
        self.heap
            .sort_unstable_by(|&a, &b| match (before(a, b), before(b, a)) {
                (true, _) => Ordering::Less,
                (_, true) => Ordering::Greater,
                _ => Ordering::Equal,
            });
        self.heap
    }
}

/// The places of up to [`RUN`] values that are no more than `most`, in order: looked for together, so that those that are more cost next to nothing.
#[inline(always)]
pub fn at_most(values: &[f32], most: f32) -> impl Iterator<Item = usize> + use<> {
    places(marks(values, |value| value <= most))
}

/// Which of up to [`RUN`] values pass, as bits. Written so that compilers compare with vector instructions.
#[inline(always)]
fn marks(values: &[f32], passes: impl Fn(f32) -> bool) -> u32 {
    let bits = |values: &[f32]| {
        let passed = values
            .iter()
            .enumerate()
            .map(|(at, value)| u32::from(passes(*value)) << at);
        passed.fold(0, |bits, bit| bits | bit)
    };
    match values.first_chunk::<RUN>() {
        Some(values) => bits(values),
        None => bits(values),
    }
}

/// The places of bits.
fn places(mut bits: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = bits.trailing_zeros();
        (bits != 0).then(|| bits &= bits - 1).map(|()| place as usize)
    })
}

/// The best k of long runs of scores: as [`TopK`], but what is good enough is put down and cut to the k best when it is several times as much, which
/// takes less time for a k of dozens and more.
#[derive(Debug, Clone)]
pub struct Shortlist {
    k: usize,
    /// [`Self::key`] of the entries.
    kept: Vec<u64>,
    /// The worst score that the last cut left: a new entry has to be as good.
    least: f32,
}

impl Shortlist {
    /// Entries that are kept until a cut, for each of `k`.
    const SLACK: usize = 4;

    /// Keeps the best `k`.
    pub fn new(k: usize) -> Self {
        let least = if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        Self {
            k,
            kept: Vec::new(),
            least,
        }
    }

    /// Offers the scores of rows `first`, `first + 1` and so on, but for those that are not finite.
    pub fn push_run(&mut self, first: u32, scores: &[f32]) {
        for (at, some) in scores.chunks(RUN).enumerate() {
            for place in places(marks(some, |score| score >= self.least)) {
                let score = some[place];
                if score.is_finite() {
                    let id = first + (at * RUN + place) as u32;
                    self.kept.push(Self::key(Scored { id, score }));
                }
            }
            if self.kept.len() > self.k.saturating_mul(Self::SLACK) {
                self.cut();
            }
        }
    }

    /// A number that is smaller for what ranks before.
    fn key(entry: Scored) -> u64 {
        // Both zeros are alike. Bits of positive floats grow with them, those of negative ones the other way.
        let bits = (entry.score + 0.0).to_bits();
        let falling = if bits >> 31 == 0 {
            bits ^ (u32::MAX >> 1)
        } else {
            bits
        };
        u64::from(falling) << 32 | u64::from(entry.id)
    }

    /// What has this key.
    fn entry(key: u64) -> Scored {
        let falling = (key >> 32) as u32;
        let bits = if falling >> 31 == 0 {
            falling ^ (u32::MAX >> 1)
        } else {
            falling
        };
        Scored {
            id: key as u32,
            score: f32::from_bits(bits),
        }
    }

    fn cut(&mut self) {
        if self.kept.len() > self.k
            && let Some(last) = self.k.checked_sub(1)
        {
            let (_, worst, _) = self.kept.select_nth_unstable(last);
            self.least = Self::entry(*worst).score;
        }
        self.kept.truncate(self.k);
    }

    /// The kept entries, best first.
    pub fn into_sorted(mut self) -> Vec<Scored> {
        self.cut();
        self.kept.sort_unstable();
        self.kept.into_iter().map(Self::entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    /// What [`TopK`] should keep, by sorting everything.
    fn sorted(mut entries: Vec<Scored>, k: usize) -> Vec<Scored> {
        entries.retain(|entry| !entry.score.is_nan());
        entries.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap().then(a.id.cmp(&b.id)));
        entries.truncate(k);
        entries
    }

    fn random(seed: &mut Seed) -> Vec<Scored> {
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0];
        (0..seed.below(300) as u32)
            .map(|id| {
                // Few different scores, so that there are ties.
                let score = match seed.below(10) {
                    0 => special[seed.below(special.len())],
                    _ => seed.below(20) as f32 - 10.0,
                };
                Scored { id, score }
            })
            .collect()
    }

    #[test]
    fn a_run_is_its_scores_one_by_one() {
        let mut seed = crate::Seed(4);
        for (k, count) in [
            (0, 50),
            (1, 0),
            (1, 999),
            (5, 31),
            (10, 1000),
            (200, 100),
            (60, 5000),
        ] {
            let mut scores: Vec<f32> = (0..count)
                .map(|_| (seed.below(300) as f32 - 100.0).cbrt())
                .collect();
            for (at, odd) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY]
                .into_iter()
                .enumerate()
            {
                if let Some(score) = scores.get_mut(7 * at + 3) {
                    *score = odd;
                }
            }
            let (mut run, mut each, mut list) = (TopK::new(k), TopK::new(k), Shortlist::new(k));
            let mut named = TopK::new(k);
            let ids: Vec<u32> = (40..40 + count as u32).collect();
            run.push_run(40, &scores);
            named.push_each(&ids, &scores);
            for (at, scores) in scores.chunks(70).enumerate() {
                list.push_run(40 + 70 * at as u32, scores);
            }
            for (at, &score) in scores.iter().enumerate().filter(|(_, score)| score.is_finite()) {
                each.push(40 + at as u32, score);
            }
            let each = each.into_sorted();
            assert_eq!(run.into_sorted(), each);
            assert_eq!(named.into_sorted(), each);
            assert_eq!(list.into_sorted(), each);
        }
    }

    #[test]
    fn keeps_what_sorting_everything_would_keep_in_any_order_of_pushes() {
        let mut seed = Seed(3);
        for _ in 0..500 {
            let mut entries = random(&mut seed);
            let k = seed.below(40);
            let expected = sorted(entries.clone(), k);
            seed.shuffle(&mut entries);
            let mut best = TopK::new(k);
            for entry in &entries {
                best.push(entry.id, entry.score);
            }
            assert_eq!(
                (best.len(), best.is_empty()),
                (expected.len(), expected.is_empty())
            );
            assert_eq!(best.into_sorted(), expected);
        }
    }

    #[test]
    fn merging_parts_gives_the_same_as_one_stream() {
        let mut seed = Seed(4);
        for _ in 0..200 {
            let entries = random(&mut seed);
            let k = 1 + seed.below(40);
            let mut best = TopK::new(k);
            for part in entries.chunks(1 + seed.below(100)) {
                let mut own = TopK::new(k);
                part.iter().for_each(|entry| own.push(entry.id, entry.score));
                best.merge(own);
            }
            assert_eq!(best.into_sorted(), sorted(entries, k));
        }
    }

    #[test]
    fn the_threshold_is_what_a_new_entry_has_to_beat() {
        let mut best = TopK::new(2);
        assert_eq!(best.threshold(), f32::NEG_INFINITY);
        best.push(0, 1.0);
        assert_eq!(best.threshold(), f32::NEG_INFINITY);
        best.push(1, 3.0);
        assert_eq!(best.threshold(), 1.0);
        best.push(2, 2.0);
        assert_eq!(best.threshold(), 2.0);
        assert_eq!(TopK::new(0).threshold(), f32::INFINITY);
    }
}
