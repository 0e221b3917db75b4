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
