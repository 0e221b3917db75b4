//! What training needs beside the forward kernels: values that are kept for the way back, and the way back itself.
//!
//! Every function works on rows of a row-major matrix, in place where it can.

use crate::activation::{Activation, exp};
use crate::simd::{Level, Simd, at_level};

/// Adds `bias` (`[cols]`) to every row of `x`.
///
/// # Panics
/// If the lengths don't fit.
pub fn add_bias(level: Level, x: &mut [f32], bias: &[f32]) {
    if bias.is_empty() {
        return;
    }
    assert!(x.len().is_multiple_of(bias.len()), "input is [rows, cols]");
    // SAFETY: levels come from `Level::available`.
    unsafe { at_level!(level, bias_rows(x: &mut [f32], bias: &[f32])) }
}

#[inline(always)]
unsafe fn bias_rows<S: Simd>(x: &mut [f32], bias: &[f32]) {
    for row in x.chunks_exact_mut(bias.len()) {
        row.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
    }
}

/// Adds every row of `x` to `sums` (`[cols]`): a bias's gradient.
///
/// # Panics
/// If the lengths don't fit.
pub fn add_rows(level: Level, x: &[f32], sums: &mut [f32]) {
    if sums.is_empty() {
        return;
    }
    assert!(x.len().is_multiple_of(sums.len()), "input is [rows, cols]");
    // SAFETY: levels come from `Level::available`.
    unsafe { at_level!(level, sum_rows(x: &[f32], sums: &mut [f32])) }
}

#[inline(always)]
unsafe fn sum_rows<S: Simd>(x: &[f32], sums: &mut [f32]) {
    for row in x.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}

/// `to += from`
///
/// # Panics
/// If the lengths differ.
pub fn add(level: Level, from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len(), "as many values");
    // SAFETY: levels come from `Level::available`.
    unsafe { at_level!(level, plus(from: &[f32], to: &mut [f32])) }
}

#[inline(always)]
unsafe fn plus<S: Simd>(from: &[f32], to: &mut [f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

/// The sum of squares, in f64 over blocks, so that it does not depend on the instruction set by more than rounding.
pub fn squares(level: Level, x: &[f32]) -> f64 {
    let mut sum = 0.0;
    let out = &mut sum;
    // SAFETY: levels come from `Level::available`.
    unsafe { at_level!(level, square_sum(x: &[f32], out: &mut f64)) }
    sum
}

#[inline(always)]
unsafe fn square_sum<S: Simd>(x: &[f32], out: &mut f64) {
    for block in x.chunks(4096) {
        // SAFETY: every load is inside the block.
        unsafe {
            let mut sum = S::splat(0.0);
            let mut vectors = block.chunks_exact(S::W);
            for vector in &mut vectors {
                let value = S::load(vector.as_ptr());
                sum = S::fma(value, value, sum);
            }
            let rest: f32 = vectors.remainder().iter().map(|value| value * value).sum();
            *out += f64::from(S::sum(sum)) + f64::from(rest);
        }
    }
}

/// Writes `activation(x)` to `out`.
///
/// # Panics
/// If the lengths differ.
pub fn activate(level: Level, activation: Activation, x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "as many values");
    // SAFETY: levels come from `Level::available`; the lengths are checked above.
    unsafe { at_level!(level, activations(activation: Activation, x: &[f32], out: &mut [f32])) }
}

/// Multiplies `gradient` by the activation's slope at `x`.
///
/// # Panics
/// If the lengths differ.
pub fn activate_backward(level: Level, activation: Activation, x: &[f32], gradient: &mut [f32]) {
    assert_eq!(x.len(), gradient.len(), "as many values");
    // SAFETY: levels come from `Level::available`; the lengths are checked above.
    unsafe { at_level!(level, slopes(activation: Activation, x: &[f32], gradient: &mut [f32])) }
}

/// Runs `$body` for every vector of `$len` values: `$at` is where it starts, `$count` how many of its values there are.
macro_rules! vectors {
    ($len:expr, |$at:ident, $count:ident| $body:expr) => {{
        let mut $at = 0;
        while $at < $len {
            let $count = ($len - $at).min(S::W);
            $body;
            $at += S::W;
        }
    }};
}

#[inline(always)]
unsafe fn load<S: Simd>(from: *const f32, count: usize) -> S::V {
    // SAFETY: the caller promises `count` values.
    unsafe {
        match count == S::W {
            true => S::load(from),
            false => S::load_part(from, count),
        }
    }
}

#[inline(always)]
unsafe fn store<S: Simd>(to: *mut f32, value: S::V, count: usize) {
    // SAFETY: the caller promises room for `count` values.
    unsafe {
        match count == S::W {
            true => S::store(to, value),
            false => S::store_part(to, value, count),
        }
    }
}

/// Calls a function of an activation where the activation is a constant, so that nothing is decided inside the loop.
macro_rules! each_activation {
    ($activation:expr, $run:ident) => {
        match $activation {
            Activation::Identity => $run!(Activation::Identity),
            Activation::Gelu => $run!(Activation::Gelu),
            Activation::GeluTanh => $run!(Activation::GeluTanh),
            Activation::Relu => $run!(Activation::Relu),
            Activation::Silu => $run!(Activation::Silu),
            Activation::Tanh => $run!(Activation::Tanh),
            Activation::Sigmoid => $run!(Activation::Sigmoid),
        }
    };
}

#[inline(always)]
unsafe fn activations<S: Simd>(activation: Activation, x: &[f32], out: &mut [f32]) {
    let (len, x, out) = (x.len(), x.as_ptr(), out.as_mut_ptr());
    macro_rules! run {
        ($which:expr) => {
            // SAFETY: `at + count <= len`, the length of both slices.
            vectors!(len, |at, count| unsafe {
                store::<S>(
                    out.add(at),
                    $which.apply::<S>(load::<S>(x.add(at), count)),
                    count,
                )
            })
        };
    }
    each_activation!(activation, run);
}

#[inline(always)]
unsafe fn slopes<S: Simd>(activation: Activation, x: &[f32], gradient: &mut [f32]) {
    let (len, x, gradient) = (x.len(), x.as_ptr(), gradient.as_mut_ptr());
    macro_rules! run {
        ($which:expr) => {
            // SAFETY: `at + count <= len`, the length of both slices.
            vectors!(len, |at, count| unsafe {
                let slope = $which.slope::<S>(load::<S>(x.add(at), count));
                let value = S::mul(load::<S>(gradient.add(at), count), slope);
                store::<S>(gradient.add(at), value, count)
            })
        };
    }
    each_activation!(activation, run);
}

/// LayerNorm that keeps what its backward half needs: every row of `x` becomes `(x - mean) / sqrt(variance + epsilon)`, `inverse` (`[rows]`) the
/// factor of that, and `out` what LayerNorm gives: the same times `weight` plus `bias`.
///
/// # Panics
/// If the lengths don't fit.
pub fn layer_norm_keeping(
    level: Level,
    x: &mut [f32],
    [weight, bias]: [&[f32]; 2],
    epsilon: f32,
    inverse: &mut [f32],
    out: &mut [f32],
) {
    assert_eq!(weight.len(), bias.len(), "weight and bias are [cols]");
    assert!(
        x.len() == inverse.len() * weight.len() && x.len() == out.len(),
        "input and output are [rows, cols]"
    );
    // SAFETY: levels come from `Level::available`; the lengths are checked above.
    unsafe {
        at_level!(
            level,
            norm_rows(x: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32, inverse: &mut [f32], out: &mut [f32])
        )
    }
}

#[inline(always)]
unsafe fn norm_rows<S: Simd>(
    x: &mut [f32],
    weight: &[f32],
    bias: &[f32],
    epsilon: f32,
    inverse: &mut [f32],
    out: &mut [f32],
) {
    let cols = weight.len();
    let (weight, bias) = (weight.as_ptr(), bias.as_ptr());
    for (row, inverse) in inverse.iter_mut().enumerate() {
        // SAFETY: `at + count <= cols`; row, weight, bias and output are that long.
        unsafe {
            let x = x.as_mut_ptr().add(row * cols);
            let out = out.as_mut_ptr().add(row * cols);
            let mut sum = S::splat(0.0);
            vectors!(cols, |at, count| sum = S::add(sum, load::<S>(x.add(at), count)));
            let mean = S::sum(sum) / cols as f32;
            let mut squares = S::splat(0.0);
            vectors!(cols, |at, count| {
                let value = S::sub(load::<S>(x.add(at), count), S::splat(mean));
                store::<S>(x.add(at), value, count);
                // Loaded again, so that lanes past the row's end are zeros.
                let value = load::<S>(x.add(at), count);
                squares = S::fma(value, value, squares);
            });
            *inverse = 1.0 / (S::sum(squares) / cols as f32 + epsilon).sqrt();
            let scale = S::splat(*inverse);
            vectors!(cols, |at, count| {
                let value = S::mul(load::<S>(x.add(at), count), scale);
                store::<S>(x.add(at), value, count);
                let weight = load::<S>(weight.add(at), count);
                let value = S::fma(value, weight, load::<S>(bias.add(at), count));
                store::<S>(out.add(at), value, count);
            });
        }
    }
}

/// The backward half of [`layer_norm_keeping`]: `normed` and `inverse` are what it kept, `gradient` becomes that of its input, and those of
/// weight and bias are added to `to_weight` and `to_bias`.
///
/// # Panics
/// If the lengths don't fit.
pub fn layer_norm_backward(
    level: Level,
    normed: &[f32],
    inverse: &[f32],
    weight: &[f32],
    gradient: &mut [f32],
    [to_weight, to_bias]: [&mut [f32]; 2],
) {
    let cols = weight.len();
    assert!(
        normed.len() == inverse.len() * cols && normed.len() == gradient.len(),
        "rows are [rows, cols]"
    );
    assert!(
        to_weight.len() == cols && to_bias.len() == cols,
        "gradients are [cols]"
    );
    // SAFETY: levels come from `Level::available`; the lengths are checked above.
    unsafe {
        at_level!(
            level,
            norm_backward(normed: &[f32], inverse: &[f32], weight: &[f32], gradient: &mut [f32], to_weight: &mut [f32], to_bias: &mut [f32])
        )
    }
}

#[inline(always)]
unsafe fn norm_backward<S: Simd>(
    normed: &[f32],
    inverse: &[f32],
    weight: &[f32],
    gradient: &mut [f32],
    to_weight: &mut [f32],
    to_bias: &mut [f32],
) {
    let cols = weight.len();
    let (weight, to_weight, to_bias) = (weight.as_ptr(), to_weight.as_mut_ptr(), to_bias.as_mut_ptr());
    for (row, inverse) in inverse.iter().enumerate() {
        // SAFETY: `at + count <= cols`; all rows are that long.
        unsafe {
            let normed = normed.as_ptr().add(row * cols);
            let gradient = gradient.as_mut_ptr().add(row * cols);
            let (mut mean, mut along) = (S::splat(0.0), S::splat(0.0));
            vectors!(cols, |at, count| {
                let (given, value) = (
                    load::<S>(gradient.add(at), count),
                    load::<S>(normed.add(at), count),
                );
                let inner = S::mul(given, load::<S>(weight.add(at), count));
                mean = S::add(mean, inner);
                along = S::fma(inner, value, along);
                let sum = S::fma(given, value, load::<S>(to_weight.add(at), count));
                store::<S>(to_weight.add(at), sum, count);
                let sum = S::add(given, load::<S>(to_bias.add(at), count));
                store::<S>(to_bias.add(at), sum, count);
                store::<S>(gradient.add(at), inner, count);
            });
            let mean = S::splat(S::sum(mean) / cols as f32);
            let along = S::splat(-S::sum(along) / cols as f32);
            vectors!(cols, |at, count| {
                let inner = S::sub(load::<S>(gradient.add(at), count), mean);
                let value = S::fma(load::<S>(normed.add(at), count), along, inner);
                store::<S>(gradient.add(at), S::mul(value, S::splat(*inverse)), count);
            });
        }
    }
}

/// Every row of `x` (`[rows, cols]`) becomes `softmax(scale * row)`.
///
/// # Panics
/// If `x` is not whole rows.
pub fn softmax_rows(level: Level, x: &mut [f32], cols: usize, scale: f32) {
    if cols == 0 {
        return;
    }
    assert!(x.len().is_multiple_of(cols), "input is [rows, cols]");
    // SAFETY: levels come from `Level::available`; the lengths are checked above.
    unsafe { at_level!(level, softmaxes(x: &mut [f32], cols: usize, scale: f32)) }
}

#[inline(always)]
unsafe fn softmaxes<S: Simd>(x: &mut [f32], cols: usize, scale: f32) {
    for row in x.chunks_exact_mut(cols) {
        let mut most = f32::NEG_INFINITY;
        for value in row.iter_mut() {
            *value *= scale;
        }
        let at_row = row.as_mut_ptr();
        // SAFETY: `at + count <= cols`, the row's length.
        unsafe {
            if cols >= S::W {
                let mut best = S::load(at_row);
                let whole = cols / S::W * S::W;
                for at in (0..whole).step_by(S::W) {
                    best = S::max(best, S::load(at_row.add(at)));
                }
                most = S::largest(best);
                for value in &row[whole..] {
                    most = most.max(*value);
                }
            } else {
                for value in row.iter() {
                    most = most.max(*value);
                }
            }
            let mut sum = S::splat(0.0);
            vectors!(cols, |at, count| {
                let value = exp::<S>(S::sub(load::<S>(at_row.add(at), count), S::splat(most)));
                store::<S>(at_row.add(at), value, count);
                sum = S::add(sum, load::<S>(at_row.add(at), count));
            });
            let share = S::splat(1.0 / S::sum(sum));
            vectors!(cols, |at, count| {
                let value = S::mul(load::<S>(at_row.add(at), count), share);
                store::<S>(at_row.add(at), value, count);
            });
        }
    }
}

/// The backward half of [`softmax_rows`]: `gradient` becomes that of its input.
///
/// # Panics
/// If the lengths don't fit.
pub fn softmax_backward(level: Level, shares: &[f32], gradient: &mut [f32], cols: usize, scale: f32) {
    if cols == 0 {
        return;
    }
    assert!(
        shares.len() == gradient.len() && shares.len().is_multiple_of(cols),
        "rows are [rows, cols]"
    );
    // SAFETY: levels come from `Level::available`; the lengths are checked above.
    unsafe { at_level!(level, softmax_slopes(shares: &[f32], gradient: &mut [f32], cols: usize, scale: f32)) }
}

#[inline(always)]
unsafe fn softmax_slopes<S: Simd>(shares: &[f32], gradient: &mut [f32], cols: usize, scale: f32) {
    for (shares, gradient) in shares.chunks_exact(cols).zip(gradient.chunks_exact_mut(cols)) {
        let (shares, gradient) = (shares.as_ptr(), gradient.as_mut_ptr());
        // SAFETY: `at + count <= cols`, the length of both rows.
        unsafe {
            let mut along = S::splat(0.0);
            vectors!(cols, |at, count| along = S::fma(
                load::<S>(shares.add(at), count),
                load::<S>(gradient.add(at), count),
                along
            ));
            let along = S::splat(S::sum(along));
            vectors!(cols, |at, count| {
                let value = S::sub(load::<S>(gradient.add(at), count), along);
                let share = S::mul(load::<S>(shares.add(at), count), S::splat(scale));
                store::<S>(gradient.add(at), S::mul(value, share), count);
            });
        }
    }
}
