//! Chains tried on a sample: each is trained, searched, and compared with exact search.

use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use kokeshi_core::{Embeddings, Error, Metric, Result, Scored, Seed};
use rayon::prelude::*;

use crate::chain::Chain;
use crate::codec::Codec;
use crate::front::{Estimate, Point, Quality};
use crate::funnel::{Stage, funnel_all};
use crate::spec::Spec;

/// The rows that are compared exactly where a ranking is rescored.
pub const RESCORED: usize = 100;
/// Where recall is measured.
const DEPTH: usize = 10;
/// Queries that are asked together.
const TOGETHER: usize = 32;
/// Resamples of the queries for an interval.
const RESAMPLES: usize = 1000;

/// How good a ranking (rows of the sample, best first) is for the query of that number.
pub type Judge<'a> = dyn Fn(usize, &[u32]) -> f64 + Sync + 'a;

/// A sample that chains are tried on, with what exact search finds in it.
pub struct Trial<'a> {
    rows: &'a Embeddings,
    queries: &'a Embeddings,
    metric: Metric,
    seed: Seed,
    judge: Option<&'a Judge<'a>>,
    exact: Chain,
    full: Vec<u8>,
    wanted: Vec<Vec<u32>>,
    /// What the judge says of exact search, a figure a query.
    best: Option<Vec<f64>>,
}

impl std::fmt::Debug for Trial<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial")
            .field("rows", self.rows)
            .field("queries", self.queries)
            .finish_non_exhaustive()
    }
}

impl<'a> Trial<'a> {
    /// Searches `rows` exactly for every one of `queries`.
    ///
    /// # Errors
    /// Rows or queries that are not finite or don't fit each other; no queries.
    pub fn new(
        rows: &'a Embeddings,
        queries: &'a Embeddings,
        metric: Metric,
        seed: Seed,
        judge: Option<&'a Judge<'a>>,
    ) -> Result<Self> {
        if queries.is_empty() {
            return Err(Error::Parse {
                what: "the queries to try codecs with".into(),
                expected: "at least one".into(),
                found: "none".into(),
            });
        }
        let exact = "f32".parse::<Spec>()?.train(rows, metric, seed)?;
        let full = exact.encode_all(rows)?;
        let mut trial = Self {
            rows,
            queries,
            metric,
            seed,
            judge,
            exact,
            full,
            wanted: Vec::new(),
            best: None,
        };
        let found = trial.search(&[trial.whole(RESCORED)])?;
        trial.best = judge.map(|judge| {
            found
                .iter()
                .enumerate()
                .map(|(at, found)| judge(at, &found.ids))
                .collect()
        });
        trial.wanted = found
            .into_iter()
            .map(|mut found| {
                found.ids.truncate(DEPTH);
                found.ids
            })
            .collect();
        Ok(trial)
    }

    /// What the judge says of exact search; 1, the recall of exact search, where there is none.
    pub fn best(&self) -> f64 {
        self.best.as_deref().map_or(1.0, mean)
    }

    /// Trains and measures one chain.
    ///
    /// # Errors
    /// As [`Spec::train`]: a chain that does not fit these rows.
    pub fn measure(&self, spec: &Spec) -> Result<Point> {
        let start = Instant::now();
        let chain = spec.train(self.rows, self.metric, self.seed)?;
        let train_seconds = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let codes = chain.encode_all(self.rows)?;
        let encode_seconds = start.elapsed().as_secs_f64();
        let first = Stage {
            chain: &chain,
            codes: &codes,
            keep: RESCORED,
        };
        let coarse = self.search(&[first])?;
        let fine = self.search(&[first, self.whole(RESCORED)])?;
        let seconds: f64 = coarse.iter().map(|found| found.time.as_secs_f64()).sum();
        let recall = self.both(&coarse, &fine, None, |at, ids| recall(&self.wanted[at], ids));
        let quality = match (self.judge, &self.best) {
            (Some(judge), Some(best)) => self.both(&coarse, &fine, Some(best), judge),
            _ => recall,
        };
        Ok(Point {
            spec: spec.clone(),
            bytes: chain.code_bytes(),
            chain_bytes: chain.to_bytes().len(),
            recall,
            quality,
            queries_per_cpu_second: self.queries.rows() as f64 / seconds.max(1e-9),
            train_seconds,
            encode_seconds,
        })
    }

    fn whole(&self, keep: usize) -> Stage<'_> {
        Stage {
            chain: &self.exact,
            codes: &self.full,
            keep,
        }
    }

    fn search(&self, stages: &[Stage<'_>]) -> Result<Vec<Found>> {
        let queries: Vec<&[f32]> = self.queries.iter().collect();
        let some = |queries: &[&[f32]]| {
            let start = ThreadTime::now();
            let found = funnel_all(stages, queries)?;
            let time = start.elapsed() / queries.len() as u32;
            let ids = |hits: Vec<Scored>| hits.iter().map(|hit| hit.id).collect();
            Ok(found.into_iter().map(move |hits| Found { time, ids: ids(hits) }))
        };
        let groups = queries
            .par_chunks(TOGETHER)
            .map(some)
            .collect::<Result<Vec<_>>>()?;
        Ok(groups.into_iter().flatten().collect())
    }

    fn both(
        &self,
        coarse: &[Found],
        fine: &[Found],
        best: Option<&[f64]>,
        judge: impl Fn(usize, &[u32]) -> f64,
    ) -> Quality {
        let estimate = |found: &[Found]| {
            let lost: Vec<f64> = found
                .iter()
                .enumerate()
                .map(|(at, found)| judge(at, &found.ids) - best.map_or(1.0, |best| best[at]))
                .collect();
            let (best, (low, high)) = (best.map_or(1.0, mean), bootstrap(&lost, self.seed));
            Estimate {
                mean: best + mean(&lost),
                low: best + low,
                high: best + high,
            }
        };
        Quality {
            codes: estimate(coarse),
            rescored: estimate(fine),
        }
    }
}

/// What a search found, and the time of the thread that it took.
struct Found {
    ids: Vec<u32>,
    time: Duration,
}

fn recall(wanted: &[u32], found: &[u32]) -> f64 {
    let found = &found[..DEPTH.min(found.len())];
    wanted.iter().filter(|id| found.contains(id)).count() as f64 / wanted.len().max(1) as f64
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The 95 % interval of the mean.
fn bootstrap(values: &[f64], mut seed: Seed) -> (f64, f64) {
    let resample = |_| {
        let drawn = (0..values.len()).map(|_| values[seed.below(values.len())]);
        drawn.sum::<f64>() / values.len().max(1) as f64
    };
    let mut means: Vec<f64> = (0..RESAMPLES).map(resample).collect();
    means.sort_by(f64::total_cmp);
    (means[RESAMPLES / 40], means[RESAMPLES - 1 - RESAMPLES / 40])
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn better_codes_measure_better_and_a_judge_is_asked_about_every_query() {
        let mut seed = Seed(2);
        let values = (0..400 * 64).map(|_| seed.normal() as f32).collect();
        let rows = Embeddings::from_vec(values, 64).unwrap();
        let queries = Embeddings::from_vec(rows.as_slice()[..64 * 20].to_vec(), 64).unwrap();
        let trial = Trial::new(&rows, &queries, Metric::Cosine, Seed(1), None).unwrap();
        let measure = |text: &str| trial.measure(&text.parse().unwrap());
        let points = ["rabitq:1", "rabitq:4", "f16"].map(|text| measure(text).unwrap());
        let recalls = points.each_ref().map(|point| point.recall.codes.mean);
        assert!(
            recalls.is_sorted() && recalls[0] > 0.3 && recalls[2] > 0.97,
            "{recalls:?}"
        );
        assert!(
            points.iter().all(|point| point.quality == point.recall
                && point.recall.rescored.mean >= point.recall.codes.mean)
        );
        assert!(measure("pq:999").is_err());
        // What a chain says it will take is what it takes.
        let specs = candidates(64, Metric::Cosine);
        assert!(specs.len() > 20);
        for spec in specs {
            if let Ok(point) = trial.measure(&spec) {
                assert_eq!(point.bytes, spec.code_bytes(64), "{spec}");
            }
        }
        // Every query is one of the rows, and its own row is the best hit.
        let judge = |at: usize, ids: &[u32]| f64::from(u8::from(ids[0] as usize == at));
        let trial = Trial::new(&rows, &queries, Metric::Cosine, Seed(1), Some(&judge)).unwrap();
        let point = trial.measure(&"int8".parse().unwrap()).unwrap();
        assert_eq!(
            (trial.best(), point.quality.codes.mean, point.quality.codes.low),
            (1.0, 1.0, 1.0)
        );
        assert!(point.recall.codes.mean < 1.0);
        assert!(Trial::new(&rows, &Embeddings::new(64), Metric::Cosine, Seed(1), None).is_err());
    }
}
