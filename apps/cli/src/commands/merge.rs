//! `kokeshi merge`.

use kokeshi_recipe::{Merge, merge, merge_adapter};

use crate::args;
use crate::output::Output;
use crate::stop::{Result, Stop};

/// Writes one model from several, or from a base and an adapter.
///
/// # Errors
/// Bad usage for models, weights or an adapter that don't fit each other.
pub fn run(args: &args::Merge, output: &Output) -> Result<()> {
    let what = match (&args.adapter, &args.models[..]) {
        (Some(adapter), [base]) => {
            merge_adapter(base, adapter, &args.to).map_err(Stop::usage)?;
            "model and its adapter merged".to_string()
        }
        (Some(_), models) => {
            let problem = format!("expected one model, the adapter's base, found {}", models.len());
            return Err(Stop::usage(problem));
        }
        (None, models) => {
            let method = match (args.slerp, &args.weights) {
                (Some(at), _) => Merge::Slerp(at),
                (None, weights) if weights.is_empty() => Merge::Average(vec![1.0; models.len()]),
                (None, weights) => Merge::Average(weights.clone()),
            };
            merge(models, &method, &args.to).map_err(Stop::usage)?;
            format!("{} models merged", models.len())
        }
    };
    if output.json {
        let about = serde_json::json!({"model": args.to, "merged": args.models, "adapter": args.adapter});
        return output.value(&about);
    }
    output.line(format!("{what}: {}", args.to.display()))
}
