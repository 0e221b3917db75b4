//! AVX-512 VBMI, which looks 64 bytes up at once: 64 codes are turned so that the same byte of all of them lies in a register, and each of its
//! tables' planes of 256 bytes takes four look-ups of 64. Of nibbles, one look-up has the entries of four positions: where in the register a byte
//! lies says which.

use std::arch::x86_64::*;

use super::{BLOCK, ByteTables, Kernels, Tables, avx512};

pub(super) const KERNELS: Kernels = Kernels {
    name: "avx512vbmi",
    lookups: [lookup::<1>, lookup::<2>, lookup::<3>, lookup::<4>],
    sums,
    ..avx512::KERNELS
};

/// Rows a block.
const ROWS: usize = 64;
/// Rows from which a block pays, though it is not full.
const FEW: usize = 32;
/// Bytes of a code that are turned together.
const COLUMNS: usize = 16;
/// The most bytes a code whose sums of one plane fit 16 bits.
const MOST_PARTS: usize = 257;

/// # Safety
/// All rows are inside `codes`; the instructions are there.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn sums(tables: &ByteTables, codes: &[u8], ids: Option<&[u32]>, out: &mut [u32]) {
    let parts = tables.parts();
    let blocks = match out.len() % ROWS {
        _ if parts > MOST_PARTS => 0,
        left if left < FEW => out.len() / ROWS,
        _ => out.len().div_ceil(ROWS),
    };
    let count = out.len();
    let start = |at: usize| {
        // What is over in the last block is its last row again.
        let at = at.min(count - 1);
        let row = ids.map_or(at, |ids| ids[at] as usize);
        codes.as_ptr().wrapping_add(row * parts)
    };
    let (blocked, rest) = out.split_at_mut(count.min(blocks * ROWS));
    for (block, out) in blocked.chunks_mut(ROWS).enumerate() {
        let rows: [*const u8; ROWS] = std::array::from_fn(|row| start(block * ROWS + row));
        if ids.is_some() && (block + 1) * ROWS < count {
            // The codes of the next block are scattered over memory.
            for row in 0..ROWS {
                _mm_prefetch::<_MM_HINT_T0>(start((block + 1) * ROWS + row).cast());
            }
        }
        // Sums of even rows plus 256 times those of odd ones, and of odd ones, of the low and of the high bytes.
        let mut sums = [[_mm512_setzero_si512(); 2]; 2];
        for from in (0..parts).step_by(COLUMNS) {
            let width = COLUMNS.min(parts - from);
            // SAFETY: `width` bytes are left of every row, and tables for all of them.
            unsafe {
                let turned = turn(&rows, from, width);
                for (column, &numbers) in turned.iter().enumerate().take(width) {
                    let planes = tables.planes.as_ptr().add(512 * (from + column));
                    let upper = _mm512_movepi8_mask(numbers);
                    let middle = _mm512_movepi8_mask(_mm512_add_epi8(numbers, numbers));
                    for (plane, sums) in sums.iter_mut().enumerate() {
                        let quarter = |at: usize| _mm512_loadu_epi8(planes.add(256 * plane + 64 * at).cast());
                        let found = _mm512_permutexvar_epi8(numbers, quarter(0));
                        let found = _mm512_mask_permutexvar_epi8(found, !upper & middle, numbers, quarter(1));
                        let found = _mm512_mask_permutexvar_epi8(found, upper & !middle, numbers, quarter(2));
                        let found = _mm512_mask_permutexvar_epi8(found, upper & middle, numbers, quarter(3));
                        sums[0] = _mm512_add_epi16(sums[0], found);
                        sums[1] = _mm512_add_epi16(sums[1], _mm512_srli_epi16::<8>(found));
                    }
                }
            }
        }
        let mut all = [0; ROWS];
        // SAFETY: the instructions are there.
        unsafe { join(sums, &mut all) };
        out.copy_from_slice(&all[..out.len()]);
    }
    if !rest.is_empty() {
        let from = count - rest.len();
        let (codes, ids) = match ids {
            Some(ids) => (codes, Some(&ids[from..])),
            None => (&codes[from * parts..], None),
        };
        // SAFETY: the caller promised the rows.
        unsafe { avx512::sums(tables, codes, ids, rest) };
    }
}

/// Bytes `from..from + width` of 64 rows: register c holds byte `from + c` of all of them, in order.
///
/// # Safety
/// Every row has the bytes; the instructions are there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn turn(rows: &[*const u8; ROWS], from: usize, width: usize) -> [__m512i; COLUMNS] {
    let mask = ((1_u32 << width) - 1) as u16;
    let mut all = [_mm512_setzero_si512(); COLUMNS];
    for (row, quarters) in all.iter_mut().enumerate() {
        let bytes = |quarter: usize| rows[16 * quarter + row].wrapping_add(from);
        // Broadcasts under a mask take what they broadcast from memory, unlike insertions.
        // SAFETY: the rows have these bytes; masked-out ones are not read.
        *quarters = unsafe {
            if width == COLUMNS {
                let four = _mm512_castsi128_si512(_mm_loadu_si128(bytes(0).cast()));
                let four = _mm512_mask_broadcast_i32x4(four, 0x00f0, _mm_loadu_si128(bytes(1).cast()));
                let four = _mm512_mask_broadcast_i32x4(four, 0x0f00, _mm_loadu_si128(bytes(2).cast()));
                _mm512_mask_broadcast_i32x4(four, 0xf000, _mm_loadu_si128(bytes(3).cast()))
            } else {
                let four = [0, 1, 2, 3].map(|at| _mm_maskz_loadu_epi8(mask, bytes(at).cast()));
                let low = _mm256_set_m128i(four[1], four[0]);
                _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), _mm256_set_m128i(four[3], four[2]))
            }
        };
    }
    // In each quarter, the byte of row r and column c goes from place 16 r + c to 16 c + r: a turn of eight bits of the place by four, one a step.
    for _ in 0..4 {
        all = std::array::from_fn(|at| {
            let (first, second) = (all[at / 2], all[at / 2 + 8]);
            if at % 2 == 0 {
                _mm512_unpacklo_epi8(first, second)
            } else {
                _mm512_unpackhi_epi8(first, second)
            }
        });
    }
    all
}

/// Low bytes' sums plus 256 times the high bytes', in the order of the rows.
///
/// # Safety
/// The instructions are there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn join(sums: [[__m512i; 2]; 2], out: &mut [u32; ROWS]) {
    let parted = sums.map(|[both, odd]| [_mm512_sub_epi16(both, _mm512_slli_epi16::<8>(odd)), odd]);
    for half in 0..2 {
        let wide = |sums: __m512i| {
            _mm512_cvtepu16_epi32(if half == 0 {
                _mm512_castsi512_si256(sums)
            } else {
                _mm512_extracti64x4_epi64::<1>(sums)
            })
        };
        let [even, odd] = [0, 1].map(|side| {
            let (low, high) = (wide(parted[0][side]), wide(parted[1][side]));
            _mm512_add_epi32(low, _mm512_slli_epi32::<8>(high))
        });
        let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let second = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        // SAFETY: `out` has 64 values.
        unsafe {
            let to = out.as_mut_ptr().add(32 * half);
            _mm512_storeu_epi32(to.cast(), _mm512_permutex2var_epi32(even, first, odd));
            _mm512_storeu_epi32(to.add(16).cast(), _mm512_permutex2var_epi32(even, second, odd));
        }
    }
}

/// # Safety
/// There are `Q` tables, as wide as `packed` is; the instructions are there.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
unsafe fn lookup<const Q: usize>(tables: &[&Tables], packed: &[u8], out: &mut [i32]) {
    let words = tables[0].words();
    let sides = Tables::all_sides::<Q>(tables);
    let rows = out.len() / Q;
    let (ones, low) = (_mm512_set1_epi8(1), _mm512_set1_epi8(15));
    // The table of a byte is the one of its place among four.
    let places = _mm512_set1_epi32(0x3020_1000);
    // (codes & 15) | places
    const CHOOSE: i32 = 0xea;
    for (block, codes) in packed.chunks_exact((BLOCK * 4 * words).max(1)).enumerate() {
        let mut sums = [[_mm512_setzero_si512(); 2]; Q];
        for word in 0..words {
            // SAFETY: a word of a block is two lines, and one of each side of every table.
            unsafe {
                let numbers = [0, 1].map(|half| {
                    let codes = _mm512_loadu_epi8(codes.as_ptr().add(64 * (2 * word + half)).cast());
                    let high = _mm512_srli_epi16::<4>(codes);
                    [codes, high].map(|codes| _mm512_ternarylogic_epi32::<CHOOSE>(codes, low, places))
                });
                for (sums, sides) in sums.iter_mut().zip(&sides) {
                    let entries = sides.map(|side| _mm512_load_epi32(side.add(64 * word).cast()));
                    for (sum, numbers) in sums.iter_mut().zip(numbers) {
                        for (entries, numbers) in entries.into_iter().zip(numbers) {
                            let found = _mm512_permutexvar_epi8(numbers, entries);
                            *sum = _mm512_dpbusd_epi32(*sum, found, ones);
                        }
                    }
                }
            }
        }
        for (query, sums) in sums.into_iter().enumerate() {
            let out = &mut out[query * rows + block * BLOCK..][..BLOCK];
            for (half, sum) in sums.into_iter().enumerate() {
                // SAFETY: 16 values are left.
                unsafe { _mm512_storeu_epi32(out.as_mut_ptr().add(16 * half), sum) };
            }
        }
    }
}
