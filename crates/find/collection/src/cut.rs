//! Where relevance ends: hits that look like chance are left out.
//!
//! A cosine of 0.4 is a find with one model and noise with another. So each collection keeps what the scores of random pairs of its own
//! passages look like. What speaks for a hit is its dense score in standard deviations above such a pair, how much of the query's words
//! it holds, and how much of them the collection knows at all (gibberish lands anywhere in the space of vectors, but its words are
//! unknown). How far chance gets in a collection is then measured with queries about nothing (`chance.rs`), and a hit must get further.
//!
//! The two weights were fitted on gibberish, off-topic queries and the real queries of three collections of 3,395, 5,183 and 68,695
//! documents; `bench/no_answer/run.py` prints how the cut does.

use kokeshi_core::{Metric, Seed};
use kokeshi_index::Vectors;

/// Pairs that are drawn to calibrate.
const PAIRS: usize = 20_000;
/// Fewer passages than this can't be told from chance.
const FEWEST: usize = 30;
/// What a hit gains if it holds all words of the query, in standard deviations of the dense score.
const COVERAGE_WEIGHT: f32 = 4.0;
/// The dense score counts at least this many standard deviations.
const LEAST_DENSE: f32 = -2.0;
/// What all hits gain if the collection knows all words of the query.
const KNOWN_WEIGHT: f32 = 2.0;
/// The bar for [`BAR_PASSAGES`] passages until chance was measured: rather low.
const BAR: f32 = 2.0;
/// See [`BAR`].
const BAR_PASSAGES: f32 = 5_000.0;
/// How the bar rises when there are e times as many passages.
const BAR_SLOPE: f32 = 0.85;
/// Until chance was measured the bar is never lower or higher than this.
const BAR_RANGE: (f32, f32) = (1.0, 4.5);

/// What dense scores of random pairs of passages look like in one collection.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Calibration {
    /// Passages there were when it was made.
    pub passages: u64,
    /// Mean score of a random pair.
    pub mean: f32,
    /// Standard deviation.
    pub deviation: f32,
    /// The relevance that queries about nothing reach, if it was measured for these passages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bar: Option<f32>,
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
            bar: None,
        })
    }

    /// How likely a random pair is to reach `score` (upper tail of the normal distribution).
    pub fn chance(&self, score: f32) -> f64 {
        let z = f64::from((score - self.mean) / self.deviation);
        upper_tail(z)
    }

    /// What speaks for a hit: its dense score (`None`: it has none, an average one is taken), the share of the query's word weight
    /// that it holds, and the share that the collection knows, both in [0, 1].
    pub fn relevance(&self, dense: Option<f32>, coverage: f32, known: f32) -> f32 {
        // Where all passages are alike a short query is far from each of them; that must not outweigh words which are there.
        let dense = dense.map_or(0.0, |score| {
            ((score - self.mean) / self.deviation).max(LEAST_DENSE)
        });
        dense + COVERAGE_WEIGHT * coverage + KNOWN_WEIGHT * known
    }

    /// The relevance that a hit needs to stay when `searched` passages were searched: the best of few gets less far by chance.
    pub fn bar(&self, searched: usize) -> f32 {
        let searched = searched.max(1) as f32;
        match self.bar {
            Some(bar) => bar + BAR_SLOPE * (searched / self.passages.max(1) as f32).ln().clamp(-2.0, 1.0),
            None => (BAR + BAR_SLOPE * (searched / BAR_PASSAGES).ln()).clamp(BAR_RANGE.0, BAR_RANGE.1),
        }
    }
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

    const CALIBRATION: Calibration = Calibration {
        passages: 1000,
        mean: 0.1,
        deviation: 0.1,
        bar: None,
    };

    #[test]
    fn the_bar_rises_with_the_number_of_passages_within_bounds() {
        let bars = [0, 10, 5_000, 70_000, 1 << 40].map(|passages| CALIBRATION.bar(passages));
        assert!(bars.is_sorted());
        assert_eq!((bars[0], bars[2], bars[4]), (BAR_RANGE.0, BAR, BAR_RANGE.1));
        let measured = Calibration {
            bar: Some(3.0),
            ..CALIBRATION
        };
        assert!(measured.bar(1000) == 3.0 && measured.bar(100) < 3.0);
    }

    #[test]
    fn words_and_meaning_add_up() {
        let gibberish = CALIBRATION.relevance(Some(0.2), 0.0, 0.0);
        let paraphrase = CALIBRATION.relevance(Some(0.4), 0.2, 1.0);
        let literal = CALIBRATION.relevance(Some(0.1), 1.0, 1.0);
        assert!(gibberish < CALIBRATION.bar(5_000));
        assert!(paraphrase > CALIBRATION.bar(5_000) && literal > CALIBRATION.bar(5_000));
    }
}
