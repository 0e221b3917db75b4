//! The shared numeric fixture's block of cross-attention: 4 dims, 2 heads of 2, half of `g` as weights, norms that only normalise.

use std::ops::Range;

use kokeshi_encode::{Cross, CrossKind};
use kokeshi_train::tape::{Matrix, Tape};
use kokeshi_train::{CrossPooling, Leaves};

use super::net::g;

/// Width of a state.
pub(crate) const DIMS: usize = 4;

/// The pooling of a kind with its matrices: latents of tag 31 for tokens, of 42 for layers.
pub(crate) fn fixture(kind: CrossKind) -> (CrossPooling, Vec<Matrix>) {
    let (tag, latents) = match kind {
        CrossKind::Latent => (31, 3),
        CrossKind::Layers => (42, 5),
    };
    let half = |tag, rows, cols| g(tag, rows, cols).scaled(0.5);
    let (one, zero) = (Matrix::new(1, DIMS, vec![1.0; DIMS]), Matrix::zeros(1, DIMS));
    let norm = || [one.clone(), zero.clone()];
    let mut parts = vec![g(tag, latents, DIMS)];
    parts.extend(norm());
    parts.extend(norm());
    parts.extend([half(32, 4, 4), half(33, 8, 4), half(34, 4, 4)]);
    parts.extend(norm());
    parts.extend([half(35, 32, 4), Matrix::zeros(1, 32), half(36, 4, 16), zero]);
    if kind == CrossKind::Layers {
        parts.push(g(41, 3, DIMS));
    }
    let cross = Cross {
        kind,
        latents,
        heads: 2,
        head_dims: 2,
    };
    (CrossPooling::new(cross, DIMS, 3), parts)
}

/// Texts of `rows` pooled and made unit length: `[texts, DIMS]`.
pub(crate) fn pool(
    (pooling, parts): &(CrossPooling, Vec<Matrix>),
    rows: &Matrix,
    texts: &[Range<usize>],
) -> Matrix {
    let mut tape = Tape::default();
    let leaves = parts.iter().map(|part| tape.constant(part.clone()));
    let leaves = Leaves(leaves.collect());
    let rows = tape.constant(rows.clone());
    let pooled = pooling.pool(&mut tape, &leaves, rows, texts);
    let unit = tape.unit(pooled);
    tape.value(unit).clone()
}

/// The largest difference between values.
pub(crate) fn apart(found: &[f32], expected: &[f32]) -> f64 {
    let pairs = found.iter().zip(expected);
    pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
}
