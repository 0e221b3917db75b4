//! AVX-512 F, BW, VL and VNNI: 64 codes a register; tails are masked.

use std::arch::x86_64::*;

use super::{BLOCK, ByteTables, Kernels, Layout, Tables, avx2};

pub(super) const KERNELS: Kernels = Kernels {
    name: "avx512",
    scans: [scan_1, scan_2, scan_4, scan_8],
    lookups: [lookup::<1>, lookup::<2>, lookup::<3>, lookup::<4>],
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
/// There are `Q` tables, as wide as `packed` is; the instructions are there.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn lookup<const Q: usize>(tables: &[&Tables], packed: &[u8], out: &mut [i32]) {
    let words = tables[0].words();
    let sides = Tables::all_sides::<Q>(tables);
    let rows = out.len() / Q;
    out.fill(0);
    let low = _mm512_set1_epi8(15);
    // Four bytes of four rows to four rows of four bytes, and the fours of a byte together.
    let turn = _mm512_broadcast_i32x4(_mm_setr_epi8(
        0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
    ));
    let gather = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (block, codes) in packed.chunks_exact((BLOCK * 4 * words).max(1)).enumerate() {
        for from in (0..words).step_by(avx2::WORDS) {
            // Of even rows plus 256 times those of odd rows, and of odd rows.
            let mut sums = [[[_mm512_setzero_si512(); 2]; 2]; Q];
            for word in from..words.min(from + avx2::WORDS) {
                // SAFETY: a word of a block is two lines, and one of each side of every table.
                unsafe {
                    let numbers = [0, 1].map(|half| {
                        let codes = _mm512_loadu_epi8(codes.as_ptr().add(64 * (2 * word + half)).cast());
                        let codes = _mm512_permutexvar_epi32(gather, _mm512_shuffle_epi8(codes, turn));
                        [codes, _mm512_srli_epi16::<4>(codes)].map(|codes| _mm512_and_si512(codes, low))
                    });
                    for (sums, sides) in sums.iter_mut().zip(&sides) {
                        let entries = sides.map(|side| _mm512_load_epi32(side.add(64 * word).cast()));
                        for (sums, numbers) in sums.iter_mut().zip(numbers) {
                            for (entries, numbers) in entries.into_iter().zip(numbers) {
                                let found = _mm512_shuffle_epi8(entries, numbers);
                                sums[0] = _mm512_add_epi16(sums[0], found);
                                sums[1] = _mm512_add_epi16(sums[1], _mm512_srli_epi16::<8>(found));
                            }
                        }
                    }
                }
            }
            for (query, sums) in sums.into_iter().enumerate() {
                let out = &mut out[query * rows + block * BLOCK..][..BLOCK];
                for (sums, out) in sums.into_iter().zip(out.as_chunks_mut().0) {
                    let halves = sums.map(|sum| {
                        let high = _mm512_extracti64x4_epi64::<1>(sum);
                        _mm256_add_epi16(_mm512_castsi512_si256(sum), high)
                    });
                    avx2::add_sums(halves, out);
                }
            }
        }
    }
}
