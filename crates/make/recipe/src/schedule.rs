//! The learning rate by step.

use crate::recipe::{Schedule, Train};

/// The share of steps in which `wsd` goes down.
const DECAY: f64 = 0.2;

/// The share of tokens in which `power` goes down at the end (arXiv 2408.13359).
const POWER_DECAY: f64 = 0.1;

/// The rate of step `step` of `total`, from 0; a step reads about `tokens` tokens.
pub(crate) fn rate(train: &Train, step: u64, total: u64, tokens: f64) -> f32 {
    let highest = f64::from(train.rate);
    let warm = (train.warmup * total as f64).ceil();
    let at = step as f64;
    // What it would be without warm-up and the end.
    let level = |at: f64| match train.schedule {
        Schedule::Power => power(train, at * tokens),
        _ => highest,
    };
    if at < warm {
        return (level(warm) * (at + 1.0) / warm) as f32;
    }
    let done = (at - warm) / (total as f64 - warm).max(1.0);
    let share = match train.schedule {
        Schedule::Constant => 1.0,
        Schedule::Linear => 1.0 - done,
        Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
        Schedule::Wsd => ((1.0 - done) / DECAY).min(1.0),
        Schedule::Power => {
            let left = (1.0 - at / total as f64) / POWER_DECAY;
            if left < 1.0 {
                return (level((1.0 - POWER_DECAY) * total as f64) * left) as f32;
            }
            1.0
        }
    };
    (level(at) * share) as f32
}

/// `min(rate, batch a n^b)` after `n` tokens.
fn power(train: &Train, n: f64) -> f64 {
    let [a, b] = train.power;
    (train.batch as f64 * a * n.max(1.0).powf(b)).min(f64::from(train.rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_in_the_warm_up_and_end_where_they_should() {
        let with = |schedule| Train {
            rate: 1.0,
            warmup: 0.1,
            schedule,
            ..Train::default()
        };
        for schedule in [
            Schedule::Linear,
            Schedule::Cosine,
            Schedule::Wsd,
            Schedule::Constant,
        ] {
            let train = with(schedule);
            assert_eq!(rate(&train, 0, 100, 1.0), 0.1);
            assert_eq!(rate(&train, 9, 100, 1.0), 1.0);
            assert_eq!(rate(&train, 10, 100, 1.0), 1.0);
            let last = rate(&train, 99, 100, 1.0);
            assert!(
                if schedule == Schedule::Constant {
                    last == 1.0
                } else {
                    last < 0.06
                },
                "{last}"
            );
        }
        assert_eq!(rate(&with(Schedule::Wsd), 60, 100, 1.0), 1.0);
        assert!((rate(&with(Schedule::Linear), 55, 100, 1.0) - 0.5).abs() < 1e-6);
        assert!((rate(&with(Schedule::Cosine), 55, 100, 1.0) - 0.5).abs() < 1e-6);
    }
    #[test]
    fn power_has_the_values_of_its_paper() {
        let train = Train {
            schedule: Schedule::Power,
            rate: 0.02,
            batch: 1024,
            warmup: 0.01,
            ..Train::default()
        };
        // A million steps of 2 million tokens each: 2e12 in all, decay from 1.8e12 on.
        let at = |tokens: f64| f64::from(rate(&train, (tokens / 2e6) as u64, 1_000_000, 2e6));
        assert!((at(1e11) - 0.010_054).abs() < 1e-6, "{}", at(1e11));
        assert!((at(1e12) - 0.003_107_1).abs() < 1e-7, "{}", at(1e12));
        assert!((at(2.5e10) - 0.02).abs() < 1e-7, "{}", at(2.5e10));
        // Continuous where its parts meet.
        for step in [10_000, 12_980, 900_000] {
            let [before, after] = [step - 1, step].map(|step| rate(&train, step, 1_000_000, 2e6));
            assert!((before - after).abs() < 2e-4 * before, "{step}: {before} {after}");
        }
        assert!(rate(&train, 999_999, 1_000_000, 2e6) < 1e-7);
    }
}
