//! Which model the flags of a command name: the one place where models are loaded.

use kokeshi_encode::{LoadOptions, Model, Reranker, SparseModel};

use crate::args::Precision;
use crate::stop::{Result, Stop};

/// The model called `name`, or the compiled-in one.
///
/// # Errors
/// Bad usage if there is no such model.
pub fn load(name: Option<&str>, precision: Option<Precision>) -> Result<Model> {
    let Some(name) = name else {
        return Ok(Model::compiled_in());
    };
    Model::load_with(name, &options(precision)).map_err(Stop::usage)
}

/// The cross-encoder called `name`.
///
/// # Errors
/// Bad usage if there is none.
pub fn reranker(name: &str, precision: Option<Precision>) -> Result<Reranker> {
    Reranker::load_with(name, &options(precision)).map_err(Stop::usage)
}

/// The masked language model called `name`.
///
/// # Errors
/// Bad usage if there is none.
pub fn sparse(name: &str, precision: Option<Precision>) -> Result<SparseModel> {
    SparseModel::load_with(name, &options(precision)).map_err(Stop::usage)
}

fn options(precision: Option<Precision>) -> LoadOptions {
    LoadOptions {
        precision: precision.map(Into::into).unwrap_or_default(),
        ..LoadOptions::default()
    }
}
