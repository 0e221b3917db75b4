//! The plain twin of [`crate::adamw()`], in f64: the formulas of arXiv 1711.05101, algorithm 2.

use crate::adamw::AdamW;

/// Moves `parameters` one step; an empty gradient counts as zeros.
pub fn adamw(step: &AdamW, parameters: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
    let [rate, beta1, beta2] = [step.rate, step.beta1, step.beta2].map(f64::from);
    let power = step.step as f64;
    for (at, parameter) in parameters.iter_mut().enumerate() {
        let given = f64::from(gradient.get(at).copied().unwrap_or(0.0)) * f64::from(step.factor);
        let one = beta1 * f64::from(first[at]) + (1.0 - beta1) * given;
        let two = beta2 * f64::from(second[at]) + (1.0 - beta2) * given * given;
        (first[at], second[at]) = (one as f32, two as f32);
        let mean = one / (1.0 - beta1.powf(power));
        let spread = (two / (1.0 - beta2.powf(power))).sqrt() + f64::from(step.epsilon);
        let value = f64::from(*parameter);
        *parameter = (value - rate * f64::from(step.decay) * value - rate * mean / spread) as f32;
    }
}
