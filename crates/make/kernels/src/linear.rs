//! Linear layers: weights packed once into panels, and the product with bias, activation or residual fused into its store.

use crate::activation::Activation;
use crate::buffer::{Buffer, Plain};
use crate::grouped::{self, GroupedPanels, grouped};
use crate::product::{floats, whole};
use crate::quantize::QuantizedRows;
use crate::simd::int8::Dot;
#[cfg(target_arch = "x86_64")]
use crate::simd::int8::{AvxVnni, Vnni512, Wide256, Wide512};
#[cfg(target_arch = "aarch64")]
use crate::simd::neon::DotProd;
use crate::simd::portable::Portable;
use crate::simd::{Level, Set, at_level, at_level_int8};
#[cfg(target_arch = "x86_64")]
use crate::{
    pairs,
    tiles::{
        self,
        multiply::{Bf16, Short},
    },
};

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
    /// As [`Precision::F32`], but products are of values rounded to 8 bits (bf16) where the processor multiplies such values, by tiles (AMX)
    /// or by vectors (AVX-512 BF16). Elsewhere the same as f32.
    Bf16,
    /// Signed bytes with a scale for each output as weights, unsigned bytes with a scale and a zero point for each row as activations,
    /// summed without error.
    Int8,
    /// Weights as bytes in groups of [`grouped::GROUP`] inputs, activations as at f32: for large models that one text at a time waits for.
    Int8Weights,
    /// The same with weights in four bits.
    Int4Weights,
}

impl Precision {
    /// All of them, with the names that people type and ids of models end in.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("f32", Self::F32),
        ("bf16", Self::Bf16),
        ("int8", Self::Int8),
        ("int8w", Self::Int8Weights),
        ("int4w", Self::Int4Weights),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, precision)| *precision == self)
            .map_or("", |(name, _)| name)
    }

    /// The one called so.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, precision)| *precision)
    }
}

/// `[outputs, inputs]` weights with a bias, packed for one instruction set.
///
/// A panel holds as many outputs as the register tile is wide (AMX: 32, AVX-512: 48, else 16), input after input, so that the innermost loop reads it
/// in order.
/// The last panel is filled up with zeros.
#[derive(Clone)]
pub struct Linear {
    pub(crate) level: Level,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    panels: Panels,
    /// `[panels][panel width]`
    pub(crate) bias: Buffer,
}

/// Packed weights.
#[derive(Clone)]
enum Panels {
    F32(Buffer),
    /// On tiles: sums of three bf16 values.
    #[cfg(target_arch = "x86_64")]
    Sums(Buffer<u16>),
    /// On tiles: weights that are bf16 values, as many models are published; rows are sums of three.
    #[cfg(target_arch = "x86_64")]
    Short(Buffer<u16>),
    /// On tiles: bf16 values, and so are rows.
    #[cfg(target_arch = "x86_64")]
    Bf16(Buffer<u16>),
    /// On vectors: the same, `[panels][pairs of inputs][panel width][2]`.
    #[cfg(target_arch = "x86_64")]
    Pairs(Buffer<u16>),
    Int8(Int8Panels),
    Grouped(GroupedPanels),
}

/// Packed weights as signed bytes.
#[derive(Clone)]
pub(crate) struct Int8Panels {
    /// `[panels][inputs / group][panel width][group]`, the group being what one instruction sums; inputs are filled up with zeros. For tiles see
    /// `tiles::linear::int8_place`.
    pub(crate) weights: Buffer<i8>,
    /// A weight is its byte times its output's scale: `[panels][panel width]`.
    pub(crate) scales: Buffer,
    /// The sum of each output's bytes: `[panels][panel width]`.
    pub(crate) sums: Buffer<i32>,
}

/// More inputs than this could make the sum of products of bytes overflow 32 bits; such a layer stays f32.
const MOST_INT8_INPUTS: usize = i32::MAX as usize / (255 * 127);

/// How many outputs a panel holds.
fn panel_width(level: Level) -> usize {
    match level.0 {
        #[cfg(target_arch = "x86_64")]
        Set::Amx => tiles::BLOCK,
        #[cfg(target_arch = "x86_64")]
        Set::Avx512Bf16 | Set::Avx512Vnni | Set::Avx512 => 48,
        #[cfg(target_arch = "x86_64")]
        Set::Avx2Vnni | Set::Avx2 => 16,
        #[cfg(target_arch = "aarch64")]
        Set::NeonMixedDot | Set::NeonDot | Set::Neon => 16,
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
        #[cfg(target_arch = "x86_64")]
        let grouped = matches!(precision, Precision::Int8Weights | Precision::Int4Weights);
        let width = match level.0 {
            // Weights in groups are decoded for vectors.
            #[cfg(target_arch = "x86_64")]
            Set::Amx if grouped => panel_width(Level(Set::Avx512)),
            _ => panel_width(level),
        };
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
                Precision::Int8 if inputs <= MOST_INT8_INPUTS => {
                    Panels::Int8(pack_int8(level, inputs, outputs, weights))
                }
                Precision::Int8Weights => Panels::Grouped(grouped::pack(8, width, inputs, outputs, weights)),
                Precision::Int4Weights => Panels::Grouped(grouped::pack(4, width, inputs, outputs, weights)),
                #[cfg(target_arch = "x86_64")]
                Precision::Bf16 if level.0 == Set::Amx => {
                    // SAFETY: this level has tiles.
                    Panels::Bf16(unsafe { tiles::linear::pack::<1>(inputs, outputs, weights) })
                }
                #[cfg(target_arch = "x86_64")]
                Precision::Bf16 if level.0 == Set::Avx512Bf16 => {
                    // SAFETY: this level has bf16.
                    let rounded = unsafe { pairs::round_weights(weights) };
                    let weights = &rounded[..weights.len()];
                    Panels::Pairs(pack::<_, { pairs::GROUP }>(width, inputs, outputs, weights))
                }
                #[cfg(target_arch = "x86_64")]
                _ if level.0 == Set::Amx && weights.iter().all(|weight| weight.to_bits() << 16 == 0) => {
                    // SAFETY: as above.
                    Panels::Short(unsafe { tiles::linear::pack::<1>(inputs, outputs, weights) })
                }
                #[cfg(target_arch = "x86_64")]
                _ if level.0 == Set::Amx => {
                    // SAFETY: as above.
                    Panels::Sums(unsafe { tiles::linear::pack::<3>(inputs, outputs, weights) })
                }
                _ => Panels::F32(pack::<_, 1>(width, inputs, outputs, weights)),
            },
            bias: padded,
        }
    }

    /// What it multiplies as.
    pub fn precision(&self) -> Precision {
        match &self.panels {
            Panels::Int8(_) => Precision::Int8,
            #[cfg(target_arch = "x86_64")]
            Panels::Bf16(_) | Panels::Pairs(_) => Precision::Bf16,
            Panels::Grouped(panels) if panels.bits == 8 => Precision::Int8Weights,
            Panels::Grouped(_) => Precision::Int4Weights,
            _ => Precision::F32,
        }
    }

    /// Bytes that the packed weights take.
    pub fn weight_bytes(&self) -> usize {
        match &self.panels {
            Panels::F32(weights) => size_of_val::<[f32]>(weights),
            #[cfg(target_arch = "x86_64")]
            Panels::Sums(weights)
            | Panels::Short(weights)
            | Panels::Bf16(weights)
            | Panels::Pairs(weights) => size_of_val::<[u16]>(weights),
            Panels::Int8(panels) => panels.weights.len(),
            Panels::Grouped(panels) => panels.bytes(),
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

    /// Applies it to `x` (`[rows, inputs]`), into `out` (`[rows, outputs]`), by way of `quantized`: [`Linear::prepare`], then
    /// [`Linear::apply_prepared`].
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
        self.prepare(rows, x, quantized);
        self.apply_prepared(rows, x, quantized, out, epilogue);
    }

    /// Makes of `x` (`[rows, inputs]`) what this layer reads, if it doesn't read `x` itself: codes at int8, bf16 values at bf16 and on tiles.
    ///
    /// # Panics
    /// If the lengths don't fit.
    pub fn prepare(&self, rows: usize, x: &[f32], quantized: &mut QuantizedRows) {
        assert_eq!(x.len(), rows * self.inputs, "input is [rows, inputs]");
        match &self.panels {
            Panels::F32(_) | Panels::Grouped(_) => {}
            #[cfg(target_arch = "x86_64")]
            Panels::Sums(_) | Panels::Short(_) => quantized.split::<3>(rows, self.inputs, x),
            #[cfg(target_arch = "x86_64")]
            Panels::Bf16(_) => quantized.split::<1>(rows, self.inputs, x),
            #[cfg(target_arch = "x86_64")]
            Panels::Pairs(_) => quantized.round(rows, self.inputs, x),
            Panels::Int8(_) => quantized.fill(self.level, rows, self.inputs, x),
        }
    }

    /// As [`Linear::apply`], with `quantized` made from `x` already: by [`Linear::prepare`] of this layer, or of another one with as many
    /// inputs and the same precision.
    ///
    /// # Panics
    /// If the lengths don't fit.
    pub fn apply_prepared(
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
                    floats(layer: &Linear, panels: &Buffer, rows: usize, x: &[f32], out: &mut [f32], epilogue: Epilogue)
                )
            },
            // SAFETY: as above; on tiles, too, these panels are packed for vectors.
            Panels::Grouped(panels) => unsafe {
                at_level!(
                    self.level,
                    grouped(layer: &Linear, panels: &GroupedPanels, rows: usize, x: &[f32], out: &mut [f32], epilogue: Epilogue)
                )
            },
            #[cfg(target_arch = "x86_64")]
            Panels::Sums(panels) => {
                quantized.check_parts(rows, self.inputs, 3);
                // SAFETY: as above; panels of bf16 values are made where tiles are available; `quantized` has room for its rows.
                unsafe { tiles::linear::floats::<Bf16<3>>(layer, panels, quantized, out, epilogue) }
            }
            #[cfg(target_arch = "x86_64")]
            Panels::Short(panels) => {
                quantized.check_parts(rows, self.inputs, 3);
                // SAFETY: as above.
                unsafe { tiles::linear::floats::<Short>(layer, panels, quantized, out, epilogue) }
            }
            #[cfg(target_arch = "x86_64")]
            Panels::Bf16(panels) => {
                quantized.check_parts(rows, self.inputs, 1);
                // SAFETY: as above.
                unsafe { tiles::linear::floats::<Bf16<1>>(layer, panels, quantized, out, epilogue) }
            }
            #[cfg(target_arch = "x86_64")]
            Panels::Pairs(panels) => {
                quantized.check_parts(rows, self.inputs, 1);
                // SAFETY: as above; such panels are made where the processor has bf16.
                unsafe { pairs::products(layer, panels, quantized, out, epilogue) }
            }
            #[cfg(target_arch = "x86_64")]
            Panels::Int8(panels) if self.level.0 == Set::Amx => {
                quantized.check_codes(rows, self.inputs);
                // SAFETY: as above.
                unsafe { tiles::linear::whole(layer, panels, quantized, out, epilogue) }
            }
            Panels::Int8(panels) => {
                quantized.check_codes(rows, self.inputs);
                // SAFETY: as above; `quantized` has room for its rows.
                unsafe {
                    at_level_int8!(
                        self.level,
                        whole(layer: &Linear, panels: &Int8Panels, quantized: &QuantizedRows, out: &mut [f32], epilogue: Epilogue)
                    )
                }
            }
        }
    }
}

/// How many bytes one instruction sums.
fn group(level: Level) -> usize {
    match level.0 {
        #[cfg(target_arch = "x86_64")]
        Set::Amx | Set::Avx512Bf16 | Set::Avx512Vnni => Vnni512::GROUP,
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 => Wide512::GROUP,
        #[cfg(target_arch = "x86_64")]
        Set::Avx2Vnni => AvxVnni::GROUP,
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => Wide256::GROUP,
        #[cfg(target_arch = "aarch64")]
        Set::NeonMixedDot | Set::NeonDot | Set::Neon => DotProd::GROUP,
        Set::Portable => Portable::GROUP,
    }
}

/// Panels of `[inputs / GROUP][width][GROUP]`; padding is zeros.
fn pack<T: Plain, const GROUP: usize>(
    width: usize,
    inputs: usize,
    outputs: usize,
    weights: &[T],
) -> Buffer<T> {
    let size = inputs.next_multiple_of(GROUP) * width;
    let mut panels = Buffer::zeros(outputs.div_ceil(width) * size);
    for (output, row) in weights.chunks_exact(inputs.max(1)).enumerate() {
        let panel = &mut panels[output / width * size..][..size];
        for (input, weight) in row.iter().enumerate() {
            panel[(input / GROUP * width + output % width) * GROUP + input % GROUP] = *weight;
        }
    }
    panels
}

fn pack_int8(level: Level, inputs: usize, outputs: usize, weights: &[f32]) -> Int8Panels {
    let (width, group) = (panel_width(level), group(level));
    let padded = outputs.div_ceil(width) * width;
    let step = match level.0 {
        #[cfg(target_arch = "x86_64")]
        Set::Amx => tiles::linear::INT8_STEP,
        _ => group,
    };
    let size = inputs.next_multiple_of(step) * width;
    let mut packed = Int8Panels {
        weights: Buffer::zeros(padded / width * size),
        scales: Buffer::zeros(padded),
        sums: Buffer::zeros(padded),
    };
    let mut codes = vec![0; inputs];
    for (output, row) in weights.chunks_exact(inputs.max(1)).enumerate() {
        packed.scales[output] = crate::scalar::quantize_weights(row, &mut codes);
        packed.sums[output] = codes.iter().map(|code| i32::from(*code)).sum();
        let panel = &mut packed.weights[output / width * size..][..size];
        for (step, codes) in codes.chunks(group).enumerate() {
            let column = output % width;
            let place = match level.0 {
                #[cfg(target_arch = "x86_64")]
                Set::Amx => tiles::linear::int8_place(step * group, column),
                _ => (step * width + column) * group,
            };
            panel[place..][..codes.len()].copy_from_slice(codes);
        }
    }
    packed
}
