//! ALiBi (arXiv 2108.12409): a penalty on scores that grows with the distance, by a slope for each head; nothing is learned.

use kokeshi_kernels::Bias;

/// The most distances of all heads together; 16 MB for each side of a query.
const MOST: usize = 1 << 22;

/// The penalties of a model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AlibiPlan {
    /// The exponent of the last head's slope, 8 in the paper.
    pub(crate) most: f64,
}

impl AlibiPlan {
    /// How many tokens a text may have.
    pub(crate) fn longest(heads: usize) -> usize {
        MOST / heads.max(1)
    }

    /// The penalties for texts of up to `longest` tokens; distances beyond `ceiling` count as `ceiling` (LM-Infinite).
    pub(crate) fn bias(self, heads: usize, longest: usize, ceiling: Option<usize>) -> Bias {
        let slopes = slopes(heads, self.most);
        let ceiling = ceiling.unwrap_or(usize::MAX);
        Bias::new(heads, longest, |head, distance| {
            -slopes[head] * distance.unsigned_abs().min(ceiling) as f32
        })
    }
}

/// The slopes `2^(-most * h / heads)` for h = 1, 2, ...; where the heads are no power of two, those of the next lower power and then every
/// second one of twice that power.
fn slopes(heads: usize, most: f64) -> Vec<f32> {
    let power = (heads + 1).next_power_of_two() / 2;
    let slope = |step: usize, of: usize| (-most * step as f64 / of as f64).exp2() as f32;
    let own = (1..=power).map(|step| slope(step, power));
    let more = (1..).step_by(2).map(|step| slope(step, 2 * power));
    own.chain(more).take(heads).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_paper_and_of_its_code_for_other_numbers_of_heads() {
        assert_eq!(slopes(8, 8.0)[..3], [0.5, 0.25, 0.125]);
        assert_eq!(slopes(2, 8.0), [0.0625, 0.003_906_25]);
        assert_eq!(slopes(1, 8.0), [0.003_906_25]);
        let twelve = slopes(12, 8.0);
        assert_eq!(twelve[..8], slopes(8, 8.0)[..]);
        let halves = [-0.5, -1.5, -2.5, -3.5].map(|exponent: f64| exponent.exp2() as f32);
        assert_eq!(twelve[8..], halves);
    }

    #[test]
    fn penalties_are_the_slope_times_the_distance_on_both_sides_up_to_the_ceiling() {
        let bias = AlibiPlan { most: 8.0 }.bias(8, 20, None);
        assert_eq!(
            (bias.get(0, -3), bias.get(0, 3), bias.get(1, 0)),
            (-1.5, -1.5, 0.0)
        );
        let bias = AlibiPlan { most: 8.0 }.bias(8, 20, Some(5));
        assert_eq!((bias.get(0, -5), bias.get(0, -19)), (-2.5, -2.5));
    }
}
