//! The loops over f32 and f16 vectors, written once over a trait of SIMD registers; each instruction set instantiates them.
//!
//! Everything here is `inline(always)`, so that it becomes part of a function with the right `#[target_feature]` and the intrinsics
//! behind [`Lanes`] are inlined in turn. A row's result depends on nothing but the row and the query: one row alone, many rows and
//! gathered rows add up in the same order and give the same bits.

/// A register of f32 lanes.
///
/// # Safety
/// Methods may only be called where the instruction set is enabled.
pub(super) trait Lanes: Copy {
    /// f32 values a register.
    const COUNT: usize;
    unsafe fn zero() -> Self;
    /// `self + a * b`, rounded once.
    unsafe fn fused(self, a: Self, b: Self) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    /// The sum of the lanes.
    unsafe fn sum(self) -> f32;
    /// Asks for the cache line at an address that need not be valid.
    unsafe fn prefetch(at: *const u8);
}

/// A register that is filled from values of `T`.
pub(super) trait Load<T>: Lanes {
    /// `COUNT` values from `at`, at any alignment.
    unsafe fn load(at: *const T) -> Self;
    /// `count < COUNT` values from `at` and zeros; reads nothing behind them.
    unsafe fn load_part(at: *const T, count: usize) -> Self;
}

/// The inner product is summed.
pub(super) const DOT: u8 = 0;
/// The squared difference is summed.
pub(super) const L2: u8 = 1;

/// Partial sums of a row: enough chains to keep the multipliers busy during one addition's latency (4 cycles on Zen 4 and Golden Cove).
const CHAINS: usize = 4;

#[inline(always)]
unsafe fn step<V: Lanes, const OP: u8>(sum: V, query: V, row: V) -> V {
    // SAFETY: the caller runs where V's instructions are enabled.
    unsafe {
        if OP == DOT {
            sum.fused(query, row)
        } else {
            let difference = query.sub(row);
            sum.fused(difference, difference)
        }
    }
}

#[inline(always)]
unsafe fn total<V: Lanes>(sums: [V; CHAINS]) -> f32 {
    // SAFETY: the caller runs where V's instructions are enabled.
    unsafe { sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum() }
}

/// The sums for `N` rows of `dims` values at once; each register of the query is loaded once for all of them. The lines of `next`
/// are asked for meanwhile: they are the rows of the following call.
///
/// # Safety
/// V's instructions are enabled; `query` and `rows` point to `dims` values each (`next` may be any addresses).
#[inline(always)]
unsafe fn block<V: Load<Q> + Load<R>, Q, R, const OP: u8, const N: usize>(
    query: *const Q,
    rows: [*const R; N],
    next: Option<[*const R; N]>,
    dims: usize,
) -> [f32; N] {
    // SAFETY: every load ends at or before `dims` by the loop conditions, and `load_part` reads only what is left.
    unsafe {
        let mut sums = [[V::zero(); N]; CHAINS];
        let mut at = 0;
        while at + CHAINS * V::COUNT <= dims {
            if let Some(next) = next {
                for row in next {
                    let mut line = 0;
                    while line < CHAINS * V::COUNT * size_of::<R>() {
                        V::prefetch(row.wrapping_add(at).cast::<u8>().wrapping_add(line));
                        line += 64;
                    }
                }
            }
            for sums in &mut sums {
                let part = V::load(query.add(at));
                for (sum, row) in sums.iter_mut().zip(rows) {
                    *sum = step::<V, OP>(*sum, part, V::load(row.add(at)));
                }
                at += V::COUNT;
            }
        }
        for sums in &mut sums[..CHAINS - 1] {
            if at + V::COUNT > dims {
                break;
            }
            let part = V::load(query.add(at));
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum = step::<V, OP>(*sum, part, V::load(row.add(at)));
            }
            at += V::COUNT;
        }
        if at < dims {
            let part = V::load_part(query.add(at), dims - at);
            for (sum, row) in sums[CHAINS - 1].iter_mut().zip(rows) {
                *sum = step::<V, OP>(*sum, part, V::load_part(row.add(at), dims - at));
            }
        }
        std::array::from_fn(|row| total(sums.map(|sums| sums[row])))
    }
}

/// One pair, up to the shorter length.
///
/// # Safety
/// V's instructions are enabled.
#[inline(always)]
pub(super) unsafe fn pair<V: Load<Q> + Load<R>, Q, R, const OP: u8>(a: &[Q], b: &[R]) -> f32 {
    let dims = a.len().min(b.len());
    // SAFETY: both slices hold `dims` values.
    unsafe { block::<V, Q, R, OP, 1>(a.as_ptr(), [b.as_ptr()], None, dims)[0] }
}

/// `[a·b, a·a, b·b]`, up to the shorter length.
///
/// # Safety
/// V's instructions are enabled.
#[inline(always)]
pub(super) unsafe fn products<V: Load<Q> + Load<R>, Q, R>(a: &[Q], b: &[R]) -> [f32; 3] {
    let dims = a.len().min(b.len());
    let (a, b) = (a.as_ptr(), b.as_ptr());
    // SAFETY: every load ends at or before `dims`.
    unsafe {
        // Two chains for each of three sums: six are in flight.
        let mut sums = [[V::zero(); 2]; 3];
        let mut add = |chain: usize, a: V, b: V| {
            sums[0][chain] = sums[0][chain].fused(a, b);
            sums[1][chain] = sums[1][chain].fused(a, a);
            sums[2][chain] = sums[2][chain].fused(b, b);
        };
        let mut at = 0;
        while at + 2 * V::COUNT <= dims {
            add(0, V::load(a.add(at)), V::load(b.add(at)));
            let middle = at + V::COUNT;
            add(1, V::load(a.add(middle)), V::load(b.add(middle)));
            at += 2 * V::COUNT;
        }
        if at + V::COUNT <= dims {
            add(0, V::load(a.add(at)), V::load(b.add(at)));
            at += V::COUNT;
        }
        if at < dims {
            let left = dims - at;
            add(1, V::load_part(a.add(at), left), V::load_part(b.add(at), left));
        }
        sums.map(|[even, odd]| even.add(odd).sum())
    }
}

/// The query against every row, one after another: the processor fetches a single stream ahead by itself. Measured (`bench/distances
/// rows`, matrix larger than the cache): several rows at once or explicit prefetching take 1.2 to 2 times as long.
///
/// # Safety
/// V's instructions are enabled, and `matrix` holds `out.len()` rows of `query.len()` values.
#[inline(always)]
pub(super) unsafe fn each<V: Load<Q> + Load<R>, Q, R, const OP: u8>(
    query: &[Q],
    matrix: &[R],
    out: &mut [f32],
) {
    let dims = query.len();
    for (at, out) in out.iter_mut().enumerate() {
        // SAFETY: the caller promised the rows.
        *out = unsafe {
            block::<V, Q, R, OP, 1>(query.as_ptr(), [matrix.as_ptr().add(at * dims)], None, dims)[0]
        };
    }
}

/// The query against the rows `ids`, `N` at a time, the next `N` being fetched meanwhile.
///
/// # Safety
/// V's instructions are enabled, `matrix` holds the rows, of `query.len()` values, and `out` is as long as `ids`.
#[inline(always)]
pub(super) unsafe fn chosen<V: Load<Q> + Load<R>, Q, R, const OP: u8, const N: usize>(
    query: &[Q],
    matrix: &[R],
    ids: &[u32],
    out: &mut [f32],
) {
    let dims = query.len();
    let row = |id: u32| matrix.as_ptr().wrapping_add(id as usize * dims);
    let (groups, rest) = ids.as_chunks::<N>();
    let (out_groups, out_rest) = out.as_chunks_mut::<N>();
    for (at, (ids, out)) in groups.iter().zip(out_groups).enumerate() {
        let next = groups.get(at + 1).map(|ids| ids.map(row));
        // SAFETY: the caller promised the rows.
        *out = unsafe { block::<V, Q, R, OP, N>(query.as_ptr(), ids.map(row), next, dims) };
    }
    for (&id, out) in rest.iter().zip(out_rest) {
        // SAFETY: the caller promised the rows.
        *out = unsafe { block::<V, Q, R, OP, 1>(query.as_ptr(), [row(id)], None, dims)[0] };
    }
}

/// The functions that an instruction set puts into its table: the loops above inside `#[target_feature]`.
macro_rules! float_kernels {
    ($features:literal, $lanes:ty, $rows:literal) => {
        mod float_kernels {
            use super::*;
            use crate::distance::dispatch::Float;
            use crate::distance::loops::{DOT, L2, Load, chosen, each, pair, products as of_both};

            #[target_feature(enable = $features)]
            fn dot<Q, R>(a: &[Q], b: &[R]) -> f32
            where
                $lanes: Load<Q> + Load<R>,
            {
                // SAFETY: the instructions are enabled here.
                unsafe { pair::<$lanes, Q, R, DOT>(a, b) }
            }

            #[target_feature(enable = $features)]
            fn l2_squared<Q, R>(a: &[Q], b: &[R]) -> f32
            where
                $lanes: Load<Q> + Load<R>,
            {
                // SAFETY: the instructions are enabled here.
                unsafe { pair::<$lanes, Q, R, L2>(a, b) }
            }

            #[target_feature(enable = $features)]
            fn products<Q, R>(a: &[Q], b: &[R]) -> [f32; 3]
            where
                $lanes: Load<Q> + Load<R>,
            {
                // SAFETY: the instructions are enabled here.
                unsafe { of_both::<$lanes, Q, R>(a, b) }
            }

            #[target_feature(enable = $features)]
            unsafe fn rows<Q, R, const OP: u8>(query: &[Q], matrix: &[R], out: &mut [f32])
            where
                $lanes: Load<Q> + Load<R>,
            {
                // SAFETY: the instructions are enabled here; the caller promises the rows.
                unsafe { each::<$lanes, Q, R, OP>(query, matrix, out) }
            }

            #[target_feature(enable = $features)]
            unsafe fn gather<Q, R, const OP: u8>(query: &[Q], matrix: &[R], ids: &[u32], out: &mut [f32])
            where
                $lanes: Load<Q> + Load<R>,
            {
                // SAFETY: the instructions are enabled here; the caller promises the rows.
                unsafe { chosen::<$lanes, Q, R, OP, $rows>(query, matrix, ids, out) }
            }

            pub(in crate::distance) const fn table<Q, R>() -> Float<Q, R>
            where
                $lanes: Load<Q> + Load<R>,
            {
                Float {
                    dot,
                    l2_squared,
                    products,
                    dot_rows: rows::<Q, R, DOT>,
                    l2_squared_rows: rows::<Q, R, L2>,
                    dot_gather: gather::<Q, R, DOT>,
                    l2_squared_gather: gather::<Q, R, L2>,
                }
            }
        }
    };
}
pub(super) use float_kernels;
