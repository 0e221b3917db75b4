//! The report as pictures: for each kind of filter, speed and distances by selectivity.

use kokeshi_filtered::names;
use kokeshi_plot::{Axis, Mark, Panel, Series};

use crate::filtered::{Measured, Report};
use crate::measure::Point;
use crate::methods::{PARTS, PLANNER};
use crate::workload::Kind;

/// Methods in the order of the legend, each with its colour everywhere.
const COLOURS: [(&str, usize); 12] = [
    (names::SCAN, 6),
    (names::POST_FILTER, 5),
    (names::GATE, 0),
    (names::ACORN_1, 4),
    (names::ACORN_GAMMA, 3),
    (names::FILTERED_VAMANA, 2),
    (names::STITCHED_VAMANA, 1),
    (names::UNG, 8),
    (names::SERF, 9),
    (names::SERF_HALF, 10),
    (PLANNER, 7),
    (PARTS, 11),
];

/// A picture for each kind of filter and its columns: a name for the file, and SVG.
pub fn pictures(report: &Report) -> Vec<(String, String)> {
    let mut kinds: Vec<(Kind, &[String])> = Vec::new();
    for cell in &report.cells {
        if !kinds.contains(&(cell.kind, &cell.columns)) {
            kinds.push((cell.kind, &cell.columns));
        }
    }
    kinds
        .into_iter()
        .map(|(kind, columns)| {
            let cells: Vec<&Measured> = report
                .cells
                .iter()
                .filter(|cell| cell.kind == kind && cell.columns == columns)
                .collect();
            let name = format!("{}-{}", kind.name(), columns.join("-")).replace(' ', "-");
            (name, draw(report, kind, columns, &cells))
        })
        .collect()
}

fn draw(report: &Report, kind: Kind, columns: &[String], cells: &[&Measured]) -> String {
    let title = |what: &str| {
        format!(
            "{} on {}: {what} at recall@{} >= {} ({} rows, {} dims)",
            kind.name(),
            columns.join(" and "),
            report.k,
            report.recall,
            report.rows,
            report.dims
        )
    };
    let panel = |what: &str, axis: &str, value: fn(&Point) -> f64| Panel {
        title: title(what),
        x: Axis::log("share of rows that pass"),
        y: Axis::log(axis),
        series: COLOURS
            .iter()
            .map(|&(method, colour)| series(report.recall, cells, method, colour, value))
            .filter(|series| !series.marks.is_empty())
            .collect(),
    };
    kokeshi_plot::svg(&[
        panel(
            "speed",
            "queries a CPU-second, one thread",
            Point::queries_per_cpu_second,
        ),
        panel("distances", "distances a query", |point| point.distances),
    ])
}

fn series(recall: f64, cells: &[&Measured], method: &str, colour: usize, value: fn(&Point) -> f64) -> Series {
    let marks = cells
        .iter()
        .filter_map(|cell| {
            let curve = cell.methods.iter().find(|curve| curve.method == method)?;
            Some(Mark::at(cell.selectivity, value(curve.at(recall)?)))
        })
        .collect();
    Series {
        name: method.into(),
        marks,
        line: true,
        colour,
    }
}
