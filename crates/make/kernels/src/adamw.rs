//! One step of AdamW (Decoupled Weight Decay Regularization, arXiv 1711.05101, algorithm 2) in one pass over parameters, gradient and moments.

use crate::simd::{Level, Simd, at_level};

/// The numbers of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// The learning rate of this step.
    pub rate: f32,
    /// How much of the first moment stays.
    pub beta1: f32,
    /// How much of the second moment stays.
    pub beta2: f32,
    /// What is added to the root of the second moment.
    pub epsilon: f32,
    /// Weight decay, as a share of the learning rate.
    pub decay: f32,
    /// How many steps there were, this one included: from 1 on.
    pub step: u64,
    /// What the gradient is multiplied by first, to clip it.
    pub factor: f32,
}

/// Moves `parameters` one step; all slices are as long. An empty gradient counts as zeros.
///
/// # Panics
/// If the lengths don't fit.
pub fn adamw(
    level: Level,
    step: &AdamW,
    parameters: &mut [f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
) {
    let len = parameters.len();
    assert!(
        gradient.len() == len || gradient.is_empty(),
        "a gradient for each parameter"
    );
    assert!(
        first.len() == len && second.len() == len,
        "moments for each parameter"
    );
    let power = i32::try_from(step.step).unwrap_or(i32::MAX);
    let numbers = Numbers {
        keep: 1.0 - step.rate * step.decay,
        rate: step.rate / (1.0 - f64::from(step.beta1).powi(power)) as f32,
        root: (1.0 - f64::from(step.beta2).powi(power)).sqrt() as f32,
        step: *step,
    };
    if gradient.is_empty() {
        // SAFETY: levels come from `Level::available`.
        unsafe {
            at_level!(
                level,
                coast(numbers: Numbers, parameters: &mut [f32], first: &mut [f32], second: &mut [f32])
            )
        }
    } else {
        // SAFETY: as above.
        unsafe {
            at_level!(
                level,
                walk(numbers: Numbers, parameters: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32])
            )
        }
    }
}

#[derive(Clone, Copy)]
struct Numbers {
    keep: f32,
    rate: f32,
    root: f32,
    step: AdamW,
}

impl Numbers {
    #[inline(always)]
    fn apply(self, parameter: &mut f32, gradient: f32, first: &mut f32, second: &mut f32) {
        let AdamW {
            beta1,
            beta2,
            epsilon,
            ..
        } = self.step;
        *first = beta1 * *first + (1.0 - beta1) * gradient;
        *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
        // As PyTorch has it: the root is divided by that of the correction before epsilon is added.
        let below = second.sqrt() / self.root + epsilon;
        *parameter = *parameter * self.keep - self.rate * (*first / below);
    }
}

// The loops are plain: compiled for an instruction set, they become vectors of its width.

#[inline(always)]
unsafe fn walk<S: Simd>(
    numbers: Numbers,
    parameters: &mut [f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
) {
    let moments = first.iter_mut().zip(second);
    for ((parameter, gradient), (first, second)) in parameters.iter_mut().zip(gradient).zip(moments) {
        numbers.apply(parameter, gradient * numbers.step.factor, first, second);
    }
}

#[inline(always)]
unsafe fn coast<S: Simd>(numbers: Numbers, parameters: &mut [f32], first: &mut [f32], second: &mut [f32]) {
    for (parameter, (first, second)) in parameters.iter_mut().zip(first.iter_mut().zip(second)) {
        numbers.apply(parameter, 0.0, first, second);
    }
}
