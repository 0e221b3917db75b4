//! The learning rate by step.

use crate::recipe::{Schedule, Train};

/// The share of steps in which `wsd` goes down.
const DECAY: f64 = 0.2;

/// The rate of step `step` of `total`, from 0.
pub(crate) fn rate(train: &Train, step: u64, total: u64) -> f32 {
    let warm = (train.warmup * total as f64).ceil();
    let at = step as f64;
    let share = if at < warm {
        (at + 1.0) / warm
    } else {
        let done = (at - warm) / (total as f64 - warm).max(1.0);
        match train.schedule {
            Schedule::Constant => 1.0,
            Schedule::Linear => 1.0 - done,
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
            Schedule::Wsd => ((1.0 - done) / DECAY).min(1.0),
        }
    };
    (f64::from(train.rate) * share) as f32
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
            assert_eq!(rate(&train, 0, 100), 0.1);
            assert_eq!(rate(&train, 9, 100), 1.0);
            assert_eq!(rate(&train, 10, 100), 1.0);
            let last = rate(&train, 99, 100);
            assert!(
                if schedule == Schedule::Constant {
                    last == 1.0
                } else {
                    last < 0.06
                },
                "{last}"
            );
        }
        assert_eq!(rate(&with(Schedule::Wsd), 60, 100), 1.0);
        assert!((rate(&with(Schedule::Linear), 55, 100) - 0.5).abs() < 1e-6);
        assert!((rate(&with(Schedule::Cosine), 55, 100) - 0.5).abs() < 1e-6);
    }
}
