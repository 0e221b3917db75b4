//! CSV and TSV with a header. Cells have no types: those are found from the sample.
//!
//! The delimiter of a file that is not named `.tsv` is the one of `,` `;` tab `|` that is most frequent in its first line. Quotes work as
//! RFC 4180 says; in TSV files, where a lone quote is usual, only if every cell of the first rows that starts with one also ends with one.

use std::io::{BufRead, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Context, Problem, Reader};
use crate::input::Packing;
use crate::record::{Record, Value, shorten};

pub(crate) struct Delimited {
    rows: csv::Reader<Budget>,
    row: csv::ByteRecord,
    names: Option<Vec<Arc<str>>>,
    packing: Packing,
    longest: usize,
    budget: Arc<AtomicU64>,
    delimiter: u8,
    /// Rows end with CRLF: the library then places every row but the first a line too early, before the LF.
    crlf: bool,
    ended: bool,
}

/// Bytes that one row may take from the input beyond what is buffered: a quote that is never closed would take the whole file.
struct Budget {
    input: Box<dyn BufRead + Send>,
    left: Arc<AtomicU64>,
}

impl Read for Budget {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.input.read(&mut buffer[..most])?;
        self.left.store(left - read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Delimited {
    pub(crate) fn new(mut input: Box<dyn BufRead + Send>, context: &Context<'_>, tabs: bool) -> Self {
        // Damage shows when rows are read.
        let head = input.fill_buf().map(<[u8]>::to_vec).unwrap_or_default();
        if head.starts_with(b"\xEF\xBB\xBF") {
            input.consume(3);
        }
        let delimiter = if tabs { b'\t' } else { delimiter(&head) };
        let quoting = delimiter != b'\t' || quotes_are_paired(&head);
        let budget = Arc::new(AtomicU64::new(0));
        let rows = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .quoting(quoting)
            .buffer_capacity(256 << 10)
            .from_reader(Budget {
                input,
                left: Arc::clone(&budget),
            });
        Self {
            rows,
            row: csv::ByteRecord::new(),
            names: None,
            packing: context.packing,
            longest: context.options.max_line_bytes,
            budget,
            delimiter,
            crlf: memchr::memchr(b'\n', &head).is_some_and(|end| head[..end].ends_with(b"\r")),
            ended: false,
        }
    }

    /// The next row into `self.row`; its line, or `None` at the end.
    fn read(&mut self) -> Result<Option<u64>, Problem> {
        self.budget.store(self.longest as u64, Ordering::Relaxed);
        let shift = u64::from(self.crlf && self.names.is_some());
        let before = self.rows.position().line() + shift;
        match self.rows.read_byte_record(&mut self.row) {
            Ok(true) => Ok(Some(
                self.row
                    .position()
                    .map_or(before, |position| position.line() + shift),
            )),
            Ok(false) => Ok(None),
            Err(error) => {
                self.ended = true;
                let what = match error.kind() {
                    csv::ErrorKind::Io(error) if error.kind() == ErrorKind::FileTooLarge => format!(
                        "expected a row of at most {} bytes, found a longer one: probably a quote that is never closed",
                        self.longest
                    ),
                    csv::ErrorKind::Io(error) => crate::input::explain(error, self.packing),
                    _ => format!("expected rows of delimited cells: {error}"),
                };
                Err(Problem::file(before, what))
            }
        }
    }

    /// Names from the header; empty and repeated ones are made unique.
    fn header(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = Vec::new();
        for (at, cell) in self.row.iter().enumerate() {
            let given = String::from_utf8_lossy(cell).trim().to_string();
            let base = if given.is_empty() {
                format!("column-{}", at + 1)
            } else {
                given
            };
            let mut name: Arc<str> = base.as_str().into();
            let mut number = 2;
            while names.contains(&name) {
                name = format!("{base}-{number}").into();
                number += 1;
            }
            names.push(name);
        }
        names
    }
}

/// The most frequent candidate in the first line, outside quotes.
fn delimiter(head: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
    let mut quoted = false;
    for byte in head {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            _ if quoted => {}
            _ => {
                for (candidate, count) in &mut counts {
                    *count += u32::from(candidate == byte);
                }
            }
        }
    }
    // Of equals the first.
    counts
        .iter()
        .rev()
        .max_by_key(|(_, count)| *count)
        .map_or(b',', |(candidate, _)| *candidate)
}

/// Whether every tab-separated cell of the first lines that starts with a quote ends with one.
fn quotes_are_paired(head: &[u8]) -> bool {
    let whole = memchr::memrchr(b'\n', head).map_or(head, |end| &head[..end]);
    whole
        .split(|byte| matches!(byte, b'\t' | b'\n' | b'\r'))
        .filter(|cell| cell.starts_with(b"\""))
        .all(|cell| cell.len() > 1 && cell.ends_with(b"\""))
}

impl Reader for Delimited {
    fn next(&mut self) -> Option<Result<Record, Problem>> {
        loop {
            if self.ended {
                return None;
            }
            let line = match self.read() {
                Ok(Some(line)) => line,
                Ok(None) => {
                    self.ended = true;
                    return None;
                }
                Err(problem) => return Some(Err(problem)),
            };
            let Some(names) = &self.names else {
                self.names = Some(self.header());
                if self.row.len() > 10_000 {
                    self.ended = true;
                    return Some(Err(Problem::file(
                        line,
                        format!("expected at most 10000 columns, found {}", self.row.len()),
                    )));
                }
                continue;
            };
            if self.row.len() == 1 && self.row[0].trim_ascii().is_empty() {
                continue;
            }
            if self.row.len() != names.len() {
                let delimiter = match self.delimiter {
                    b'\t' => "tab".into(),
                    other => format!("{:?}", char::from(other)),
                };
                let what = format!(
                    "expected {} cells as in the header, found {} (cells are separated by {delimiter}; one that holds it must be quoted)",
                    names.len(),
                    self.row.len()
                );
                return Some(Err(Problem::row(line, what)));
            }
            let mut fields = Vec::with_capacity(names.len());
            for (name, cell) in names.iter().zip(&self.row) {
                let value = match std::str::from_utf8(cell) {
                    Ok("") => Value::Null,
                    Ok(text) => Value::Raw(text.into()),
                    Err(error) => {
                        let what = format!(
                            "column {:?}: expected UTF-8, found the byte 0x{:02X} after {:?} (convert the file with iconv)",
                            &**name,
                            cell[error.valid_up_to()],
                            shorten(&String::from_utf8_lossy(&cell[..error.valid_up_to()]), 20)
                        );
                        return Some(Err(Problem::row(line, what)));
                    }
                };
                fields.push((Arc::clone(name), value));
            }
            return Some(Ok(Record { fields, line }));
        }
    }
}
