//! Principal components: the rotation in which the first dims hold most of the variance, so that prefixes start out useful.

use rayon::prelude::*;

/// The mean and the first components of a set of vectors.
pub(crate) struct Pca {
    /// `[width]`
    mean: Vec<f32>,
    /// `[components, width]`, by falling variance.
    components: Vec<f32>,
    width: usize,
}

impl Pca {
    /// Fits `components` components to `vectors` (`[rows, width]`).
    pub(crate) fn fit(vectors: &[f32], width: usize, components: usize) -> Self {
        let mean = mean(vectors, width);
        let mut covariance = covariance(vectors, width, &mean);
        let turned = jacobi(&mut covariance, width);
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|a, b| covariance[b * width + b].total_cmp(&covariance[a * width + a]));
        let components: Vec<f32> = order
            .iter()
            .take(components)
            .flat_map(|component| {
                let row = &turned[component * width..][..width];
                row.iter().map(|value| *value as f32)
            })
            .collect();
        Self {
            mean,
            components,
            width,
        }
    }

    /// `vectors` (`[rows, width]`) minus the mean, in the new axes: `[rows, components]`.
    pub(crate) fn apply(&self, vectors: &[f32]) -> Vec<f32> {
        let mut centred = vectors.to_vec();
        for row in centred.chunks_exact_mut(self.width) {
            row.iter_mut()
                .zip(&self.mean)
                .for_each(|(value, mean)| *value -= mean);
        }
        self.rotate(&centred)
    }

    /// `vectors` (`[rows, width]`) in the new axes: `[rows, components]`.
    pub(crate) fn rotate(&self, vectors: &[f32]) -> Vec<f32> {
        rotate(&self.components, self.width, vectors)
    }
}

/// `vectors` (`[rows, width]`) in the axes that are the rows of `axes` (`[axes, width]`): `[rows, axes]`.
pub(crate) fn rotate(axes: &[f32], width: usize, vectors: &[f32]) -> Vec<f32> {
    let product = |row| {
        let axes = axes.chunks_exact(width);
        axes.map(move |axis| kokeshi_core::distance::dot(row, axis))
    };
    vectors.par_chunks_exact(width).flat_map_iter(product).collect()
}

/// The mean of `vectors` (`[rows, width]`).
pub(crate) fn mean(vectors: &[f32], width: usize) -> Vec<f32> {
    let rows = (vectors.len() / width).max(1) as f64;
    let mut mean = vec![0.0_f64; width];
    for row in vectors.chunks_exact(width) {
        mean.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += f64::from(*value));
    }
    mean.iter().map(|sum| (sum / rows) as f32).collect()
}

/// The covariance, `[width, width]`, times the number of rows.
pub(crate) fn covariance(vectors: &[f32], width: usize, mean: &[f32]) -> Vec<f64> {
    let mut sums = vec![0.0_f64; width * width];
    sums.par_chunks_exact_mut(width)
        .enumerate()
        .for_each(|(at, sums)| {
            let mut block = vec![0.0_f32; width];
            // Sums of a thousand rows in f32, then in f64: exact enough and twice as fast.
            for rows in vectors.chunks(width * 1024) {
                block.fill(0.0);
                for row in rows.chunks_exact(width) {
                    let factor = row[at] - mean[at];
                    for ((sum, value), mean) in block.iter_mut().zip(row).zip(mean) {
                        *sum += factor * (value - mean);
                    }
                }
                sums.iter_mut()
                    .zip(&block)
                    .for_each(|(sum, value)| *sum += f64::from(*value));
            }
        });
    sums
}

/// Diagonalises the symmetric `matrix` (`[n, n]`) in place by Jacobi's rotations, and returns the eigenvectors as rows (`[n, n]`).
pub(crate) fn jacobi(matrix: &mut [f64], n: usize) -> Vec<f64> {
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|at| vectors[at * n + at] = 1.0);
    let total: f64 = matrix.iter().map(|value| value * value).sum();
    // Convergence is quadratic; ten sweeps are more than any matrix of this size needs.
    for _ in 0..30 {
        let mut off = 0.0;
        for row in 0..n {
            off += matrix[row * n..][..row]
                .iter()
                .map(|value| value * value)
                .sum::<f64>();
        }
        if off <= 1e-18 * total {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let value = matrix[p * n + q];
                if value * value <= 1e-26 * total {
                    continue;
                }
                let theta = (matrix[q * n + q] - matrix[p * n + p]) / (2.0 * value);
                let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
                let sine = tangent * cosine;
                for row in matrix.chunks_exact_mut(n) {
                    let (a, b) = (row[p], row[q]);
                    row[p] = cosine * a - sine * b;
                    row[q] = sine * a + cosine * b;
                }
                rotate_rows(matrix, n, p, q, cosine, sine);
                rotate_rows(&mut vectors, n, p, q, cosine, sine);
            }
        }
    }
    vectors
}

fn rotate_rows(matrix: &mut [f64], n: usize, p: usize, q: usize, cosine: f64, sine: f64) {
    let (upper, lower) = matrix.split_at_mut(q * n);
    for (a, b) in upper[p * n..][..n].iter_mut().zip(&mut lower[..n]) {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    }
}

#[cfg(test)]
mod tests {
    use kokeshi_core::Seed;

    use super::*;

    #[test]
    fn components_are_orthonormal_uncorrelated_and_by_falling_variance() {
        let (rows, width) = (400, 12);
        let mut seed = Seed(7);
        let mixing: Vec<f32> = (0..width * width).map(|_| seed.normal() as f32).collect();
        let vectors: Vec<f32> = (0..rows)
            .flat_map(|_| {
                let source: Vec<f32> = (0..width)
                    .map(|at| (seed.normal() as f32) * (at + 1) as f32)
                    .collect();
                mixing
                    .chunks_exact(width)
                    .map(|row| 3.0 + row.iter().zip(&source).map(|(a, b)| a * b).sum::<f32>())
                    .collect::<Vec<_>>()
            })
            .collect();
        let pca = Pca::fit(&vectors, width, width);
        for (i, a) in pca.components.chunks_exact(width).enumerate() {
            for (j, b) in pca.components.chunks_exact(width).enumerate() {
                let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                assert!((dot - f32::from(u8::from(i == j))).abs() < 1e-4);
            }
        }
        let turned = pca.apply(&vectors);
        let product = |i: usize, j: usize| {
            turned
                .chunks_exact(width)
                .map(|row| f64::from(row[i] * row[j]))
                .sum::<f64>()
        };
        for i in 0..width {
            let own = product(i, i);
            assert!(i == 0 || own <= product(i - 1, i - 1) * (1.0 + 1e-6));
            for j in 0..i {
                assert!(product(i, j).abs() < 1e-3 * (own * product(j, j)).sqrt());
            }
        }
    }
}
