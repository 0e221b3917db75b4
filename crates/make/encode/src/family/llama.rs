//! Llama (arXiv 2302.13971), Mistral (arXiv 2310.06825), Qwen2 (arXiv 2407.10671), Qwen3 (arXiv 2505.09388), SmolLM3: decoders with RMSNorm
//! before each part, rotary positions (SmolLM3: in three of four layers), SwiGLU and heads that share keys. Embedding models made of them are causal and
//! pool the last token, or say `is_causal: false` and see everything (KaLM, arXiv 2506.20923; NV-Embed, arXiv 2405.17428).
//!
//! Models trained from scratch for the study of positions (arXiv 2305.19466) say `kokeshi_position` in `config.json`: none, ape, t5, alibi or
//! rotary:F, which turns the first part F of a head's dimensions.

use kokeshi_kernels::Mask;

use super::Family;
use super::sizes::{Sizes, USUAL, activation, epsilon, head_dims, layer_types};
use crate::directory::Fields;
use crate::encoder::plan::{
    AttentionPlan, BlockPlan, Joint, LinearPlan, NetworkPlan, NormKind, NormPlan, Plan, Up,
};
use crate::error::Result;
use crate::position::PositionPlan;
use crate::position::alibi::AlibiPlan;
use crate::position::buckets::BucketPlan;
use crate::position::frequencies::Rotation;
use crate::position::table::TablePlan;

pub(super) const FAMILY: Family = Family {
    types: &["llama", "mistral", "qwen2", "qwen3", "smollm3"],
    plan,
};

fn plan(config: &Fields) -> Result<Plan> {
    decoder(config, config.text("model_type")?.unwrap_or(""))
}

/// The plan of a decoder of this `kind`: a `model_type`, or `bidir_mistral`.
pub(super) fn decoder(config: &Fields, kind: &str) -> Result<Plan> {
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
    let causal = masks.iter().all(|mask| mask.after == 0);
    let (positions, turned) = positions(config, kind, &sizes, head_dims, causal)?;
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
                rotation: turned[layer].then_some(0),
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
        bytes: None,
        words: "embed_tokens.weight".into(),
        types: None,
        positions,
        first_norm: None,
        blocks: masks.into_iter().enumerate().map(block).collect(),
        last_norm: Some(norm("norm".into())),
    })
}

/// Each layer's mask: causal or not, with a window or without.
fn masks(config: &Fields, kind: &str, layers: usize) -> Result<Vec<Mask>> {
    let causal = match config.flag("is_causal")? {
        _ if kind == "bidir_mistral" => false,
        Some(causal) => causal,
        None => !config.flag("use_bidirectional_attention")?.unwrap_or(false),
    };
    let whole = if causal { Mask::CAUSAL } else { Mask::ALL };
    let asked = match kind {
        "mistral" => config.get("sliding_window").is_some(),
        "llama" | "bidir_mistral" => false,
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
        (None, "smollm3") => turned(config, layers)?.iter().map(|turned| !turned).collect(),
        (None, _) => {
            let whole = config.count("max_window_layers")?.unwrap_or(28);
            (0..layers).map(|layer| layer >= whole).collect()
        }
    };
    let mask = |slides| if slides { sliding } else { whole };
    Ok(slides.into_iter().map(mask).collect())
}

/// SmolLM3's layers that turn queries and keys: `no_rope_layers`, a list of 0 and 1 that says it of those with 1, or all but every
/// `no_rope_layer_interval`th one.
fn turned(config: &Fields, layers: usize) -> Result<Vec<bool>> {
    let field = "no_rope_layers";
    if let Some(listed) = config.get(field) {
        let flags: Option<Vec<bool>> = listed.as_array().and_then(|list| {
            let flag =
                |value: &serde_json::Value| value.as_u64().filter(|flag| *flag < 2).map(|flag| flag == 1);
            list.iter().map(flag).collect()
        });
        return flags
            .filter(|flags| flags.len() == layers)
            .ok_or_else(|| config.wrong(field, format!("expected {layers} times 0 or 1")));
    }
    let interval = match config.get("no_rope_layer_interval") {
        Some(_) => config.size("no_rope_layer_interval", 1 << 10)?,
        None => 4,
    };
    Ok((1..=layers)
        .map(|layer| !layer.is_multiple_of(interval))
        .collect())
}

/// The positions, and which layers turn queries and keys.
fn positions(
    config: &Fields,
    kind: &str,
    sizes: &Sizes,
    head_dims: usize,
    causal: bool,
) -> Result<(PositionPlan, Vec<bool>)> {
    let rotation = || Rotation::read(config, head_dims, 10_000.0, sizes.positions);
    let field = "kokeshi_position";
    let Some(scheme) = config.text(field)? else {
        let plan = PositionPlan {
            rotations: vec![rotation()?],
            ..PositionPlan::default()
        };
        let turned = match kind {
            "smollm3" => turned(config, sizes.layers)?,
            _ => vec![true; sizes.layers],
        };
        return Ok((plan, turned));
    };
    let mut plan = PositionPlan::default();
    match (scheme, scheme.strip_prefix("rotary:").map(str::parse::<f64>)) {
        ("none", _) if causal => {}
        ("none", _) => {
            return Err(config.wrong(
                field,
                "without positions nothing but a causal mask tells tokens apart: expected is_causal true",
            ));
        }
        ("ape", _) => {
            plan.table = Some(TablePlan {
                name: "embed_positions.weight".into(),
                rows: sizes.positions,
                padding: None,
            });
        }
        ("t5", _) => {
            plan.buckets = Some(BucketPlan {
                name: "relative_attention_bias.weight".into(),
                rows: BUCKETS.0,
                buckets: BUCKETS.0,
                most: BUCKETS.1,
                causal,
            });
        }
        ("alibi", _) => plan.alibi = Some(AlibiPlan { most: 8.0 }),
        (_, Some(Ok(part))) if part > 0.0 && part <= 1.0 => {
            let dims = (head_dims as f64 * part) as usize / 2 * 2;
            plan.rotations = vec![Rotation {
                dims: dims.max(2).min(head_dims),
                ..rotation()?
            }];
        }
        _ => {
            return Err(config.wrong(
                field,
                format!(
                    "expected none, ape, t5, alibi or rotary:F with F above 0 and up to 1, found {scheme}"
                ),
            ));
        }
    }
    let turned = vec![!plan.rotations.is_empty(); sizes.layers];
    Ok((plan, turned))
}

/// T5's buckets and the distance of the last one.
const BUCKETS: (usize, usize) = (32, 128);
