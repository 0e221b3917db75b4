//! Lines of a text file, compressed with gzip or not, with their numbers.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result};

/// The longest line that is read, in bytes: a whole book is a tenth of it.
const LONGEST: u64 = 64 << 20;

pub(crate) struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    number: u64,
    buffer: Vec<u8>,
}

/// Opens a file and unpacks it if it begins as gzip does, whatever its name.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(Error::io(path))?);
    let packed = file
        .fill_buf()
        .map_err(Error::io(path))?
        .starts_with(&[0x1F, 0x8B]);
    Ok(if packed {
        Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    })
}

impl Lines {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            reader: open(path)?,
            number: 0,
            buffer: Vec::new(),
        })
    }

    /// The next line that is not blank, with its number, without its end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, &str)>> {
        loop {
            self.buffer.clear();
            self.number += 1;
            let mut limited = (&mut self.reader).take(LONGEST);
            let read = limited
                .read_until(b'\n', &mut self.buffer)
                .map_err(Error::io(&self.path))?;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 == LONGEST && self.buffer.last() != Some(&b'\n') {
                return Err(self.error(format!("at most {LONGEST} bytes in a line"), "more"));
            }
            if self.number == 1 && self.buffer.starts_with("\u{FEFF}".as_bytes()) {
                self.buffer.drain(..3);
            }
            while matches!(self.buffer.last(), Some(b'\n' | b'\r')) {
                self.buffer.pop();
            }
            if self.buffer.iter().any(|byte| !byte.is_ascii_whitespace()) {
                break;
            }
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(line) => Ok(Some((self.number, line))),
            Err(_) => Err(self.error("UTF-8", String::from_utf8_lossy(&self.buffer))),
        }
    }

    fn error(&self, expected: impl Into<String>, found: impl AsRef<str>) -> Error {
        Error::line(&self.path, self.number, expected, found)
    }
}
