//! Made-up vectors and attributes of known shape, for tests and benchmarks.

use kokeshi_core::{Embeddings, Result, Seed, distance};

use crate::Labels;

/// `rows` points `[rows, dims]` about `centres` random centres, axis i (from 1) having deviation i^-0.5 among centres and points alike,
/// and `queries` at half of that deviation from random ones of them; all turned by one random rotation and scaled to unit length.
///
/// # Errors
/// None for shapes that fit into memory.
pub fn clusters(
    rows: usize,
    queries: usize,
    dims: usize,
    centres: usize,
    mut seed: Seed,
) -> Result<(Embeddings, Embeddings)> {
    let rotation = Rotation::new(dims, &mut seed);
    let deviations: Vec<f32> = (1..=dims).map(|axis| (axis as f32).powf(-0.5)).collect();
    let near = |from: &[f32], scale: f32, seed: &mut Seed| -> Vec<f32> {
        let axes = from.iter().zip(&deviations);
        axes.map(|(from, deviation)| from + scale * deviation * seed.normal() as f32)
            .collect()
    };
    let origin = vec![0.0; dims];
    let middles: Vec<_> = (0..centres.max(1))
        .map(|_| near(&origin, 1.0, &mut seed))
        .collect();
    let mut points = Vec::with_capacity(rows);
    for _ in 0..rows {
        let centre = seed.below(middles.len());
        points.push(near(&middles[centre], 1.0, &mut seed));
    }
    let asked = (0..if rows == 0 { 0 } else { queries })
        .map(|_| {
            let point = seed.below(rows);
            near(&points[point], 0.5, &mut seed)
        })
        .collect();
    let matrix = |points: Vec<Vec<f32>>| {
        let mut values = points.concat();
        for row in values.chunks_exact_mut(dims.max(1)) {
            rotation.turn(row);
            distance::normalize(row);
        }
        Embeddings::from_vec(values, dims)
    };
    Ok((matrix(points)?, matrix(asked)?))
}

/// A random orthogonal map: reflections at as many random planes as there are dimensions.
struct Rotation(Vec<Vec<f32>>);

impl Rotation {
    fn new(dims: usize, seed: &mut Seed) -> Self {
        let mut plane = || {
            let mut normal: Vec<f32> = (0..dims).map(|_| seed.normal() as f32).collect();
            distance::normalize(&mut normal);
            normal
        };
        Self((0..dims).map(|_| plane()).collect())
    }

    fn turn(&self, row: &mut [f32]) {
        for normal in &self.0 {
            let along = 2.0 * distance::dot(row, normal);
            for (value, normal) in row.iter_mut().zip(normal) {
                *value -= along * normal;
            }
        }
    }
}

/// One of `count` equally likely labels for each row, which have nothing to do with the vectors.
pub fn random_labels(rows: usize, count: usize, mut seed: Seed) -> Labels {
    Labels::new((0..rows).map(|_| [seed.below(count) as u32]))
}

/// Any of `count` labels for each row, label j (from 0) with a chance of 0.6 / (j + 1)^0.75: many rows share the first, few the last.
pub fn random_label_sets(rows: usize, count: usize, mut seed: Seed) -> Labels {
    Labels::new((0..rows).map(|_| {
        let chance = |label: u32| 0.6 / (f64::from(label) + 1.0).powf(0.75);
        (0..count as u32)
            .filter(|&label| seed.uniform() < chance(label))
            .collect::<Vec<_>>()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_have_unit_length_and_queries_are_near_them() -> Result<()> {
        let (rows, queries) = clusters(500, 20, 16, 5, Seed(3))?;
        assert_eq!((rows.rows(), queries.rows()), (500, 20));
        for query in queries.iter() {
            assert!((distance::dot(query, query) - 1.0).abs() < 1e-5);
            let distances: Vec<f32> = rows.iter().map(|row| distance::l2_squared(query, row)).collect();
            let nearest = distances.iter().copied().fold(f32::INFINITY, f32::min);
            assert!(nearest < 0.5 * distances.iter().sum::<f32>() / 500.0, "{nearest}");
        }
        assert_eq!(clusters(500, 20, 16, 5, Seed(3))?.0.as_slice(), rows.as_slice());
        Ok(())
    }

    #[test]
    fn label_sets_have_the_chances_that_they_are_given() {
        let labels = random_label_sets(20_000, 5, Seed(1));
        for (label, members) in labels.members().iter().enumerate() {
            let share = members.len() as f64 / 20_000.0;
            let chance = 0.6 / (label as f64 + 1.0).powf(0.75);
            assert!((share - chance).abs() < 0.02, "{label}: {share}");
        }
    }
}
