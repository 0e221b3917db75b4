//! Masks, biases, shared keys, far tokens, rotary positions and gates give what their scalar twins give, at every instruction set.

use kokeshi_core::Seed;
use kokeshi_kernels::{
    Activation, Attention, Bias, Far, Level, Mask, Masked, Precision, Scratch, Turn, gate, masked_attention,
    rms_norm, rotate, scalar,
};

fn normals(seed: &mut Seed, count: usize) -> Vec<f32> {
    (0..count).map(|_| seed.normal() as f32).collect()
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

const MASKS: [Mask; 9] = [
    Mask::ALL,
    Mask::CAUSAL,
    Mask::window(0),
    Mask::window(5),
    Mask::window(64),
    Mask {
        before: 7,
        after: 0,
        first: 0,
    },
    Mask {
        before: 20,
        after: 0,
        first: 3,
    },
    Mask {
        before: 9,
        after: 2,
        first: 40,
    },
    Mask {
        before: 0,
        after: usize::MAX,
        first: 1,
    },
];

#[test]
fn masked_attention_gives_what_its_twin_gives_for_every_mask_bias_and_grouping() {
    let mut seed = Seed(5);
    let lengths = [1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 33, 47, 50, 64, 65, 130, 257];
    for level in Level::available() {
        let mut scratch = Scratch::default();
        for mask in MASKS {
            for len in lengths {
                let (key_heads, group) = (1 + seed.below(3), 1 + seed.below(3));
                let (heads, head_dims) = (key_heads * group, 1 + seed.below(40));
                let (width, shared) = (heads * head_dims, key_heads * head_dims);
                let stride = width + 2 * shared + 3;
                let joint = normals(&mut seed, len * stride);
                let slopes = normals(&mut seed, heads);
                let bias = Bias::new(heads, len + seed.below(9), |head, distance| {
                    slopes[head] * (distance as f32 * 0.1).sin()
                });
                let far = [width, width, shared].map(|width| normals(&mut seed, len * width));
                let far = Far {
                    window: 1 + seed.below(30),
                    before: &far[0],
                    after: &far[1],
                    keys: &far[2],
                };
                let mut input = Masked {
                    attention: Attention {
                        queries: &joint,
                        keys: &joint[width..],
                        values: &joint[width + shared..],
                        stride,
                        len,
                        heads,
                        head_dims,
                        scale: 0.4,
                    },
                    key_heads,
                    mask,
                    bias: None,
                    far: None,
                };
                for part in 0..4 {
                    input.bias = (part & 1 > 0).then_some(&bias);
                    input.far = (part & 2 > 0).then_some(far);
                    let (mut found, mut expected) = (vec![7.0; len * width], vec![0.0; len * width]);
                    masked_attention(level, Precision::F32, input, &mut scratch, &mut found);
                    scalar::masked_attention(input, &mut expected);
                    if level.has_tiles() {
                        let mut rounded = vec![7.0; len * width];
                        masked_attention(level, Precision::Bf16, input, &mut scratch, &mut rounded);
                        // Values and their products with scores are within a 256th.
                        let tolerance = (2.0 + 0.4 * head_dims as f32) / 256.0;
                        assert_close(
                            &rounded,
                            &expected,
                            tolerance,
                            &format!("{mask:?} {len} tokens, bf16"),
                        );
                    }
                    let what = format!(
                        "{level:?} {mask:?} {len} tokens, {heads} heads of {head_dims}, {key_heads} key heads, part {part}"
                    );
                    assert_close(&found, &expected, 5e-6, &what);
                }
            }
        }
    }
}

#[test]
fn a_mask_says_who_sees_whom() {
    let lambda = Mask {
        before: 2,
        after: 0,
        first: 1,
    };
    let seen: Vec<usize> = (0..6).filter(|key| lambda.sees(4, *key)).collect();
    assert_eq!(seen, [0, 2, 3, 4]);
    assert!(Mask::ALL.is_all(1000) && !Mask::CAUSAL.is_all(2) && Mask::CAUSAL.is_all(1));
    assert!(Mask::window(3).is_all(4) && !Mask::window(3).is_all(5));
    assert!(!Mask::CAUSAL.sees(3, 4) && Mask::CAUSAL.sees(3, 3) && Mask::CAUSAL.sees(3, 0));
}

#[test]
fn rotation_norm_and_gate_give_what_their_twins_give() {
    let mut seed = Seed(6);
    for level in Level::available() {
        for half in [1, 3, 8, 16, 17, 32] {
            let (rows, heads, head_dims) = (4, 3, 2 * half + seed.below(3));
            let stride = heads * head_dims + 5;
            let angles = normals(&mut seed, rows * half);
            let cosines: Vec<f32> = angles.iter().map(|angle| angle.cos()).collect();
            let sines: Vec<f32> = angles.iter().map(|angle| angle.sin()).collect();
            let turn = Turn {
                stride,
                heads,
                head_dims,
                half,
                cosines: &cosines,
                sines: &sines,
            };
            let mut found = normals(&mut seed, rows * stride);
            let mut expected = found.clone();
            rotate(level, turn, &mut found);
            scalar::rotate(turn, &mut expected);
            assert_close(&found, &expected, 1e-6, &format!("{level:?} rotation of {half}"));
        }
        for dims in [1, 7, 8, 16, 17, 33, 128, 129] {
            let (mut found, weight) = (normals(&mut seed, 3 * dims), normals(&mut seed, dims));
            let mut expected = found.clone();
            rms_norm(level, &mut found, &weight, 1e-6);
            scalar::rms_norm(&mut expected, &weight, 1e-6);
            assert_close(&found, &expected, 2e-6, &format!("{level:?} norm of {dims}"));

            let (mut both, mut found) = (normals(&mut seed, 6 * dims), vec![0.0; 3 * dims]);
            let mut expected = found.clone();
            scalar::gate(dims, Activation::Silu, &both, &mut expected);
            gate(level, dims, Activation::Silu, &mut both, &mut found);
            assert_close(&found, &expected, 2e-6, &format!("{level:?} gate of {dims}"));
        }
    }
}
