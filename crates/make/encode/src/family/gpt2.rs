//! GPT-2: a causal decoder with learned positions, LayerNorm before each part, and weights stored the other way round.

use kokeshi_kernels::Mask;

use super::Family;
use super::sizes::{Fieldnames, Sizes, activation, epsilon, expect_flags, head_dims};
use crate::directory::Fields;
use crate::encoder::plan::{
    AttentionPlan, BlockPlan, Joint, LinearPlan, NetworkPlan, NormKind, NormPlan, Plan, Up,
};
use crate::error::Result;
use crate::position::PositionPlan;
use crate::position::table::TablePlan;

pub(super) const FAMILY: Family = Family {
    types: &["gpt2"],
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
    let inner = match config.get(FIELDS.inner) {
        Some(_) => config.size(FIELDS.inner, 1 << 24)?,
        None => 4 * config.size(FIELDS.hidden, 1 << 16)?,
    };
    let sizes = Sizes::with_inner(config, &FIELDS, inner)?;
    let head_dims = head_dims(config, &FIELDS, &sizes)?;
    expect_flags(
        config,
        &[
            ("add_cross_attention", false),
            ("scale_attn_weights", true),
            ("scale_attn_by_inverse_layer_idx", false),
        ],
        "the layout of the released models is supported",
    )?;
    let epsilon = epsilon(config, "layer_norm_epsilon", 1e-5)?;
    let norm = |name: String| {
        Some(NormPlan {
            name,
            kind: NormKind::Layer { bias: true },
            epsilon,
        })
    };
    let activation = activation(config, "activation_function", "gelu_new")?;
    let block = |layer: usize| {
        let of = |name: &str| format!("h.{layer}.{name}");
        let linear = |name: &str| LinearPlan {
            name: of(name),
            bias: true,
            transposed: true,
        };
        BlockPlan {
            pre_norm: true,
            attention_norm: norm(of("ln_1")),
            attention: AttentionPlan {
                heads: sizes.heads,
                key_heads: sizes.heads,
                head_dims,
                scaled: true,
                joint: Joint::Fused(linear("attn.c_attn")),
                output: linear("attn.c_proj"),
                head_norms: None,
                mask: Mask::CAUSAL,
                rotation: None,
            },
            norm: norm(of("ln_2")),
            network: NetworkPlan {
                inner: sizes.inner,
                activation,
                up: Up::Plain(linear("mlp.c_fc")),
                down: linear("mlp.c_proj"),
            },
        }
    };
    Ok(Plan {
        prefix: "transformer.",
        hidden: sizes.hidden,
        vocabulary: sizes.vocabulary,
        longest: sizes.positions,
        bytes: None,
        words: "wte.weight".into(),
        types: None,
        positions: PositionPlan {
            table: Some(TablePlan {
                name: "wpe.weight".into(),
                rows: sizes.positions,
                padding: None,
            }),
            ..PositionPlan::default()
        },
        first_norm: None,
        blocks: (0..sizes.layers).map(block).collect(),
        last_norm: norm("ln_f".into()),
    })
}
