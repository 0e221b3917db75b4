//! CLEX (arXiv 2310.16450): rotary frequencies for every length factor `t`, as the solution of a differential equation that starts at the trained
//! ones. Untrained it is NTK-aware interpolation with the factor `2t - 1`.

use kokeshi_core::Seed;

use crate::error::{Error, Result};
use crate::rotary::Rotary;

/// The derivative's learned part, `tanh((z + ln n(t)) up) down`, over logarithms of frequencies `z`.
#[derive(Debug, Clone)]
pub struct Clex {
    base: f64,
    half: usize,
    /// `[half, width]`
    up: Vec<f64>,
    /// `[width, half]`
    down: Vec<f64>,
}

impl Clex {
    /// As training starts for heads of `dims`: `up` uniform as PyTorch's linear layers begin, `down` zero. `widen` is how many times
    /// `dims` the hidden layer is wide (paper: 1).
    ///
    /// # Errors
    /// An odd number of dims or fewer than 4, which NTK's exponent does not allow.
    pub fn untrained(dims: usize, base: f64, widen: usize, mut seed: Seed) -> Result<Self> {
        let half = dims / 2;
        let bound = (1.0 / half.max(1) as f64).sqrt();
        let up = (0..half * widen * dims).map(|_| bound * (2.0 * seed.uniform() - 1.0));
        Self::new(dims, base, up.collect(), vec![0.0; widen * dims * half])
    }

    /// With weights `up` (`[dims / 2, width]`) and `down` (`[width, dims / 2]`).
    ///
    /// # Errors
    /// An odd number of dims or fewer than 4, or weights that do not fit.
    pub fn new(dims: usize, base: f64, up: Vec<f64>, down: Vec<f64>) -> Result<Self> {
        let half = dims / 2;
        if dims < 4 || !dims.is_multiple_of(2) {
            return Err(Error::Request(format!(
                "clex: expected an even number of at least 4 dims, found {dims}"
            )));
        }
        if up.len() != down.len() || !up.len().is_multiple_of(half) {
            return Err(Error::Request(format!(
                "clex: expected weights [{half}, width] and [width, {half}], found {} and {} values",
                up.len(),
                down.len()
            )));
        }
        Ok(Self { base, half, up, down })
    }

    /// The frequencies for texts of `factor` times the trained length, by the classic Runge-Kutta method of fourth order with steps of about
    /// `step` (0.1 is enough for f32; the reference takes 0.01).
    pub fn rotary(&self, factor: f64, step: f64) -> Rotary {
        Rotary {
            frequencies: self
                .logarithms(factor, step)
                .iter()
                .map(|z| z.exp() as f32)
                .collect(),
        }
    }

    /// The logarithms of the frequencies at `factor`, in f64: `[dims / 2]`.
    pub fn logarithms(&self, factor: f64, step: f64) -> Vec<f64> {
        let mut z: Vec<f64> = (0..self.half).map(|at| self.ntk(at, 1.0)).collect();
        let length = (factor - 1.0).max(0.0);
        let steps = (length / step).round().max(1.0) as usize;
        let h = length / steps as f64;
        for number in 0..steps {
            let t = 1.0 + h * number as f64;
            let moved = |by: f64, slope: &[f64]| -> Vec<f64> {
                z.iter().zip(slope).map(|(z, slope)| z + by * slope).collect()
            };
            let first = self.slope(t, &z);
            let second = self.slope(t + h / 2.0, &moved(h / 2.0, &first));
            let third = self.slope(t + h / 2.0, &moved(h / 2.0, &second));
            let fourth = self.slope(t + h, &moved(h, &third));
            for (at, z) in z.iter_mut().enumerate() {
                *z += h / 6.0 * (first[at] + 2.0 * second[at] + 2.0 * third[at] + fourth[at]);
            }
        }
        z
    }

    /// The logarithm of NTK's frequency with the factor `2t - 1`.
    fn ntk(&self, at: usize, t: f64) -> f64 {
        let (dims, at) = (2.0 * self.half as f64, 2.0 * at as f64);
        -at / dims * self.base.ln() - at / (dims - 2.0) * (2.0 * t - 1.0).max(1.0).ln()
    }

    fn slope(&self, t: f64, z: &[f64]) -> Vec<f64> {
        let width = self.up.len() / self.half;
        let mut hidden = vec![0.0; width];
        for (at, z) in z.iter().enumerate() {
            let input = z + self.ntk(at, t);
            let weights = &self.up[at * width..][..width];
            hidden
                .iter_mut()
                .zip(weights)
                .for_each(|(sum, weight)| *sum += input * weight);
        }
        let dims = 2.0 * self.half as f64;
        let mut slope: Vec<f64> = (0..self.half)
            .map(|at| -4.0 * at as f64 / ((dims - 2.0) * (2.0 * t - 1.0)))
            .collect();
        for (value, weights) in hidden.iter().zip(self.down.chunks_exact(self.half)) {
            let value = value.tanh();
            slope
                .iter_mut()
                .zip(weights)
                .for_each(|(sum, weight)| *sum += value * weight);
        }
        slope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrained_it_is_ntk_and_the_error_falls_with_the_fourth_power_of_the_step() {
        let clex = Clex::untrained(64, 1e4, 1, Seed(1)).unwrap();
        for (step, bound) in [(0.1, 4e-6), (0.01, 4e-10)] {
            let mut worst = 0.0_f64;
            for factor in 2..=16 {
                let found = clex.logarithms(f64::from(factor), step);
                for (at, z) in found.iter().enumerate() {
                    worst = worst.max((z - clex.ntk(at, f64::from(factor))).abs());
                }
            }
            assert!(worst <= bound && worst > bound / 100.0, "{step}: {worst}");
        }
        let at_four = clex.rotary(4.0, 0.01).frequencies[31];
        assert!((at_four / 1.905_030_6e-5 - 1.0).abs() < 1e-6, "{at_four}");
    }

    #[test]
    fn at_the_trained_length_nothing_changes() {
        let mut seed = Seed(2);
        let mut random = |count: usize| (0..count).map(|_| 0.1 * seed.normal()).collect::<Vec<f64>>();
        let trained = Clex::new(8, 1e4, random(32), random(32)).unwrap();
        assert_eq!(trained.rotary(1.0, 0.1), Rotary::new(8, 1e4));
        // What was learned counts from there on.
        let untrained = Clex::untrained(8, 1e4, 1, Seed(1)).unwrap();
        assert_ne!(trained.rotary(2.0, 0.1), untrained.rotary(2.0, 0.1));
    }

    #[test]
    fn weights_that_do_not_fit_are_refused() {
        assert!(Clex::untrained(2, 1e4, 1, Seed(1)).is_err());
        assert!(Clex::untrained(7, 1e4, 1, Seed(1)).is_err());
        assert!(Clex::new(8, 1e4, vec![0.0; 30], vec![0.0; 30]).is_err());
        assert!(Clex::new(8, 1e4, vec![0.0; 32], vec![0.0; 36]).is_err());
    }
}
