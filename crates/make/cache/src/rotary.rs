//! Rotary positions (RoFormer, arXiv 2104.09864) by their frequencies: as trained, or stretched over longer texts without training.

use kokeshi_kernels::{Level, Turn, rotate};

/// The frequencies with which the dimensions of a head turn, in the half layout: dimension `d` turns with dimension `d + half`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotary {
    /// Radians a token, fastest first: `[half]`. Empty for a model without positions.
    pub frequencies: Vec<f32>,
}

impl Rotary {
    /// As trained: frequency `j` is `base^(-2j / dims)`.
    pub fn new(dims: usize, base: f64) -> Self {
        Self {
            frequencies: (0..dims / 2)
                .map(|at| base.powf(-2.0 * at as f64 / dims as f64) as f32)
                .collect(),
        }
    }

    /// NTK-aware interpolation: the base times `lambda`, so that fast dimensions stay and slow ones stretch.
    pub fn ntk(dims: usize, base: f64, lambda: f64) -> Self {
        Self::new(dims, base * lambda)
    }

    /// Position interpolation (arXiv 2306.15595): every distance divided by `factor`.
    pub fn interpolated(&self, factor: f32) -> Self {
        Self {
            frequencies: self.frequencies.iter().map(|value| value / factor).collect(),
        }
    }

    /// Turns a head to a position.
    ///
    /// # Panics
    /// If the head is narrower than what turns.
    pub fn turn(&self, position: f32, head: &mut [f32]) {
        let half = self.frequencies.len();
        let (low, rest) = head.split_at_mut(half);
        for ((a, b), frequency) in low.iter_mut().zip(&mut rest[..half]).zip(&self.frequencies) {
            let (sine, cosine) = (position * frequency).sin_cos();
            (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
        }
    }

    /// Turns row `n` of `x` (`[rows, heads * head_dims]`), all heads of it, to `position(n)`.
    pub(crate) fn turn_rows(
        &self,
        level: Level,
        heads: usize,
        head_dims: usize,
        position: impl Fn(usize) -> f32,
        x: &mut [f32],
    ) {
        let rows = x.len() / (heads * head_dims);
        let angles = (0..rows).flat_map(|row| {
            let position = position(row);
            self.frequencies.iter().map(move |frequency| position * frequency)
        });
        let (sines, cosines): (Vec<f32>, Vec<f32>) = angles.map(f32::sin_cos).unzip();
        let turn = Turn {
            stride: heads * head_dims,
            heads,
            head_dims,
            half: self.frequencies.len(),
            cosines: &cosines,
            sines: &sines,
        };
        rotate(level, turn, x);
    }
}

/// Sines and cosines of all positions so far, made once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Angles {
    /// `[positions][half]` of cosine and sine.
    turns: Vec<(f32, f32)>,
}

impl Angles {
    /// Makes the angles of all positions up to `last`.
    pub(crate) fn reach(&mut self, rotary: &Rotary, last: u32) {
        let half = rotary.frequencies.len();
        if half == 0 {
            return;
        }
        for position in self.turns.len() / half..=last as usize {
            let turns = rotary.frequencies.iter().map(|frequency| {
                let (sine, cosine) = (position as f32 * frequency).sin_cos();
                (cosine, sine)
            });
            self.turns.extend(turns);
        }
    }

    /// The dot product of a turned query with a key that turns to `position` first; what is beyond the turning part stays.
    pub(crate) fn dot(&self, half: usize, query: &[f32], key: &[f32], position: u32) -> f32 {
        let turns = &self.turns[position as usize * half..][..half];
        let (query_low, query_rest) = query.split_at(half);
        let (key_low, key_rest) = key.split_at(half);
        let (query_high, query_rest) = query_rest.split_at(half);
        let (key_high, key_rest) = key_rest.split_at(half);
        let mut sum = 0.0;
        for at in 0..half {
            let ((cosine, sine), a, b) = (turns[at], key_low[at], key_high[at]);
            sum += query_low[at] * (a * cosine - b * sine) + query_high[at] * (b * cosine + a * sine);
        }
        sum + kokeshi_core::distance::dot(query_rest, key_rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kokeshi_core::{Seed, distance::dot};

    #[test]
    fn frequencies_are_those_of_the_papers() {
        let ntk = Rotary::ntk(64, 1e4, 10.0);
        assert!((ntk.frequencies[1] - 0.697_830_6).abs() < 1e-6);
        assert!((ntk.frequencies[31] - 1.433_01e-5).abs() < 1e-10);
        assert_eq!(Rotary::ntk(64, 1e4, 1.0), Rotary::new(64, 1e4));
        assert_eq!(Rotary::new(8, 1e4).interpolated(1.0), Rotary::new(8, 1e4));
    }

    #[test]
    fn scores_depend_on_the_distance_only_and_all_ways_of_turning_agree() {
        let rotary = Rotary::new(24, 1e4);
        let mut seed = Seed(3);
        let mut random = || (0..32).map(|_| seed.normal() as f32).collect::<Vec<_>>();
        let (query, key) = (random(), random());
        let turned = |vector: &[f32], position: f32| {
            let mut vector = vector.to_vec();
            rotary.turn(position, &mut vector);
            vector
        };
        let score = dot(&turned(&query, 9.0), &turned(&key, 4.0));
        let shifted = dot(&turned(&query, 1009.0), &turned(&key, 1004.0));
        assert!((score - shifted).abs() < 1e-3, "{score} {shifted}");
        let mut angles = Angles::default();
        angles.reach(&rotary, 4);
        assert!((angles.dot(12, &turned(&query, 9.0), &key, 4) - score).abs() < 1e-4);
        let mut rows = [key.clone(), key.clone()].concat();
        rotary.turn_rows(Level::best(), 1, 32, |row| 4.0 * row as f32, &mut rows);
        assert_eq!(rows[..32], key[..]);
        let difference = rows[32..]
            .iter()
            .zip(turned(&key, 4.0))
            .map(|(a, b)| (a - b).abs());
        assert!(difference.fold(0.0, f32::max) < 1e-6);
    }
}
