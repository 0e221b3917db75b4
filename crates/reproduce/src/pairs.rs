//! Pairs of views for the reproductions that learn from pairs: both are made of one hidden vector, and a part of neither.

use kokeshi_core::{Embeddings, Result, Seed, distance};

/// Values of the hidden vector, of what only one view shows, and of a view.
const HIDDEN: usize = 32;
const NOISE: usize = 64;
const DIMS: usize = 128;
/// Groups of hidden vectors.
const CENTRES: usize = 200;

/// Pairs to learn from, and documents with queries for the first of them. All rows have unit length.
pub(crate) struct Pairs {
    /// Queries and their documents.
    pub train: (Embeddings, Embeddings),
    /// Query i asks for document i.
    pub queries: Embeddings,
    /// What is searched.
    pub documents: Embeddings,
}

impl Pairs {
    /// As many training pairs as documents: z = 0.7 centre + 0.7 noise of 32 values, a view is z A + 0.7 n B of 128 with fresh n of 64.
    pub(crate) fn draw(rows: usize, queries: usize, mut seed: Seed) -> Result<Self> {
        let mut normal = |count: usize, scale: f64| -> Vec<f32> {
            (0..count).map(|_| (scale * seed.normal()) as f32).collect()
        };
        let shared = normal(HIDDEN * DIMS, (HIDDEN as f64).sqrt().recip());
        let own = normal(NOISE * DIMS, (NOISE as f64).sqrt().recip());
        let centres = normal(CENTRES * HIDDEN, 1.0);
        let mut pairs = |count: usize| {
            let (mut first, mut second) =
                (Vec::with_capacity(count * DIMS), Vec::with_capacity(count * DIMS));
            for row in 0..count {
                let centre = &centres[row % CENTRES * HIDDEN..][..HIDDEN];
                let hidden: Vec<f32> = centre
                    .iter()
                    .zip(normal(HIDDEN, 0.7))
                    .map(|(centre, noise)| 0.7 * centre + noise)
                    .collect();
                for side in [&mut first, &mut second] {
                    let from = side.len();
                    side.resize(from + DIMS, 0.0);
                    let view = &mut side[from..];
                    let mut add = |weights: &[f32], axes: &[f32]| {
                        for (weight, axis) in weights.iter().zip(axes.chunks_exact(DIMS)) {
                            view.iter_mut()
                                .zip(axis)
                                .for_each(|(value, axis)| *value += weight * axis);
                        }
                    };
                    add(&hidden, &shared);
                    add(&normal(NOISE, 0.7), &own);
                    distance::normalize(view);
                }
            }
            Ok::<_, kokeshi_core::Error>((
                Embeddings::from_vec(first, DIMS)?,
                Embeddings::from_vec(second, DIMS)?,
            ))
        };
        let train = pairs(rows)?;
        let (asked, documents) = pairs(rows)?;
        Ok(Self {
            train,
            queries: Embeddings::from_vec(asked.as_slice()[..queries * DIMS].to_vec(), DIMS)?,
            documents,
        })
    }
}

/// The share of queries whose own row (of the same number) is among the `depth` best by cosine. Of rows that score alike half count as
/// better: codes that are all alike find nothing.
pub(crate) fn recall_at(depth: usize, queries: &Embeddings, rows: &Embeddings) -> f64 {
    let mut unit = rows.clone();
    unit.normalize();
    let mut scores = vec![0.0; rows.rows()];
    let mut found = 0.0;
    for (number, query) in queries.iter().enumerate() {
        distance::dot_rows(query, unit.as_slice(), &mut scores);
        let own = scores[number];
        // Rounding makes equal codes differ in the last digits.
        let near = 1e-6 * own.abs().max(1e-6);
        let better = scores.iter().filter(|&&score| score > own + near).count() as f64;
        let alike = scores
            .iter()
            .filter(|&&score| (score - own).abs() <= near)
            .count() as f64
            - 1.0;
        found += f64::from(u8::from(better + alike / 2.0 < depth as f64));
    }
    found / queries.rows().max(1) as f64
}
