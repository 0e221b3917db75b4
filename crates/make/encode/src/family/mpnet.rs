//! MPNet (arXiv 2004.09297): RoBERTa without token types, with T5's relative biases on top.

use super::Family;
use super::bert::{Names, layer_norm, only_absolute, post_norm};
use super::sizes::{Sizes, USUAL};
use crate::directory::Fields;
use crate::encoder::plan::Plan;
use crate::error::Result;
use crate::position::buckets::BucketPlan;

pub(super) const FAMILY: Family = Family {
    types: &["mpnet"],
    plan,
};

/// Buckets and the distance of the last one; the library has them in its code, whatever the configuration says.
const BUCKETS: (usize, usize) = (32, 128);
/// The padding token's id; it is in the library's code too.
const PADDING: usize = 1;

const NAMES: Names = Names {
    layers: "encoder.layer",
    linear: [
        "attention.attn.q",
        "attention.attn.k",
        "attention.attn.v",
        "attention.attn.o",
        "intermediate.dense",
        "output.dense",
    ],
    norms: ["attention.LayerNorm", "output.LayerNorm"],
};

fn plan(config: &Fields) -> Result<Plan> {
    let sizes = Sizes::read(config, &USUAL)?;
    only_absolute(config)?;
    let field = "relative_attention_num_buckets";
    let rows = match config.count(field)?.unwrap_or(BUCKETS.0) {
        rows if (BUCKETS.0..=1 << 16).contains(&rows) => rows,
        rows => return Err(config.wrong(field, format!("expected at least {}, found {rows}", BUCKETS.0))),
    };
    if sizes.positions <= PADDING + 1 {
        return Err(config.wrong(
            USUAL.positions,
            format!("expected more than {}, found {}", PADDING + 1, sizes.positions),
        ));
    }
    let mut plan = post_norm(config, &sizes, &NAMES, "hidden_act", |name| {
        layer_norm(config, name, 1e-12)
    })?;
    plan.prefix = "mpnet.";
    plan.positions.buckets = Some(BucketPlan {
        name: "encoder.relative_attention_bias.weight".into(),
        rows,
        buckets: BUCKETS.0,
        most: BUCKETS.1,
        causal: false,
    });
    Ok(plan.behind_padding(PADDING))
}
