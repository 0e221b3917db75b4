//! Nomic's BERT (arXiv 2402.01613): norms after the sums, rotary positions, SwiGLU, no biases in linear layers.

use kokeshi_kernels::{Activation, Mask};

use super::Family;
use super::bert::TYPES;
use super::sizes::{Fieldnames, Sizes, activation, epsilon, expect_flags, head_dims};
use crate::directory::Fields;
use crate::encoder::plan::{
    AttentionPlan, BlockPlan, Joint, LinearPlan, NetworkPlan, NormKind, NormPlan, Plan, Up,
};
use crate::error::Result;
use crate::position::PositionPlan;
use crate::position::frequencies::{Rotation, Scaling};

pub(super) const FAMILY: Family = Family {
    types: &["nomic_bert"],
    plan,
};

const FIELDS: Fieldnames = Fieldnames {
    hidden: "n_embd",
    layers: "n_layer",
    heads: "n_head",
    inner: "n_inner",
    positions: "n_positions",
};

fn plan(config: &Fields) -> Result<Plan> {
    let sizes = Sizes::read(config, &FIELDS)?;
    let head_dims = head_dims(config, &FIELDS, &sizes)?;
    expect_flags(
        config,
        &[
            ("prenorm", false),
            ("causal", false),
            ("use_rms_norm", false),
            ("rotary_emb_interleaved", false),
            ("parallel_block", false),
            ("norm_mlp", false),
        ],
        "the layout of nomic-embed-text is supported",
    )?;
    let bias = |field: &str| -> Result<bool> { Ok(config.flag(field)?.unwrap_or(true)) };
    let joint_bias = bias("qkv_proj_bias")?;
    let (up_bias, down_bias) = (bias("mlp_fc1_bias")?, bias("mlp_fc2_bias")?);
    let epsilon = epsilon(config, "layer_norm_epsilon", 1e-12)?;
    let norm = |name: String| NormPlan {
        name,
        kind: NormKind::Layer { bias: true },
        epsilon,
    };
    let gate = match config.text("activation_function")?.unwrap_or("gelu") {
        "swiglu" => Some(Activation::Silu),
        "geglu" => Some(Activation::Gelu),
        "glu" => Some(Activation::Sigmoid),
        _ => None,
    };
    let activation = match gate {
        Some(activation) => activation,
        None => activation(config, "activation_function", "gelu")?,
    };
    let block = |layer: usize| {
        let linear = |name: &str, bias: bool| LinearPlan::new(format!("encoder.layers.{layer}.{name}"), bias);
        let norm = |name: &str| Some(norm(format!("encoder.layers.{layer}.{name}")));
        BlockPlan {
            pre_norm: false,
            attention_norm: norm("norm1"),
            attention: AttentionPlan {
                heads: sizes.heads,
                key_heads: sizes.heads,
                head_dims,
                scaled: true,
                joint: Joint::Fused(linear("attn.Wqkv", joint_bias)),
                output: linear("attn.out_proj", joint_bias),
                head_norms: None,
                mask: Mask::ALL,
                rotation: Some(0),
            },
            norm: norm("norm2"),
            network: NetworkPlan {
                // The reference makes gated ones a multiple of 256 wide.
                inner: gate.map_or(sizes.inner, |_| sizes.inner.next_multiple_of(256)),
                activation,
                up: match gate {
                    // The second of the two goes through the activation.
                    Some(_) => Up::Gated {
                        gate: linear("mlp.fc12", up_bias),
                        up: linear("mlp.fc11", up_bias),
                    },
                    None => Up::Plain(linear("mlp.fc1", up_bias)),
                },
                down: linear("mlp.fc2", down_bias),
            },
        }
    };
    let types = config.count("type_vocab_size")?.unwrap_or(0);
    if types > 1 << 16 {
        return Err(config.wrong(
            "type_vocab_size",
            format!("expected at most 65536, found {types}"),
        ));
    }
    Ok(Plan {
        prefix: "bert.",
        hidden: sizes.hidden,
        vocabulary: padded_vocabulary(config, sizes.vocabulary)?,
        longest: sizes.positions,
        bytes: None,
        words: "embeddings.word_embeddings.weight".into(),
        types: (types > 0).then(|| (TYPES.into(), types)),
        positions: PositionPlan {
            rotations: vec![rotation(config, head_dims)?],
            ..PositionPlan::default()
        },
        first_norm: Some(norm("emb_ln".into())),
        blocks: (0..sizes.layers).map(block).collect(),
        last_norm: None,
    })
}

fn rotation(config: &Fields, head_dims: usize) -> Result<Rotation> {
    let number = |field: &str, fallback: f64| -> Result<f64> {
        match config.number(field)?.unwrap_or(fallback) {
            value if value.is_finite() && value > 0.0 => Ok(value),
            value => Err(config.wrong(field, format!("expected a number above 0, found {value}"))),
        }
    };
    let factor = config.number("rotary_scaling_factor")?;
    if config.get("rotary_emb_scale_base").is_some() {
        return Err(config.wrong("rotary_emb_scale_base", "expected null"));
    }
    let rotation = Rotation {
        dims: (head_dims as f64 * number("rotary_emb_fraction", 1.0)?.min(1.0)) as usize,
        base: number("rotary_emb_base", 10_000.0)?,
        scaling: match factor {
            Some(_) => Scaling::Dynamic {
                factor: number("rotary_scaling_factor", 1.0)?,
                trained: number("max_trained_positions", 2048.0)?,
            },
            None => Scaling::Plain,
        },
    };
    rotation.checked(config)
}

/// Rows of the token table: a multiple of `pad_vocab_size_multiple`.
fn padded_vocabulary(config: &Fields, vocabulary: usize) -> Result<usize> {
    match config.count("pad_vocab_size_multiple")?.unwrap_or(1) {
        multiple @ 1..=65536 => Ok(vocabulary.next_multiple_of(multiple)),
        multiple => Err(config.wrong(
            "pad_vocab_size_multiple",
            format!("expected 1 to 65536, found {multiple}"),
        )),
    }
}
