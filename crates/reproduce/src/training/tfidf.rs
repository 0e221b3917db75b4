//! Texts as weights of their words: `(1 + ln tf) ln(N / df)`, of length one.

use std::collections::HashMap;

use super::arxiv::WORDS;

/// How rare each word is.
pub(crate) struct TfIdf {
    rarity: Vec<f32>,
}

/// Word numbers and weights, by number.
pub(crate) type Sparse = Vec<(u32, f32)>;

impl TfIdf {
    /// Counts the texts in which each word stands.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let (mut counts, mut total) = (vec![0_u32; WORDS], 0_u32);
        for text in texts {
            let mut words = text.to_vec();
            words.sort_unstable();
            words.dedup();
            words.iter().for_each(|word| counts[*word as usize] += 1);
            total += 1;
        }
        let rarity = counts
            .iter()
            .map(|count| (total.max(1) as f32 / (*count).max(1) as f32).ln())
            .collect();
        Self { rarity }
    }

    /// A text's weights. The word that stands for all unknown ones counts for nothing.
    pub fn sparse(&self, text: &[u32]) -> Sparse {
        let mut counts: HashMap<u32, f32> = HashMap::new();
        for word in text.iter().filter(|word| **word != 0) {
            *counts.entry(*word).or_default() += 1.0;
        }
        let mut weights: Sparse = counts
            .into_iter()
            .map(|(word, count)| (word, (1.0 + count.ln()) * self.rarity[word as usize]))
            .collect();
        weights.sort_unstable_by_key(|(word, _)| *word);
        let length = weights
            .iter()
            .map(|(_, weight)| weight * weight)
            .sum::<f32>()
            .sqrt();
        if length > 0.0 {
            weights.iter_mut().for_each(|(_, weight)| *weight /= length);
        }
        weights
    }

    /// The same with zeros in between.
    pub fn dense(&self, text: &[u32]) -> Vec<f32> {
        let mut row = vec![0.0; WORDS];
        for (word, weight) in self.sparse(text) {
            row[word as usize] = weight;
        }
        row
    }
}

/// The cosine of two texts' weights.
pub(crate) fn dot(a: &Sparse, b: &Sparse) -> f32 {
    let (mut left, mut right, mut sum) = (0, 0, 0.0);
    while let (Some((one, x)), Some((two, y))) = (a.get(left), b.get(right)) {
        match one.cmp(two) {
            std::cmp::Ordering::Less => left += 1,
            std::cmp::Ordering::Greater => right += 1,
            std::cmp::Ordering::Equal => {
                sum += x * y;
                left += 1;
                right += 1;
            }
        }
    }
    sum
}
