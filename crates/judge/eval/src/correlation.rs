//! Correlation of two lists of numbers, as SciPy defines it.

/// Pearson's correlation coefficient. `None` if the lists differ in length, have fewer than two numbers, a number that is not finite,
/// or no variance.
pub fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() != b.len() || a.len() < 2 || a.iter().chain(b).any(|value| !value.is_finite()) {
        return None;
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let norm = |values: &[f64], mean: f64| {
        values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    let (norm_a, norm_b) = (norm(a, mean_a), norm(b, mean_b));
    if norm_a == 0.0 || norm_b == 0.0 {
        return None;
    }
    // Divided before they are multiplied, so that small numbers don't vanish.
    let sum: f64 = a
        .iter()
        .zip(b)
        .map(|(x, y)| (x - mean_a) / norm_a * ((y - mean_b) / norm_b))
        .sum();
    Some(sum.clamp(-1.0, 1.0))
}

/// Spearman's rank correlation coefficient: Pearson's of the ranks, where equal numbers share the mean of their ranks.
/// `None` as for [`pearson`].
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() != b.len() || a.iter().chain(b).any(|value| !value.is_finite()) {
        return None;
    }
    pearson(&ranks(a), &ranks(b))
}

/// Ranks from 1, equal numbers sharing their mean (`scipy.stats.rankdata`, method average).
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let same = order[start..]
            .iter()
            .take_while(|&&at| values[at] == values[order[start]])
            .count();
        let rank = start as f64 + (same + 1) as f64 / 2.0;
        for &at in &order[start..start + same] {
            ranks[at] = rank;
        }
        start += same;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(
            ranks(&[3.0, 1.0, 3.0, 2.0, -0.0, 0.0]),
            [5.5, 3.0, 5.5, 4.0, 1.5, 1.5]
        );
    }

    #[test]
    fn what_has_no_correlation_says_so() {
        assert_eq!(pearson(&[1.0], &[1.0]), None);
        assert_eq!(pearson(&[1.0, 2.0], &[1.0]), None);
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0, f64::NAN], &[1.0, 2.0]), None);
        assert!((spearman(&[1.0, 2.0, 9.0], &[3.0, 2.0, 1.0]).unwrap() + 1.0).abs() < 1e-12);
    }
}
