//! A JSON array of objects, read element by element: what is held is one element, whatever the size of the file.

use std::io::{BufRead, ErrorKind};
use std::sync::Arc;

use super::{Context, Problem, Reader, jsonl};
use crate::input::Packing;
use crate::record::Record;

pub(crate) struct Array {
    input: Box<dyn BufRead + Send>,
    packing: Packing,
    longest: usize,
    names: Vec<Arc<str>>,
    /// The line that is being read, from 1.
    line: u64,
    state: State,
    element: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before `[`.
    Start,
    /// Before an element or `]`.
    Between,
    Ended,
}

/// What ended an element.
enum End {
    Comma,
    Bracket,
    File,
}

impl Array {
    pub(crate) fn new(input: Box<dyn BufRead + Send>, context: &Context<'_>) -> Self {
        Self {
            input,
            packing: context.packing,
            longest: context.options.max_line_bytes,
            names: Vec::new(),
            line: 1,
            state: State::Start,
            element: Vec::new(),
        }
    }

    /// Goes past white space and, at the start, a byte order mark; the next byte stays.
    fn skip_space(&mut self) -> std::io::Result<Option<u8>> {
        loop {
            let block = match self.input.fill_buf() {
                Ok(block) => block,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let Some(first) = block.first() else {
                return Ok(None);
            };
            let skippable = |byte: &u8| {
                byte.is_ascii_whitespace() || (self.state == State::Start && b"\xEF\xBB\xBF".contains(byte))
            };
            if !skippable(first) {
                return Ok(Some(*first));
            }
            let space = block.iter().take_while(|byte| skippable(byte)).count();
            self.line += memchr::memchr_iter(b'\n', &block[..space]).count() as u64;
            self.input.consume(space);
        }
    }

    /// Reads one element into `self.element`, without the comma or bracket behind it. Says its length if it was too long to keep.
    fn element(&mut self) -> std::io::Result<(End, Option<u64>)> {
        self.element.clear();
        let mut length = 0_u64;
        let (mut depth, mut in_string, mut escaped) = (0_u64, false, false);
        loop {
            let block = match self.input.fill_buf() {
                Ok(block) => block,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut end = None;
            let mut used = block.len();
            for (at, byte) in block.iter().enumerate() {
                if in_string {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => in_string = false,
                        _ => {}
                    }
                    continue;
                }
                match byte {
                    b'"' => in_string = true,
                    b'{' | b'[' => depth += 1,
                    b',' if depth == 0 => end = Some(End::Comma),
                    b']' if depth == 0 => end = Some(End::Bracket),
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if end.is_some() {
                    used = at;
                    break;
                }
            }
            if block.is_empty() {
                end = Some(End::File);
            }
            let part = &block[..used];
            self.line += memchr::memchr_iter(b'\n', part).count() as u64;
            length += part.len() as u64;
            if length <= self.longest as u64 {
                self.element.extend_from_slice(part);
            }
            let behind = usize::from(matches!(end, Some(End::Comma | End::Bracket)));
            self.input.consume(used + behind);
            if let Some(end) = end {
                return Ok((end, (length > self.longest as u64).then_some(length)));
            }
        }
    }

    fn damaged(&mut self, error: &std::io::Error) -> Problem {
        self.state = State::Ended;
        Problem::file(self.line, crate::input::explain(error, self.packing))
    }
}

impl Reader for Array {
    fn next(&mut self) -> Option<Result<Record, Problem>> {
        if self.state == State::Start {
            match self.skip_space() {
                Err(error) => return Some(Err(self.damaged(&error))),
                Ok(Some(b'[')) => {
                    self.input.consume(1);
                    self.state = State::Between;
                }
                Ok(None) => self.state = State::Ended,
                Ok(Some(other)) => {
                    self.state = State::Ended;
                    let found = char::from(other);
                    return Some(Err(Problem::file(
                        self.line,
                        format!(
                            "expected a JSON array of objects, found {found:?} at its start (one object a line is --format jsonl)"
                        ),
                    )));
                }
            }
        }
        if self.state == State::Ended {
            return None;
        }
        match self.skip_space() {
            Err(error) => return Some(Err(self.damaged(&error))),
            Ok(Some(b']')) => {
                self.state = State::Ended;
                return None;
            }
            Ok(_) => {}
        }
        let line = self.line;
        let (end, too_long) = match self.element() {
            Ok(element) => element,
            Err(error) => return Some(Err(self.damaged(&error))),
        };
        match end {
            End::Comma => {}
            End::Bracket => self.state = State::Ended,
            End::File => {
                self.state = State::Ended;
                return Some(Err(Problem::file(
                    self.line,
                    "expected ] at the end of the array, found the end of the file: it is truncated; the objects before are kept",
                )));
            }
        }
        if let Some(length) = too_long {
            return Some(Err(Problem::row(
                line,
                jsonl::too_long(length, self.longest).replace("a line", "an object"),
            )));
        }
        Some(match jsonl::object(&self.element, &mut self.names) {
            Ok(fields) => Ok(Record { fields, line }),
            Err(what) => Err(Problem::row(line, what)),
        })
    }
}
