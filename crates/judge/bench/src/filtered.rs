//! The benchmark and its report.

use std::sync::Arc;

use kokeshi_core::{Embeddings, Progress, Result, Seed};
use serde::Serialize;

use crate::attributes::Column;
use crate::measure::{Point, ask, best, exhausted, lists, reaching};
use crate::methods::{BuildCost, Ready, build};
use crate::workload::{Cell, Kind, Set, cells};

/// What is measured, and how thoroughly.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rows that are kept aside to ask with.
    pub queries: usize,
    /// Questions of one kind at one selectivity, at most.
    pub each: usize,
    /// Hits asked for.
    pub k: usize,
    /// The longest candidate list.
    pub longest: usize,
    /// The recall that methods are compared at.
    pub recall: f64,
    /// How often everything is measured; times are medians.
    pub rounds: usize,
    /// Only methods whose names have one of these in them; all if it is empty.
    pub only: Vec<String>,
    /// Of all random choices.
    pub seed: Seed,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queries: 1000,
            each: 100,
            k: 10,
            longest: 2000,
            recall: 0.95,
            rounds: 3,
            only: Vec::new(),
            seed: Seed(42),
        }
    }
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Rows that were searched.
    pub rows: usize,
    /// Their width.
    pub dims: usize,
    /// Hits asked for.
    pub k: usize,
    /// The recall that methods are compared at.
    pub recall: f64,
    /// What each index took.
    pub builds: Vec<BuildCost>,
    /// The kinds of filter at each selectivity.
    pub cells: Vec<Measured>,
}

/// One kind of filter at one selectivity.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// The kind.
    pub kind: Kind,
    /// The columns that are asked about.
    pub columns: Vec<String>,
    /// The selectivity that was aimed at.
    pub level: f64,
    /// The mean share of rows that passed.
    pub selectivity: f64,
    /// The mean number of rows that passed.
    pub matches: f64,
    /// How many questions were asked.
    pub questions: usize,
    /// Each method that can answer them.
    pub methods: Vec<Curve>,
}

/// What a method did with the questions of a cell.
#[derive(Debug, Clone, Serialize)]
pub struct Curve {
    /// The method.
    pub method: &'static str,
    /// A point for each length of the candidate list.
    pub points: Vec<Point>,
}

impl Curve {
    /// The cheapest point that reaches a recall, by processor time.
    pub fn at(&self, recall: f64) -> Option<&Point> {
        self.points
            .iter()
            .filter(|point| point.recall >= recall)
            .min_by(|a, b| a.micros.total_cmp(&b.micros))
    }

    /// The highest recall.
    pub fn best(&self) -> f64 {
        best(&self.points)
    }
}

impl Measured {
    /// The method that answers most questions a second of processor time at a recall.
    pub fn fastest(&self, recall: f64) -> Option<&Curve> {
        let reached = self
            .methods
            .iter()
            .filter_map(|curve| Some((curve, curve.at(recall)?.micros)));
        reached.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(curve, _)| curve)
    }
}

/// Recall past which longer lists are not tried.
const ENOUGH: f64 = 0.99;

/// Keeps rows of `vectors` aside, builds all methods over the others and asks. `columns` have a value for each row of `vectors`, which
/// are scaled to unit length.
///
/// # Errors
/// Columns of another length, vectors that are not finite, fewer rows than are to be kept aside.
pub fn run(
    vectors: &Embeddings,
    columns: &[(String, Column)],
    options: &Options,
    progress: &dyn Progress,
) -> Result<Report> {
    let set = split(vectors, columns, options)?;
    let mut cells = cells(&set, options.each, options.k, options.seed)?;
    let methods = build(&set.points, &set.columns, &options.only, progress)?;
    progress.start("asking", Some((cells.len() * options.rounds) as u64), "cells");
    let mut measured: Vec<Measured> = Vec::new();
    for cell in &mut cells {
        measured.push(measure(cell, &methods, options, progress)?);
        if progress.interrupted() {
            break;
        }
    }
    progress.finish();
    Ok(Report {
        rows: set.points.rows(),
        dims: set.points.dims(),
        k: options.k,
        recall: options.recall,
        builds: methods.into_iter().map(|ready| ready.cost).collect(),
        cells: measured,
    })
}

/// The rows that are searched and those that ask.
fn split(vectors: &Embeddings, columns: &[(String, Column)], options: &Options) -> Result<Set> {
    let expected = |what: &str, expected: String, found: usize| kokeshi_core::Error::Parse {
        what: what.into(),
        expected,
        found: found.to_string(),
    };
    if options.queries == 0 || vectors.rows() < 2 * options.queries {
        let wanted = format!("at least {} vectors", 2 * options.queries.max(1));
        return Err(expected("rows to search and to ask with", wanted, vectors.rows()));
    }
    for (name, column) in columns {
        if column.rows() != vectors.rows() {
            let wanted = format!("{} rows, as many as vectors", vectors.rows());
            return Err(expected(&format!("the attribute {name}"), wanted, column.rows()));
        }
    }
    vectors.check_finite("vectors")?;
    let mut order: Vec<u32> = (0..vectors.rows() as u32).collect();
    let mut seed = options.seed;
    seed.shuffle(&mut order);
    let (asking, searched) = order.split_at_mut(options.queries);
    searched.sort_unstable();
    let take = |rows: &[u32]| -> Result<Arc<Embeddings>> {
        let mut taken = vectors.gather(rows)?;
        taken.normalize();
        Ok(Arc::new(taken))
    };
    Ok(Set {
        points: take(searched)?,
        queries: take(asking)?,
        columns: columns
            .iter()
            .map(|(name, column)| (name.clone(), column.gather(searched)))
            .collect(),
        own: columns.iter().map(|(_, column)| column.gather(asking)).collect(),
    })
}

/// Measures every method that serves a cell, in turns, `options.rounds` times.
fn measure(cell: &Cell, methods: &[Ready], options: &Options, progress: &dyn Progress) -> Result<Measured> {
    let questions = &cell.questions;
    let serves = |ready: &&Ready| {
        let column = ready.cost.column.as_ref();
        column.is_none_or(|column| cell.columns.contains(column)) && questions.served_by(&*ready.method)
    };
    let serving: Vec<&Ready> = methods.iter().filter(serves).collect();
    let mut times: Vec<Vec<Vec<f64>>> = Vec::new();
    let mut curves: Vec<Curve> = Vec::new();
    for round in 0..options.rounds.max(1) {
        for (at, ready) in serving.iter().enumerate() {
            if round == 0 {
                let points = first(ready, cell, options)?;
                times.push(points.iter().map(|point| vec![point.micros]).collect());
                let method = ready.cost.method;
                curves.push(Curve { method, points });
            } else {
                for (point, times) in curves[at].points.iter().zip(&mut times[at]) {
                    times.push(ask(&*ready.method, questions, point.list)?.micros);
                }
            }
        }
        progress.advance(1);
    }
    for (curve, times) in curves.iter_mut().zip(&mut times) {
        for (point, times) in curve.points.iter_mut().zip(times) {
            times.sort_by(f64::total_cmp);
            point.micros = times[times.len() / 2];
        }
    }
    Ok(Measured {
        kind: cell.kind,
        columns: cell.columns.clone(),
        level: cell.level,
        selectivity: questions.selectivity(),
        matches: questions.matches(),
        questions: questions.len(),
        methods: curves,
    })
}

/// Lists that grow until recall is enough or the method costs far more than comparing all that passes.
fn first(ready: &Ready, cell: &Cell, options: &Options) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    let all: Vec<usize> = match ready.fixed {
        true => vec![options.k],
        false => lists(options.longest).into_iter().step_by(2).collect(),
    };
    if ready.fixed {
        // Shorter lists bring what the others read into the caches; of one setting the first pass has to.
        ask(&*ready.method, &cell.questions, options.k)?;
    }
    for list in all {
        let point = ask(&*ready.method, &cell.questions, list)?;
        let exhausted = exhausted(&points, &point);
        points.push(point);
        let hopeless = point.distances > 10.0 * cell.questions.matches().max(1000.0);
        if point.recall >= ENOUGH || exhausted || (hopeless && reaching(&points, options.recall).is_none()) {
            break;
        }
    }
    Ok(points)
}
