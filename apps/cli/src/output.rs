//! What a command prints: text and tables for people, one JSON value for machines.

use std::io::{IsTerminal, Write};

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, presets};

use crate::stop::{Result, Stop};

/// Writes a line to standard error. One that nobody reads any more (`2>&1 | head`) is no reason to stop the work.
pub fn to_stderr(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// How to print.
pub struct Output {
    /// One JSON value instead of text.
    pub json: bool,
    /// No notes on standard error.
    pub quiet: bool,
    /// Colours and highlights may be used.
    pub colour: bool,
}

impl Output {
    /// Colours only if standard output is a terminal and NO_COLOR is not set.
    pub fn new(json: bool, quiet: bool) -> Self {
        let colour = !json && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { json, quiet, colour }
    }

    /// Prints `text` and a line end to standard output.
    ///
    /// # Errors
    /// A quiet stop when the reader has gone away, a failure otherwise (a full disk, say).
    pub fn line(&self, text: impl std::fmt::Display) -> Result<()> {
        writeln!(std::io::stdout().lock(), "{text}").map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Stop::quiet(),
            _ => Stop::failed(format!("standard output: {error}")),
        })
    }

    /// Prints a value as JSON.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub fn value(&self, value: &impl serde::Serialize) -> Result<()> {
        let text =
            serde_json::to_string_pretty(value).map_err(|error| Stop::failed(format!("JSON: {error}")))?;
        self.line(text)
    }

    /// A remark on standard error, unless `--quiet` or `--json`.
    pub fn note(&self, text: impl std::fmt::Display) {
        if !self.quiet && !self.json {
            to_stderr(text);
        }
    }

    /// `text` in bold where colours are on.
    pub fn bold(&self, text: impl std::fmt::Display) -> String {
        if self.colour {
            format!("\x1b[1m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }

    /// `text` dimmed where colours are on.
    pub fn dim(&self, text: impl std::fmt::Display) -> String {
        if self.colour {
            format!("\x1b[2m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }

    /// `text` with the byte ranges marked: in colour on a terminal, unmarked elsewhere. Ranges off character boundaries are left out.
    pub fn highlighted(&self, text: &str, ranges: &[[usize; 2]]) -> String {
        if !self.colour {
            return text.to_string();
        }
        let mut marked = String::with_capacity(text.len() + 16 * ranges.len());
        let mut at = 0;
        for &[start, end] in ranges {
            if let (true, Some(before), Some(inside)) =
                (start >= at, text.get(at..start), text.get(start..end))
            {
                marked.push_str(before);
                marked.push_str("\x1b[1;33m");
                marked.push_str(inside);
                marked.push_str("\x1b[0m");
                at = end;
            }
        }
        marked.push_str(&text[at..]);
        marked
    }
}

/// A plain table: header, rows, columns from `right` on aligned to the right.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>, right: usize) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(right) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A [`table`] of many short rows: without lines between them.
pub fn list(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>, right: usize) -> Table {
    let mut list = table(header, rows, right);
    list.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    list
}

/// `1234567` bytes as `1.2 MB`.
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" {
                format!("{count} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}
