//! The directions in which rows differ most, turned at random among themselves.
//!
//! Vectors of text have most of their variance in few directions (principal components), so that a code of a few numbers, finely rounded, says
//! more than one of many bits ("LeanVec: Searching vectors faster by making them fit", arXiv 2312.16335). Turning the
//! directions makes all numbers about equally large, so that one step suits all ("RaBitQ", arXiv 2405.12497).

use kokeshi_core::distance::BytePanels;
use kokeshi_core::{Seed, distance, eigen};
use rayon::prelude::*;

use crate::Vectors;

/// Rows that the directions are taken from, spread over all: a covariance of a few hundred dims changes little with more.
const SAMPLE: usize = 8192;
const SEED: Seed = Seed(0x6b6f_6b65_7368_6921);

/// Centre and directions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Projection {
    /// `[dims]`, subtracted from rows first.
    pub centre: Vec<f32>,
    /// `[kept, dims]`, orthonormal rows.
    pub matrix: Vec<f32>,
    pub kept: usize,
    /// The rows there were when it was learnt.
    pub rows: usize,
    /// The directions in bytes, of this step: what a query is compared with, once for each search.
    small: BytePanels,
    step: f32,
}

impl Projection {
    /// Of these parts.
    pub fn new(centre: Vec<f32>, matrix: Vec<f32>, kept: usize, rows: usize) -> Self {
        let (small, step) = in_bytes(&matrix);
        let small = BytePanels::new(&small, centre.len());
        Self {
            centre,
            matrix,
            kept,
            rows,
            small,
            step,
        }
    }

    /// Learns `kept` directions, which must not be more than there are dims, of the rows for which `usable` holds.
    pub fn learn(vectors: &Vectors, centre: Vec<f32>, kept: usize, usable: impl Fn(u32) -> bool) -> Self {
        let (dims, rows) = (vectors.dims(), vectors.rows());
        let step = rows.div_ceil(SAMPLE).max(1);
        let ids: Vec<u32> = (0..rows as u32).step_by(step).filter(|&id| usable(id)).collect();
        // `[dims, sample]`, so that a covariance is the product of two rows.
        let mut columns = vec![0.0; dims * ids.len()];
        for (at, &id) in ids.iter().enumerate() {
            for (column, (value, centre)) in vectors.row(id).iter().zip(&centre).enumerate() {
                columns[column * ids.len() + at] = value - centre;
            }
        }
        let column = |at: usize| &columns[at * ids.len()..][..ids.len()];
        let upper: Vec<Vec<f64>> = (0..dims)
            .into_par_iter()
            .map(|a| {
                (a..dims)
                    .map(|b| f64::from(distance::dot(column(a), column(b))))
                    .collect()
            })
            .collect();
        let mut covariance = vec![0.0; dims * dims];
        for (a, upper) in upper.iter().enumerate() {
            for (value, b) in upper.iter().zip(a..) {
                covariance[a * dims + b] = *value;
                covariance[b * dims + a] = *value;
            }
        }
        let components = eigen::symmetric(covariance, dims).vectors;
        let turn = turn(kept, SEED);
        let matrix: Vec<Vec<f32>> = turn
            .par_chunks_exact(kept)
            .map(|weights| {
                let mut direction = vec![0.0; dims];
                for (weight, component) in weights.iter().zip(components.chunks_exact(dims)) {
                    for (sum, value) in direction.iter_mut().zip(component) {
                        *sum += weight * value;
                    }
                }
                direction.into_iter().map(|value| value as f32).collect()
            })
            .collect();
        Self::new(centre, matrix.concat(), kept, rows)
    }

    /// Leaves in `centred` the difference of `row` from the centre, and in `out` its `kept` coordinates.
    pub fn apply(&self, row: &[f32], centred: &mut Vec<f32>, out: &mut [f32]) {
        centred.clear();
        centred.extend(row.iter().zip(&self.centre).map(|(value, centre)| value - centre));
        distance::dot_rows(centred, &self.matrix, out);
    }

    /// The same in bytes, off by less than a hundredth of what half a byte a number is.
    pub fn apply_fast(&self, row: &[f32], centred: &mut Vec<f32>, out: &mut [f32]) {
        centred.clear();
        centred.extend(row.iter().zip(&self.centre).map(|(value, centre)| value - centre));
        let (values, step) = in_bytes(centred);
        let scale = step * self.step;
        let mut products = Vec::new();
        self.small.dot(&values, &mut products);
        for (out, product) in out.iter_mut().zip(products) {
            *out = product as f32 * scale;
        }
    }
}

/// Finite values as multiples of a 127th of the largest of them, and that step.
pub(super) fn in_bytes(values: &[f32]) -> (Vec<i8>, f32) {
    // Several at a time: a chain of comparisons would wait for each.
    let mut lanes = [0.0f32; 16];
    for values in values.chunks(lanes.len()) {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane = lane.max(value.abs());
        }
    }
    let largest = lanes.into_iter().fold(0.0, f32::max);
    let steps = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    // Where the last bit of an f32 is worth 1, its low bits are the whole number: quicker than a conversion, which has to look at each value.
    const ONES: f32 = 1.5 * (1 << 23) as f32;
    let byte = |value: &f32| (value * steps + ONES).to_bits() as i8;
    (values.iter().map(byte).collect(), largest / 127.0)
}

/// A random rotation, `[size, size]`: Gram and Schmidt's orthogonalisation, twice over for rounding, of random directions.
fn turn(size: usize, mut seed: Seed) -> Vec<f64> {
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(size);
    while rows.len() < size {
        let mut row: Vec<f64> = (0..size).map(|_| seed.normal()).collect();
        for _ in 0..2 {
            for other in &rows {
                let product: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
                row.iter_mut()
                    .zip(other)
                    .for_each(|(value, other)| *value -= product * other);
            }
        }
        let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
        row.iter_mut().for_each(|value| *value /= length);
        rows.push(row);
    }
    rows.concat()
}

#[cfg(test)]
mod tests {
    use kokeshi_core::Embeddings;

    use super::*;

    #[test]
    fn directions_are_orthonormal_and_hold_most_of_the_variance() {
        let (dims, kept, mut seed) = (96, 32, Seed(3));
        let spread = |column: usize| if column.is_multiple_of(3) { 1.0 } else { 0.1 };
        let values = (0..500 * dims).map(|at| (seed.normal() * spread(at % dims)) as f32);
        let vectors = Vectors::from(Embeddings::from_vec(values.collect(), dims).unwrap());
        let projection = Projection::learn(&vectors, vec![0.0; dims], kept, |_| true);
        for (at, row) in projection.matrix.chunks_exact(dims).enumerate() {
            for (other_at, other) in projection.matrix.chunks_exact(dims).enumerate() {
                let expected = if at == other_at { 1.0 } else { 0.0 };
                assert!((distance::dot(row, other) - expected).abs() < 1e-5);
            }
        }
        let (mut centred, mut out) = (Vec::new(), vec![0.0; kept]);
        for id in 0..500 {
            projection.apply(vectors.row(id), &mut centred, &mut out);
            assert!(distance::dot(&out, &out) > 0.9 * distance::dot(&centred, &centred));
        }
    }
}
