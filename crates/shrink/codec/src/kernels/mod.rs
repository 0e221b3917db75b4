//! The inner loops over codes: unsigned integers of 1, 2, 4 or 8 bits times a query of signed bytes, and sums of table look-ups by nibbles
//! and by bytes.
//!
//! | file | what it is |
//! |---|---|
//! | [`scalar`] | the definition of every loop |
//! | `avx2`, `avx512` | one instruction set each |
//!
//! How the integers of `dims` values lie in a code (`dims` is a multiple of 8):
//!
//! | bits | byte j holds the values |
//! |---|---|
//! | 8 | j |
//! | 4 | j (low nibble) and dims/2 + j |
//! | 2 | j (lowest), dims/4 + j, dims/2 + j and 3 dims/4 + j |
//! | 1 | 8 j (lowest bit) to 8 j + 7 |
//!
//! All kernels but the sums by bytes, which are of f32, are exact integer arithmetic: every table gives the same numbers.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod scalar;

/// Where codes lie: row `i` starts at byte `i * stride + offset`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) stride: usize,
    pub(crate) offset: usize,
}

/// Adds `weight` times the inner product of the query and each row to `out`: `(query, codes, layout, ids, weight, out)`. Without ids
/// the rows are 0, 1, ...
pub(crate) type Scan = unsafe fn(&[i8], &[u8], Layout, Option<&[u32]>, i32, &mut [i32]);

/// Table look-ups over packed nibbles: `(tables, pairs, packed, out)`; see [`Packed`].
pub(crate) type Lookup = unsafe fn(&[u8], usize, &[u8], &mut [u16]);

/// Sums of look-ups in tables of 256 values by bytes: `(tables, codes, parts, ids, out)`. Without ids the rows are 0, 1, ...
pub(crate) type Sums = unsafe fn(&[f32], &[u8], usize, Option<&[u32]>, &mut [f32]);

/// The kernels of one instruction set. They may only be called where it is there, and trust their caller that all rows are inside `codes`.
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    #[cfg_attr(not(test), allow(dead_code, reason = "named when a test fails"))]
    pub(crate) name: &'static str,
    /// By the logarithm of the bits: 1, 2, 4, 8.
    scans: [Scan; 4],
    lookup: Lookup,
    sums: Sums,
}

/// The fastest kernels of this machine.
pub(crate) fn kernels() -> &'static Kernels {
    static FASTEST: OnceLock<Kernels> = OnceLock::new();
    FASTEST.get_or_init(|| all().last().copied().unwrap_or(scalar::KERNELS))
}

/// Every table that this machine can run, slowest first.
pub(crate) fn all() -> Vec<Kernels> {
    #[allow(unused_mut, reason = "only the scalar table is there on other machines")]
    let mut tables = vec![scalar::KERNELS];
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        if has!("avx2") {
            tables.push(avx2::KERNELS);
            if has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512vnni") {
                tables.push(avx512::KERNELS);
            }
        }
    }
    tables
}

/// The bytes of `dims` integers of `bits` (1, 2, 4 or 8).
pub(crate) fn section_bytes(dims: usize, bits: u32) -> usize {
    dims * bits as usize / 8
}

impl Kernels {
    /// Adds `weight * <query, row>` to `out` for the integers of `bits` at `layout`.
    ///
    /// # Panics
    /// If a row is outside `codes` or the width of the query is no multiple of 8.
    #[allow(
        clippy::too_many_arguments,
        reason = "what is scanned, with what, and into what"
    )]
    pub(crate) fn scan(
        &self,
        bits: u32,
        query: &[i8],
        codes: &[u8],
        layout: Layout,
        ids: Option<&[u32]>,
        weight: i32,
        out: &mut [i32],
    ) {
        assert!(query.len().is_multiple_of(8));
        let last = match ids {
            Some(ids) => {
                assert_eq!(ids.len(), out.len());
                ids.iter().max().map(|&id| id as usize)
            }
            None => out.len().checked_sub(1),
        };
        if let Some(last) = last {
            let end = last * layout.stride + layout.offset + section_bytes(query.len(), bits);
            assert!(end <= codes.len(), "row {last} is outside the codes");
        }
        // SAFETY: `all` gives only what this machine can run; the rows were checked.
        unsafe { self.scans[bits.ilog2() as usize](query, codes, layout, ids, weight, out) }
    }

    /// The sums of look-ups of codes of `parts` bytes in `tables` (`[parts, 256]`).
    ///
    /// # Panics
    /// If a row is outside `codes`, or the tables have another shape.
    pub(crate) fn sums(
        &self,
        tables: &[f32],
        codes: &[u8],
        parts: usize,
        ids: Option<&[u32]>,
        out: &mut [f32],
    ) {
        assert_eq!(tables.len(), 256 * parts);
        let last = match ids {
            Some(ids) => {
                assert_eq!(ids.len(), out.len());
                ids.iter().max().map(|&id| id as usize)
            }
            None => out.len().checked_sub(1),
        };
        assert!(last.is_none_or(|last| (last + 1) * parts <= codes.len()));
        // SAFETY: `all` gives only what this machine can run; rows and tables were checked.
        unsafe { (self.sums)(tables, codes, parts, ids, out) }
    }

    /// Sums of look-ups for every row of `packed`, in blocks of [`BLOCK`].
    pub(crate) fn lookup(&self, tables: &Tables, packed: &[u8], out: &mut [u16]) {
        assert_eq!(packed.len(), out.len() / BLOCK * BLOCK * tables.pairs);
        assert!(out.len().is_multiple_of(BLOCK) && tables.bytes.len() == 64 * tables.pairs);
        // SAFETY: `all` gives only what this machine can run; the lengths were checked.
        unsafe { (self.lookup)(&tables.bytes, tables.pairs, packed, out) }
    }
}

/// Rows a block of packed nibbles.
pub(crate) const BLOCK: usize = 32;

/// Tables of 16 bytes for every nibble position, as the kernels read them: first those of even positions, then those of odd ones, each
/// twice, so that one load fills a register.
pub(crate) struct Tables {
    bytes: Vec<u8>,
    pairs: usize,
}

impl Tables {
    /// From `[positions, 16]` entries, no row's sum of which is above 65,535.
    pub(crate) fn new(entries: &[u8]) -> Self {
        let (positions, _) = entries.as_chunks::<16>();
        let pairs = positions.len().div_ceil(2);
        let mut bytes = vec![0; 64 * pairs];
        for (at, table) in positions.iter().enumerate() {
            let from = 32 * (at / 2 + at % 2 * pairs);
            bytes[from..from + 16].copy_from_slice(table);
            bytes[from + 16..from + 32].copy_from_slice(table);
        }
        Self { bytes, pairs }
    }

    /// From `[positions, 16]` floats: the entries, and `(scale, offset)` so that `scale * sum + offset` estimates a row's sum.
    pub(crate) fn quantize(values: &[f32]) -> (Self, f32, f32) {
        let (positions, _) = values.as_chunks::<16>();
        let least = |table: &[f32; 16]| table.iter().copied().fold(f32::INFINITY, f32::min);
        let range = |table: &[f32; 16]| {
            table
                .iter()
                .copied()
                .fold(0.0, |most, value| f32::max(most, value - least(table)))
        };
        let widest = positions.iter().map(range).fold(0.0, f32::max);
        let total: f32 = positions.iter().map(range).sum();
        // One byte an entry, two bytes a sum (half a unit of rounding up may be added at each position).
        let sum_room = 65_535.0 - 0.5 * positions.len() as f32;
        let scale = (widest / 255.0).max(total / sum_room).max(f32::MIN_POSITIVE);
        let mut entries = Vec::with_capacity(values.len());
        for table in positions {
            let from = least(table);
            entries.extend(table.map(|value| ((value - from) / scale).round().clamp(0.0, 255.0) as u8));
        }
        (Self::new(&entries), scale, positions.iter().map(least).sum())
    }
}

/// `rows` codes of `positions` nibbles each, packed for look-ups: blocks of [`BLOCK`] rows; in a block, for every two positions 32 bytes,
/// byte r with the first position's nibble of row r in its low half and the second's in its high half.
pub(crate) fn pack(rows: usize, positions: usize, nibble: impl Fn(usize, usize) -> u8) -> Vec<u8> {
    let pairs = positions.div_ceil(2);
    let mut packed = vec![0; rows.div_ceil(BLOCK) * BLOCK * pairs];
    for (block, bytes) in packed.chunks_exact_mut((BLOCK * pairs).max(1)).enumerate() {
        for row in 0..BLOCK.min(rows - block * BLOCK) {
            for position in 0..positions {
                bytes[position / 2 * BLOCK + row] |=
                    nibble(block * BLOCK + row, position) << (position % 2 * 4);
            }
        }
    }
    packed
}

/// Writes integers below `2^bits` as a section of `bits` (1, 2, 4 or 8), from byte 0 of `out`.
pub(crate) fn write_section(values: &[u8], bits: u32, out: &mut [u8]) {
    let quarter = values.len() / (8 / bits as usize).max(1);
    match bits {
        8 => out[..values.len()].copy_from_slice(values),
        1 => {
            for (byte, eight) in out.iter_mut().zip(values.as_chunks::<8>().0) {
                *byte = eight.iter().rev().fold(0, |bits, value| bits << 1 | value);
            }
        }
        _ => {
            for (at, byte) in out[..quarter].iter_mut().enumerate() {
                let parts = values[at..].iter().step_by(quarter).enumerate();
                *byte = parts.fold(0, |byte, (part, value)| byte | value << (part as u32 * bits));
            }
        }
    }
}

/// Integer `at` of a section of `dims` integers of `bits`.
pub(crate) fn read_section(code: &[u8], dims: usize, bits: u32, at: usize) -> u8 {
    match bits {
        8 => code[at],
        1 => code[at / 8] >> (at % 8) & 1,
        _ => {
            let width = section_bytes(dims, bits);
            code[at % width] >> ((at / width) as u32 * bits) & ((1 << bits) - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kokeshi_core::Seed;

    #[test]
    fn every_scan_gives_what_multiplying_the_values_gives() {
        let mut seed = Seed(1);
        for dims in [8, 16, 24, 56, 64, 72, 120, 128, 136, 256, 384, 520, 1024] {
            for bits in [1, 2, 4, 8] {
                let rows = 9;
                let layout = Layout {
                    stride: section_bytes(dims, bits) + 5,
                    offset: 3,
                };
                let mut codes = vec![0xee; rows * layout.stride];
                let most = (1usize << bits) - 1;
                // The last round has the largest values, to show any overflow.
                for extreme in [false, true] {
                    let query: Vec<i8> = (0..dims)
                        .map(|_| if extreme { -127 } else { seed.below(255) as i8 })
                        .collect();
                    let mut expected = Vec::new();
                    for row in codes.chunks_exact_mut(layout.stride) {
                        let values: Vec<u8> = (0..dims)
                            .map(|_| if extreme { most } else { seed.below(most + 1) } as u8)
                            .collect();
                        write_section(&values, bits, &mut row[3..][..section_bytes(dims, bits)]);
                        for (at, &value) in values.iter().enumerate() {
                            assert_eq!(read_section(&row[3..], dims, bits, at), value);
                        }
                        let products = values
                            .iter()
                            .zip(&query)
                            .map(|(&v, &q)| i32::from(v) * i32::from(q));
                        expected.push(7 + 3 * products.sum::<i32>());
                    }
                    let ids: Vec<u32> = (0..20).map(|_| seed.below(rows) as u32).collect();
                    for kernels in all() {
                        let mut out = vec![7; rows];
                        kernels.scan(bits, &query, &codes, layout, None, 3, &mut out);
                        assert_eq!(out, expected, "{} {bits} bits, {dims} dims", kernels.name);
                        let mut out = vec![7; ids.len()];
                        kernels.scan(bits, &query, &codes, layout, Some(&ids), 3, &mut out);
                        let expected: Vec<i32> = ids.iter().map(|&id| expected[id as usize]).collect();
                        assert_eq!(out, expected, "{} {bits} bits, {dims} dims", kernels.name);
                    }
                }
            }
        }
    }

    #[test]
    fn every_lookup_gives_what_adding_the_entries_gives() {
        let mut seed = Seed(2);
        for positions in [1, 2, 3, 4, 7, 8, 48, 96, 255, 257] {
            let rows = 77;
            let entries: Vec<u8> = (0..16 * positions).map(|_| seed.below(256) as u8).collect();
            let nibbles: Vec<u8> = (0..rows * positions).map(|_| seed.below(16) as u8).collect();
            let packed = pack(rows, positions, |row, at| nibbles[row * positions + at]);
            let expected: Vec<u16> = nibbles
                .chunks_exact(positions)
                .map(|row| {
                    row.iter()
                        .enumerate()
                        .map(|(at, &n)| u16::from(entries[16 * at + usize::from(n)]))
                        .sum()
                })
                .collect();
            let tables = Tables::new(&entries);
            for kernels in all() {
                let mut out = vec![0; 96];
                kernels.lookup(&tables, &packed, &mut out);
                assert_eq!(out[..rows], expected, "{} {positions}", kernels.name);
            }
        }
    }

    #[test]
    fn every_sum_of_bytes_gives_what_adding_the_entries_gives() {
        let mut seed = Seed(4);
        for parts in [1, 3, 15, 16, 17, 31, 48, 100] {
            let tables: Vec<f32> = (0..256 * parts).map(|_| seed.normal() as f32).collect();
            let codes: Vec<u8> = (0..20 * parts).map(|_| seed.below(256) as u8).collect();
            let ids: Vec<u32> = (0..33).map(|_| seed.below(20) as u32).collect();
            let expected: Vec<f32> = codes
                .chunks_exact(parts)
                .map(|code| {
                    let entries = code
                        .iter()
                        .enumerate()
                        .map(|(at, &n)| tables[256 * at + usize::from(n)]);
                    entries.map(f64::from).sum::<f64>() as f32
                })
                .collect();
            for kernels in all() {
                let (mut rows, mut some) = (vec![0.0; 20], vec![0.0; ids.len()]);
                kernels.sums(&tables, &codes, parts, None, &mut rows);
                kernels.sums(&tables, &codes, parts, Some(&ids), &mut some);
                for (found, expected) in rows.iter().zip(&expected) {
                    assert!((found - expected).abs() < 1e-4, "{} {parts}", kernels.name);
                }
                let picked: Vec<f32> = ids.iter().map(|&id| rows[id as usize]).collect();
                assert_eq!(some, picked, "{} {parts}", kernels.name);
            }
        }
    }

    #[test]
    fn quantized_tables_estimate_the_sums_of_the_values_within_half_a_step_a_position() {
        let mut seed = Seed(3);
        for positions in [1, 50, 400] {
            let values: Vec<f32> = (0..16 * positions).map(|_| seed.normal() as f32).collect();
            let nibbles: Vec<usize> = (0..positions).map(|_| seed.below(16)).collect();
            let packed = pack(1, positions, |_, at| nibbles[at] as u8);
            let (tables, scale, offset) = Tables::quantize(&values);
            let mut out = [0; BLOCK];
            kernels().lookup(&tables, &packed, &mut out);
            let exact: f32 = nibbles
                .iter()
                .enumerate()
                .map(|(at, n)| values[16 * at + n])
                .sum();
            let error = (scale * f32::from(out[0]) + offset - exact).abs();
            assert!(
                error <= scale * (0.5 * positions as f32 + 0.01) + 1e-3,
                "{positions}: {error}"
            );
        }
    }
}
