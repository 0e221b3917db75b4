//! `rotate`: a random rotation in O(d log d), after which all axes carry alike much (Hadamard transforms with random signs, as in RaBitQ's
//! library, arXiv 2405.12497).
//!
//! Widths that are no power of two take the transform over the first and the last 2^k values in turn, and a step that mixes the two
//! halves (Kac's walk) between them.

use kokeshi_core::{Result, Seed};
use rayon::prelude::*;

use crate::blob::{BlobReader, BlobWriter};
use crate::codec::Transform;

/// Signs and transforms, one after another: after four, coordinates of any unit vector look Gaussian.
const ROUNDS: usize = 4;

/// A random orthogonal matrix that is never written out.
#[derive(Debug, Clone)]
pub struct Rotation {
    dims: usize,
    seed: u64,
    /// `[ROUNDS, dims]` of 1 and -1.
    signs: Vec<f32>,
}

impl Rotation {
    /// The rotation of `dims` values (an even number) that `seed` gives.
    pub fn new(dims: usize, seed: u64) -> Self {
        let mut random = Seed(seed);
        let signs = (0..ROUNDS * dims)
            .map(|_| if random.next_u64() >> 63 == 0 { 1.0 } else { -1.0 })
            .collect();
        Self { dims, seed, signs }
    }

    pub(crate) fn read(dims: usize, blob: &mut BlobReader<'_>) -> Result<Self> {
        let seed = blob.u64("the seed of a rotation")?;
        Ok(Self::new(dims, seed))
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The largest power of two that is not longer than the vectors, and where it starts in this round.
    fn span(&self, round: usize) -> std::ops::Range<usize> {
        let power = 1 << self.dims.max(1).ilog2();
        let start = if round.is_multiple_of(2) {
            0
        } else {
            self.dims - power
        };
        start..start + power
    }

    /// Rotates one vector (`[dims]`) in place.
    pub fn rotate(&self, row: &mut [f32]) {
        for (round, signs) in self.signs.chunks_exact(self.dims).enumerate() {
            row.iter_mut().zip(signs).for_each(|(value, sign)| *value *= sign);
            hadamard(&mut row[self.span(round)]);
            if !self.dims.is_power_of_two() {
                mix(row);
            }
        }
    }

    /// Undoes [`Rotation::rotate`].
    pub fn undo(&self, row: &mut [f32]) {
        for (round, signs) in self.signs.chunks_exact(self.dims).enumerate().rev() {
            // Both steps are their own inverses.
            if !self.dims.is_power_of_two() {
                mix(row);
            }
            hadamard(&mut row[self.span(round)]);
            row.iter_mut().zip(signs).for_each(|(value, sign)| *value *= sign);
        }
    }
}

/// Sums and differences of the two halves, scaled to keep lengths; a middle value stays.
fn mix(row: &mut [f32]) {
    let half = row.len() / 2;
    let (low, high) = row.split_at_mut(row.len() - half);
    for (a, b) in low.iter_mut().zip(high) {
        (*a, *b) = (
            (*a + *b) * std::f32::consts::FRAC_1_SQRT_2,
            (*a - *b) * std::f32::consts::FRAC_1_SQRT_2,
        );
    }
}

/// The orthonormal Hadamard transform of a power of two of values, in place; it is its own inverse.
fn hadamard(values: &mut [f32]) {
    let mut step = 1;
    while step < values.len() {
        for pair in values.chunks_exact_mut(2 * step) {
            let (low, high) = pair.split_at_mut(step);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        step *= 2;
    }
    let scale = (values.len() as f32).sqrt().recip();
    values.iter_mut().for_each(|value| *value *= scale);
}

impl Transform for Rotation {
    fn spec(&self) -> String {
        "rotate".into()
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn width(&self) -> usize {
        self.dims
    }

    fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let mut rows = rows.to_vec();
        rows.par_chunks_exact_mut(self.dims)
            .with_min_len(64)
            .for_each(|row| self.rotate(row));
        rows
    }

    fn invert(&self, rows: &[f32]) -> Vec<f32> {
        let mut rows = rows.to_vec();
        rows.par_chunks_exact_mut(self.dims)
            .with_min_len(64)
            .for_each(|row| self.undo(row));
        rows
    }

    fn write(&self, blob: &mut BlobWriter) {
        blob.u64(self.seed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kokeshi_core::distance;

    #[test]
    fn a_rotation_keeps_lengths_and_angles_spreads_axes_and_can_be_undone() {
        let mut seed = Seed(5);
        for dims in [1, 2, 6, 64, 100, 384, 1000] {
            let rotation = Rotation::new(dims, 9);
            let rows: Vec<f32> = (0..2 * dims).map(|_| seed.normal() as f32).collect();
            let turned = rotation.apply(&rows);
            let product = |rows: &[f32]| distance::dot(&rows[..dims], &rows[dims..]);
            let scale = distance::dot(&rows, &rows);
            assert!((product(&rows) - product(&turned)).abs() < 1e-4 * scale, "{dims}");
            for (a, b) in rows.iter().zip(rotation.invert(&turned)) {
                assert!((a - b).abs() < 1e-4, "{dims}: {a} {b}");
            }
            if dims >= 64 {
                let mut axis = vec![0.0; dims];
                axis[3] = 1.0;
                rotation.rotate(&mut axis);
                let largest = axis.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
                assert!(largest < 5.0 / (dims as f32).sqrt(), "{dims}: {largest}");
            }
        }
    }
}
