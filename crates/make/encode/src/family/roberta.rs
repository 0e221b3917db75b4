//! RoBERTa (arXiv 1907.11692), XLM-R (arXiv 1911.02116), CamemBERT: BERT whose positions start behind the padding token's id.

use super::Family;
use super::bert::{NAMES, TYPES, layer_norm, only_absolute, post_norm};
use super::sizes::{Sizes, USUAL, padding};
use crate::directory::Fields;
use crate::encoder::plan::Plan;
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    types: &["roberta", "xlm-roberta", "camembert"],
    plan,
};

fn plan(config: &Fields) -> Result<Plan> {
    let sizes = Sizes::read(config, &USUAL)?;
    only_absolute(config)?;
    let plan = Plan {
        prefix: "roberta.",
        types: Some((TYPES.into(), config.size("type_vocab_size", 1 << 16)?)),
        ..post_norm(config, &sizes, &NAMES, "hidden_act", |name| {
            layer_norm(config, name, 1e-12)
        })?
    };
    Ok(plan.behind_padding(padding(config, sizes.positions)?))
}
