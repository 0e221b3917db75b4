//! Every kernel, at every instruction set that this processor has, gives what its scalar twin gives, on shapes that fit no tile.

use kokeshi_core::Seed;
use kokeshi_kernels::{
    Activation, Attention, Epilogue, Level, Linear, Precision, QuantizedRows, Scratch, attention, layer_norm,
    scalar,
};

const ACTIVATIONS: [Activation; 7] = [
    Activation::Identity,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Relu,
    Activation::Silu,
    Activation::Tanh,
    Activation::Sigmoid,
];

fn normals(seed: &mut Seed, count: usize) -> Vec<f32> {
    (0..count).map(|_| seed.normal() as f32).collect()
}

/// The bf16 value of which this one begins with the bits.
fn short(value: f32) -> f32 {
    f32::from_bits(value.to_bits() & 0xffff_0000)
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let allowed = tolerance * expected.abs().max(1.0);
        assert!(
            (found - expected).abs() <= allowed,
            "{what}: value {at} is {found}, expected {expected}"
        );
    }
}

#[test]
fn linear_layers_give_what_their_twin_gives_at_every_shape_and_epilogue() {
    let mut seed = Seed(1);
    let shapes = [
        (1, 1),
        (1, 47),
        (3, 16),
        (31, 33),
        (32, 96),
        (48, 48),
        (50, 49),
        (96, 145),
        (385, 7),
        (384, 100),
    ];
    for level in Level::available() {
        for (inputs, outputs) in shapes {
            for rows in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17, 40] {
                let weights = normals(&mut seed, inputs * outputs);
                let bias = normals(&mut seed, outputs);
                let x = normals(&mut seed, rows * inputs);
                let layer = Linear::new(level, Precision::F32, inputs, outputs, &weights, Some(&bias));
                for epilogue in [Epilogue::Add, Epilogue::Activate(ACTIVATIONS[seed.below(7)])] {
                    let before = normals(&mut seed, rows * outputs);
                    let (mut found, mut expected) = (before.clone(), before);
                    layer.apply(rows, &x, &mut QuantizedRows::default(), &mut found, epilogue);
                    scalar::linear(inputs, &weights, &bias, &x, &mut expected, epilogue);
                    let what = format!("{level:?} {rows}x{inputs}x{outputs} {epilogue:?}");
                    assert_close(&found, &expected, 4e-6 * (inputs as f32).sqrt(), &what);
                }
            }
        }
    }
}

#[test]
fn int8_layers_give_what_their_twin_gives_at_every_shape_and_epilogue() {
    let mut seed = Seed(5);
    let shapes = [
        (1, 1),
        (1, 47),
        (3, 16),
        (31, 33),
        (64, 96),
        (65, 49),
        (96, 145),
        (385, 7),
        (384, 100),
    ];
    let mut quantized = QuantizedRows::default();
    for level in Level::available() {
        for (inputs, outputs) in shapes {
            for rows in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17, 40] {
                let weights = normals(&mut seed, inputs * outputs);
                let bias = normals(&mut seed, outputs);
                let x = normals(&mut seed, rows * inputs);
                let layer = Linear::new(level, Precision::Int8, inputs, outputs, &weights, Some(&bias));
                for epilogue in [Epilogue::Add, Epilogue::Activate(ACTIVATIONS[seed.below(7)])] {
                    let before = normals(&mut seed, rows * outputs);
                    let (mut found, mut expected) = (before.clone(), before);
                    layer.apply(rows, &x, &mut quantized, &mut found, epilogue);
                    scalar::linear_int8(inputs, &weights, &bias, &x, &mut expected, epilogue);
                    let what = format!("{level:?} {rows}x{inputs}x{outputs} {epilogue:?}");
                    // After an int8 product GELU is only as exact as the next quantisation can tell.
                    let rough = epilogue == Epilogue::Activate(Activation::Gelu);
                    assert_close(&found, &expected, if rough { 3e-4 } else { 3e-6 }, &what);
                }
            }
        }
    }
}

#[test]
fn bf16_layers_multiply_rounded_values() {
    let mut seed = Seed(7);
    for level in Level::available() {
        for (inputs, outputs, rows) in [(1, 1, 1), (33, 47, 17), (96, 32, 40)] {
            // A value of 8 bits, times one for a bf16 layer and for a whole one alike; and what rounding to 8 bits takes away.
            let weights: Vec<f32> = normals(&mut seed, inputs * outputs)
                .into_iter()
                .map(short)
                .collect();
            let exact: Vec<f32> = normals(&mut seed, rows * inputs).into_iter().map(short).collect();
            let more: Vec<f32> = exact.iter().map(|value| value * (1.0 + 1.0 / 1024.0)).collect();
            let layer = Linear::new(level, Precision::Bf16, inputs, outputs, &weights, None);
            let plain = Epilogue::Activate(Activation::Identity);
            let run = |x: &[f32]| {
                let mut out = vec![0.0; rows * outputs];
                layer.apply(rows, x, &mut QuantizedRows::default(), &mut out, plain);
                out
            };
            let mut expected = vec![0.0; rows * outputs];
            scalar::linear(
                inputs,
                &weights,
                &vec![0.0; outputs],
                &exact,
                &mut expected,
                plain,
            );
            assert_close(
                &run(&exact),
                &expected,
                4e-6 * (inputs as f32).sqrt(),
                &format!("{level:?}"),
            );
            assert_eq!(run(&exact) == run(&more), level.has_bf16(), "{level:?}");
        }
    }
}

#[test]
fn weights_that_are_bf16_values_give_the_same_bits_as_among_others_that_are_not() {
    let mut seed = Seed(8);
    for level in Level::available() {
        for (inputs, outputs, rows) in [(1, 1, 1), (33, 47, 17), (300, 65, 40)] {
            let weights = normals(&mut seed, inputs * outputs).into_iter().map(short);
            let mut weights: Vec<f32> = weights.collect();
            let few = Linear::new(level, Precision::F32, inputs, outputs, &weights, None);
            assert_eq!(few.precision(), Precision::F32);
            // One more output, which is not of such values: all are packed in three parts.
            weights.extend(normals(&mut seed, inputs));
            let all = Linear::new(level, Precision::F32, inputs, outputs + 1, &weights, None);
            if level.has_tiles() {
                assert!(2 * few.weight_bytes() < all.weight_bytes());
            }
            let x = normals(&mut seed, rows * inputs);
            for epilogue in [Epilogue::Activate(Activation::Identity), Epilogue::Add] {
                let run = |layer: &Linear| {
                    let mut out = vec![0.5; rows * layer.outputs()];
                    layer.apply(rows, &x, &mut QuantizedRows::default(), &mut out, epilogue);
                    out
                };
                let (few, all) = (run(&few), run(&all));
                for (few, all) in few.chunks_exact(outputs).zip(all.chunks_exact(outputs + 1)) {
                    assert_eq!(few, &all[..outputs], "{level:?}, {inputs} inputs");
                }
            }
        }
    }
}

#[test]
fn layers_with_weights_in_groups_give_the_bits_of_an_f32_layer_of_the_decoded_weights() {
    let mut seed = Seed(6);
    let shapes = [
        (1, 1),
        (1, 47),
        (3, 16),
        (31, 33),
        (32, 96),
        (33, 48),
        (65, 49),
        (96, 145),
        (385, 7),
        (384, 100),
    ];
    let mut quantized = QuantizedRows::default();
    for level in Level::available() {
        for (precision, bits) in [(Precision::Int8Weights, 8), (Precision::Int4Weights, 4)] {
            for (inputs, outputs) in shapes {
                let weights = normals(&mut seed, inputs * outputs);
                let bias = normals(&mut seed, outputs);
                let decoded: Vec<f32> = weights
                    .chunks(inputs)
                    .flat_map(|weights| scalar::grouped_weights(bits, weights))
                    .collect();
                let layer = Linear::new(level, precision, inputs, outputs, &weights, Some(&bias));
                assert_eq!(layer.precision(), precision);
                // On tiles they are decoded for vectors, which have no error of their own.
                let exact = |level: &Level| !level.has_tiles();
                let vectors = [level].into_iter().chain(Level::available()).find(exact).unwrap();
                let plain = Linear::new(vectors, Precision::F32, inputs, outputs, &decoded, Some(&bias));
                for rows in [0, 1, 3, 8, 13, 40] {
                    let x = normals(&mut seed, rows * inputs);
                    for epilogue in [Epilogue::Add, Epilogue::Activate(ACTIVATIONS[seed.below(7)])] {
                        let before = normals(&mut seed, rows * outputs);
                        let [mut found, mut same, mut expected] = [before.clone(), before.clone(), before];
                        layer.apply(rows, &x, &mut quantized, &mut found, epilogue);
                        plain.apply(rows, &x, &mut quantized, &mut same, epilogue);
                        scalar::linear(inputs, &decoded, &bias, &x, &mut expected, epilogue);
                        let what = format!("{level:?} {bits} bits {rows}x{inputs}x{outputs} {epilogue:?}");
                        assert_eq!(found, same, "{what}");
                        assert_close(&found, &expected, 4e-6 * (inputs as f32).sqrt(), &what);
                    }
                }
            }
        }
    }
}

#[test]
fn weights_in_groups_are_half_a_step_off_at_most() {
    let mut seed = Seed(7);
    for (bits, last) in [(8, 255.0), (4, 15.0)] {
        for count in [1, 2, 31, 32, 33, 100] {
            let mut weights = normals(&mut seed, count);
            weights[count / 2] = 0.0;
            let decoded = scalar::grouped_weights(bits, &weights);
            for (weights, decoded) in weights.chunks(32).zip(decoded.chunks(32)) {
                let range =
                    weights.iter().copied().fold(0.0, f32::max) - weights.iter().copied().fold(0.0, f32::min);
                for (weight, found) in weights.iter().zip(decoded) {
                    // Half a step, and what bfloat16 loses of the least value and of the step.
                    let allowed = range / last * 0.5 + range / 256.0;
                    assert!(
                        (weight - found).abs() <= allowed,
                        "{bits} bits: {weight} became {found}"
                    );
                }
            }
        }
        assert_eq!(scalar::grouped_weights(bits, &[0.0; 40]), [0.0; 40]);
    }
}

#[test]
fn a_row_gives_the_same_bits_whatever_rows_stand_beside_it() {
    let mut seed = Seed(2);
    let (inputs, outputs, rows) = (70, 90, 29);
    let weights = normals(&mut seed, inputs * outputs);
    let x = normals(&mut seed, rows * inputs);
    for level in Level::available() {
        let layer = Linear::new(level, Precision::F32, inputs, outputs, &weights, None);
        let mut together = vec![0.0; rows * outputs];
        layer.apply(
            rows,
            &x,
            &mut QuantizedRows::default(),
            &mut together,
            Epilogue::Activate(Activation::Gelu),
        );
        for (row, expected) in x.chunks(inputs).zip(together.chunks(outputs)) {
            let mut alone = vec![0.0; outputs];
            layer.apply(
                1,
                row,
                &mut QuantizedRows::default(),
                &mut alone,
                Epilogue::Activate(Activation::Gelu),
            );
            assert_eq!(alone, expected, "{level:?}");
        }
    }
}

#[test]
fn activations_stay_accurate_from_tiny_to_huge_values() {
    let mut inputs: Vec<f32> = (-2000..=2000).map(|step| step as f32 * 0.01).collect();
    inputs.extend([
        0.0, -0.0, 1e-20, -1e-20, 1e-4, 50.0, -50.0, 90.0, -90.0, 1e4, -1e4,
    ]);
    for level in Level::available() {
        let layer = Linear::new(level, Precision::F32, 1, 1, &[1.0], None);
        for activation in ACTIVATIONS {
            let mut found = vec![0.0; inputs.len()];
            layer.apply(
                inputs.len(),
                &inputs,
                &mut QuantizedRows::default(),
                &mut found,
                Epilogue::Activate(activation),
            );
            let expected: Vec<f32> = inputs.iter().map(|x| scalar::activate(activation, *x)).collect();
            // As exact as `x * 0.5 * (1 + erf)` is in f32, where 1 + erf is rounded to 1.2e-7.
            let tolerance = if activation == Activation::Gelu {
                8e-7
            } else {
                4e-7
            };
            assert_close(&found, &expected, tolerance, &format!("{level:?} {activation:?}"));
        }
    }
}

#[test]
fn layer_norm_gives_what_its_twin_gives_at_every_width() {
    let mut seed = Seed(3);
    for level in Level::available() {
        for dims in [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 48, 100, 384, 385] {
            for shift in [0.0, 30.0] {
                let mut found: Vec<f32> = normals(&mut seed, 5 * dims).iter().map(|x| x + shift).collect();
                let mut expected = found.clone();
                let (weight, bias) = (normals(&mut seed, dims), normals(&mut seed, dims));
                layer_norm(level, &mut found, &weight, &bias, 1e-5);
                scalar::layer_norm(&mut expected, &weight, &bias, 1e-5);
                assert_close(&found, &expected, 1e-4, &format!("{level:?} {dims} dims"));
            }
        }
    }
}

#[test]
fn attention_gives_what_its_twin_gives_at_every_length_and_head() {
    let mut seed = Seed(4);
    let lengths = (1..=50).chain([63, 64, 65, 127, 200, 255, 511, 600]);
    let cases: Vec<(usize, usize, usize)> = lengths
        .map(|len| (len, 1 + seed.below(3), 1 + seed.below(70)))
        .chain([(20, 12, 32), (33, 2, 64), (9, 1, 128)])
        .collect();
    for level in Level::available() {
        let mut scratch = Scratch::default();
        for &(len, heads, head_dims) in &cases {
            let width = heads * head_dims;
            let stride = 3 * width + 5;
            let joint = normals(&mut seed, len * stride);
            let input = Attention {
                queries: &joint,
                keys: &joint[width..],
                values: &joint[2 * width..],
                stride,
                len,
                heads,
                head_dims,
                scale: 1.0 / (head_dims as f32).sqrt(),
            };
            let (mut found, mut expected) = (vec![7.0; len * width], vec![0.0; len * width]);
            attention(level, Precision::F32, input, &mut scratch, &mut found);
            scalar::attention(input, &mut expected);
            let what = format!("{level:?} {len} tokens, {heads} heads of {head_dims}");
            assert_close(&found, &expected, 2e-6, &what);
            attention(level, Precision::Int8, input, &mut scratch, &mut found);
            if level.has_tiles() {
                // There int8 layers attend on bf16 values, each within a 256th of itself.
                let tolerance = (2.0 + input.scale * head_dims as f32) / 256.0;
                assert_close(&found, &expected, tolerance, &format!("{what}, bf16"));
                continue;
            }
            scalar::attention_int8(input, &mut expected);
            // A weight may be rounded to the next byte.
            assert_close(&found, &expected, 1.2e-2, &format!("{what}, int8"));
        }
    }
}

#[test]
fn attention_is_the_same_whatever_all_scores_of_a_query_have_in_common() {
    let mut seed = Seed(8);
    let (len, head_dims) = (37, 16);
    for level in Level::available() {
        for common in [0.0, 8.0, 40.0] {
            // The last dimension adds the square of it to every score.
            let joint: Vec<f32> = (0..len * 3 * head_dims)
                .map(|at| match at % (3 * head_dims) {
                    15 | 31 => common,
                    _ => seed.normal() as f32 * 0.5,
                })
                .collect();
            let input = Attention {
                queries: &joint,
                keys: &joint[head_dims..],
                values: &joint[2 * head_dims..],
                stride: 3 * head_dims,
                len,
                heads: 1,
                head_dims,
                scale: 1.0,
            };
            let (mut found, mut expected) = (vec![0.0; len * head_dims], vec![0.0; len * head_dims]);
            scalar::attention(input, &mut expected);
            attention(level, Precision::F32, input, &mut Scratch::default(), &mut found);
            // A score of 1,600 is rounded to 1.2e-4.
            assert_close(
                &found,
                &expected,
                2e-6 + common * common * 2e-7,
                &format!("{level:?} {common}"),
            );
            attention(level, Precision::Bf16, input, &mut Scratch::default(), &mut found);
            let tolerance = if level.has_tiles() {
                18.0 / 256.0
            } else {
                2e-6 + common * common * 2e-7
            };
            assert_close(&found, &expected, tolerance, &format!("{level:?} {common} bf16"));
        }
    }
}

#[test]
fn attention_survives_scores_that_would_overflow_an_exponential() {
    for level in Level::available() {
        let joint: Vec<f32> = (0..20 * 16)
            .map(|at| if at % 7 == 0 { 300.0 } else { -200.0 })
            .collect();
        let input = Attention {
            queries: &joint,
            keys: &joint,
            values: &joint,
            stride: 16,
            len: 20,
            heads: 1,
            head_dims: 16,
            scale: 1.0,
        };
        let (mut found, mut expected) = (vec![0.0; 320], vec![0.0; 320]);
        attention(level, Precision::F32, input, &mut Scratch::default(), &mut found);
        scalar::attention(input, &mut expected);
        assert_close(&found, &expected, 1e-5, &format!("{level:?}"));
    }
}
