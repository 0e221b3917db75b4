//! Wilcoxon's signed-rank test for paired scores (Wilcoxon, 1945), which Pooling And Attention (arXiv 2409.02727) compares designs by.

use serde::Serialize;

/// As many pairs that differ have the exact distribution; counts of sign patterns are whole numbers in f64 up to there.
const MOST_EXACT: usize = 50;

/// What the test found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Wilcoxon {
    /// Pairs that differ: those that don't are left out.
    pub n: usize,
    /// The smaller one of the rank sums of both signs.
    pub statistic: f64,
    /// The two-sided p-value.
    pub p: f64,
    /// Whether it is exact; else it is the normal approximation's.
    pub exact: bool,
}

/// The two-sided signed-rank test of the hypothesis that differences of the paired scores `a` and `b` are as often above as below zero, with
/// equal sizes. Pairs without a difference are left out; equal sizes share the mean of their ranks. Up to 50 pairs that differ the p-value is
/// that of all patterns of signs, with ties too; with more the normal approximation's, its variance corrected for ties. With fewer than six
/// pairs it can't be below 0.05. `None` if the lists differ in length or are empty, or a score is not a number.
///
/// ```
/// let found = kokeshi_eval::wilcoxon(&[0.5, 0.6, 0.7, 0.8], &[0.1, 0.3, 0.5, 0.9]).unwrap();
/// assert_eq!((found.n, found.statistic, found.p), (4, 1.0, 0.25));
/// ```
pub fn wilcoxon(a: &[f64], b: &[f64]) -> Option<Wilcoxon> {
    if a.len() != b.len() || a.is_empty() {
        return None;
    }
    let mut differences: Vec<f64> = a.iter().zip(b).map(|(x, y)| x - y).collect();
    if differences.iter().any(|value| value.is_nan()) {
        return None;
    }
    differences.retain(|value| *value != 0.0);
    differences.sort_by(|x, y| x.abs().total_cmp(&y.abs()));
    let n = differences.len();
    // Ranks times two are whole numbers, ties or not.
    let mut ranks = Vec::with_capacity(n);
    let mut tied = 0.0;
    for group in differences.chunk_by(|x, y| x.abs() == y.abs()) {
        let (first, size) = (ranks.len() + 1, group.len());
        ranks.extend(std::iter::repeat_n(2 * first + size - 1, size));
        tied += (size * size * size - size) as f64;
    }
    let total: usize = ranks.iter().sum();
    let signed = ranks.iter().zip(&differences);
    let positive: usize = signed
        .filter(|(_, value)| **value > 0.0)
        .map(|(rank, _)| rank)
        .sum();
    let least = positive.min(total - positive);
    let exact = n <= MOST_EXACT;
    let tail = match exact {
        true => exact_tail(&ranks, least),
        false => {
            let count = n as f64;
            let variance = count * (count + 1.0) * (2.0 * count + 1.0) / 24.0 - tied / 48.0;
            let z = (least as f64 / 2.0 - total as f64 / 4.0) / variance.sqrt();
            normal_tail(z)
        }
    };
    Some(Wilcoxon {
        n,
        statistic: least as f64 / 2.0,
        p: (2.0 * tail).min(1.0),
        exact,
    })
}

/// The share of all patterns of signs whose sum of positive ranks is at most `most`.
fn exact_tail(ranks: &[usize], most: usize) -> f64 {
    let mut counts = vec![0.0; most + 1];
    counts[0] = 1.0;
    for rank in ranks {
        for at in (*rank..=most).rev() {
            counts[at] += counts[at - rank];
        }
    }
    counts.iter().sum::<f64>() * 0.5_f64.powi(ranks.len() as i32)
}

/// The standard normal distribution up to `z <= 0`.
fn normal_tail(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pairs_can_not_be_significant() {
        for n in 1..=6 {
            let (a, b): (Vec<f64>, Vec<f64>) = (1..=n).map(|at| (f64::from(at), 0.0)).unzip();
            let found = wilcoxon(&a, &b).unwrap();
            assert_eq!(found.p, 2.0 * 0.5_f64.powi(n));
            assert_eq!(found.p < 0.05, n == 6);
        }
    }

    #[test]
    fn equal_scores_and_lists_that_do_not_pair() {
        let found = wilcoxon(&[1.0, 2.0], &[1.0, 2.0]).unwrap();
        assert_eq!((found.n, found.p), (0, 1.0));
        assert_eq!(wilcoxon(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(wilcoxon(&[], &[]), None);
        assert_eq!(wilcoxon(&[f64::NAN], &[1.0]), None);
    }
}
