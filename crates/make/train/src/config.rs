//! The settings of a distillation.

use crate::error::{Error, Result};

/// The settings of [`crate::distill`].
#[derive(Debug, Clone, PartialEq)]
pub struct DistillConfig {
    /// The width of the student's vectors; at most the teacher's.
    pub dims: usize,
    /// The prefixes that the model says it can be used at, each at most `dims`.
    pub prefixes: Vec<usize>,
    /// Passes over spans and bags. 0: no training and no turning at all, the plain static distillation.
    pub epochs: usize,
    /// Every random choice comes from this: the same seed, texts and teacher give the same student.
    pub seed: u64,
    /// Adam's step length at the beginning; it falls to 0 in a straight line.
    pub learning_rate: f32,
    /// Spans and bags in a batch.
    pub batch: usize,
    /// At most this many spans are sampled from the texts and shown to the teacher, which takes most of the time.
    pub spans: usize,
    /// How many words a span has, at least and at most; it ends with a sentence if one ends in between.
    pub span_words: (usize, usize),
    /// This many bags of words from the vocabulary are shown to the teacher besides, for the tokens that the texts don't use.
    pub bags: usize,
    /// The length of a token's vector is raised to this power after training. Below 1, rare tokens outweigh common ones a little less.
    pub length_power: f32,
    /// At most this many texts are sampled to find out what differs between two parts of one text.
    pub parted: usize,
    /// How far the axes are made equal, 0 to 1: they are scaled by eigenvalue^-`whitening` / 2.
    pub whitening: f32,
    /// `a` of the first weight of a token, a / (a + frequency) ("A Simple but Tough-to-Beat Baseline for Sentence Embeddings", 2017).
    pub frequency_weight: f64,
}

impl Default for DistillConfig {
    fn default() -> Self {
        Self {
            dims: 256,
            prefixes: vec![32, 64, 128, 256],
            epochs: 4,
            seed: 42,
            learning_rate: 0.01,
            batch: 512,
            spans: 30_000,
            span_words: (5, 40),
            bags: 40_000,
            length_power: 0.6,
            parted: 20_000,
            whitening: 0.25,
            frequency_weight: 1e-3,
        }
    }
}

impl DistillConfig {
    /// Whether the settings fit each other and a teacher whose vectors are `teacher` wide.
    ///
    /// # Errors
    /// [`Error::Config`] with what was expected and found.
    pub fn check(&self, teacher: usize) -> Result<()> {
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
        for (name, share) in [("whitening", self.whitening), ("length power", self.length_power)] {
            if !(0.0..=1.0).contains(&share) {
                return fail(format!("{name}: expected 0 to 1, found {share}"));
            }
        }
        let positive = [f64::from(self.learning_rate), self.frequency_weight];
        if positive.iter().any(|value| !value.is_finite() || *value <= 0.0) {
            return fail("learning rate and frequency weight must be above 0".into());
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
            |config| config.whitening = 1.5,
        ];
        for change in wrong {
            let mut config = DistillConfig::default();
            change(&mut config);
            assert!(config.check(384).is_err(), "{config:?}");
        }
    }
}
