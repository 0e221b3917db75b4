//! NV-Embed (arXiv 2405.17428): a Mistral that sees everything, whose last states look at learned latents before they are pooled.
//!
//! The latents are in the transformer's own files, not in the pooling module; `pooling/cross.rs` runs them. As in sentence-transformers, texts
//! are taken as they are: whoever wants the end token that the authors' own code adds writes it behind the text.

use super::Family;
use super::llama::decoder;
use crate::directory::Fields;
use crate::encoder::plan::Plan;
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    types: &["nvembed"],
    plan,
};

fn plan(config: &Fields) -> Result<Plan> {
    let Some(text) = config.object("text_config")? else {
        return Err(config.wrong(
            "text_config",
            "expected the configuration of the decoder, found nothing",
        ));
    };
    let kinds = ["bidir_mistral", "mistral"];
    if let Some(kind) = text.text("model_type")?.filter(|kind| !kinds.contains(kind)) {
        return Err(text.wrong("model_type", format!("expected bidir_mistral, found {kind}")));
    }
    Ok(Plan {
        prefix: "embedding_model.",
        ..decoder(&text, "bidir_mistral")?
    })
}

/// The latents that the last states look at.
pub(crate) struct Latents {
    pub(crate) count: usize,
    pub(crate) heads: usize,
    pub(crate) head_dims: usize,
}

impl Latents {
    /// Those that `config.json` describes, if it is one of NV-Embed's; what it leaves out is as in the released models.
    pub(crate) fn read(config: &Fields) -> Result<Option<Self>> {
        if config.text("model_type")? != Some(FAMILY.types[0]) {
            return Ok(None);
        }
        let within = config.object("latent_attention_config")?;
        let size = |field: &str, usual: usize, most: usize| match &within {
            Some(within) if within.get(field).is_some() => within.size(field, most),
            _ => Ok(usual),
        };
        Ok(Some(Self {
            count: size("num_latents_value", 512, 1 << 16)?,
            heads: size("num_cross_heads", 8, 1 << 12)?,
            head_dims: size("cross_dim_head", 4096, 1 << 16)?,
        }))
    }
}
