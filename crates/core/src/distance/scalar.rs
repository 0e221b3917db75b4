//! The definition of every distance, one plain loop each. The fast paths are tested against these.

use half::f16;

use super::dispatch::{Float, Kernels};
use super::panels::{GROUP, Line, PANEL};

/// A value that distances can be computed of.
pub trait Value: Copy {
    /// The same number as f32.
    fn f32(self) -> f32;
}

impl Value for f32 {
    fn f32(self) -> f32 {
        self
    }
}

impl Value for f16 {
    fn f32(self) -> f32 {
        self.to_f32()
    }
}

/// The inner product.
pub fn dot<Q: Value, R: Value>(a: &[Q], b: &[R]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x.f32() * y.f32()).sum()
}

/// The squared Euclidean distance.
pub fn l2_squared<Q: Value, R: Value>(a: &[Q], b: &[R]) -> f32 {
    let squared = |difference: f32| difference * difference;
    a.iter().zip(b).map(|(x, y)| squared(x.f32() - y.f32())).sum()
}

/// What a cosine is made of: `[a·b, a·a, b·b]`.
pub fn products<Q: Value, R: Value>(a: &[Q], b: &[R]) -> [f32; 3] {
    let both = a.len().min(b.len());
    let (a, b) = (&a[..both], &b[..both]);
    [dot(a, b), dot(a, a), dot(b, b)]
}

/// The cosine; 0 if either vector has no length.
pub fn cosine<Q: Value, R: Value>(a: &[Q], b: &[R]) -> f32 {
    cosine_of(products(a, b))
}

/// The cosine from `[a·b, a·a, b·b]`.
#[inline]
pub(super) fn cosine_of([ab, aa, bb]: [f32; 3]) -> f32 {
    let squared = aa * bb;
    if squared.is_normal() {
        return ab / squared.sqrt();
    }
    // The product of two squared lengths easily leaves the range of f32 where the lengths do not.
    let norms = (f64::from(aa) * f64::from(bb)).sqrt();
    // Not `norms > 0`: NaN has to come through.
    if norms == 0.0 {
        0.0
    } else {
        (f64::from(ab) / norms) as f32
    }
}

/// [`dot`] of the query with each row.
pub fn dot_rows<Q: Value, R: Value>(query: &[Q], matrix: &[R], scores: &mut [f32]) {
    for (row, score) in scores.iter_mut().enumerate() {
        *score = dot(query, &matrix[row * query.len()..][..query.len()]);
    }
}

/// [`l2_squared`] of the query and each row.
pub fn l2_squared_rows<Q: Value, R: Value>(query: &[Q], matrix: &[R], distances: &mut [f32]) {
    for (row, distance) in distances.iter_mut().enumerate() {
        *distance = l2_squared(query, &matrix[row * query.len()..][..query.len()]);
    }
}

/// [`dot`] of the query with each row that `ids` names.
pub fn dot_gather<Q: Value, R: Value>(query: &[Q], matrix: &[R], ids: &[u32], scores: &mut [f32]) {
    for (&row, score) in ids.iter().zip(scores) {
        *score = dot(query, &matrix[row as usize * query.len()..][..query.len()]);
    }
}

/// [`l2_squared`] of the query and each row that `ids` names.
pub fn l2_squared_gather<Q: Value, R: Value>(query: &[Q], matrix: &[R], ids: &[u32], distances: &mut [f32]) {
    for (&row, distance) in ids.iter().zip(distances) {
        *distance = l2_squared(query, &matrix[row as usize * query.len()..][..query.len()]);
    }
}

/// The inner product of i8 vectors, modulo 2^32: exact up to 131,071 dims.
pub fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    let products = a.iter().zip(b).map(|(&x, &y)| i32::from(x) * i32::from(y));
    products.fold(0, i32::wrapping_add)
}

/// Products of a query with the rows of panels; see [`super::BytePanels`].
pub(super) fn dot_panels(query: &[[i8; GROUP]], panels: &[Line], out: &mut [[i32; PANEL]]) {
    let panels = panels.chunks_exact(query.len().max(1));
    for (out, panel) in out.iter_mut().zip(panels) {
        out.fill(0);
        for (values, rows) in query.iter().zip(panel) {
            for (sum, row) in out.iter_mut().zip(rows.0) {
                let row = row.map(|byte| (byte ^ 128).cast_signed());
                *sum = sum.wrapping_add(dot_i8(values, &row));
            }
        }
    }
}

/// The squared Euclidean distance of i8 vectors, modulo 2^32: exact up to 33,025 dims.
pub fn l2_squared_i8(a: &[i8], b: &[i8]) -> i32 {
    let differences = a.iter().zip(b).map(|(&x, &y)| i32::from(x) - i32::from(y));
    differences.fold(0, |sum, difference| sum.wrapping_add(difference * difference))
}

/// The number of differing bits.
pub fn hamming(a: &[u8], b: &[u8]) -> u32 {
    a.iter().zip(b).map(|(x, y)| (x ^ y).count_ones()).sum()
}

/// For each row of `ids` the inner product of the query with its half bytes; see [`super::nibble_sums_gather`].
pub fn nibble_sums_gather(query: &[i8], rows: &[u8], stride: usize, ids: &[u32], out: &mut [i32]) {
    let (low, high) = query.split_at(stride);
    for (id, out) in ids.iter().zip(out) {
        let row = &rows[*id as usize * stride..][..stride];
        let both = row.iter().zip(low.iter().zip(high));
        *out = both
            .map(|(byte, (low, high))| {
                i32::from(byte & 15) * i32::from(*low) + i32::from(byte >> 4) * i32::from(*high)
            })
            .sum();
    }
}

/// The table for machines without a faster one.
pub(super) const KERNELS: Kernels = Kernels {
    name: "scalar",
    f32: float(),
    f16: float(),
    mixed: float(),
    dot_i8,
    dot_panels,
    l2_squared_i8,
    hamming,
    nibble_sums_gather,
};

const fn float<Q: Value, R: Value>() -> Float<Q, R> {
    Float {
        dot,
        l2_squared,
        products,
        dot_rows,
        l2_squared_rows,
        dot_gather,
        l2_squared_gather,
    }
}
