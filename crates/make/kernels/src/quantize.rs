//! Activations as int8 layers read them: each row as unsigned bytes with a scale and a zero point of its own.

use crate::buffer::Buffer;
use crate::simd::Level;

/// Codes of a row start this many bytes apart, a multiple of it.
const ALIGN: usize = 64;

/// Rows of activations, quantised: value `x[row][column]` is about `(code - zero) * scale` with the row's scale and zero point. Filled by
/// [`crate::Linear::apply`] or [`QuantizedRows::fill`]; memory is used again.
#[derive(Clone, Default)]
pub struct QuantizedRows {
    /// `[rows][stride]`; codes from `width` on are zeros and meet weights that are zeros.
    pub(crate) codes: Buffer<u8>,
    pub(crate) stride: usize,
    pub(crate) width: usize,
    /// `[rows]`
    pub(crate) scales: Vec<f32>,
    /// `[rows]`
    pub(crate) zeros: Vec<i32>,
}

/// How far apart rows of codes lie.
pub(crate) fn stride(width: usize) -> usize {
    width.next_multiple_of(ALIGN)
}

impl QuantizedRows {
    /// Makes room for `rows` rows of `width` values.
    pub(crate) fn resize(&mut self, rows: usize, width: usize) {
        self.width = width;
        self.stride = stride(width);
        self.codes.resize(rows * self.stride);
        self.scales.resize(rows, 0.0);
        self.zeros.resize(rows, 0);
    }

    /// How many rows it holds.
    pub fn rows(&self) -> usize {
        self.scales.len()
    }

    /// Quantises `x` (`[rows, width]`): the range of each row, widened to contain zero, is cut into 255 steps.
    ///
    /// # Panics
    /// If the lengths don't fit.
    pub fn fill(&mut self, _level: Level, rows: usize, width: usize, x: &[f32]) {
        assert_eq!(x.len(), rows * width, "input is [rows, width]");
        self.resize(rows, width);
        if width == 0 {
            return;
        }
        for (row, x) in x.chunks_exact(width).enumerate() {
            let codes = &mut self.codes[row * self.stride..][..self.stride];
            (self.scales[row], self.zeros[row]) = crate::scalar::quantize(x, codes);
        }
    }
}
