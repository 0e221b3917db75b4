//! Weights in eight or four bits for f32 activations: a large decoder in a quarter or a seventh of the memory.
//!
//! The inputs of an output are cut into groups of [`GROUP`]; each group's range, widened to contain zero, is cut into 255 or 15 steps. A weight is
//! `code * step + least`, with step and least in bfloat16 (round-to-nearest group quantisation, as in GPTQ's baseline, arXiv 2210.17323, section 4).
//! Activations are not touched. A product decodes a panel into f32 and multiplies as an f32 layer does, so that its result is, bit for bit, the one of an
//! f32 layer of the decoded weights; what is gained is memory, and with it the time of a single text, which waits for weights.

#![allow(
    clippy::needless_range_loop,
    reason = "index loops over fixed-size arrays become registers; iterators over two of them at once do not always"
)]

use std::cell::RefCell;

use crate::buffer::Buffer;
use crate::linear::{Epilogue, Linear};
use crate::product::float_rows;
use crate::simd::Simd;
use crate::simd::codes::Codes;

/// How many inputs share a step; even, since two of them share a byte at four bits. Measured on all-MiniLM-L6-v2: see docs/encode.md.
pub const GROUP: usize = 32;

/// Packed weights in few bits.
#[derive(Clone)]
pub(crate) struct GroupedPanels {
    /// 8 or 4.
    pub(crate) bits: usize,
    /// At 8 bits `[panels][inputs][panel width]`; at 4 bits `[panels][inputs / 2][panel width]`, the lower half of a byte being the even input's.
    codes: Buffer<u8>,
    /// `[panels][groups][2][panel width]`: the steps, then the least values, as bfloat16.
    scales: Buffer<u16>,
}

impl GroupedPanels {
    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.codes.len() + 2 * self.scales.len()
    }
}

/// The codes of a group of weights with step and least value, so that a weight is about `code * step + least`.
pub(crate) fn quantize(bits: usize, weights: &[f32], codes: &mut [u8]) -> (u16, u16) {
    let most = weights.iter().copied().fold(0.0, f32::max);
    let least = from_bfloat(to_bfloat(weights.iter().copied().fold(0.0, f32::min)));
    let last = ((1 << bits) - 1) as f32;
    let step = to_bfloat((most - least) / last);
    let inverse = match from_bfloat(step) {
        0.0 => 0.0,
        step => 1.0 / step,
    };
    for (code, weight) in codes.iter_mut().zip(weights) {
        // Adding 2^23 and taking it away rounds to even in two additions, where `round_ties_even` is a call for each weight.
        let whole = ((weight - least) * inverse + 8_388_608.0) - 8_388_608.0;
        *code = whole.clamp(0.0, last) as u8;
    }
    (step, to_bfloat(least))
}

/// The nearest bfloat16, ties to even.
fn to_bfloat(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// The f32 of a bfloat16.
pub(crate) fn from_bfloat(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}

/// How many groups `inputs` make.
fn groups(inputs: usize) -> usize {
    inputs.div_ceil(GROUP)
}

/// How many bytes one output takes in a panel.
fn bytes(bits: usize, inputs: usize) -> usize {
    (inputs * bits).div_ceil(8)
}

/// Packs `weights` (`[outputs, inputs]`) into panels `width` wide.
pub(crate) fn pack(
    bits: usize,
    width: usize,
    inputs: usize,
    outputs: usize,
    weights: &[f32],
) -> GroupedPanels {
    let panels = outputs.div_ceil(width);
    let mut packed = GroupedPanels {
        bits,
        codes: Buffer::zeros(panels * bytes(bits, inputs) * width),
        scales: Buffer::zeros(panels * groups(inputs) * 2 * width),
    };
    let mut codes = [0; GROUP];
    for (output, row) in weights.chunks_exact(inputs.max(1)).enumerate() {
        let (panel, column) = (output / width, output % width);
        for (group, weights) in row.chunks(GROUP).enumerate() {
            let (step, least) = quantize(bits, weights, &mut codes);
            let at = (panel * groups(inputs) + group) * 2 * width + column;
            packed.scales[at] = step;
            packed.scales[at + width] = least;
            for (place, code) in codes[..weights.len()].iter().enumerate() {
                let input = group * GROUP + place;
                let (row, shift) = match bits {
                    8 => (input, 0),
                    _ => (input / 2, 4 * (input % 2)),
                };
                packed.codes[(panel * bytes(bits, inputs) + row) * width + column] |= code << shift;
            }
        }
    }
    packed
}

thread_local! {
    /// The panel that a thread multiplies with, decoded.
    static DECODED: RefCell<Buffer> = RefCell::default();
}

/// The product: panel after panel is decoded and meets all rows.
#[inline(always)]
pub(crate) unsafe fn grouped<S: Codes>(
    layer: &Linear,
    panels: &GroupedPanels,
    rows: usize,
    x: &[f32],
    out: &mut [f32],
    epilogue: Epilogue,
) {
    // Taken out and put back: a closure might not be inlined into the function that is compiled for the instruction set.
    let mut decoded = DECODED.take();
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match S::TILE_ROWS {
            8 => tiles::<S, 8, 3>(layer, panels, rows, x, out, epilogue, &mut decoded),
            6 => tiles::<S, 6, 2>(layer, panels, rows, x, out, epilogue, &mut decoded),
            _ => tiles::<S, 3, 2>(layer, panels, rows, x, out, epilogue, &mut decoded),
        }
    }
    DECODED.set(decoded);
}

#[inline(always)]
unsafe fn tiles<S: Codes, const ROWS: usize, const VECTORS: usize>(
    layer: &Linear,
    panels: &GroupedPanels,
    rows: usize,
    x: &[f32],
    out: &mut [f32],
    epilogue: Epilogue,
    decoded: &mut Buffer,
) {
    let width = VECTORS * S::W;
    decoded.resize(layer.inputs.next_multiple_of(2) * width);
    for panel in 0..layer.outputs.div_ceil(width) {
        let size = bytes(panels.bits, layer.inputs) * width;
        // SAFETY: panel numbers stay below the count that `pack` made room for; the decoded panel has room for an even number of inputs.
        unsafe {
            let codes = panels.codes.as_ptr().add(panel * size);
            let scales = panels
                .scales
                .as_ptr()
                .add(panel * groups(layer.inputs) * 2 * width);
            let to = decoded.as_mut_ptr();
            match panels.bits {
                8 => decode::<S, VECTORS, 8>(layer.inputs, codes, scales, to),
                _ => decode::<S, VECTORS, 4>(layer.inputs, codes, scales, to),
            }
            float_rows::<S, ROWS, VECTORS>(layer, panel, decoded.as_ptr(), rows, x, out, epilogue);
        }
    }
}

/// Writes a panel as f32, `[inputs][panel width]`; at four bits an even number of inputs.
#[inline(always)]
unsafe fn decode<S: Codes, const VECTORS: usize, const BITS: usize>(
    inputs: usize,
    mut codes: *const u8,
    mut scales: *const u16,
    mut to: *mut f32,
) {
    let width = VECTORS * S::W;
    // SAFETY: the caller promises a whole panel, its scales and room for it.
    unsafe {
        for first in (0..inputs).step_by(GROUP) {
            let mut steps = [S::splat(0.0); VECTORS];
            let mut least = steps;
            for vector in 0..VECTORS {
                steps[vector] = S::bfloats(scales.add(vector * S::W));
                least[vector] = S::bfloats(scales.add(width + vector * S::W));
            }
            scales = scales.add(2 * width);
            let count = GROUP.min(inputs - first);
            if BITS == 8 {
                for _ in 0..count {
                    for vector in 0..VECTORS {
                        let code = S::bytes(codes.add(vector * S::W));
                        S::store(
                            to.add(vector * S::W),
                            weight::<S>(code, steps[vector], least[vector]),
                        );
                    }
                    (codes, to) = (codes.add(width), to.add(width));
                }
            } else {
                for _ in 0..count.div_ceil(2) {
                    for vector in 0..VECTORS {
                        let [low, high] = S::nibbles(codes.add(vector * S::W));
                        let to = to.add(vector * S::W);
                        S::store(to, weight::<S>(low, steps[vector], least[vector]));
                        S::store(to.add(width), weight::<S>(high, steps[vector], least[vector]));
                    }
                    (codes, to) = (codes.add(width), to.add(2 * width));
                }
            }
        }
    }
}

/// A weight from its code: the product is exact in f32 (8 bits by 8), so that one rounding or two give the same.
#[inline(always)]
unsafe fn weight<S: Simd>(code: S::V, step: S::V, least: S::V) -> S::V {
    // SAFETY: the caller promises what `Simd` asks.
    unsafe { S::fma(code, step, least) }
}
