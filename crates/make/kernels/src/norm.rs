//! LayerNorm (arXiv 1607.06450) and RMSNorm (arXiv 1910.07467), in place.

use crate::simd::{Level, Simd, at_level};

/// Every row of `x` (`[rows, weight.len()]`) becomes `(x - mean) / sqrt(variance + epsilon) * weight + bias`.
///
/// # Panics
/// If the lengths don't fit.
pub fn layer_norm(level: Level, x: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    assert_eq!(weight.len(), bias.len(), "weight and bias are [dims]");
    if weight.is_empty() {
        return;
    }
    assert!(x.len().is_multiple_of(weight.len()), "input is [rows, dims]");
    // SAFETY: levels come from `Level::available`; the lengths are checked above.
    unsafe { at_level!(level, rows(x: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32)) }
}

/// Every row of `x` (`[rows, weight.len()]`) becomes `x / sqrt(mean of squares + epsilon) * weight`.
///
/// # Panics
/// If the lengths don't fit.
pub fn rms_norm(level: Level, x: &mut [f32], weight: &[f32], epsilon: f32) {
    if weight.is_empty() {
        return;
    }
    assert!(x.len().is_multiple_of(weight.len()), "input is [rows, dims]");
    // SAFETY: levels come from `Level::available`; the lengths are checked above.
    unsafe { at_level!(level, rms_rows(x: &mut [f32], weight: &[f32], epsilon: f32)) }
}

/// As many as the widest vector.
static ONES: [f32; 16] = [1.0; 16];

/// Runs `$body` for every vector of a row: `$at` is its column, `$count` how many of its values are inside the row.
macro_rules! columns {
    ($dims:expr, |$at:ident, $count:ident| $body:expr) => {{
        let mut $at = 0;
        while $at < $dims {
            let $count = ($dims - $at).min(S::W);
            $body;
            $at += S::W;
        }
    }};
}

#[inline(always)]
unsafe fn rows<S: Simd>(x: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    let dims = weight.len();
    for row in x.chunks_exact_mut(dims) {
        let at_row = row.as_mut_ptr();
        // SAFETY: `at + count <= dims`, the length of row, weight and bias.
        unsafe {
            let mut sum = S::splat(0.0);
            columns!(dims, |at, count| sum =
                S::add(sum, load::<S>(at_row.add(at), count)));
            let mean = S::sum(sum) / dims as f32;
            let centre = S::splat(mean);
            let mut squares = S::splat(0.0);
            columns!(dims, |at, count| {
                let value = S::sub(load::<S>(at_row.add(at), count), centre);
                // Lanes past the row's end must not count.
                let value = if count == S::W {
                    value
                } else {
                    S::mul(value, S::load_part(ONES.as_ptr(), count))
                };
                squares = S::fma(value, value, squares);
            });
            let variance = S::sum(squares) / dims as f32;
            let scale = S::splat(1.0 / (variance + epsilon).sqrt());
            columns!(dims, |at, count| {
                let value = S::mul(S::sub(load::<S>(at_row.add(at), count), centre), scale);
                let value = S::fma(
                    value,
                    load::<S>(weight.as_ptr().add(at), count),
                    load::<S>(bias.as_ptr().add(at), count),
                );
                if count == S::W {
                    S::store(at_row.add(at), value);
                } else {
                    S::store_part(at_row.add(at), value, count);
                }
            });
        }
    }
}

#[inline(always)]
unsafe fn rms_rows<S: Simd>(x: &mut [f32], weight: &[f32], epsilon: f32) {
    let dims = weight.len();
    for row in x.chunks_exact_mut(dims) {
        let at_row = row.as_mut_ptr();
        // SAFETY: `at + count <= dims`, the length of row and weight.
        unsafe {
            let mut squares = S::splat(0.0);
            columns!(dims, |at, count| {
                let value = load::<S>(at_row.add(at), count);
                squares = S::fma(value, value, squares);
            });
            let scale = S::splat(1.0 / (S::sum(squares) / dims as f32 + epsilon).sqrt());
            columns!(dims, |at, count| {
                let value = S::mul(load::<S>(at_row.add(at), count), scale);
                let value = S::mul(value, load::<S>(weight.as_ptr().add(at), count));
                if count == S::W {
                    S::store(at_row.add(at), value);
                } else {
                    S::store_part(at_row.add(at), value, count);
                }
            });
        }
    }
}

#[inline(always)]
unsafe fn load<S: Simd>(from: *const f32, count: usize) -> S::V {
    // SAFETY: the caller promises `count` values.
    unsafe {
        if count == S::W {
            S::load(from)
        } else {
            S::load_part(from, count)
        }
    }
}
