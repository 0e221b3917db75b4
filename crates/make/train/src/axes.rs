//! Axes by what they keep apart: what the vocabulary speaks of, against what differs between two parts of one text.

use crate::pca::{covariance, jacobi, mean};

/// Axes of the student, best first, as rows.
pub(crate) struct Axes {
    /// `[dims, dims]`
    rows: Vec<f32>,
    dims: usize,
}

impl Axes {
    /// The generalised eigenvectors of the covariance of `words` against that of `left` - `right`, the parts of the same texts (all
    /// `[rows, dims]`, unit vectors), by falling eigenvalue and scaled by eigenvalue^-`whitening` / 2. The mean eigenvalue of the second
    /// covariance is added to its diagonal, so that an axis isn't chosen only because the texts' parts happen to agree about it.
    pub(crate) fn fit(words: &[f32], [left, right]: [&[f32]; 2], dims: usize, whitening: f32) -> Self {
        let per_row = |vectors: &[f32]| {
            let count = (vectors.len() / dims).max(1) as f64;
            let mut sums = covariance(vectors, dims, &mean(vectors, dims));
            sums.iter_mut().for_each(|sum| *sum /= count);
            sums
        };
        let difference: Vec<f32> = left.iter().zip(right).map(|(left, right)| left - right).collect();
        let mut noise = per_row(&difference);
        let level = (0..dims).map(|at| noise[at * dims + at]).sum::<f64>() / dims as f64;
        // Without a difference nothing speaks against any axis.
        let level = if level > 0.0 { level } else { 1.0 };
        (0..dims).for_each(|at| noise[at * dims + at] += level);

        // In the noise's eigenvectors, each over the root of its eigenvalue, the noise is the identity and the problem an ordinary one.
        let mut white = jacobi(&mut noise, dims);
        for (at, row) in white.chunks_exact_mut(dims).enumerate() {
            let scale = 1.0 / noise[at * dims + at].sqrt();
            row.iter_mut().for_each(|value| *value *= scale);
        }
        let signal = product(
            &product(&white, &per_row(words), dims),
            &transposed(&white, dims),
            dims,
        );
        let mut values = signal;
        let turned = product(&jacobi(&mut values, dims), &white, dims);
        let value = |at: usize| values[at * dims + at];
        let mut order: Vec<usize> = (0..dims).collect();
        order.sort_by(|a, b| value(*b).total_cmp(&value(*a)));

        let least = value(order[0]).max(f64::MIN_POSITIVE) * 1e-6;
        let row = |at: &usize| {
            let scale = value(*at).max(least).powf(-0.5 * f64::from(whitening));
            let row = &turned[at * dims..][..dims];
            row.iter().map(move |value| (value * scale) as f32)
        };
        Self {
            rows: order.iter().flat_map(row).collect(),
            dims,
        }
    }

    /// `vectors` (`[rows, dims]`) in these axes.
    pub(crate) fn apply(&self, vectors: &[f32]) -> Vec<f32> {
        crate::pca::rotate(&self.rows, self.dims, vectors)
    }
}

/// `left` · `right`, all `[n, n]`.
fn product(left: &[f64], right: &[f64], n: usize) -> Vec<f64> {
    let mut out = vec![0.0; n * n];
    for (out, left) in out.chunks_exact_mut(n).zip(left.chunks_exact(n)) {
        for (factor, right) in left.iter().zip(right.chunks_exact(n)) {
            out.iter_mut()
                .zip(right)
                .for_each(|(sum, value)| *sum += factor * value);
        }
    }
    out
}

fn transposed(matrix: &[f64], n: usize) -> Vec<f64> {
    (0..n * n).map(|at| matrix[at % n * n + at / n]).collect()
}

#[cfg(test)]
mod tests {
    use kokeshi_core::Seed;

    use super::*;

    /// Rows of normal numbers with these deviations.
    fn rows(deviations: &[f32], count: usize, seed: u64) -> Vec<f32> {
        let mut seed = Seed(seed);
        (0..count)
            .flat_map(|_| {
                deviations
                    .iter()
                    .map(|deviation| deviation * seed.normal() as f32)
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// Which of the old axes weighs most in a new one.
    fn leading(axes: &Axes, at: usize) -> usize {
        let row = &axes.rows[at * axes.dims..][..axes.dims];
        (0..axes.dims)
            .max_by(|a, b| row[*a].abs().total_cmp(&row[*b].abs()))
            .unwrap()
    }

    #[test]
    fn an_axis_along_which_parts_of_a_text_differ_comes_after_one_along_which_they_agree() {
        let words = rows(&[1.0, 1.5, 0.3], 3000, 1);
        let quiet = rows(&[0.1, 0.1, 0.1], 3000, 2);
        let zero = vec![0.0; quiet.len()];
        let axes = Axes::fit(&words, [&quiet, &zero], 3, 0.25);
        assert_eq!([0, 1, 2].map(|at| leading(&axes, at)), [1, 0, 2]);
        let loud = rows(&[0.1, 3.0, 0.1], 3000, 3);
        let axes = Axes::fit(&words, [&loud, &zero], 3, 0.25);
        assert_eq!(leading(&axes, 0), 0);
    }

    #[test]
    fn with_whitening_1_the_words_vary_alike_and_independently_along_all_axes() {
        let words = rows(&[1.0, 4.0, 0.5, 2.0], 4000, 4);
        let parts = [
            rows(&[1.0, 0.2, 0.4, 2.0], 4000, 5),
            rows(&[1.0, 0.2, 0.4, 2.0], 4000, 6),
        ];
        let axes = Axes::fit(&words, [&parts[0], &parts[1]], 4, 1.0);
        let turned = axes.apply(&words);
        let sums = covariance(&turned, 4, &mean(&turned, 4));
        for (at, sum) in sums.iter().enumerate() {
            let expected = if at / 4 == at % 4 { 1.0 } else { 0.0 };
            assert!((sum / 4000.0 - expected).abs() < 1e-3, "{at}: {sum}");
        }
    }
}
