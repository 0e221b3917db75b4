//! The orthogonal matrix nearest to a given one (the polar factor, which solves Procrustes' problem), by Newton and Schulz's iteration:
//! X <- 1.5 X - 0.5 X X^T X. Only products, no decomposition.

use crate::product;

/// The orthogonal matrix nearest to `matrix` (`[n, n]`): U V^T of its singular value decomposition. Directions in which the matrix is
/// nearly zero are taken from `previous` (`[n, n]`, orthogonal).
pub(crate) fn nearest_orthogonal(matrix: &[f32], previous: &[f32], n: usize) -> Vec<f32> {
    let norm = |matrix: &[f32]| {
        let squares: f64 = matrix.iter().map(|&value| f64::from(value).powi(2)).sum();
        squares.sqrt() as f32
    };
    let length = norm(matrix).max(f32::MIN_POSITIVE);
    // A thousandth of the mean singular value: it moves the solution by less than rounding does where the matrix says something.
    let little = 1e-3 / (n as f32).sqrt() / (n as f32).sqrt();
    let mut x: Vec<f32> = matrix
        .iter()
        .zip(previous)
        .map(|(value, old)| value / length + little * old)
        .collect();
    let scale = 1.0 / norm(&x).max(f32::MIN_POSITIVE);
    x.iter_mut().for_each(|value| *value *= scale);
    let mut square = vec![0.0; n * n];
    let mut cube = vec![0.0; n * n];
    // Small singular values grow by half a step: 60 steps reach 1 from 1e-9.
    for _ in 0..60 {
        product::by_rows(&x, &x, n, &mut square);
        let mut off = 0.0_f64;
        for (at, value) in square.iter().enumerate() {
            let expected = if at % (n + 1) == 0 { 1.0 } else { 0.0 };
            off = off.max((f64::from(*value) - expected).abs());
        }
        product::plain(&square, &x, n, n, &mut cube);
        for (value, cube) in x.iter_mut().zip(&cube) {
            *value = 1.5 * *value - 0.5 * cube;
        }
        if off < 1e-4 {
            // Convergence is quadratic: this step left rounding errors only.
            break;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use kokeshi_core::Seed;

    #[test]
    fn a_rotation_is_found_again_behind_a_stretched_and_singular_matrix() {
        let n = 24;
        let mut seed = Seed(6);
        let mut identity = vec![0.0; n * n];
        (0..n).for_each(|at| identity[at * n + at] = 1.0);
        let random: Vec<f32> = (0..n * n).map(|_| seed.normal() as f32).collect();
        let rotation = nearest_orthogonal(&random, &identity, n);
        let mut square = vec![0.0; n * n];
        product::by_rows(&rotation, &rotation, n, &mut square);
        assert!(square.iter().zip(&identity).all(|(a, b)| (a - b).abs() < 1e-5));
        // rotation * diag(1, .5, .25, ...): its polar factor is the rotation; where it is zero the previous one decides.
        let stretched: Vec<f32> = (0..n * n)
            .map(|at| {
                rotation[at]
                    * if at % n < n - 2 {
                        0.7_f32.powi((at % n) as i32)
                    } else {
                        0.0
                    }
            })
            .collect();
        let found = nearest_orthogonal(&stretched, &rotation, n);
        for (a, b) in found.iter().zip(&rotation) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
    }
}
