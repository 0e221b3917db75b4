//! The student: a vector for each token, the mean of a text's vectors, and Adam on the rows that a batch touches.

use rayon::prelude::*;

const FIRST_DECAY: f32 = 0.9;
const SECOND_DECAY: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Token vectors with Adam's two moments beside each, so that a step touches one block of memory for each token
/// ("Adam: A Method for Stochastic Optimization", arXiv 1412.6980; rows without a gradient stay as they are).
pub(crate) struct Table {
    dims: usize,
    /// `[vocabulary, 3 * dims]`: vector, first moment, second moment.
    rows: Vec<f32>,
    steps: i32,
    /// Scratch: which text each token of the batch comes from, by token.
    places: Vec<(u32, u32)>,
}

impl Table {
    /// From the first `vectors`, `[vocabulary, dims]`.
    pub(crate) fn new(vectors: &[f32], dims: usize) -> Self {
        let mut rows = vec![0.0; vectors.len() * 3];
        for (row, vector) in rows.chunks_exact_mut(3 * dims).zip(vectors.chunks_exact(dims)) {
            row[..dims].copy_from_slice(vector);
        }
        Self {
            dims,
            rows,
            steps: 0,
            places: Vec::new(),
        }
    }

    /// The vectors, `[vocabulary, dims]`.
    pub(crate) fn vectors(&self) -> Vec<f32> {
        let rows = self.rows.chunks_exact(3 * self.dims);
        rows.flat_map(|row| &row[..self.dims]).copied().collect()
    }

    /// The mean of each text's token vectors: `[texts, dims]` in `out`; zeros for a text without tokens.
    pub(crate) fn pool(&self, texts: &[&[u32]], out: &mut Vec<f32>) {
        out.clear();
        out.resize(texts.len() * self.dims, 0.0);
        texts
            .par_iter()
            .zip(out.par_chunks_exact_mut(self.dims))
            .for_each(|(tokens, out)| {
                for token in *tokens {
                    let row = &self.rows[*token as usize * 3 * self.dims..][..self.dims];
                    out.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                }
                let share = 1.0 / tokens.len().max(1) as f32;
                out.iter_mut().for_each(|value| *value *= share);
            });
    }

    /// One step of Adam at `rate`, where `gradient` (`[texts, dims]`) is that of the pooled vectors of `texts`.
    /// The sums are made in the order of the texts, whatever the number of threads.
    pub(crate) fn step(&mut self, texts: &[&[u32]], gradient: &[f32], rate: f32) {
        self.steps += 1;
        let first = 1.0 / (1.0 - FIRST_DECAY.powi(self.steps));
        let second = 1.0 / (1.0 - SECOND_DECAY.powi(self.steps));
        self.places.clear();
        for (text, tokens) in (0_u32..).zip(texts) {
            self.places.extend(tokens.iter().map(|token| (*token, text)));
        }
        self.places.par_sort_unstable();

        let (dims, width) = (self.dims, 3 * self.dims);
        let mut jobs = Vec::new();
        let (mut left, mut passed) = (self.rows.as_mut_slice(), 0);
        for group in self.places.chunk_by(|a, b| a.0 == b.0) {
            let token = group[0].0 as usize;
            let (row, rest) = left.split_at_mut((token + 1 - passed) * width);
            let at = row.len() - width;
            jobs.push((group, &mut row[at..]));
            (left, passed) = (rest, token + 1);
        }
        jobs.into_par_iter().with_min_len(16).for_each_init(
            || vec![0.0; dims],
            |sum, (group, row)| {
                sum.fill(0.0);
                for (_, text) in group {
                    let share = 1.0 / texts[*text as usize].len() as f32;
                    let gradient = &gradient[*text as usize * dims..][..dims];
                    sum.iter_mut()
                        .zip(gradient)
                        .for_each(|(sum, value)| *sum += share * value);
                }
                let (vector, moments) = row.split_at_mut(dims);
                let (mean, square) = moments.split_at_mut(dims);
                for (((value, mean), square), gradient) in
                    vector.iter_mut().zip(mean).zip(square).zip(sum.iter())
                {
                    *mean = FIRST_DECAY * *mean + (1.0 - FIRST_DECAY) * gradient;
                    *square = SECOND_DECAY * *square + (1.0 - SECOND_DECAY) * gradient * gradient;
                    *value -= rate * *mean * first / ((*square * second).sqrt() + EPSILON);
                }
            },
        );
    }
}

/// The mean of the rows of `vectors` (`[vocabulary, dims]`) that `tokens` name.
pub(crate) fn mean_of(vectors: &[f32], dims: usize, tokens: &[u32]) -> Vec<f32> {
    let mut mean = vec![0.0; dims];
    for token in tokens {
        let row = &vectors[*token as usize * dims..][..dims];
        mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    let share = 1.0 / tokens.len().max(1) as f32;
    mean.iter_mut().for_each(|value| *value *= share);
    mean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_mean_of_its_tokens_and_an_empty_one_is_zero() {
        let table = Table::new(&[1.0, 2.0, 3.0, 6.0, 5.0, 7.0], 2);
        let mut out = Vec::new();
        table.pool(&[&[0, 1], &[], &[2, 2, 2]], &mut out);
        assert_eq!(out, [2.0, 4.0, 0.0, 0.0, 5.0, 7.0]);
    }

    #[test]
    fn a_step_moves_the_tokens_of_the_batch_against_the_gradient_and_no_others() {
        let mut table = Table::new(&[0.0; 8], 2);
        table.step(&[&[3, 1], &[1]], &[1.0, 0.0, 0.0, -1.0], 0.1);
        let moved = table.vectors();
        let expected = [0.0, 0.0, -0.1, 0.1, 0.0, 0.0, -0.1, 0.0];
        for (moved, expected) in moved.iter().zip(expected) {
            assert!(
                (moved - expected).abs() < 1e-5,
                "{moved} where {expected} is right"
            );
        }
    }

    #[test]
    fn steps_bring_a_text_to_its_target() {
        let mut table = Table::new(&[0.3, -0.2, 0.1, 0.9], 2);
        let text: &[u32] = &[0, 1];
        let mut pooled = Vec::new();
        for _ in 0..400 {
            table.pool(&[text], &mut pooled);
            let gradient = [pooled[0] - 1.0, pooled[1] + 2.0];
            table.step(&[text], &gradient, 0.05);
        }
        assert!((pooled[0] - 1.0).abs() < 0.01 && (pooled[1] + 2.0).abs() < 0.01);
    }
}
