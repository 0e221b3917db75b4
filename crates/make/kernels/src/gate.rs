//! Gated linear units (GLU Variants Improve Transformer, arXiv 2002.05202): GeGLU, SwiGLU.

use crate::activation::Activation;
use crate::simd::{Level, Simd, at_level};

/// Every row of `both` is a gate followed by as many values; `out` (`[rows, inner]`) becomes `activation(gate) * value`. The gate is used
/// up: it is left activated.
///
/// # Panics
/// If the lengths don't fit.
pub fn gate(level: Level, inner: usize, activation: Activation, both: &mut [f32], out: &mut [f32]) {
    assert_eq!(both.len(), 2 * out.len(), "a gate and a value for each output");
    if inner == 0 {
        return;
    }
    assert!(out.len().is_multiple_of(inner), "output is [rows, inner]");
    // SAFETY: levels come from `Level::available`; the lengths are checked above.
    unsafe { at_level!(level, rows(inner: usize, activation: Activation, both: &mut [f32], out: &mut [f32])) }
}

#[inline(always)]
unsafe fn rows<S: Simd>(inner: usize, activation: Activation, both: &mut [f32], out: &mut [f32]) {
    for (both, out) in both.chunks_exact_mut(2 * inner).zip(out.chunks_exact_mut(inner)) {
        let (gate, values) = both.split_at_mut(inner);
        // SAFETY: the caller's promise is passed on.
        unsafe { activation.map::<S>(gate) };
        out.iter_mut()
            .zip(gate.iter().zip(values.iter()))
            .for_each(|(out, (gate, value))| *out = gate * value);
    }
}
