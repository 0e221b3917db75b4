//! Llama (arXiv 2302.13971), Mistral (arXiv 2310.06825), Qwen2 (arXiv 2407.10671), Qwen3 (arXiv 2505.09388): decoders with RMSNorm before
//! each part, rotary positions, SwiGLU and heads that share keys. Embedding models made of them are causal and pool the last token, or
//! say `is_causal: false` and see everything (KaLM, arXiv 2506.20923; NV-Embed, arXiv 2405.17428).

use kokeshi_kernels::Mask;

use super::Family;
use super::sizes::{Sizes, USUAL, activation, epsilon, head_dims, layer_types};
use crate::directory::Fields;
use crate::encoder::plan::{
    AttentionPlan, BlockPlan, Joint, LinearPlan, NetworkPlan, NormKind, NormPlan, Plan, Up,
};
use crate::error::Result;
use crate::position::PositionPlan;
use crate::position::frequencies::Rotation;

pub(super) const FAMILY: Family = Family {
    types: &["llama", "mistral", "qwen2", "qwen3"],
    plan,
};

fn plan(config: &Fields) -> Result<Plan> {
    let kind = config.text("model_type")?.unwrap_or("");
    let sizes = Sizes::with_inner(config, &USUAL, config.size(USUAL.inner, 1 << 24)?)?;
    let head_dims = match config.get("head_dim") {
        Some(_) => config.size("head_dim", 1 << 12)?,
        None if kind == "qwen3" => 128,
        None => head_dims(config, &USUAL, &sizes)?,
    };
    let field = "num_key_value_heads";
    let key_heads = match config.get(field) {
        Some(_) => config.size(field, sizes.heads)?,
        None => sizes.heads,
    };
    if !sizes.heads.is_multiple_of(key_heads) {
        return Err(config.wrong(
            field,
            format!(
                "expected a divisor of num_attention_heads {}, found {key_heads}",
                sizes.heads
            ),
        ));
    }
    let flag = |field: &str| -> Result<bool> { Ok(config.flag(field)?.unwrap_or(false)) };
    // Qwen2 has biases where the others' configurations would have to ask for them, and never on the output.
    let (joint_bias, output_bias) = match kind {
        "qwen2" => (true, false),
        _ => (flag("attention_bias")?, flag("attention_bias")?),
    };
    let network_bias = flag("mlp_bias")?;
    let epsilon = epsilon(config, "rms_norm_eps", 1e-6)?;
    let norm = |name: String| NormPlan {
        name,
        kind: NormKind::Rms,
        epsilon,
    };
    let activation = activation(config, "hidden_act", "silu")?;
    let masks = masks(config, kind, sizes.layers)?;
    let block = |(layer, mask): (usize, Mask)| {
        let of = |name: &str| format!("layers.{layer}.{name}");
        let joint = |name: &str| LinearPlan::new(of(name), joint_bias);
        let network = |name: &str| LinearPlan::new(of(name), network_bias);
        BlockPlan {
            pre_norm: true,
            attention_norm: Some(norm(of("input_layernorm"))),
            attention: AttentionPlan {
                heads: sizes.heads,
                key_heads,
                head_dims,
                scaled: true,
                joint: Joint::Separate([
                    joint("self_attn.q_proj"),
                    joint("self_attn.k_proj"),
                    joint("self_attn.v_proj"),
                ]),
                output: LinearPlan::new(of("self_attn.o_proj"), output_bias),
                head_norms: (kind == "qwen3")
                    .then(|| [norm(of("self_attn.q_norm")), norm(of("self_attn.k_norm"))]),
                mask,
                rotation: Some(0),
            },
            norm: Some(norm(of("post_attention_layernorm"))),
            network: NetworkPlan {
                inner: sizes.inner,
                activation,
                up: Up::Gated {
                    gate: network("mlp.gate_proj"),
                    up: network("mlp.up_proj"),
                },
                down: network("mlp.down_proj"),
            },
        }
    };
    Ok(Plan {
        prefix: "model.",
        hidden: sizes.hidden,
        vocabulary: sizes.vocabulary,
        longest: sizes.positions,
        words: "embed_tokens.weight".into(),
        types: None,
        positions: PositionPlan {
            rotations: vec![Rotation::read(config, head_dims, 10_000.0, sizes.positions)?],
            ..PositionPlan::default()
        },
        first_norm: None,
        blocks: masks.into_iter().enumerate().map(block).collect(),
        last_norm: Some(norm("norm".into())),
    })
}

/// Each layer's mask: causal or not, with a window or without.
fn masks(config: &Fields, kind: &str, layers: usize) -> Result<Vec<Mask>> {
    let causal = config.flag("is_causal")?.unwrap_or(true);
    let whole = if causal { Mask::CAUSAL } else { Mask::ALL };
    let asked = match kind {
        "mistral" => config.get("sliding_window").is_some(),
        "llama" => false,
        _ => config.flag("use_sliding_window")?.unwrap_or(false),
    };
    if !asked {
        return Ok(vec![whole; layers]);
    }
    let window = config.size("sliding_window", 1 << 24)?;
    // A causal window counts the token itself; one to both sides doesn't.
    let sliding = match causal {
        true => Mask {
            before: window - 1,
            ..Mask::CAUSAL
        },
        false => Mask::window(window),
    };
    let slides = match (layer_types(config, layers)?, kind) {
        (Some(slides), _) => slides,
        (None, "mistral") => vec![true; layers],
        (None, _) => {
            let whole = config.count("max_window_layers")?.unwrap_or(28);
            (0..layers).map(|layer| layer >= whole).collect()
        }
    };
    let mask = |slides| if slides { sliding } else { whole };
    Ok(slides.into_iter().map(mask).collect())
}
