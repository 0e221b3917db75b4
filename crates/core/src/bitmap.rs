//! A set of row numbers, one bit each.

use std::ops::Range;

/// A set of row numbers out of a universe `0..len`, with its count kept.
///
/// ```
/// use kokeshi_core::Bitmap;
///
/// let mut rows: Bitmap = Bitmap::from_sorted(100, [3, 5, 64]);
/// rows.insert_range(10..12);
/// rows.difference(&Bitmap::from_sorted(100, [5]));
/// assert_eq!(rows.iter().collect::<Vec<_>>(), [3, 10, 11, 64]);
/// assert_eq!(rows.selectivity(), 0.04);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bitmap {
    /// Bit `id % 64` of word `id / 64`; bits from `len` on are zero.
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
        let mut set = Self::empty(len);
        set.insert_range(0..u32::try_from(len).unwrap_or(u32::MAX));
        set
    }

    /// The rows of an iterator, in ascending order for speed (any order gives the same set); one outside `0..len` makes the
    /// universe longer.
    pub fn from_sorted(len: usize, ids: impl IntoIterator<Item = u32>) -> Self {
        let mut set = Self::empty(len);
        set.extend(ids);
        set
    }

    /// How many rows there could be.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there could be no rows at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Rows that [`Self::blocks_in`] hands over at a time.
    pub const BLOCK: usize = 64;

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
        // Bits from `len` on are zero, so that the word's presence is the only test.
        self.words
            .get(id as usize / 64)
            .is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    /// The rows of `range` that are in the set, ascending.
    pub fn iter_in(&self, range: Range<usize>) -> impl Iterator<Item = u32> + '_ {
        let (range, words) = self.words_of(range);
        words.flat_map(move |at| {
            let mut rest = self.masked(at, &range);
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros();
                    rest &= rest - 1;
                    at as u32 * 64 + bit
                })
            })
        })
    }

    /// Hands the rows of `range` that are in the set to `each`, ascending, [`Self::BLOCK`] at a time and what is left in the end; returns how many there
    /// were. Quicker than [`Self::iter_in`] where many are wanted.
    pub fn blocks_in(&self, range: Range<usize>, each: impl FnMut(&[u32])) -> usize {
        let (range, words) = self.words_of(range);
        let mut blocks = Blocks {
            ids: [0; Self::BLOCK + 64],
            count: 0,
            all: 0,
            each,
        };
        // The first and the last word may be in the range only in part.
        if let Some(last) = words.clone().next_back() {
            let first = words.start;
            blocks.add(self.masked(first, &range), first);
            if let Some(inside) = self.words.get(first + 1..last) {
                blocks.add_all(inside, first + 1);
            }
            if last > first {
                blocks.add(self.masked(last, &range), last);
            }
        }
        blocks.end()
    }

    /// How many rows of `range` are in the set.
    pub fn count_in(&self, range: Range<usize>) -> usize {
        if range.start == 0 && self.len <= range.end {
            return self.count;
        }
        let (range, words) = self.words_of(range);
        words
            .map(|at| self.masked(at, &range).count_ones() as usize)
            .sum()
    }

    /// What of `range` is in the universe, and the words that have it.
    fn words_of(&self, range: Range<usize>) -> (Range<usize>, Range<usize>) {
        let range = range.start..range.end.min(self.len);
        let first = range.start / 64;
        (range.clone(), first..range.end.div_ceil(64).max(first))
    }

    /// Word `at`, without the bits outside `range`.
    fn masked(&self, at: usize, range: &Range<usize>) -> u64 {
        let mut word = self.words.get(at).copied().unwrap_or(0);
        let first = at * 64;
        if range.start > first {
            word &= u64::MAX.checked_shl((range.start - first) as u32).unwrap_or(0);
        }
        if range.end < first + 64 {
            word &= !u64::MAX
                .checked_shl(range.end.saturating_sub(first) as u32)
                .unwrap_or(0);
        }
        word
    }

    /// Appends those of `ids` that are in the set to `out`.
    pub fn keep(&self, ids: &[u32], out: &mut Vec<u32>) {
        #[cfg(target_arch = "x86_64")]
        if has_avx512() {
            // SAFETY: the instructions are there.
            unsafe { self.keep_avx512(ids, out) };
            return;
        }
        self.keep_each(ids, out);
    }

    fn keep_each(&self, ids: &[u32], out: &mut Vec<u32>) {
        let start = out.len();
        out.resize(start + ids.len(), 0);
        let mut end = start;
        for &id in ids {
            out[end] = id;
            end += usize::from(self.contains(id));
        }
        out.truncate(end);
    }

    /// Sixteen at a time.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,popcnt")]
    fn keep_avx512(&self, ids: &[u32], out: &mut Vec<u32>) {
        use std::arch::x86_64::*;
        let (groups, rest) = ids.as_chunks::<16>();
        out.reserve(ids.len() + 16);
        // Ids past the last word are in no set; words are little-endian, so that half of one is a word of 32 bits.
        let most = u32::try_from(self.words.len() * 64).unwrap_or(u32::MAX);
        for group in groups {
            // SAFETY: the gather reads inside `words`; `out` has room for 16 more than all ids, and what was written before it ends is set.
            unsafe {
                let ids = _mm512_loadu_epi32(group.as_ptr().cast());
                let inside = _mm512_cmplt_epu32_mask(ids, _mm512_set1_epi32(most as i32));
                let places = _mm512_srli_epi32::<5>(ids);
                let zero = _mm512_setzero_si512();
                let words =
                    _mm512_mask_i32gather_epi32::<4>(zero, inside, places, self.words.as_ptr().cast());
                let bits = _mm512_srlv_epi32(words, _mm512_and_si512(ids, _mm512_set1_epi32(31)));
                let kept = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(1));
                let end = out.len();
                _mm512_storeu_epi32(
                    out.as_mut_ptr().add(end).cast(),
                    _mm512_maskz_compress_epi32(kept, ids),
                );
                out.set_len(end + kept.count_ones() as usize);
            }
        }
        self.keep_each(rest, out);
    }

    /// Makes the universe at least `len` rows; the new ones are not in the set.
    pub fn grow(&mut self, len: usize) {
        if len > self.len {
            self.len = len;
            self.words.resize(len.div_ceil(64), 0);
        }
    }

    /// Puts row `id` in; one outside `0..len` makes the universe longer.
    pub fn insert(&mut self, id: u32) {
        self.grow(id as usize + 1);
        let word = &mut self.words[id as usize / 64];
        let bit = 1 << (id % 64);
        self.count += usize::from(*word & bit == 0);
        *word |= bit;
    }

    /// Puts all rows of a range in; rows outside `0..len` make the universe longer. A reversed range is empty.
    pub fn insert_range(&mut self, ids: Range<u32>) {
        if ids.is_empty() {
            return;
        }
        let (start, end) = (ids.start as usize, ids.end as usize);
        self.grow(end);
        for at in start / 64..end.div_ceil(64) {
            let mut mask = u64::MAX;
            if at == start / 64 {
                mask &= u64::MAX << (start % 64);
            }
            if at == (end - 1) / 64 {
                mask &= u64::MAX >> (63 - (end - 1) % 64);
            }
            let word = &mut self.words[at];
            self.count += (mask & !*word).count_ones() as usize;
            *word |= mask;
        }
    }

    /// Takes row `id` out.
    pub fn remove(&mut self, id: u32) {
        if self.contains(id) {
            self.words[id as usize / 64] &= !(1 << (id % 64));
            self.count -= 1;
        }
    }

    /// Keeps only rows that `other` holds too; the universe stays.
    pub fn intersect(&mut self, other: &Self) {
        let shared = self.words.len().min(other.words.len());
        self.words[shared..].fill(0);
        self.combine(other, |mine, theirs| mine & theirs);
    }

    /// Adds the rows of `other`; the universe becomes the longer of the two.
    pub fn union(&mut self, other: &Self) {
        self.grow(other.len);
        self.combine(other, |mine, theirs| mine | theirs);
    }

    /// Takes out the rows of `other` (and-not); the universe stays.
    pub fn difference(&mut self, other: &Self) {
        self.combine(other, |mine, theirs| mine & !theirs);
    }

    /// Turns the set into its complement within `0..len`.
    pub fn invert(&mut self) {
        for word in &mut self.words {
            *word = !*word;
        }
        if let Some(last) = self.words.last_mut() {
            *last &= u64::MAX >> (self.len.next_multiple_of(64) - self.len);
        }
        self.count = self.len - self.count;
    }

    /// How many rows both sets hold, without making a third.
    pub fn intersection_count(&self, other: &Self) -> usize {
        let pairs = self.words.iter().zip(&other.words);
        pairs
            .map(|(mine, theirs)| (mine & theirs).count_ones() as usize)
            .sum()
    }

    /// The set as words of 64 rows, the lowest row in the lowest bit; bits past the end are 0.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The rows in the set, in ascending order.
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            words: self.words.iter(),
            rest: 0,
            base: 0,
            next_base: 0,
            left: self.count,
        }
    }

    fn combine(&mut self, other: &Self, merge: impl Fn(u64, u64) -> u64) {
        for (mine, &theirs) in self.words.iter_mut().zip(&other.words) {
            *mine = merge(*mine, theirs);
        }
        self.count = self.words.iter().map(|word| word.count_ones() as usize).sum();
    }
}

/// Whether what is written for AVX-512 runs here; every processor that has the one has the other.
#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("popcnt")
}

/// Rows on their way to [`Bitmap::blocks_in`]'s caller.
struct Blocks<F> {
    /// A block, and a word's rows more.
    ids: [u32; Bitmap::BLOCK + 64],
    count: usize,
    /// How many were handed over.
    all: usize,
    each: F,
}

impl<F: FnMut(&[u32])> Blocks<F> {
    /// The rows of the word at `at`.
    fn add(&mut self, mut word: u64, at: usize) {
        while word != 0 {
            self.ids[self.count] = at as u32 * 64 + word.trailing_zeros();
            self.count += 1;
            word &= word - 1;
        }
        self.hand_over();
    }

    #[inline(always)]
    fn hand_over(&mut self) {
        if self.count >= Bitmap::BLOCK {
            (self.each)(&self.ids[..Bitmap::BLOCK]);
            self.all += Bitmap::BLOCK;
            self.ids.copy_within(Bitmap::BLOCK..self.count, 0);
            self.count -= Bitmap::BLOCK;
        }
    }

    fn end(mut self) -> usize {
        if self.count > 0 {
            (self.each)(&self.ids[..self.count]);
        }
        self.all + self.count
    }

    /// The rows of `words`, the first of which is at `at`.
    fn add_all(&mut self, words: &[u64], at: usize) {
        #[cfg(target_arch = "x86_64")]
        if has_avx512() {
            // SAFETY: the instructions are there.
            unsafe { self.add_all_avx512(words, at) };
            return;
        }
        for (at, &word) in (at..).zip(words) {
            self.add(word, at);
        }
    }

    /// Notes which halves of words have rows, sixteen at a time, and then takes the rows of each, a quarter of a word at a time: hardly any branch depends on
    /// which rows those are.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,popcnt")]
    fn add_all_avx512(&mut self, words: &[u64], at: usize) {
        use std::arch::x86_64::*;
        /// Words whose halves are noted before their rows are taken.
        const NOTED: usize = 512;
        let places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let (groups, rest) = words.as_chunks::<8>();
        let mut filled = [0u32; 2 * NOTED + 16];
        for (part, groups) in groups.chunks(NOTED / 8).enumerate() {
            let words = groups.as_flattened();
            let mut some = 0;
            for (group, words) in groups.iter().enumerate() {
                let noted = &mut filled[some..some + 16];
                // SAFETY: eight words are sixteen halves, and `noted` has room for as many.
                unsafe {
                    let halves = _mm512_loadu_epi32(words.as_ptr().cast());
                    let has = _mm512_test_epi32_mask(halves, halves);
                    let here = _mm512_add_epi32(places, _mm512_set1_epi32(16 * group as i32));
                    let here = _mm512_maskz_compress_epi32(has, here);
                    _mm512_storeu_epi32(noted.as_mut_ptr().cast(), here);
                    some += has.count_ones() as usize;
                }
            }
            let first = (at + NOTED * part) as u32 * 64;
            let mut count = self.count;
            for &half in &filled[..some] {
                let bits = (words[half as usize / 2] >> (32 * (half % 2))) as u32;
                for (quarter, bits) in [(0, bits as u16), (16, (bits >> 16) as u16)] {
                    let ids = _mm512_set1_epi32((first + 32 * half + quarter) as i32);
                    let ids = _mm512_maskz_compress_epi32(bits, _mm512_add_epi32(ids, places));
                    let out = &mut self.ids[count..count + 16];
                    // SAFETY: `out` has room for sixteen.
                    unsafe { _mm512_storeu_epi32(out.as_mut_ptr().cast(), ids) };
                    count += bits.count_ones() as usize;
                }
                if count >= Bitmap::BLOCK {
                    self.count = count;
                    self.hand_over();
                    count = self.count;
                }
            }
            self.count = count;
        }
        for (at, &word) in (at + 8 * groups.len()..).zip(rest) {
            self.add(word, at);
        }
    }
}

impl Extend<u32> for Bitmap {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, ids: I) {
        for id in ids {
            self.insert(id);
        }
    }
}

impl FromIterator<u32> for Bitmap {
    /// The universe ends with the largest row.
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        Self::from_sorted(0, ids)
    }
}

impl<'a> IntoIterator for &'a Bitmap {
    type Item = u32;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The rows of a [`Bitmap`] in ascending order; knows how many are left.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    words: std::slice::Iter<'a, u64>,
    /// Bits of the current word that were not yielded yet.
    rest: u64,
    /// The row of the current word's first bit.
    base: u32,
    next_base: u32,
    left: usize,
}

impl Iterator for Iter<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        while self.rest == 0 {
            self.rest = *self.words.next()?;
            self.base = self.next_base;
            // Row numbers are u32, so that only the step after the very last word can wrap.
            self.next_base = self.next_base.wrapping_add(64);
        }
        let bit = self.rest.trailing_zeros();
        self.rest &= self.rest - 1;
        self.left -= 1;
        Some(self.base + bit)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Seed;

    fn same(set: &Bitmap, twin: &BTreeSet<u32>) {
        assert_eq!(set.count(), twin.len());
        assert_eq!(set.iter().len(), twin.len());
        assert!(set.iter().eq(twin.iter().copied()));
        for id in 0..set.len() as u32 + 70 {
            assert_eq!(set.contains(id), twin.contains(&id));
        }
    }

    fn random(seed: &mut Seed, len: usize) -> (Bitmap, BTreeSet<u32>) {
        let rows = seed.below(len + 1);
        let twin: BTreeSet<u32> = (0..rows).map(|_| seed.below(len) as u32).collect();
        (Bitmap::from_sorted(len, twin.iter().copied()), twin)
    }

    #[test]
    fn rows_of_a_range_are_those_of_the_set_in_order() {
        let mut seed = Seed(9);
        for len in [0, 1, 64, 65, 300, 10_000] {
            let (set, twin) = random(&mut seed, len);
            for _ in 0..200 {
                let (start, end) = (seed.below(len + 100), seed.below(len + 100));
                let rows = start.min(end)..start.max(end);
                let inside = |id: &u32| rows.contains(&(*id as usize));
                let expected: Vec<u32> = twin.iter().copied().filter(inside).collect();
                assert_eq!(
                    set.iter_in(rows.clone()).next(),
                    expected.first().copied(),
                    "{rows:?} of {len}"
                );
                assert!(set.iter_in(rows.clone()).eq(expected.iter().copied()));
                assert_eq!(set.count_in(rows.clone()), expected.len());
                let mut blocks = Vec::new();
                let count = set.blocks_in(rows, |ids| blocks.push(ids.to_vec()));
                assert_eq!((count, blocks.concat()), (expected.len(), expected));
                if let Some((last, whole)) = blocks.split_last() {
                    assert!(!last.is_empty() && whole.iter().all(|ids| ids.len() == Bitmap::BLOCK));
                }
            }
        }
    }

    #[test]
    fn what_is_kept_of_some_rows_is_what_is_in_the_set() {
        let set = Bitmap::from_sorted(100, [3, 64, 99]);
        let mut kept = vec![7];
        set.keep(&[99, 0, 3, 200, 64, 65], &mut kept);
        assert_eq!(kept, [7, 99, 3, 64]);
        let mut seed = crate::Seed(1);
        for len in [0, 1, 40, 64, 1000] {
            let set = Bitmap::from_sorted(len, (0..len as u32).filter(|_| seed.uniform() < 0.3));
            let ids: Vec<u32> = (0..333)
                .map(|at| match at % 50 {
                    0 => u32::MAX - at,
                    _ => seed.below(1200) as u32,
                })
                .collect();
            let (mut kept, mut each) = (vec![9], vec![9]);
            set.keep(&ids, &mut kept);
            set.keep_each(&ids, &mut each);
            let expected: Vec<u32> = ids.iter().copied().filter(|&id| set.contains(id)).collect();
            assert_eq!((&kept[1..], &each), (&expected[..], &kept));
        }
    }

    #[test]
    fn behaves_like_a_tree_set_under_random_operations() {
        let mut seed = Seed(7);
        for round in 0..200 {
            let len = 1 + seed.below(300);
            let (mut set, mut twin) = random(&mut seed, len);
            for _ in 0..20 {
                let id = seed.below(len + 20) as u32;
                match seed.below(7) {
                    0 => {
                        set.insert(id);
                        twin.insert(id);
                    }
                    1 => {
                        set.remove(id);
                        twin.remove(&id);
                    }
                    2 => {
                        let ids = id..id + seed.below(150) as u32;
                        set.insert_range(ids.clone());
                        twin.extend(ids);
                    }
                    3 => {
                        set.invert();
                        twin = (0..set.len() as u32).filter(|id| !twin.contains(id)).collect();
                    }
                    operation => {
                        let other = 1 + seed.below(400);
                        let (other, its_twin) = random(&mut seed, other);
                        assert_eq!(
                            set.intersection_count(&other),
                            twin.intersection(&its_twin).count()
                        );
                        match operation {
                            4 => {
                                set.intersect(&other);
                                twin = &twin & &its_twin;
                            }
                            5 => {
                                set.union(&other);
                                twin = &twin | &its_twin;
                            }
                            _ => {
                                set.difference(&other);
                                twin = &twin - &its_twin;
                            }
                        }
                    }
                }
                same(&set, &twin);
            }
            assert_eq!(set, Bitmap::from_sorted(set.len(), twin), "round {round}");
        }
    }

    #[test]
    fn full_holds_exactly_its_universe() {
        for len in [0, 1, 63, 64, 65, 128, 1000] {
            let set = Bitmap::full(len);
            same(&set, &(0..len as u32).collect());
            assert_eq!(set.len(), len);
            let mut none = set;
            none.invert();
            assert_eq!(none, Bitmap::empty(len));
        }
    }

    #[test]
    fn selectivity_is_a_share_and_zero_of_nothing_is_zero() {
        assert_eq!(Bitmap::empty(0).selectivity(), 0.0);
        assert_eq!(Bitmap::full(9).selectivity(), 1.0);
        assert_eq!([1, 3].into_iter().collect::<Bitmap>().selectivity(), 0.5);
    }

    #[test]
    fn reversed_and_empty_ranges_add_nothing() {
        let mut set = Bitmap::empty(10);
        set.insert_range(5..5);
        #[expect(clippy::reversed_empty_ranges, reason = "what is tested")]
        set.insert_range(7..3);
        assert_eq!((set.count(), set.len()), (0, 10));
    }
}
