//! `kokeshi papers` and `kokeshi reproduce`.

use std::path::PathBuf;

use kokeshi_reproduce::{Context, State, papers, reproduce};

use crate::args::{Papers, Reproduce};
use crate::output::{Output, table};
use crate::stop::{Result, Stop};

/// Lists the catalogue.
///
/// # Errors
/// A failure if standard output can't be written.
pub fn run(args: &Papers, output: &Output) -> Result<()> {
    let mut papers = papers();
    papers.retain(|paper| {
        args.verb.is_none_or(|verb| paper.verb == verb.into())
            && args.state.is_none_or(|state| paper.state == state.into())
    });
    if output.json {
        return output.value(&papers);
    }
    let rows = papers.iter().map(|paper| {
        let arxiv = paper.arxiv.unwrap_or("-").to_string();
        vec![
            paper.id.to_string(),
            paper.title.to_string(),
            arxiv,
            paper.verb.to_string(),
            paper.command.to_string(),
            paper.state.to_string(),
        ]
    });
    output.line(table(
        &["id", "title", "arXiv", "verb", "command", "state"],
        rows,
        6,
    ))?;
    let count = |state| papers.iter().filter(|paper| paper.state == state).count();
    output.line(format!(
        "{} papers: {} work, {} partly, {} not yet. A state is what recorded reproductions have shown.",
        papers.len(),
        count(State::Works),
        count(State::Partly),
        count(State::NotYet)
    ))
}

/// Runs a paper's reproduction and prints its claims beside what was measured.
///
/// # Errors
/// Bad usage for a paper that is unknown or not reproduced yet; a failure if a claim does not hold.
pub fn run_one(args: &Reproduce, output: &Output) -> Result<()> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let context = Context {
        data: args.data.clone(),
        models: args
            .models
            .clone()
            .unwrap_or_else(|| home.join(".cache/kokeshi/models")),
        seed: args.seed,
    };
    let record = reproduce(&args.id, &context).map_err(Stop::usage)?;
    if let Some(folder) = &args.to {
        let file = record.write(folder).map_err(Stop::failed)?;
        output.note(format!("recorded in {}", file.display()));
    }
    if output.json {
        output.value(&record)?;
    } else {
        let rows = record.checks.iter().map(|check| {
            let measured = check.measured.map_or("-".into(), |value| format!("{value:.4}"));
            vec![
                check.name.clone(),
                check.claim.clone(),
                check.bar.to_string(),
                measured,
                if check.pass { "holds" } else { "fails" }.into(),
            ]
        });
        output.line(table(&["check", "claim", "bar", "measured", "result"], rows, 5))?;
    }
    match record.checks.iter().filter(|check| !check.pass).count() {
        0 => Ok(()),
        failed => Err(Stop::failed(format!(
            "{failed} of {} checks fail",
            record.checks.len()
        ))),
    }
}
