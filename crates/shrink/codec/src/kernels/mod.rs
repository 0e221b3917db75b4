//! The inner loops over codes: unsigned integers of 1, 2, 4 or 8 bits times a query of signed bytes, and sums of table look-ups by nibbles
//! and by bytes.
//!
//! | file | what it is |
//! |---|---|
//! | [`scalar`] | the definition of every loop |
//! | `tables` | a query's tables, as the look-ups read them |
//! | `avx2`, `avx512`, `vbmi`, `neon` | one instruction set each |
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
//! All kernels are exact integer arithmetic: every instruction set gives the same numbers.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod scalar;
mod tables;
#[cfg(target_arch = "x86_64")]
mod vbmi;

pub(crate) use tables::ByteTables;
pub use tables::Tables;

/// Where codes lie: row `i` starts at byte `i * stride + offset`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) stride: usize,
    pub(crate) offset: usize,
}

/// Adds `weight` times the inner product of the query and each row to `out`: `(query, codes, layout, ids, weight, out)`. Without ids
/// the rows are 0, 1, ...
pub(crate) type Scan = unsafe fn(&[i8], &[u8], Layout, Option<&[u32]>, i32, &mut [i32]);

/// Table look-ups over packed nibbles for as many queries as there are tables: `(tables, packed, out)`; see [`pack`].
pub(crate) type Lookup = unsafe fn(&[&Tables], &[u8], &mut [i32]);

/// Sums of look-ups by bytes: `(tables, codes, ids, out)`. Without ids the rows are 0, 1, ...
pub(crate) type Sums = unsafe fn(&ByteTables, &[u8], Option<&[u32]>, &mut [u32]);

/// The kernels of one instruction set. They may only be called where it is there, and trust their caller that all rows are inside `codes`.
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    #[cfg_attr(not(test), allow(dead_code, reason = "named when a test fails"))]
    pub(crate) name: &'static str,
    /// By the logarithm of the bits: 1, 2, 4, 8.
    scans: [Scan; 4],
    /// For one query, two, three and four.
    lookups: [Lookup; TOGETHER],
    sums: Sums,
}

/// The fastest kernels of this machine.
pub(crate) fn kernels() -> &'static Kernels {
    static FASTEST: OnceLock<Kernels> = OnceLock::new();
    FASTEST.get_or_init(|| all().last().copied().unwrap_or(scalar::KERNELS))
}

/// Every table that this machine can run, slowest first.
pub(crate) fn all() -> Vec<Kernels> {
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        allow(unused_mut, reason = "only the scalar table is there")
    )]
    let mut tables = vec![scalar::KERNELS];
    // Every 64-bit ARM has it.
    #[cfg(target_arch = "aarch64")]
    tables.push(neon::KERNELS);
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        if has!("avx2") {
            tables.push(avx2::KERNELS);
            if has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512vnni") {
                tables.push(avx512::KERNELS);
                if has!("avx512vbmi") {
                    tables.push(vbmi::KERNELS);
                }
            }
        }
    }
    tables
}

/// The bytes of `dims` integers of `bits` (1, 2, 4 or 8).
pub(crate) fn section_bytes(dims: usize, bits: u32) -> usize {
    dims * bits as usize / 8
}

/// The last of the rows that are asked for: those with these ids, as many as there are places, or the first so many.
fn last_row(ids: Option<&[u32]>, places: usize) -> Option<usize> {
    match ids {
        Some(ids) => {
            assert_eq!(ids.len(), places);
            ids.iter().max().map(|&id| id as usize)
        }
        None => places.checked_sub(1),
    }
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
        let last = last_row(ids, out.len());
        if let Some(last) = last {
            let end = last * layout.stride + layout.offset + section_bytes(query.len(), bits);
            assert!(end <= codes.len(), "row {last} is outside the codes");
        }
        // SAFETY: `all` gives only what this machine can run; the rows were checked.
        unsafe { self.scans[bits.ilog2() as usize](query, codes, layout, ids, weight, out) }
    }

    /// What the entries that every code's bytes choose add up to.
    ///
    /// # Panics
    /// If a row is outside `codes`.
    pub(crate) fn sums(&self, tables: &ByteTables, codes: &[u8], ids: Option<&[u32]>, out: &mut [f32]) {
        const AT_ONCE: usize = 512;
        let last = last_row(ids, out.len());
        assert!(last.is_none_or(|last| (last + 1) * tables.parts() <= codes.len()));
        let mut sums = [0; AT_ONCE];
        for (block, out) in out.chunks_mut(AT_ONCE).enumerate() {
            let from = block * AT_ONCE;
            let ids = ids.map(|ids| &ids[from..from + out.len()]);
            let codes = if ids.is_some() {
                codes
            } else {
                &codes[from * tables.parts()..]
            };
            let sums = &mut sums[..out.len()];
            // SAFETY: `all` gives only what this machine can run; the rows were checked.
            unsafe { (self.sums)(tables, codes, ids, sums) }
            out.iter_mut()
                .zip(sums)
                .for_each(|(out, sum)| *out = tables.value(*sum));
        }
    }

    /// Sums of look-ups for some queries (`[queries, rows]`) and every row of `packed`, of which blocks of [`BLOCK`] are read once for [`TOGETHER`].
    pub(crate) fn lookup(&self, tables: &[&Tables], packed: &[u8], out: &mut [i32]) {
        let rows = out.len() / tables.len().max(1);
        assert!(rows.is_multiple_of(BLOCK) && out.len() == rows * tables.len());
        assert!(
            tables
                .iter()
                .all(|table| packed.len() == rows * 4 * table.words())
        );
        for (tables, out) in tables
            .chunks(TOGETHER)
            .zip(out.chunks_mut((TOGETHER * rows).max(1)))
        {
            // SAFETY: `all` gives only what this machine can run; the lengths were checked.
            unsafe { self.lookups[tables.len() - 1](tables, packed, out) }
        }
    }
}

/// Rows a block of packed codes.
pub(crate) const BLOCK: usize = 32;
/// Queries that look up together: their sums stay in registers.
pub(crate) const TOGETHER: usize = 4;

/// Packs the first `bytes` of every code of `stride` bytes for look-ups: in blocks of [`BLOCK`] rows (the last is filled up with any), in a block
/// for every four bytes those of row after row. Bytes over four are zeros.
pub(crate) fn pack(codes: &[u8], stride: usize, bytes: usize, packed: &mut Vec<u8>) {
    let rows = codes.len() / stride;
    let words = bytes.div_ceil(4);
    packed.resize(rows.next_multiple_of(BLOCK) * 4 * words, 0);
    let (whole, _) = codes.split_at(rows * stride);
    for (block, packed) in whole
        .chunks(BLOCK * stride)
        .zip(packed.chunks_exact_mut((BLOCK * 4 * words).max(1)))
    {
        let (packed, _) = packed.as_chunks_mut::<4>();
        for (row, code) in block.chunks_exact(stride).enumerate() {
            let (fours, rest) = code[..bytes].as_chunks::<4>();
            for (at, four) in fours.iter().enumerate() {
                packed[at * BLOCK + row] = *four;
            }
            if !rest.is_empty() {
                let four = &mut packed[fours.len() * BLOCK + row];
                *four = [0; 4];
                four[..rest.len()].copy_from_slice(rest);
            }
        }
    }
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
    fn every_lookup_gives_what_adding_the_entries_gives_for_any_number_of_queries() {
        let mut seed = Seed(2);
        for positions in [1_usize, 2, 7, 8, 9, 16, 48, 96, 255, 257, 700] {
            // The last round has the largest entries, to show any overflow.
            for least in [0, 255] {
                let (rows, bytes) = (77, positions.div_ceil(2));
                let stride = bytes + 3;
                let codes: Vec<u8> = (0..rows * stride).map(|_| seed.below(256) as u8).collect();
                let entries: Vec<Vec<u8>> = (0..9)
                    .map(|_| {
                        let entries = (0..16 * positions).map(|_| (least + seed.below(256 - least)) as u8);
                        entries.collect()
                    })
                    .collect();
                let tables: Vec<Tables> = entries.iter().map(|entries| Tables::new(entries)).collect();
                let mut packed = vec![0xee; 5];
                pack(&codes, stride, bytes, &mut packed);
                let expected: Vec<Vec<i32>> = entries
                    .iter()
                    .map(|entries| {
                        let sum = |code: &[u8]| {
                            (0..positions)
                                .map(|at| {
                                    let nibble = code[at / 2] >> (at % 2 * 4) & 15;
                                    i32::from(entries[16 * at + usize::from(nibble)])
                                })
                                .sum()
                        };
                        codes.chunks_exact(stride).map(sum).collect()
                    })
                    .collect();
                for kernels in all() {
                    for queries in 0..=9 {
                        let tables: Vec<&Tables> = tables[..queries].iter().collect();
                        let mut out = vec![-1; 96 * queries];
                        kernels.lookup(&tables, &packed, &mut out);
                        for (out, expected) in out.chunks_exact(96).zip(&expected) {
                            assert_eq!(&out[..rows], expected, "{} {positions} {queries}", kernels.name);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_sum_of_bytes_gives_what_adding_the_entries_gives() {
        let mut seed = Seed(4);
        let rows = 200;
        for parts in [1, 3, 15, 16, 17, 31, 48, 100, 256, 300] {
            let values: Vec<f32> = (0..256 * parts).map(|_| seed.normal() as f32).collect();
            let codes: Vec<u8> = (0..rows * parts).map(|_| seed.below(256) as u8).collect();
            let ids: Vec<u32> = (0..137).map(|_| seed.below(rows) as u32).collect();
            let tables = ByteTables::new(&values);
            let exact: Vec<f32> = codes
                .chunks_exact(parts)
                .map(|code| {
                    let entries = code.iter().enumerate();
                    let entries = entries.map(|(at, &n)| f64::from(values[256 * at + usize::from(n)]));
                    entries.sum::<f64>() as f32
                })
                .collect();
            let mut expected = vec![0.0; rows];
            scalar::KERNELS.sums(&tables, &codes, None, &mut expected);
            // Half a step each, of 65,535 from -5 to 5 or so; and what f32 rounds.
            let room = 0.5 * 10.0 / 65_535.0 * parts as f32 + 1e-4;
            for (found, exact) in expected.iter().zip(&exact) {
                assert!((found - exact).abs() < room, "{parts}: {found} {exact}");
            }
            for kernels in all() {
                // Any number of rows: blocks, and what is left over.
                for count in [rows, 64, 63, 17, 1, 0] {
                    let (mut all, mut some) = (vec![0.0; count], vec![0.0; count.min(ids.len())]);
                    kernels.sums(&tables, &codes, None, &mut all);
                    assert_eq!(all, expected[..count], "{} {parts}", kernels.name);
                    let ids = &ids[..some.len()];
                    kernels.sums(&tables, &codes, Some(ids), &mut some);
                    let picked: Vec<f32> = ids.iter().map(|&id| expected[id as usize]).collect();
                    assert_eq!(some, picked, "{} {parts}", kernels.name);
                }
            }
        }
    }

    #[test]
    fn quantized_tables_estimate_the_sums_of_the_values_within_half_a_step_a_position() {
        let mut seed = Seed(3);
        for positions in [1, 50, 400] {
            let values: Vec<f32> = (0..16 * positions).map(|_| seed.normal() as f32).collect();
            let nibbles: Vec<usize> = (0..positions).map(|_| seed.below(16)).collect();
            let (tables, scale, offset) = Tables::quantize(&values);
            let code: Vec<u8> = nibbles
                .chunks(2)
                .map(|two| (two[0] | two.get(1).unwrap_or(&0) << 4) as u8)
                .collect();
            let mut packed = Vec::new();
            pack(&code, code.len(), code.len(), &mut packed);
            let mut out = [0; BLOCK];
            kernels().lookup(&[&tables], &packed, &mut out);
            // By bytes it is the same sum.
            let mut whole = [0.0];
            let by_bytes = ByteTables::of_nibbles(&tables, code.len(), scale, offset);
            kernels().sums(&by_bytes, &code, None, &mut whole);
            assert_eq!(whole[0], scale * out[0] as f32 + offset);
            let exact: f32 = nibbles
                .iter()
                .enumerate()
                .map(|(at, n)| values[16 * at + n])
                .sum();
            let error = (whole[0] - exact).abs();
            assert!(
                error <= scale * (0.5 * positions as f32 + 0.01) + 1e-3,
                "{positions}: {error}"
            );
        }
    }
}
