//! How two vectors are compared.

use crate::{Error, Result, distance};

/// A way to compare two vectors. Scores are always "larger is better".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Cosine of the angle, in [-1, 1].
    #[default]
    Cosine,
    /// Inner product.
    Dot,
    /// Euclidean distance; the score is the negative squared distance.
    L2,
}

impl Metric {
    /// The score of `b` for `a`: larger is better.
    pub fn score(self, a: &[f32], b: &[f32]) -> f32 {
        match self {
            Self::Cosine => distance::cosine(a, b),
            Self::Dot => distance::dot(a, b),
            Self::L2 => -distance::l2_squared(a, b),
        }
    }

    /// The scores of every row of `matrix` (`[out.len(), query.len()]`), the same as [`Metric::score`] gives one by one. For rows
    /// of unit length, [`Metric::Dot`] ranks as [`Metric::Cosine`] does and takes half the time.
    ///
    /// # Panics
    /// If the matrix has another shape.
    pub fn score_rows(self, query: &[f32], matrix: &[f32], out: &mut [f32]) {
        match self {
            Self::Cosine => distance::cosine_rows(query, matrix, out),
            Self::Dot => distance::dot_rows(query, matrix, out),
            Self::L2 => {
                distance::l2_squared_rows(query, matrix, out);
                out.iter_mut().for_each(|distance| *distance = -*distance);
            }
        }
    }
}

impl std::str::FromStr for Metric {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "cosine" => Ok(Self::Cosine),
            "dot" => Ok(Self::Dot),
            "l2" | "euclidean" => Ok(Self::L2),
            other => Err(Error::Parse {
                what: "a metric".into(),
                expected: "cosine, dot or l2".into(),
                found: other.into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_vector_scores_higher_under_every_metric() {
        let (query, near, far) = ([1.0, 0.5, 0.0], [0.9, 0.6, 0.1], [-0.5, 0.2, 0.9]);
        for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
            assert!(
                metric.score(&query, &near) > metric.score(&query, &far),
                "{metric:?}"
            );
            let mut scores = [0.0; 2];
            metric.score_rows(&query, &[near, far].concat(), &mut scores);
            assert_eq!(scores, [metric.score(&query, &near), metric.score(&query, &far)]);
        }
    }

    #[test]
    fn names_are_read_as_serde_writes_them() {
        for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
            let json = serde_json::to_string(&metric).unwrap();
            assert_eq!(json.trim_matches('"').parse::<Metric>().unwrap(), metric);
        }
        assert!(
            "manhattan"
                .parse::<Metric>()
                .unwrap_err()
                .to_string()
                .contains("cosine, dot or l2")
        );
    }
}
