//! DistilBERT (arXiv 1910.01108): BERT without token types, under other names.

use super::Family;
use super::bert::{Names, layer_norm, only_absolute, post_norm};
use super::sizes::{Fieldnames, Sizes};
use crate::directory::Fields;
use crate::encoder::plan::Plan;
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    types: &["distilbert"],
    plan,
};

const FIELDS: Fieldnames = Fieldnames {
    hidden: "dim",
    layers: "n_layers",
    heads: "n_heads",
    inner: "hidden_dim",
    positions: "max_position_embeddings",
};

const NAMES: Names = Names {
    layers: "transformer.layer",
    linear: [
        "attention.q_lin",
        "attention.k_lin",
        "attention.v_lin",
        "attention.out_lin",
        "ffn.lin1",
        "ffn.lin2",
    ],
    norms: ["sa_layer_norm", "output_layer_norm"],
};

fn plan(config: &Fields) -> Result<Plan> {
    let sizes = Sizes::read(config, &FIELDS)?;
    only_absolute(config)?;
    // The library has the epsilon in its code, not in the configuration.
    let norm = |name| layer_norm(config, name, 1e-12);
    Ok(Plan {
        prefix: "distilbert.",
        ..post_norm(config, &sizes, &NAMES, "activation", norm)?
    })
}
