//! The losses of the student's pooled vectors, at every prefix, with their gradients by hand ("Matryoshka Representation Learning",
//! arXiv 2205.13147: the loss is the mean of the losses of the prefixes).

use rayon::prelude::*;

/// The temperature's inverse in the loss of pairs, as in sentence-transformers' MultipleNegativesRankingLoss.
const SCALE: f32 = 20.0;
const LEAST_NORM: f32 = 1e-9;

/// 1 - cosine between `student` and `target` (both `[rows, dims]`), mean over rows and prefixes. Adds `weight` × its gradient to
/// `gradient` (`[rows, dims]`) and returns the loss.
pub(crate) fn cosine(
    student: &[f32],
    target: &[f32],
    dims: usize,
    prefixes: &[usize],
    weight: f32,
    gradient: &mut [f32],
) -> f32 {
    let parts = (student.len() / dims * prefixes.len()) as f32;
    let share = weight / parts;
    let rows = student
        .par_chunks_exact(dims)
        .zip(target.par_chunks_exact(dims))
        .zip(gradient.par_chunks_exact_mut(dims));
    let losses: Vec<f32> = rows
        .map(|((student, target), gradient)| {
            let mut loss = 0.0;
            for &prefix in prefixes {
                let (student, target) = (&student[..prefix], &target[..prefix]);
                let (length, other) = (norm(student), norm(target));
                let cosine = dot(student, target) / (length * other);
                loss += 1.0 - cosine;
                // d(1 - cos)/ds = -(t/|t| - cos s/|s|) / |s|
                let (along_target, along_self) =
                    (share / (length * other), share * cosine / (length * length));
                for ((gradient, student), target) in gradient.iter_mut().zip(student).zip(target) {
                    *gradient += along_self * student - along_target * target;
                }
            }
            loss
        })
        .collect();
    losses.iter().sum::<f32>() / parts
}

/// Scratch memory of [`ranking`].
#[derive(Default)]
pub(crate) struct Ranking {
    left: Side,
    right: Side,
    /// `[rows, rows]` similarities of unit vectors.
    similarity: Vec<f32>,
    /// `[rows, rows]` gradient of the loss by the similarities, and transposed.
    inner: Vec<f32>,
    transposed: Vec<f32>,
}

#[derive(Default)]
struct Side {
    /// `[rows, prefix]`
    unit: Vec<f32>,
    /// `[rows]`
    norms: Vec<f32>,
}

impl Side {
    fn set(&mut self, vectors: &[f32], dims: usize, prefix: usize) {
        self.unit.clear();
        self.norms.clear();
        for row in vectors.chunks_exact(dims) {
            let length = norm(&row[..prefix]);
            self.norms.push(length);
            self.unit.extend(row[..prefix].iter().map(|value| value / length));
        }
    }
}

impl Ranking {
    /// In-batch negatives both ways: row i of `left` belongs to row i of `right`, and the others of the batch do not (`[rows, dims]`,
    /// cosine × 20, cross-entropy over rows and over columns, mean over prefixes). Adds `weight` × the gradients and returns the loss.
    pub(crate) fn loss(
        &mut self,
        [left, right]: [&[f32]; 2],
        dims: usize,
        prefixes: &[usize],
        weight: f32,
        [left_gradient, right_gradient]: [&mut [f32]; 2],
    ) -> f32 {
        let rows = left.len() / dims;
        let share = weight / prefixes.len() as f32;
        let mut total = 0.0;
        for &prefix in prefixes {
            self.left.set(left, dims, prefix);
            self.right.set(right, dims, prefix);
            products(&self.left.unit, &self.right.unit, prefix, &mut self.similarity);
            total += cross_entropy(&self.similarity, rows, &mut self.inner, &mut self.transposed);
            spread(
                &self.inner,
                &self.left,
                &self.right,
                prefix,
                share,
                left_gradient,
                dims,
            );
            spread(
                &self.transposed,
                &self.right,
                &self.left,
                prefix,
                share,
                right_gradient,
                dims,
            );
        }
        total / prefixes.len() as f32
    }
}

/// `out[i][j]` = dot(left i, right j).
fn products(left: &[f32], right: &[f32], width: usize, out: &mut Vec<f32>) {
    let rows = left.len() / width;
    out.resize(rows * rows, 0.0);
    out.par_chunks_exact_mut(rows)
        .zip(left.par_chunks_exact(width))
        .for_each(|(out, left)| {
            for (out, right) in out.iter_mut().zip(right.chunks_exact(width)) {
                *out = dot(left, right);
            }
        });
}

/// The mean of the cross-entropies of rows and columns of `SCALE` × `similarity` (`[rows, rows]`, the diagonal is right), with its
/// gradient by `similarity` in `gradient` and transposed in `transposed`.
fn cross_entropy(similarity: &[f32], rows: usize, gradient: &mut Vec<f32>, transposed: &mut Vec<f32>) -> f32 {
    gradient.resize(rows * rows, 0.0);
    transposed.resize(rows * rows, 0.0);
    let by_row = softmax(similarity, rows, gradient, |row, column| row * rows + column);
    let by_column = softmax(similarity, rows, transposed, |row, column| column * rows + row);
    let share = SCALE / (2 * rows) as f32;
    for row in 0..rows {
        for column in 0..=row {
            let (here, there) = (row * rows + column, column * rows + row);
            let target = if row == column { 2.0 } else { 0.0 };
            let upper = share * (gradient[here] + transposed[there] - target);
            let lower = share * (gradient[there] + transposed[here] - target);
            (gradient[here], transposed[there]) = (upper, upper);
            (gradient[there], transposed[here]) = (lower, lower);
        }
    }
    (by_row + by_column) / (2 * rows) as f32
}

/// Row-wise softmax of `SCALE` × the similarities at `at(row, column)` into `out`; returns the sum of the cross-entropies.
fn softmax(
    similarity: &[f32],
    rows: usize,
    out: &mut [f32],
    at: impl Fn(usize, usize) -> usize + Sync,
) -> f32 {
    let losses: Vec<f32> = out
        .par_chunks_exact_mut(rows)
        .enumerate()
        .map(|(row, out)| {
            let mut sum = 0.0;
            for (column, out) in out.iter_mut().enumerate() {
                // A cosine is at most 1, so exp(scale × (cosine - 1)) can't overflow.
                *out = (SCALE * (similarity[at(row, column)] - 1.0)).exp();
                sum += *out;
            }
            out.iter_mut().for_each(|value| *value /= sum);
            sum.ln() - SCALE * (similarity[at(row, row)] - 1.0)
        })
        .collect();
    losses.iter().sum()
}

/// Adds `share` × the gradient of `own`'s vectors to `out`, where `inner` (`[rows, rows]`) is the gradient by the similarities:
/// du = inner · other, dv = (du - (du·u) u) / |v|.
fn spread(inner: &[f32], own: &Side, other: &Side, prefix: usize, share: f32, out: &mut [f32], dims: usize) {
    let rows = own.norms.len();
    out.par_chunks_exact_mut(dims)
        .zip(inner.par_chunks_exact(rows))
        .zip(own.unit.par_chunks_exact(prefix).zip(&own.norms))
        .for_each_init(
            || vec![0.0; prefix],
            |direction, ((out, inner), (unit, length))| {
                direction.fill(0.0);
                for (factor, other) in inner.iter().zip(other.unit.chunks_exact(prefix)) {
                    add(direction, other, *factor);
                }
                let along = dot(direction, unit);
                let share = share / length;
                for ((out, direction), unit) in out.iter_mut().zip(direction.iter()).zip(unit) {
                    *out += share * (direction - along * unit);
                }
            },
        );
}

fn dot(left: &[f32], right: &[f32]) -> f32 {
    kokeshi_core::distance::dot(left, right)
}

fn norm(vector: &[f32]) -> f32 {
    dot(vector, vector).sqrt().max(LEAST_NORM)
}

fn add(sum: &mut [f32], vector: &[f32], factor: f32) {
    sum.iter_mut()
        .zip(vector)
        .for_each(|(sum, value)| *sum += factor * value);
}

#[cfg(test)]
mod tests {
    use kokeshi_core::Seed;

    use super::*;

    const DIMS: usize = 6;
    const PREFIXES: [usize; 2] = [3, 6];

    fn random(rows: usize, seed: u64) -> Vec<f32> {
        let mut seed = Seed(seed);
        (0..rows * DIMS).map(|_| seed.normal() as f32).collect()
    }

    /// Compares `gradient` with central differences of `loss` around `values`.
    fn check(values: &[f32], gradient: &[f32], mut loss: impl FnMut(&[f32]) -> f32) {
        for at in 0..values.len() {
            let mut moved = values.to_vec();
            let mut at_offset = |offset: f32| {
                moved[at] = values[at] + offset;
                loss(&moved)
            };
            let expected = (at_offset(1e-2) - at_offset(-1e-2)) / 2e-2;
            assert!(
                (gradient[at] - expected).abs() < 2e-3 + 0.02 * expected.abs(),
                "value {at}: gradient {} but finite difference {expected}",
                gradient[at]
            );
        }
    }

    #[test]
    fn the_cosine_loss_has_the_gradient_of_its_finite_differences() {
        let (student, target) = (random(4, 1), random(4, 2));
        let mut gradient = vec![0.0; student.len()];
        cosine(&student, &target, DIMS, &PREFIXES, 1.0, &mut gradient);
        check(&student, &gradient, |moved| {
            cosine(moved, &target, DIMS, &PREFIXES, 1.0, &mut vec![0.0; moved.len()])
        });
    }

    #[test]
    fn the_ranking_loss_has_the_gradients_of_its_finite_differences() {
        let (left, right) = (random(5, 3), random(5, 4));
        let run = |left: &[f32], right: &[f32]| {
            let mut gradients = [vec![0.0; left.len()], vec![0.0; right.len()]];
            let [first, second] = &mut gradients;
            let loss = Ranking::default().loss([left, right], DIMS, &PREFIXES, 1.0, [first, second]);
            (loss, gradients)
        };
        let (_, [by_left, by_right]) = run(&left, &right);
        check(&left, &by_left, |moved| run(moved, &right).0);
        check(&right, &by_right, |moved| run(&left, moved).0);
    }

    #[test]
    fn pairs_that_agree_have_a_lower_loss_than_pairs_that_do_not() {
        let left = random(8, 5);
        let mut gradients = [vec![0.0; left.len()], vec![0.0; left.len()]];
        let mut loss = |right: &[f32]| {
            let [first, second] = &mut gradients;
            Ranking::default().loss([&left, right], DIMS, &PREFIXES, 1.0, [first, second])
        };
        assert!(loss(&left) < loss(&random(8, 6)));
    }
}
