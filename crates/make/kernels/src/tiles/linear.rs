//! Linear layers by tiles: 32 rows by 32 outputs at a time. While the tiles of one block are multiplied, the sums of the block before it get
//! their scales, bias and activation.

use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::ops::Range;

use super::matmul::pack_right;
use super::multiply::{self, Codes, Dot, Factors};
use super::split::split;
use super::{BF16_STEP, BLOCK, BYTES, ROW_BYTES, ROWS, Tiles};
use crate::buffer::Buffer;
use crate::linear::{Epilogue, Int8Panels, Linear};
use crate::matmul::Factor;
use crate::product::{Last, with_last};
use crate::quantize::{QuantizedRows, steps as steps_of};
use crate::simd::Simd;
use crate::simd::x86::Avx512;

/// Inputs of bytes that one tile takes in.
pub(crate) const INT8_STEP: usize = 64;
/// The most steps that are multiplied before the product is added to what is there: rows and weights of so many inputs stay in the second-level
/// cache.
const DEEPEST: usize = 8;

/// In how many turns a block is multiplied and the one before it finished.
const PIECES: usize = 8;

/// Bytes of rows that are multiplied with all panels before the next ones are: they stay in the second-level cache, beside a panel.
const NEAR: usize = 1200 << 10;

/// Sums of a block, f32 or i32: `[32][32]`.
#[repr(C, align(64))]
struct Sums([u32; BLOCK * BLOCK]);

/// Where the input `input` of output `column` of a panel of bytes stands: `[steps][2 tiles][16 groups][16 outputs][4 inputs]`.
pub(crate) fn int8_place(input: usize, column: usize) -> usize {
    let (step, inside) = (input / INT8_STEP, input % INT8_STEP);
    (step * 2 + column / ROWS) * BYTES + inside / 4 * ROW_BYTES + column % ROWS * 4 + inside % 4
}

/// Weights (`[outputs, inputs]`) as sums of bf16 values: panels of `[steps][PARTS][2 tiles][16 pairs][16 outputs][2 inputs]`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
pub(crate) unsafe fn pack<const PARTS: usize>(inputs: usize, outputs: usize, weights: &[f32]) -> Buffer<u16> {
    let size = inputs.div_ceil(BF16_STEP) * PARTS * BYTES;
    let mut panels = Buffer::zeros(outputs.div_ceil(BLOCK) * size);
    let weights = Factor::transposed(weights, inputs);
    for (panel, to) in panels.chunks_exact_mut(size.max(1)).enumerate() {
        let first = panel * BLOCK;
        // SAFETY: the outputs are among the weights; there is room for a panel.
        unsafe {
            let outputs = (first, BLOCK.min(outputs - first));
            pack_right::<PARTS>(weights, outputs, (0, inputs), to.as_mut_ptr());
        }
    }
    panels
}

/// Up to sixteen values of a row from `at` on, zeros behind its end.
#[inline(always)]
pub(crate) unsafe fn load(row: &[f32], at: usize) -> __m512 {
    // SAFETY: the load stays inside the row.
    unsafe {
        match row.len().saturating_sub(at) {
            ROWS.. => _mm512_loadu_ps(row.as_ptr().add(at)),
            count => Avx512::load_part(row.as_ptr().add(at.min(row.len())), count),
        }
    }
}

/// Splits `x` (`[rows, width]`) into `to`: what [`floats`] reads, `[blocks of 32 rows][steps][PARTS][32 rows][32]`. Padding is zeros.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(crate) unsafe fn split_rows<const PARTS: usize>(width: usize, x: &[f32], to: &mut Buffer<u16>) {
    let steps = width.div_ceil(BF16_STEP);
    for (row, x) in x.chunks_exact(width).enumerate() {
        let first = row / BLOCK * steps * PARTS * BYTES + row % BLOCK * BF16_STEP;
        for at in (0..steps * BF16_STEP).step_by(ROWS) {
            // SAFETY: `to` has room for whole blocks.
            unsafe {
                let to = to
                    .as_mut_ptr()
                    .add(first + at / BF16_STEP * PARTS * BYTES + at % BF16_STEP);
                for (part, value) in split::<PARTS>(load(x, at)).into_iter().enumerate() {
                    _mm256_storeu_si256(to.add(part * BYTES).cast(), value);
                }
            }
        }
    }
}

/// Quantises `x` (`[rows, width]`) as [`QuantizedRows`] says, the codes as [`whole`] reads them: `[blocks of 32 rows][steps][32 rows][64]`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(crate) unsafe fn quantize_rows(x: &[f32], to: &mut QuantizedRows) {
    let width = to.width;
    let steps = width.div_ceil(INT8_STEP);
    // Packing works inside quarters of a vector.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (row, x) in x.chunks_exact(width).enumerate() {
        let (mut least, mut most) = (_mm512_setzero_ps(), _mm512_setzero_ps());
        for at in (0..width).step_by(ROWS) {
            // SAFETY: this is AVX-512.
            let value = unsafe { load(x, at) };
            least = _mm512_min_ps(least, value);
            most = _mm512_max_ps(most, value);
        }
        let (scale, inverse, zero) = steps_of(-_mm512_reduce_min_ps(least), _mm512_reduce_max_ps(most));
        (to.scales[row], to.zeros[row]) = (scale, zero as i32);
        let (inverse, zero) = (_mm512_set1_ps(inverse), _mm512_set1_ps(zero));
        let first = row / BLOCK * steps * 2 * BYTES + row % BLOCK * INT8_STEP;
        for step in 0..steps {
            let code = |at: usize| {
                // SAFETY: as above.
                let value = unsafe { load(x, step * INT8_STEP + at) };
                _mm512_cvtps_epi32(_mm512_fmadd_ps(value, inverse, zero))
            };
            let low = _mm512_packs_epi32(code(0), code(16));
            let high = _mm512_packs_epi32(code(32), code(48));
            let codes = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high));
            // SAFETY: there is room for whole blocks.
            unsafe { _mm512_store_si512(to.codes.as_mut_ptr().add(first + step * 2 * BYTES).cast(), codes) };
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
    let source = Source::new::<Codes>(x.codes.as_ptr(), panels.weights.as_ptr(), steps, (0, steps));
    // SAFETY: the caller's promise is passed on; rows of codes are padded to whole blocks, and panels to whole steps.
    unsafe { blocks(layer, x.rows(), out, source, Bytes { panels, x }, epilogue) }
}

/// At f32 by sums of three bf16 values, or at bf16; panels and split rows are those that `D` multiplies.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")]
pub(crate) unsafe fn floats<D: Dot>(
    layer: &Linear,
    panels: &Buffer<u16>,
    x: &QuantizedRows,
    out: &mut [f32],
    epilogue: Epilogue,
) {
    let all = layer.inputs.div_ceil(BF16_STEP);
    // What is added in parts reads only a part of the rows and weights over and over.
    let deepest = if epilogue == Epilogue::Add { DEEPEST } else { all };
    for first in (0..all).step_by(deepest) {
        let part = (first, deepest.min(all - first));
        let source = Source::new::<D>(x.parts.as_ptr(), panels.as_ptr(), all, part);
        // SAFETY: the caller's promise is passed on; split rows are padded to whole blocks, and panels to whole steps.
        unsafe {
            match first {
                0 => blocks(
                    layer,
                    x.rows(),
                    out,
                    source,
                    Floats::<D, true>(PhantomData),
                    epilogue,
                ),
                _ => blocks(
                    layer,
                    x.rows(),
                    out,
                    source,
                    Floats::<D, false>(PhantomData),
                    epilogue,
                ),
            }
        }
    }
}

/// Blocks of rows and panels of weights, and the steps of them that are multiplied.
#[derive(Clone, Copy)]
struct Source {
    rows: *const u8,
    panels: *const u8,
    /// Steps from a block or panel to the next.
    all: usize,
    /// Steps that are multiplied.
    steps: usize,
}

impl Source {
    /// Rows and weights of `all` steps, of which `count` from `first` on are multiplied.
    fn new<D: Dot>(
        rows: *const impl Sized,
        panels: *const impl Sized,
        all: usize,
        (first, count): (usize, usize),
    ) -> Self {
        Self {
            rows: rows.cast::<u8>().wrapping_add(first * D::ROWS),
            panels: panels.cast::<u8>().wrapping_add(first * D::COLUMNS),
            all,
            steps: count,
        }
    }

    /// A block of rows and a panel. `turn`: how many blocks met this panel before, and fetched parts of the next one.
    #[inline(always)]
    fn factors<D: Dot>(&self, block: usize, panel: usize, turn: usize) -> Factors {
        let rows = self.rows.wrapping_add(block * self.all * D::ROWS);
        let stride = self.all * D::COLUMNS;
        let panel = self.panels.wrapping_add(panel * stride);
        let done = turn * self.steps * D::AHEAD;
        match done < self.steps * D::COLUMNS {
            true => Factors::before(rows, panel, panel.wrapping_add(stride + done)),
            false => Factors::of(rows, panel),
        }
    }
}

/// Multiplies, a block at a time, and does what the epilogue says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")]
unsafe fn blocks<K: Kind>(
    layer: &Linear,
    rows: usize,
    out: &mut [f32],
    source: Source,
    kind: K,
    epilogue: Epilogue,
) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        with_last!(epilogue, K::ROUGH, |last| each_block(
            layer, rows, out, source, kind, last
        ))
    }
}

/// Panel after panel, so that a panel stays near while rows pass by, as many as stay near, too. Each block's steps take turns with finishing the
/// block before: tiles are multiplied while the rest of the processor does that.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")]
unsafe fn each_block<K: Kind, L: Last<Avx512>>(
    layer: &Linear,
    rows: usize,
    out: &mut [f32],
    source: Source,
    kind: K,
    last: L,
) {
    // SAFETY: the caller runs on a processor with tiles.
    let _tiles = unsafe { Tiles::configure() };
    let (mut one, mut two) = (Sums([0; BLOCK * BLOCK]), Sums([0; BLOCK * BLOCK]));
    let (mut now, mut before) = (&mut one, &mut two);
    let mut waiting: Option<Block> = None;
    // About equally many each time.
    let parts = (rows.div_ceil(BLOCK) * source.steps * K::Dot::ROWS)
        .div_ceil(NEAR)
        .max(1);
    let near = rows.div_ceil(parts).next_multiple_of(BLOCK).max(BLOCK);
    for from in (0..rows).step_by(near) {
        for column in (0..layer.outputs).step_by(BLOCK) {
            for (turn, row) in (from..rows.min(from + near)).step_by(BLOCK).enumerate() {
                let block = Block {
                    row,
                    rows: BLOCK.min(rows - row),
                    column,
                    columns: BLOCK.min(layer.outputs - column),
                };
                let factors = source.factors::<K::Dot>(row / BLOCK, column / BLOCK, turn);
                let both = block.rows > ROWS;
                // SAFETY: the blocks are inside the rows, the panels and the output.
                unsafe {
                    multiply::clear();
                    let mut done = 0;
                    for piece in 1..=PIECES {
                        let to = source.steps * piece / PIECES;
                        K::Dot::steps(factors, done, to - done, both);
                        done = to;
                        if let Some(waiting) = waiting {
                            let share = |piece: usize| waiting.rows * piece / PIECES;
                            finish(
                                layer,
                                waiting,
                                share(piece - 1)..share(piece),
                                before,
                                out,
                                &kind,
                                &last,
                            );
                        }
                    }
                    multiply::store(both, now.0.as_mut_ptr(), BLOCK);
                }
                waiting = Some(block);
                std::mem::swap(&mut now, &mut before);
            }
        }
    }
    if let Some(waiting) = waiting {
        // SAFETY: as above.
        unsafe { finish(layer, waiting, 0..waiting.rows, before, out, &kind, &last) };
    }
}

/// What a block's sums are, and what makes values of them.
trait Kind {
    /// Whether the bias is to be added.
    const BIAS: bool;
    /// Whether what comes out is not more exact than a byte.
    const ROUGH: bool;
    /// What multiplies.
    type Dot: Dot;
    /// What all outputs of a row share.
    type Row: Copy;
    unsafe fn row(&self, row: usize) -> Self::Row;
    /// Sixteen sums of a row as values, without bias.
    unsafe fn values(&self, sums: *const u32, row: Self::Row, column: usize) -> __m512;
}

/// Sums of bf16 products are values already. `BIAS`: whether the bias is to be added.
struct Floats<D, const BIAS: bool>(PhantomData<D>);

impl<D: Dot, const BIAS: bool> Kind for Floats<D, BIAS> {
    type Dot = D;
    const BIAS: bool = BIAS;
    const ROUGH: bool = false;
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
    type Dot = Codes;
    const BIAS: bool = true;
    const ROUGH: bool = true;
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

/// Stores what becomes of these rows of a block's sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")]
unsafe fn finish<K: Kind, L: Last<Avx512>>(
    layer: &Linear,
    block: Block,
    rows: Range<usize>,
    sums: &Sums,
    out: &mut [f32],
    kind: &K,
    last: &L,
) {
    // SAFETY: rows and columns are inside the output and the sums; bias, scales and the like are padded to whole panels.
    unsafe {
        for row in rows {
            let shared = kind.row(block.row + row);
            for at in (0..block.columns).step_by(ROWS) {
                let column = block.column + at;
                let mut value = kind.values(sums.0.as_ptr().add(row * BLOCK + at), shared, column);
                if K::BIAS {
                    value = _mm512_add_ps(value, _mm512_load_ps(layer.bias.as_ptr().add(column)));
                }
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
