//! Plain twins of the kernels, in f64 where it matters: what they are tested against.

use crate::activation::Activation;
use crate::attention::Attention;
use crate::linear::Epilogue;

/// The activation of one value.
pub fn activate(activation: Activation, x: f32) -> f32 {
    let x = f64::from(x);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let value = match activation {
        Activation::Identity => x,
        Activation::Gelu => 0.5 * x * (1.0 + erf(x / 2.0_f64.sqrt())),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        }
        Activation::Relu => x.max(0.0),
        Activation::Silu => x * sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => sigmoid(x),
    };
    value as f32
}

/// The error function by its series, and by its continued fraction where the series loses digits.
fn erf(x: f64) -> f64 {
    if x < 0.0 {
        return -erf(-x);
    }
    if x > 3.0 {
        let fraction = (1..=60).rev().fold(x, |below, k| x + f64::from(k) / 2.0 / below);
        return 1.0 - (-x * x).exp() / std::f64::consts::PI.sqrt() / fraction;
    }
    let mut term = x;
    let mut sum = x;
    for n in 1..200_u32 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    2.0 / std::f64::consts::PI.sqrt() * sum
}

/// The twin of [`crate::Linear::apply`]; `weights` are `[outputs, inputs]`.
pub fn linear(inputs: usize, weights: &[f32], bias: &[f32], x: &[f32], out: &mut [f32], epilogue: Epilogue) {
    for (row, out) in x.chunks_exact(inputs).zip(out.chunks_exact_mut(bias.len())) {
        for ((out, weights), bias) in out.iter_mut().zip(weights.chunks_exact(inputs)).zip(bias) {
            let products = row
                .iter()
                .zip(weights)
                .map(|(x, weight)| f64::from(*x) * f64::from(*weight));
            let sum = (products.sum::<f64>() + f64::from(*bias)) as f32;
            *out = match epilogue {
                Epilogue::Activate(activation) => activate(activation, sum),
                Epilogue::Add => *out + sum,
            };
        }
    }
}

/// The twin of [`crate::layer_norm`].
pub fn layer_norm(x: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    for row in x.chunks_exact_mut(weight.len()) {
        let count = row.len() as f64;
        let mean = row.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
        let variance = row
            .iter()
            .map(|value| (f64::from(*value) - mean).powi(2))
            .sum::<f64>()
            / count;
        let scale = 1.0 / (variance + f64::from(epsilon)).sqrt();
        for ((value, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
            *value = ((f64::from(*value) - mean) * scale * f64::from(*weight) + f64::from(*bias)) as f32;
        }
    }
}

/// The twin of [`crate::attention()`].
pub fn attention(input: Attention<'_>, out: &mut [f32]) {
    let width = input.heads * input.head_dims;
    for head in 0..input.heads {
        let part = |slice: &[f32], token: usize, dim: usize| {
            f64::from(slice[token * input.stride + head * input.head_dims + dim])
        };
        for query in 0..input.len {
            let scores: Vec<f64> = (0..input.len)
                .map(|key| {
                    let products = (0..input.head_dims)
                        .map(|dim| part(input.queries, query, dim) * part(input.keys, key, dim));
                    products.sum::<f64>() * f64::from(input.scale)
                })
                .collect();
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
            let total: f64 = weights.iter().sum();
            for dim in 0..input.head_dims {
                let sum: f64 = (0..input.len)
                    .map(|token| weights[token] * part(input.values, token, dim))
                    .sum();
                out[query * width + head * input.head_dims + dim] = (sum / total) as f32;
            }
        }
    }
}
