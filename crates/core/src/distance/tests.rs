//! Every kernel of every instruction set of this machine against the scalar twin and an f64 sum.

use half::f16;

use super::dispatch::{Float, all};
use super::scalar::Value;
use super::*;
use crate::Seed;

/// Lengths 0..2100: all short ones, where the tails are, and random long ones.
fn lengths(seed: &mut Seed) -> Vec<usize> {
    let long: Vec<usize> = (0..200).map(|_| seed.below(2100)).collect();
    (0..=200).chain(long).collect()
}

/// `length` random values, of a magnitude that differs between calls, that start at an odd place in memory.
fn random<T>(seed: &mut Seed, length: usize, value: impl Fn(f64) -> T) -> (Vec<T>, usize) {
    let start = seed.below(9);
    let scale = 10f64.powf(seed.uniform() * 4.0 - 2.0);
    let values = (0..start + length)
        .map(|_| value(seed.normal() * scale))
        .collect();
    (values, start)
}

/// The exact sum of `terms`, and how far an f32 sum of them may be from it: each of the at most `length + 2` roundings of a
/// plain loop (a fast one has fewer) is off by half an epsilon of at most the sum of magnitudes.
fn exact(terms: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut sum, mut magnitude, mut length) = (0.0, 0.0, 0.0);
    for term in terms {
        sum += term;
        magnitude += term.abs();
        length += 1.0;
    }
    (
        sum,
        (length + 2.0) * f64::from(f32::EPSILON) / 2.0 * magnitude + 1e-30,
    )
}

fn close(name: &str, found: f32, (sum, tolerance): (f64, f64)) {
    let error = (f64::from(found) - sum).abs();
    assert!(
        error <= tolerance,
        "{name}: {found} is {error:e} from {sum}, more than {tolerance:e}"
    );
}

fn check_float<Q: Value, R: Value>(
    name: &str,
    kernels: &Float<Q, R>,
    query: impl Fn(f64) -> Q,
    row: impl Fn(f64) -> R,
) {
    let mut seed = Seed(11);
    for length in lengths(&mut seed) {
        let (a, a_start) = random(&mut seed, length, &query);
        let (b, b_start) = random(&mut seed, length, &row);
        let (a, b) = (&a[a_start..], &b[b_start..]);
        let pairs = || {
            a.iter()
                .zip(b)
                .map(|(x, y)| (f64::from(x.f32()), f64::from(y.f32())))
        };
        let dot = exact(pairs().map(|(x, y)| x * y));
        // The difference of two f32 values is itself rounded, which adds up to two roundings a term.
        let l2 = exact(pairs().map(|(x, y)| (x - y) * (x - y)));
        let l2 = (l2.0, l2.1 + 2.0 * f64::from(f32::EPSILON) * l2.0);
        let name = format!("{name}, length {length}");
        close(&name, scalar::dot(a, b), dot);
        close(&name, scalar::l2_squared(a, b), l2);
        // SAFETY: `all` gives only tables that this machine can run.
        unsafe {
            close(&name, (kernels.dot)(a, b), dot);
            close(&name, (kernels.l2_squared)(a, b), l2);
            let [ab, aa, bb] = (kernels.products)(a, b);
            close(&name, ab, dot);
            close(&name, aa, exact(pairs().map(|(x, _)| x * x)));
            close(&name, bb, exact(pairs().map(|(_, y)| y * y)));
        }
    }
}

fn check_rows<Q: Value, R: Value>(
    name: &str,
    kernels: &Float<Q, R>,
    query: impl Fn(f64) -> Q,
    row: impl Fn(f64) -> R,
) {
    let mut seed = Seed(12);
    for round in 0..300 {
        let (dims, rows) = (
            seed.below(if round % 10 == 0 { 2100 } else { 140 }),
            seed.below(14),
        );
        let (query, start) = random(&mut seed, dims, &query);
        let query = &query[start..];
        let (matrix, start) = random(&mut seed, dims * rows, &row);
        let matrix = &matrix[start..];
        let at = |id: usize| &matrix[id * dims..(id + 1) * dims];
        let chosen = if rows == 0 { 0 } else { seed.below(30) };
        let ids: Vec<u32> = (0..chosen).map(|_| seed.below(rows) as u32).collect();
        let (mut out, mut gathered) = (vec![0.0; rows], vec![0.0; ids.len()]);
        // SAFETY: `all` gives only tables that this machine can run, and the rows are all there.
        unsafe {
            (kernels.dot_rows)(query, matrix, &mut out);
            for (id, found) in out.iter().enumerate() {
                assert_eq!(
                    found.to_bits(),
                    (kernels.dot)(query, at(id)).to_bits(),
                    "{name} {dims}"
                );
            }
            (kernels.dot_gather)(query, matrix, &ids, &mut gathered);
            assert!(
                ids.iter()
                    .zip(&gathered)
                    .all(|(&id, found)| *found == out[id as usize])
            );
            (kernels.l2_squared_rows)(query, matrix, &mut out);
            for (id, found) in out.iter().enumerate() {
                assert_eq!(
                    found.to_bits(),
                    (kernels.l2_squared)(query, at(id)).to_bits(),
                    "{name} {dims}"
                );
            }
            (kernels.l2_squared_gather)(query, matrix, &ids, &mut gathered);
            assert!(
                ids.iter()
                    .zip(&gathered)
                    .all(|(&id, found)| *found == out[id as usize])
            );
        }
    }
}

fn single(value: f64) -> f32 {
    value as f32
}

fn half(value: f64) -> f16 {
    f16::from_f64(value)
}

#[test]
fn float_kernels_are_within_rounding_of_an_f64_sum() {
    for table in all() {
        check_float(&format!("{} f32", table.name), &table.f32, single, single);
        check_float(&format!("{} f16", table.name), &table.f16, half, half);
        check_float(&format!("{} mixed", table.name), &table.mixed, single, half);
    }
}

#[test]
fn many_rows_and_gathered_rows_give_the_bits_of_one_row_alone() {
    for table in all() {
        check_rows(&format!("{} f32", table.name), &table.f32, single, single);
        check_rows(&format!("{} f16", table.name), &table.f16, half, half);
        check_rows(&format!("{} mixed", table.name), &table.mixed, single, half);
    }
}

#[test]
fn integer_kernels_equal_their_scalar_twins() {
    let mut seed = Seed(13);
    for length in lengths(&mut seed) {
        let mut bytes = || {
            let start = seed.below(9);
            let extreme = seed.below(3) == 0;
            let value = |random: u64| {
                if extreme {
                    [0x80, 0x7f][random as usize & 1]
                } else {
                    random as u8
                }
            };
            (0..start + length)
                .map(|_| value(seed.next_u64()))
                .skip(start)
                .collect::<Vec<u8>>()
        };
        let (a, b) = (bytes(), bytes());
        let signed = |bytes: &[u8]| bytes.iter().map(|&byte| byte as i8).collect::<Vec<i8>>();
        let (x, y) = (signed(&a), signed(&b));
        let start = length.min(length % 5);
        for table in all() {
            let name = format!("{}, length {length}", table.name);
            for from in [0, start] {
                let (a, b, x, y) = (&a[from..], &b[from..], &x[from..], &y[from..]);
                // SAFETY: `all` gives only tables that this machine can run.
                unsafe {
                    assert_eq!((table.dot_i8)(x, y), scalar::dot_i8(x, y), "{name}");
                    assert_eq!((table.l2_squared_i8)(x, y), scalar::l2_squared_i8(x, y), "{name}");
                    assert_eq!((table.hamming)(a, b), scalar::hamming(a, b), "{name}");
                }
            }
        }
    }
}

#[test]
fn every_f16_value_is_widened_exactly() {
    for table in all() {
        for bits in 0..=u16::MAX {
            let value = f16::from_bits(bits);
            for length in [1, 4, 8, 16] {
                let mut row = [f16::ZERO; 16];
                row[length - 1] = value;
                let mut ones = [0f32; 16];
                ones[length - 1] = 1.0;
                // SAFETY: `all` gives only tables that this machine can run.
                let found = unsafe { (table.mixed.dot)(&ones[..length], &row[..length]) };
                let same = found == value.to_f32() || (found.is_nan() && value.is_nan());
                assert!(same, "{}: {bits:04x} became {found}", table.name);
            }
        }
    }
}

#[test]
fn nan_comes_through_wherever_it_is() {
    for length in [1, 5, 16, 64, 65, 100, 384] {
        for at in 0..length {
            let mut bad = vec![1.0; length];
            bad[at] = f32::NAN;
            let good = vec![1.0; length];
            let halves: Vec<f16> = bad.iter().map(|&value| f16::from_f32(value)).collect();
            assert!(dot(&bad, &good).is_nan() && dot(&good, &bad).is_nan());
            assert!(l2_squared(&bad, &good).is_nan() && l2_squared(&good, &bad).is_nan());
            assert!(cosine(&bad, &good).is_nan() && cosine(&good, &bad).is_nan());
            assert!(dot_f16(&halves, &halves).is_nan() && cosine_f16(&halves, &halves).is_nan());
            let mut scores = [0.0];
            dot_rows_f16(&good, &halves, &mut scores);
            assert!(scores[0].is_nan());
        }
    }
}

#[test]
fn cosine_holds_at_the_ends_of_the_range_and_is_zero_without_length() {
    for scale in [1e-18, 1e-10, 1.0, 1e10, 1e18] {
        let (a, b) = ([3.0 * scale, 4.0 * scale], [4.0 * scale, 3.0 * scale]);
        assert!((cosine(&a, &b) - 0.96).abs() < 1e-6, "{scale}");
    }
    assert_eq!(cosine(&[0.0; 9], &[1.0; 9]), 0.0);
    assert_eq!(cosine(&[], &[]), 0.0);
    assert_eq!(cosine_i8(&[3, 4], &[4, 3]), 0.96);
    assert_eq!(cosine_i8(&[0; 5], &[1; 5]), 0.0);
}

#[test]
fn normalising_gives_unit_length_over_the_whole_range_and_leaves_nothing_alone() {
    for scale in [1e-11, 1.0, 1e15, 1e30, 1e38] {
        let mut vector = vec![scale; 100];
        vector[0] = -scale;
        normalize(&mut vector);
        assert!(
            (dot(&vector, &vector) - 1.0).abs() < 1e-5 && vector[0] < 0.0,
            "{scale}"
        );
    }
    let mut nothing = vec![1e-14; 9];
    normalize(&mut nothing);
    assert_eq!(nothing, [1e-14; 9]);
}

#[test]
fn the_longer_of_two_vectors_is_cut() {
    assert_eq!(dot(&[1.0, 2.0], &[3.0]), 3.0);
    assert_eq!(cosine(&[1.0, 2.0], &[3.0]), 1.0);
    assert_eq!(cosine_i8(&[1, 2], &[3]), 1.0);
    assert_eq!(hamming(&[1], &[0, 255]), 1);
}

#[test]
#[should_panic(expected = "row 3 is outside")]
fn a_gathered_row_outside_the_matrix_panics() {
    dot_gather(&[1.0; 4], &[0.0; 12], &[0, 3], &mut [0.0; 2]);
}

#[test]
#[should_panic(expected = "not 2 rows of 4")]
fn a_matrix_of_another_shape_panics() {
    dot_rows(&[1.0; 4], &[0.0; 9], &mut [0.0; 2]);
}

#[test]
fn sums_of_half_bytes_are_those_of_a_plain_loop() {
    let mut seed = Seed(5);
    for stride in [0, 64, 128, 192] {
        let rows: Vec<u8> = (0..9 * stride).map(|_| seed.next_u64() as u8).collect();
        let query: Vec<i8> = match stride {
            // The largest values there are.
            128 => vec![i8::MIN; 256],
            _ => (0..2 * stride).map(|_| seed.next_u64() as i8).collect(),
        };
        let ids = [8, 0, 3, 3, 7, 1, 2, 6, 5, 4];
        let plain = ids.map(|id| {
            let half = |at: usize| rows[id as usize * stride + at % stride] >> (4 * (at / stride)) & 15;
            let all = query.iter().enumerate();
            all.map(|(at, value)| i32::from(*value) * i32::from(half(at)))
                .sum::<i32>()
        });
        for table in all() {
            for count in [0, 1, 3, 4, 7, 10] {
                let mut out = vec![0; count];
                // SAFETY: `all` gives only tables that this machine can run; the ids are below 9.
                unsafe { (table.nibble_sums_gather)(&query, &rows, stride, &ids[..count], &mut out) };
                assert_eq!(out, plain[..count], "{}, {stride} bytes", table.name);
            }
        }
    }
}

#[test]
fn products_with_panels_are_those_with_each_row() {
    let mut seed = Seed(6);
    for width in [1, 4, 5, 63, 64, 127, 200, 384] {
        for rows in [0, 1, 15, 16, 17, 80, 100] {
            let query: Vec<i8> = (0..width).map(|_| seed.next_u64() as i8).collect();
            let matrix: Vec<i8> = (0..rows * width).map(|_| seed.next_u64() as i8).collect();
            let plain = matrix.chunks(width).map(|row| scalar::dot_i8(&query, row));
            let plain: Vec<i32> = plain.collect();
            let panels = BytePanels::new(&matrix, width);
            let mut products = vec![7; 3];
            panels.dot(&query, &mut products);
            assert_eq!(products, plain);
            for table in all() {
                panels.dot_by(table.dot_panels, &query, &mut products);
                assert_eq!(products, plain, "{}, {rows} rows of {width}", table.name);
            }
        }
    }
}
