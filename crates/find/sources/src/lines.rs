//! Lines of bounded length, with their numbers.

use std::io::{BufRead, ErrorKind};

/// What [`Lines::next`] found.
pub(crate) enum Line<'a> {
    /// Without its line end.
    Whole(&'a [u8]),
    /// Longer than allowed; so many bytes were skipped.
    TooLong(u64),
}

/// Reads lines that end with LF or CRLF; a UTF-8 byte order mark at the start is dropped.
pub(crate) struct Lines {
    input: Box<dyn BufRead + Send>,
    longest: usize,
    number: u64,
    /// A line that crossed the input's blocks, put together.
    joined: Vec<u8>,
    /// Bytes of the input's block that the last line used.
    pending: usize,
}

impl Lines {
    pub(crate) fn new(input: Box<dyn BufRead + Send>, longest: usize) -> Self {
        Self {
            input,
            longest,
            number: 0,
            joined: Vec::new(),
            pending: 0,
        }
    }

    /// The number of the line that was returned last, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The next line, or `None` at the end. After an error there is nothing more.
    pub(crate) fn next(&mut self) -> std::io::Result<Option<Line<'_>>> {
        self.input.consume(std::mem::take(&mut self.pending));
        self.joined.clear();
        let mut skipped = 0_u64;
        loop {
            let block = match self.input.fill_buf() {
                Ok(block) => block,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let found = memchr::memchr(b'\n', block);
            let part = found.unwrap_or(block.len());
            if block.is_empty() {
                // The end; a last line without a line end counts.
                if self.joined.is_empty() && skipped == 0 {
                    return Ok(None);
                }
                self.number += 1;
                break;
            }
            if let Some(at) = found
                && self.joined.is_empty()
                && skipped == 0
                && at <= self.longest
            {
                // The common case: the whole line lies in one block and needs no copy.
                self.number += 1;
                self.pending = at + 1;
                let first = self.number == 1;
                // The block is asked for again because the borrow checker can't let it out of the loop.
                let block = self.input.fill_buf()?;
                return Ok(Some(Line::Whole(trimmed(&block[..at], first))));
            }
            if skipped > 0 || self.joined.len() + part > self.longest {
                skipped += (std::mem::take(&mut self.joined).len() + part) as u64;
            } else {
                self.joined.extend_from_slice(&block[..part]);
            }
            let used = part + usize::from(found.is_some());
            self.input.consume(used);
            if found.is_some() {
                self.number += 1;
                break;
            }
        }
        Ok(Some(if skipped > 0 {
            Line::TooLong(skipped)
        } else {
            Line::Whole(trimmed(&self.joined, self.number == 1))
        }))
    }
}

/// Without a carriage return at the end and, on the first line, a byte order mark.
fn trimmed(line: &[u8], first: bool) -> &[u8] {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) if first => rest,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Cursor};

    fn lines(text: &[u8], longest: usize, block: usize) -> Vec<Result<String, u64>> {
        let input = BufReader::with_capacity(block, Cursor::new(text.to_vec()));
        let mut lines = Lines::new(Box::new(input), longest);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(match line {
                Line::Whole(bytes) => Ok(String::from_utf8(bytes.to_vec()).unwrap()),
                Line::TooLong(bytes) => Err(bytes),
            });
        }
        assert_eq!(lines.number(), all.len() as u64);
        all
    }

    #[test]
    fn lines_are_the_same_however_the_input_comes_in_blocks() {
        let text = b"\xEF\xBB\xBFone\r\n\ntwo and more\n0123456789012345678901234567890123456789\nlast";
        for block in [1, 2, 3, 7, 16, 1000] {
            let expected = vec![
                Ok("one".to_string()),
                Ok(String::new()),
                Ok("two and more".into()),
                Err(40),
                Ok("last".into()),
            ];
            assert_eq!(lines(text, 20, block), expected, "blocks of {block}");
        }
        assert!(lines(b"", 20, 8).is_empty());
        assert_eq!(lines(b"\n", 20, 8), vec![Ok(String::new())]);
        assert_eq!(lines(&[b'x'; 100], 20, 8), vec![Err(100)]);
    }
}
