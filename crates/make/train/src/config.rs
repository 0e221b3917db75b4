//! The settings of a distillation.

use crate::error::{Error, Result};

/// The settings of [`crate::distill`].
#[derive(Debug, Clone, PartialEq)]
pub struct DistillConfig {
    /// The width of the student's vectors; at most the teacher's.
    pub dims: usize,
    /// The prefixes that are trained to work alone, each at most `dims`.
    pub prefixes: Vec<usize>,
    /// Passes over the spans at full width, before the dims are turned to the components of the student's own vocabulary.
    pub warm_up: usize,
    /// How far the variances of those components are made equal, 0 to 1 (1: whitened). Short prefixes gain from some.
    pub whitening: f32,
    /// Passes over the sampled texts after the warm-up, with every prefix. 0: no training at all, the plain static distillation.
    pub epochs: usize,
    /// Every random choice comes from this: the same seed, texts and teacher give the same student.
    pub seed: u64,
    /// Adam's step length at the beginning; it falls to 0 in a straight line.
    pub learning_rate: f32,
    /// Texts in a batch; the others of a batch are a pair's negatives.
    pub batch: usize,
    /// At most this many spans are sampled from the texts and shown to the teacher, which takes most of the time.
    pub spans: usize,
    /// How many words a span has, at least and at most; it ends with a sentence if one ends in between.
    pub span_words: (usize, usize),
    /// At most this many pairs of title and text are sampled. 0: train on the teacher's vectors alone.
    pub pairs: usize,
    /// Tokens of a pair's text that are read, from a random place on.
    pub pair_tokens: usize,
    /// How often, 0 to 1, a pair is a span of the text and the rest of it rather than title and text.
    pub cloze: f32,
    /// The weight of the pairs' loss beside the teacher's, which has 1.
    pub pair_weight: f32,
    /// How often the spans are shown in an epoch, while pairs are shown once.
    pub span_repeats: usize,
    /// `a` of the first weight of a token, a / (a + frequency) ("A Simple but Tough-to-Beat Baseline for Sentence Embeddings", 2017).
    pub frequency_weight: f64,
}

impl Default for DistillConfig {
    fn default() -> Self {
        Self {
            dims: 256,
            prefixes: vec![32, 64, 128, 256],
            warm_up: 3,
            whitening: 0.5,
            epochs: 3,
            seed: 42,
            learning_rate: 0.01,
            batch: 512,
            spans: 40_000,
            span_words: (5, 40),
            pairs: 100_000,
            pair_tokens: 128,
            cloze: 0.5,
            pair_weight: 1.0,
            span_repeats: 2,
            frequency_weight: 1e-3,
        }
    }
}

impl DistillConfig {
    /// Whether the settings fit each other and a teacher whose vectors are `teacher` wide.
    pub(crate) fn check(&self, teacher: usize) -> Result<()> {
        let fail = |problem: String| Err(Error::Config(problem));
        if self.dims == 0 || self.dims > teacher {
            return fail(format!(
                "dims: expected 1 to {teacher}, the teacher's, found {}",
                self.dims
            ));
        }
        if self.prefixes.is_empty()
            || self
                .prefixes
                .iter()
                .any(|prefix| *prefix == 0 || *prefix > self.dims)
        {
            return fail(format!(
                "prefixes: expected at least one, each 1 to {}, found {:?}",
                self.dims, self.prefixes
            ));
        }
        if self.batch < 2 {
            return fail(format!("batch: expected at least 2, found {}", self.batch));
        }
        if self.span_words.0 == 0 || self.span_words.0 > self.span_words.1 {
            return fail(format!(
                "span words: expected 1 <= least <= most, found {:?}",
                self.span_words
            ));
        }
        for (name, share) in [("cloze", self.cloze), ("whitening", self.whitening)] {
            if !(0.0..=1.0).contains(&share) {
                return fail(format!("{name}: expected 0 to 1, found {share}"));
            }
        }
        let positive = [f64::from(self.learning_rate), self.frequency_weight];
        if positive.iter().any(|value| !value.is_finite() || *value <= 0.0)
            || !(self.pair_weight.is_finite() && self.pair_weight >= 0.0)
        {
            return fail(
                "learning rate and frequency weight must be above 0, the pairs' weight at least 0".into(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit_a_teacher_of_384_dims_and_not_one_of_128() {
        assert!(DistillConfig::default().check(384).is_ok());
        let error = DistillConfig::default().check(128).unwrap_err().to_string();
        assert!(
            error.contains("expected 1 to 128") && error.contains("256"),
            "{error}"
        );
    }

    #[test]
    fn settings_that_cannot_work_are_errors() {
        let wrong: [fn(&mut DistillConfig); 7] = [
            |config| config.dims = 0,
            |config| config.prefixes = vec![],
            |config| config.prefixes = vec![64, 512],
            |config| config.batch = 1,
            |config| config.span_words = (9, 3),
            |config| config.learning_rate = f32::NAN,
            |config| config.cloze = 1.5,
        ];
        for change in wrong {
            let mut config = DistillConfig::default();
            change(&mut config);
            assert!(config.check(384).is_err(), "{config:?}");
        }
    }
}
