//! Least squares with a ridge, and the rotation nearest to a map.

use kokeshi_core::eigen;

use crate::{polar, product};

/// Least squares of old vectors by new ones.
pub(super) struct LeastSquares {
    /// What is between the two, on the axes of the new vectors: `[n, m]`.
    turned: Vec<f32>,
    /// These axes, `[n, n]`, and their squares.
    axes: Vec<f32>,
    squares: Vec<f64>,
    n: usize,
    m: usize,
}

impl LeastSquares {
    pub(super) fn of(new: &[f32], old: &[f32], n: usize, m: usize) -> Self {
        let mut square = vec![0.0; n * n];
        product::by_columns(new, new, n, n, &mut square);
        let mut cross = vec![0.0; n * m];
        product::by_columns(new, old, n, m, &mut cross);
        let found = eigen::symmetric(square.iter().map(|&value| f64::from(value)).collect(), n);
        let axes: Vec<f32> = found.vectors.iter().map(|&value| value as f32).collect();
        let mut turned = vec![0.0; n * m];
        product::plain(&axes, &cross, n, m, &mut turned);
        Self {
            turned,
            axes,
            squares: found.values,
            n,
            m,
        }
    }

    /// The map `[m, n]` with a ridge of so many mean squares.
    pub(super) fn map(&self, ridge: f64) -> Vec<f32> {
        let least = ridge * self.squares.iter().sum::<f64>() / self.n as f64;
        let mut scaled = self.turned.clone();
        for (row, square) in scaled.chunks_exact_mut(self.m).zip(&self.squares) {
            let inverse = (1.0 / (square.max(0.0) + least).max(f64::MIN_POSITIVE)) as f32;
            row.iter_mut().for_each(|value| *value *= inverse);
        }
        // (axes^T scaled)^T
        let mut map = vec![0.0; self.m * self.n];
        product::by_columns(&scaled, &self.axes, self.m, self.n, &mut map);
        map
    }
}

/// The rotation nearest to a map `[m, n]`; the narrower side is filled up with zeros.
pub(super) fn rotation(map: &[f32], n: usize, m: usize) -> Vec<f32> {
    let width = n.max(m);
    let mut square = vec![0.0; width * width];
    for (wide, row) in square.chunks_exact_mut(width).zip(map.chunks_exact(n)) {
        wide[..n].copy_from_slice(row);
    }
    let mut identity = vec![0.0; width * width];
    (0..width).for_each(|at| identity[at * width + at] = 1.0);
    let turned = polar::nearest_orthogonal(&square, &identity, width);
    turned
        .chunks_exact(width)
        .take(m)
        .flat_map(|row| &row[..n])
        .copied()
        .collect()
}
