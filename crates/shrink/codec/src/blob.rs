//! What codecs learnt, as bytes: little-endian numbers and counted lists. Reading trusts nothing.

use std::path::{Path, PathBuf};

use kokeshi_core::{Error, Result};

/// Collects what a codec writes.
#[derive(Debug, Default)]
pub struct BlobWriter {
    bytes: Vec<u8>,
}

impl BlobWriter {
    /// A number.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A list of f32, with its length.
    pub fn f32s(&mut self, values: &[f32]) {
        self.u64(values.len() as u64);
        self.bytes.extend_from_slice(kokeshi_core::npy::as_bytes(values));
    }

    /// A text, with its length.
    pub fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Everything that was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Gives back what a [`BlobWriter`] collected.
#[derive(Debug)]
pub struct BlobReader<'a> {
    bytes: &'a [u8],
    at: usize,
    path: PathBuf,
}

impl<'a> BlobReader<'a> {
    /// Reads `bytes`, which came from `path`.
    pub fn new(bytes: &'a [u8], path: &Path) -> Self {
        Self {
            bytes,
            at: 0,
            path: path.into(),
        }
    }

    /// An error about this file.
    pub fn wrong(&self, problem: impl std::fmt::Display) -> Error {
        Error::file(&self.path, format!("{problem} (at byte {})", self.at))
    }

    fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8]> {
        let left = self.bytes.len() - self.at;
        let Some(part) = self.bytes.get(self.at..).and_then(|rest| rest.get(..count)) else {
            return Err(self.wrong(format!("expected {count} bytes of {what}, found {left}")));
        };
        self.at += count;
        Ok(part)
    }

    /// A number.
    ///
    /// # Errors
    /// [`Error::File`] if the file ends.
    pub fn u64(&mut self, what: &str) -> Result<u64> {
        let bytes = self.take(8, what)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    }

    /// A number from 1 to `most`.
    ///
    /// # Errors
    /// [`Error::File`] if it is another one.
    pub fn count(&mut self, what: &str, most: usize) -> Result<usize> {
        match self.u64(what)? {
            value if value >= 1 && value <= most as u64 => Ok(value as usize),
            value => Err(self.wrong(format!("expected {what} from 1 to {most}, found {value}"))),
        }
    }

    /// A list of `expected` finite f32.
    ///
    /// # Errors
    /// [`Error::File`] if it has another length, ends early or holds a value that is not finite.
    pub fn f32s(&mut self, what: &str, expected: usize) -> Result<Vec<f32>> {
        let length = self.u64(what)?;
        if length != expected as u64 {
            return Err(self.wrong(format!("expected {expected} values of {what}, found {length}")));
        }
        let size = expected
            .checked_mul(4)
            .ok_or_else(|| self.wrong(format!("{what} is too long")))?;
        let bytes = self.take(size, what)?;
        let values: Vec<f32> = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&four| f32::from_le_bytes(four))
            .collect();
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(self.wrong(format!("value {at} of {what} is not finite"))),
            None => Ok(values),
        }
    }

    /// A text of at most 4096 bytes.
    ///
    /// # Errors
    /// [`Error::File`] if it is longer, cut off or not UTF-8.
    pub fn text(&mut self, what: &str) -> Result<&'a str> {
        let length = self.u64(what)?;
        if length > 4096 {
            return Err(self.wrong(format!("expected {what} of at most 4096 bytes, found {length}")));
        }
        let bytes = self.take(length as usize, what)?;
        std::str::from_utf8(bytes).map_err(|_| self.wrong(format!("{what} is not UTF-8")))
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// [`Error::File`] if something is.
    pub fn end(&self) -> Result<()> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(self.wrong(format!("expected the end, found {left} more bytes"))),
        }
    }
}
