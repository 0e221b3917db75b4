//! Vectors with clusters and unlike axes, and the exact answers to compare with.

use kokeshi_codec::{Chain, Codec, Spec, Stage, funnel};
use kokeshi_core::{Embeddings, Metric, Seed, distance};

/// [`about`] 50 centres.
pub fn clustered(rows: usize, queries: usize, dims: usize, seed: u64) -> (Embeddings, Embeddings) {
    about(50, rows, queries, dims, seed)
}

/// `rows` points about `centres` centres with axis deviations i^-0.5, turned by a random rotation, of unit length; and `queries` near some
/// of them.
pub fn about(
    centres: usize,
    rows: usize,
    queries: usize,
    dims: usize,
    seed: u64,
) -> (Embeddings, Embeddings) {
    let mut seed = Seed(seed);
    let deviation: Vec<f32> = (1..=dims).map(|at| (at as f32).powf(-0.5)).collect();
    let mut point = |scale: f32, from: &[f32]| -> Vec<f32> {
        let noise = deviation
            .iter()
            .map(|deviation| scale * deviation * seed.normal() as f32);
        from.iter().zip(noise).map(|(from, noise)| from + noise).collect()
    };
    let zero = vec![0.0; dims];
    let middles: Vec<Vec<f32>> = (0..centres).map(|_| point(1.0, &zero)).collect();
    let points: Vec<Vec<f32>> = (0..rows)
        .map(|at| point(1.0, &middles[at * 7 % centres]))
        .collect();
    let asked: Vec<Vec<f32>> = (0..queries)
        .map(|at| point(0.5, &points[at * 13 % rows]))
        .collect();
    let rotation = kokeshi_codec::Rotation::new(dims, 77);
    let matrix = |points: Vec<Vec<f32>>| {
        let mut values: Vec<f32> = points.into_iter().flatten().collect();
        for row in values.chunks_exact_mut(dims) {
            rotation.rotate(row);
            distance::normalize(row);
        }
        Embeddings::from_vec(values, dims).unwrap()
    };
    (matrix(points), matrix(asked))
}

/// Trains a factory string.
pub fn train(spec: &str, rows: &Embeddings, metric: Metric) -> Chain {
    spec.parse::<Spec>()
        .unwrap()
        .train(rows, metric, Seed(42))
        .unwrap()
}

/// The share of the exact ten best rows among the `keep` best by codes.
pub fn recall(spec: &str, rows: &Embeddings, queries: &Embeddings, metric: Metric, keep: usize) -> f64 {
    let exact = train("f32", rows, metric);
    let chain = train(spec, rows, metric);
    let (full, codes) = (exact.encode_all(rows).unwrap(), chain.encode_all(rows).unwrap());
    let mut found = 0;
    for query in queries.iter() {
        let best = |chain, codes, keep| {
            let hits = funnel(&[Stage { chain, codes, keep }], query, None).unwrap();
            hits.into_iter().map(|hit| hit.id).collect::<Vec<u32>>()
        };
        let wanted = best(&exact, &full, 10);
        let kept = best(&chain, &codes, keep);
        found += wanted.iter().filter(|id| kept.contains(id)).count();
    }
    found as f64 / (10 * queries.rows()) as f64
}

/// Whether a codec is told to know lengths.
pub fn knows(spec: &str, metric: Metric) -> bool {
    !(spec.contains("sign") && metric != Metric::Cosine || spec.contains("centred") && metric == Metric::Dot)
}

/// The mean squared error of what codes stand for.
pub fn error(chain: &Chain, rows: &Embeddings) -> f64 {
    let decoded = chain.decode_all(&chain.encode_all(rows).unwrap()).unwrap();
    assert_eq!((decoded.rows(), decoded.dims()), (rows.rows(), chain.dims()));
    let squares = rows
        .iter()
        .zip(decoded.iter())
        .map(|(a, b)| f64::from(distance::l2_squared(a, b)));
    squares.sum::<f64>() / rows.rows() as f64
}
