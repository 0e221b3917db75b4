//! T5's encoder (arXiv 1910.10683; Sentence-T5, arXiv 2108.08877): RMSNorm before each part, no biases, learned biases by distance instead of
//! positions, scores that are not divided by the root of the head's width.

use kokeshi_kernels::{Activation, Mask};

use super::Family;
use super::sizes::{Fieldnames, Sizes, activation, epsilon};
use crate::directory::Fields;
use crate::encoder::plan::{
    AttentionPlan, BlockPlan, Joint, LinearPlan, NetworkPlan, NormKind, NormPlan, Plan, Up,
};
use crate::error::Result;
use crate::position::PositionPlan;
use crate::position::buckets::BucketPlan;

pub(super) const FAMILY: Family = Family { types: &["t5"], plan };

const FIELDS: Fieldnames = Fieldnames {
    hidden: "d_model",
    layers: "num_layers",
    heads: "num_heads",
    inner: "d_ff",
    positions: "n_positions",
};

/// The most tokens of a text. All distances from `relative_attention_max_distance` on share a bucket, so that no length is too long for the
/// model; this one keeps the biases of 12 heads under 2 MB.
const LONGEST: usize = 1 << 14;

fn plan(config: &Fields) -> Result<Plan> {
    let sizes = Sizes::with(config, &FIELDS, config.size(FIELDS.inner, 1 << 24)?, LONGEST)?;
    let head_dims = config.size("d_kv", 1 << 12)?;
    let epsilon = epsilon(config, "layer_norm_epsilon", 1e-6)?;
    let norm = |name: String| {
        Some(NormPlan {
            name,
            kind: NormKind::Rms,
            epsilon,
        })
    };
    let (gated, activation) = network(config)?;
    let block = |layer: usize| {
        let linear = |name: &str| LinearPlan::new(format!("encoder.block.{layer}.layer.{name}"), false);
        BlockPlan {
            pre_norm: true,
            attention_norm: norm(format!("encoder.block.{layer}.layer.0.layer_norm")),
            attention: AttentionPlan {
                heads: sizes.heads,
                key_heads: sizes.heads,
                head_dims,
                scaled: false,
                joint: Joint::Separate([
                    linear("0.SelfAttention.q"),
                    linear("0.SelfAttention.k"),
                    linear("0.SelfAttention.v"),
                ]),
                output: linear("0.SelfAttention.o"),
                head_norms: None,
                mask: Mask::ALL,
                rotation: None,
            },
            norm: norm(format!("encoder.block.{layer}.layer.1.layer_norm")),
            network: NetworkPlan {
                inner: sizes.inner,
                activation,
                up: match gated {
                    true => Up::Gated {
                        gate: linear("1.DenseReluDense.wi_0"),
                        up: linear("1.DenseReluDense.wi_1"),
                    },
                    false => Up::Plain(linear("1.DenseReluDense.wi")),
                },
                down: linear("1.DenseReluDense.wo"),
            },
        }
    };
    let buckets = match config.get("relative_attention_num_buckets") {
        Some(_) => config.size("relative_attention_num_buckets", 1 << 16)?,
        None => 32,
    };
    let most = match config.get("relative_attention_max_distance") {
        Some(_) => config.size("relative_attention_max_distance", 1 << 24)?,
        None => 128,
    };
    // Half of them for each side, half of those for distances of their own.
    if buckets < 4 || most <= buckets / 4 {
        return Err(config.wrong(
            "relative_attention_num_buckets",
            format!(
                "expected at least 4 and fewer than 4 times the largest distance {most}, found {buckets}"
            ),
        ));
    }
    Ok(Plan {
        prefix: "",
        hidden: sizes.hidden,
        vocabulary: sizes.vocabulary,
        longest: sizes.positions,
        bytes: None,
        words: "shared.weight".into(),
        types: None,
        positions: PositionPlan {
            buckets: Some(BucketPlan {
                name: "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight".into(),
                rows: buckets,
                buckets,
                most,
                causal: false,
            }),
            ..PositionPlan::default()
        },
        first_norm: None,
        blocks: (0..sizes.layers).map(block).collect(),
        last_norm: norm("encoder.final_layer_norm".into()),
    })
}

/// Whether the first layer is gated, and the activation: `relu`, `gated-gelu` or `gated-silu`, where T5's gated GELU is the one by tanh.
fn network(config: &Fields) -> Result<(bool, Activation)> {
    let field = "feed_forward_proj";
    match config.text(field)?.unwrap_or("relu") {
        "gated-gelu" => Ok((true, Activation::GeluTanh)),
        "gated-silu" => Ok((true, Activation::Silu)),
        name if name.starts_with("gated-") => Err(config.wrong(
            field,
            format!("expected gated-gelu, gated-silu or an activation, found {name}"),
        )),
        _ => Ok((false, activation(config, field, "relu")?)),
    }
}
