//! Eigenvalues and eigenvectors of symmetric matrices: Householder's tridiagonal form, then implicit QL (Golub and Van Loan, Matrix
//! Computations, 8.3).
//!
//! Every loop runs along rows, so that the compiler vectorises it, and rows are shared out to all threads.

use rayon::prelude::*;

/// What [`symmetric`] finds.
#[derive(Debug, Clone)]
pub struct Eigen {
    /// `[n]` eigenvalues, largest first.
    pub values: Vec<f64>,
    /// `[n, n]`: row `i` is the unit eigenvector of `values[i]`. Its sign is arbitrary.
    pub vectors: Vec<f64>,
}

/// Rows below which threads cost more than they save.
const FEW_ROWS: usize = 128;

/// Diagonalises the symmetric `matrix` (`[n, n]`; values that are not finite give values that are not finite).
///
/// # Panics
/// If `matrix` does not hold `n * n` values.
pub fn symmetric(mut matrix: Vec<f64>, n: usize) -> Eigen {
    assert_eq!(matrix.len(), n * n, "a symmetric matrix is [n, n]");
    let (mut diagonal, mut off, reflectors) = tridiagonal(&mut matrix, n);
    // Row i of the product of all reflections, transposed, becomes eigenvector i by the rotations of QL.
    let mut vectors = matrix;
    vectors.fill(0.0);
    (0..n).for_each(|at| vectors[at * n + at] = 1.0);
    rows(&mut vectors, n, |_, row| {
        for (v, scale) in reflectors.iter().rev() {
            let part = &mut row[n - v.len()..];
            let factor = scale * dot(part, v);
            part.iter_mut().zip(v).for_each(|(value, v)| *value -= factor * v);
        }
    });
    ql(&mut diagonal, &mut off, &mut vectors, n);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| diagonal[b].total_cmp(&diagonal[a]));
    Eigen {
        values: order.iter().map(|&at| diagonal[at]).collect(),
        vectors: order
            .iter()
            .flat_map(|&at| &vectors[at * n..][..n])
            .copied()
            .collect(),
    }
}

fn rows(matrix: &mut [f64], n: usize, each: impl Fn(usize, &mut [f64]) + Sync) {
    if matrix.len() < FEW_ROWS * n.max(1) {
        matrix
            .chunks_mut(n.max(1))
            .enumerate()
            .for_each(|(at, row)| each(at, row));
    } else {
        matrix
            .par_chunks_mut(n)
            .with_min_len(FEW_ROWS / 4)
            .enumerate()
            .for_each(|(at, row)| each(at, row));
    }
}

/// Sums in eight chains, which the compiler turns into registers.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_parts, a_rest) = a.as_chunks::<8>();
    let (b_parts, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a_parts.iter().zip(b_parts) {
        for at in 0..8 {
            sums[at] += a[at] * b[at];
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

/// The diagonal, the values beside it (`off[i]` between `i` and `i + 1`), and the reflections `(v, scale)`: I - scale v v^T on the last
/// `v.len()` axes.
type Tridiagonal = (Vec<f64>, Vec<f64>, Vec<(Vec<f64>, f64)>);

fn tridiagonal(matrix: &mut [f64], n: usize) -> Tridiagonal {
    let mut reflectors = Vec::with_capacity(n);
    let mut off = vec![0.0; n];
    for k in 0..n.saturating_sub(1) {
        let left = n - k - 1;
        let mut v = matrix[k * n + k + 1..][..left].to_vec();
        let norm = dot(&v, &v).sqrt();
        if left == 1 || dot(&v[1..], &v[1..]) <= f64::MIN_POSITIVE {
            off[k] = v[0];
            continue;
        }
        off[k] = if v[0] > 0.0 { -norm } else { norm };
        v[0] -= off[k];
        let scale = 2.0 / dot(&v, &v);
        // The rest of the matrix is reflected from both sides: A - v w^T - w v^T.
        let rest = &mut matrix[(k + 1) * n..];
        let mut w = vec![0.0; left];
        let product = |(row, w): (&[f64], &mut f64)| *w = scale * dot(&row[k + 1..], &v);
        if left < FEW_ROWS {
            rest.chunks_exact(n).zip(&mut w).for_each(product);
        } else {
            rest.par_chunks_exact(n)
                .zip(&mut w)
                .with_min_len(FEW_ROWS / 4)
                .for_each(product);
        }
        let half = 0.5 * scale * dot(&w, &v);
        w.iter_mut().zip(&v).for_each(|(w, v)| *w -= half * v);
        rows(rest, n, |at, row| {
            let (own_v, own_w) = (v[at], w[at]);
            for ((value, v), w) in row[k + 1..].iter_mut().zip(&v).zip(&w) {
                *value -= own_v * w + own_w * v;
            }
        });
        reflectors.push((v, scale));
    }
    let diagonal = (0..n).map(|at| matrix[at * n + at]).collect();
    (diagonal, off, reflectors)
}

/// Rotations that are gathered before they are carried out on the eigenvectors, column block by column block.
const GATHERED: usize = 4096;
/// Columns a block: with n = 1000 rows it stays in a second-level cache.
const COLUMNS: usize = 32;

/// Implicit QL with Wilkinson's shift; `vectors` rows are rotated along.
fn ql(diagonal: &mut [f64], off: &mut [f64], vectors: &mut [f64], n: usize) {
    let mut rotations: Vec<(usize, f64, f64)> = Vec::with_capacity(GATHERED + n);
    for at in 0..n {
        // Three steps an eigenvalue are usual; what has not converged after 60 is not finite.
        for _ in 0..60 {
            let end = (at..n - 1)
                .find(|&m| off[m].abs() <= f64::EPSILON * (diagonal[m].abs() + diagonal[m + 1].abs()))
                .unwrap_or(n - 1);
            if end == at {
                break;
            }
            let mut g = (diagonal[at + 1] - diagonal[at]) / (2.0 * off[at]);
            let mut r = g.hypot(1.0);
            g = diagonal[end] - diagonal[at] + off[at] / (g + r.copysign(g));
            let (mut sine, mut cosine, mut p) = (1.0, 1.0, 0.0);
            let mut broke = false;
            for i in (at..end).rev() {
                let f = sine * off[i];
                let b = cosine * off[i];
                r = f.hypot(g);
                off[i + 1] = r;
                if r == 0.0 {
                    diagonal[i + 1] -= p;
                    off[end] = 0.0;
                    broke = true;
                    break;
                }
                sine = f / r;
                cosine = g / r;
                g = diagonal[i + 1] - p;
                r = (diagonal[i] - g) * sine + 2.0 * cosine * b;
                p = sine * r;
                diagonal[i + 1] = g + p;
                g = cosine * r - b;
                rotations.push((i, cosine, sine));
            }
            if !broke {
                diagonal[at] -= p;
                off[at] = g;
                off[end] = 0.0;
            }
            if rotations.len() >= GATHERED {
                rotate(vectors, n, &rotations);
                rotations.clear();
            }
        }
    }
    rotate(vectors, n, &rotations);
}

/// Carries out the rotations of the rows `i` and `i + 1`, in their order.
fn rotate(vectors: &mut [f64], n: usize, rotations: &[(usize, f64, f64)]) {
    let mut blocks: Vec<Vec<&mut [f64]>> = (0..n.div_ceil(COLUMNS)).map(|_| Vec::with_capacity(n)).collect();
    for row in vectors.chunks_exact_mut(n.max(1)) {
        for (block, part) in blocks.iter_mut().zip(row.chunks_mut(COLUMNS)) {
            block.push(part);
        }
    }
    blocks.par_iter_mut().for_each(|block| {
        for &(at, cosine, sine) in rotations {
            let [lower, upper] = &mut block[at..at + 2] else {
                continue;
            };
            for (a, b) in lower.iter_mut().zip(upper.iter_mut()) {
                (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    fn random(n: usize, rank: usize, seed: &mut Seed) -> Vec<f64> {
        let factors: Vec<f64> = (0..rank * n).map(|_| seed.normal()).collect();
        let mut matrix = vec![0.0; n * n];
        for row in factors.chunks_exact(n.max(1)) {
            for i in 0..n {
                for j in 0..n {
                    matrix[i * n + j] += row[i] * row[j];
                }
            }
        }
        matrix
    }

    #[test]
    fn a_matrix_times_an_eigenvector_is_the_vector_times_its_value() {
        let mut seed = Seed(1);
        // One, odd sizes, a size past the threshold of threads, and deficient ranks with many equal eigenvalues.
        for (n, rank) in [(1, 1), (2, 2), (7, 9), (40, 3), (150, 200), (150, 0), (200, 17)] {
            let matrix = random(n, rank, &mut seed);
            let scale = matrix
                .iter()
                .fold(1e-12, |most: f64, value| most.max(value.abs()));
            let eigen = symmetric(matrix.clone(), n);
            assert!(eigen.values.is_sorted_by(|a, b| a >= b));
            for (at, v) in eigen.vectors.chunks_exact(n).enumerate() {
                for (row, value) in matrix.chunks_exact(n).zip(v) {
                    let error = dot(row, v) - eigen.values[at] * value;
                    assert!(error.abs() < 1e-9 * scale * n as f64, "{n} {rank}: {error}");
                }
                for (other, w) in eigen.vectors.chunks_exact(n).enumerate() {
                    let expected = f64::from(u8::from(at == other));
                    assert!((dot(v, w) - expected).abs() < 1e-10, "{n} {rank}");
                }
            }
        }
    }

    #[test]
    fn known_values_come_out_and_nothing_gives_nothing() {
        let eigen = symmetric(vec![2.0, 1.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, -5.0], 3);
        for (found, expected) in eigen.values.iter().zip([3.0, 1.0, -5.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
        assert!(symmetric(Vec::new(), 0).values.is_empty());
    }

    #[test]
    fn values_that_are_not_finite_end() {
        assert!(symmetric(vec![f64::NAN; 9], 3).values[0].is_nan());
    }
}
