//! BERT (arXiv 1810.04805): learned positions, norms after the sums, biases everywhere.

use kokeshi_kernels::Mask;

use super::Family;
use super::sizes::{Sizes, USUAL, activation, epsilon, expect_flags};
use crate::directory::Fields;
use crate::encoder::plan::{
    AttentionPlan, BlockPlan, Joint, LinearPlan, NetworkPlan, NormKind, NormPlan, Plan, Up,
};
use crate::error::Result;
use crate::position::PositionPlan;
use crate::position::table::TablePlan;

pub(super) const FAMILY: Family = Family {
    types: &["bert"],
    plan,
};

fn plan(config: &Fields) -> Result<Plan> {
    let sizes = Sizes::read(config, &USUAL)?;
    if config.text("position_embedding_type")? == Some("alibi") {
        return super::jina_bert::plan(config, sizes);
    }
    only_absolute(config)?;
    let norm = |name: String| -> Result<NormPlan> { layer_norm(config, name, 1e-12) };
    Ok(Plan {
        prefix: "bert.",
        types: Some((TYPES.into(), config.size("type_vocab_size", 1 << 16)?)),
        ..post_norm(config, &sizes, &NAMES, "hidden_act", norm)?
    })
}

/// The token type embeddings.
pub(super) const TYPES: &str = "embeddings.token_type_embeddings.weight";

/// What the tensors of a family like BERT are called.
pub(super) struct Names {
    /// What stands before the number of a layer.
    pub(super) layers: &'static str,
    /// Query, key, value, output of attention, first and second part of the feed-forward network.
    pub(super) linear: [&'static str; 6],
    /// The norm after attention and the one after the feed-forward network.
    pub(super) norms: [&'static str; 2],
}

/// BERT's own.
pub(super) const NAMES: Names = Names {
    layers: "encoder.layer",
    linear: [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    ],
    norms: ["attention.output.LayerNorm", "output.LayerNorm"],
};

/// A LayerNorm with bias and the epsilon that the configuration says.
pub(super) fn layer_norm(config: &Fields, name: String, fallback: f64) -> Result<NormPlan> {
    Ok(NormPlan {
        name,
        kind: NormKind::Layer { bias: true },
        epsilon: epsilon(config, "layer_norm_eps", fallback)?,
    })
}

/// Refuses decoders and other positions.
pub(super) fn only_absolute(config: &Fields) -> Result<()> {
    expect_flags(
        config,
        &[
            ("is_decoder", false),
            ("add_cross_attention", false),
            ("sinusoidal_pos_embds", false),
        ],
        "only encoders with learned positions are supported",
    )?;
    let kind = config.text("position_embedding_type")?;
    match kind.filter(|kind| *kind != "absolute") {
        Some(kind) => Err(config.wrong(
            "position_embedding_type",
            format!("expected absolute, found {kind}"),
        )),
        None => Ok(()),
    }
}

/// The plan that BERT's kin share; token types, prefix and what is special about positions are for the caller to add.
pub(super) fn post_norm(
    config: &Fields,
    sizes: &Sizes,
    names: &Names,
    activation_field: &str,
    norm: impl Fn(String) -> Result<NormPlan>,
) -> Result<Plan> {
    let activation = activation(config, activation_field, "gelu")?;
    let block = |layer: usize| -> Result<BlockPlan> {
        let of = |name: &str| format!("{}.{layer}.{name}", names.layers);
        let linear = |at: usize| LinearPlan::new(of(names.linear[at]), true);
        Ok(BlockPlan {
            pre_norm: false,
            attention_norm: Some(norm(of(names.norms[0]))?),
            attention: AttentionPlan {
                heads: sizes.heads,
                key_heads: sizes.heads,
                head_dims: sizes.hidden / sizes.heads,
                scaled: true,
                joint: Joint::Separate([linear(0), linear(1), linear(2)]),
                output: linear(3),
                head_norms: None,
                mask: Mask::ALL,
                rotation: None,
            },
            norm: Some(norm(of(names.norms[1]))?),
            network: NetworkPlan {
                inner: sizes.inner,
                activation,
                up: Up::Plain(linear(4)),
                down: linear(5),
            },
        })
    };
    Ok(Plan {
        prefix: "",
        hidden: sizes.hidden,
        vocabulary: sizes.vocabulary,
        longest: sizes.positions,
        bytes: None,
        words: "embeddings.word_embeddings.weight".into(),
        types: None,
        positions: PositionPlan {
            table: Some(TablePlan {
                name: "embeddings.position_embeddings.weight".into(),
                rows: sizes.positions,
                padding: None,
            }),
            ..PositionPlan::default()
        },
        first_norm: Some(norm("embeddings.LayerNorm".into())?),
        blocks: (0..sizes.layers).map(block).collect::<Result<_>>()?,
        last_norm: None,
    })
}

impl Plan {
    /// Counts positions from behind the padding token's id.
    pub(super) fn behind_padding(mut self, padding: usize) -> Self {
        if let Some(table) = &mut self.positions.table {
            table.padding = Some(padding);
            self.longest = table.usable();
        }
        self
    }
}
