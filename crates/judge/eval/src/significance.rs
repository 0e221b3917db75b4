//! Whether a difference between two systems means anything: paired over the queries, seeded.

use kokeshi_core::Seed;
use serde::Serialize;

/// A mean and the interval it is in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The mean itself.
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The two-sided p-value of a paired randomisation test (Smucker, Allan and Carterette, 2007) of the hypothesis that the values `a` and `b`
/// of the same queries come from the same system: how often does swapping the two at random in each query give a mean difference as large
/// as the one observed? `rounds` random assignments and the observed one. `None` if the lists differ in length or are empty.
pub fn paired_randomisation(a: &[f64], b: &[f64], rounds: usize, seed: u64) -> Option<f64> {
    let differences = differences(a, b)?;
    let observed = differences.iter().sum::<f64>().abs();
    // Sums of the same numbers in another order may differ in the last bits.
    let slack = 1e-12 * differences.iter().map(|value| value.abs()).sum::<f64>();
    let mut seed = Seed(seed);
    let mut as_large = 0usize;
    for _ in 0..rounds {
        let mut sum = 0.0;
        for chunk in differences.chunks(64) {
            let signs = seed.next_u64();
            for (at, value) in chunk.iter().enumerate() {
                sum += if signs >> at & 1 == 1 { *value } else { -value };
            }
        }
        as_large += usize::from(sum.abs() >= observed - slack);
    }
    Some((as_large + 1) as f64 / (rounds + 1) as f64)
}

/// The percentile bootstrap interval of the mean difference `a - b` over the same queries; `confidence` is 0.95 for a 95 % interval.
/// `None` as for [`paired_randomisation`].
pub fn bootstrap_mean_difference(
    a: &[f64],
    b: &[f64],
    confidence: f64,
    rounds: usize,
    seed: u64,
) -> Option<Interval> {
    bootstrap_mean(&differences(a, b)?, confidence, rounds, seed)
}

/// The percentile bootstrap interval of a mean. `None` if there are no values or no rounds.
pub fn bootstrap_mean(values: &[f64], confidence: f64, rounds: usize, seed: u64) -> Option<Interval> {
    if values.is_empty() || rounds == 0 {
        return None;
    }
    let mut seed = Seed(seed);
    let count = values.len() as f64;
    let mut means: Vec<f64> = (0..rounds)
        .map(|_| {
            (0..values.len())
                .map(|_| values[seed.below(values.len())])
                .sum::<f64>()
                / count
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - confidence.clamp(0.0, 1.0)) / 2.0;
    Some(Interval {
        mean: values.iter().sum::<f64>() / count,
        low: quantile(&means, tail),
        high: quantile(&means, 1.0 - tail),
    })
}

fn differences(a: &[f64], b: &[f64]) -> Option<Vec<f64>> {
    let same = a.len() == b.len() && !a.is_empty();
    same.then(|| a.iter().zip(b).map(|(x, y)| x - y).collect())
}

/// Linear interpolation between the neighbours (NumPy's default).
fn quantile(sorted: &[f64], at: f64) -> f64 {
    let place = at * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_values_differ_by_chance_alone() {
        let values = [0.1, 0.5, 0.9];
        assert_eq!(paired_randomisation(&values, &values, 1000, 1), Some(1.0));
    }

    #[test]
    fn five_wins_of_five_have_the_exact_probability() {
        // All 32 assignments: only all plus and all minus are as large.
        let (a, b) = ([0.5; 5], [0.0; 5]);
        let found = paired_randomisation(&a, &b, 200_000, 3).unwrap();
        assert!((found - 2.0 / 32.0).abs() < 2e-3, "{found}");
    }

    #[test]
    fn the_interval_of_a_mean_is_as_wide_as_theory_says() {
        let mut seed = Seed(5);
        let values: Vec<f64> = (0..400).map(|_| seed.normal() + 1.0).collect();
        let found = bootstrap_mean(&values, 0.95, 4000, 9).unwrap();
        assert!(found.low < found.mean && found.mean < found.high);
        let half = (found.high - found.low) / 2.0;
        assert!((half - 1.96 / 20.0).abs() < 0.012, "{half}");
        assert_eq!(bootstrap_mean(&values, 0.95, 4000, 9), Some(found));
    }

    #[test]
    fn lists_that_do_not_pair_have_no_test() {
        assert_eq!(paired_randomisation(&[], &[], 10, 1), None);
        assert_eq!(bootstrap_mean_difference(&[1.0], &[1.0, 2.0], 0.95, 10, 1), None);
    }
}
