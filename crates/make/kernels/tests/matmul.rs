//! Products of matrices give what plain loops give, at every instruction set and whichever way the factors are stored.

use kokeshi_core::Seed;
use kokeshi_kernels::{Factor, Level, MatmulScratch, Store, matmul};

fn normals(seed: &mut Seed, count: usize) -> Vec<f32> {
    (0..count).map(|_| seed.normal() as f32).collect()
}

/// `[rows, cols]` stored with rows or columns as lines, `stride` apart, from `values` in row-major order.
fn stored(values: &[f32], [rows, cols]: [usize; 2], stride: usize, transposed: bool) -> Vec<f32> {
    let lines = if transposed { cols } else { rows };
    let mut out = vec![f32::NAN; lines * stride];
    for row in 0..rows {
        for col in 0..cols {
            let at = if transposed {
                col * stride + row
            } else {
                row * stride + col
            };
            out[at] = values[row * cols + col];
        }
    }
    out
}

#[test]
fn products_are_those_of_plain_loops_at_every_shape_and_layout() {
    let mut seed = Seed(3);
    let shapes = [
        [1, 1, 1],
        [3, 5, 2],
        [8, 16, 48],
        [9, 17, 49],
        [32, 32, 32],
        [7, 300, 100],
        [130, 257, 95],
        [129, 31, 801],
        [40, 600, 47],
    ];
    for level in Level::available() {
        let mut scratch = MatmulScratch::default();
        for [rows, inner, cols] in shapes {
            let (left, right) = (normals(&mut seed, rows * inner), normals(&mut seed, inner * cols));
            for ways in 0..8 {
                let [left_turned, right_turned, add] = [ways & 1 > 0, ways & 2 > 0, ways & 4 > 0];
                let (left_stride, right_stride) = (
                    if left_turned { rows } else { inner } + seed.below(3),
                    if right_turned { inner } else { cols } + seed.below(3),
                );
                let left_stored = stored(&left, [rows, inner], left_stride, left_turned);
                let right_stored = stored(&right, [inner, cols], right_stride, right_turned);
                let out_stride = cols + seed.below(4);
                let before = normals(&mut seed, rows * out_stride);
                let mut out = before.clone();
                let factor = |values, stride, turned| match turned {
                    true => Factor::transposed(values, stride),
                    false => Factor::plain(values, stride),
                };
                matmul(
                    level,
                    [rows, inner, cols],
                    factor(&left_stored, left_stride, left_turned),
                    factor(&right_stored, right_stride, right_turned),
                    if add { Store::Add } else { Store::Replace },
                    &mut out,
                    out_stride,
                    &mut scratch,
                );
                for row in 0..rows {
                    for col in 0..out_stride {
                        let at = row * out_stride + col;
                        if col >= cols {
                            assert_eq!(out[at], before[at], "what lies between rows stays");
                            continue;
                        }
                        let sum: f64 = (0..inner)
                            .map(|k| f64::from(left[row * inner + k]) * f64::from(right[k * cols + col]))
                            .sum();
                        let expected = sum + if add { f64::from(before[at]) } else { 0.0 };
                        let allowed = 1e-5 * (inner as f64).sqrt() * expected.abs().max(1.0);
                        assert!(
                            (f64::from(out[at]) - expected).abs() <= allowed,
                            "{level:?} {rows}x{inner}x{cols} way {ways}: {row},{col} is {}, expected {expected}",
                            out[at]
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn an_empty_sum_is_zero() {
    let mut out = vec![1.0; 6];
    let mut scratch = MatmulScratch::default();
    let none = Factor::plain(&[], 3);
    matmul(
        Level::best(),
        [2, 0, 3],
        none,
        none,
        Store::Add,
        &mut out,
        3,
        &mut scratch,
    );
    assert_eq!(out, [1.0; 6]);
    matmul(
        Level::best(),
        [2, 0, 3],
        none,
        none,
        Store::Replace,
        &mut out,
        3,
        &mut scratch,
    );
    assert_eq!(out, [0.0; 6]);
}
