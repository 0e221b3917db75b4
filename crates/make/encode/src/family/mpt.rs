//! MPT (MosaicML, 2023): a causal decoder with ALiBi, LayerNorm without biases before each part, and no biases anywhere.

use kokeshi_kernels::{Activation, Mask};

use super::Family;
use super::sizes::{Fieldnames, Sizes, epsilon, expect_flags, head_dims};
use crate::directory::Fields;
use crate::encoder::plan::{
    AttentionPlan, BlockPlan, Joint, LinearPlan, NetworkPlan, NormKind, NormPlan, Plan, Up,
};
use crate::error::Result;
use crate::position::PositionPlan;
use crate::position::alibi::AlibiPlan;

pub(super) const FAMILY: Family = Family {
    types: &["mpt"],
    plan,
};

const FIELDS: Fieldnames = Fieldnames {
    hidden: "d_model",
    layers: "n_layers",
    heads: "n_heads",
    inner: "expansion_ratio",
    positions: "max_seq_len",
};

fn plan(config: &Fields) -> Result<Plan> {
    let ratio = match config.get(FIELDS.inner) {
        Some(_) => config.size(FIELDS.inner, 64)?,
        None => 4,
    };
    let inner = ratio * config.size(FIELDS.hidden, 1 << 16)?;
    let sizes = Sizes::with_inner(config, &FIELDS, inner)?;
    let head_dims = head_dims(config, &FIELDS, &sizes)?;
    expect_flags(
        config,
        &[("no_bias", true)],
        "models without biases are supported",
    )?;
    let most = penalty(config)?;
    let epsilon = epsilon(config, "layer_norm_epsilon", 1e-5)?;
    let norm = |name: String| {
        Some(NormPlan {
            name,
            kind: NormKind::Layer { bias: false },
            epsilon,
        })
    };
    let block = |layer: usize| {
        let of = |name: &str| format!("blocks.{layer}.{name}");
        let linear = |name: &str| LinearPlan::new(of(name), false);
        BlockPlan {
            pre_norm: true,
            attention_norm: norm(of("norm_1")),
            attention: AttentionPlan {
                heads: sizes.heads,
                key_heads: sizes.heads,
                head_dims,
                scaled: true,
                joint: Joint::Fused(linear("attn.Wqkv")),
                output: linear("attn.out_proj"),
                head_norms: None,
                mask: Mask::CAUSAL,
                rotation: None,
            },
            norm: norm(of("norm_2")),
            network: NetworkPlan {
                inner: sizes.inner,
                activation: Activation::Gelu,
                up: Up::Plain(linear("ffn.up_proj")),
                down: linear("ffn.down_proj"),
            },
        }
    };
    Ok(Plan {
        prefix: "transformer.",
        hidden: sizes.hidden,
        vocabulary: sizes.vocabulary,
        longest: sizes.positions.min(AlibiPlan::longest(sizes.heads)),
        bytes: None,
        words: "wte.weight".into(),
        types: None,
        positions: PositionPlan {
            alibi: Some(AlibiPlan { most }),
            ..PositionPlan::default()
        },
        first_norm: None,
        blocks: (0..sizes.layers).map(block).collect(),
        last_norm: norm("norm_f".into()),
    })
}

/// The exponent of the last head's slope; refuses attention of other kinds.
fn penalty(config: &Fields) -> Result<f64> {
    let Some(attention) = config.object("attn_config")? else {
        return Ok(8.0);
    };
    let flags = [
        ("alibi", true),
        ("prefix_lm", false),
        ("qk_ln", false),
        ("attn_uses_sequence_id", false),
    ];
    expect_flags(
        &attention,
        &flags,
        "the attention of the released models with ALiBi is supported",
    )?;
    for field in ["clip_qkv", "softmax_scale"] {
        if let Some(value) = attention.get(field) {
            return Err(attention.wrong(field, format!("expected null, found {value}")));
        }
    }
    if let Some(kind) = attention
        .text("attn_type")?
        .filter(|kind| *kind != "multihead_attention")
    {
        return Err(attention.wrong("attn_type", format!("expected multihead_attention, found {kind}")));
    }
    let most = attention.number("alibi_bias_max")?.unwrap_or(8.0);
    match most {
        most if (0.0..=1024.0).contains(&most) => Ok(most),
        most => Err(attention.wrong("alibi_bias_max", format!("expected 0 to 1024, found {most}"))),
    }
}
