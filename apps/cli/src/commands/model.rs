//! Which model the flags of a command name: the one place where models are loaded.

use kokeshi_collection::ModelEmbedder;
use kokeshi_encode::{Model, Reranker, SparseModel};

use crate::args::LoadArgs;
use crate::stop::{Result, Stop};

/// The model called `name`; the compiled-in one without a name or by its own.
///
/// # Errors
/// Bad usage if there is no such model or it can't be loaded so.
pub fn load(name: Option<&str>, how: &LoadArgs) -> Result<Model> {
    if let Some(name) = name.filter(|name| *name != ModelEmbedder::COMPILED_IN) {
        return Model::load_with(name, &how.into()).map_err(Stop::usage);
    }
    let only_precision = LoadArgs {
        precision: how.precision,
        ..LoadArgs::default()
    };
    if *how != only_precision {
        return Err(Stop::usage(
            "--context, --position and --temperature are for transformers; the compiled-in model is static and reads texts of any length",
        )
        .hint("name a transformer: --model DIR|ID"));
    }
    Ok(Model::compiled_in())
}

/// The cross-encoder called `name`.
///
/// # Errors
/// Bad usage if there is none.
pub fn reranker(name: &str, how: &LoadArgs) -> Result<Reranker> {
    Reranker::load_with(name, &how.into()).map_err(Stop::usage)
}

/// The masked language model called `name`.
///
/// # Errors
/// Bad usage if there is none.
pub fn sparse(name: &str, how: &LoadArgs) -> Result<SparseModel> {
    SparseModel::load_with(name, &how.into()).map_err(Stop::usage)
}
