//! Rotary positions (RoFormer, arXiv 2104.09864) in the half layout: dimension `d` of a head turns with dimension `d + half`.

use crate::simd::{Level, Simd, at_level};

/// Rows of heads that are turned in place.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a> {
    /// From one row to the next.
    pub stride: usize,
    /// How many heads of a row are turned, from its start.
    pub heads: usize,
    /// Width of a head.
    pub head_dims: usize,
    /// Half of the dimensions that turn; those from `2 * half` on stay.
    pub half: usize,
    /// Cosines of the angles: `[rows, half]`.
    pub cosines: &'a [f32],
    /// Sines of the angles: `[rows, half]`.
    pub sines: &'a [f32],
}

/// Turns every row of `x`: `a, b` becomes `a cos - b sin, b cos + a sin`.
///
/// # Panics
/// If the lengths don't fit.
pub fn rotate(level: Level, turn: Turn<'_>, x: &mut [f32]) {
    assert_eq!(turn.cosines.len(), turn.sines.len(), "angles are [rows, half]");
    assert!(2 * turn.half <= turn.head_dims, "what turns is inside a head");
    if turn.half == 0 || turn.cosines.is_empty() {
        return;
    }
    let rows = turn.cosines.len() / turn.half;
    let needed = (rows - 1) * turn.stride + turn.heads * turn.head_dims;
    assert!(x.len() >= needed, "x is [rows, stride]");
    // SAFETY: levels come from `Level::available`; the lengths are checked above.
    unsafe { at_level!(level, all(turn: Turn<'_>, x: &mut [f32])) }
}

#[inline(always)]
unsafe fn all<S: Simd>(turn: Turn<'_>, x: &mut [f32]) {
    let angles = turn
        .cosines
        .chunks_exact(turn.half)
        .zip(turn.sines.chunks_exact(turn.half));
    for (row, (cosines, sines)) in angles.enumerate() {
        for head in 0..turn.heads {
            let head = &mut x[row * turn.stride + head * turn.head_dims..][..2 * turn.half];
            let (low, high) = head.split_at_mut(turn.half);
            let mut at = 0;
            while at < turn.half {
                let count = (turn.half - at).min(S::W);
                // SAFETY: `count` values are left in all four slices, which are `half` long.
                unsafe {
                    let (low, high) = (low.as_mut_ptr().add(at), high.as_mut_ptr().add(at));
                    let load = |from: *const f32| {
                        if count == S::W {
                            S::load(from)
                        } else {
                            S::load_part(from, count)
                        }
                    };
                    let (a, b) = (load(low), load(high));
                    let (cosine, sine) = (load(cosines.as_ptr().add(at)), load(sines.as_ptr().add(at)));
                    let turned_a = S::sub(S::mul(a, cosine), S::mul(b, sine));
                    let turned_b = S::fma(b, cosine, S::mul(a, sine));
                    if count == S::W {
                        S::store(low, turned_a);
                        S::store(high, turned_b);
                    } else {
                        S::store_part(low, turned_a, count);
                        S::store_part(high, turned_b, count);
                    }
                }
                at += S::W;
            }
        }
    }
}
