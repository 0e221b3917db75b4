//! The definition of every loop, in plain Rust: what runs where nothing better does, and what the others are tested against.

use super::{BLOCK, ByteTables, Kernels, Layout, Tables, read_section, section_bytes};

pub(super) const KERNELS: Kernels = Kernels {
    name: "scalar",
    scans: [scan::<1>, scan::<2>, scan::<4>, scan::<8>],
    lookups: [lookup; 4],
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

fn lookup(tables: &[&Tables], packed: &[u8], out: &mut [i32]) {
    let rows = out.len() / tables.len();
    for (tables, out) in tables.iter().zip(out.chunks_exact_mut(rows.max(1))) {
        let [even, odd] = tables.sides();
        let blocks = packed.chunks_exact((BLOCK * 4 * tables.words()).max(1));
        for (block, out) in blocks.zip(out.as_chunks_mut::<BLOCK>().0) {
            for (row, out) in out.iter_mut().enumerate() {
                let words = block.as_chunks::<4>().0[row..].iter().step_by(BLOCK);
                *out = words
                    .zip(even.iter().zip(odd))
                    .flat_map(|(word, sides)| (0..4).map(move |at| (usize::from(word[at]), 16 * at, sides)))
                    .map(|(byte, from, (even, odd))| {
                        i32::from(even.0[from + byte % 16]) + i32::from(odd.0[from + byte / 16])
                    })
                    .sum();
            }
        }
    }
}
