//! Relative positions in buckets: a learned bias for each head and distance (T5, arXiv 1910.10683, section 2.1; MPNet, arXiv 2004.09297).

use kokeshi_kernels::Bias;

use crate::encoder::Parts;
use crate::error::Result;

/// Where the biases are and how distances are grouped.
pub(crate) struct BucketPlan {
    /// The tensor, `[rows, heads]`.
    pub(crate) name: String,
    /// Its rows, at least `buckets`.
    pub(crate) rows: usize,
    /// Half of them for keys before the query, half for those after it; in a decoder all for those before it.
    pub(crate) buckets: usize,
    /// The distance from which all are in the last bucket.
    pub(crate) most: usize,
    /// Whether queries see only what stands before them.
    pub(crate) causal: bool,
}

impl BucketPlan {
    /// Reads the biases for texts of up to `longest` tokens.
    pub(crate) fn load(&self, parts: &Parts<'_>, heads: usize, longest: usize) -> Result<Bias> {
        let values = parts.values(&self.name, &[self.rows, heads])?;
        Ok(Bias::new(heads, longest, |head, distance| {
            values[bucket(distance, self.buckets, self.most, self.causal) * heads + head]
        }))
    }
}

/// The bucket of a key `distance` tokens after its query: near ones have one each, the others share them by the logarithm.
pub(crate) fn bucket(distance: isize, buckets: usize, most: usize, causal: bool) -> usize {
    let (half, distance) = match causal {
        true => (buckets, distance.min(0)),
        false => (buckets / 2, distance),
    };
    let side = if distance > 0 { half } else { 0 };
    let (distance, exact) = (distance.unsigned_abs(), half / 2);
    if distance < exact {
        return side + distance;
    }
    let part = (distance as f32 / exact as f32).ln() / (most as f32 / exact as f32).ln();
    side + (exact + (part * (half - exact) as f32) as usize).min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn buckets_are_those_of_the_paper_on_both_sides() {
        let before = [
            0, 1, 7, 8, 11, 12, 15, 16, 22, 23, 31, 32, 45, 46, 63, 64, 90, 91, 127, 128, 500,
        ];
        let found = before.map(|distance| bucket(-distance, 32, 128, false));
        assert_eq!(
            found,
            [
                0, 1, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15, 15, 15
            ]
        );
        assert_eq!(bucket(1, 32, 128, false), 17);
        assert_eq!(bucket(500, 32, 128, false), 31);
    }

    #[test]
    fn buckets_of_a_decoder_are_those_of_the_paper() {
        let before = [0, 1, 2, 3, 4, 5, 15, 16, 31, 64, 127, 128, 500];
        let found = before.map(|distance| bucket(-distance, 32, 128, true));
        assert_eq!(found, [0, 1, 2, 3, 4, 5, 15, 16, 21, 26, 31, 31, 31]);
        assert_eq!(bucket(7, 32, 128, true), 0);
    }
}
