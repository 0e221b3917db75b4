//! The distance functions that the rest of Kokeshi calls: checks, then the kernel of this machine.

use half::f16;

use super::dispatch::kernels;
use super::scalar::cosine_of;

/// The instruction set in use: `scalar`, `avx2`, `avx512` or `neon`.
pub fn instruction_set() -> &'static str {
    kernels().name
}

/// The inner product of two vectors of equal length.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    // SAFETY: `kernels` gives only what this machine can run.
    unsafe { (kernels().f32.dot)(a, b) }
}

/// The squared Euclidean distance of two vectors of equal length.
#[inline]
pub fn l2_squared(a: &[f32], b: &[f32]) -> f32 {
    // SAFETY: `kernels` gives only what this machine can run.
    unsafe { (kernels().f32.l2_squared)(a, b) }
}

/// The cosine of the angle between two vectors; 0 if either has no length.
#[inline]
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    // SAFETY: `kernels` gives only what this machine can run.
    cosine_of(unsafe { (kernels().f32.products)(a, b) })
}

/// The inner product of two f16 vectors, summed in f32.
#[inline]
pub fn dot_f16(a: &[f16], b: &[f16]) -> f32 {
    // SAFETY: `kernels` gives only what this machine can run.
    unsafe { (kernels().f16.dot)(a, b) }
}

/// The squared Euclidean distance of two f16 vectors, summed in f32.
#[inline]
pub fn l2_squared_f16(a: &[f16], b: &[f16]) -> f32 {
    // SAFETY: `kernels` gives only what this machine can run.
    unsafe { (kernels().f16.l2_squared)(a, b) }
}

/// The cosine of the angle between two f16 vectors; 0 if either has no length.
#[inline]
pub fn cosine_f16(a: &[f16], b: &[f16]) -> f32 {
    // SAFETY: `kernels` gives only what this machine can run.
    cosine_of(unsafe { (kernels().f16.products)(a, b) })
}

/// The inner product of two i8 vectors, modulo 2^32: exact up to 131,071 dims.
#[inline]
pub fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    // SAFETY: `kernels` gives only what this machine can run.
    unsafe { (kernels().dot_i8)(a, b) }
}

/// The squared Euclidean distance of two i8 vectors, modulo 2^32: exact up to 33,025 dims.
#[inline]
pub fn l2_squared_i8(a: &[i8], b: &[i8]) -> i32 {
    // SAFETY: `kernels` gives only what this machine can run.
    unsafe { (kernels().l2_squared_i8)(a, b) }
}

/// The cosine of the angle between two i8 vectors; 0 if either has no length.
pub fn cosine_i8(a: &[i8], b: &[i8]) -> f32 {
    let both = a.len().min(b.len());
    let (a, b) = (&a[..both], &b[..both]);
    cosine_of([dot_i8(a, b), dot_i8(a, a), dot_i8(b, b)].map(|sum| sum as f32))
}

/// The number of differing bits.
#[inline]
pub fn hamming(a: &[u8], b: &[u8]) -> u32 {
    // SAFETY: `kernels` gives only what this machine can run.
    unsafe { (kernels().hamming)(a, b) }
}

/// Scales a vector to unit L2 length; one shorter than 1e-12 is left as it is, and so is one with a NaN.
pub fn normalize(vector: &mut [f32]) {
    let norm = dot(vector, vector).sqrt();
    if norm.is_finite() && norm > 1e-12 {
        for value in vector {
            *value /= norm;
        }
    } else if !norm.is_nan() {
        // Squares of values above 1.8e19 leave the range of f32 although the unit vector is well defined.
        let squares: f64 = vector.iter().map(|&value| f64::from(value).powi(2)).sum();
        if squares.sqrt() > 1e-12 {
            for value in vector {
                *value = (f64::from(*value) / squares.sqrt()) as f32;
            }
        }
    }
}

/// Panics unless the matrix is `[rows, dims]`: reading past it would be undefined.
#[track_caller]
fn check_rows(dims: usize, values: usize, rows: usize) {
    assert!(
        rows.checked_mul(dims) == Some(values),
        "a matrix of {values} values is not {rows} rows of {dims}"
    );
}

/// Panics unless every row of `ids` is in the matrix.
#[track_caller]
fn check_ids(dims: usize, values: usize, ids: &[u32], out: usize) {
    assert!(
        ids.len() == out,
        "{} rows were asked for, with room for {out}",
        ids.len()
    );
    let last = ids.iter().copied().max().map_or(0, |id| id as usize + 1);
    assert!(
        last.checked_mul(dims).is_some_and(|needed| needed <= values),
        "row {} is outside a matrix of {values} values, {dims} a row",
        last.saturating_sub(1)
    );
}

/// The cosine of `query` and every row of `matrix` (`[out.len(), query.len()]`). Rows of unit length need only [`dot_rows`].
///
/// # Panics
/// If the matrix has another shape.
pub fn cosine_rows(query: &[f32], matrix: &[f32], out: &mut [f32]) {
    check_rows(query.len(), matrix.len(), out.len());
    for (at, out) in out.iter_mut().enumerate() {
        *out = cosine(query, &matrix[at * query.len()..][..query.len()]);
    }
}

/// For each kind of row: the query against all rows, and against chosen rows.
macro_rules! scans {
    ($($doc:literal $rows:ident $gather:ident $kernels:ident . $rows_kernel:ident $gather_kernel:ident $row:ty;)*) => {$(
        #[doc = concat!($doc, " of `query` and every row of `matrix` (`[out.len(), query.len()]`, row after row).")]
        ///
        /// The inner loop of an exhaustive search. A row's result is the same as that of the function for one pair, bit for bit.
        ///
        /// # Panics
        /// If the matrix has another shape.
        pub fn $rows(query: &[f32], matrix: &[$row], out: &mut [f32]) {
            check_rows(query.len(), matrix.len(), out.len());
            // SAFETY: `kernels` gives only what this machine can run; the shape was checked.
            unsafe { (kernels().$kernels.$rows_kernel)(query, matrix, out) }
        }

        #[doc = concat!($doc, " of `query` and the rows `ids` of `matrix` (`[any, query.len()]`), in the order of `ids`.")]
        ///
        /// The rows of the next few ids are fetched while the current ones are computed: the inner loop of a graph search. Results
        /// are the same as those of the function for one pair, bit for bit.
        ///
        /// # Panics
        /// If a row is outside the matrix, or `out` is not as long as `ids`.
        pub fn $gather(query: &[f32], matrix: &[$row], ids: &[u32], out: &mut [f32]) {
            check_ids(query.len(), matrix.len(), ids, out.len());
            // SAFETY: `kernels` gives only what this machine can run; the rows were checked.
            unsafe { (kernels().$kernels.$gather_kernel)(query, matrix, ids, out) }
        }
    )*};
}

/// For each of the rows `ids` of `rows` the inner product of the query with numbers from 0 to 15, two to a byte. A row is `stride` bytes, a
/// multiple of 64. The query has a value for the lower half of each byte, and then one for the upper half of each.
///
/// # Panics
/// If the query is not twice as long as a row, the stride is not a multiple of 64, a row is outside `rows`, or `out` is not as long as `ids`.
pub fn nibble_sums_gather(query: &[i8], rows: &[u8], stride: usize, ids: &[u32], out: &mut [i32]) {
    assert!(stride.is_multiple_of(64), "rows are whole cache lines");
    assert_eq!(query.len(), 2 * stride, "the query has two values a byte");
    assert_eq!(ids.len(), out.len(), "there is one sum for each id");
    let last = ids.iter().max().map_or(0, |id| (*id as usize + 1) * stride);
    assert!(last <= rows.len(), "rows are inside the matrix");
    // SAFETY: `kernels` gives only what this machine can run; the rows were checked.
    unsafe { (kernels().nibble_sums_gather)(query, rows, stride, ids, out) }
}

scans! {
    "The inner product" dot_rows dot_gather f32.dot_rows dot_gather f32;
    "The squared Euclidean distance" l2_squared_rows l2_squared_gather f32.l2_squared_rows l2_squared_gather f32;
    "The inner product" dot_rows_f16 dot_gather_f16 mixed.dot_rows dot_gather f16;
    "The squared Euclidean distance" l2_squared_rows_f16 l2_squared_gather_f16 mixed.l2_squared_rows l2_squared_gather f16;
}
