//! Matrix products for training and encoding: packed panels and one register tile for each instruction set.
//!
//! The kernels of `kokeshi-kernels` serve layers of networks and stand on the same floor as this crate; the `gemm` crate takes minutes to
//! build. What is needed here is three forms of an f32 product at a good part of the processor's speed.

use rayon::prelude::*;

/// `out = a b^T`: `a` is `[m, k]`, `b` `[n, k]`, `out` `[m, n]`.
pub(crate) fn by_rows(a: &[f32], b: &[f32], k: usize, out: &mut [f32]) {
    let (m, n) = (a.len() / k.max(1), b.len() / k.max(1));
    assert!(a.len() == m * k && b.len() == n * k && out.len() == m * n);
    multiply([m, n, k], (a, [k, 1]), (b, [1, k]), out);
}

/// `out = a b`: `a` is `[m, k]`, `b` `[k, n]`, `out` `[m, n]`.
pub(crate) fn plain(a: &[f32], b: &[f32], k: usize, n: usize, out: &mut [f32]) {
    let m = a.len() / k.max(1);
    assert!(a.len() == m * k && b.len() == n * k && out.len() == m * n);
    multiply([m, n, k], (a, [k, 1]), (b, [n, 1]), out);
}

/// `out = a^T b`: `a` is `[rows, m]`, `b` `[rows, n]`, `out` `[m, n]`.
pub(crate) fn by_columns(a: &[f32], b: &[f32], m: usize, n: usize, out: &mut [f32]) {
    let rows = a.len() / m.max(1);
    assert!(a.len() == rows * m && b.len() == rows * n && out.len() == m * n);
    multiply([m, n, rows], (a, [1, m]), (b, [n, 1]), out);
}

/// Products that are summed before they are added to the result: a panel of `COLUMNS` of them stays in the first-level cache.
const DEPTH: usize = 256;
/// Rows and columns of a tile: 16 registers of 16 values.
const ROWS: usize = 8;
const COLUMNS: usize = 32;
/// Rows that one thread takes.
const SHARE: usize = 64;

/// A matrix and the distances between rows and between columns.
type Strided<'a> = (&'a [f32], [usize; 2]);

/// One tile.
type Tile = [[f32; COLUMNS]; ROWS];

fn multiply([m, n, k]: [usize; 3], a: Strided<'_>, b: Strided<'_>, out: &mut [f32]) {
    out.fill(0.0);
    if m == 0 || n == 0 {
        return;
    }
    let tile = tile_kernel();
    let mut panels = vec![0.0; n.next_multiple_of(COLUMNS) * DEPTH.min(k)];
    for from in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - from);
        // `[n / COLUMNS][depth][COLUMNS]`, filled up with zeros.
        let panels = &mut panels[..n.next_multiple_of(COLUMNS) * depth];
        panels
            .par_chunks_exact_mut(COLUMNS * depth)
            .enumerate()
            .for_each(|(at, panel)| pack::<COLUMNS>(b.0, [b.1[1], b.1[0]], at * COLUMNS, n, from, panel));
        out.par_chunks_mut(SHARE * n)
            .enumerate()
            .for_each(|(share, out)| {
                let mut strip = vec![0.0; ROWS * depth];
                for (at, out) in out.chunks_mut(ROWS * n).enumerate() {
                    let first = share * SHARE + at * ROWS;
                    pack::<ROWS>(a.0, a.1, first, m, from, &mut strip);
                    for (at, panel) in panels.chunks_exact(COLUMNS * depth).enumerate() {
                        let mut sums: Tile = [[0.0; COLUMNS]; ROWS];
                        // SAFETY: `tile_kernel` gives only what this machine can run.
                        unsafe { tile(&strip, panel, &mut sums) };
                        for (out, sums) in out.chunks_exact_mut(n).zip(&sums) {
                            let until = n.min((at + 1) * COLUMNS);
                            let out = &mut out[at * COLUMNS..until];
                            out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                        }
                    }
                }
            });
    }
}

/// Lines `first..first + W` (zeros from `lines` on) of a matrix with the distances `[line, along]`, from `from` along: `[depth, W]`.
fn pack<const W: usize>(
    matrix: &[f32],
    [line, along]: [usize; 2],
    first: usize,
    lines: usize,
    from: usize,
    out: &mut [f32],
) {
    let (groups, _) = out.as_chunks_mut::<W>();
    let there = W.min(lines.saturating_sub(first));
    if line == 1 {
        for (at, group) in groups.iter_mut().enumerate() {
            group[..there].copy_from_slice(&matrix[first + (from + at) * along..][..there]);
            group[there..].fill(0.0);
        }
    } else {
        for row in 0..W {
            for (at, group) in groups.iter_mut().enumerate() {
                group[row] = if row < there {
                    matrix[(first + row) * line + (from + at) * along]
                } else {
                    0.0
                };
            }
        }
    }
}

/// Adds to a tile the products of a strip (`[depth, ROWS]`) and a panel (`[depth, COLUMNS]`).
type TileKernel = unsafe fn(&[f32], &[f32], &mut Tile);

fn tile_kernel() -> TileKernel {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return x86::tile_avx512;
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            return x86::tile_avx2;
        }
    }
    tile_scalar
}

fn tile_scalar(strip: &[f32], panel: &[f32], sums: &mut Tile) {
    for (values, columns) in strip
        .as_chunks::<ROWS>()
        .0
        .iter()
        .zip(panel.as_chunks::<COLUMNS>().0)
    {
        for (sums, value) in sums.iter_mut().zip(values) {
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum += value * column;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{COLUMNS, ROWS, Tile};

    /// # Safety
    /// The instructions are there.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn tile_avx512(strip: &[f32], panel: &[f32], sums: &mut Tile) {
        let mut tile = [[_mm512_setzero_ps(); 2]; ROWS];
        for (values, columns) in strip
            .as_chunks::<ROWS>()
            .0
            .iter()
            .zip(panel.as_chunks::<COLUMNS>().0)
        {
            // SAFETY: there are 32 columns.
            let columns = unsafe {
                [
                    _mm512_loadu_ps(columns.as_ptr()),
                    _mm512_loadu_ps(columns.as_ptr().add(16)),
                ]
            };
            for row in 0..ROWS {
                let value = _mm512_set1_ps(values[row]);
                tile[row][0] = _mm512_fmadd_ps(value, columns[0], tile[row][0]);
                tile[row][1] = _mm512_fmadd_ps(value, columns[1], tile[row][1]);
            }
        }
        for (sums, tile) in sums.iter_mut().zip(tile) {
            // SAFETY: there are 32 sums.
            unsafe {
                _mm512_storeu_ps(sums.as_mut_ptr(), tile[0]);
                _mm512_storeu_ps(sums.as_mut_ptr().add(16), tile[1]);
            }
        }
    }

    /// Four rows and two registers at a time: that is what 16 registers hold.
    ///
    /// # Safety
    /// The instructions are there.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn tile_avx2(strip: &[f32], panel: &[f32], sums: &mut Tile) {
        for half in 0..2 {
            for side in 0..2 {
                let mut tile = [[_mm256_setzero_ps(); 2]; 4];
                for (values, columns) in strip
                    .as_chunks::<ROWS>()
                    .0
                    .iter()
                    .zip(panel.as_chunks::<COLUMNS>().0)
                {
                    // SAFETY: there are 32 columns, of which 16 are taken.
                    let columns = unsafe {
                        let from = columns.as_ptr().add(16 * side);
                        [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))]
                    };
                    for row in 0..4 {
                        let value = _mm256_set1_ps(values[4 * half + row]);
                        tile[row][0] = _mm256_fmadd_ps(value, columns[0], tile[row][0]);
                        tile[row][1] = _mm256_fmadd_ps(value, columns[1], tile[row][1]);
                    }
                }
                for (row, tile) in tile.iter().enumerate() {
                    // SAFETY: there are 32 sums, of which 16 are written.
                    unsafe {
                        let to = sums[4 * half + row].as_mut_ptr().add(16 * side);
                        _mm256_storeu_ps(to, tile[0]);
                        _mm256_storeu_ps(to.add(8), tile[1]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kokeshi_core::Seed;

    #[test]
    fn the_three_forms_are_what_their_names_say_for_all_shapes() {
        let mut seed = Seed(1);
        for [m, n, k] in [
            [1, 1, 1],
            [2, 3, 5],
            [8, 32, 256],
            [70, 33, 300],
            [9, 65, 513],
            [3, 0, 4],
            [3, 4, 0],
        ] {
            let a: Vec<f32> = (0..m * k).map(|_| seed.normal() as f32).collect();
            let b: Vec<f32> = (0..k * n).map(|_| seed.normal() as f32).collect();
            let turn = |matrix: &[f32], rows: usize, columns: usize| -> Vec<f32> {
                (0..rows * columns)
                    .map(|at| matrix[at % rows * columns + at / rows])
                    .collect()
            };
            let mut exact = vec![0.0_f64; m * n];
            for i in 0..m {
                for j in 0..n {
                    exact[i * n + j] = (0..k)
                        .map(|at| f64::from(a[i * k + at]) * f64::from(b[at * n + j]))
                        .sum();
                }
            }
            let check = |out: &[f32]| {
                for (found, exact) in out.iter().zip(&exact) {
                    assert!(
                        (f64::from(*found) - exact).abs() < 1e-4 * (k as f64).sqrt().max(1.0),
                        "{m} {n} {k}"
                    );
                }
            };
            let mut out = vec![7.0; m * n];
            if k > 0 {
                plain(&a, &b, k, n, &mut out);
                check(&out);
                by_rows(&a, &turn(&b, k, n), k, &mut out);
                check(&out);
            }
            if n > 0 {
                by_columns(&turn(&a, m, k), &b, m, n, &mut out);
                check(&out);
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn every_tile_gives_what_the_scalar_one_gives() {
        let mut seed = Seed(2);
        let strip: Vec<f32> = (0..ROWS * 77).map(|_| seed.normal() as f32).collect();
        let panel: Vec<f32> = (0..COLUMNS * 77).map(|_| seed.normal() as f32).collect();
        let mut expected: Tile = [[0.0; COLUMNS]; ROWS];
        tile_scalar(&strip, &panel, &mut expected);
        let mut kernels: Vec<TileKernel> = Vec::new();
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            kernels.push(x86::tile_avx2);
        }
        if std::arch::is_x86_feature_detected!("avx512f") {
            kernels.push(x86::tile_avx512);
        }
        for kernel in kernels {
            let mut found: Tile = [[0.0; COLUMNS]; ROWS];
            // SAFETY: the instructions were detected.
            unsafe { kernel(&strip, &panel, &mut found) };
            for (a, b) in found.as_flattened().iter().zip(expected.as_flattened()) {
                assert!((a - b).abs() < 1e-4);
            }
        }
    }
}
