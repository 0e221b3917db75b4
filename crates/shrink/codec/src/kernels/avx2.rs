//! AVX2: 32 codes a register; what is left over at the end of a row is done one by one.

use std::arch::x86_64::*;

use super::{BLOCK, Kernels, Layout, Tables, read_section, scalar};

pub(super) const KERNELS: Kernels = Kernels {
    name: "avx2",
    scans: [scan::<1>, scan::<2>, scan::<4>, scan::<8>],
    lookups: [lookup::<false>, lookup::<true>],
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

/// Writes 32 sums of two kinds in 16-bit lanes: of even rows plus 256 times those of odd rows, and of odd rows.
///
/// # Safety
/// The instructions are there.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn store_sums(both: __m256i, odd: __m256i, out: &mut [u16; BLOCK]) {
    let even = _mm256_sub_epi16(both, _mm256_slli_epi16::<8>(odd));
    let first = _mm256_unpacklo_epi16(even, odd);
    let second = _mm256_unpackhi_epi16(even, odd);
    // SAFETY: `out` is 64 bytes.
    unsafe {
        let at = out.as_mut_ptr().cast::<__m256i>();
        _mm256_storeu_si256(at, _mm256_permute2x128_si256::<0x20>(first, second));
        _mm256_storeu_si256(at.add(1), _mm256_permute2x128_si256::<0x31>(first, second));
    }
}

/// # Safety
/// `packed` is `32 * pairs` bytes for every 32 of `out`; the instructions are there.
#[target_feature(enable = "avx2")]
unsafe fn lookup<const NARROW: bool>(tables: &Tables, packed: &[u8], out: &mut [u16]) {
    let low = _mm256_set1_epi8(15);
    let pairs = tables.pairs;
    let [even, odd] = tables.sides().map(|side| side.as_ptr().cast::<u8>());
    for (block, out) in packed
        .chunks_exact((BLOCK * pairs).max(1))
        .zip(out.as_chunks_mut::<BLOCK>().0)
    {
        let (mut both, mut uneven) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for pair in 0..pairs {
            // SAFETY: every one of the three has 32 bytes for each pair.
            let [codes, first, second] = unsafe {
                [block.as_ptr(), even, odd].map(|bytes| _mm256_loadu_si256(bytes.add(32 * pair).cast()))
            };
            let first = _mm256_shuffle_epi8(first, _mm256_and_si256(codes, low));
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), low);
            let second = _mm256_shuffle_epi8(second, high);
            if NARROW {
                let sum = _mm256_add_epi8(first, second);
                both = _mm256_add_epi16(both, sum);
                uneven = _mm256_add_epi16(uneven, _mm256_srli_epi16::<8>(sum));
            } else {
                both = _mm256_add_epi16(both, _mm256_add_epi16(first, second));
                uneven = _mm256_add_epi16(uneven, _mm256_srli_epi16::<8>(first));
                uneven = _mm256_add_epi16(uneven, _mm256_srli_epi16::<8>(second));
            }
        }
        // SAFETY: the instructions are there.
        unsafe { store_sums(both, uneven, out) };
    }
}
