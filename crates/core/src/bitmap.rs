//! A set of row numbers, one bit each.

/// A fixed-length set of row numbers `0..len`, with its count kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bitmap {
    words: Vec<u64>,
    len: usize,
    count: usize,
}

impl Bitmap {
    /// No row of `0..len` is in the set.
    pub fn empty(len: usize) -> Self {
        Self {
            words: vec![0; len.div_ceil(64)],
            len,
            count: 0,
        }
    }

    /// Every row of `0..len` is in the set.
    pub fn full(len: usize) -> Self {
        let mut words = vec![u64::MAX; len.div_ceil(64)];
        if let (Some(last), true) = (words.last_mut(), len % 64 != 0) {
            *last = (1 << (len % 64)) - 1;
        }
        Self {
            words,
            len,
            count: len,
        }
    }

    /// How many rows there could be.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there could be no rows at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many rows are in the set.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The share of rows in the set, in [0, 1]; 0 for an empty universe.
    pub fn selectivity(&self) -> f64 {
        if self.len == 0 {
            0.0
        } else {
            self.count as f64 / self.len as f64
        }
    }

    /// Whether row `id` is in the set; rows outside `0..len` are not.
    pub fn contains(&self, id: u32) -> bool {
        let id = id as usize;
        id < self.len && self.words[id / 64] >> (id % 64) & 1 == 1
    }

    /// Puts row `id` in; one outside `0..len` makes the universe longer.
    pub fn insert(&mut self, id: u32) {
        let id = id as usize;
        if id >= self.len {
            self.len = id + 1;
            self.words.resize(self.len.div_ceil(64), 0);
        }
        let bit = 1 << (id % 64);
        self.count += usize::from(self.words[id / 64] & bit == 0);
        self.words[id / 64] |= bit;
    }

    /// Takes row `id` out.
    pub fn remove(&mut self, id: u32) {
        if self.contains(id) {
            self.words[id as usize / 64] &= !(1 << (id % 64));
            self.count -= 1;
        }
    }

    /// Keeps only rows that `other` holds too.
    pub fn intersect(&mut self, other: &Self) {
        for (at, word) in self.words.iter_mut().enumerate() {
            *word &= other.words.get(at).copied().unwrap_or(0);
        }
        self.count = self.words.iter().map(|word| word.count_ones() as usize).sum();
    }

    /// The set as words of 64 rows, the lowest row in the lowest bit; bits past the end are 0.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The rows in the set, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros();
                    rest &= rest - 1;
                    at as u32 * 64 + bit
                })
            })
        })
    }
}
