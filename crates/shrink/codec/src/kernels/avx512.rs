//! AVX-512 F, BW, VL and VNNI: 64 codes a register; tails are masked.

use std::arch::x86_64::*;

use super::{BLOCK, ByteTables, Kernels, Layout, Tables, avx2};

pub(super) const KERNELS: Kernels = Kernels {
    name: "avx512",
    scans: [scan_1, scan_2, scan_4, scan_8],
    lookups: [lookup::<false>, lookup::<true>],
    sums,
};

/// The first `left` of 64 bytes, or all.
#[inline(always)]
fn mask(left: usize) -> u64 {
    if left >= 64 { u64::MAX } else { (1 << left) - 1 }
}

/// The scan over rows, whose inner product is `$row(query, code, dims)`.
macro_rules! scan {
    ($name:ident, $row:ident) => {
        /// # Safety
        /// All rows are inside `codes`; the instructions are there.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        unsafe fn $name(
            query: &[i8],
            codes: &[u8],
            layout: Layout,
            ids: Option<&[u32]>,
            weight: i32,
            out: &mut [i32],
        ) {
            let start = codes.as_ptr().wrapping_add(layout.offset);
            match ids {
                None => {
                    for (at, out) in out.iter_mut().enumerate() {
                        let row = start.wrapping_add(at * layout.stride);
                        // SAFETY: the caller promised the rows.
                        *out += weight * unsafe { $row(query.as_ptr(), row, query.len()) };
                    }
                }
                Some(ids) => {
                    for (at, out) in out.iter_mut().enumerate() {
                        // Codes that will be needed four rows from now are asked for; they are scattered over memory.
                        if let Some(&next) = ids.get(at + 4) {
                            let line = start.wrapping_add(next as usize * layout.stride);
                            for ahead in (0..layout.stride).step_by(64) {
                                _mm_prefetch::<_MM_HINT_T0>(line.wrapping_add(ahead).cast());
                            }
                        }
                        let row = start.wrapping_add(ids[at] as usize * layout.stride);
                        // SAFETY: the caller promised the rows.
                        *out += weight * unsafe { $row(query.as_ptr(), row, query.len()) };
                    }
                }
            }
        }
    };
}

scan!(scan_8, row_8);
scan!(scan_4, row_4);
scan!(scan_2, row_2);
scan!(scan_1, row_1);

/// # Safety
/// `query` points to `dims` values, `code` to `dims` bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn row_8(query: *const i8, code: *const u8, dims: usize) -> i32 {
    let mut sums = [_mm512_setzero_si512(); 2];
    let mut at = 0;
    // SAFETY: loads end at or before `dims`; masked-out bytes are not read.
    unsafe {
        while at + 128 <= dims {
            for (chain, sum) in sums.iter_mut().enumerate() {
                let from = at + 64 * chain;
                let code = _mm512_loadu_epi8(code.add(from).cast());
                *sum = _mm512_dpbusd_epi32(*sum, code, _mm512_loadu_epi8(query.add(from)));
            }
            at += 128;
        }
        while at < dims {
            let mask = mask(dims - at);
            let code = _mm512_maskz_loadu_epi8(mask, code.add(at).cast());
            sums[0] = _mm512_dpbusd_epi32(sums[0], code, _mm512_maskz_loadu_epi8(mask, query.add(at)));
            at += 64;
        }
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
}

/// # Safety
/// `query` points to `dims` values, `code` to `dims / 2` bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn row_4(query: *const i8, code: *const u8, dims: usize) -> i32 {
    let (half, low) = (dims / 2, _mm512_set1_epi8(15));
    let mut sums = [_mm512_setzero_si512(); 2];
    let mut at = 0;
    while at < half {
        let mask = mask(half - at);
        // SAFETY: masked-out bytes are not read.
        unsafe {
            let code = _mm512_maskz_loadu_epi8(mask, code.add(at).cast());
            let high = _mm512_and_si512(_mm512_srli_epi16::<4>(code), low);
            let first = _mm512_maskz_loadu_epi8(mask, query.add(at));
            let second = _mm512_maskz_loadu_epi8(mask, query.add(half + at));
            sums[0] = _mm512_dpbusd_epi32(sums[0], _mm512_and_si512(code, low), first);
            sums[1] = _mm512_dpbusd_epi32(sums[1], high, second);
        }
        at += 64;
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
}

/// # Safety
/// `query` points to `dims` values, `code` to `dims / 4` bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn row_2(query: *const i8, code: *const u8, dims: usize) -> i32 {
    let (quarter, low) = (dims / 4, _mm512_set1_epi8(3));
    let mut sums = [_mm512_setzero_si512(); 4];
    let mut at = 0;
    while at < quarter {
        let mask = mask(quarter - at);
        // SAFETY: masked-out bytes are not read.
        unsafe {
            let code = _mm512_maskz_loadu_epi8(mask, code.add(at).cast());
            let parts = [
                code,
                _mm512_srli_epi16::<2>(code),
                _mm512_srli_epi16::<4>(code),
                _mm512_srli_epi16::<6>(code),
            ];
            for (part, (sum, bits)) in sums.iter_mut().zip(parts).enumerate() {
                let values = _mm512_maskz_loadu_epi8(mask, query.add(part * quarter + at));
                *sum = _mm512_dpbusd_epi32(*sum, _mm512_and_si512(bits, low), values);
            }
        }
        at += 64;
    }
    let [a, b, c, d] = sums;
    _mm512_reduce_add_epi32(_mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d)))
}

/// # Safety
/// `query` points to `dims` values, `code` to `dims / 8` bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn row_1(query: *const i8, code: *const u8, dims: usize) -> i32 {
    let ones = _mm512_set1_epi8(1);
    let mut sum = _mm512_setzero_si512();
    let mut at = 0;
    // SAFETY: eight bytes are read while 64 values are left, then one for each eight; masked-out bytes are not read.
    unsafe {
        while at + 64 <= dims {
            let bits = code.add(at / 8).cast::<u64>().read_unaligned();
            sum = _mm512_dpbusd_epi32(sum, ones, _mm512_maskz_loadu_epi8(bits, query.add(at)));
            at += 64;
        }
        if at < dims {
            let bits = (0..(dims - at) / 8).fold(0, |bits, byte| {
                bits | u64::from(*code.add(at / 8 + byte)) << (8 * byte)
            });
            sum = _mm512_dpbusd_epi32(sum, ones, _mm512_maskz_loadu_epi8(bits, query.add(at)));
        }
    }
    _mm512_reduce_add_epi32(sum)
}

/// # Safety
/// All rows are inside `codes`; the instructions are there.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn sums(tables: &ByteTables, codes: &[u8], ids: Option<&[u32]>, out: &mut [u32]) {
    let parts = tables.parts();
    let places = _mm512_mullo_epi32(
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
        _mm512_set1_epi32(256),
    );
    let entry = _mm512_set1_epi32(0xffff);
    for (at, out) in out.iter_mut().enumerate() {
        if let Some(&next) = ids.and_then(|ids| ids.get(at + 4)) {
            _mm_prefetch::<_MM_HINT_T0>(codes.as_ptr().wrapping_add(next as usize * parts).cast());
        }
        let row = ids.map_or(at, |ids| ids[at] as usize);
        let mut sums = [_mm512_setzero_si512(); 2];
        // SAFETY: the caller promised the rows, and tables have an entry more than codes name; masked-out bytes are not read, and their entries
        // are not gathered.
        unsafe {
            let code = codes.as_ptr().add(row * parts);
            let mut part = 0;
            while part < parts {
                let mask = mask(parts - part) as u16;
                let numbers = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, code.add(part).cast()));
                let both = _mm512_mask_i32gather_epi32::<2>(
                    _mm512_setzero_si512(),
                    mask,
                    _mm512_add_epi32(numbers, places),
                    tables.entries.as_ptr().add(256 * part).cast(),
                );
                let sum = &mut sums[part / 16 % 2];
                *sum = _mm512_add_epi32(*sum, _mm512_and_si512(both, entry));
                part += 16;
            }
        }
        *out = _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1])) as u32;
    }
}

/// # Safety
/// `packed` is `32 * pairs` bytes for every 32 of `out`; the instructions are there.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn lookup<const NARROW: bool>(tables: &Tables, packed: &[u8], out: &mut [u16]) {
    let low = _mm512_set1_epi8(15);
    let pairs = tables.pairs;
    let [even, odd] = tables.sides().map(|side| side.as_ptr().cast::<u8>());
    for (block, out) in packed
        .chunks_exact((BLOCK * pairs).max(1))
        .zip(out.as_chunks_mut::<BLOCK>().0)
    {
        // Two rows share 16 bits: their sums are taken apart at the end.
        let mut sums = [_mm512_setzero_si512(); 2];
        let mut add = |mask: u64, pair: usize| {
            // SAFETY: every one of the three has 32 bytes for each pair; masked-out bytes are not read.
            let [codes, first, second] = unsafe {
                [block.as_ptr(), even, odd]
                    .map(|bytes| _mm512_maskz_loadu_epi8(mask, bytes.add(32 * pair).cast()))
            };
            let first = _mm512_shuffle_epi8(first, _mm512_and_si512(codes, low));
            let high = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), low);
            let second = _mm512_shuffle_epi8(second, high);
            if NARROW {
                let sum = _mm512_add_epi8(first, second);
                sums[0] = _mm512_add_epi16(sums[0], sum);
                sums[1] = _mm512_add_epi16(sums[1], _mm512_srli_epi16::<8>(sum));
            } else {
                sums[0] = _mm512_add_epi16(sums[0], _mm512_add_epi16(first, second));
                let uneven = _mm512_add_epi16(_mm512_srli_epi16::<8>(first), _mm512_srli_epi16::<8>(second));
                sums[1] = _mm512_add_epi16(sums[1], uneven);
            }
        };
        for pair in (0..pairs / 2 * 2).step_by(2) {
            add(u64::MAX, pair);
        }
        if pairs % 2 == 1 {
            add(u64::from(u32::MAX), pairs - 1);
        }
        let halves = sums
            .map(|sum| _mm256_add_epi16(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum)));
        // SAFETY: the instructions are there.
        unsafe { avx2::store_sums(halves[0], halves[1], out) };
    }
}
