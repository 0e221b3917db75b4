//! Plain twins of [`crate::backward`], in f64.

use crate::activation::Activation;

/// The slope of an activation at `x`.
pub fn slope(activation: Activation, x: f32) -> f32 {
    let x = f64::from(x);
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    let value = match activation {
        Activation::Identity => 1.0,
        Activation::Gelu => {
            let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
            0.5 * (1.0 + super::erf(x / 2.0_f64.sqrt())) + x * density
        }
        Activation::GeluTanh => {
            let root = (2.0 / std::f64::consts::PI).sqrt();
            let tanh = (root * (x + 0.044715 * x * x * x)).tanh();
            0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * root * (1.0 + 3.0 * 0.044715 * x * x)
        }
        Activation::Relu => f64::from(u8::from(x > 0.0)),
        Activation::Silu => sigmoid * (1.0 + x * (1.0 - sigmoid)),
        Activation::Tanh => 1.0 - x.tanh() * x.tanh(),
        Activation::Sigmoid => sigmoid * (1.0 - sigmoid),
    };
    value as f32
}

/// The twin of [`crate::backward::layer_norm_keeping`].
pub fn layer_norm_keeping(
    x: &mut [f32],
    [weight, bias]: [&[f32]; 2],
    epsilon: f32,
    inverse: &mut [f32],
    out: &mut [f32],
) {
    let cols = weight.len();
    let rows = x.chunks_exact_mut(cols).zip(out.chunks_exact_mut(cols));
    for ((row, out), inverse) in rows.zip(inverse) {
        let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / cols as f64;
        let variance = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / cols as f64;
        let factor = 1.0 / (variance + f64::from(epsilon)).sqrt();
        *inverse = factor as f32;
        for (((x, out), weight), bias) in row.iter_mut().zip(out).zip(weight).zip(bias) {
            let normed = (f64::from(*x) - mean) * factor;
            *x = normed as f32;
            *out = (normed * f64::from(*weight) + f64::from(*bias)) as f32;
        }
    }
}

/// The twin of [`crate::backward::layer_norm_backward`].
pub fn layer_norm_backward(
    normed: &[f32],
    inverse: &[f32],
    weight: &[f32],
    gradient: &mut [f32],
    [to_weight, to_bias]: [&mut [f32]; 2],
) {
    let cols = weight.len();
    let rows = normed.chunks_exact(cols).zip(gradient.chunks_exact_mut(cols));
    for ((normed, gradient), inverse) in rows.zip(inverse) {
        let inner: Vec<f64> = gradient
            .iter()
            .zip(weight)
            .map(|(given, weight)| f64::from(*given) * f64::from(*weight))
            .collect();
        let mean = inner.iter().sum::<f64>() / cols as f64;
        let along = inner
            .iter()
            .zip(normed)
            .map(|(inner, normed)| inner * f64::from(*normed))
            .sum::<f64>()
            / cols as f64;
        for (at, given) in gradient.iter_mut().enumerate() {
            to_weight[at] += *given * normed[at];
            to_bias[at] += *given;
            *given = ((inner[at] - mean - f64::from(normed[at]) * along) * f64::from(*inverse)) as f32;
        }
    }
}

/// The twin of [`crate::backward::softmax_rows`].
pub fn softmax_rows(x: &mut [f32], cols: usize, scale: f32) {
    for row in x.chunks_exact_mut(cols) {
        let scaled: Vec<f64> = row.iter().map(|x| f64::from(*x) * f64::from(scale)).collect();
        let most = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scaled.iter().map(|x| (x - most).exp()).sum();
        for (x, scaled) in row.iter_mut().zip(scaled) {
            *x = ((scaled - most).exp() / sum) as f32;
        }
    }
}

/// The twin of [`crate::backward::softmax_backward`].
pub fn softmax_backward(shares: &[f32], gradient: &mut [f32], cols: usize, scale: f32) {
    for (shares, gradient) in shares.chunks_exact(cols).zip(gradient.chunks_exact_mut(cols)) {
        let along: f64 = shares
            .iter()
            .zip(&*gradient)
            .map(|(share, given)| f64::from(*share) * f64::from(*given))
            .sum();
        for (given, share) in gradient.iter_mut().zip(shares) {
            *given = (f64::from(scale) * f64::from(*share) * (f64::from(*given) - along)) as f32;
        }
    }
}
