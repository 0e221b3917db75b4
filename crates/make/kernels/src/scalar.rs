//! Plain twins of the kernels, in f64 where it matters: what they are tested against.

pub mod adamw;
pub mod backward;

use crate::activation::Activation;
use crate::attention::{Attention, Masked};
use crate::linear::Epilogue;
use crate::rotary::Turn;

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

/// The twin of what [`crate::Linear::prepare`] does at int8, for one row: writes its codes and returns scale and zero point.
pub fn quantize(x: &[f32], codes: &mut [u8]) -> (f32, i32) {
    let least = x.iter().copied().fold(0.0, f32::min);
    let most = x.iter().copied().fold(0.0, f32::max);
    let (scale, inverse, zero) = crate::quantize::steps(-least, most);
    for (code, x) in codes.iter_mut().zip(x) {
        *code = (x * inverse + zero).round_ties_even().clamp(0.0, 255.0) as u8;
    }
    (scale, zero as i32)
}

/// The codes of one output's weights, `round(weight / scale)`, and their scale: the largest weight is 127.
pub fn quantize_weights(weights: &[f32], codes: &mut [i8]) -> f32 {
    let most = weights
        .iter()
        .fold(0.0_f32, |most, weight| most.max(weight.abs()));
    let scale = (most / 127.0).max(f32::MIN_POSITIVE);
    for (code, weight) in codes.iter_mut().zip(weights) {
        // Adding 1.5 * 2^23 and taking it away rounds to even in two additions, where `round_ties_even` is a call for each weight.
        let whole = (weight / scale + 12_582_912.0) - 12_582_912.0;
        *code = whole.clamp(-127.0, 127.0) as i8;
    }
    scale
}

/// The twin of [`crate::Linear::apply`] at int8: products of whole numbers, exact.
pub fn linear_int8(
    inputs: usize,
    weights: &[f32],
    bias: &[f32],
    x: &[f32],
    out: &mut [f32],
    epilogue: Epilogue,
) {
    let mut codes = vec![0; inputs];
    let quantized: Vec<(f32, Vec<i8>)> = weights
        .chunks_exact(inputs)
        .map(|weights| {
            let mut codes = vec![0; inputs];
            (quantize_weights(weights, &mut codes), codes)
        })
        .collect();
    for (row, out) in x.chunks_exact(inputs).zip(out.chunks_exact_mut(bias.len())) {
        let (scale, zero) = quantize(row, &mut codes);
        for ((out, (weight_scale, weights)), bias) in out.iter_mut().zip(&quantized).zip(bias) {
            let products = codes
                .iter()
                .zip(weights)
                .map(|(code, weight)| (i32::from(*code) - zero) * i32::from(*weight));
            let sum = products.sum::<i32>() as f32 * (scale * weight_scale) + bias;
            *out = match epilogue {
                Epilogue::Activate(activation) => activate(activation, sum),
                Epilogue::Add => *out + sum,
            };
        }
    }
}

/// The weights of one output as a layer with weights in `bits` bits (8 or 4) reads them.
pub fn grouped_weights(bits: usize, weights: &[f32]) -> Vec<f32> {
    let mut codes = [0; crate::grouped::GROUP];
    let groups = weights.chunks(crate::grouped::GROUP).flat_map(|weights| {
        let (step, least) = crate::grouped::quantize(bits, weights, &mut codes);
        let (step, least) = (
            crate::grouped::from_bfloat(step),
            crate::grouped::from_bfloat(least),
        );
        let decoded = codes[..weights.len()]
            .iter()
            .map(|code| f32::from(*code) * step + least);
        decoded.collect::<Vec<f32>>()
    });
    groups.collect()
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

/// The twin of [`crate::rms_norm`].
pub fn rms_norm(x: &mut [f32], weight: &[f32], epsilon: f32) {
    for row in x.chunks_exact_mut(weight.len()) {
        let squares: f64 = row.iter().map(|value| f64::from(*value).powi(2)).sum();
        let scale = 1.0 / (squares / row.len() as f64 + f64::from(epsilon)).sqrt();
        for (value, weight) in row.iter_mut().zip(weight) {
            *value = (f64::from(*value) * scale * f64::from(*weight)) as f32;
        }
    }
}

/// The twin of [`crate::gate()`].
pub fn gate(inner: usize, activation: Activation, both: &[f32], out: &mut [f32]) {
    for (both, out) in both.chunks_exact(2 * inner).zip(out.chunks_exact_mut(inner)) {
        for (at, out) in out.iter_mut().enumerate() {
            *out = activate(activation, both[at]) * both[inner + at];
        }
    }
}

/// The twin of [`crate::rotate`].
pub fn rotate(turn: Turn<'_>, x: &mut [f32]) {
    for row in 0..turn.cosines.len() / turn.half {
        for head in 0..turn.heads {
            let first = row * turn.stride + head * turn.head_dims;
            for dim in 0..turn.half {
                let (a, b) = (f64::from(x[first + dim]), f64::from(x[first + turn.half + dim]));
                let cosine = f64::from(turn.cosines[row * turn.half + dim]);
                let sine = f64::from(turn.sines[row * turn.half + dim]);
                x[first + dim] = (a * cosine - b * sine) as f32;
                x[first + turn.half + dim] = (b * cosine + a * sine) as f32;
            }
        }
    }
}

/// The twin of [`crate::masked_attention`].
pub fn masked_attention(input: Masked<'_>, out: &mut [f32]) {
    let Attention {
        queries,
        keys,
        values,
        stride,
        len,
        heads,
        head_dims,
        scale,
    } = input.attention;
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a[..head_dims].iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    for head in 0..heads {
        let shared = head / (heads / input.key_heads);
        for query in 0..len {
            let score = |key: usize| {
                let near = dot(
                    &queries[query * stride + head * head_dims..],
                    &keys[key * stride + shared * head_dims..],
                );
                let product = match input.far.filter(|far| query.abs_diff(key) >= far.window) {
                    None => near,
                    Some(far) => {
                        let queries = if key < query { far.before } else { far.after };
                        dot(
                            &queries[(query * heads + head) * head_dims..],
                            &far.keys[(key * input.key_heads + shared) * head_dims..],
                        )
                    }
                };
                let bias = input
                    .bias
                    .map_or(0.0, |bias| bias.get(head, key as isize - query as isize));
                product * f64::from(scale) + f64::from(bias)
            };
            let seen: Vec<(usize, f64)> = (0..len)
                .filter(|key| input.mask.sees(query, *key))
                .map(|key| (key, score(key)))
                .collect();
            let most = seen
                .iter()
                .map(|(_, score)| *score)
                .fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = seen.iter().map(|(_, score)| (score - most).exp()).sum();
            for dim in 0..head_dims {
                let sum: f64 = seen
                    .iter()
                    .map(|(key, score)| {
                        (score - most).exp() * f64::from(values[key * stride + shared * head_dims + dim])
                    })
                    .sum();
                out[(query * heads + head) * head_dims + dim] = (sum / total) as f32;
            }
        }
    }
}

/// The twin of [`crate::attention()`] at int8.
pub fn attention_int8(input: Attention<'_>, out: &mut [f32]) {
    if !crate::attention_int8::fits(&input) {
        return attention(input, out);
    }
    let width = input.heads * input.head_dims;
    let largest = |values: &[f32]| values.iter().fold(1e-30_f32, |most, value| most.max(value.abs()));
    for head in 0..input.heads {
        let first = head * input.head_dims;
        let part = |slice: &'_ [f32], token: usize| -> Vec<f32> {
            slice[token * input.stride + first..][..input.head_dims].to_vec()
        };
        let quantized = |values: &[f32]| -> (f32, Vec<i32>) {
            let scale = largest(values) / 127.0;
            let codes = values
                .iter()
                .map(|value| (value / scale).round_ties_even() as i32);
            (scale, codes.collect())
        };
        let keys: Vec<_> = (0..input.len)
            .map(|token| quantized(&part(input.keys, token)))
            .collect();
        let values: Vec<Vec<f32>> = (0..input.len).map(|token| part(input.values, token)).collect();
        let columns: Vec<_> = (0..input.head_dims)
            .map(|dim| quantized(&values.iter().map(|value| value[dim]).collect::<Vec<f32>>()))
            .collect();
        for query in 0..input.len {
            let (scale, codes) = quantized(&part(input.queries, query));
            let score = |(key_scale, key): &(f32, Vec<i32>)| {
                let sum: i32 = codes.iter().zip(key).map(|(a, b)| a * b).sum();
                f64::from(sum as f32 * key_scale * scale * input.scale)
            };
            let scores: Vec<f64> = keys.iter().map(score).collect();
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights = scores
                .iter()
                .map(|score| (255.0 * (score - most).exp()).round_ties_even() as i32);
            let weights: Vec<i32> = weights.collect();
            let total: i32 = weights.iter().sum();
            for (dim, (scale, codes)) in columns.iter().enumerate() {
                let sum: i32 = weights
                    .iter()
                    .zip(codes)
                    .map(|(weight, code)| weight * code)
                    .sum();
                out[query * width + first + dim] = sum as f32 * scale / total as f32;
            }
        }
    }
}
