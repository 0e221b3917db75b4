//! A run against judgements: one value for each query and measure.

use crate::{
    measure::Measure,
    ranking::{Qrels, Run},
    report::{Report, Row},
    significance::bootstrap_mean,
};

/// What to do with a judged query that the run doesn't answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// It counts as 0, as in BEIR's tables and with `trec_eval -c`: a system must not win by keeping silent.
    #[default]
    Zero,
    /// It is left out of the mean, as plain trec_eval and pytrec_eval do.
    Skip,
}

/// The values of each query.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    measures: Vec<Measure>,
    queries: Vec<String>,
    /// Row-major, one row for each query.
    values: Vec<f64>,
}

/// Evaluates a run. Queries without judgements are ignored, judged queries without an answer as `missing` says.
pub fn evaluate(qrels: &Qrels, run: &Run, measures: &[Measure], missing: Missing) -> Evaluation {
    let mut made = Evaluation {
        measures: measures.to_vec(),
        queries: Vec::new(),
        values: Vec::new(),
    };
    for query in qrels.queries() {
        let Some(judged) = qrels.judged(query) else {
            continue;
        };
        let ranked = match (run.ranked(query), missing) {
            (Some(ranked), _) => ranked,
            (None, Missing::Zero) => Vec::new(),
            (None, Missing::Skip) => continue,
        };
        let grades: Vec<i32> = ranked
            .iter()
            .map(|document| judged.get(*document).copied().unwrap_or(0))
            .collect();
        made.queries.push(query.to_owned());
        made.values
            .extend(measures.iter().map(|measure| measure.of_grades(&grades, judged)));
    }
    made
}

impl Evaluation {
    /// The measures, in the order that was asked for.
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// The queries that count, in order of their bytes.
    pub fn queries(&self) -> &[String] {
        &self.queries
    }

    /// The values of the measure at place `measure`, one for each query.
    pub fn values(&self, measure: usize) -> Vec<f64> {
        self.values
            .iter()
            .skip(measure)
            .step_by(self.measures.len().max(1))
            .copied()
            .collect()
    }

    /// The mean over the queries of the measure at place `measure`; 0 if there are none.
    pub fn mean(&self, measure: usize) -> f64 {
        self.values(measure).iter().sum::<f64>() / self.queries.len().max(1) as f64
    }

    /// The means, to print or to keep.
    pub fn report(&self, name: &str) -> Report {
        let row = |(at, measure): (usize, &Measure)| Row::new(measure.to_string(), self.mean(at));
        Report {
            name: name.to_owned(),
            queries: self.queries.len(),
            rows: self.measures.iter().enumerate().map(row).collect(),
        }
    }

    /// The means with 95 % bootstrap intervals over the queries.
    pub fn report_with_intervals(&self, name: &str, rounds: usize, seed: u64) -> Report {
        let mut report = self.report(name);
        for (at, row) in report.rows.iter_mut().enumerate() {
            row.interval =
                bootstrap_mean(&self.values(at), 0.95, rounds, seed).map(|found| [found.low, found.high]);
        }
        report
    }
}
