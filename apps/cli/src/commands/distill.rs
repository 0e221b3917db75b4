//! `kokeshi distill`.

use std::time::Instant;

use kokeshi_recipe::{Distillation, Texts};
use kokeshi_train::DistillConfig;

use crate::args::Distill;
use crate::output::{Output, bytes};
use crate::progress::{Bar, catch_interrupts};
use crate::stop::{Result, Stop};

/// The recipe that the arguments stand for.
///
/// # Errors
/// As [`make`].
pub fn run(args: &Distill, output: &Output) -> Result<()> {
    let usual = DistillConfig::default();
    let recipe = Distillation {
        teacher: args.teacher.clone(),
        out: args.to.clone(),
        texts: vec![Texts {
            paths: args.texts.clone(),
            fields: args.fields.clone(),
            limit: args.limit,
        }],
        compact: args.compact.clone(),
        config: DistillConfig {
            dims: args.dims,
            prefixes: args.prefixes.clone(),
            seed: args.seed,
            epochs: if args.no_training {
                0
            } else {
                args.epochs.unwrap_or(usual.epochs)
            },
            spans: args.spans.unwrap_or(usual.spans),
            bags: args.bags.unwrap_or(usual.bags),
            ..usual
        },
    };
    make(&recipe, output)
}

/// Reads the texts, trains the student, writes the model.
///
/// # Errors
/// Bad usage for a teacher, texts or settings that don't fit; a failure if the model can't be written.
pub fn make(recipe: &Distillation, output: &Output) -> Result<()> {
    catch_interrupts();
    let started = Instant::now();
    let bar = Bar::or_lines(output.quiet || output.json);
    let made = recipe.run(&bar).map_err(|error| match error {
        kokeshi_recipe::Error::Core(_) => Stop::failed(error),
        _ => Stop::usage(error),
    })?;
    for line in &made.notes {
        output.note(format!("note: {line}"));
    }
    let seconds = started.elapsed().as_secs_f64();
    if output.json {
        return output.value(&serde_json::json!({
            "model": recipe.out, "teacher": made.teacher, "dims": recipe.config.dims, "prefixes": recipe.config.prefixes,
            "compact_bytes": made.compact, "seconds": seconds,
        }));
    }
    output.line(format!(
        "{} dims from {} in {seconds:.0} s: {}",
        recipe.config.dims,
        made.teacher,
        recipe.out.display()
    ))?;
    if let (Some(file), Some(size)) = (&recipe.compact, made.compact) {
        output.line(format!(
            "compact form, int8: {} ({})",
            file.display(),
            bytes(size)
        ))?;
    }
    output.line(format!(
        "try it: kokeshi eval DATA --model {}",
        recipe.out.display()
    ))
}
