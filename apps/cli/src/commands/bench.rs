//! `kokeshi bench filtered`.

use std::collections::BTreeMap;

use kokeshi_bench::attributes::{self, Kind};
use kokeshi_bench::filtered::{Measured, Options, Report, run as measure};
use kokeshi_bench::picture::pictures;
use kokeshi_core::{Error, Seed};

use super::shrink::read;
use crate::args::{Bench, Filtered};
use crate::output::{Output, bytes, table};
use crate::progress::{Bar, catch_interrupts};
use crate::stop::{Result, Stop};

/// Runs a benchmark.
///
/// # Errors
/// Bad usage for files that can't be read or don't fit each other; a failure if a picture can't be written.
pub fn run(args: &Bench, output: &Output) -> Result<()> {
    match args {
        Bench::Filtered(args) => filtered(args, output),
    }
}

fn filtered(args: &Filtered, output: &Output) -> Result<()> {
    catch_interrupts();
    let fields: Vec<(&str, Kind)> = [
        (&args.equality, Kind::Category),
        (&args.set, Kind::Set),
        (&args.range, Kind::Number),
    ]
    .into_iter()
    .flat_map(|(names, kind)| names.iter().map(move |name| (name.as_str(), kind)))
    .collect();
    let mut vectors = read(&args.vectors, args.on_error, output)?.vectors;
    let mut columns = attributes::read(&args.attributes, &fields).map_err(Stop::usage)?;
    if columns.iter().any(|column| column.rows() != vectors.rows()) {
        return Err(Stop::usage(Error::Parse {
            what: args.attributes.display().to_string(),
            expected: format!("{} lines, one for each vector", vectors.rows()),
            found: columns[0].rows().to_string(),
        }));
    }
    if let Some(rows) = args.rows.filter(|&rows| (rows as usize) < vectors.rows()) {
        let mut order: Vec<u32> = (0..vectors.rows() as u32).collect();
        Seed(args.seed).fork(1).shuffle(&mut order);
        order.truncate(rows as usize);
        vectors = vectors.gather(&order).map_err(Stop::usage)?;
        columns = columns.iter().map(|column| column.gather(&order)).collect();
    }
    let named = fields.iter().map(|(name, _)| (*name).to_owned()).zip(columns);
    let options = Options {
        queries: args.queries as usize,
        each: args.each as usize,
        k: args.k.into(),
        recall: args.recall,
        rounds: args.rounds as usize,
        seed: Seed(args.seed),
        ..Options::default()
    };
    let bar = Bar::new(output.quiet || output.json);
    let report = measure(&vectors, &named.collect::<Vec<_>>(), &options, &bar).map_err(Stop::usage)?;
    if let Some(folder) = &args.plots {
        std::fs::create_dir_all(folder).map_err(|error| Stop::failed(Error::io(folder)(error)))?;
        for (name, svg) in pictures(&report) {
            let file = folder.join(name).with_extension("svg");
            std::fs::write(&file, svg).map_err(|error| Stop::failed(Error::io(&file)(error)))?;
            output.note(format!("drawn in {}", file.display()));
        }
    }
    if output.json {
        return output.value(&report);
    }
    print(&report, output)
}

fn print(report: &Report, output: &Output) -> Result<()> {
    output.line(format!("{} rows of {} dims", report.rows, report.dims))?;
    let builds = report.builds.iter().map(|cost| {
        vec![
            cost.method.to_owned(),
            cost.column.clone().unwrap_or_else(|| "any".into()),
            format!("{:.1}", cost.seconds),
            bytes(cost.bytes as u64),
            format!("{:.0}", cost.bytes as f64 / report.rows.max(1) as f64),
        ]
    });
    output.line(table(
        &[
            "index",
            "attribute",
            "CPU-s to build",
            "beside the vectors",
            "bytes a row",
        ],
        builds,
        2,
    ))?;
    let rows = report
        .cells
        .iter()
        .flat_map(|cell| cell.methods.iter().map(move |curve| row(report, cell, curve)));
    output.line(table(
        &[
            "filter",
            "on",
            "passes",
            "questions",
            "method",
            "list",
            "recall",
            "distances",
            "queries/CPU-s",
        ],
        rows,
        5,
    ))?;
    output.line(format!(
        "At the first list with recall@{} >= {}; where none has it, at the best, marked \"below\". * the fastest that has it.",
        report.k, report.recall
    ))?;
    let mut fastest: BTreeMap<&str, usize> = BTreeMap::new();
    for cell in &report.cells {
        if let Some(curve) = cell.fastest(report.recall) {
            *fastest.entry(curve.method).or_default() += 1;
        }
    }
    let fastest: Vec<String> = fastest
        .iter()
        .map(|(method, count)| format!("{method} {count}"))
        .collect();
    output.line(format!(
        "fastest in {} kinds of filter by selectivity: {}",
        report.cells.len(),
        fastest.join(", ")
    ))
}

fn row(report: &Report, cell: &Measured, curve: &kokeshi_bench::filtered::Curve) -> Vec<String> {
    let reached = curve.at(report.recall);
    let highest = || curve.points.iter().max_by(|a, b| a.recall.total_cmp(&b.recall));
    let fastest = cell
        .fastest(report.recall)
        .is_some_and(|best| std::ptr::eq(best, curve));
    let mark = match (reached, fastest) {
        (None, _) => " below",
        (_, true) => " *",
        _ => "",
    };
    let figures = match reached.or_else(highest) {
        Some(point) => [
            point.list.to_string(),
            format!("{:.3}{mark}", point.recall),
            format!("{:.0}", point.distances),
            format!("{:.0}", point.queries_per_cpu_second()),
        ],
        None => ["-", "-", "-", "-"].map(str::to_owned),
    };
    let mut cells = vec![
        cell.kind.name().to_owned(),
        cell.columns.join(" and "),
        format!("{:.3} %", 100.0 * cell.selectivity),
        cell.questions.to_string(),
        curve.method.to_owned(),
    ];
    cells.extend(figures);
    cells
}
