//! Codes of small unsigned integers, 1 to 8 bits a value, and queries of signed bytes that are multiplied with them.
//!
//! An odd number of bits is split into sections that the kernels know: 5 bits are a section of the upper 4 and one of the lowest.

use std::sync::OnceLock;

use kokeshi_core::{Seed, file};

use crate::kernels::{self, Layout, Tables, kernels};

/// How `dims` integers of `bits` are laid down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ints {
    /// A multiple of 8.
    dims: usize,
    bits: u32,
}

/// Rows that are scored together: their sums stay in the first-level cache.
const ROWS: usize = 64;

/// The steps of a query's second byte in a step of its first.
const FINE: f32 = 254.0;

impl Ints {
    /// For vectors of `dims` values, which are filled up to a multiple of 8.
    pub(crate) fn new(dims: usize, bits: u32) -> Self {
        Self {
            dims: dims.next_multiple_of(8),
            bits,
        }
    }

    /// The width with its filling.
    pub(crate) fn padded(self) -> usize {
        self.dims
    }

    /// Bytes a code.
    pub(crate) fn bytes(self) -> usize {
        kernels::section_bytes(self.dims, self.bits)
    }

    /// `(bits, lower bits, offset)` of every section.
    fn sections(self) -> impl Iterator<Item = (u32, u32, usize)> {
        let (mut left, mut offset) = (self.bits, 0);
        std::iter::from_fn(move || {
            let bits = 1 << left.checked_ilog2()?;
            let section = (bits, left - bits, offset);
            left -= bits;
            offset += kernels::section_bytes(self.dims, bits);
            Some(section)
        })
    }

    /// Writes `values` (`[padded]`, each below `2^bits`) into `code`.
    pub(crate) fn write(self, values: &[u8], code: &mut [u8]) {
        for (bits, below, offset) in self.sections() {
            let mask = ((1_u32 << bits) - 1) as u8;
            let part: Vec<u8> = values.iter().map(|value| value >> below & mask).collect();
            kernels::write_section(&part, bits, &mut code[offset..]);
        }
    }

    /// Value `at` of `code`.
    pub(crate) fn read(self, code: &[u8], at: usize) -> u8 {
        self.sections().fold(0, |value, (bits, below, offset)| {
            value | kernels::read_section(&code[offset..], self.dims, bits, at) << below
        })
    }

    /// The middle of the values: what is taken off before a product.
    pub(crate) fn middle(self) -> f32 {
        ((1_u32 << self.bits) - 1) as f32 / 2.0
    }

    /// Whether what a nibble adds to a product fits one byte: it does for one bit a value and two.
    fn has_tables(self) -> bool {
        self.bits <= 2
    }

    /// The largest value of a query. Where a nibble has a table, a byte holds all from the least that the nibble may add to the most.
    fn most(self) -> f32 {
        match self.bits {
            1 => 63.0, // Four values, added or not.
            2 => 42.0, // Two, up to three times.
            _ => 127.0,
        }
    }

    /// The values that the four bits of nibble `at` belong to, the lowest first, and what the bits are worth.
    fn nibble(self, at: usize) -> [(usize, i32); 4] {
        let (byte, high) = (at / 2, at % 2);
        match self.bits {
            1 => [0, 1, 2, 3].map(|bit| (4 * at + bit, 1)),
            _ => [0, 1, 2, 3].map(|bit| ((2 * high + bit / 2) * self.dims / 4 + byte, 1 << (bit % 2))),
        }
    }

    /// A query that multiplies with these codes. Six bits and more get two bytes a value, so that the query's rounding stays below the
    /// codes'.
    pub(crate) fn query(self, values: &[f32]) -> IntQuery {
        let most = self.most();
        let largest = values.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
        let scale = if largest > 0.0 { largest / most } else { 1.0 };
        // Rounding up or down at random, so that errors have no direction; the same query is always rounded alike.
        let mut random = Seed(file::checksum(kokeshi_core::npy::as_bytes(values)));
        let mut dither = |value: f32| {
            let low = value.floor();
            let up = random.uniform() < f64::from(value - low);
            (low + f32::from(u8::from(up))).clamp(-most, most) as i8
        };
        let mut bytes = vec![0; self.dims];
        let fine = if self.bits < 6 {
            for (byte, value) in bytes.iter_mut().zip(values) {
                *byte = dither(value / scale);
            }
            None
        } else {
            let mut fine = vec![0; self.dims];
            for ((byte, fine), value) in bytes.iter_mut().zip(&mut fine).zip(values) {
                let coarse = (value / scale).round();
                *byte = coarse as i8;
                *fine = dither((value / scale - coarse) * FINE);
            }
            Some(fine)
        };
        let sum = |bytes: &[i8]| bytes.iter().map(|&byte| i32::from(byte)).sum::<i32>() as f32;
        let total = sum(&bytes) + fine.as_deref().map_or(0.0, |fine| sum(fine) / FINE);
        IntQuery {
            ints: self,
            offset: scale * total * self.middle(),
            bytes,
            fine,
            scale,
            tables: OnceLock::new(),
        }
    }
}

/// A query of signed bytes.
pub(crate) struct IntQuery {
    ints: Ints,
    bytes: Vec<i8>,
    fine: Option<Vec<i8>>,
    scale: f32,
    offset: f32,
    /// For one bit a value and two: what nibbles add, each moved to begin at nothing, and what all of them are moved by.
    tables: OnceLock<(Tables, i32)>,
}

impl IntQuery {
    /// Whether [`Self::tables`] are there.
    pub(crate) fn has_tables(&self) -> bool {
        self.ints.has_tables()
    }

    /// Tables for every nibble of a code; what they add up to makes a product ([`Self::products_of_sums`]).
    pub(crate) fn tables(&self) -> &Tables {
        &self.moved_tables().0
    }

    fn moved_tables(&self) -> &(Tables, i32) {
        self.tables.get_or_init(|| {
            assert!(self.has_tables());
            let (mut entries, mut moved) = (Vec::with_capacity(32 * self.ints.bytes()), 0);
            for at in 0..2 * self.ints.bytes() {
                let bits = self.ints.nibble(at);
                let worth = bits.map(|(value, worth)| worth * i32::from(self.bytes[value]));
                let least: i32 = worth.iter().map(|worth| worth.min(&0)).sum();
                moved += least;
                entries.extend((0..16).map(|nibble| {
                    let chosen = worth.iter().enumerate().filter(|(bit, _)| nibble >> bit & 1 == 1);
                    (chosen.map(|(_, worth)| worth).sum::<i32>() - least) as u8
                }));
            }
            (Tables::new(&entries), moved)
        })
    }

    /// `out[i]` becomes the product of the query and of the code whose entries in the tables add up to `sums[i]`.
    pub(crate) fn products_of_sums(&self, sums: &[i32], out: &mut [f32]) {
        let (_, moved) = self.moved_tables();
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = self.product(sum + moved, 0);
        }
    }

    /// What whole products of the query's first bytes, and of its second ones, stand for.
    fn product(&self, sum: i32, fine: i32) -> f32 {
        self.scale * (sum as f32 + fine as f32 * (1.0 / FINE)) - self.offset
    }

    /// `out[i]` becomes the product of the query and of code `i` (or `ids[i]`) minus the middle value.
    pub(crate) fn products(&self, codes: &[u8], stride: usize, ids: Option<&[u32]>, out: &mut [f32]) {
        let mut sums = [[0_i32; ROWS]; 2];
        for (block, out) in out.chunks_mut(ROWS).enumerate() {
            let from = block * ROWS;
            let ids = ids.map(|ids| &ids[from..from + out.len()]);
            let codes = if ids.is_some() {
                codes
            } else {
                &codes[from * stride..]
            };
            for (sums, bytes) in sums.iter_mut().zip([Some(&self.bytes), self.fine.as_ref()]) {
                let sums = &mut sums[..out.len()];
                sums.fill(0);
                for (bits, below, offset) in self.ints.sections() {
                    let Some(bytes) = bytes else { continue };
                    let layout = Layout { stride, offset };
                    kernels().scan(bits, bytes, codes, layout, ids, 1 << below, sums);
                }
            }
            for (out, (sum, fine)) in out.iter_mut().zip(sums[0].iter().zip(&sums[1])) {
                *out = self.product(*sum, *fine);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_widths_of_integers_read_back_and_multiply() {
        let mut seed = Seed(4);
        for dims in [5, 24, 64, 100, 384] {
            for bits in 1..=8 {
                let ints = Ints::new(dims, bits);
                let values: Vec<u8> = (0..ints.padded()).map(|_| seed.below(1 << bits) as u8).collect();
                let mut code = vec![0; ints.bytes() + 4];
                ints.write(&values, &mut code);
                assert!((0..ints.padded()).all(|at| ints.read(&code, at) == values[at]));
                let query: Vec<f32> = (0..dims).map(|_| seed.normal() as f32).collect();
                let mut out = [0.0];
                ints.query(&query).products(&code, code.len(), None, &mut out);
                let exact = query
                    .iter()
                    .zip(&values)
                    .map(|(q, &v)| q * (f32::from(v) - ints.middle()));
                let exact = exact.sum::<f32>();
                // One step of the query is 4/127 (1/254 of that from six bits on, 4/63 and 4/42 for one and two), its error at a value half of it or
                // less, and there are `dims` of them, whose errors mostly cancel out.
                let step = if bits < 6 { 0.04 } else { 0.0002 };
                let room = 2.0 * step * ints.middle() * (dims as f32).sqrt();
                assert!((out[0] - exact).abs() < room, "{dims} {bits}: {} {exact}", out[0]);
            }
        }
    }
}
