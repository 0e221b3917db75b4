//! Which kernels run on this machine: found out once, then two loads and an indirect call.

use std::sync::OnceLock;

use half::f16;

use super::panels::{GROUP, Line, PANEL};
use super::scalar;

/// The kernels of one instruction set (and, for what it lacks, of a lesser one).
///
/// A field is an `unsafe fn` because it may only be called on a machine that has the instructions; [`kernels`] and [`all`] give out
/// no others. The functions behind it accept any slices: `dot`, `l2_squared` and `products` stop at the shorter one. Those over rows
/// trust the caller that all rows are inside the matrix; the public functions of [`super`] check it.
#[derive(Clone, Copy)]
pub(super) struct Kernels {
    pub name: &'static str,
    pub f32: Float<f32, f32>,
    pub f16: Float<f16, f16>,
    pub mixed: Float<f32, f16>,
    pub dot_i8: unsafe fn(&[i8], &[i8]) -> i32,
    pub dot_panels: DotPanels,
    pub l2_squared_i8: unsafe fn(&[i8], &[i8]) -> i32,
    pub hamming: unsafe fn(&[u8], &[u8]) -> u32,
    pub nibble_sums_gather: NibbleSums,
}

/// One query against a matrix: `(query, matrix, out)`.
type Rows<Q, R> = unsafe fn(&[Q], &[R], &mut [f32]);
/// One query against chosen rows: `(query, matrix, ids, out)`.
type Gather<Q, R> = unsafe fn(&[Q], &[R], &[u32], &mut [f32]);

/// One query, in fours, against panels of rows of bytes: `(query, panels, out)`.
pub(super) type DotPanels = unsafe fn(&[[i8; GROUP]], &[Line], &mut [[i32; PANEL]]);

/// One query against chosen rows of half bytes: `(query, rows, stride, ids, out)`.
type NibbleSums = unsafe fn(&[i8], &[u8], usize, &[u32], &mut [i32]);

/// The kernels for queries of `Q` and rows of `R`.
#[derive(Clone, Copy)]
pub(super) struct Float<Q, R> {
    pub dot: unsafe fn(&[Q], &[R]) -> f32,
    pub l2_squared: unsafe fn(&[Q], &[R]) -> f32,
    pub products: unsafe fn(&[Q], &[R]) -> [f32; 3],
    pub dot_rows: Rows<Q, R>,
    pub l2_squared_rows: Rows<Q, R>,
    pub dot_gather: Gather<Q, R>,
    pub l2_squared_gather: Gather<Q, R>,
}

/// The fastest kernels of this machine.
#[inline]
pub(super) fn kernels() -> &'static Kernels {
    static FASTEST: OnceLock<Kernels> = OnceLock::new();
    FASTEST.get_or_init(|| all().last().copied().unwrap_or(scalar::KERNELS))
}

/// Every table that this machine can run, slowest first.
pub(super) fn all() -> Vec<Kernels> {
    #[allow(unused_mut, reason = "only the scalar table is there on other machines")]
    let mut tables = vec![scalar::KERNELS];
    #[cfg(target_arch = "x86_64")]
    {
        use super::{avx2, avx512};
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("popcnt");
        if avx2 {
            tables.push(avx2::KERNELS);
        }
        if avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
        {
            let mut kernels = avx512::over(avx2::KERNELS);
            if is_x86_feature_detected!("avx512vnni") {
                kernels.dot_i8 = avx512::dot_i8;
                kernels.dot_panels = avx512::dot_panels;
                kernels.l2_squared_i8 = avx512::l2_squared_i8;
                kernels.nibble_sums_gather = avx512::nibble_sums_gather;
            }
            if is_x86_feature_detected!("avx512vpopcntdq") {
                kernels.hamming = avx512::hamming;
            }
            tables.push(kernels);
        }
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("neon") {
        tables.push(super::neon::KERNELS);
    }
    tables
}
