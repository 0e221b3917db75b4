//! Linear layers by tiles: 32 rows by 32 outputs at a time. While the tiles of one block are multiplied, the sums of the block before it get
//! their scales, bias and activation.

use std::arch::asm;
use std::arch::x86_64::*;

use super::split::{split, split_scalar};
use super::{BYTES, ROW_BYTES, ROWS, Tiles};
use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::linear::{Epilogue, Int8Panels, Linear};
use crate::product::{Last, Residual, RoughGelu};
use crate::quantize::QuantizedRows;
use crate::simd::Simd;
use crate::simd::x86::Avx512;

/// Outputs of a panel, and the most rows of a block.
pub(crate) const WIDTH: usize = 2 * ROWS;
/// Inputs of bytes that one tile takes in.
pub(crate) const INT8_STEP: usize = 64;
/// Inputs of bf16 that one tile takes in.
pub(crate) const BF16_STEP: usize = 32;

/// Sums of a block, f32 or i32: `[32][32]`.
#[repr(C, align(64))]
struct Sums([u32; WIDTH * WIDTH]);

/// Where the input `input` of output `column` of a panel of bytes stands: `[steps][2 tiles][16 groups][16 outputs][4 inputs]`.
pub(crate) fn int8_place(input: usize, column: usize) -> usize {
    let (step, inside) = (input / INT8_STEP, input % INT8_STEP);
    (step * 2 + column / ROWS) * BYTES + inside / 4 * ROW_BYTES + column % ROWS * 4 + inside % 4
}

/// Weights as sums of two bf16 values: panels of `[steps][high, low][2 tiles][16 pairs][16 outputs][2 inputs]`.
pub(crate) fn pack(inputs: usize, outputs: usize, weights: &[f32]) -> Buffer<u16> {
    let steps = inputs.div_ceil(BF16_STEP);
    let size = steps * 4 * BYTES / 2;
    let mut panels = Buffer::zeros(outputs.div_ceil(WIDTH) * size);
    for (output, row) in weights.chunks_exact(inputs.max(1)).enumerate() {
        let panel = &mut panels[output / WIDTH * size..][..size];
        let column = output % WIDTH;
        for (step, row) in row.chunks(BF16_STEP).enumerate() {
            let high = (step * 4 + column / ROWS) * BYTES / 2 + column % ROWS * 2;
            for (inside, weight) in row.iter().enumerate() {
                let at = high + inside / 2 * ROW_BYTES / 2 + inside % 2;
                [panel[at], panel[at + BYTES]] = split_scalar(*weight);
            }
        }
    }
    panels
}

/// Splits `x` (`[rows, width]`) into `to`, `[rows][high, low][stride]`: what [`floats`] reads. Padding is zeros.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(crate) unsafe fn split_rows(width: usize, stride: usize, x: &[f32], to: &mut Buffer<u16>) {
    for (row, x) in x.chunks_exact(width).enumerate() {
        for at in (0..stride).step_by(ROWS) {
            // SAFETY: rows of `to` are whole numbers of vectors long; loads stay inside the row.
            unsafe {
                let count = width.saturating_sub(at).min(ROWS);
                let halves = split(Avx512::load_part(x.as_ptr().add(at.min(width)), count));
                let to = to.as_mut_ptr().add(2 * row * stride + at);
                _mm256_storeu_si256(to.cast(), halves.high);
                _mm256_storeu_si256(to.add(stride).cast(), halves.low);
            }
        }
    }
}

/// A block whose sums wait to be finished.
#[derive(Clone, Copy)]
struct Block {
    /// Its first row and how many of them are real.
    row: usize,
    rows: usize,
    /// Its first output and how many of them are real.
    column: usize,
    columns: usize,
}

/// At int8.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")]
pub(crate) unsafe fn whole(
    layer: &Linear,
    panels: &Int8Panels,
    x: &QuantizedRows,
    out: &mut [f32],
    epilogue: Epilogue,
) {
    let steps = layer.inputs.div_ceil(INT8_STEP);
    let make = |panel: usize, row: usize, rows: usize, sums: &mut Sums| {
        // SAFETY: rows of codes are padded to whole blocks, and panels to whole steps.
        unsafe {
            let weights = panels.weights.as_ptr().add(panel * steps * 2 * BYTES);
            int8_block(x.codes.as_ptr().add(row * x.stride), x.stride, weights, steps, rows, sums);
        }
    };
    let scale = Bytes { panels, x };
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match epilogue {
            Epilogue::Add => blocks(layer, x.rows(), out, make, scale, Residual),
            Epilogue::Activate(Activation::Identity) => {
                blocks(layer, x.rows(), out, make, scale, Activation::Identity);
            }
            Epilogue::Activate(Activation::Gelu) => blocks(layer, x.rows(), out, make, scale, RoughGelu),
            Epilogue::Activate(other) => blocks(layer, x.rows(), out, make, scale, other),
        }
    }
}

/// At f32, by three bf16 products.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")]
pub(crate) unsafe fn floats(
    layer: &Linear,
    panels: &Buffer<u16>,
    x: &QuantizedRows,
    out: &mut [f32],
    epilogue: Epilogue,
) {
    let steps = layer.inputs.div_ceil(BF16_STEP);
    let make = |panel: usize, row: usize, rows: usize, sums: &mut Sums| {
        // SAFETY: split rows are padded to whole blocks, and panels to whole steps.
        unsafe {
            let weights = panels.as_ptr().add(panel * steps * 2 * BYTES);
            let x = x.halves.as_ptr().add(row * 2 * x.stride);
            float_block(x, layer.inputs.next_multiple_of(BF16_STEP), weights, steps, rows, sums);
        }
    };
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match epilogue {
            Epilogue::Add => blocks(layer, x.rows(), out, make, Floats, Residual),
            Epilogue::Activate(Activation::Identity) => {
                blocks(layer, x.rows(), out, make, Floats, Activation::Identity);
            }
            Epilogue::Activate(Activation::Gelu) => {
                blocks(layer, x.rows(), out, make, Floats, Activation::Gelu);
            }
            Epilogue::Activate(other) => blocks(layer, x.rows(), out, make, Floats, other),
        }
    }
}

/// Panel after panel, so that a panel stays in the first-level cache while all rows pass by. `make` multiplies a block into sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")]
unsafe fn blocks<K: Kind, L: Last<Avx512>>(
    layer: &Linear,
    rows: usize,
    out: &mut [f32],
    make: impl Fn(usize, usize, usize, &mut Sums),
    kind: K,
    last: L,
) {
    // SAFETY: the caller runs on a processor with tiles.
    let _tiles = unsafe { Tiles::configure() };
    let mut sums = [const { Sums([0; WIDTH * WIDTH]) }; 2];
    let mut waiting: Option<Block> = None;
    for column in (0..layer.outputs).step_by(WIDTH) {
        for row in (0..rows).step_by(WIDTH) {
            let block = Block {
                row,
                rows: WIDTH.min(rows - row),
                column,
                columns: WIDTH.min(layer.outputs - column),
            };
            let [now, before] = &mut sums;
            make(column / WIDTH, row, block.rows, now);
            if let Some(waiting) = waiting.replace(block) {
                // SAFETY: the block is inside the output.
                unsafe { finish(layer, waiting, before, out, &kind, &last) };
            }
            sums.swap(0, 1);
        }
    }
    if let Some(waiting) = waiting {
        // SAFETY: as above.
        unsafe { finish(layer, waiting, &sums[1], out, &kind, &last) };
    }
}

/// What a block's sums are, and what makes values of them.
trait Kind {
    /// What all outputs of a row share.
    type Row: Copy;
    unsafe fn row(&self, row: usize) -> Self::Row;
    /// Sixteen sums of a row as values, without bias.
    unsafe fn values(&self, sums: *const u32, row: Self::Row, column: usize) -> __m512;
}

/// Sums of bf16 products are values already.
struct Floats;

impl Kind for Floats {
    type Row = ();
    #[inline(always)]
    unsafe fn row(&self, _: usize) {}
    #[inline(always)]
    unsafe fn values(&self, sums: *const u32, (): (), _: usize) -> __m512 {
        // SAFETY: the caller promises sixteen sums.
        unsafe { _mm512_load_ps(sums.cast()) }
    }
}

/// Sums of codes have too much in them what the zero point adds, and need both scales.
struct Bytes<'a> {
    panels: &'a Int8Panels,
    x: &'a QuantizedRows,
}

impl Kind for Bytes<'_> {
    type Row = (__m512i, __m512);
    #[inline(always)]
    unsafe fn row(&self, row: usize) -> (__m512i, __m512) {
        // SAFETY: the caller promises that there is such a row.
        unsafe {
            (
                _mm512_set1_epi32(*self.x.zeros.as_ptr().add(row)),
                _mm512_set1_ps(*self.x.scales.as_ptr().add(row)),
            )
        }
    }
    #[inline(always)]
    unsafe fn values(&self, sums: *const u32, (zero, scale): (__m512i, __m512), column: usize) -> __m512 {
        // SAFETY: the caller promises sixteen sums and a column of the padded layer.
        unsafe {
            let weights = _mm512_load_si512(self.panels.sums.as_ptr().add(column).cast());
            let sums = _mm512_load_si512(sums.cast());
            let sums = _mm512_sub_epi32(sums, _mm512_mullo_epi32(zero, weights));
            let scale = _mm512_mul_ps(scale, _mm512_load_ps(self.panels.scales.as_ptr().add(column)));
            _mm512_mul_ps(_mm512_cvtepi32_ps(sums), scale)
        }
    }
}

/// Stores what becomes of a block's sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")]
unsafe fn finish<K: Kind, L: Last<Avx512>>(
    layer: &Linear,
    block: Block,
    sums: &Sums,
    out: &mut [f32],
    kind: &K,
    last: &L,
) {
    // SAFETY: rows and columns are inside the output and the sums; bias, scales and the like are padded to whole panels.
    unsafe {
        for row in 0..block.rows {
            let shared = kind.row(block.row + row);
            for at in (0..block.columns).step_by(ROWS) {
                let column = block.column + at;
                let value = kind.values(sums.0.as_ptr().add(row * WIDTH + at), shared, column);
                let value = _mm512_add_ps(value, _mm512_load_ps(layer.bias.as_ptr().add(column)));
                let to = out.as_mut_ptr().add((block.row + row) * layer.outputs + column);
                match block.columns - at {
                    count if count >= ROWS => {
                        Avx512::store(to, last.make(value, Avx512::load(to)));
                    }
                    count => {
                        Avx512::store_part(to, last.make(value, Avx512::load_part(to, count)), count);
                    }
                }
            }
        }
    }
}

/// Codes (`rows` of them, `stride` bytes apart, room for whole tiles) times a panel.
#[inline(always)]
unsafe fn int8_block(codes: *const u8, stride: usize, weights: *const i8, steps: usize, rows: usize, sums: &mut Sums) {
    // SAFETY: the caller promises the values; tiles are configured.
    unsafe {
        if rows > ROWS {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{a} + {stride}]",
                "tileloadd tmm6, [{b} + {line}]",
                "tdpbusd tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 1024]",
                "tdpbusd tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{below} + {stride}]",
                "tdpbusd tmm2, tmm5, tmm6",
                "tdpbusd tmm3, tmm5, tmm7",
                "add {a}, 64",
                "add {below}, 64",
                "add {b}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {wide}], tmm0",
                "tilestored [{out} + {wide} + 64], tmm1",
                "tilestored [{out} + {wide} + 2048], tmm2",
                "tilestored [{out} + {wide} + 2112], tmm3",
                a = inout(reg) codes => _,
                below = inout(reg) codes.add(ROWS * stride) => _,
                b = inout(reg) weights => _,
                stride = in(reg) stride,
                line = in(reg) ROW_BYTES,
                wide = in(reg) 2 * ROW_BYTES,
                out = in(reg) sums.0.as_mut_ptr(),
                steps = inout(reg) steps => _,
                options(nostack),
            );
        } else {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "2:",
                "tileloadd tmm4, [{a} + {stride}]",
                "tileloadd tmm6, [{b} + {line}]",
                "tdpbusd tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 1024]",
                "tdpbusd tmm1, tmm4, tmm7",
                "add {a}, 64",
                "add {b}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {wide}], tmm0",
                "tilestored [{out} + {wide} + 64], tmm1",
                a = inout(reg) codes => _,
                b = inout(reg) weights => _,
                stride = in(reg) stride,
                line = in(reg) ROW_BYTES,
                wide = in(reg) 2 * ROW_BYTES,
                out = in(reg) sums.0.as_mut_ptr(),
                steps = inout(reg) steps => _,
                options(nostack),
            );
        }
    }
}

/// Split rows (`[rows][high, low][width]`, room for whole tiles) times a panel: high x low, high x high, low x high.
#[inline(always)]
unsafe fn float_block(x: *const u16, width: usize, weights: *const u16, steps: usize, rows: usize, sums: &mut Sums) {
    // Bytes from one row to the next, and from a row's high parts to its low ones.
    let (stride, low) = (4 * width, 2 * width);
    // SAFETY: the caller promises the values; tiles are configured.
    unsafe {
        let x = x.cast::<u8>();
        if rows > ROWS {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{a} + {stride}]",
                "tileloadd tmm6, [{b} + {line} + 2048]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 3072]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{below} + {stride}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm6, [{b} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, {low}",
                "add {below}, {low}",
                "tileloadd tmm4, [{a} + {stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{below} + {stride}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "sub {a}, {low}",
                "sub {below}, {low}",
                "add {a}, 64",
                "add {below}, 64",
                "add {b}, 4096",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {wide}], tmm0",
                "tilestored [{out} + {wide} + 64], tmm1",
                "tilestored [{out} + {wide} + 2048], tmm2",
                "tilestored [{out} + {wide} + 2112], tmm3",
                a = inout(reg) x => _,
                below = inout(reg) x.add(ROWS * stride) => _,
                b = inout(reg) weights => _,
                stride = in(reg) stride,
                low = in(reg) low,
                line = in(reg) ROW_BYTES,
                wide = in(reg) 2 * ROW_BYTES,
                out = in(reg) sums.0.as_mut_ptr(),
                steps = inout(reg) steps => _,
                options(nostack),
            );
        } else {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "2:",
                "tileloadd tmm4, [{a} + {stride}]",
                "tileloadd tmm6, [{b} + {line} + 2048]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 3072]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm6, [{b} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "add {a}, {low}",
                "tileloadd tmm4, [{a} + {stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "sub {a}, {low}",
                "add {a}, 64",
                "add {b}, 4096",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {wide}], tmm0",
                "tilestored [{out} + {wide} + 64], tmm1",
                a = inout(reg) x => _,
                b = inout(reg) weights => _,
                stride = in(reg) stride,
                low = in(reg) low,
                line = in(reg) ROW_BYTES,
                wide = in(reg) 2 * ROW_BYTES,
                out = in(reg) sums.0.as_mut_ptr(),
                steps = inout(reg) steps => _,
                options(nostack),
            );
        }
    }
}
