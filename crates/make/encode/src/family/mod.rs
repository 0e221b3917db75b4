//! The families of encoders, one file each: what `config.json` and the tensors are called, and which parts they are put together from.
//!
//! | file | `model_type` | positions | mask | norm |
//! |---|---|---|---|---|
//! | [`bert`] | bert | table | all | after |
//! | [`byte2word`] | kokeshi_byte2word | table | all | after |
//! | [`jina_bert`] | bert with `position_embedding_type: alibi` | ALiBi | all | after |
//! | [`roberta`] | roberta, xlm-roberta, camembert | table behind the padding id | all | after |
//! | [`distilbert`] | distilbert | table | all | after |
//! | [`mpnet`] | mpnet | table behind the padding id, buckets | all | after |
//! | [`nomic_bert`] | nomic_bert | rotary | all | after |
//! | [`modernbert`] | modernbert | rotary, two bases | local and global | before |
//! | [`llama`] | llama, mistral, qwen2, qwen3, smollm3 | rotary | causal, or all with `is_causal: false` | before |
//! | [`nv_embed`] | nvembed | rotary | all | before |
//! | [`mpt`] | mpt | ALiBi | causal | before |
//! | [`gpt2`] | gpt2 | table | causal | before |
//! | [`t5`] | t5 | buckets | all | before |

mod bert;
mod byte2word;
mod distilbert;
mod gpt2;
mod jina_bert;
mod llama;
mod modernbert;
mod mpnet;
mod mpt;
mod nomic_bert;
pub(crate) mod nv_embed;
mod roberta;
mod sizes;
mod t5;

pub(crate) use sizes::{activation, epsilon};

use crate::directory::Fields;
use crate::encoder::plan::Plan;
use crate::error::Result;

/// A family: its `model_type`s, and how its configuration is read.
struct Family {
    types: &'static [&'static str],
    plan: fn(&Fields) -> Result<Plan>,
}

/// Those that can be run.
static FAMILIES: [Family; 12] = [
    bert::FAMILY,
    roberta::FAMILY,
    distilbert::FAMILY,
    mpnet::FAMILY,
    modernbert::FAMILY,
    nomic_bert::FAMILY,
    llama::FAMILY,
    nv_embed::FAMILY,
    mpt::FAMILY,
    gpt2::FAMILY,
    t5::FAMILY,
    byte2word::FAMILY,
];

/// The plan of the encoder that `config.json` describes.
pub(crate) fn plan(config: &Fields) -> Result<Plan> {
    let name = config.text("model_type")?.unwrap_or("nothing");
    let Some(family) = FAMILIES.iter().find(|family| family.types.contains(&name)) else {
        let known: Vec<&str> = FAMILIES.iter().flat_map(|family| family.types).copied().collect();
        return Err(config.wrong(
            "model_type",
            format!(
                "the architecture {name} is not supported; supported are {}",
                known.join(", ")
            ),
        ));
    };
    if config.get("quantization_config").is_some() {
        return Err(config.wrong("quantization_config", "expected weights that are not quantised"));
    }
    (family.plan)(config)
}
