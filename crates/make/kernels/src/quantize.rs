//! Activations as layers read them that don't read f32: at int8 each row as unsigned bytes with a scale and a zero point of its own; as bf16 values,
//! or on tiles, at f32, as sums of three.

use crate::buffer::Buffer;
use crate::simd::{Level, Simd, at_level};
#[cfg(target_arch = "x86_64")]
use crate::{simd::Set, tiles::linear::quantize_rows};

/// Codes of a row start this many bytes apart, a multiple of it.
const ALIGN: usize = 64;
/// There is room for a multiple of this many rows, since tiles are read whole.
const BLOCK: usize = 32;

/// Rows of bf16 values are padded to a multiple of so many.
#[cfg(target_arch = "x86_64")]
pub(crate) const PARTS_STEP: usize = crate::tiles::BF16_STEP;

/// Rows of activations, quantised: value `x[row][column]` is about `(code - zero) * scale` with the row's scale and zero point. Filled by
/// [`crate::Linear::prepare`]; memory is used again.
#[derive(Clone, Default)]
pub struct QuantizedRows {
    /// `[rows][stride]`, or for tiles as `tiles::linear::quantize_rows` lays them out; codes from `width` on mean nothing and meet weights that
    /// are zeros.
    pub(crate) codes: Buffer<u8>,
    pub(crate) stride: usize,
    pub(crate) width: usize,
    /// `[rows]`
    pub(crate) scales: Vec<f32>,
    /// `[rows]`
    pub(crate) zeros: Vec<i32>,
    /// Instead of codes: bf16 values, as `tiles::linear::split_rows` lays them out, or `pairs::round_rows`.
    #[cfg(target_arch = "x86_64")]
    pub(crate) parts: Buffer<u16>,
}

/// How far apart rows of codes lie.
pub(crate) fn stride(width: usize) -> usize {
    width.next_multiple_of(ALIGN)
}

/// Bytes that codes of so many rows take.
fn codes_room(rows: usize, width: usize) -> usize {
    rows.next_multiple_of(BLOCK) * stride(width)
}

/// Values that so many rows take in so many parts each.
#[cfg(target_arch = "x86_64")]
fn parts_room(rows: usize, width: usize, parts: usize) -> usize {
    rows.next_multiple_of(BLOCK) * parts * width.next_multiple_of(PARTS_STEP)
}

impl QuantizedRows {
    /// Makes room for `rows` rows of `width` values.
    pub(crate) fn resize(&mut self, rows: usize, width: usize) {
        self.width = width;
        self.stride = stride(width);
        self.codes.resize(codes_room(rows, width));
        self.scales.resize(rows, 0.0);
        self.zeros.resize(rows, 0);
    }

    /// Panics unless it holds codes of `rows` rows of `width` values.
    pub(crate) fn check_codes(&self, rows: usize, width: usize) {
        self.check(rows, width);
        assert!(
            self.codes.len() >= codes_room(rows, width),
            "rows are prepared as codes"
        );
    }

    /// Panics unless it holds `rows` rows of `width` values in so many parts each.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn check_parts(&self, rows: usize, width: usize, parts: usize) {
        self.check(rows, width);
        let room = parts_room(rows, width, parts);
        assert!(self.parts.len() >= room, "rows are prepared in {parts} parts");
    }

    fn check(&self, rows: usize, width: usize) {
        assert_eq!(self.rows(), rows, "as many rows are prepared");
        assert_eq!(self.width, width, "rows of the same width are prepared");
    }

    /// How many rows it holds.
    pub fn rows(&self) -> usize {
        self.scales.len()
    }

    /// Makes room for `rows` rows of `width` values in so many parts each.
    #[cfg(target_arch = "x86_64")]
    fn resize_parts(&mut self, rows: usize, width: usize, parts: usize) {
        self.width = width;
        self.scales.resize(rows, 0.0);
        self.parts.resize(parts_room(rows, width, parts));
    }

    /// Makes sums of `PARTS` bf16 values of `x` (`[rows, width]`), for tiles.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn split<const PARTS: usize>(&mut self, rows: usize, width: usize, x: &[f32]) {
        use crate::tiles::linear::split_rows;
        self.resize_parts(rows, width, PARTS);
        if width > 0 {
            // SAFETY: tiles are available; there is room for the rows, padded to whole steps.
            unsafe { split_rows::<PARTS>(width, x, &mut self.parts) }
        }
    }

    /// Rounds `x` (`[rows, width]`) to bf16 values, for vectors.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn round(&mut self, rows: usize, width: usize, x: &[f32]) {
        self.resize_parts(rows, width, 1);
        if width > 0 {
            // SAFETY: the processor has AVX-512 with bf16; there is room for the rows, padded to whole vectors.
            unsafe { crate::pairs::round_rows(width, x, &mut self.parts) }
        }
    }

    /// Quantises `x` (`[rows, width]`): the range of each row, widened to contain zero, is cut into 255 steps.
    pub(crate) fn fill(&mut self, level: Level, rows: usize, width: usize, x: &[f32]) {
        self.resize(rows, width);
        if width == 0 {
            return;
        }
        #[cfg(target_arch = "x86_64")]
        if level.0 == Set::Amx {
            // SAFETY: levels come from `Level::available`; there is room for whole blocks of rows.
            return unsafe { quantize_rows(x, self) };
        }
        let rows = self;
        // SAFETY: levels come from `Level::available`; there is room for the rows, padded to whole vectors.
        unsafe { at_level!(level, quantize(rows: &mut QuantizedRows, x: &[f32])) }
    }
}

#[inline(always)]
unsafe fn quantize<S: Simd>(rows: &mut QuantizedRows, x: &[f32]) {
    for (row, x) in x.chunks_exact(rows.width).enumerate() {
        let codes = &mut rows.codes[row * rows.stride..][..rows.stride];
        // SAFETY: the caller's promise is passed on; codes are padded to whole vectors.
        (rows.scales[row], rows.zeros[row]) = unsafe { quantize_row::<S>(x, codes.as_mut_ptr()) };
    }
}

/// Writes the codes of a row, up to a whole number of vectors of them; returns scale and zero point.
#[inline(always)]
pub(crate) unsafe fn quantize_row<S: Simd>(x: &[f32], codes: *mut u8) -> (f32, i32) {
    // SAFETY: the caller promises what `Simd` asks, and room for codes up to a whole vector; loads stay inside the row.
    unsafe {
        let load = |at: usize| match x.len() - at {
            count if count >= S::W => S::load(x.as_ptr().add(at)),
            count => S::load_part(x.as_ptr().add(at), count),
        };
        let (mut least, mut most) = (S::splat(0.0), S::splat(0.0));
        for at in (0..x.len()).step_by(S::W) {
            let value = load(at);
            least = S::min(least, value);
            most = S::max(most, value);
        }
        let below = S::largest(S::sub(S::splat(0.0), least));
        let (scale, inverse, zero) = steps(below, S::largest(most));
        for at in (0..x.len()).step_by(S::W) {
            let value = S::add(S::mul(load(at), S::splat(inverse)), S::splat(zero));
            S::store_bytes(codes.add(at), value);
        }
        (scale, zero as i32)
    }
}

/// The scale, one over it, and the zero point of a row whose values are from `-below` to `above`.
#[inline(always)]
pub(crate) fn steps(below: f32, above: f32) -> (f32, f32, f32) {
    let scale = ((above + below) / 255.0).max(f32::MIN_POSITIVE);
    let inverse = 1.0 / scale;
    (scale, inverse, (below * inverse).round_ties_even())
}
