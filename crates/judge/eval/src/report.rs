//! A small table of means, as text and as JSON.

use std::fmt::Write;

use serde::Serialize;

/// One measure of a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What was measured, e.g. `nDCG@10`.
    pub measure: String,
    /// The mean over the queries, or the value itself.
    pub mean: f64,
    /// A 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
}

impl Row {
    /// A row without an interval.
    pub fn new(measure: impl Into<String>, mean: f64) -> Self {
        Self {
            measure: measure.into(),
            mean,
            interval: None,
        }
    }
}

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Of what: a run, a model, a data set.
    pub name: String,
    /// Over how many queries or pairs.
    pub queries: usize,
    /// The measures.
    pub rows: Vec<Row>,
}

impl Report {
    /// The report as aligned plain text, one measure a line.
    pub fn table(&self) -> String {
        let width = self
            .rows
            .iter()
            .map(|row| row.measure.chars().count())
            .max()
            .unwrap_or(0);
        let mut text = format!("{} ({})\n", self.name, self.queries);
        for row in &self.rows {
            let _ = write!(text, "  {:width$}  {:.4}", row.measure, row.mean);
            if let Some([low, high]) = row.interval {
                let _ = write!(text, "  [{low:.4}, {high:.4}]");
            }
            text.push('\n');
        }
        text
    }
}
