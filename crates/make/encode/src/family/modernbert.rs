//! ModernBERT (arXiv 2412.13663): rotary positions, local attention in most layers and global in every third, GeGLU, norms without bias
//! before each part and after the last.

use kokeshi_kernels::Mask;

use super::Family;
use super::sizes::{Sizes, USUAL, activation, epsilon, head_dims};
use crate::directory::Fields;
use crate::encoder::plan::{
    AttentionPlan, BlockPlan, Joint, LinearPlan, NetworkPlan, NormKind, NormPlan, Plan, Up,
};
use crate::error::Result;
use crate::position::PositionPlan;
use crate::position::frequencies::Rotation;

pub(super) const FAMILY: Family = Family {
    types: &["modernbert"],
    plan,
};

/// The rotary base of global and of local layers where the configuration says nothing.
const BASES: [f64; 2] = [160_000.0, 10_000.0];

fn plan(config: &Fields) -> Result<Plan> {
    let sizes = Sizes::read(config, &USUAL)?;
    let head_dims = head_dims(config, &USUAL, &sizes)?;
    let flag = |field: &str| -> Result<bool> { Ok(config.flag(field)?.unwrap_or(false)) };
    let (attention_bias, network_bias) = (flag("attention_bias")?, flag("mlp_bias")?);
    let kind = NormKind::Layer {
        bias: flag("norm_bias")?,
    };
    let epsilon = epsilon(config, "norm_eps", 1e-5)?;
    let norm = |name: String| NormPlan { name, kind, epsilon };
    let activation = activation(config, "hidden_activation", "gelu")?;
    // The whole window: half of it on each side.
    let window = config.count("local_attention")?.unwrap_or(128) / 2;
    let block = |layer: usize, local: bool| {
        let of = |name: &str| format!("layers.{layer}.{name}");
        BlockPlan {
            pre_norm: true,
            // The embeddings are normalised already.
            attention_norm: (layer > 0).then(|| norm(of("attn_norm"))),
            attention: AttentionPlan {
                heads: sizes.heads,
                key_heads: sizes.heads,
                head_dims,
                scaled: true,
                joint: Joint::Fused(LinearPlan::new(of("attn.Wqkv"), attention_bias)),
                output: LinearPlan::new(of("attn.Wo"), attention_bias),
                head_norms: None,
                mask: if local { Mask::window(window) } else { Mask::ALL },
                rotation: Some(usize::from(local)),
            },
            norm: Some(norm(of("mlp_norm"))),
            network: NetworkPlan {
                inner: sizes.inner,
                activation,
                up: Up::GatedFused(LinearPlan::new(of("mlp.Wi"), network_bias)),
                down: LinearPlan::new(of("mlp.Wo"), network_bias),
            },
        }
    };
    let local = local_layers(config, sizes.layers)?;
    Ok(Plan {
        prefix: "model.",
        hidden: sizes.hidden,
        vocabulary: sizes.vocabulary,
        longest: sizes.positions,
        bytes: None,
        words: "embeddings.tok_embeddings.weight".into(),
        types: None,
        positions: PositionPlan {
            rotations: rotations(config, head_dims, sizes.positions)?,
            ..PositionPlan::default()
        },
        first_norm: Some(norm("embeddings.norm".into())),
        blocks: local
            .into_iter()
            .enumerate()
            .map(|(layer, local)| block(layer, local))
            .collect(),
        last_norm: Some(norm("final_norm".into())),
    })
}

/// The rotation of global layers and that of local ones.
fn rotations(config: &Fields, head_dims: usize, longest: usize) -> Result<Vec<Rotation>> {
    let parameters = config.object("rope_parameters")?;
    let kinds = [
        ("full_attention", "global_rope_theta", BASES[0]),
        ("sliding_attention", "local_rope_theta", BASES[1]),
    ];
    kinds
        .into_iter()
        .map(|(kind, old, fallback)| {
            let nested = match &parameters {
                Some(parameters) => parameters.object(kind)?,
                None => None,
            };
            let base = config.number(old)?.unwrap_or(fallback);
            Rotation::from_fields(config, nested.as_ref(), head_dims, base, longest)
        })
        .collect()
}

/// Which layers are local.
fn local_layers(config: &Fields, layers: usize) -> Result<Vec<bool>> {
    if let Some(kinds) = super::sizes::layer_types(config, layers)? {
        return Ok(kinds);
    }
    let field = "global_attn_every_n_layers";
    match config.count(field)?.unwrap_or(3) {
        0 => Err(config.wrong(field, "expected at least 1, found 0")),
        every => Ok((0..layers).map(|layer| !layer.is_multiple_of(every)).collect()),
    }
}
