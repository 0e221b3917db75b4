//! Predicting labels that were never seen: the Fréchet mean in a metric of labels instead of the likeliest label (Loki, arXiv 2307.12226).

use crate::error::{Error, Result};

/// Squared distances between all labels and those that a classifier knows.
///
/// ```
/// // Labels 0 to 5 in a row; the classifier knows 0 and 5.
/// let metric = kokeshi_eval::LabelMetric::new(6, &[0, 5], |a, b| a.abs_diff(b) as f64)?;
/// assert_eq!(metric.decide(&[0.6, 0.4]), 2);
/// assert_eq!(metric.decide(&[1.0, 0.0]), 0);
/// # Ok::<(), kokeshi_eval::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LabelMetric {
    /// `[labels, known]`
    squared: Vec<f64>,
    known: usize,
}

impl LabelMetric {
    /// Labels `0..labels`, of which the classifier gives probabilities for `known`, in that order; only distances to those are asked for.
    ///
    /// # Errors
    /// [`Error::Labels`] if there are none, one is not a label, or a distance is not a finite number from 0 on, as between parts of a graph that no
    /// path joins.
    pub fn new(labels: usize, known: &[usize], distance: impl Fn(usize, usize) -> f64) -> Result<Self> {
        if let Some(wrong) = known.iter().find(|label| **label >= labels) {
            return Err(Error::Labels(format!(
                "expected labels below {labels}, found {wrong}"
            )));
        }
        if known.is_empty() {
            return Err(Error::Labels(
                "expected at least one known label, found none".into(),
            ));
        }
        let mut squared = Vec::with_capacity(labels * known.len());
        for label in 0..labels {
            for other in known {
                let found = distance(label, *other);
                if !(found.is_finite() && found >= 0.0) {
                    return Err(Error::Labels(format!(
                        "expected a finite distance between labels {label} and {other}, found {found}"
                    )));
                }
                squared.push(found * found);
            }
        }
        Ok(Self {
            squared,
            known: known.len(),
        })
    }

    /// The label whose expected squared distance is smallest, the first of equals: `argmin_y sum_i p_i d(y, known_i)^2`.
    ///
    /// # Panics
    /// If there is not a probability for each known label.
    pub fn decide(&self, probabilities: &[f64]) -> usize {
        assert_eq!(
            probabilities.len(),
            self.known,
            "a probability for each known label"
        );
        let expected = self.squared.chunks_exact(self.known).map(|squared| {
            let products = squared.iter().zip(probabilities).map(|(squared, p)| squared * p);
            products.sum::<f64>()
        });
        let mut best = (0, f64::INFINITY);
        for (label, cost) in expected.enumerate() {
            // Sums that differ by rounding alone are equal.
            if label == 0 || cost < best.1 * (1.0 - 1e-12) {
                best = (label, cost);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(labels: usize, known: &[usize]) -> LabelMetric {
        LabelMetric::new(labels, known, |a, b| a.abs_diff(b) as f64).unwrap()
    }

    #[test]
    fn on_a_row_of_labels_it_rounds_the_expected_one() {
        let (metric, known) = (row(6, &[0, 2, 5]), [0.0, 2.0, 5.0]);
        for step in 0..=20 {
            for other in 0..=20 - step {
                let p = [f64::from(step) / 20.0, f64::from(other) / 20.0];
                let p = [p[0], p[1], 1.0 - p[0] - p[1]];
                let mean: f64 = p.iter().zip(known).map(|(p, label)| p * label).sum();
                // Halves go to the first of two equals.
                let rounded = (mean - 1e-9 - 0.5).ceil().max(0.0);
                assert_eq!(metric.decide(&p) as f64, rounded, "{p:?}");
            }
        }
    }

    #[test]
    fn where_all_labels_are_equally_far_it_is_the_likeliest() {
        let metric = LabelMetric::new(4, &[0, 1, 2, 3], |a, b| f64::from(u8::from(a != b))).unwrap();
        assert_eq!(metric.decide(&[0.2, 0.4, 0.3, 0.1]), 1);
        assert_eq!(metric.decide(&[0.3, 0.3, 0.2, 0.2]), 0);
    }

    #[test]
    fn certainty_is_kept_and_names_do_not_matter() {
        let metric = row(6, &[5, 1]);
        assert_eq!((metric.decide(&[1.0, 0.0]), metric.decide(&[0.0, 1.0])), (5, 1));
        assert_eq!(metric.decide(&[0.25, 0.75]), 2);
    }

    #[test]
    fn what_is_no_metric_is_refused() {
        for (known, distance, expected) in [
            (&[0, 7][..], 1.0, "below 6, found 7"),
            (&[], 1.0, "found none"),
            (&[0], f64::INFINITY, "found inf"),
            (&[0], -1.0, "found -1"),
        ] {
            let error = LabelMetric::new(6, known, |_, _| distance)
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
