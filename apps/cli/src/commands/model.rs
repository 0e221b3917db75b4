//! Which model the flags of a command name: the one place where models are loaded.

use kokeshi_encode::{LoadOptions, Model};

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
    let options = LoadOptions {
        precision: precision.map(Into::into).unwrap_or_default(),
        ..LoadOptions::default()
    };
    Model::load_with(name, &options).map_err(Stop::usage)
}
