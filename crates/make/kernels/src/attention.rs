//! Attention of one sequence over itself (Attention Is All You Need, arXiv 1706.03762, equation 1): what is computed, and by which kernel.
//!
//! | kernel | for |
//! |---|---|
//! | `tiles::attention` | at bf16 and int8 where there are tiles: more than 16 tokens, with or without a mask |
//! | `attention_short` | a few vectors of tokens |
//! | `attention_int8` | all others at int8 |
//! | `attention_tiled` | all others at f32, and whatever has a mask, a bias, or heads that share keys and values (grouped-query attention, arXiv 2305.13245) |

use crate::attention_int8::{self, Int8Scratch};
use crate::attention_short;
use crate::attention_tiled::{TiledScratch, all_heads as tiles};
use crate::buffer::Buffer;
use crate::linear::Precision;
use crate::mask::{Bias, Far, Mask};
use crate::simd::{Level, Simd, at_level};
#[cfg(target_arch = "x86_64")]
use crate::tiles::attention::{self as tiled, TileScratch};

/// The queries, keys and values of one sequence.
///
/// Token `t`, head `h`, dimension `d` is at `t * stride + h * head_dims + d` of each slice, so that they may be parts of one joint product.
#[derive(Clone, Copy)]
pub struct Attention<'a> {
    /// What asks.
    pub queries: &'a [f32],
    /// What is asked.
    pub keys: &'a [f32],
    /// What answers.
    pub values: &'a [f32],
    /// From one token to the next.
    pub stride: usize,
    /// Tokens of the sequence.
    pub len: usize,
    /// Heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dims: usize,
    /// What dot products are multiplied by, usually `1 / sqrt(head_dims)`.
    pub scale: f32,
}

/// What [`masked_attention`] computes.
#[derive(Clone, Copy)]
pub struct Masked<'a> {
    /// Queries, keys and values; keys and values have `key_heads` heads.
    pub attention: Attention<'a>,
    /// Heads of keys and values, a divisor of the heads of queries: neighbouring heads share one.
    pub key_heads: usize,
    /// Who sees whom.
    pub mask: Mask,
    /// Added to the scaled scores.
    pub bias: Option<&'a Bias>,
    /// For tokens far apart.
    pub far: Option<Far<'a>>,
}

impl<'a> Masked<'a> {
    /// Every token sees every token.
    pub(crate) fn whole(attention: Attention<'a>) -> Self {
        Self {
            attention,
            key_heads: attention.heads,
            mask: Mask::ALL,
            bias: None,
            far: None,
        }
    }
}

/// Memory that is used again from call to call.
#[derive(Clone, Default)]
pub struct Scratch {
    /// Keys of a head of a short sequence, transposed.
    keys: Buffer,
    tiled: TiledScratch,
    int8: Int8Scratch,
    #[cfg(target_arch = "x86_64")]
    tiles: TileScratch,
}

/// Writes `softmax(scale * Q K^T) V` to `out` (`[len, heads * head_dims]`). At int8 both products are of bytes, unless a head is wider than
/// 256 dimensions, or a sequence so short (48 tokens) that f32 is no slower.
///
/// # Panics
/// If the lengths don't fit.
pub fn attention(
    level: Level,
    precision: Precision,
    input: Attention<'_>,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let width = input.heads * input.head_dims;
    assert_eq!(out.len(), input.len * width, "output is [len, heads * head_dims]");
    if out.is_empty() {
        return;
    }
    let needed = (input.len - 1) * input.stride + width;
    for slice in [input.queries, input.keys, input.values] {
        assert!(slice.len() >= needed, "input is [len, stride]");
    }
    #[cfg(target_arch = "x86_64")]
    if input.len > tiled::SHORT && tiled::serves(level, precision) {
        // SAFETY: levels come from `Level::available`; the lengths are checked above.
        return unsafe { tiled::all_heads(Masked::whole(input), &mut scratch.tiles, out) };
    }
    if precision == Precision::Int8 && attention_int8::fits(&input) {
        return attention_int8::run(level, input, &mut scratch.int8, out);
    }
    // SAFETY: levels come from `Level::available`; the lengths are checked above.
    unsafe { at_level!(level, plain(input: Attention<'_>, scratch: &mut Scratch, out: &mut [f32])) }
}

/// The kernel for a sequence of this length.
#[inline(always)]
unsafe fn plain<S: Simd>(input: Attention<'_>, scratch: &mut Scratch, out: &mut [f32]) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        if input.len <= attention_short::most::<S>() {
            return attention_short::all_heads::<S>(input, &mut scratch.keys, out);
        }
        tiles::<S>(Masked::whole(input), &mut scratch.tiled, out);
    }
}

/// Writes `softmax(scale * Q K^T + bias) V` over the keys that each query sees to `out` (`[len, heads * head_dims]`).
///
/// # Panics
/// If the lengths don't fit.
pub fn masked_attention(
    level: Level,
    precision: Precision,
    input: Masked<'_>,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let Attention {
        queries,
        keys,
        values,
        stride,
        len,
        heads,
        head_dims,
        ..
    } = input.attention;
    assert_eq!(
        out.len(),
        len * heads * head_dims,
        "output is [len, heads * head_dims]"
    );
    if out.is_empty() {
        return;
    }
    assert!(
        input.key_heads > 0 && heads.is_multiple_of(input.key_heads),
        "key heads divide heads"
    );
    let needed = |heads: usize| (len - 1) * stride + heads * head_dims;
    assert!(queries.len() >= needed(heads), "queries are [len, stride]");
    for slice in [keys, values] {
        assert!(
            slice.len() >= needed(input.key_heads),
            "keys and values are [len, stride]"
        );
    }
    if let Some(bias) = input.bias {
        assert!(
            bias.heads == heads && bias.reach + 1 >= len,
            "bias is for these heads and as many tokens"
        );
    }
    if let Some(far) = input.far {
        for slice in [far.before, far.after] {
            assert_eq!(
                slice.len(),
                len * heads * head_dims,
                "far queries are [len, heads * head_dims]"
            );
        }
        assert_eq!(
            far.keys.len(),
            len * input.key_heads * head_dims,
            "far keys are [len, key heads * head_dims]"
        );
        assert!(far.window > 0, "a token is near to itself");
    }
    #[cfg(target_arch = "x86_64")]
    if input.bias.is_none() && input.far.is_none() && tiled::serves(level, precision) {
        // SAFETY: levels come from `Level::available`; the lengths are checked above.
        return unsafe { tiled::all_heads(input, &mut scratch.tiles, out) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = precision;
    let scratch = &mut scratch.tiled;
    // SAFETY: levels come from `Level::available`; the lengths are checked above.
    unsafe {
        at_level!(
            level,
            tiles(input: Masked<'_>, scratch: &mut TiledScratch, out: &mut [f32])
        )
    }
}
