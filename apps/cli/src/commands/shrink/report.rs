//! What was measured, for people, machines and the eye.

use std::path::PathBuf;

use kokeshi_codec::front::{Estimate, Point, front};
use kokeshi_core::Embeddings;
use kokeshi_plot::{Axis, Mark, Panel, Series};
use serde::Serialize;

use super::sample::Sample;
use crate::args::Choose;
use crate::output::{Output, bytes, list};
use crate::stop::Result;

/// Everything that a choice rests on.
#[derive(Serialize)]
pub(super) struct Report {
    rows: usize,
    dims: usize,
    sample_rows: usize,
    queries: usize,
    /// What `quality` is.
    measure: &'static str,
    /// The quality of exact search.
    exact: f64,
    rescored: bool,
    codecs: Vec<Row>,
    left_out: Vec<LeftOut>,
    chosen: Option<String>,
    files: Vec<PathBuf>,
}

#[derive(Serialize)]
struct LeftOut {
    codec: String,
    reason: String,
}

#[derive(Serialize, Clone)]
struct Row {
    codec: String,
    bytes: usize,
    codec_bytes: usize,
    recall: Range,
    recall_rescored: Range,
    quality: Range,
    quality_rescored: Range,
    queries_per_cpu_second: f64,
    train_seconds: f64,
    encode_seconds: f64,
    on_front: bool,
}

#[derive(Serialize, Clone, Copy)]
struct Range {
    mean: f64,
    interval: [f64; 2],
}

impl From<Estimate> for Range {
    fn from(found: Estimate) -> Self {
        Self {
            mean: found.mean,
            interval: [found.low, found.high],
        }
    }
}

impl Range {
    fn text(&self) -> String {
        format!(
            "{:.3} [{:.3}, {:.3}]",
            self.mean, self.interval[0], self.interval[1]
        )
    }
}

impl Report {
    pub(super) fn new(
        sample: &Sample,
        all: &Embeddings,
        args: &Choose,
        exact: f64,
        points: &[Point],
        left_out: Vec<(String, String)>,
        chosen: Option<&Point>,
    ) -> Self {
        let best: Vec<&Point> = front(points, args.rescore);
        let mut order: Vec<&Point> = points.iter().collect();
        order.sort_by_key(|point| point.bytes);
        let codecs = order.into_iter().map(|point| Row {
            codec: point.spec.to_string(),
            bytes: point.bytes,
            codec_bytes: point.chain_bytes,
            recall: point.recall.codes.into(),
            recall_rescored: point.recall.rescored.into(),
            quality: point.quality.codes.into(),
            quality_rescored: point.quality.rescored.into(),
            queries_per_cpu_second: point.queries_per_cpu_second,
            train_seconds: point.train_seconds,
            encode_seconds: point.encode_seconds,
            on_front: best.iter().any(|other| std::ptr::eq(*other, point)),
        });
        Self {
            rows: all.rows(),
            dims: all.dims(),
            sample_rows: sample.rows.rows(),
            queries: sample.queries.rows(),
            measure: sample.measure(),
            exact,
            rescored: args.rescore,
            codecs: codecs.collect(),
            left_out: left_out
                .into_iter()
                .map(|(codec, reason)| LeftOut { codec, reason })
                .collect(),
            chosen: chosen.map(|point| point.spec.to_string()),
            files: Vec::new(),
        }
    }

    pub(super) fn with_files(mut self, files: &[PathBuf]) -> Self {
        self.files = files.to_vec();
        self
    }

    /// One JSON value.
    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    pub(super) fn print(&self, output: &Output) -> Result<()> {
        output.line(format!(
            "{} vectors of {} dims ({} as f32); tried on {} rows with {} queries; exact search has {} {:.3}",
            self.rows,
            self.dims,
            bytes(4 * (self.rows * self.dims) as u64),
            self.sample_rows,
            self.queries,
            self.measure,
            self.exact
        ))?;
        let judged = self.measure != "recall@10";
        let mut header = vec!["", "codec", "bytes", "smaller", "recall@10", "rescored"];
        if judged {
            header.extend(["nDCG@10", "rescored"]);
        }
        header.push("queries/CPU-s");
        let rows = self.codecs.iter().map(|row| {
            let mark = match (self.chosen.as_deref() == Some(&row.codec), row.on_front) {
                (true, _) => "*",
                (false, true) => "+",
                _ => "",
            };
            let mut cells = vec![
                mark.to_string(),
                row.codec.clone(),
                row.bytes.to_string(),
                format!("{:.1}x", 4.0 * self.dims as f64 / row.bytes as f64),
                row.recall.text(),
                format!("{:.3}", row.recall_rescored.mean),
            ];
            if judged {
                cells.push(row.quality.text());
                cells.push(format!("{:.3}", row.quality_rescored.mean));
            }
            cells.push(format!("{:.0}", row.queries_per_cpu_second));
            cells
        });
        output.line(list(&header, rows, 2))?;
        output.line("+ nothing smaller is better   * chosen   rescored: the best 100 by codes ranked again by the vectors")?;
        for left in &self.left_out {
            output.note(format!("note: {} was left out: {}", left.codec, left.reason));
        }
        if let Some(row) = self.chosen_row() {
            let all = row.bytes as u64 * self.rows as u64 + row.codec_bytes as u64;
            output.line(format!(
                "chosen: {} — {} bytes a vector, {} in all ({} of it the codec), recall@10 {}",
                output.bold(&row.codec),
                row.bytes,
                bytes(all),
                bytes(row.codec_bytes as u64),
                if self.rescored {
                    row.recall_rescored.text()
                } else {
                    row.recall.text()
                }
            ))?;
        }
        Ok(())
    }

    fn chosen_row(&self) -> Option<&Row> {
        self.codecs
            .iter()
            .find(|row| self.chosen.as_ref() == Some(&row.codec))
    }

    /// Quality against bytes and against speed.
    pub(super) fn svg(&self) -> String {
        let title = format!(
            "{} of {} vectors ({} dims){}",
            self.measure,
            self.sample_rows,
            self.dims,
            if self.rescored { ", best 100 rescored" } else { "" }
        );
        let quality = |row: &Row| {
            if self.rescored {
                row.quality_rescored
            } else {
                row.quality
            }
        };
        let panel = |title: String, x: &str, value: &dyn Fn(&Row) -> f64, line: bool| {
            let mark = |row: &Row, label: bool| {
                let quality = quality(row);
                Mark {
                    x: value(row),
                    y: quality.mean,
                    interval: Some((quality.interval[0], quality.interval[1])),
                    label: if label { row.codec.clone() } else { String::new() },
                }
            };
            let series = |name: &str, colour, line, label, keep: &dyn Fn(&&Row) -> bool| Series {
                name: name.into(),
                marks: self
                    .codecs
                    .iter()
                    .filter(keep)
                    .map(|row| mark(row, label))
                    .collect(),
                line,
                colour,
            };
            let mut drawn = vec![
                series("tried", 6, false, false, &|row| !row.on_front),
                series("nothing smaller is better", 0, line, true, &|row| row.on_front),
            ];
            if line {
                drawn.push(Series {
                    name: "the vectors themselves".into(),
                    marks: vec![Mark::at(4.0 * self.dims as f64, self.exact)],
                    line: false,
                    colour: 7,
                });
            }
            if let Some(row) = self.chosen_row() {
                drawn.push(Series {
                    name: format!("chosen: {}", row.codec),
                    marks: vec![mark(row, false)],
                    line: false,
                    colour: 1,
                });
            }
            Panel {
                title,
                x: Axis::log(x),
                y: Axis::linear(self.measure),
                series: drawn,
            }
        };
        kokeshi_plot::svg(&[
            panel(title, "bytes a vector", &|row| row.bytes as f64, true),
            panel(
                "and how fast codes are scanned".into(),
                "queries a CPU-second",
                &|row| row.queries_per_cpu_second,
                false,
            ),
        ])
    }
}
