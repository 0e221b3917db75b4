//! `kokeshi papers`.

use crate::args::Papers;
use crate::output::{Output, table};
use crate::stop::{Result, Stop};

/// Lists the catalogue.
///
/// # Errors
/// Bad usage for an unknown verb or state.
pub fn run(args: &Papers, output: &Output) -> Result<()> {
    todo(args, output)
}
