//! What smaller codes lose: chains are tried on a sample, and those that nothing beats at their size are the Pareto front.

use std::time::Instant;

use kokeshi_core::{Embeddings, Metric, Result, Seed};

use crate::codec::Codec;
use crate::funnel::{Stage, funnel};
use crate::spec::Spec;

/// What was measured of one chain.
#[derive(Debug, Clone)]
pub struct Point {
    /// The chain.
    pub spec: Spec,
    /// Bytes a vector.
    pub bytes: usize,
    /// The share of the ten exact neighbours among the ten best by codes, mean over the queries.
    pub recall: f64,
    /// The 95 % interval of that mean, by bootstrap over the queries.
    pub interval: (f64, f64),
    /// The share of the ten exact neighbours among the hundred best by codes: what exact rescoring of a hundred rows reaches.
    pub rescored: f64,
    /// Queries a second by scanning all codes one after another, one thread.
    pub queries_per_second: f64,
    /// Seconds to train it and to encode the sample, all threads.
    pub train_seconds: f64,
    /// Seconds to encode the rows.
    pub encode_seconds: f64,
}

/// Chains worth trying for vectors of `dims` values under `metric`, of different sizes.
pub fn candidates(dims: usize, metric: Metric) -> Vec<Spec> {
    let mut texts: Vec<String> = ["f16", "int8", "int4"].map(String::from).to_vec();
    texts.extend((1..=8).map(|bits| format!("rabitq:{bits}")));
    if metric == Metric::Cosine {
        texts.push("rotate|sign".into());
    }
    for width in [dims * 2 / 3, dims / 2, dims / 3, dims / 4, dims / 6] {
        let width = width / 8 * 8;
        if width >= 16 {
            texts.extend(
                ["f16", "int8", "int4", "rabitq:4", "rabitq:2"].map(|codec| format!("pca:{width}|{codec}")),
            );
            texts.extend(["int8", "rabitq:4"].map(|codec| format!("prefix:{width}|{codec}")));
        }
    }
    for parts in [dims / 4, dims / 8, dims / 16] {
        if parts > 0 {
            texts.push(format!("opq:{parts}"));
            texts.push(format!("opq:{}x4", 2 * parts));
        }
    }
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Resamples of the queries for an interval.
const RESAMPLES: usize = 1000;

/// Trains each of `specs` on `rows` and searches them for `queries`, comparing with exact search; `done` sees every point as it is
/// measured. A chain that can't be trained on these rows is left out with its error.
///
/// # Errors
/// Rows or queries that are not finite or don't fit each other.
pub fn measure(
    specs: &[Spec],
    rows: &Embeddings,
    queries: &Embeddings,
    metric: Metric,
    seed: Seed,
    mut done: impl FnMut(&Spec, &Result<Point>),
) -> Result<Vec<Point>> {
    let exact: Spec = "f32".parse()?;
    let exact = exact.train(rows, metric, seed)?;
    let full = exact.encode_all(rows)?;
    let wanted: Vec<Vec<u32>> = queries
        .iter()
        .map(|query| {
            Ok(ids(&funnel(
                &[Stage {
                    chain: &exact,
                    codes: &full,
                    keep: 10,
                }],
                query,
                None,
            )?))
        })
        .collect::<Result<_>>()?;
    let mut points = Vec::new();
    for spec in specs {
        let point = one(spec, rows, queries, &wanted, metric, seed);
        done(spec, &point);
        points.extend(point);
    }
    Ok(points)
}

fn ids(hits: &[kokeshi_core::Scored]) -> Vec<u32> {
    hits.iter().map(|hit| hit.id).collect()
}

fn one(
    spec: &Spec,
    rows: &Embeddings,
    queries: &Embeddings,
    wanted: &[Vec<u32>],
    metric: Metric,
    seed: Seed,
) -> Result<Point> {
    let start = Instant::now();
    let chain = spec.train(rows, metric, seed)?;
    let train_seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let codes = chain.encode_all(rows)?;
    let encode_seconds = start.elapsed().as_secs_f64();
    let stage = |keep| Stage {
        chain: &chain,
        codes: &codes,
        keep,
    };
    let start = Instant::now();
    let found: Vec<Vec<u32>> = queries
        .iter()
        .map(|query| Ok(ids(&funnel(&[stage(100)], query, None)?)))
        .collect::<Result<_>>()?;
    let queries_per_second = queries.rows() as f64 / start.elapsed().as_secs_f64().max(1e-9);
    let share = |depth: usize| -> Vec<f64> {
        let pairs = found.iter().zip(wanted);
        let hits = pairs.map(|(found, wanted)| {
            let kept = &found[..depth.min(found.len())];
            wanted.iter().filter(|id| kept.contains(id)).count() as f64 / wanted.len().max(1) as f64
        });
        hits.collect()
    };
    let shares = share(10);
    Ok(Point {
        spec: spec.clone(),
        bytes: chain.code_bytes(),
        recall: mean(&shares),
        interval: bootstrap(&shares, seed),
        rescored: mean(&share(100)),
        queries_per_second,
        train_seconds,
        encode_seconds,
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The 95 % interval of the mean.
fn bootstrap(values: &[f64], mut seed: Seed) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let resample = |_| {
        let drawn = (0..values.len()).map(|_| values[seed.below(values.len())]);
        drawn.sum::<f64>() / values.len() as f64
    };
    let mut means: Vec<f64> = (0..RESAMPLES).map(resample).collect();
    means.sort_by(f64::total_cmp);
    (means[RESAMPLES / 40], means[RESAMPLES - 1 - RESAMPLES / 40])
}

/// The points that no other one beats in recall at the same bytes or fewer, by rising bytes.
pub fn front(points: &[Point]) -> Vec<&Point> {
    let mut order: Vec<&Point> = points.iter().collect();
    order.sort_by(|a, b| a.bytes.cmp(&b.bytes).then(b.recall.total_cmp(&a.recall)));
    let mut best = f64::NEG_INFINITY;
    order.retain(|point| {
        let better = point.recall > best;
        best = best.max(point.recall);
        better
    });
    order
}

/// The choice: the most recall in at most `bytes` a vector; or, without that, the fewest bytes with at least `recall`. With both, the
/// fewest bytes within the budget that reach it. Nothing if nothing does.
pub fn pick(points: &[Point], bytes: Option<usize>, recall: Option<f64>) -> Option<&Point> {
    let mut fitting = front(points);
    fitting.retain(|point| bytes.is_none_or(|bytes| point.bytes <= bytes));
    match recall {
        Some(least) => fitting.into_iter().find(|point| point.recall >= least),
        None => fitting.pop(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(bytes: usize, recall: f64) -> Point {
        Point {
            spec: "f32".parse().unwrap(),
            bytes,
            recall,
            interval: (recall, recall),
            rescored: 1.0,
            queries_per_second: 1.0,
            train_seconds: 0.0,
            encode_seconds: 0.0,
        }
    }

    #[test]
    fn the_front_leaves_out_what_is_beaten_and_the_choice_keeps_to_budget_and_recall() {
        let points = [
            point(100, 0.9),
            point(50, 0.7),
            point(60, 0.6),
            point(200, 0.95),
            point(100, 0.8),
        ];
        let bytes: Vec<usize> = front(&points).iter().map(|point| point.bytes).collect();
        assert_eq!(bytes, [50, 100, 200]);
        assert_eq!(pick(&points, Some(120), None).unwrap().recall, 0.9);
        assert_eq!(pick(&points, None, Some(0.85)).unwrap().bytes, 100);
        assert!(pick(&points, Some(60), Some(0.85)).is_none());
        assert!(pick(&points, Some(10), None).is_none());
    }

    #[test]
    fn an_interval_holds_the_mean_and_narrows_with_more_queries() {
        let values = |count: usize| (0..count).map(|at| (at % 11) as f64 / 10.0).collect::<Vec<_>>();
        let width = |count| {
            let values = values(count);
            let (low, high) = bootstrap(&values, Seed(1));
            assert!(low < mean(&values) && mean(&values) < high);
            high - low
        };
        assert!(width(1100) < 0.5 * width(110));
    }

    #[test]
    fn every_candidate_trains_or_says_why_and_better_codes_measure_better() {
        let mut seed = Seed(2);
        let values = (0..400 * 64).map(|_| seed.normal() as f32).collect();
        let rows = Embeddings::from_vec(values, 64).unwrap();
        let queries = Embeddings::from_vec(rows.as_slice()[..64 * 20].to_vec(), 64).unwrap();
        let specs: Vec<Spec> = ["rabitq:1", "rabitq:4", "f16", "pq:999"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let mut failed = 0;
        let points = measure(&specs, &rows, &queries, Metric::Cosine, Seed(1), |_, point| {
            failed += usize::from(point.is_err());
        });
        let recalls: Vec<f64> = points.unwrap().iter().map(|point| point.recall).collect();
        assert!(
            failed == 1 && recalls.is_sorted() && recalls[0] > 0.3 && recalls[2] > 0.97,
            "{recalls:?}"
        );
        assert!(candidates(64, Metric::Cosine).len() > 20);
    }
}
