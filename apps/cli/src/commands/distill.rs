//! `kokeshi distill`.

use std::time::Instant;

use kokeshi_sources::{Source, SourceOptions};
use kokeshi_train::{DistillConfig, Text, distill};

use crate::args::{Distill, LoadArgs};
use crate::output::{Output, bytes};
use crate::progress::{Bar, catch_interrupts};
use crate::stop::{Result, Stop};

/// Reads the texts, trains the student, writes the model.
///
/// # Errors
/// Bad usage for a teacher, texts or settings that don't fit; a failure if the model can't be written.
pub fn run(args: &Distill, output: &Output) -> Result<()> {
    catch_interrupts();
    let started = Instant::now();
    let teacher = super::model::load(Some(&args.teacher), &LoadArgs::default())?;
    let mut config = DistillConfig {
        dims: args.dims,
        prefixes: args.prefixes.clone(),
        seed: args.seed,
        ..DistillConfig::default()
    };
    if args.no_training {
        config.epochs = 0;
    }
    if let Some(epochs) = args.epochs {
        config.epochs = epochs;
    }
    if let Some(spans) = args.spans {
        config.spans = spans;
    }
    if let Some(bags) = args.bags {
        config.bags = bags;
    }
    let options = SourceOptions {
        text: args.fields.clone(),
        attributes: Some(Vec::new()),
        ..SourceOptions::default()
    };
    let source = Source::open(&args.texts, options).map_err(Stop::usage)?;
    let documents = source.documents().filter_map(|row| row.ok());
    let mut texts = documents
        .map(|document| Text {
            title: document.title,
            body: document.text,
        })
        .take(args.limit.unwrap_or(usize::MAX));
    let bar = Bar::new(output.quiet || output.json);
    let student = distill(&teacher, &mut texts, &config, &bar).map_err(Stop::usage)?;
    for line in source.report().lines() {
        output.note(format!("note: {line}"));
    }
    student.save(&args.to, None).map_err(Stop::failed)?;
    let mut compact = None;
    if let Some(file) = &args.compact {
        let packed = student.compact().map_err(Stop::failed)?;
        kokeshi_core::file::write_atomic(file, &packed).map_err(Stop::failed)?;
        compact = Some(packed.len() as u64);
    }
    let seconds = started.elapsed().as_secs_f64();
    if output.json {
        return output.value(&serde_json::json!({
            "model": args.to, "teacher": teacher.id(), "dims": args.dims, "prefixes": args.prefixes,
            "compact_bytes": compact, "seconds": seconds,
        }));
    }
    output.line(format!(
        "{} dims from {} in {seconds:.0} s: {}",
        args.dims,
        teacher.id(),
        args.to.display()
    ))?;
    if let (Some(file), Some(size)) = (&args.compact, compact) {
        output.line(format!(
            "compact form, int8: {} ({})",
            file.display(),
            bytes(size)
        ))?;
    }
    output.line(format!("try it: kokeshi eval DATA --model {}", args.to.display()))
}
