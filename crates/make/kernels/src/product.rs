//! The matrix products behind [`Linear`]: register tiles over packed panels, and what happens to sums before they are stored.

#![allow(
    clippy::needless_range_loop,
    reason = "index loops over fixed-size arrays become registers; iterators over two of them at once do not always"
)]

use crate::activation::{Activation, gelu_rough};
use crate::buffer::Buffer;
use crate::linear::{Epilogue, Int8Panels, Linear};
use crate::quantize::QuantizedRows;
use crate::simd::Simd;
use crate::simd::int8::Dot;

/// The most values a tile has: 8 rows of 3 vectors of 16.
const TILE: usize = 8 * 48;

/// Sums of a tile on their way from registers to the output: in a loop so simple that it is unrolled whole. If anything after it indexed
/// the registers by a variable, the compiler would keep them in memory during the product too, at half the speed.
#[repr(C, align(64))]
pub(crate) struct Sums(pub(crate) [f32; TILE]);

impl Sums {
    pub(crate) fn zeros() -> Self {
        Self([0.0; TILE])
    }
}

/// Where a tile of the output goes.
pub(crate) struct Place {
    /// Its top left corner; rows are `stride` apart.
    pub(crate) out: *mut f32,
    pub(crate) stride: usize,
    pub(crate) rows: usize,
    /// How many of the panel's columns are real.
    pub(crate) columns: usize,
    /// From one row of sums to the next.
    pub(crate) width: usize,
    /// The panel's part of the bias.
    pub(crate) bias: *const f32,
}

/// At f32. The register tile: AVX-512 has 32 registers (8 x 3 sums, 3 weights), AVX2 16 (6 x 2 sums, 2 weights, 1 input), and plain Rust is
/// assumed to have 16 of half the width.
#[inline(always)]
pub(crate) unsafe fn floats<S: Simd>(
    layer: &Linear,
    panels: &Buffer,
    rows: usize,
    x: &[f32],
    out: &mut [f32],
    epilogue: Epilogue,
) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match S::TILE_ROWS {
            8 => float_tiles::<S, 8, 3>(layer, panels, rows, x, out, epilogue),
            6 => float_tiles::<S, 6, 2>(layer, panels, rows, x, out, epilogue),
            _ => float_tiles::<S, 3, 2>(layer, panels, rows, x, out, epilogue),
        }
    }
}

/// Panel after panel, so that a panel stays in the second-level cache while all rows pass by.
#[inline(always)]
unsafe fn float_tiles<S: Simd, const ROWS: usize, const VECTORS: usize>(
    layer: &Linear,
    panels: &Buffer,
    rows: usize,
    x: &[f32],
    out: &mut [f32],
    epilogue: Epilogue,
) {
    let width = VECTORS * S::W;
    for panel in 0..layer.outputs.div_ceil(width) {
        // SAFETY: panel numbers stay below the count that `new` checked lengths for.
        unsafe {
            let weights = panels.as_ptr().add(panel * width * layer.inputs);
            float_rows::<S, ROWS, VECTORS>(layer, panel, weights, rows, x, out, epilogue);
        }
    }
}

/// All rows of one panel, whose `weights` are `[inputs][panel width]`.
#[inline(always)]
pub(crate) unsafe fn float_rows<S: Simd, const ROWS: usize, const VECTORS: usize>(
    layer: &Linear,
    panel: usize,
    weights: *const f32,
    rows: usize,
    x: &[f32],
    out: &mut [f32],
    epilogue: Epilogue,
) {
    let (width, inputs) = (VECTORS * S::W, layer.inputs);
    let mut sums = Sums::zeros();
    let mut row = 0;
    while row < rows {
        // SAFETY: row and column numbers stay below the counts that `apply` and `new` checked lengths for.
        unsafe {
            let x = x.as_ptr().add(row * inputs);
            let done = match rows - row {
                left if left >= ROWS => float_tile::<S, ROWS, VECTORS>(inputs, x, weights, &mut sums),
                4.. => float_tile::<S, 4, VECTORS>(inputs, x, weights, &mut sums),
                2.. => float_tile::<S, 2, VECTORS>(inputs, x, weights, &mut sums),
                _ => float_tile::<S, 1, VECTORS>(inputs, x, weights, &mut sums),
            };
            let place = Place {
                out: out.as_mut_ptr().add(row * layer.outputs + panel * width),
                stride: layer.outputs,
                rows: done,
                columns: width.min(layer.outputs - panel * width),
                width,
                bias: layer.bias.as_ptr().add(panel * width),
            };
            finish::<S, false>(&place, &sums, epilogue);
            row += done;
        }
    }
}

/// `ROWS` rows of one panel; returns `ROWS`. Sums run over the inputs in order whatever `ROWS` is, so a row's result does not depend on its
/// neighbours.
#[inline(always)]
unsafe fn float_tile<S: Simd, const ROWS: usize, const VECTORS: usize>(
    inputs: usize,
    x: *const f32,
    mut weights: *const f32,
    out: &mut Sums,
) -> usize {
    // SAFETY: the caller promises `ROWS` rows of `inputs` values, and as many weights a column.
    unsafe {
        let mut sums = [[S::splat(0.0); VECTORS]; ROWS];
        for input in 0..inputs {
            let mut row_weights = [S::splat(0.0); VECTORS];
            for vector in 0..VECTORS {
                row_weights[vector] = S::load(weights.add(vector * S::W));
            }
            for row in 0..ROWS {
                let value = S::splat(*x.add(row * inputs + input));
                for vector in 0..VECTORS {
                    sums[row][vector] = S::fma(value, row_weights[vector], sums[row][vector]);
                }
            }
            weights = weights.add(VECTORS * S::W);
        }
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                let at = (row * VECTORS + vector) * S::W;
                S::store(out.0.as_mut_ptr().add(at), sums[row][vector]);
            }
        }
    }
    ROWS
}

/// At int8.
#[inline(always)]
pub(crate) unsafe fn whole<D: Dot>(
    layer: &Linear,
    panels: &Int8Panels,
    x: &QuantizedRows,
    out: &mut [f32],
    epilogue: Epilogue,
) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match D::F::TILE_ROWS {
            8 => whole_tiles::<D, 8, 3>(layer, panels, x, out, epilogue),
            6 => whole_tiles::<D, 6, 2>(layer, panels, x, out, epilogue),
            _ => whole_tiles::<D, 3, 2>(layer, panels, x, out, epilogue),
        }
    }
}

#[inline(always)]
unsafe fn whole_tiles<D: Dot, const ROWS: usize, const VECTORS: usize>(
    layer: &Linear,
    panels: &Int8Panels,
    x: &QuantizedRows,
    out: &mut [f32],
    epilogue: Epilogue,
) {
    let width = VECTORS * D::F::W;
    let steps = layer.inputs.div_ceil(D::GROUP);
    let rows = x.rows();
    let mut sums = Sums::zeros();
    for panel in 0..layer.outputs.div_ceil(width) {
        // SAFETY: panel, row and column numbers stay below the counts that `apply` and `new` checked lengths for.
        unsafe {
            let panel = Panel {
                weights: panels.weights.as_ptr().add(panel * steps * width * D::GROUP),
                scales: panels.scales.as_ptr().add(panel * width),
                sums: panels.sums.as_ptr().add(panel * width),
                steps,
                first: panel * width,
            };
            let mut row = 0;
            while row < rows {
                let done = match rows - row {
                    left if left >= ROWS => whole_tile::<D, ROWS, VECTORS>(&panel, x, row, &mut sums),
                    4.. => whole_tile::<D, 4, VECTORS>(&panel, x, row, &mut sums),
                    2.. => whole_tile::<D, 2, VECTORS>(&panel, x, row, &mut sums),
                    _ => whole_tile::<D, 1, VECTORS>(&panel, x, row, &mut sums),
                };
                let place = Place {
                    out: out.as_mut_ptr().add(row * layer.outputs + panel.first),
                    stride: layer.outputs,
                    rows: done,
                    columns: width.min(layer.outputs - panel.first),
                    width,
                    bias: layer.bias.as_ptr().add(panel.first),
                };
                finish::<D::F, true>(&place, &sums, epilogue);
                row += done;
            }
        }
    }
}

/// A panel of bytes.
struct Panel {
    weights: *const i8,
    scales: *const f32,
    sums: *const i32,
    /// Instructions an output takes.
    steps: usize,
    /// Its first output.
    first: usize,
}

/// `ROWS` rows of one panel, as f32 without bias; returns `ROWS`.
#[inline(always)]
unsafe fn whole_tile<D: Dot, const ROWS: usize, const VECTORS: usize>(
    panel: &Panel,
    x: &QuantizedRows,
    first: usize,
    out: &mut Sums,
) -> usize {
    let width = D::F::W;
    // SAFETY: the caller promises `ROWS` rows from `first` on, whose codes are padded to whole steps, and a whole panel.
    unsafe {
        let zeros = x.zeros.as_ptr().add(first);
        let codes = x.codes.as_ptr().add(first * x.stride);
        let mut sums = [[D::start(0, panel.sums); VECTORS]; ROWS];
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                sums[row][vector] = D::start(*zeros.add(row), panel.sums.add(vector * width));
            }
        }
        let mut weights = panel.weights;
        for step in 0..panel.steps {
            let mut row_weights = [D::weights(weights); VECTORS];
            for vector in 1..VECTORS {
                row_weights[vector] = D::weights(weights.add(vector * width * D::GROUP));
            }
            for row in 0..ROWS {
                let codes = D::codes(codes.add(row * x.stride + step * D::GROUP));
                for vector in 0..VECTORS {
                    sums[row][vector] = D::dot(sums[row][vector], codes, row_weights[vector]);
                }
            }
            weights = weights.add(VECTORS * width * D::GROUP);
        }
        for row in 0..ROWS {
            let scale = D::F::splat(*x.scales.as_ptr().add(first + row));
            for vector in 0..VECTORS {
                let scale = D::F::mul(scale, D::F::load(panel.scales.add(vector * width)));
                let at = (row * VECTORS + vector) * width;
                let sum = D::F::mul(D::to_f32(sums[row][vector]), scale);
                D::F::store(out.0.as_mut_ptr().add(at), sum);
            }
        }
    }
    ROWS
}

/// Calls with the [`Last`] of an epilogue, the frequent ones by types of their own, so that nothing is looked up for each vector. `$rough`: whether
/// what comes out is not more exact than a byte.
macro_rules! with_last {
    ($epilogue:expr, $rough:expr, |$last:ident| $call:expr) => {{
        use $crate::activation::Activation;
        use $crate::linear::Epilogue;
        use $crate::product::{Gelu, Plain, Residual, RoughGelu};
        match $epilogue {
            Epilogue::Add => {
                let $last = Residual;
                $call
            }
            Epilogue::Activate(Activation::Identity) => {
                let $last = Plain;
                $call
            }
            Epilogue::Activate(Activation::Gelu) if $rough => {
                let $last = RoughGelu;
                $call
            }
            Epilogue::Activate(Activation::Gelu) => {
                let $last = Gelu;
                $call
            }
            Epilogue::Activate(other) => {
                let $last = other;
                $call
            }
        }
    }};
}
#[cfg(target_arch = "x86_64")]
pub(crate) use with_last;

/// Adds the bias to a tile of sums, does what the epilogue says and stores them. `ROUGH`: what comes out is not more exact than a byte.
#[inline(always)]
pub(crate) unsafe fn finish<S: Simd, const ROUGH: bool>(place: &Place, sums: &Sums, epilogue: Epilogue) {
    // SAFETY: the caller's promise is passed on.
    unsafe { with_last!(epilogue, ROUGH, |last| each::<S, _>(place, sums, last)) }
}

/// What becomes of a sum. Not a closure: those are not surely inlined, and outside the function that is compiled for the instruction set
/// every vector operation is a call.
pub(crate) trait Last<S: Simd> {
    /// `before`: what stands where the result goes; read only if it is used.
    unsafe fn make(&self, sum: S::V, before: S::V) -> S::V;
}

/// Added to what is there.
#[derive(Clone, Copy)]
pub(crate) struct Residual;

impl<S: Simd> Last<S> for Residual {
    #[inline(always)]
    unsafe fn make(&self, sum: S::V, before: S::V) -> S::V {
        // SAFETY: the caller promises what `Simd` asks.
        unsafe { S::add(sum, before) }
    }
}

/// As it is: unlike [`Activation::Identity`] not looked up for each vector.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

impl<S: Simd> Last<S> for Plain {
    #[inline(always)]
    unsafe fn make(&self, sum: S::V, _: S::V) -> S::V {
        sum
    }
}

/// GELU: unlike [`Activation::Gelu`] not looked up for each vector.
#[derive(Clone, Copy)]
pub(crate) struct Gelu;

impl<S: Simd> Last<S> for Gelu {
    #[inline(always)]
    unsafe fn make(&self, sum: S::V, _: S::V) -> S::V {
        // SAFETY: the caller promises what `Simd` asks.
        unsafe { Activation::Gelu.apply::<S>(sum) }
    }
}

/// GELU for what is quantised next.
#[derive(Clone, Copy)]
pub(crate) struct RoughGelu;

impl<S: Simd> Last<S> for RoughGelu {
    #[inline(always)]
    unsafe fn make(&self, sum: S::V, _: S::V) -> S::V {
        // SAFETY: the caller promises what `Simd` asks.
        unsafe { gelu_rough::<S>(sum) }
    }
}

impl<S: Simd> Last<S> for Activation {
    #[inline(always)]
    unsafe fn make(&self, sum: S::V, _: S::V) -> S::V {
        // SAFETY: the caller promises what `Simd` asks.
        unsafe { self.apply::<S>(sum) }
    }
}

/// Stores what becomes of each sum with its bias.
#[inline(always)]
unsafe fn each<S: Simd, L: Last<S>>(place: &Place, sums: &Sums, last: L) {
    // SAFETY: rows and columns are inside the output and the sums.
    unsafe {
        for row in 0..place.rows {
            let mut column = 0;
            while column < place.columns {
                let count = (place.columns - column).min(S::W);
                let sum = S::load(sums.0.as_ptr().add(row * place.width + column));
                let sum = S::add(sum, S::load(place.bias.add(column)));
                let at = place.out.add(row * place.stride + column);
                if count == S::W {
                    S::store(at, last.make(sum, S::load(at)));
                } else {
                    S::store_part(at, last.make(sum, S::load_part(at, count)), count);
                }
                column += S::W;
            }
        }
    }
}
