//! The loss of the student's pooled vectors, with its gradient by hand.

use rayon::prelude::*;

const LEAST_NORM: f32 = 1e-9;

/// 1 - cosine between `student` and `target` (both `[rows, dims]`), mean over rows. Adds `weight` × its gradient to `gradient`
/// (`[rows, dims]`) and returns the loss.
pub(crate) fn cosine(student: &[f32], target: &[f32], dims: usize, weight: f32, gradient: &mut [f32]) -> f32 {
    let count = (student.len() / dims) as f32;
    let share = weight / count;
    let rows = student
        .par_chunks_exact(dims)
        .zip(target.par_chunks_exact(dims))
        .zip(gradient.par_chunks_exact_mut(dims));
    let losses: Vec<f32> = rows
        .map(|((student, target), gradient)| {
            let (length, other) = (norm(student), norm(target));
            let cosine = dot(student, target) / (length * other);
            // d(1 - cos)/ds = -(t/|t| - cos s/|s|) / |s|
            let (along_target, along_self) = (share / (length * other), share * cosine / (length * length));
            for ((gradient, student), target) in gradient.iter_mut().zip(student).zip(target) {
                *gradient += along_self * student - along_target * target;
            }
            1.0 - cosine
        })
        .collect();
    losses.iter().sum::<f32>() / count
}

fn dot(left: &[f32], right: &[f32]) -> f32 {
    kokeshi_core::distance::dot(left, right)
}

fn norm(vector: &[f32]) -> f32 {
    dot(vector, vector).sqrt().max(LEAST_NORM)
}

#[cfg(test)]
mod tests {
    use kokeshi_core::Seed;

    use super::*;

    const DIMS: usize = 6;

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
        cosine(&student, &target, DIMS, 1.0, &mut gradient);
        check(&student, &gradient, |moved| {
            cosine(moved, &target, DIMS, 1.0, &mut vec![0.0; moved.len()])
        });
    }
}
