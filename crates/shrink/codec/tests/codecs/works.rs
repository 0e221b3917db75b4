//! What each method must reach on 20,000 clustered vectors of 128 dims, or in the mean over many rotations, to be the method it says it is.

use kokeshi_codec::{Chain, Codec, Stage, funnel};
use kokeshi_core::{Embeddings, Metric, Seed, distance};

use crate::support::{about, train};

const ROWS: usize = 20_000;
const DIMS: usize = 128;

/// Rows, queries, and the ten nearest rows of each.
struct Set {
    rows: Embeddings,
    queries: Embeddings,
    full: (Chain, Vec<u8>),
    wanted: Vec<Vec<u32>>,
}

impl Set {
    fn new() -> Self {
        let (rows, queries) = about(200, ROWS, 200, DIMS, 21);
        let exact = train("f32", &rows, Metric::Cosine);
        let codes = exact.encode_all(&rows).unwrap();
        let mut set = Self {
            rows,
            queries,
            full: (exact, codes),
            wanted: Vec::new(),
        };
        set.wanted = set.found(&[set.exact(10)]);
        set
    }

    fn exact(&self, keep: usize) -> Stage<'_> {
        let (chain, codes) = &self.full;
        Stage { chain, codes, keep }
    }

    fn found(&self, stages: &[Stage<'_>]) -> Vec<Vec<u32>> {
        let one = |query| {
            funnel(stages, query, None)
                .unwrap()
                .iter()
                .map(|hit| hit.id)
                .collect()
        };
        self.queries.iter().map(one).collect()
    }

    /// The share of the ten nearest that a search finds.
    fn recall(&self, stages: &[Stage<'_>]) -> f64 {
        let pairs = self.wanted.iter().zip(self.found(stages));
        let found: usize = pairs
            .map(|(wanted, found)| wanted.iter().filter(|id| found.contains(id)).count())
            .sum();
        found as f64 / (10 * self.queries.rows()) as f64
    }

    /// The recall of a codec's ten best, and of its hundred best.
    fn recalls(&self, spec: &str) -> [f64; 2] {
        let chain = train(spec, &self.rows, Metric::Cosine);
        let codes = chain.encode_all(&self.rows).unwrap();
        [10, 100].map(|keep| {
            self.recall(&[Stage {
                chain: &chain,
                codes: &codes,
                keep,
            }])
        })
    }
}

#[test]
fn codecs_find_what_they_should_among_20_000_rows() {
    let set = Set::new();
    let ([pq, _], [opq, opq_100]) = (set.recalls("pq:16"), set.recalls("opq:16"));
    assert!(
        pq >= 0.55 && opq >= pq + 0.02 && opq_100 >= 0.97,
        "{pq} {opq} {opq_100}"
    );
    let ([int8, int8_100], [int4, int4_100]) = (set.recalls("int8"), set.recalls("int4"));
    assert!(int8 >= 0.97 && int4 >= 0.87, "{int8} {int4}");
    assert!(int8_100 >= 0.999 && int4_100 >= 0.999, "{int8_100} {int4_100}");
    let [_, bits] = set.recalls("rabitq:1");
    assert!(bits >= 0.97, "{bits}");
}

#[test]
fn a_funnel_by_principal_axes_finds_nearly_all_at_a_sixth_of_the_work_and_by_arbitrary_axes_does_not() {
    let set = Set::new();
    let recall = |spec: &str, shortlist| {
        let short = train(spec, &set.rows, Metric::Cosine);
        let codes = short.encode_all(&set.rows).unwrap();
        let first = Stage {
            chain: &short,
            codes: &codes,
            keep: shortlist,
        };
        set.recall(&[first, set.exact(10)])
    };
    let (long, short, raw) = (
        recall("pca:16", 800),
        recall("pca:16", 200),
        recall("prefix:16", 200),
    );
    // 20,000 x 16 and 800 x 128 products instead of 20,000 x 128: 16.5 %.
    assert!(long >= 0.97, "{long}");
    assert!((0.85..long).contains(&short), "{short}");
    assert!(raw <= short - 0.15, "{raw} {short}");
}

#[test]
fn scores_of_product_codes_are_products_with_what_they_stand_for() {
    let (rows, queries) = about(50, 1000, 5, 60, 22);
    for spec in ["pq:15", "opq:10"] {
        let chain = train(spec, &rows, Metric::Dot);
        let codes = chain.encode_all(&rows).unwrap();
        let decoded = chain.decode_all(&codes).unwrap();
        let mut scores = vec![0.0; rows.rows()];
        for query in queries.iter() {
            chain.query(query).unwrap().score_rows(&codes, &mut scores);
            for (score, row) in scores.iter().zip(decoded.iter()) {
                assert!((score - distance::dot(query, row)).abs() < 1e-4, "{spec}");
            }
        }
    }
}

#[test]
fn rabitq_is_right_in_the_mean_over_rotations_and_its_bounds_hold() {
    const ROTATIONS: u64 = 60;
    let (rows, queries) = about(50, 500, 500, DIMS, 23);
    for bits in [1, 2, 4] {
        // For each rotation the mean error over pairs of a query and the row that it is near to, and errors in standard errors.
        let (mut means, mut outside) = (Vec::new(), [0, 0]);
        for seed in 0..ROTATIONS {
            let spec: kokeshi_codec::Spec = format!("rabitq:{bits}").parse().unwrap();
            let chain = spec.train(&rows, Metric::Dot, Seed(seed)).unwrap();
            let codes = chain.encode_all(&rows).unwrap();
            let mut sum = 0.0;
            for (at, query) in queries.iter().enumerate() {
                let near = at * 13 % rows.rows();
                let prepared = chain.query(query).unwrap();
                // Bounds are of rows at random, which are as good as orthogonal to the query; they are wide for near ones.
                let other = (at * 13 + 250) % rows.rows();
                let mut scores = [0.0; 2];
                prepared.score_ids(&codes, &[near as u32, other as u32], &mut scores);
                let error = |score: f32, row| f64::from(score - distance::dot(query, rows.row(row)));
                let code = &codes[other * chain.code_bytes()..][..chain.code_bytes()];
                let errors = error(scores[1], other) / f64::from(prepared.standard_error(code).unwrap());
                outside[0] += usize::from(errors.abs() > 1.9);
                outside[1] += usize::from(errors.abs() > 3.0);
                sum += error(scores[0], near);
            }
            means.push(sum / queries.rows() as f64);
        }
        let count = means.len() as f64;
        let mean = means.iter().sum::<f64>() / count;
        let variance = means.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let error = (variance / count).sqrt();
        assert!(mean.abs() <= 3.0 * error, "{bits} bits: {mean} +- {error}");
        // The test could see a bias of a hundredth of the products, which are 0.8 or so.
        assert!(error < 0.002, "{bits} bits: {error}");
        let [loose, tight] = outside.map(|count| count as f64 / (ROTATIONS as usize * queries.rows()) as f64);
        // Most should be inside, and the bound not so wide that none is outside: 0.0296 are for one bit, by 600 rotations.
        assert!(
            (0.025..0.08).contains(&loose) && tight <= 0.01,
            "{bits} bits: {loose} {tight}"
        );
    }
}

#[test]
fn a_bit_a_value_points_where_theory_says() {
    // Rows and their opposites: what is compared with their mean is the rows themselves.
    let mut seed = Seed(24);
    let mut values: Vec<f32> = (0..1000 * DIMS).map(|_| seed.normal() as f32).collect();
    values.extend(values.clone().iter().map(|value| -value));
    let rows = Embeddings::from_vec(values, DIMS).unwrap();
    let chain = train("rabitq:1", &rows, Metric::Dot);
    let decoded = chain.decode_all(&chain.encode_all(&rows).unwrap()).unwrap();
    let cosines = rows
        .iter()
        .zip(decoded.iter())
        .map(|(a, b)| f64::from(distance::cosine(a, b)));
    let mean = cosines.sum::<f64>() / rows.rows() as f64;
    // sqrt(D) gamma(D / 2) / (sqrt(pi) gamma((D + 1) / 2)) at 128.
    assert!((mean - 0.7994).abs() < 0.003, "{mean}");
}
