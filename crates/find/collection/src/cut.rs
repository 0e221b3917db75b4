//! Where relevance ends: hits that look like chance are left out.
//!
//! A cosine of 0.4 is a find with one model and noise with another. So each collection keeps what the scores of unrelated texts look
//! like in it: its own passages serve as pseudo-queries against other, random passages. A query's best hit must score higher than the
//! best of n such random draws would, or hold most of what the query's words weigh; what does neither is cut.

use kokeshi_core::{Metric, Seed};
use kokeshi_index::Vectors;

/// Pairs that are drawn to calibrate.
const PAIRS: usize = 20_000;
/// Fewer passages than this can't be told from chance.
const FEWEST: usize = 30;
/// How unlikely the best of all passages must be to reach a score for it to stay.
const CHANCE: f64 = 0.05;
/// The share of the query's word weight (idf) that a hit must hold to stay whatever its dense score.
const COVERAGE: f32 = 0.5;

/// What dense scores of random pairs of passages look like in one collection.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Calibration {
    /// Passages there were when it was made.
    pub passages: u64,
    /// Mean score of a random pair.
    pub mean: f32,
    /// Standard deviation.
    pub deviation: f32,
}

impl Calibration {
    /// Draws pairs among the rows of `vectors`, of which `passages` live; `None` if there are too few to say.
    pub fn measure(vectors: &Vectors, passages: u64, metric: Metric) -> Option<Self> {
        let rows = vectors.rows();
        if rows < FEWEST {
            return None;
        }
        let mut seed = Seed(0x6b6f_6b65);
        let (mut sum, mut squares, mut count) = (0.0f64, 0.0f64, 0.0f64);
        for _ in 0..PAIRS {
            let (a, b) = (seed.below(rows) as u32, seed.below(rows) as u32);
            let score = f64::from(metric.score(vectors.row(a), vectors.row(b)));
            if a != b && score.is_finite() {
                sum += score;
                squares += score * score;
                count += 1.0;
            }
        }
        let mean = sum / count;
        let deviation = (squares / count - mean * mean).max(0.0).sqrt();
        (count > 0.0 && deviation > 0.0).then_some(Self {
            passages,
            mean: mean as f32,
            deviation: deviation as f32,
        })
    }

    /// How likely a random pair is to reach `score` (upper tail of the normal distribution).
    pub fn chance(&self, score: f32) -> f64 {
        let z = f64::from((score - self.mean) / self.deviation);
        upper_tail(z)
    }

    /// The score that the best of `n` random draws reaches with probability [`CHANCE`].
    pub fn threshold(&self, n: usize) -> f32 {
        let each = 1.0 - (1.0 - CHANCE).powf(1.0 / n.max(1) as f64);
        let (mut low, mut high) = (0.0, 40.0);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if upper_tail(middle) > each {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.mean + self.deviation * high as f32
    }
}

/// Whether a hit stays.
pub fn stays(dense: Option<f32>, threshold: Option<f32>, coverage: f32) -> bool {
    let meaning = match (dense, threshold) {
        (Some(score), Some(threshold)) => score >= threshold,
        // Nothing to compare with: words decide.
        (Some(_), None) => true,
        (None, _) => false,
    };
    meaning || coverage >= COVERAGE
}

/// P(Z > z) of the standard normal distribution, by the continued fraction for large z and the series of erf for small z.
fn upper_tail(z: f64) -> f64 {
    let density = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
    if z > 2.5 {
        let mut fraction = z;
        for step in (1..=60).rev() {
            fraction = z + f64::from(step) / fraction;
        }
        return density / fraction;
    }
    if z < -2.5 {
        return 1.0 - upper_tail(-z);
    }
    let (mut term, mut sum) = (z, z);
    for step in 1..60 {
        term *= z * z / f64::from(2 * step + 1);
        sum += term;
    }
    0.5 - density * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_tail_is_the_normal_distributions() {
        // scipy 1.14: scipy.stats.norm.sf
        for (z, expected) in [
            (0.0, 0.5),
            (1.0, 0.158_655_253_931_457_05),
            (2.4, 0.008_197_535_924_596_13),
            (2.6, 0.004_661_188_023_718_733),
            (6.0, 9.865_876_450_376_946e-10),
            (-1.0, 0.841_344_746_068_542_9),
            (-3.0, 0.998_650_101_968_369_9),
        ] {
            assert!(
                (upper_tail(z) / expected - 1.0).abs() < 1e-9,
                "{z}: {}",
                upper_tail(z)
            );
        }
    }

    #[test]
    fn the_threshold_grows_with_the_number_of_passages() {
        let calibration = Calibration {
            passages: 1000,
            mean: 0.1,
            deviation: 0.1,
        };
        assert!(calibration.threshold(10) < calibration.threshold(100_000));
        assert!(calibration.threshold(100_000) < 0.1 + 0.6);
    }
}
