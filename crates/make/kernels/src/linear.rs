//! Linear layers: weights packed once into panels, and the product with bias, activation or residual fused into its store.

#![allow(
    clippy::needless_range_loop,
    reason = "index loops over fixed-size arrays become registers; iterators over two of them at once do not always"
)]

use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::quantize::{self, QuantizedRows};
use crate::simd::{Level, Set, Simd, at_level};

/// What happens to a product before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epilogue {
    /// `out = activation(product + bias)`
    Activate(Activation),
    /// `out = out + product + bias`: a residual connection.
    Add,
}

/// What weights and activations are multiplied as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// 32-bit floating point: the same values as other libraries give, within rounding.
    #[default]
    F32,
    /// Signed bytes with a scale for each output as weights, unsigned bytes with a scale and a zero point for each row as activations,
    /// summed without error.
    Int8,
}

/// `[outputs, inputs]` weights with a bias, packed for one instruction set.
///
/// A panel holds as many outputs as the register tile is wide (AVX-512: 48, else 16), input after input, so that the innermost loop reads it in order.
/// The last panel is filled up with zeros.
#[derive(Clone)]
pub struct Linear {
    level: Level,
    inputs: usize,
    outputs: usize,
    panels: Panels,
    /// `[panels][panel width]`
    bias: Buffer,
}

/// Packed weights.
#[derive(Clone)]
enum Panels {
    /// `[panels][inputs][panel width]`
    F32(Buffer),
    Int8 {
        /// `[outputs][inputs]`, rows padded as codes are
        weights: Buffer<i8>,
        /// `[outputs]`
        scales: Buffer,
        /// The sum of each output's weights: `[outputs]`.
        sums: Buffer<i32>,
    },
}

/// How many outputs a panel holds.
fn panel_width(level: Level) -> usize {
    match level.0 {
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 => 48,
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => 16,
        Set::Portable => 16,
    }
}

impl Linear {
    /// Packs `weights` (`[outputs, inputs]`, row after row, as PyTorch stores them) and `bias` (`[outputs]`, zeros if there is none).
    ///
    /// # Panics
    /// If the lengths don't fit.
    pub fn new(
        level: Level,
        precision: Precision,
        inputs: usize,
        outputs: usize,
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Self {
        assert_eq!(weights.len(), inputs * outputs, "weights are [outputs, inputs]");
        let width = panel_width(level);
        let mut padded = Buffer::zeros(outputs.div_ceil(width) * width);
        if let Some(bias) = bias {
            assert_eq!(bias.len(), outputs, "bias is [outputs]");
            padded[..outputs].copy_from_slice(bias);
        }
        Self {
            level,
            inputs,
            outputs,
            panels: match precision {
                Precision::F32 => pack(width, inputs, outputs, weights),
                Precision::Int8 => pack_int8(inputs, outputs, weights),
            },
            bias: padded,
        }
    }

    /// What it multiplies as.
    pub fn precision(&self) -> Precision {
        match self.panels {
            Panels::F32(_) => Precision::F32,
            Panels::Int8 { .. } => Precision::Int8,
        }
    }

    /// How many values a row of its input has.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// How many values a row of its output has.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Applies it to `x` (`[rows, inputs]`), into `out` (`[rows, outputs]`). If it is an int8 layer, `x` is quantised into `quantized`
    /// first; else `quantized` is not touched.
    ///
    /// # Panics
    /// If the lengths don't fit.
    pub fn apply(
        &self,
        rows: usize,
        x: &[f32],
        quantized: &mut QuantizedRows,
        out: &mut [f32],
        epilogue: Epilogue,
    ) {
        if self.precision() == Precision::Int8 {
            quantized.fill(self.level, rows, self.inputs, x);
        }
        self.apply_quantized(rows, x, quantized, out, epilogue);
    }

    /// As [`Linear::apply`], with `quantized` made from `x` already: by a layer before this one that read the same `x`, or by
    /// [`QuantizedRows::fill`]. An f32 layer reads `x` alone.
    ///
    /// # Panics
    /// If the lengths don't fit.
    pub fn apply_quantized(
        &self,
        rows: usize,
        x: &[f32],
        quantized: &QuantizedRows,
        out: &mut [f32],
        epilogue: Epilogue,
    ) {
        assert_eq!(x.len(), rows * self.inputs, "input is [rows, inputs]");
        assert_eq!(out.len(), rows * self.outputs, "output is [rows, outputs]");
        if self.inputs == 0 || self.outputs == 0 {
            return;
        }
        let layer = self;
        match &self.panels {
            // SAFETY: `level` was found on this processor when the weights were packed; the lengths are checked above and by `new`.
            Panels::F32(panels) => unsafe {
                at_level!(
                    self.level,
                    product(layer: &Linear, panels: &Buffer, rows: usize, x: &[f32], out: &mut [f32], epilogue: Epilogue)
                )
            },
            Panels::Int8 {
                weights,
                scales,
                sums,
            } => {
                assert_eq!(quantized.rows(), rows, "as many rows are quantised");
                assert_eq!(
                    quantized.width, self.inputs,
                    "rows of the same width are quantised"
                );
                for row in 0..rows {
                    let codes = &quantized.codes[row * quantized.stride..][..quantized.stride];
                    for output in 0..self.outputs {
                        let weights = &weights[output * quantized.stride..][..quantized.stride];
                        let products = codes.iter().zip(weights);
                        let sum = products.map(|(a, b)| i32::from(*a) * i32::from(*b)).sum::<i32>()
                            - quantized.zeros[row] * sums[output];
                        let sum = sum as f32 * (quantized.scales[row] * scales[output]) + self.bias[output];
                        let out = &mut out[row * self.outputs + output];
                        *out = match epilogue {
                            Epilogue::Activate(activation) => crate::scalar::activate(activation, sum),
                            Epilogue::Add => *out + sum,
                        };
                    }
                }
            }
        }
    }
}

fn pack(width: usize, inputs: usize, outputs: usize, weights: &[f32]) -> Panels {
    let mut panels = Buffer::zeros(outputs.div_ceil(width) * width * inputs);
    for (output, row) in weights.chunks_exact(inputs.max(1)).enumerate() {
        let panel = &mut panels[output / width * width * inputs..][..width * inputs];
        for (input, weight) in row.iter().enumerate() {
            panel[input * width + output % width] = *weight;
        }
    }
    Panels::F32(panels)
}

fn pack_int8(inputs: usize, outputs: usize, weights: &[f32]) -> Panels {
    let stride = quantize::stride(inputs);
    let mut packed = Buffer::zeros(outputs * stride);
    let mut scales = Buffer::zeros(outputs);
    let mut sums = Buffer::zeros(outputs);
    for (output, row) in weights.chunks_exact(inputs.max(1)).enumerate() {
        let codes = &mut packed[output * stride..][..inputs];
        scales[output] = crate::scalar::quantize_weights(row, codes);
        sums[output] = codes.iter().map(|code| i32::from(*code)).sum();
    }
    Panels::Int8 {
        weights: packed,
        scales,
        sums,
    }
}

/// The register tile: AVX-512 has 32 registers (8 x 3 sums, 3 weights), AVX2 16 (6 x 2 sums, 2 weights, 1 input), and plain Rust is
/// assumed to have 16 of half the width.
#[inline(always)]
unsafe fn product<S: Simd>(
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
            8 => tiled::<S, 8, 3>(layer, panels, rows, x, out, epilogue),
            6 => tiled::<S, 6, 2>(layer, panels, rows, x, out, epilogue),
            _ => tiled::<S, 3, 2>(layer, panels, rows, x, out, epilogue),
        }
    }
}

/// Panel after panel, so that a panel stays in the second-level cache while all rows pass by.
#[inline(always)]
unsafe fn tiled<S: Simd, const ROWS: usize, const VECTORS: usize>(
    layer: &Linear,
    panels: &Buffer,
    rows: usize,
    x: &[f32],
    out: &mut [f32],
    epilogue: Epilogue,
) {
    let width = VECTORS * S::W;
    debug_assert_eq!(width, panel_width(layer.level));
    for panel in 0..layer.outputs.div_ceil(width) {
        // SAFETY: panel, row and column numbers stay below the counts that `apply` and `new` checked lengths for.
        unsafe {
            let place = |row: usize, out: &mut [f32]| Place {
                x: x.as_ptr().add(row * layer.inputs),
                inputs: layer.inputs,
                weights: panels.as_ptr().add(panel * width * layer.inputs),
                bias: layer.bias.as_ptr().add(panel * width),
                out: out.as_mut_ptr().add(row * layer.outputs + panel * width),
                stride: layer.outputs,
                columns: width.min(layer.outputs - panel * width),
            };
            let mut row = 0;
            while row < rows {
                let place = place(row, out);
                let (done, columns) = (ROWS.min(rows - row), place.columns);
                let add = epilogue == Epilogue::Add;
                let done = match done {
                    done if done == ROWS => tile::<S, ROWS, VECTORS>(place, add),
                    4.. => tile::<S, 4, VECTORS>(place, add),
                    2.. => tile::<S, 2, VECTORS>(place, add),
                    _ => tile::<S, 1, VECTORS>(place, add),
                };
                if let Epilogue::Activate(activation) = epilogue {
                    for row in row..row + done {
                        activation.map::<S>(&mut out[row * layer.outputs + panel * width..][..columns]);
                    }
                }
                row += done;
            }
        }
    }
}

/// The most values that a vector of any instruction set holds.
const LANES: usize = 16;

/// Where one tile of the output comes from and goes to.
struct Place {
    /// The first of its input rows, `inputs` apart.
    x: *const f32,
    inputs: usize,
    /// `[inputs][panel width]`
    weights: *const f32,
    bias: *const f32,
    /// Its top left corner; rows are `stride` apart, `columns` of them are real.
    out: *mut f32,
    stride: usize,
    columns: usize,
}

/// `ROWS` rows of one panel; returns `ROWS`. Sums run over the inputs in order whatever `ROWS` is, so a row's result does not depend on its neighbours.
#[inline(always)]
unsafe fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(place: Place, add: bool) -> usize {
    // SAFETY: `tiled` made the place so that all addresses below are inside the slices.
    unsafe {
        let mut sums = [[S::splat(0.0); VECTORS]; ROWS];
        let mut weights = place.weights;
        for input in 0..place.inputs {
            let mut row_weights = [S::splat(0.0); VECTORS];
            for vector in 0..VECTORS {
                row_weights[vector] = S::load(weights.add(vector * S::W));
            }
            for row in 0..ROWS {
                let value = S::splat(*place.x.add(row * place.inputs + input));
                for vector in 0..VECTORS {
                    sums[row][vector] = S::fma(value, row_weights[vector], sums[row][vector]);
                }
            }
            weights = weights.add(VECTORS * S::W);
        }
        // The sums leave their registers here, in a loop so simple that it is unrolled whole: if anything below indexed `sums` by a
        // variable, the compiler would keep them in memory during the loop above too, at half the speed.
        let mut finished = [[[0.0; LANES]; VECTORS]; ROWS];
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                S::store(finished[row][vector].as_mut_ptr(), sums[row][vector]);
            }
        }
        for (row, finished) in finished.iter().enumerate() {
            for (vector, finished) in finished.iter().enumerate() {
                let first = vector * S::W;
                if first >= place.columns {
                    break;
                }
                let count = place.columns - first;
                let out = place.out.add(row * place.stride + first);
                let sum = S::add(S::load(finished.as_ptr()), S::load(place.bias.add(first)));
                match (count >= S::W, add) {
                    (true, false) => S::store(out, sum),
                    (true, true) => S::store(out, S::add(sum, S::load(out))),
                    (false, false) => S::store_part(out, sum, count),
                    (false, true) => S::store_part(out, S::add(sum, S::load_part(out, count)), count),
                }
            }
        }
    }
    ROWS
}
