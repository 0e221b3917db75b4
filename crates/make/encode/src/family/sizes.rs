//! What all families read from a configuration, checked.

use kokeshi_kernels::Activation;

use crate::directory::Fields;
use crate::error::Result;

/// The widest hidden state that is believed.
const WIDEST: usize = 1 << 16;
/// The most layers that are believed.
const DEEPEST: usize = 1 << 10;
/// The most tokens or positions that are believed.
const MOST: usize = 1 << 24;

/// The sizes of an encoder.
pub(super) struct Sizes {
    pub(super) hidden: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) inner: usize,
    pub(super) vocabulary: usize,
    pub(super) positions: usize,
}

/// What the sizes are called.
pub(super) struct Fieldnames {
    pub(super) hidden: &'static str,
    pub(super) layers: &'static str,
    pub(super) heads: &'static str,
    pub(super) inner: &'static str,
    pub(super) positions: &'static str,
}

/// As most configurations call them.
pub(super) const USUAL: Fieldnames = Fieldnames {
    hidden: "hidden_size",
    layers: "num_hidden_layers",
    heads: "num_attention_heads",
    inner: "intermediate_size",
    positions: "max_position_embeddings",
};

impl Sizes {
    /// Reads them; the width is a multiple of the heads.
    pub(super) fn read(config: &Fields, names: &Fieldnames) -> Result<Self> {
        let sizes = Self::with_inner(config, names, config.size(names.inner, MOST)?)?;
        head_dims(config, names, &sizes)?;
        Ok(sizes)
    }

    /// Reads all but the width of the feed-forward network.
    pub(super) fn with_inner(config: &Fields, names: &Fieldnames, inner: usize) -> Result<Self> {
        Self::with(config, names, inner, config.size(names.positions, MOST)?)
    }

    /// Reads all but that width and the number of positions.
    pub(super) fn with(config: &Fields, names: &Fieldnames, inner: usize, positions: usize) -> Result<Self> {
        Ok(Self {
            hidden: config.size(names.hidden, WIDEST)?,
            layers: config.size(names.layers, DEEPEST)?,
            heads: config.size(names.heads, WIDEST)?,
            inner,
            vocabulary: config.size("vocab_size", MOST)?,
            positions,
        })
    }
}

/// The width of a head where it is the model's over the heads.
pub(super) fn head_dims(config: &Fields, names: &Fieldnames, sizes: &Sizes) -> Result<usize> {
    if !sizes.hidden.is_multiple_of(sizes.heads) {
        return Err(config.wrong(
            names.heads,
            format!(
                "expected a divisor of {} {}, found {}",
                names.hidden, sizes.hidden, sizes.heads
            ),
        ));
    }
    Ok(sizes.hidden / sizes.heads)
}

/// A norm's epsilon.
pub(crate) fn epsilon(config: &Fields, field: &str, fallback: f64) -> Result<f32> {
    let value = config.number(field)?.unwrap_or(fallback) as f32;
    if value.is_finite() && value >= 0.0 {
        return Ok(value);
    }
    Err(config.wrong(field, format!("expected a small number, found {value}")))
}

/// Refuses what `fields` switch on or off otherwise than said.
pub(super) fn expect_flags(config: &Fields, fields: &[(&str, bool)], why: &str) -> Result<()> {
    for (field, plain) in fields {
        if config.flag(field)?.is_some_and(|flag| flag != *plain) {
            return Err(config.wrong(field, format!("expected {plain}: {why}")));
        }
    }
    Ok(())
}

/// The padding token's id for families that count positions behind it.
pub(super) fn padding(config: &Fields, positions: usize) -> Result<usize> {
    let padding = config.count("pad_token_id")?.unwrap_or(1);
    if positions <= padding.saturating_add(1) {
        return Err(config.wrong(
            "max_position_embeddings",
            format!("expected more than pad_token_id {padding} + 1, found {positions}"),
        ));
    }
    Ok(padding)
}

/// An activation by its name in transformers.
pub(crate) fn activation(config: &Fields, field: &str, fallback: &str) -> Result<Activation> {
    Ok(match config.text(field)?.unwrap_or(fallback) {
        "gelu" | "gelu_python" => Activation::Gelu,
        "gelu_new" | "gelu_fast" | "gelu_accurate" | "gelu_pytorch_tanh" | "gelu_python_tanh" => {
            Activation::GeluTanh
        }
        "relu" => Activation::Relu,
        "silu" | "swish" => Activation::Silu,
        "tanh" => Activation::Tanh,
        "sigmoid" => Activation::Sigmoid,
        "linear" => Activation::Identity,
        other => {
            return Err(config.wrong(
                field,
                format!("expected gelu, gelu_new, gelu_fast, gelu_accurate, gelu_pytorch_tanh, relu, silu, tanh, sigmoid or linear, found {other}"),
            ));
        }
    })
}

/// Which layers slide a window, if `layer_types` says so.
pub(super) fn layer_types(config: &Fields, layers: usize) -> Result<Option<Vec<bool>>> {
    let field = "layer_types";
    let Some(listed) = config.get(field) else {
        return Ok(None);
    };
    let kind = |value: &serde_json::Value| match value.as_str() {
        Some("full_attention") => Some(false),
        Some("sliding_attention") => Some(true),
        _ => None,
    };
    let kinds: Option<Vec<bool>> = listed.as_array().and_then(|list| list.iter().map(kind).collect());
    match kinds.filter(|kinds| kinds.len() == layers) {
        Some(kinds) => Ok(Some(kinds)),
        None => Err(config.wrong(
            field,
            format!("expected {layers} times full_attention or sliding_attention"),
        )),
    }
}
