//! Plain text and source code: the file is one document, or each line is.

use std::io::{BufRead, Read};
use std::sync::Arc;

use super::{Context, Problem, Reader};
use crate::input::Packing;
use crate::lines::{Line, Lines};
use crate::record::{Record, Value};

/// Reads all of `input`, or says why not.
pub(crate) fn read_all(
    input: &mut (dyn BufRead + Send),
    limit: u64,
    packing: Packing,
) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    match input.take(limit.saturating_add(1)).read_to_end(&mut bytes) {
        Err(error) => Err(Problem::file(0, crate::input::explain(&error, packing))),
        Ok(_) if bytes.len() as u64 > limit => Err(Problem::file(
            0,
            format!("expected at most {limit} bytes, found more"),
        )),
        Ok(_) => Ok(bytes),
    }
}

/// `bytes` as text, with the number of invalid sequences that became U+FFFD. A byte order mark is dropped; UTF-16 with one is read.
pub(crate) fn decode(bytes: Vec<u8>) -> (String, u64) {
    match bytes.as_slice() {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => lossy(rest.to_vec()),
        _ => lossy(bytes),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> (String, u64) {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let mut replaced = (bytes.len() % 2) as u64;
    let text = char::decode_utf16(units)
        .map(|character| {
            character.unwrap_or_else(|_| {
                replaced += 1;
                char::REPLACEMENT_CHARACTER
            })
        })
        .collect();
    (text, replaced)
}

/// UTF-8 in which invalid sequences become U+FFFD, with their number.
pub(crate) fn lossy(bytes: Vec<u8>) -> (String, u64) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, 0),
        Err(error) => {
            let bytes = error.into_bytes();
            let replaced = bytes
                .utf8_chunks()
                .filter(|chunk| !chunk.invalid().is_empty())
                .count();
            (String::from_utf8_lossy(&bytes).into_owned(), replaced as u64)
        }
    }
}

/// A record of a file that is one document.
pub(crate) fn document(id: &str, title: String, text: String) -> Record {
    Record {
        fields: vec![
            (Arc::from("id"), Value::Text(id.into())),
            (Arc::from("title"), Value::Text(title)),
            (Arc::from("text"), Value::Text(text)),
        ],
        line: 0,
    }
}

/// The whole file as one document.
pub(crate) struct Whole {
    input: Option<Box<dyn BufRead + Send>>,
    name: String,
    packing: Packing,
    limit: u64,
    code: bool,
    replaced: u64,
}

impl Whole {
    pub(crate) fn new(input: Box<dyn BufRead + Send>, context: &Context<'_>, code: bool) -> Self {
        Self {
            input: Some(input),
            name: context.name.into(),
            packing: context.packing,
            limit: context.options.max_file_bytes,
            code,
            replaced: 0,
        }
    }
}

impl Reader for Whole {
    fn next(&mut self) -> Option<Result<Record, Problem>> {
        let mut input = self.input.take()?;
        let bytes = match read_all(&mut *input, self.limit, self.packing) {
            Ok(bytes) => bytes,
            Err(problem) => return Some(Err(problem)),
        };
        let (text, replaced) = decode(bytes);
        self.replaced = replaced;
        if text.trim().is_empty() {
            return None;
        }
        let (title, text) = match split_title(&text) {
            _ if self.code => (self.name.clone(), text),
            Some((title, rest)) => (title.to_string(), rest.to_string()),
            None => (file_stem(&self.name).into(), text),
        };
        Some(Ok(document(&self.name, title, text)))
    }

    fn replaced(&self) -> u64 {
        self.replaced
    }
}

/// The first line and the rest, if that line stands alone like a title: short, a blank line behind it, and more after that.
fn split_title(text: &str) -> Option<(&str, &str)> {
    let (first, rest) = text.trim_start().split_once('\n')?;
    let (blank, rest) = rest.split_once('\n')?;
    let title = first.trim();
    (blank.trim().is_empty() && !rest.trim().is_empty() && title.chars().count() <= 150)
        .then_some((title, rest))
}

/// `notes` of `folder/notes.txt.gz`.
pub(crate) fn file_stem(name: &str) -> &str {
    let file = name.rsplit('/').next().unwrap_or(name);
    let (_, file) = Packing::of(file);
    match file.rfind('.') {
        Some(at) if at > 0 => &file[..at],
        _ => file,
    }
}

/// One document a line; blank lines are left out.
pub(crate) struct PerLine {
    lines: Lines,
    name: String,
    packing: Packing,
    longest: usize,
    keep_blank: bool,
    replaced: u64,
    ended: bool,
}

impl PerLine {
    pub(crate) fn new(input: Box<dyn BufRead + Send>, context: &Context<'_>) -> Self {
        Self {
            lines: Lines::new(input, context.options.max_line_bytes),
            name: context.name.into(),
            packing: context.packing,
            longest: context.options.max_line_bytes,
            keep_blank: context.options.keep_blank_lines,
            replaced: 0,
            ended: false,
        }
    }
}

impl Reader for PerLine {
    fn next(&mut self) -> Option<Result<Record, Problem>> {
        while !self.ended {
            let line = match self.lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => {
                    self.ended = true;
                    let what = crate::input::explain(&error, self.packing);
                    return Some(Err(Problem::file(self.lines.number() + 1, what)));
                }
            };
            let (text, replaced) = match line {
                Line::Whole(bytes) if !self.keep_blank && bytes.trim_ascii().is_empty() => continue,
                Line::Whole(bytes) => lossy(bytes.to_vec()),
                Line::TooLong(bytes) => {
                    let what = super::jsonl::too_long(bytes, self.longest);
                    return Some(Err(Problem::row(self.lines.number(), what)));
                }
            };
            self.replaced += replaced;
            let line = self.lines.number();
            let mut record = document(&format!("{}#{line}", self.name), String::new(), text);
            record.line = line;
            return Some(Ok(record));
        }
        None
    }

    fn replaced(&self) -> u64 {
        self.replaced
    }
}
