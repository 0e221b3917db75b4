//! Jina's BERT (arXiv 2310.19923): BERT with ALiBi on both sides of a token instead of learned positions, and a gated feed-forward network.

use kokeshi_kernels::Activation;

use super::bert::{NAMES, Names, TYPES, layer_norm, post_norm};
use super::sizes::{Sizes, expect_flags};
use crate::directory::Fields;
use crate::encoder::plan::{LinearPlan, NetworkPlan, NormPlan, Plan, Up};
use crate::error::Result;
use crate::position::PositionPlan;
use crate::position::alibi::AlibiPlan;

/// BERT's, but for the norm behind the feed-forward network.
const GATED: Names = Names {
    norms: ["attention.output.LayerNorm", "mlp.layernorm"],
    ..NAMES
};

pub(super) fn plan(config: &Fields, sizes: Sizes) -> Result<Plan> {
    let why = "only encoders are supported";
    expect_flags(
        config,
        &[("is_decoder", false), ("add_cross_attention", false)],
        why,
    )?;
    let field = "feed_forward_type";
    let gate = match config.text(field)?.unwrap_or("original") {
        "original" => None,
        "geglu" => Some(Activation::Gelu),
        "reglu" => Some(Activation::Relu),
        other => {
            return Err(config.wrong(field, format!("expected original, geglu or reglu, found {other}")));
        }
    };
    let norm = |name: String| -> Result<NormPlan> { layer_norm(config, name, 1e-12) };
    let names = if gate.is_some() { &GATED } else { &NAMES };
    let mut plan = post_norm(config, &sizes, names, "hidden_act", norm)?;
    for (layer, block) in plan.blocks.iter_mut().enumerate() {
        let linear =
            |name: &str, bias: bool| LinearPlan::new(format!("encoder.layer.{layer}.mlp.{name}"), bias);
        if let Some(activation) = gate {
            block.network = NetworkPlan {
                inner: sizes.inner,
                activation,
                up: Up::GatedFused(linear("gated_layers", false)),
                down: linear("wo", true),
            };
        }
    }
    Ok(Plan {
        prefix: "bert.",
        types: Some((TYPES.into(), config.size("type_vocab_size", 1 << 16)?)),
        longest: sizes.positions.min(AlibiPlan::longest(sizes.heads)),
        positions: PositionPlan {
            alibi: Some(AlibiPlan { most: 8.0 }),
            ..PositionPlan::default()
        },
        ..plan
    })
}
