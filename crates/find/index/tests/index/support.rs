//! Synthetic vectors, the naive search that everything is compared with, and recall.

use kokeshi_core::{Bitmap, Embeddings, Metric, Scored, Seed, Silent};
use kokeshi_index::{Effort, FlatIndex, Found, Graph, GraphConfig, GraphIndex, Index, Vectors};

/// Clustered unit vectors and queries near some of them: axis i has standard deviation i^-0.5, `centres` cluster centres, one random
/// rotation of everything.
pub struct Clustered {
    pub rows: Embeddings,
    pub queries: Embeddings,
}

impl Clustered {
    pub fn new(rows: usize, dims: usize, centres: usize, queries: usize, seed: u64) -> Self {
        let mut seed = Seed(seed);
        let mut noise = |scale: f32| -> Vec<f32> {
            (1..=dims)
                .map(|axis| scale * seed.normal() as f32 / (axis as f32).sqrt())
                .collect()
        };
        let centres: Vec<Vec<f32>> = (0..centres).map(|_| noise(1.0)).collect();
        let plain: Vec<Vec<f32>> = (0..rows)
            .map(|row| add(&centres[row * 7919 % centres.len()], &noise(1.0)))
            .collect();
        let near: Vec<Vec<f32>> = (0..queries)
            .map(|query| add(&plain[query * 104_729 % rows], &noise(0.5)))
            .collect();
        let rotation = rotation(dims, &mut seed);
        Self {
            rows: rotated(&plain, &rotation, dims),
            queries: rotated(&near, &rotation, dims),
        }
    }
}

fn add(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// A random orthogonal matrix, row after row (Gram and Schmidt).
fn rotation(dims: usize, seed: &mut Seed) -> Vec<Vec<f32>> {
    let mut rows: Vec<Vec<f32>> = Vec::new();
    for _ in 0..dims {
        let mut row: Vec<f32> = (0..dims).map(|_| seed.normal() as f32).collect();
        for _ in 0..2 {
            for other in &rows {
                let along: f32 = row.iter().zip(other).map(|(a, b)| a * b).sum();
                row.iter_mut()
                    .zip(other)
                    .for_each(|(value, other)| *value -= along * other);
            }
        }
        kokeshi_core::distance::normalize(&mut row);
        rows.push(row);
    }
    rows
}

fn rotated(rows: &[Vec<f32>], rotation: &[Vec<f32>], dims: usize) -> Embeddings {
    let values = rows.iter().flat_map(|row| {
        rotation
            .iter()
            .map(|axis| row.iter().zip(axis).map(|(a, b)| a * b).sum::<f32>())
    });
    let mut matrix = Embeddings::from_vec(values.collect(), dims).unwrap();
    matrix.normalize();
    matrix
}

/// Random rows of `0..rows`, each with probability `share`.
pub fn random_filter(rows: usize, share: f64, seed: u64) -> Bitmap {
    let mut seed = Seed(seed);
    Bitmap::from_sorted(rows, (0..rows as u32).filter(|_| seed.uniform() < share))
}

pub fn build(rows: &Embeddings, metric: Metric) -> GraphIndex {
    let vectors = Vectors::from(rows.clone());
    let graph = Graph::build(&vectors, metric, GraphConfig::default(), &Silent).unwrap();
    GraphIndex::new(graph, vectors).unwrap()
}

/// The definition of a search: score all, sort all.
pub fn naive(
    rows: &Embeddings,
    metric: Metric,
    query: &[f32],
    k: usize,
    filter: Option<&Bitmap>,
) -> Vec<Scored> {
    let mut all: Vec<Scored> = rows
        .iter()
        .zip(0..)
        .filter(|(_, id)| filter.is_none_or(|filter| filter.contains(*id)))
        .map(|(row, id)| Scored {
            id,
            score: metric.score(query, row),
        })
        .filter(|hit| hit.score.is_finite())
        .collect();
    all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    all.truncate(k);
    all
}

pub fn ids(found: &Found) -> Vec<u32> {
    found.hits.iter().map(|hit| hit.id).collect()
}

/// The share of the exact k best that `index` finds at its default effort, and the mean number of comparisons.
pub fn recall(
    index: &GraphIndex,
    queries: &Embeddings,
    k: usize,
    effort: Effort,
    filter: Option<&Bitmap>,
) -> (f64, f64) {
    let flat = FlatIndex::new(index.vectors().clone(), index.metric());
    let (mut right, mut all, mut distances) = (0, 0, 0);
    for query in queries.iter() {
        let exact = flat.search(query, k, Effort::Exact, filter).unwrap();
        let found = index.search(query, k, effort, filter).unwrap();
        assert!(
            found
                .hits
                .iter()
                .all(|hit| filter.is_none_or(|filter| filter.contains(hit.id))),
            "a hit outside the filter"
        );
        // Copies of one row are equally right.
        let worst = exact.hits.last().map_or(f32::INFINITY, |hit| hit.score - 1e-6);
        right += found.hits.iter().filter(|hit| hit.score >= worst).count();
        all += exact.hits.len();
        distances += found.cost.distances;
    }
    (
        right as f64 / all as f64,
        distances as f64 / queries.rows() as f64,
    )
}
