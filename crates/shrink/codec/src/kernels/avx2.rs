//! AVX2: 32 codes a register; what is left over at the end of a row is done one by one.

use std::arch::x86_64::*;

use super::{BLOCK, Kernels, Layout, Tables, read_section, scalar};

pub(super) const KERNELS: Kernels = Kernels {
    name: "avx2",
    scans: [scan::<1>, scan::<2>, scan::<4>, scan::<8>],
    lookups: [lookup::<1>, lookup::<2>, lookup::<3>, lookup::<4>],
    // Gathers of eight are no faster than eight loads.
    sums: scalar::sums,
};

/// # Safety
/// All rows are inside `codes`; the instructions are there.
#[target_feature(enable = "avx2")]
unsafe fn scan<const BITS: u32>(
    query: &[i8],
    codes: &[u8],
    layout: Layout,
    ids: Option<&[u32]>,
    weight: i32,
    out: &mut [i32],
) {
    let bytes = super::section_bytes(query.len(), BITS);
    for (at, out) in out.iter_mut().enumerate() {
        let row = ids.map_or(at, |ids| ids[at] as usize);
        let code = &codes[row * layout.stride + layout.offset..][..bytes];
        // SAFETY: the code has the length that its reader needs.
        *out += weight
            * unsafe {
                match BITS {
                    8 => row_8(query, code),
                    1 => row_1(query, code),
                    _ => row_parts::<BITS>(query, code),
                }
            };
    }
}

/// The sum of eight 32-bit lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn total(sums: __m256i) -> i32 {
    let half = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    let half = _mm_add_epi32(half, _mm_shuffle_epi32::<0b01_00_11_10>(half));
    _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32::<0b10_11_00_01>(half)))
}

/// The products of pairs of unsigned bytes up to 15 and signed ones, added up: no pair leaves 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn add_small(sum: __m256i, small: __m256i, values: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(small, values);
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

/// # Safety
/// `code` is as long as `query`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn row_8(query: &[i8], code: &[u8]) -> i32 {
    let mut sums = _mm256_setzero_si256();
    let mut at = 0;
    while at + 16 <= code.len() {
        // Pairs of full bytes would leave 16 bits, so that they are widened first.
        // SAFETY: 16 values are left in both.
        let (code, query) = unsafe {
            (
                _mm256_cvtepu8_epi16(_mm_loadu_si128(code.as_ptr().add(at).cast())),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(query.as_ptr().add(at).cast())),
            )
        };
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(code, query));
        at += 16;
    }
    let rest = code[at..].iter().zip(&query[at..]);
    total(sums)
        + rest
            .map(|(&code, &value)| i32::from(code) * i32::from(value))
            .sum::<i32>()
}

/// Two or four integers a byte.
///
/// # Safety
/// `code` holds the integers of `query.len()` values.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn row_parts<const BITS: u32>(query: &[i8], code: &[u8]) -> i32 {
    let low = _mm256_set1_epi8((1 << BITS) - 1);
    let width = code.len();
    let mut sums = _mm256_setzero_si256();
    let mut at = 0;
    while at + 32 <= width {
        // SAFETY: 32 bytes are left in the code, and 32 values in every part of the query.
        unsafe {
            let bytes = _mm256_loadu_si256(code.as_ptr().add(at).cast());
            for part in 0..8 / BITS {
                let shift = _mm_cvtsi32_si128((part * BITS) as i32);
                let small = _mm256_and_si256(_mm256_srl_epi16(bytes, shift), low);
                let values = query.as_ptr().add(part as usize * width + at).cast();
                sums = add_small(sums, small, _mm256_loadu_si256(values));
            }
        }
        at += 32;
    }
    let mut sum = total(sums);
    for part in 0..(8 / BITS) as usize {
        for at in part * width + at..(part + 1) * width {
            sum += i32::from(read_section(code, query.len(), BITS, at)) * i32::from(query[at]);
        }
    }
    sum
}

/// # Safety
/// `code` holds one bit for each of `query`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn row_1(query: &[i8], code: &[u8]) -> i32 {
    let spread = _mm256_setr_epi8(
        0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3,
    );
    let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
    let ones = _mm256_set1_epi8(1);
    let mut sums = _mm256_setzero_si256();
    let (fours, _) = code.as_chunks::<4>();
    for (at, &four) in fours.iter().enumerate() {
        let bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(i32::from_le_bytes(four)), spread);
        let chosen = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
        // SAFETY: four bytes of code stand for 32 values.
        let values = unsafe { _mm256_loadu_si256(query.as_ptr().add(32 * at).cast()) };
        sums = add_small(sums, ones, _mm256_and_si256(chosen, values));
    }
    let done = 32 * fours.len();
    let rest = query[done..].iter().enumerate();
    let rest =
        rest.map(|(at, &value)| i32::from(read_section(code, query.len(), 1, done + at)) * i32::from(value));
    total(sums) + rest.sum::<i32>()
}

/// Words of codes whose sums fit 16 bits.
pub(super) const WORDS: usize = 32;

/// Adds sums of 16 rows in 16-bit lanes, of which both halves belong together: of even rows plus 256 times those of odd rows, and of odd rows.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn add_sums(sums: [__m256i; 2], out: &mut [i32; 16]) {
    let [both, odd] =
        sums.map(|sum| _mm_add_epi16(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum)));
    let even = _mm_sub_epi16(both, _mm_slli_epi16::<8>(odd));
    let halves = [_mm_unpacklo_epi16(even, odd), _mm_unpackhi_epi16(even, odd)];
    for (out, half) in out.as_chunks_mut::<8>().0.iter_mut().zip(halves) {
        // SAFETY: eight values.
        unsafe {
            let at = out.as_mut_ptr().cast();
            _mm256_storeu_si256(
                at,
                _mm256_add_epi32(_mm256_loadu_si256(at), _mm256_cvtepu16_epi32(half)),
            );
        }
    }
}

/// # Safety
/// There are `Q` tables, as wide as `packed` is; the instructions are there.
#[target_feature(enable = "avx2")]
unsafe fn lookup<const Q: usize>(tables: &[&Tables], packed: &[u8], out: &mut [i32]) {
    let words = tables[0].words();
    let sides = Tables::all_sides::<Q>(tables);
    let rows = out.len() / Q;
    out.fill(0);
    let low = _mm256_set1_epi8(15);
    // Four bytes of four rows to four rows of four bytes, and the fours of a byte together.
    let turn = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
    ));
    let gather = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (block, codes) in packed.chunks_exact((BLOCK * 4 * words).max(1)).enumerate() {
        let runs = [0, 1]
            .into_iter()
            .flat_map(|half| (0..words).step_by(WORDS).map(move |from| (half, from)));
        for (half, from) in runs {
            let mut sums = [[_mm256_setzero_si256(); 2]; Q];
            for word in from..words.min(from + WORDS) {
                // SAFETY: a word of a block is two lines, and one of each side of every table.
                unsafe {
                    let codes = codes.as_ptr().add(64 * (2 * word + half));
                    let [first, second] =
                        [0, 32].map(|at| _mm256_shuffle_epi8(_mm256_loadu_si256(codes.add(at).cast()), turn));
                    let bytes = [
                        _mm256_unpacklo_epi32(first, second),
                        _mm256_unpackhi_epi32(first, second),
                    ];
                    for (pair, codes) in bytes.into_iter().enumerate() {
                        let codes = _mm256_permutevar8x32_epi32(codes, gather);
                        let numbers =
                            [codes, _mm256_srli_epi16::<4>(codes)].map(|codes| _mm256_and_si256(codes, low));
                        for (sums, sides) in sums.iter_mut().zip(&sides) {
                            for (side, numbers) in sides.iter().zip(numbers) {
                                let entries = _mm256_load_si256(side.add(64 * word + 32 * pair).cast());
                                let found = _mm256_shuffle_epi8(entries, numbers);
                                sums[0] = _mm256_add_epi16(sums[0], found);
                                sums[1] = _mm256_add_epi16(sums[1], _mm256_srli_epi16::<8>(found));
                            }
                        }
                    }
                }
            }
            for (query, sums) in sums.into_iter().enumerate() {
                let out = &mut out[query * rows + block * BLOCK..][..BLOCK];
                add_sums(sums, &mut out.as_chunks_mut().0[half]);
            }
        }
    }
}
