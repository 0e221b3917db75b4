//! What training needs, at every instruction set that this processor has, gives what its scalar twin gives, on widths that fit no vector.

use kokeshi_core::Seed;
use kokeshi_kernels::{Activation, AdamW, Level, adamw, backward, scalar};

const ACTIVATIONS: [Activation; 7] = [
    Activation::Identity,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Relu,
    Activation::Silu,
    Activation::Tanh,
    Activation::Sigmoid,
];
/// Rows and columns.
const SHAPES: [(usize, usize); 9] = [
    (1, 1),
    (2, 3),
    (5, 7),
    (3, 8),
    (4, 15),
    (2, 16),
    (3, 33),
    (1, 384),
    (7, 145),
];

fn normals(seed: &mut Seed, count: usize) -> Vec<f32> {
    (0..count).map(|_| seed.normal() as f32).collect()
}

/// Differences of at most `tolerance` times the larger of 1 and the largest value.
#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance * scale,
            "{what}: value {at} is {found}, expected {expected}"
        );
    }
}

/// Runs `check` at every level and shape.
fn everywhere(check: impl Fn(Level, &mut Seed, usize, usize, &str)) {
    let mut seed = Seed(3);
    for level in Level::available() {
        for (rows, cols) in SHAPES {
            check(level, &mut seed, rows, cols, &format!("{level:?} {rows}x{cols}"));
        }
    }
}

#[test]
fn sums_and_squares() {
    everywhere(|level, seed, rows, cols, what| {
        let (x, bias) = (normals(seed, rows * cols), normals(seed, cols));
        let mut found = x.clone();
        backward::add_bias(level, &mut found, &bias);
        let expected: Vec<f32> = x.iter().enumerate().map(|(at, x)| x + bias[at % cols]).collect();
        assert_close(&found, &expected, 1e-7, what);
        let mut found = bias.clone();
        backward::add_rows(level, &x, &mut found);
        let mut expected = bias;
        x.iter().enumerate().for_each(|(at, x)| expected[at % cols] += x);
        assert_close(&found, &expected, 1e-6, what);
        let mut found = expected.clone();
        backward::add(level, &x[..cols], &mut found);
        let expected: Vec<f32> = expected.iter().zip(&x).map(|(a, b)| a + b).collect();
        assert_close(&found, &expected, 1e-7, what);
        let exact: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
        let found = backward::squares(level, &x);
        assert!(
            (found - exact).abs() <= 1e-6 * exact,
            "{what}: {found}, expected {exact}"
        );
    });
}

#[test]
fn activations_and_their_slopes() {
    everywhere(|level, seed, rows, cols, what| {
        for activation in ACTIVATIONS {
            let what = format!("{what} {activation:?}");
            // Three times as wide as normal, so that both flat ends are met.
            let x: Vec<f32> = normals(seed, rows * cols).iter().map(|x| 3.0 * x).collect();
            let mut found = vec![0.0; x.len()];
            backward::activate(level, activation, &x, &mut found);
            let expected: Vec<f32> = x.iter().map(|x| scalar::activate(activation, *x)).collect();
            assert_close(&found, &expected, 2e-6, &what);
            let given = normals(seed, x.len());
            let mut found = given.clone();
            backward::activate_backward(level, activation, &x, &mut found);
            let slopes = x.iter().map(|x| scalar::backward::slope(activation, *x));
            let expected: Vec<f32> = given
                .iter()
                .zip(slopes)
                .map(|(given, slope)| given * slope)
                .collect();
            assert_close(&found, &expected, 5e-6, &what);
        }
    });
}

#[test]
fn layer_norm_and_its_way_back() {
    everywhere(|level, seed, rows, cols, what| {
        let x: Vec<f32> = normals(seed, rows * cols).iter().map(|x| 2.0 * x + 1.0).collect();
        let (weight, bias) = (normals(seed, cols), normals(seed, cols));
        let [mut found, mut expected] = [(); 2].map(|()| (x.clone(), vec![0.0; rows], vec![0.0; x.len()]));
        backward::layer_norm_keeping(
            level,
            &mut found.0,
            [&weight, &bias],
            1e-5,
            &mut found.1,
            &mut found.2,
        );
        scalar::backward::layer_norm_keeping(
            &mut expected.0,
            [&weight, &bias],
            1e-5,
            &mut expected.1,
            &mut expected.2,
        );
        assert_close(&found.0, &expected.0, 1e-5, what);
        assert_close(&found.1, &expected.1, 1e-5, what);
        assert_close(&found.2, &expected.2, 1e-5, what);

        let given = normals(seed, x.len());
        let sums = [normals(seed, cols), normals(seed, cols)];
        let [mut one, mut two] = [(); 2].map(|()| (given.clone(), sums.clone()));
        // Both begin with the same kept values, so that only the way back differs.
        let [to_weight, to_bias] = &mut one.1;
        backward::layer_norm_backward(
            level,
            &expected.0,
            &expected.1,
            &weight,
            &mut one.0,
            [to_weight, to_bias],
        );
        let [to_weight, to_bias] = &mut two.1;
        scalar::backward::layer_norm_backward(
            &expected.0,
            &expected.1,
            &weight,
            &mut two.0,
            [to_weight, to_bias],
        );
        assert_close(&one.0, &two.0, 1e-5, what);
        assert_close(&one.1.concat(), &two.1.concat(), 1e-5, what);
    });
}

#[test]
fn softmax_and_its_way_back() {
    everywhere(|level, seed, rows, cols, what| {
        let x: Vec<f32> = normals(seed, rows * cols).iter().map(|x| 5.0 * x).collect();
        let [mut found, mut expected] = [(); 2].map(|()| x.clone());
        backward::softmax_rows(level, &mut found, cols, 0.7);
        scalar::backward::softmax_rows(&mut expected, cols, 0.7);
        assert_close(&found, &expected, 2e-6, what);
        let given = normals(seed, x.len());
        let [mut found, mut wanted] = [(); 2].map(|()| given.clone());
        backward::softmax_backward(level, &expected, &mut found, cols, 0.7);
        scalar::backward::softmax_backward(&expected, &mut wanted, cols, 0.7);
        assert_close(&found, &wanted, 2e-6, what);
    });
}

#[test]
fn adamw_steps_with_and_without_a_gradient() {
    everywhere(|level, seed, rows, cols, what| {
        let count = rows * cols;
        let start = (normals(seed, count), vec![0.0_f32; count], vec![0.0_f32; count]);
        let [mut found, mut expected] = [(); 2].map(|()| start.clone());
        for step in 1..=5 {
            let numbers = AdamW {
                rate: 0.01,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                decay: 0.1,
                step,
                factor: 0.5,
            };
            let gradient = match step {
                3 => Vec::new(),
                _ => normals(seed, count),
            };
            adamw(
                level,
                &numbers,
                &mut found.0,
                &gradient,
                &mut found.1,
                &mut found.2,
            );
            scalar::adamw::adamw(
                &numbers,
                &mut expected.0,
                &gradient,
                &mut expected.1,
                &mut expected.2,
            );
            assert_close(&found.0, &expected.0, 3e-6, &format!("{what} step {step}"));
            assert_close(&found.1, &expected.1, 1e-6, what);
            assert_close(&found.2, &expected.2, 1e-6, what);
        }
    });
}
