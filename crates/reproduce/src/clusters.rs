//! Vectors for the reproductions about codes and search: clusters, axes of unlike variance, a random rotation, unit length.

use kokeshi_codec::Rotation;
use kokeshi_core::{Embeddings, Result, Seed, distance};

/// `rows` points `[rows, dims]` about `centres` centres, axis i (from 1) having deviation i^-0.5 among centres and points alike, and
/// `queries` at half of that deviation from random ones of them; all turned alike and scaled to unit length.
pub(crate) fn clusters(
    rows: usize,
    queries: usize,
    dims: usize,
    centres: usize,
    mut seed: Seed,
) -> Result<(Embeddings, Embeddings)> {
    let rotation = Rotation::new(dims, seed.next_u64());
    let deviations: Vec<f32> = (1..=dims).map(|axis| (axis as f32).powf(-0.5)).collect();
    let mut near = |from: &[f32], scale: f32| -> Vec<f32> {
        let axes = from.iter().zip(&deviations);
        axes.map(|(from, deviation)| from + scale * deviation * seed.normal() as f32)
            .collect()
    };
    let origin = vec![0.0; dims];
    let middles: Vec<Vec<f32>> = (0..centres).map(|_| near(&origin, 1.0)).collect();
    let points: Vec<Vec<f32>> = (0..rows).map(|row| near(&middles[row % centres], 1.0)).collect();
    // Rows come in the order of their clusters, so that a stride of a prime takes queries from all of them.
    let asked: Vec<Vec<f32>> = (0..queries)
        .map(|query| near(&points[query * 7919 % rows], 0.5))
        .collect();
    let matrix = |points: Vec<Vec<f32>>| {
        let mut values = points.concat();
        for row in values.chunks_exact_mut(dims) {
            rotation.rotate(row);
            distance::normalize(row);
        }
        Embeddings::from_vec(values, dims)
    };
    Ok((matrix(points)?, matrix(asked)?))
}
