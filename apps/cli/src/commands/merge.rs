//! `kokeshi merge`.

use kokeshi_recipe::{Merge, merge};

use crate::args;
use crate::output::Output;
use crate::stop::{Result, Stop};

/// Writes one model from several.
///
/// # Errors
/// Bad usage for models or weights that don't fit each other.
pub fn run(args: &args::Merge, output: &Output) -> Result<()> {
    let method = match (args.slerp, &args.weights) {
        (Some(at), _) => Merge::Slerp(at),
        (None, weights) if weights.is_empty() => Merge::Average(vec![1.0; args.models.len()]),
        (None, weights) => Merge::Average(weights.clone()),
    };
    merge(&args.models, &method, &args.to).map_err(Stop::usage)?;
    if output.json {
        return output.value(&serde_json::json!({"model": args.to, "merged": args.models}));
    }
    output.line(format!(
        "{} models merged: {}",
        args.models.len(),
        args.to.display()
    ))
}
