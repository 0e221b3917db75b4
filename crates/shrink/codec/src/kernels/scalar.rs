//! The definition of every loop, in plain Rust: what runs where nothing better does, and what the others are tested against.

use super::tables::Line;
use super::{BLOCK, ByteTables, Kernels, Layout, Tables, read_section, section_bytes};

pub(super) const KERNELS: Kernels = Kernels {
    name: "scalar",
    scans: [scan::<1>, scan::<2>, scan::<4>, scan::<8>],
    lookups: [lookup; 2],
    sums,
};

fn scan<const BITS: u32>(
    query: &[i8],
    codes: &[u8],
    layout: Layout,
    ids: Option<&[u32]>,
    weight: i32,
    out: &mut [i32],
) {
    for (at, out) in out.iter_mut().enumerate() {
        let row = ids.map_or(at, |ids| ids[at] as usize);
        let code = &codes[row * layout.stride + layout.offset..][..section_bytes(query.len(), BITS)];
        let products = query
            .iter()
            .enumerate()
            .map(|(at, &value)| i32::from(value) * i32::from(read_section(code, query.len(), BITS, at)));
        *out += weight * products.sum::<i32>();
    }
}

pub(super) fn sums(tables: &ByteTables, codes: &[u8], ids: Option<&[u32]>, out: &mut [u32]) {
    let parts = tables.parts();
    for (at, out) in out.iter_mut().enumerate() {
        let row = ids.map_or(at, |ids| ids[at] as usize);
        let code = &codes[row * parts..][..parts];
        let entries = tables.entries.as_chunks::<256>().0.iter().zip(code);
        *out = entries
            .map(|(table, &number)| u32::from(table[usize::from(number)]))
            .sum();
    }
}

fn lookup(tables: &Tables, packed: &[u8], out: &mut [u16]) {
    let [even, odd] = tables.sides();
    for (block, out) in packed
        .chunks_exact((BLOCK * tables.pairs).max(1))
        .zip(out.as_chunks_mut::<BLOCK>().0)
    {
        for (row, out) in out.iter_mut().enumerate() {
            *out = (0..tables.pairs)
                .map(|pair| {
                    let byte = usize::from(block[pair * BLOCK + row]);
                    let entry =
                        |side: &[Line], nibble: usize| u16::from(side[pair / 2].0[pair % 2 * 32 + nibble]);
                    entry(even, byte & 15) + entry(odd, byte >> 4)
                })
                .sum();
        }
    }
}
