//! A query's tables as the look-ups read them: one byte an entry for nibbles, two for bytes, in steps that are the same for all positions.

/// A line of a cache: loads that cross two take twice as long.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u8; 64]);

/// Tables of 16 bytes for every nibble of a code, as the kernels read them.
///
/// A line of one side holds the tables of four bytes of a code: of their low nibbles (even positions), or of their high ones.
pub struct Tables {
    lines: Vec<Line>,
}

impl Tables {
    /// From `[positions, 16]` entries.
    pub(crate) fn new(entries: &[u8]) -> Self {
        let (positions, _) = entries.as_chunks::<16>();
        let words = positions.len().div_ceil(8);
        let mut lines = vec![Line([0; 64]); 2 * words];
        for (at, table) in positions.iter().enumerate() {
            lines[at % 2 * words + at / 8].0[at / 2 % 4 * 16..][..16].copy_from_slice(table);
        }
        Self { lines }
    }

    /// A line for every four bytes of a code: of the even positions, and of the odd ones. What is behind the last position is zeros.
    pub(super) fn sides(&self) -> [&[Line]; 2] {
        let (even, odd) = self.lines.split_at(self.words());
        [even, odd]
    }

    /// Where the sides of several tables begin.
    pub(super) fn all_sides<const Q: usize>(tables: &[&Self]) -> [[*const u8; 2]; Q] {
        std::array::from_fn(|query| tables[query].sides().map(|side| side.as_ptr().cast()))
    }

    /// Fours of bytes of a code, the last of which need not be full.
    pub(crate) fn words(&self) -> usize {
        self.lines.len() / 2
    }

    /// What a nibble at a position adds.
    fn entry(&self, position: usize, nibble: usize) -> u8 {
        self.lines[position % 2 * self.words() + position / 8].0[position / 2 % 4 * 16 + nibble]
    }

    /// From `[positions, 16]` floats: entries in steps of which the widest table has 255, and `(scale, offset)` so that `scale * sum + offset`
    /// estimates a row's sum.
    pub(crate) fn quantize(values: &[f32]) -> (Self, f32, f32) {
        let (positions, _) = values.as_chunks::<16>();
        let bounds: Vec<(f32, f32)> = positions.iter().map(bounds).collect();
        let ranges = bounds.iter().map(|(least, most)| most - least);
        let scale = (ranges.fold(0.0, f32::max) / 255.0).max(f32::MIN_POSITIVE);
        let inverse = 1.0 / scale;
        let mut entries = Vec::with_capacity(values.len());
        for (table, (least, _)) in positions.iter().zip(&bounds) {
            entries.extend(table.map(|value| rounded((value - least) * inverse).min(255) as u8));
        }
        let offset = bounds.iter().map(|(least, _)| least).sum();
        (Self::new(&entries), scale, offset)
    }
}

/// Tables of 256 entries for every byte of a code.
pub(crate) struct ByteTables {
    /// `[parts, 256]`, and one more entry: kernels read four bytes where an entry begins.
    pub(super) entries: Vec<u16>,
    /// `[parts, 2, 256]`: the low bytes of a part's entries, and the high ones.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        allow(dead_code, reason = "read by kernels of x86 only")
    )]
    pub(super) planes: Vec<u8>,
    scale: f32,
    offset: f32,
}

impl ByteTables {
    /// From `[parts, 256]` floats, each of which is kept within half a step: the widest table has 65,535 steps.
    pub(crate) fn new(values: &[f32]) -> Self {
        let (parts, _) = values.as_chunks::<256>();
        let bounds: Vec<(f32, f32)> = parts.iter().map(bounds).collect();
        let ranges = bounds.iter().map(|(least, most)| most - least);
        let widest = ranges.fold(0.0, f32::max);
        let scale = (widest / 65_535.0).max(f32::MIN_POSITIVE);
        let mut entries = vec![0; values.len() + 1];
        let mut planes = vec![0; 2 * values.len()];
        let inverse = 1.0 / scale;
        for (((table, (least, _)), entries), planes) in parts
            .iter()
            .zip(&bounds)
            .zip(entries.as_chunks_mut::<256>().0)
            .zip(planes.as_chunks_mut::<512>().0)
        {
            for (entry, value) in entries.iter_mut().zip(table) {
                *entry = rounded((value - least) * inverse).min(65_535) as u16;
            }
            let (low, high) = planes.split_at_mut(256);
            for ((low, high), entry) in low.iter_mut().zip(high).zip(entries) {
                [*low, *high] = entry.to_le_bytes();
            }
        }
        Self {
            entries,
            planes,
            scale,
            offset: bounds.iter().map(|(least, _)| least).sum(),
        }
    }

    /// The tables of both nibbles of each of `parts` bytes, added up: sums are the same numbers.
    pub(crate) fn of_nibbles(nibbles: &Tables, parts: usize, scale: f32, offset: f32) -> Self {
        let mut entries = vec![0; 256 * parts + 1];
        let mut planes = vec![0; 512 * parts];
        for (part, (entries, planes)) in entries
            .as_chunks_mut::<256>()
            .0
            .iter_mut()
            .zip(planes.as_chunks_mut::<512>().0)
            .enumerate()
        {
            for (byte, entry) in entries.iter_mut().enumerate() {
                let [low, high] = [(2 * part, byte & 15), (2 * part + 1, byte >> 4)]
                    .map(|(position, nibble)| u16::from(nibbles.entry(position, nibble)));
                *entry = low + high;
                [planes[byte], planes[256 + byte]] = entry.to_le_bytes();
            }
        }
        Self {
            entries,
            planes,
            scale,
            offset,
        }
    }

    /// Bytes a code.
    pub(super) fn parts(&self) -> usize {
        self.entries.len() / 256
    }

    /// What a sum of entries stands for.
    pub(super) fn value(&self, sum: u32) -> f32 {
        self.scale * sum as f32 + self.offset
    }
}

/// The smallest and the largest of some values; written so that compilers turn it into vector instructions.
fn bounds<const N: usize>(values: &[f32; N]) -> (f32, f32) {
    let mut least = [f32::INFINITY; 16];
    let mut most = [f32::NEG_INFINITY; 16];
    for group in values.as_chunks::<16>().0 {
        for (value, (least, most)) in group.iter().zip(least.iter_mut().zip(&mut most)) {
            *least = if *value < *least { *value } else { *least };
            *most = if *value > *most { *value } else { *most };
        }
    }
    let fold = |values: [f32; 16], choose: fn(f32, f32) -> f32| values.into_iter().fold(values[0], choose);
    (fold(least, f32::min), fold(most, f32::max))
}

/// The nearest whole number of a value from 0 to 2^22: adding 2^23 rounds, and leaves it in the lowest bits. (Not a number, as of tables of NaN, is some
/// number.)
fn rounded(value: f32) -> u32 {
    const ROUND: f32 = 8_388_608.0;
    (value.max(0.0) + ROUND).to_bits() & 0x7f_ffff
}
