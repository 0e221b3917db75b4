//! BERT whose tokens are words made of their bytes (Byte2Word, arXiv 2211.12677): no vocabulary, a table of the two special tokens alone. The layout is
//! Kokeshi's own: no other library has the layer.

use super::Family;
use super::bert::{NAMES, layer_norm, only_absolute, post_norm};
use super::sizes::{Sizes, USUAL};
use crate::bytes_to_words;
use crate::directory::Fields;
use crate::encoder::plan::Plan;
use crate::error::Result;
use crate::words::WordIds;

pub(super) const FAMILY: Family = Family {
    types: &["kokeshi_byte2word"],
    plan,
};

fn plan(config: &Fields) -> Result<Plan> {
    let sizes = Sizes::read(config, &USUAL)?;
    only_absolute(config)?;
    if sizes.vocabulary != WordIds::SPECIAL {
        let problem = format!(
            "expected {}, the special tokens, found {}",
            WordIds::SPECIAL,
            sizes.vocabulary
        );
        return Err(config.wrong("vocab_size", problem));
    }
    Ok(Plan {
        words: "embeddings.special_embeddings.weight".into(),
        bytes: Some(bytes_to_words::shape(config, sizes.hidden, "byte_heads")?),
        ..post_norm(config, &sizes, &NAMES, "hidden_act", |name| {
            layer_norm(config, name, 1e-12)
        })?
    })
}
