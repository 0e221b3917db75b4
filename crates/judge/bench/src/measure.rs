//! What a method finds and what it costs.

use cpu_time::ProcessTime;
use kokeshi_core::Result;
use kokeshi_filtered::{Method, Scratch};
use serde::Serialize;

use crate::questions::Questions;

/// A method at one length of its candidate list; means over the questions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// The length of the candidate list.
    pub list: usize,
    /// The share of the exact hits that it found.
    pub recall: f64,
    /// Distances computed. Those of codes count as well.
    pub distances: f64,
    /// Questions to the filter.
    pub predicates: f64,
    /// Nodes expanded.
    pub visited: f64,
    /// Microseconds of processor time.
    pub micros: f64,
    /// Hits that did not pass the filter: anything but 0 is a defect.
    pub failing: usize,
}

impl Point {
    /// Queries a second of processor time.
    pub fn queries_per_cpu_second(&self) -> f64 {
        1e6 / self.micros.max(1e-3)
    }
}

/// Lengths of candidate lists from 10 to `longest`, each about a fifth longer than the one before.
pub fn lists(longest: usize) -> Vec<usize> {
    let steps = (0..).map(|step| (10.0 * 1.2f64.powi(step)).round() as usize);
    steps.take_while(|&list| list <= longest).collect()
}

/// Asks all questions with candidate lists of length `list`.
///
/// # Errors
/// A filter that `method` does not serve.
pub fn ask(method: &dyn Method, questions: &Questions, list: usize) -> Result<Point> {
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    let mut found = Vec::with_capacity(questions.len());
    let start = ProcessTime::now();
    for (query, filter) in questions.iter() {
        method.search(query, questions.k(), list, filter, &mut scratch, &mut hits)?;
        found.push(hits.clone());
    }
    let micros = start.elapsed().as_secs_f64() * 1e6;
    let count = questions.len().max(1) as f64;
    let each = || found.iter().enumerate();
    Ok(Point {
        list,
        recall: each().map(|(at, hits)| questions.recall(at, hits)).sum::<f64>() / count,
        distances: scratch.counts.distances as f64 / count,
        predicates: scratch.counts.predicates as f64 / count,
        visited: scratch.counts.visited as f64 / count,
        micros: micros / count,
        failing: each().map(|(at, hits)| questions.failing(at, hits)).sum(),
    })
}

/// A point for each length of the list, in order, until recall is `enough` or a longer list looks at nothing more.
///
/// # Errors
/// As [`ask`].
pub fn curve(method: &dyn Method, questions: &Questions, lists: &[usize], enough: f64) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for &list in lists {
        let point = ask(method, questions, list)?;
        let exhausted = exhausted(&points, &point);
        points.push(point);
        if point.recall >= enough || exhausted {
            break;
        }
    }
    Ok(points)
}

/// Whether a list computed no more distances than the one before: then no longer one will.
pub(crate) fn exhausted(points: &[Point], next: &Point) -> bool {
    points.last().is_some_and(|last| last.distances == next.distances)
}

/// The first point that reaches a recall.
pub fn reaching(points: &[Point], recall: f64) -> Option<&Point> {
    points.iter().find(|point| point.recall >= recall)
}

/// The highest recall of any point.
pub fn best(points: &[Point]) -> f64 {
    points.iter().map(|point| point.recall).fold(0.0, f64::max)
}
